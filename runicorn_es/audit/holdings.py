"""The pool against what the versions name: each blob there and intact, and what is there for nothing."""

from collections.abc import Callable, Iterator
import os
import stat

from runicorn_es import names
from runicorn_es.audit.reading import LogReading
from runicorn_es.audit.report import RESTORE_BLOB, RESTORE_PACK, Finding
from runicorn_es.cold import Packs
from runicorn_es.layout import Layout
from runicorn_es.names import Digest
from runicorn_es.pool import digest_of_name, hash_file, looks_untouched
from runicorn_es.tables import MemoryTables


class Holdings:
    """What a look at the pool gathers."""

    def __init__(self, layout: Layout, log: LogReading) -> None:
        self.findings: list[Finding] = []
        self.hashed = 0
        self._layout = layout
        self._log = log
        rows = MemoryTables()
        self._packs = Packs(layout, rows.reading, rows.writing)
        self.named = dict(self._blobs_named())

    def check(self, *, deep: bool, progress: Callable[[int], None]) -> None:
        """Look at every blob that a version names; hash it if it looks touched, and always if ``deep``."""
        bad = self._check_packs(deep=deep)
        for digest, size_bytes in sorted(self.named.items()):
            if digest not in bad and (problem := self._problem(digest, size_bytes, deep=deep)):
                bad[digest] = problem
            progress(size_bytes)
        affected = self._affected(frozenset(bad))
        for digest, problem in bad.items():
            self.findings.append(
                Finding(
                    "blob",
                    f"blob {Digest(digest)} {problem}",
                    RESTORE_BLOB,
                    path=self._relative(self._layout.blob(digest)),
                    size_bytes=self.named[digest],
                    affected=tuple(affected[digest]),
                )
            )

    def _check_packs(self, *, deep: bool) -> dict[bytes, str]:
        """Look at the packs, to their last byte if ``deep``; returns the named blobs that are lost with them."""
        faults = list(self._packs.verify(contents=deep)) if self._packs.there_are() else []
        hit = {digest for fault in faults for digest in fault.blobs if digest in self.named}
        affected = self._affected(frozenset(hit))
        for fault in faults:
            path = f"pool/packs/{fault.pack}.pack" if fault.pack else "pool/packs"
            self.findings.append(
                Finding(
                    "pack",
                    f"{path}, offset {fault.offset}: {fault.message}",
                    RESTORE_PACK,
                    path=path,
                    offset=fault.offset,
                    size_bytes=fault.size_bytes,
                    affected=tuple(sorted({spec for digest in fault.blobs for spec in affected.get(digest, ())})),
                )
            )
        loose = {digest for digest in hit if os.path.exists(self._layout.blob(digest))}  # noqa: PTH110
        return dict.fromkeys(hit - loose, "cannot be read from its packs")

    def find_orphans(self) -> None:
        """Note what lies in the pool and is named by nothing."""
        for folder in self._layout.fan_out():
            for entry in _entries(str(folder)):
                digest = digest_of_name(entry.name)
                if digest is None:
                    self._note(entry, "is not a blob's name", "move it away; the store did not put it there")
                elif digest not in self.named:
                    self._note(entry, "is named by no version", "nothing: it does no harm but take space")
        for entry in _entries(str(self._layout.incoming)):
            self._note(entry, "is staging of a writer", "nothing: a writer at work removes it, a killed one left it")
        for entry in _entries(str(self._layout.pool_quarantine)):
            self._note(entry, "was moved out of the pool for its wrong bytes", "look at it, then remove it")

    def _blobs_named(self) -> Iterator[tuple[bytes, int]]:
        seen: set[int] = set()
        for key, event in self._log.created.items():
            if key in self._log.purged:
                continue
            for position in event.pages:
                if position not in seen and position in self._log.pages:
                    seen.add(position)
                    yield from self._log.pages[position].blobs

    def _problem(self, digest: bytes, size_bytes: int, *, deep: bool) -> str | None:
        path = self._layout.blob(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None if self._packs.sizes([digest]) == [size_bytes] else "is missing"
        except OSError as error:
            return f"cannot be opened ({error.strerror})"
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return "is not a regular file"
            if looks_untouched(found, size_bytes) and not deep:
                return None
            self.hashed += 1
            if hash_file(descriptor, found.st_size) != digest:
                return "has wrong bytes"
        finally:
            os.close(descriptor)
        return None

    def _affected(self, digests: frozenset[bytes]) -> dict[bytes, list[str]]:
        affected: dict[bytes, list[str]] = {digest: [] for digest in digests}
        if not digests:
            return affected
        harmed = {
            position: found
            for position, page in self._log.pages.items()
            if (found := {digest for digest, _ in page.blobs} & digests)
        }
        for key, event in self._log.created.items():
            if key not in self._log.purged:
                for digest in {digest for position in event.pages for digest in harmed.get(position, ())}:
                    affected[digest].append(names.spec(*key))
        return affected

    def _note(self, entry: os.DirEntry[str], what: str, remedy: str) -> None:
        size_bytes = entry.stat(follow_symlinks=False).st_size
        path = self._relative(entry.path)
        self.findings.append(
            Finding("orphan", f"{path} {what}", remedy, is_damage=False, path=path, size_bytes=size_bytes)
        )

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self._layout.root)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
