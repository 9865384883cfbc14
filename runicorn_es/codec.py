"""Events to payload bytes and back. Strict on the way in.

A payload is 16 random bytes and then the MessagePack array of its events; the random bytes keep anyone from guessing
a purged payload from the commitment that stays. Where it pays, the array is compressed with Zstandard (RFC 8878),
which a flag in the header says. Layout: docs/reference/format.md#payload.
"""

from collections.abc import Sequence
from types import ModuleType

from blake3 import blake3
import msgspec

from runicorn_es import settings
from runicorn_es.errors import Damaged, Rejected, TooNew
from runicorn_es.events import Event, FileAdded

SALT_BYTES = 16
_COMPRESSION_LEVEL = 1

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Event, ...])
_files_decoder = msgspec.msgpack.Decoder(tuple[FileAdded, ...])
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


class _AnyTag(msgspec.Struct, array_like=True, frozen=True):
    tag: str


_tag_decoder = msgspec.msgpack.Decoder(_AnyTag)
_KNOWN_TAGS = frozenset(kind.__struct_config__.tag for kind in Event.__args__)


def encode(events: Sequence[Event], salt: bytes) -> tuple[bytes, bool]:
    """Return the payload of one record, and whether it is compressed. ``salt``: 16 random bytes.

    Raises Rejected when the payload would exceed the format's 1 MiB, or could not be read again.
    """
    body = _encoder.encode(events)
    _require_readable(body, events)
    if len(body) + SALT_BYTES > settings.PAYLOAD_BYTES_MAX:
        raise Rejected(
            f"one record of this request would take {len(body)} bytes, more than the {settings.PAYLOAD_BYTES_MAX} the "
            "format allows; put large metadata into a file of the artifact"
        )
    if len(body) >= settings.COMPRESS_FROM_BYTES:
        compressed = _zstandard().ZstdCompressor(level=_COMPRESSION_LEVEL).compress(body)
        if len(compressed) < len(body):
            return salt + compressed, True
    return salt + body, False


def _require_readable(body: bytes, events: Sequence[Event]) -> None:
    # What cannot be read again must never be appended: it would close the store for good. Files are made by us, from
    # what the system says, and are many.
    if events and isinstance(events[0], FileAdded):
        return
    try:
        _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"a value of this request has a type that cannot be stored: {error}") from error


def decode(payload: bytes, *, compressed: bool) -> tuple[Event, ...]:
    """Return the events of a payload. Raises TooNew for an event of a later release, Damaged for anything else."""
    body = _body(payload, compressed=compressed)
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _why_not_decoded(body, error) from error


def decode_files(payload: bytes, *, compressed: bool) -> tuple[FileAdded, ...]:
    """Return the files of a page. Raises Damaged when it holds anything else."""
    body = _body(payload, compressed=compressed)
    try:
        return _files_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _why_not_decoded(body, error) from error


def page_digest(files: Sequence[FileAdded]) -> bytes:
    """Return the digest of a page: BLAKE3-256 of its MessagePack array, without salt and compression."""
    return blake3(_encoder.encode(files)).digest()


def page_digest_of(payload: bytes, *, compressed: bool) -> bytes:
    """Return the digest of a page from its payload, without decoding the files."""
    return blake3(_body(payload, compressed=compressed)).digest()


def content_digest(pages: Sequence[bytes], references: Sequence[Event]) -> bytes:
    """Return the content digest of a version: equal files and references, equal digest.

    ``pages``: the page digests in order. Formula: docs/reference/format.md#content-digest.
    """
    hasher = blake3(b"RNCNVER1")
    hasher.update(len(pages).to_bytes(8, "little"))
    for digest in pages:
        hasher.update(digest)
    hasher.update(_encoder.encode(references))
    return hasher.digest()


def _body(payload: bytes, *, compressed: bool) -> bytes:
    if len(payload) < SALT_BYTES:
        raise Damaged(f"a payload of {len(payload)} bytes is shorter than its {SALT_BYTES} random bytes")
    body = payload[SALT_BYTES:]
    return _decompress(body) if compressed else body


def _decompress(body: bytes) -> bytes:
    zstandard = _zstandard()
    try:
        # The size stands in the frame; it is checked before anything of that size is allocated.
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= settings.PAYLOAD_BYTES_MAX:
            raise Damaged(f"a compressed payload claims {size} bytes, the format allows {settings.PAYLOAD_BYTES_MAX}")
        plain = zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError as error:
        raise Damaged(f"a compressed payload cannot be read: {error}") from error
    assert isinstance(plain, bytes)
    return plain


def _why_not_decoded(body: bytes, error: Exception) -> Damaged | TooNew:
    try:
        for raw in _raw_decoder.decode(body):
            tag = _tag_decoder.decode(raw).tag
            if tag not in _KNOWN_TAGS:
                return TooNew(f"an event of kind {tag!r} was written by a newer release; upgrade runicorn-es")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return Damaged(f"a payload does not decode: {error}")


def _zstandard() -> ModuleType:
    # Ten milliseconds to import, and most commands never meet a compressed record.
    import zstandard  # noqa: PLC0415

    return zstandard
