"""Where everything lies under the root: the path arithmetic of the format, and no access to the disk."""

import hashlib
import os
from pathlib import Path

SEGMENT_SUFFIX = ".seg"
_FOLDER_BYTES_MAX = 200


class Layout:
    """The paths of one store.

    ``lock`` must be held exclusively by whoever appends to ``log`` or cuts its tail; ``incoming`` (the folder
    itself is flocked) is held shared while files are staged and exclusively by whoever reclaims staging.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.identity = root / "store.json"
        self.lock = root / "lock"
        self.log = root / "log"
        self.log_quarantine = root / "log" / "quarantine"
        self.blanking = root / "log" / "blanking"
        self.checkpoint = root / "checkpoint"
        self.pool = root / "pool"
        self._pool = str(self.pool)
        self._log = str(self.log)
        self.incoming = root / "pool" / "incoming"
        self.packs = root / "pool" / "packs"
        self.pool_quarantine = root / "pool" / "quarantine"
        self.projections = root / "projections"
        self.boot = root / "projections" / "boot"
        self.tables = root / "projections" / "tables"
        self.recount = root / "projections" / "recount"
        self.custom = root / "projections" / "custom"
        self.consumers = root / "consumers"
        self.keys = root / "keys"
        self.downloads = root / "downloads"
        self.checkouts = root / "downloads" / ".checkouts"

    def segment(self, first_index: int) -> Path:
        """Return the path of the segment whose first record has this index."""
        return Path(self.segment_text(first_index))

    def segment_text(self, first_index: int) -> str:
        """Return the same as a text, for those who ask for every batch."""
        return f"{self._log}/{first_index:020d}{SEGMENT_SUFFIX}"

    def fan_out(self) -> list[Path]:
        """Return the 256 folders of the pool, made once when the store is made."""
        return [self.pool / f"{number:02x}" for number in range(256)]

    def blob(self, digest: bytes) -> str:
        """Return where the blob of this digest (32 raw bytes) lies: ``pool/<first byte>/<all of it>``, in hex.

        A text, not a Path: this is asked for every file, and a Path costs as much as the system call it is for.
        """
        hexadecimal = digest.hex()
        return f"{self._pool}/{hexadecimal[:2]}/{hexadecimal}"

    def download(self, name: str, version: int) -> Path:
        """Return the folder that ``download()`` without a target fills. A very long name is cut and told apart."""
        folder = name
        if len(name.encode()) > _FOLDER_BYTES_MAX:
            # Still longer than a name that is not cut can be, so no name is that of another's folder.
            cut = name.encode()[: _FOLDER_BYTES_MAX + 13].decode(errors="ignore")
            folder = f"{cut}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.downloads / folder / f"v{version}"

    def checkout(self, target: Path) -> Path:
        """Return the file that remembers what was checked out to a folder."""
        return self.checkouts / hashlib.sha256(os.fsencode(target)).hexdigest()


def first_index_of(segment_name: str) -> int | None:
    """Return the first index that a segment's file name says, or None for a name that is not a segment's."""
    stem, dot, suffix = segment_name.partition(".")
    if dot + suffix != SEGMENT_SUFFIX or len(stem) != 20 or not (stem.isascii() and stem.isdecimal()):
        return None
    return int(stem)
