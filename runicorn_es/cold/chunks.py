"""Blobs into chunks: cut where their content says, and compressed where that pays.

The cut points are FastCDC's (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 2020): bytes inserted into a file move only the cuts near them. The cuts are written down
and never made again to read a blob, for releases of a chunker differ in them.

The bytes of a number repeat each other's first bytes but not their last ones. So the chunks of weights are split into
planes, first all first bytes, then all second ones, and each plane begins a block of its own: then those that are noise
are stored as they are, and those that are not get codes of their own.
"""

from collections.abc import Iterator, Sequence
import os
from threading import Thread
from types import ModuleType
from typing import Any

from runicorn_es import settings
from runicorn_es.cold.pack import PLANES_2, PLANES_4, RAW, ZSTD, zstandard_module
from runicorn_es.errors import Rejected

MEAN_BYTES = 64 * settings.KIB
LEAST_BYTES = 8 * settings.KIB
MOST_BYTES = 128 * settings.KIB
WINDOW_BYTES = 8 * settings.MIB
_LEVEL = 1
_SAMPLE_BYTES = 16 * settings.KIB
_SAMPLES = 3
_THREADS_MAX = 4
# What planes must save of plain Zstandard's size, and Zstandard of the raw size: reading them costs time.
_PLANES_PAY_FROM = 0.97
_ZSTD_PAYS_FROM = 0.99


def chunker() -> str:
    """Return the name and the parameters of the chunker, as recipes record them."""
    return (
        f"fastcdc-2020 mean={MEAN_BYTES} min={LEAST_BYTES} max={MOST_BYTES} normalization=1 seed=0; "
        f"pyfastcdc {_pyfastcdc().__version__}"
    )


def cut(descriptor: int) -> Iterator[list[memoryview]]:
    """Yield the chunks of an open file in order, a window of them at a time.

    They lie in one buffer, which is used again for the next window. Raises Rejected where the chunker is not installed.
    """
    fastcdc = _pyfastcdc().FastCDC(MEAN_BYTES, min_size=LEAST_BYTES, max_size=MOST_BYTES, normalized_chunking=1, seed=0)
    view = memoryview(bytearray(WINDOW_BYTES))
    offset = filled = 0
    is_at_end = False
    while not is_at_end:
        while filled < WINDOW_BYTES and not is_at_end:
            count = os.preadv(descriptor, [view[filled:]], offset)
            is_at_end = count == 0
            offset, filled = offset + count, filled + count
        chunks = []
        begin = 0
        for chunk in fastcdc.cut_buf(view[:filled]):
            # Where less than the longest chunk is left, more bytes might move the cut.
            if not is_at_end and filled - chunk.offset < MOST_BYTES:
                break
            begin = chunk.offset + chunk.length
            chunks.append(view[chunk.offset : begin])
        yield chunks
        filled -= begin
        view[:filled] = view[begin : begin + filled]


def encode(chunks: Sequence[memoryview]) -> list[tuple[int, bytes]]:
    """Return for each chunk its encoding and its stored bytes. Neighbours, which are alike, are encoded alike."""
    if not chunks:
        return []
    encoding = _best_encoding(chunks)
    encoded: list[tuple[int, bytes]] = [(RAW, b"")] * len(chunks)
    failures: list[BaseException] = []

    def work(begin: int, step: int) -> None:
        try:
            compressor = zstandard_module().ZstdCompressor(level=_LEVEL)
            for number in range(begin, len(chunks), step):
                encoded[number] = _encode_one(compressor, chunks[number], encoding)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    count = min(len(chunks), os.cpu_count() or 1, _THREADS_MAX)
    threads = [Thread(target=work, args=(number, count), daemon=True) for number in range(1, count)]
    for thread in threads:
        thread.start()
    work(0, count)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return encoded


def _encode_one(compressor: Any, chunk: memoryview, encoding: int) -> tuple[int, bytes]:
    content = chunk.tobytes()
    stored = _compress(compressor, content, encoding)
    if len(stored) <= len(content) * _ZSTD_PAYS_FROM:
        return encoding, stored
    return RAW, content


def _best_encoding(chunks: Sequence[memoryview]) -> int:
    """Return what to encode chunks with, by samples of them."""
    compressor = zstandard_module().ZstdCompressor(level=_LEVEL)
    chosen = [chunks[len(chunks) * (2 * number + 1) // (2 * _SAMPLES)] for number in range(_SAMPLES)]
    samples = [chunk[:_SAMPLE_BYTES].tobytes() for chunk in chosen]
    sizes = {
        encoding: sum(len(_compress(compressor, sample, encoding)) for sample in samples)
        for encoding in (ZSTD, PLANES_2, PLANES_4)
    }
    best = min(PLANES_2, PLANES_4, key=lambda encoding: sizes[encoding])
    return best if sizes[best] <= sizes[ZSTD] * _PLANES_PAY_FROM else ZSTD


def _compress(compressor: Any, content: bytes, encoding: int) -> bytes:
    """Return one frame that states its content size."""
    if encoding == ZSTD:
        whole: bytes = compressor.compress(content)
        return whole
    writer = compressor.compressobj(size=len(content))
    block_ends = zstandard_module().COMPRESSOBJ_FLUSH_BLOCK
    parts = []
    for number in range(encoding):
        parts += [writer.compress(content[number::encoding]), writer.flush(block_ends)]
    return b"".join([*parts, writer.flush()])


def require_chunker() -> None:
    """Raise Rejected where the chunker is not installed."""
    _pyfastcdc()


def _pyfastcdc() -> ModuleType:
    try:
        # Twenty milliseconds to import, and only needed to cut.
        import pyfastcdc  # noqa: PLC0415
    except ImportError as error:
        raise Rejected(
            "blobs are cut into chunks by pyfastcdc, which is not installed; pip install 'runicorn-es[chunks]'"
        ) from error
    return pyfastcdc
