"""What happened. Past tense, frozen, stored for ever.

Every event is an array on the wire: its tag, then its fields in order. The tag is the wire name for ever; fields
are only added at the end, with a default; docs/reference/events.md lists them. Times are not in the events but in
the header of the record that holds them. Digests are 32 raw bytes of BLAKE3-256.

None can lead back to itself, so the garbage collector need not look at them (``gc=False``), nor at records and rows.
"""

import msgspec


class StoreCreated(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="store", gc=False):
    """The store came into being. The first event of every log."""

    store_id: bytes
    format_version: int


class BatchAppended(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="batch", gc=False):
    """Who appended the batch that holds this record, during which run, under which idempotency key. Once a batch.

    ``undoes``: the index of the record whose events the batch takes back.
    """

    user: str
    host: str
    pid: int
    run: str | None = None
    key: str | None = None
    undoes: int | None = None


class RunStarted(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="run", gc=False):
    """A program began to make and use artifacts. ``config`` is JSON; ``git_dirty`` is None outside a repository."""

    run: str
    project: str
    name: str | None
    config: str
    tags: tuple[str, ...]
    python: str
    command: tuple[str, ...]
    folder: str
    git_commit: str | None = None
    git_dirty: bool | None = None


class RunFinished(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="run-end", gc=False):
    """A run ended, ``finished`` or ``failed``."""

    run: str
    status: str


class VersionCreated(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="version", gc=False):
    """An artifact got a new version.

    pages: indices of the records that hold its files, in path order. references: indices of the records that hold
    its references. digest: of the content (docs/reference/format.md#content-digest). size_bytes: sum over its files.
    """

    name: str
    type: str
    version: int
    run: str | None
    digest: bytes
    pages: tuple[int, ...]
    references: tuple[int, ...]
    file_count: int
    reference_count: int
    size_bytes: int


class FileAdded(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="file", gc=False):
    """A file of a page: its path inside the artifact, the digest of its bytes, its size, its executable bit."""

    path: str
    digest: bytes
    size_bytes: int
    executable: bool = False


class ReferenceAdded(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="reference", gc=False):
    """Something outside the store that belongs to a version. ``attributes`` is a JSON object."""

    uri: str
    checksum: str | None
    size_bytes: int | None
    attributes: str = "{}"


class MetadataChanged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="metadata", gc=False):
    """The metadata of a version is now this JSON object."""

    name: str
    version: int
    metadata: str


class TagsChanged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="tags", gc=False):
    """The tags of a version are now these, sorted."""

    name: str
    version: int
    tags: tuple[str, ...]


class DescriptionChanged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="description", gc=False):
    """The description of a version is now this."""

    name: str
    version: int
    description: str


class AliasSet(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="alias", gc=False):
    """An alias points to this version from now on; ``previous`` is where it pointed, if anywhere."""

    name: str
    alias: str
    version: int
    previous: int | None = None
    reason: str | None = None


class AliasRemoved(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="unalias", gc=False):
    """An alias points nowhere from now on."""

    name: str
    alias: str
    previous: int
    reason: str | None = None


class VersionUsed(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="use", gc=False):
    """A run took a version as its input. Recorded before any byte is handed out."""

    run: str
    name: str
    version: int
    requested: str


class VersionDeleted(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="delete", gc=False):
    """A version is hidden; it can be restored."""

    name: str
    version: int
    reason: str | None = None


class VersionRestored(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="restore", gc=False):
    """A deleted version is back."""

    name: str
    version: int
    reason: str | None = None


class VersionPurged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="purge", gc=False):
    """A version is gone for good. ``blanked`` are the indices of the records whose payloads were blanked for it."""

    name: str
    version: int
    blanked: tuple[int, ...]
    reason: str | None = None


class RunPurged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="purge-run", gc=False):
    """What a run recorded of itself is gone for good; ``blanked`` as for a version."""

    run: str
    blanked: tuple[int, ...]
    reason: str | None = None


class PurgeFinished(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="purged", gc=False):
    """Nothing is left of what was purged up to and with this record; so many blobs went with it."""

    position: int
    count: int
    size_bytes: int


class AliasProtected(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="protect", gc=False):
    """An alias of this name, whatever the artifact, is moved only by force from now on, or so no more."""

    alias: str
    is_protected: bool
    reason: str | None = None


class BlobsPacked(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="pack", gc=False):
    """Blobs went from files of their own into pack files, which took so many bytes more for them."""

    count: int
    size_bytes: int
    packed_bytes: int


class BlobsReclaimed(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="reclaim", gc=False):
    """Blobs that no version named were removed from the pool."""

    count: int
    size_bytes: int


class RetentionSet(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="retention", gc=False):
    """A person set the rule of what to keep for a selection of versions; ``rule`` is a JSON object."""

    selection: str
    rule: str


class RecoveryTruncated(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="recovery", gc=False):
    """A torn, never acknowledged tail was moved out of the log into quarantine before this record was written."""

    segment: str
    offset: int
    size_bytes: int
    quarantine: str


class KeyRotated(msgspec.Struct, frozen=True, array_like=True, tag_field="t", tag="key", gc=False):
    """The keys that sign the log from the next record on, as signed notes write them; the old ones sign this record."""

    ed25519: str
    ml_dsa_44: str


Event = (
    StoreCreated
    | BatchAppended
    | RunStarted
    | RunFinished
    | VersionCreated
    | FileAdded
    | ReferenceAdded
    | MetadataChanged
    | TagsChanged
    | DescriptionChanged
    | AliasSet
    | AliasRemoved
    | VersionUsed
    | VersionDeleted
    | VersionRestored
    | VersionPurged
    | RunPurged
    | PurgeFinished
    | AliasProtected
    | BlobsPacked
    | BlobsReclaimed
    | RetentionSet
    | RecoveryTruncated
    | KeyRotated
)


class Draft(msgspec.Struct, frozen=True):
    """The events of one record before it has a place in the log, and the subject they are about.

    The subject is ``name:v3`` for what belongs to a version, a run id for what belongs to a run, else empty. It stands
    in the header, which is never blanked. ``is_page``: the events are the files of a page. ``is_blankable``: they are
    what a purge of the version forgets.
    """

    subject: str
    events: tuple[Event, ...]
    is_page: bool = False
    is_blankable: bool = False
