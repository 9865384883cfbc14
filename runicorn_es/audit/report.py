"""What an audit says: findings, each with where, what, whom it affects, and what to do."""

from typing import Literal

import msgspec

Kind = Literal["log", "checkpoint", "event", "blob", "pack", "tables", "orphan", "tail"]

RESTORE_LOG = "restore the segment from a copy of this store"
RESTORE_PACK = "copy the pack from a copy of this store, or log the affected files again, which heals them"
RESTORE_BLOB = "log the same file again, which heals it, or copy the blob from a copy of this store"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be.

    is_damage: False for what is merely worth knowing: bytes that nothing refers to, a tail that was never acknowledged.
    path: the file, relative to the root. index: of the record; offset and size_bytes: of the bytes in the file, where
    they are known. affected: the versions that cannot be trusted for it. remedy: what to do.
    """

    kind: Kind
    message: str
    remedy: str
    is_damage: bool = True
    path: str | None = None
    index: int | None = None
    offset: int | None = None
    size_bytes: int | None = None
    affected: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What an audit found. ``size`` and ``root`` (hexadecimal) are the head of the log as it lies there."""

    size: int
    root: str
    versions: int
    blobs: int
    blobs_hashed: int
    findings: list[Finding]

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is damaged."""
        return not any(finding.is_damage for finding in self.findings)
