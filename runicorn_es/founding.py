"""Make a store where there is none, or recognize the one that is there.

Making one is a sequence of durable steps, each of which may find itself done already: a process that died half way is
followed by the next. ``store.json`` comes last; who finds it finds a whole store.
"""

from datetime import UTC, datetime
import os
from pathlib import Path

import msgspec

from runicorn_es import durable, settings
from runicorn_es.ambient import Ambient
from runicorn_es.errors import Damaged, Rejected, TooNew, Unknown
from runicorn_es.layout import Layout
from runicorn_es.log import START, Log
from runicorn_es.log.segment import MAGIC, STORE_ID_BYTES
from runicorn_es.pool import create_pool

_HASHES = {"blobs": "blake3-256", "log": "sha-256"}


class Identity(msgspec.Struct, frozen=True):
    """What ``store.json`` says. ``origin`` names the log in checkpoints."""

    format: int
    store_id: str
    created: str
    hashes: dict[str, str]
    origin: str

    @property
    def raw_id(self) -> bytes:
        """Return the 16 bytes of the store's id, as every segment carries them."""
        return bytes.fromhex(self.store_id)


class _Format(msgspec.Struct, frozen=True):
    """What every release can read of a ``store.json``, whatever else is in it."""

    format: int


def recognize(layout: Layout) -> Identity | None:
    """Return the identity of the store at this root, or None where there is none. Raises TooNew, Damaged."""
    try:
        content = layout.identity.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found_format = msgspec.json.decode(content, type=_Format).format
        if found_format > settings.FORMAT_VERSION:
            raise TooNew(
                f"{layout.root} has format {found_format}, this release knows {settings.FORMAT_VERSION}; "
                "upgrade runicorn-es"
            )
        identity = msgspec.json.decode(content, type=Identity)
        if len(identity.raw_id) != STORE_ID_BYTES:
            raise ValueError("the store's id is not 16 bytes")  # noqa: TRY301
    except (msgspec.MsgspecError, ValueError) as error:
        raise Damaged(
            f"{layout.identity} cannot be read ({error}); remove it, and the next writer makes it anew from the log"
        ) from error
    return identity


def require(layout: Layout) -> Identity:
    """Return the identity of the store at this root. Raises Unknown where there is none."""
    identity = recognize(layout)
    if identity is None:
        raise Unknown(
            f"there is no store at {layout.root}; log an artifact there first, or say where it is with storage= "
            "(--storage) or RUNICORN_DIR"
        )
    return identity


def found(layout: Layout, ambient: Ambient) -> Identity:
    """Return the identity of the store at this root, making the store first if need be."""
    if identity := recognize(layout):
        return identity
    if layout.root.exists() and not layout.root.is_dir():
        raise Rejected(f"{layout.root} is a file; a store needs a folder")
    durable.make_folder(layout.root)
    with durable.locked(layout.lock, wait_s=settings.LOCK_WAIT_S, holder=f"pid {os.getpid()}, making the store"):
        return recognize(layout) or _make(layout, ambient)


def _make(layout: Layout, ambient: Ambient) -> Identity:
    for folder in (layout.log, layout.log_quarantine, layout.pool, layout.projections, layout.downloads):
        durable.make_folder(folder)
    # Who may write the store must be able to sign for it: its owner, or the group that it was made for.
    is_shared = bool(layout.root.stat().st_mode & 0o020)
    durable.make_folder(layout.keys, mode=0o770 if is_shared else 0o700)
    create_pool(layout)
    store_id = _id_of_log(layout.segment(START.segment))
    if store_id is None:
        store_id = ambient.token(STORE_ID_BYTES)
        Log(layout, store_id).create()
    created = datetime.fromtimestamp(ambient.now_ns() // 1_000_000_000, UTC).isoformat()
    origin = f"runicorn-es/{store_id.hex()}"
    identity = Identity(settings.FORMAT_VERSION, store_id.hex(), created, _HASHES, origin)
    durable.write_file(layout.identity, msgspec.json.format(msgspec.json.encode(identity), indent=2) + b"\n")
    return identity


def _id_of_log(segment: Path) -> bytes | None:
    """Return the store id that an existing first segment carries: its store.json was lost, or never made."""
    try:
        with segment.open("rb") as file:
            head = file.read(len(MAGIC) + STORE_ID_BYTES)
    except FileNotFoundError:
        return None
    if len(head) < len(MAGIC) + STORE_ID_BYTES or not head.startswith(MAGIC):
        raise Damaged(f"{segment} is not a segment of a log; restore it from a backup, or choose another folder")
    return head[len(MAGIC) :]
