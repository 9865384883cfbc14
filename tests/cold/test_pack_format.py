"""The bytes of a pack: documented, frozen, and every flipped one found."""

import contextlib
from pathlib import Path
import random
import struct
import zlib

from blake3 import blake3
import pytest

from cold.conftest import digest_of, noise
from runicorn_es import errors
from runicorn_es.cold import pack

GOLDEN = Path(__file__).parents[1] / "golden" / "packs"
CONTENT = bytes(range(256)) * 400 + b"a" * 5000


def rewritten(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def test_a_pack_of_the_first_release_can_be_read(packs):
    packs.layout.packs.mkdir()
    for path in GOLDEN.iterdir():
        (packs.layout.packs / path.name).write_bytes(path.read_bytes())
    assert packs.whole(digest_of(CONTENT)) == CONTENT
    assert list(packs.verify(contents=True)) == []


def test_a_pack_is_as_its_page_says(packs):
    packs.put(CONTENT)
    for path in packs.files():
        content = path.read_bytes()
        assert content[:8] == b"RNCNPACK"
        assert struct.unpack_from("<II", content, 8) == (1, zlib.crc32(content[:12]))
        magic, recipes, chunks, index_at, _, _, checksum = struct.unpack("<8sQQQIII", content[-44:])
        assert (magic, checksum) == (b"RNCNPEND", zlib.crc32(content[-44:-4]))
        assert index_at + 56 * (recipes + chunks) + 44 == len(content)
        assert path.name == f"{blake3(content[index_at:-44]).digest(8).hex()}.pack"
        at, seen = 16, []
        while at < index_at:
            marker, kind, _encoding, zero, size, stored, digest, crc, own = struct.unpack_from(
                "<4sBBHQQ32sII", content, at
            )
            assert (marker, zero, own) == (b"RNCE", 0, zlib.crc32(content[at : at + 60]))
            payload = content[at + 64 : at + 64 + stored]
            assert zlib.crc32(payload) == crc
            seen.append((digest, at, 64 + stored, size))
            if kind == 2:
                length = payload[0]
                assert payload[1:].startswith(b"fastcdc-2020 mean=65536 min=8192 max=131072")
                parts = list(struct.iter_unpack("<I32s", payload[1 + length :]))
                assert sum(part[0] for part in parts) == size == len(CONTENT)
                assert digest == digest_of(CONTENT)
            at += 64 + stored
        rows = [struct.unpack_from("<32sQQQ", content, index_at + 56 * number) for number in range(recipes + chunks)]
        assert rows == sorted(seen)


@pytest.mark.parametrize("which", ["index", "trailer", "cut"])
def test_without_its_index_a_pack_is_read_from_end_to_end(packs, which):
    contents = [noise(200_000, number) for number in range(3)]
    digests = packs.put(*contents)
    for path in packs.files():
        content = bytearray(path.read_bytes())
        if which == "cut":
            del content[-60:]
        else:
            content[-100 if which == "index" else -10] ^= 0xFF
        rewritten(path, content)
    again = packs.again()
    for digest, content in zip(digests, contents, strict=True):
        assert again.whole(digest) == content
    assert all("index" in fault.message or "nothing" in fault.message for fault in again.verify(contents=True))


def test_every_flipped_byte_is_found_and_none_is_handed_out(packs):
    content = noise(9_000, 5)
    [digest] = packs.put(content)
    rng = random.Random(7)
    for path in packs.files():
        before = path.read_bytes()
        places = set(range(200)) | set(range(len(before) - 200, len(before)))
        for at in sorted(places | {rng.randrange(len(before)) for _ in range(300)}):
            flipped = bytearray(before)
            flipped[at] ^= 1 << rng.randrange(8)
            rewritten(path, flipped)
            again = packs.again()
            assert list(again.verify(contents=True)) != [], f"byte {at} of {path.name}"
            with contextlib.suppress(errors.BlobDamaged, KeyError, errors.TooNew):
                assert again.whole(digest) == content
        rewritten(path, before)


def test_a_damaged_chunk_is_named_with_its_pack_and_place_and_the_blobs_it_hits(packs):
    content = noise(400_000)
    [digest] = packs.put(content)
    path = max(packs.files(), key=lambda path: path.stat().st_size)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    rewritten(path, flipped)

    [fault] = packs.again().verify(contents=True)
    assert (fault.pack, fault.blobs) == (path.stem, (digest,))
    assert fault.offset < len(flipped) // 2 < fault.offset + fault.size_bytes
    with pytest.raises(errors.BlobDamaged, match=f"{path.name}, [0-9]+ bytes from offset {fault.offset}"):
        packs.again().whole(digest)
    with pytest.raises(errors.BlobDamaged), packs.again().open(digest) as opened:
        opened.read()


def test_a_lost_pack_is_told_without_reading_the_others(packs):
    [digest] = packs.put(noise(400_000))
    max(packs.files(), key=lambda path: path.stat().st_size).unlink()
    faults = list(packs.again().verify(contents=False))
    assert faults
    assert all(fault.message.endswith("is in no pack") and fault.blobs == (digest,) for fault in faults)
    with pytest.raises(errors.BlobDamaged, match="is missing from the packs"):
        packs.again().whole(digest)


def test_a_damaged_blob_is_no_longer_taken_for_sound(packs):
    [digest] = packs.put(noise(400_000))
    assert packs.are_sound([digest, digest_of(b"none")]) == [True, False]
    path = max(packs.files(), key=lambda path: path.stat().st_size)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    rewritten(path, flipped)
    with pytest.raises(errors.BlobDamaged):
        packs.whole(digest)
    assert packs.are_sound([digest]) == [False]


def test_one_sound_copy_of_a_chunk_is_enough(packs):
    content = noise(400_000)
    [digest] = packs.put(content)
    for path in packs.files():
        copy = packs.layout.packs / f"{'f' * 16}.pack"
        if path.stat().st_size > 100_000:
            flipped = bytearray(path.read_bytes())
            flipped[len(flipped) // 2] ^= 1
            copy.write_bytes(flipped)
            other = packs.layout.packs / f"{'0' * 16}.pack"
            copy.rename(other)
    assert packs.again().whole(digest) == content


def test_a_pack_of_a_later_format_is_not_guessed_at(packs):
    [digest] = packs.put(b"one")
    for path in packs.files():
        content = bytearray(path.read_bytes())
        content[8:12] = struct.pack("<I", pack.FORMAT + 1)
        content[12:16] = struct.pack("<I", zlib.crc32(content[:12]))
        rewritten(path, content)
    with pytest.raises(errors.TooNew, match="upgrade"):
        packs.again().whole(digest)


@pytest.mark.parametrize(
    "stored", [b"", b"\x05abc", b"\x00" + b"x" * 35, b"\xff"], ids=["empty", "cut name", "cut part", "no name"]
)
def test_a_recipe_that_is_none_is_not_taken_for_one(stored):
    assert pack.decode_recipe(stored) is None


def test_a_chunk_that_says_it_is_enormous_is_not_believed():
    header = pack.entry_header(pack.CHUNK, pack.ZSTD, bytes(32), 1 << 40, b"")
    assert pack.entry_at(header) is None
