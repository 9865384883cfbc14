"""A version as users hold it: every method is one question to the store, and nothing is kept that could go stale."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import chain
import os
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from runicorn_es import names, queries
from runicorn_es.artifact.file_list import ReadWhenAsked
from runicorn_es.artifact.patterns import Patterns
from runicorn_es.errors import BlobDamaged, Unknown
from runicorn_es.events import FileAdded
from runicorn_es.interop import notebook
from runicorn_es.layout import Layout
from runicorn_es.names import Digest
from runicorn_es.pool import Pool
from runicorn_es.pool.materialize import Mode, Progress, Wanted, materialize
from runicorn_es.projections.rows import VersionRow
from runicorn_es.queries import ExternalReference, File, View, to_file, to_reference


class VersionNumber(int):
    """The number of a version that was just logged, with what else one wants to know of it.

    It is an ``int``: ``f"v{version}"`` works. ``spec`` is ``name:v3``, ``digest`` that of the content.
    """

    name: str
    spec: str
    digest: str

    @property
    def version(self) -> int:
        """Return the bare number."""
        return int(self)

    @classmethod
    def of(cls, name: str, version: int, digest: bytes) -> Self:
        """Return the number of this version of this artifact."""
        number = cls(version)
        number.name = name
        number.spec = names.spec(name, version)
        number.digest = str(Digest(digest))
        return number


class Metadata(msgspec.Struct, frozen=True):
    """What is known of a version. ``created_at`` and ``deleted_at`` are in UTC; ``created_by_run`` may be None."""

    name: str
    type: str
    version: int
    status: str
    metadata: dict[str, Any]
    created_at: datetime
    size_bytes: int
    num_files: int
    num_references: int
    aliases: list[str]
    tags: list[str]
    description: str | None
    created_by_run: str | None
    digest: str
    deleted_at: datetime | None = None

    def _repr_html_(self) -> str:
        about = {
            "type": self.type,
            "status": self.status,
            "aliases": ", ".join(self.aliases),
            "tags": ", ".join(self.tags),
            "description": self.description or "",
            "created": f"{self.created_at:%Y-%m-%d %H:%M:%S} UTC",
            "logged by": self.created_by_run or "",
            "size": f"{self.size_bytes:,} bytes in {self.num_files:,} files",
            "digest": self.digest,
        }
        rows = [
            (key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
            for key, value in self.metadata.items()
        ]
        more = notebook.table(("metadata", ""), rows) if rows else ""
        shown = {key: value for key, value in about.items() if value}
        return notebook.card(names.spec(self.name, self.version), shown, more)


class Manifest(msgspec.Struct, frozen=True):
    """The files and references of a version, files in order of their paths. ``total_size`` in bytes.

    ``files`` is a sequence that reads the store when one goes through it, so that the first of a million comes at once.
    """

    total_files: int
    total_size: int
    files: Sequence[File]
    references: list[ExternalReference]

    def _repr_html_(self) -> str:
        rows = [(file.path, f"{file.size:,}", file.digest) for file in self.files]
        for reference in self.references:
            size = "" if reference.size is None else f"{reference.size:,}"
            rows.append((reference.uri, size, reference.checksum or ""))
        title = f"{self.total_files:,} files, {self.total_size:,} bytes, {len(self.references):,} references"
        return notebook.card(title, {}, notebook.table(("path", "bytes", "digest"), rows))


class ArtifactVersion:
    """A version in a store. Get one with ``Run.use_artifact`` or ``Store.get``."""

    def __init__(
        self, row: VersionRow, reading: Callable[[], AbstractContextManager[View]], pool: Pool, layout: Layout
    ) -> None:
        self.name = row.name
        self.type = row.type
        self.version = row.version
        self._reading = reading
        self._pool = pool
        self._layout = layout

    @property
    def is_loaded(self) -> bool:
        """Return True: this is a version of a store, not a draft."""
        return True

    @property
    def full_name(self) -> str:
        """Return ``name:v3``."""
        return names.spec(self.name, self.version)

    @property
    def aliases(self) -> list[str]:
        """Return the aliases that point to it now, ``latest`` among them if it is the latest."""
        with self._reading() as view:
            return queries.aliases_of(view, self._row(view))

    @property
    def tags(self) -> list[str]:
        """Return its tags, sorted."""
        with self._reading() as view:
            return queries.tags(view, self._row(view))

    @property
    def description(self) -> str | None:
        """Return its description, or None."""
        with self._reading() as view:
            return queries.description(view, self._row(view))

    @property
    def metadata(self) -> dict[str, Any]:
        """Return its metadata."""
        with self._reading() as view:
            return queries.metadata(view, self._row(view))

    @property
    def digest(self) -> str:
        """Return its content digest: equal for versions with equal files and references."""
        with self._reading() as view:
            return str(Digest(self._row(view).digest))

    @property
    def created_at(self) -> datetime:
        """Return when it was logged, in UTC."""
        with self._reading() as view:
            return to_datetime(self._row(view).created_ns)

    def get_metadata(self) -> Metadata:
        """Return what is known of it: metadata, times, sizes, aliases, tags, description, run, status."""
        with self._reading() as view:
            return describe(view, self._row(view))

    def get_manifest(self) -> Manifest:
        """Return its list of files and references; of the files, only what one looks at is read, and then."""
        with self._reading() as view:
            row = self._row(view)
            references = [to_reference(reference) for reference in queries.references(view, row)]
        files = ReadWhenAsked(row.file_count, self.files)
        return Manifest(row.file_count, row.size_bytes, files, references)

    def files(self, prefix: str = "") -> Iterator[File]:
        """Yield its files in order of their paths; only those whose path begins with ``prefix``. Reads as it goes."""
        return (to_file(file) for file in self._files(prefix))

    def open(self, path: str) -> BinaryIO:
        """Open one of its files for reading, straight from the pool.

        Raises Unknown (a LookupError) when it has no such file, BlobDamaged when its bytes are not what was logged.

        Example: ``with version.open("weights/model.pth") as file: file.read(4)``
        """
        with self._reading() as view:
            file = queries.file(view, self._row(view), path)
        try:
            return self._pool.open(file.digest, file.size_bytes)
        except BlobDamaged as error:
            raise self._naming_versions(error) from error

    def download(
        self,
        target_dir: str | os.PathLike[str] | None = None,
        *,
        paths: Sequence[str] = (),
        mode: Mode = "link",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Make its files below a folder and return the folder.

        target_dir: made if missing; without it a stable folder in the store, where a second time only looks. paths:
        only these files, such as ``train/labels.csv``, ``train`` with all below it, or ``train/**/*.png``. mode:
        ``link`` makes read-only hard links, which take no space; ``copy`` makes writable files; ``reflink`` makes
        writable ones that share their blocks, where the file system can. overwrite: replace files with other content,
        which are otherwise refused. Nothing outside the folder is touched, and no symbolic link in it is followed.

        Raises Unknown when ``paths`` mean no file, Rejected (something is in the way), BlobDamaged (the pool's bytes
        are not what was logged; they are not handed out, and the message names every version that has them).
        """
        if mode not in ("link", "copy", "reflink"):
            raise ValueError(f"mode must be 'link', 'copy' or 'reflink', not {mode!r}")
        target = self._layout.download(self.name, self.version) if target_dir is None else Path(target_dir).expanduser()
        try:
            materialize(
                self._pool, self.wanted(paths), target, mode=mode, overwrite=overwrite, progress=progress or _silently
            )
        except BlobDamaged as error:
            raise self._naming_versions(error) from error
        if target_dir is None:
            # When it was last asked for: what nobody asks for is reclaimed one day.
            os.utime(target)
        return target

    def wanted(self, paths: Sequence[str] = ()) -> Iterator[Wanted]:
        """Return its files as the pool is asked for them."""
        files = self._files_at(paths) if paths else self._files("")
        return (Wanted(file.path, file.digest, file.size_bytes, file.executable) for file in files)

    def logged_by(self) -> str | None:
        """Return the id of the run that logged it, or None when it was added from the shell."""
        with self._reading() as view:
            return self._row(view).run

    def used_by(self) -> list[str]:
        """Return the ids of the runs that used it, oldest first."""
        with self._reading() as view:
            uses = queries.used_by(view, self.name, self.version)
        return [use.run for use in sorted(uses, key=lambda use: use.position)]

    def __repr__(self) -> str:
        return f"<ArtifactVersion {self.full_name!r} ({self.type})>"

    def _repr_html_(self) -> str:
        return self.get_metadata()._repr_html_()

    def _row(self, view: View) -> VersionRow:
        return queries.version(view, self.name, self.version)

    def _files(self, prefix: str) -> Iterator[FileAdded]:
        """Yield files with no view open meanwhile: a caller may take as long as it likes over each."""
        with self._reading() as view:
            row = self._row(view)
            positions = queries.pages_with(view, row, prefix)
        for position in positions:
            with self._reading() as view:
                page = view.page(position)
            for file in page:
                if file.path.startswith(prefix):
                    yield file
                elif file.path.encode() > prefix.encode():
                    return

    def _files_at(self, paths: Sequence[str]) -> Iterator[FileAdded]:
        """Return the files that some patterns mean. Raises Unknown if there is none."""
        patterns = Patterns([paths] if isinstance(paths, str) else paths)
        meant = (file for file in self._files(patterns.prefix) if patterns.matches(file.path))
        first = next(meant, None)
        if first is None:
            raise Unknown(f"{self.full_name} has no file at {patterns}; `runicorn files {self.full_name}` shows all")
        return chain([first], meant)

    def _naming_versions(self, error: BlobDamaged) -> BlobDamaged:
        with self._reading() as view:
            affected = queries.versions_naming(view, error.digest)
        return BlobDamaged(f"{error}; affected: {', '.join(affected)}", error.digest)


def describe(view: View, row: VersionRow) -> Metadata:
    """Return what is known of a version."""
    return Metadata(
        name=row.name,
        type=row.type,
        version=row.version,
        status=row.status,
        metadata=queries.metadata(view, row),
        created_at=to_datetime(row.created_ns),
        size_bytes=row.size_bytes,
        num_files=row.file_count,
        num_references=row.reference_count,
        aliases=queries.aliases_of(view, row),
        tags=queries.tags(view, row),
        description=queries.description(view, row),
        created_by_run=row.run,
        digest=str(Digest(row.digest)),
        deleted_at=to_datetime(row.deleted_ns) if row.deleted_ns else None,
    )


def to_datetime(time_ns: int) -> datetime:
    """Return nanoseconds since the epoch as a time in UTC, cut to microseconds."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
