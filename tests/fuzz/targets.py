"""What is fuzzed: each reader of bytes that others may have written, and what must hold whatever they are.

Of each: inputs to begin with, how they are changed with an eye on their structure, and what one input must not do. Only
the documented exceptions are caught here; any other one, and any assertion, is a finding.
"""

import atexit
import base64
from collections.abc import Callable, Iterator
import hashlib
import json
import os
from pathlib import Path
import shutil
import struct
import tempfile
from typing import Any, NamedTuple
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import msgspec
import zstandard

from fuzz.mutations import Changing, values_of
from runicorn_es import codec, merkle, proofs, settings
from runicorn_es.errors import Damaged, Rejected, TooNew
from runicorn_es.events import (
    AliasSet,
    BatchAppended,
    FileAdded,
    KeyRotated,
    PurgeFinished,
    ReferenceAdded,
    RetentionSet,
    RunPurged,
    RunStarted,
    StoreCreated,
    VersionCreated,
    VersionPurged,
)
from runicorn_es.log import Record, record, segment
from runicorn_es.log.record import Header
from runicorn_es.signing import Head, Keys, Retired, Signer, Trust, claimed_head
from runicorn_es.signing.checkpoint import body_of, read_checkpoint
from runicorn_es.signing.keys import Locked, Seeds
from runicorn_es.signing.note import parse, parse_key, signature_line

ORIGIN = "runicorn-es/00112233445566778899aabbccddeeff"
SALT = bytes(range(16))
SIGNER = Signer(ORIGIN, Seeds(bytes(32), bytes(32)))
SUCCESSOR = Signer(ORIGIN, Seeds(b"1" * 32, b"2" * 32))
KEYS = (SIGNER.ed25519, SIGNER.ml_dsa_44)
TRUST = Trust(tuple((key, None) for key in KEYS))


class Target(NamedTuple):
    """A reader of bytes: its first inputs, its check of one, and how one is changed."""

    seeds: list[bytes]
    check: Callable[[bytes], None]
    change: Callable[[bytes, Changing], bytes]
    donors: list[Any]
    bytes_max: int


EVENTS = [
    (StoreCreated(bytes(16), 1), BatchAppended("user", "host", 1)),
    (
        BatchAppended("user", "host", 1, "r-1", "key"),
        RunStarted("r-1", "project", None, '{"a": 1}', ("tag",), "3.11", ("python", "x.py"), "/tmp", "c0ffee", True),
    ),
    (
        VersionCreated("m", "model", 1, "r-1", bytes(32), (2, 3), (4,), 2, 1, 300),
        AliasSet("m", "best", 1, None, "because"),
    ),
    (FileAdded("a/b.bin", bytes(32), 100), FileAdded("a/c.bin", bytes(range(32)), 200, True)),
    (ReferenceAdded("s3://bucket/key", "sha256:00", 12, '{"a": 1}'), RetentionSet("m", '{"keep": 3}')),
    (VersionPurged("m", 1, (2, 3), "gdpr"), RunPurged("r-1", (1,)), PurgeFinished(5, 1, 100)),
    (KeyRotated(str(SUCCESSOR.ed25519), str(SUCCESSOR.ml_dsa_44)),),
]


# Records: the reader of segment files.


def _segment(payloads: list[bytes], made_at_ns: int = 1) -> list[Record]:
    """Return records as a log has them, each a batch of its own but the second and third."""
    found: list[Record] = []
    leaf, offset = record.NO_LEAF, segment.HEADER_BYTES
    for index, payload in enumerate(payloads):
        flags = record.COMMIT if index == 2 else record.FIRST if index == 1 else record.FIRST | record.COMMIT
        header = Header(index, made_at_ns, flags, f"m:v{index}", leaf, hashlib.sha256(payload).digest())
        encoded, leaf = record.encode(header, payload)
        found.append(
            Record(
                index, made_at_ns, flags, header.subject, header.previous_leaf, header.commitment, leaf, payload,
                0, offset, len(encoded),
            )
        )  # fmt: skip
        offset += len(encoded)
    return found


def _encoded(one: Record) -> bytes:
    header = Header(one.index, one.time_ns, one.flags, one.subject, one.previous_leaf, one.commitment)
    return record.encode(header, one.payload)[0]


RECORDS = _segment([codec.encode(events, SALT)[0] for events in EVENTS])
SEGMENT_HEADER = segment.encode_header(bytes(16), segment.START)
_file = os.memfd_create("segment")


def check_records(content: bytes) -> None:
    whole = SEGMENT_HEADER + content
    os.ftruncate(_file, 0)
    os.pwrite(_file, whole, 0)
    at = len(SEGMENT_HEADER)
    found: list[Record] = []
    try:
        found.extend(segment.records(_file, segment.START))
    except TooNew:
        found.clear()
    for index, one in enumerate(found):
        assert (one.index, one.offset) == (index, at)
        at += one.size_bytes
        _check_record(one, whole)
    assert at <= len(whole)
    assert segment.was_synced(_file, segment.START) in {True, False}
    for offset in range(min(len(content), 16)):
        one = record.decode(content, offset, segment=0, base=len(SEGMENT_HEADER))
        assert record.bytes_needed(content, offset) >= record.FRAME.size
        if one is not None:
            _check_record(one, whole)
            record.is_blank(one)
            record.is_sound(one)


def _check_record(one: Record, whole: bytes) -> None:
    """What decodes is what stands there, and comes back when it is written and read again."""
    stands = whole[one.offset : one.offset + one.size_bytes]
    assert (len(stands), stands.endswith(one.payload)) == (one.size_bytes, True)
    again = record.decode_header(record.encode_header(one))
    assert again == Header(one.index, one.time_ns, one.flags, one.subject, one.previous_leaf, one.commitment)


def change_records(content: bytes, changing: Changing) -> bytes:
    if changing.is_time_for(0.2):
        return changing.bytes(content)
    frames = list(_frames(content))
    if not frames:
        return changing.bytes(content)
    at = changing.choose(range(len(frames)))
    header, payload = frames[at]
    match changing.choose(range(6)):
        case 0:
            frames[at:at] = [frames[at]]
        case 1:
            del frames[at]
        case 2:
            frames[at] = header, changing.bytes(payload)
        case 3:
            frames[at] = changing.bytes(header), payload
        case _:
            try:
                tree = msgspec.msgpack.decode(header)
                frames[at] = msgspec.msgpack.encode(changing.tree(tree)), payload
            except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError, TypeError):
                frames[at] = changing.bytes(header), payload
    if changing.is_time_for(0.5):
        frames = list(_chained(frames))
    return b"".join(_frame(*one) for one in frames)


def _frames(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + record.FRAME.size <= len(content):
        header_bytes, payload_bytes, _ = record.FRAME.unpack_from(content, at)
        header_at = at + record.FRAME.size
        at = header_at + header_bytes + payload_bytes
        if at > len(content):
            return
        yield content[header_at : header_at + header_bytes], content[header_at + header_bytes : at]


def _frame(header: bytes, payload: bytes) -> bytes:
    lengths = struct.pack("<II", len(header), len(payload))
    return lengths + struct.pack("<I", zlib.crc32(header, zlib.crc32(lengths))) + header + payload


def _chained(frames: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Give each header its place in a chain, so that what else is odd of it is read."""
    leaf = record.NO_LEAF
    for index, (header, payload) in enumerate(frames):
        try:
            fields = msgspec.msgpack.decode(header)
            fields[0], fields[4], fields[5] = index, leaf, hashlib.sha256(payload).digest()
            changed = msgspec.msgpack.encode(fields)
        except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError, TypeError, IndexError, KeyError):
            changed = header
        leaf = merkle.leaf_hash(changed)
        yield changed, payload


# Payloads: the first byte says how the rest is meant.

PLAIN, COMPRESSED, TO_COMPRESS = range(3)


def check_payload(content: bytes) -> None:
    kind, payload = content[0] % 3 if content else 0, content[1:]
    if kind == TO_COMPRESS:
        payload = payload[: codec.SALT_BYTES] + zstandard.ZstdCompressor(level=1).compress(payload[codec.SALT_BYTES :])
    is_compressed = kind != PLAIN
    for decode in (codec.decode, codec.decode_files):
        try:
            events = decode(payload, compressed=is_compressed)
        except (Damaged, TooNew):
            continue
        assert isinstance(events, tuple)
        try:
            again, is_compressed_again = codec.encode(events, SALT)
        except Rejected:
            # With the defaults that were left out it is longer.
            assert len(payload) > settings.PAYLOAD_BYTES_MAX // 8 or is_compressed
            continue
        assert decode(again, compressed=is_compressed_again) == events
    try:
        assert len(codec.page_digest_of(payload, compressed=is_compressed)) == 32
    except Damaged:
        return


def change_payload(content: bytes, changing: Changing) -> bytes:
    if changing.is_time_for(0.3) or not content:
        return changing.bytes(content)
    kind, salt, body = content[0] % 3, content[1:17], content[17:]
    try:
        if kind == COMPRESSED:
            body = zstandard.ZstdDecompressor().stream_reader(body).read(settings.PAYLOAD_BYTES_MAX)
        changed = msgspec.msgpack.encode(changing.tree(msgspec.msgpack.decode(body)))
        if kind == COMPRESSED:
            changed = zstandard.ZstdCompressor(level=1).compress(changed)
    except (msgspec.MsgspecError, zstandard.ZstdError, UnicodeError, OverflowError, RecursionError, TypeError):
        return changing.bytes(content)
    return bytes([kind]) + salt + changed


def _payloads() -> Iterator[bytes]:
    for events in EVENTS:
        payload, _ = codec.encode(events, SALT)
        body = payload[codec.SALT_BYTES :]
        yield bytes([PLAIN]) + payload
        yield bytes([TO_COMPRESS]) + payload
        yield bytes([COMPRESSED]) + SALT + zstandard.ZstdCompressor(level=1).compress(body)


# Signed texts: notes, checkpoints and keys. The first byte says whether the text is a body that we sign.

AS_IT_IS, TO_SIGN = range(2)


def check_signed_text(content: bytes) -> None:
    kind = content[0] % 2 if content else 0
    # As a command line has what is not UTF-8.
    text = content[1:].decode(errors="surrogateescape")
    if kind == TO_SIGN:
        text = content[1:].decode(errors="replace")
        body = f"{text}\n".encode()
        text = f"{text}\n\n{signature_line(SIGNER.ed25519, SIGNER._ed25519.sign(body))}"
    _check_note(text)
    _check_key(text)
    head = TRUST.head(text)
    if head is not None:
        # Nothing is believed that was not signed with these keys; and we sign here only what is asked for.
        assert kind == TO_SIGN or text.startswith(tuple(body_of(ORIGIN, one) + "\n" for one in HEADS))
        assert text.startswith(body_of(ORIGIN, head) + "\n")


def _check_note(text: str) -> None:
    try:
        note = parse(text)
    except ValueError:
        return
    lines = [f"\N{EM DASH} {one.name} {_base64(one.key_id + one.content)}\n" for one in note.signatures]
    assert f"{note.body}\n{''.join(lines)}" == text
    try:
        origin, head, again = read_checkpoint(text)
    except ValueError:
        return
    assert (again, body_of(origin, head)) == (note, note.body)
    assert 0 <= head.size < 1 << 63


def _check_key(text: str) -> None:
    try:
        key = parse_key(text)
    except ValueError:
        return
    assert str(key) == text.strip()
    Trust(((key, None),)).head(COSIGNED[-1])


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def change_signed_text(content: bytes, changing: Changing) -> bytes:
    if changing.is_time_for(0.3) or not content:
        return changing.bytes(content)
    # Lines, and their words, are the structure.
    separator = changing.choose([" ", "\n", "+"])
    changed = changing.tree(content[1:].decode(errors="replace").split(separator))
    parts = [str(one) for one in changed] if isinstance(changed, list) else [str(changed)]
    return content[:1] + separator.join(parts).encode(errors="replace")


HEADS = [Head(size, merkle.root([one.leaf for one in RECORDS[:size]])) for size in range(len(RECORDS) + 1)]
SIGNED = [SIGNER.sign(head) for head in HEADS]
COSIGNED = [text + SIGNER.cosign(head, 1_700_000_000) for text, head in zip(SIGNED, HEADS, strict=True)]


def _signed_texts() -> Iterator[bytes]:
    for text in (SIGNED[0], SIGNED[-1], COSIGNED[-1], str(KEYS[0]), str(KEYS[1])):
        yield bytes([AS_IT_IS]) + text.encode()
    for head in (HEADS[0], HEADS[-1]):
        yield bytes([TO_SIGN]) + body_of(ORIGIN, head).removesuffix("\n").encode()


# Bundles of proofs.

_later = _segment([*(one.payload for one in RECORDS), codec.encode(EVENTS[2], SALT)[0]])
_fork = _segment([*(one.payload for one in RECORDS[:4]), *(codec.encode(EVENTS[1], SALT)[0] for _ in range(3))])


def _bundles() -> Iterator[bytes]:
    leaves = [one.leaf for one in RECORDS]
    for one in RECORDS:
        yield proofs.encode(proofs.prove_inclusion(one, leaves, COSIGNED[-1]))
    for old in (1, 4, 7):
        yield proofs.encode(proofs.prove_consistency(SIGNED[old], old, leaves, COSIGNED[-1]))
    # After the keys were rotated by the last record: signed by the successor, endorsed by the first key.
    endorsement = proofs.prove_inclusion(RECORDS[-1], leaves, COSIGNED[-1])
    later = [one.leaf for one in _later]
    head = Head(len(later), merkle.root(later))
    signed = SUCCESSOR.sign(head) + SUCCESSOR.cosign(head, 1_700_000_001)
    yield proofs.encode(proofs.prove_inclusion(_later[-1], later, signed, (endorsement,)))
    yield proofs.encode(proofs.prove_consistency(SIGNED[4], 4, later, signed, (endorsement,)))
    forked = [one.leaf for one in _fork]
    other = SIGNER.sign(Head(len(forked), merkle.root(forked)))
    yield proofs.encode(
        proofs.Fork(
            proofs.prove_inclusion(RECORDS[4], leaves, COSIGNED[-1]), proofs.prove_inclusion(_fork[4], forked, other)
        )
    )


def _heads(chain: list[Record]) -> set[tuple[int, str]]:
    leaves = [one.leaf for one in chain]
    return {(size, merkle.root(leaves[:size]).hex()) for size in range(len(leaves) + 1)}


HISTORIES = [_heads(chain) for chain in (RECORDS, _later, _fork)]
# What may be proven of a record: all of it, or all but its payload.
FACTS = {
    (one.index, one.time_ns, one.subject, events)
    for chain in (RECORDS, _later, _fork)
    for one in chain
    for events in (codec.decode(one.payload, compressed=False), ())
}


def check_bundle(content: bytes) -> None:
    key = KEYS[len(content) % len(KEYS)]
    try:
        proven = proofs.verify(content, str(key))
    except (Rejected, TooNew):
        return
    # Whatever was changed: what is proven is what was signed.
    head = (proven.size, proven.root)
    assert any(head in history for history in HISTORIES)
    if proven.kind == "consistency":
        _, old, _ = read_checkpoint(msgspec.json.decode(content)["old"])
        assert old.size == proven.old_size
        assert any({head, (old.size, old.root.hex())} <= history for history in HISTORIES)
    else:
        assert (proven.index, proven.time_ns, proven.subject, proven.events) in FACTS
    if proven.kind == "fork":
        other = (proven.other_size, proven.other_root)
        assert any(other in history for history in HISTORIES)
        assert not any({head, other} <= history for history in HISTORIES)


def change_bundle(content: bytes, changing: Changing) -> bytes:
    if changing.is_time_for(0.1):
        return changing.bytes(content)
    try:
        return json.dumps(changing.tree(json.loads(content))).encode()
    except (ValueError, RecursionError):
        return changing.bytes(content)


BUNDLES = list(_bundles())


# The files of the folder with the keys. The first byte says which of them.

SCRYPT_BYTES_MAX = 1 << 20
_folder = Path(tempfile.mkdtemp(prefix="keys-"))
atexit.register(shutil.rmtree, _folder)
_keys = Keys(_folder, ORIGIN)


def _check_secret(_: Path) -> None:
    if _is_cheap(_keys):
        seeds = _keys._unlocked(lambda: "passphrase")
        assert len(seeds.ed25519) == len(seeds.ml_dsa_44) == 32


def _check_retired(_: Path) -> None:
    assert isinstance(_keys.trust(), Trust)
    for one in _keys.retired():
        try:
            proofs.read_endorsement(bytes(one.endorsement))
        except msgspec.MsgspecError:
            continue


def _check_public(_: Path) -> None:
    assert _keys.retired() == []
    assert all(str(key) == _keys.public() for key, _ in _keys.trust().keys)


def _check_checkpoint(path: Path) -> None:
    claimed, believed = claimed_head(path.read_bytes(), ORIGIN), TRUST.head_in(path)
    assert believed in {None, *HEADS}
    assert believed in {None, claimed}


KEY_FILE_CHECKS = [
    (_folder / "signing.key", _check_secret),
    (_folder / "retired" / "00000000.json", _check_retired),
    (_folder / "ed25519.vkey", _check_public),
    (_folder / "checkpoint", _check_checkpoint),
]
SECRET, RETIRED, PUBLIC, CHECKPOINT = range(len(KEY_FILE_CHECKS))


def check_key_file(content: bytes) -> None:
    path, check = KEY_FILE_CHECKS[content[0] % len(KEY_FILE_CHECKS) if content else SECRET]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content[1:])
    try:
        check(path)
    except (Damaged, Rejected):
        return
    finally:
        path.unlink()


def _is_cheap(keys: Keys) -> bool:
    """Return whether the passphrase costs less than a bad file may make it cost, a gigabyte and seconds."""
    if not keys.is_locked():
        return True
    locked = keys._read(keys._secret)
    return isinstance(locked, Locked) and 128 * locked.cost * locked.block <= SCRYPT_BYTES_MAX


def change_key_file(content: bytes, changing: Changing) -> bytes:
    if changing.is_time_for(0.3) or not content:
        return changing.bytes(content)
    try:
        return content[:1] + json.dumps(changing.tree(json.loads(content[1:]))).encode()
    except (ValueError, RecursionError):
        return content[:1] + changing.bytes(content[1:])


def _key_files() -> Iterator[bytes]:
    seeds = Seeds(bytes(32), bytes(32))
    salt, nonce = bytes(16), bytes(12)
    key = hashlib.scrypt(b"passphrase", salt=salt, n=16, r=1, p=1, dklen=32)
    box = AESGCM(key).encrypt(nonce, seeds.ed25519 + seeds.ml_dsa_44, ORIGIN.encode())
    retired = Retired(tuple(map(str, KEYS)), len(RECORDS), msgspec.Raw(BUNDLES[len(RECORDS) - 1]))
    for secret in (seeds, Locked(16, 1, salt, nonce, box)):
        yield bytes([SECRET]) + msgspec.json.encode(secret)
    yield bytes([RETIRED]) + msgspec.json.encode(retired)
    yield bytes([PUBLIC]) + f"{KEYS[0]}\n".encode()
    yield bytes([CHECKPOINT]) + COSIGNED[-1].encode()


KEY_FILES = list(_key_files())

TARGETS = {
    "records": Target(
        [b"".join(map(_encoded, RECORDS)), *map(_encoded, RECORDS[:2])],
        check_records,
        change_records,
        [record.NO_LEAF, RECORDS[1].leaf, RECORDS[1].commitment, "m:v1", record.blank_payload(100), [], 2**64 - 1],
        8 * settings.KIB,
    ),
    "payload": Target(
        list(_payloads()),
        check_payload,
        change_payload,
        [value for events in EVENTS for value in values_of(msgspec.to_builtins(events, builtin_types=(bytes,)))],
        8 * settings.KIB,
    ),
    "signed-text": Target(
        list(_signed_texts()),
        check_signed_text,
        change_signed_text,
        [word for text in (SIGNED[-1], COSIGNED[3], *map(str, KEYS)) for word in text.split()],
        16 * settings.KIB,
    ),
    "bundle": Target(
        BUNDLES,
        check_bundle,
        change_bundle,
        [value for bundle in BUNDLES for value in values_of(json.loads(bundle))],
        64 * settings.KIB,
    ),
    "key-file": Target(
        KEY_FILES,
        check_key_file,
        change_key_file,
        [value for one in KEY_FILES[:3] for value in values_of(json.loads(one[1:]))],
        32 * settings.KIB,
    ),
}
