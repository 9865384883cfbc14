"""What may be asked of the store. Imperative, never stored; a command may be refused."""

import msgspec

from runicorn_es.events import FileAdded, ReferenceAdded
from runicorn_es.names import Reference
from runicorn_es.rules import Rule, Selection


class Page(msgspec.Struct, frozen=True):
    """Consecutive files of a version, in path order, and the digest of their encoding (32 raw bytes)."""

    digest: bytes
    files: tuple[FileAdded, ...]


class StartRun(msgspec.Struct, frozen=True):
    """Begin a run. ``config`` is a JSON object."""

    run: str
    project: str
    name: str | None
    config: str
    tags: tuple[str, ...]
    python: str
    command: tuple[str, ...]
    folder: str
    git_commit: str | None
    git_dirty: bool | None


class FinishRun(msgspec.Struct, frozen=True):
    """End a run as ``finished`` or ``failed``."""

    run: str
    status: str


class LogArtifact(msgspec.Struct, frozen=True):
    """Make a new version. The blobs of all files are durable in the pool already; ``metadata`` is a JSON object."""

    name: str
    type: str
    run: str | None
    pages: tuple[Page, ...]
    references: tuple[ReferenceAdded, ...]
    digest: bytes
    metadata: str
    tags: tuple[str, ...]
    description: str | None
    aliases: tuple[str, ...]


class UseArtifact(msgspec.Struct, frozen=True):
    """Record that a run takes a version as its input."""

    run: str
    reference: Reference
    type: str | None


class SetAlias(msgspec.Struct, frozen=True):
    """Point an alias at a version, moving it if it exists; only from ``expected`` (0: only if there is none)."""

    reference: Reference
    alias: str
    reason: str | None = None
    expected: int | None = None
    force: bool = False


class RemoveAlias(msgspec.Struct, frozen=True):
    """Remove an alias."""

    name: str
    alias: str
    reason: str | None = None
    force: bool = False


class ProtectAlias(msgspec.Struct, frozen=True):
    """Have aliases of this name moved and removed only by force, or no more."""

    alias: str
    is_protected: bool
    reason: str | None = None


class SetTags(msgspec.Struct, frozen=True):
    """Add tags to a version, and take others from it."""

    reference: Reference
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Describe(msgspec.Struct, frozen=True):
    """Set the description of a version; empty: there is none any more."""

    reference: Reference
    description: str


class SetMetadata(msgspec.Struct, frozen=True):
    """Set keys of a version's metadata (``changes``: a JSON object), after others are removed by their dotted keys."""

    reference: Reference
    changes: str = "{}"
    remove: tuple[str, ...] = ()


class DeleteVersion(msgspec.Struct, frozen=True):
    """Hide a version; ``force`` does so although an alias or the inputs of a run point to it."""

    reference: Reference
    reason: str | None = None
    force: bool = False


class RestoreVersion(msgspec.Struct, frozen=True):
    """Bring a deleted version back."""

    reference: Reference
    reason: str | None = None


class Purge(msgspec.Struct, frozen=True):
    """Forget versions for good, and what a run recorded of itself; ``force`` as for deleting."""

    references: tuple[Reference, ...]
    run: str | None = None
    reason: str | None = None
    force: bool = False


class FinishPurge(msgspec.Struct, frozen=True):
    """Record that nothing is left of what was purged up to and with a record."""

    position: int
    count: int
    size_bytes: int


class SetRetention(msgspec.Struct, frozen=True):
    """Set the rule of what to keep of a selection of versions; None: there is no rule any more."""

    selection: Selection
    rule: Rule | None


class Undo(msgspec.Struct, frozen=True):
    """Take back what a record did; ``force`` as for the command that does so."""

    index: int
    reason: str | None = None
    force: bool = False


class NotePacked(msgspec.Struct, frozen=True):
    """Record that blobs went into pack files."""

    count: int
    size_bytes: int
    packed_bytes: int


class NoteReclaimed(msgspec.Struct, frozen=True):
    """Record that blobs that no version names were removed."""

    count: int
    size_bytes: int


class NoteRecovery(msgspec.Struct, frozen=True):
    """Record that a torn tail was moved into quarantine."""

    segment: str
    offset: int
    size_bytes: int
    quarantine: str


class CreateStore(msgspec.Struct, frozen=True):
    """Begin the log of a store."""

    store_id: bytes
    format_version: int


class RotateKey(msgspec.Struct, frozen=True):
    """Name the keys that sign from the next record on."""

    ed25519: str
    ml_dsa_44: str


Command = (
    StartRun
    | FinishRun
    | LogArtifact
    | UseArtifact
    | SetAlias
    | RemoveAlias
    | SetTags
    | Describe
    | SetMetadata
    | DeleteVersion
    | RestoreVersion
    | ProtectAlias
    | Purge
    | FinishPurge
    | SetRetention
    | Undo
    | NotePacked
    | NoteReclaimed
    | NoteRecovery
    | CreateStore
    | RotateKey
)

# What makes room is carried out when there is none, with the bytes that are kept in reserve.
MAKING_ROOM = (DeleteVersion, RemoveAlias, Purge, FinishPurge, SetRetention, NoteReclaimed, NoteRecovery)
