"""What users ask of a store and have it do. Every method is one command or one query."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from runicorn_es import codec, decisions, names, queries
from runicorn_es.artifact.draft import Artifact
from runicorn_es.artifact.paging import pages_of, require_tree
from runicorn_es.artifact.stored import ArtifactVersion, VersionNumber
from runicorn_es.audit import Report, audit
from runicorn_es.checkout import Checkout, check_out, merged
from runicorn_es.commands import Command, DeleteVersion, LogArtifact, RemoveAlias, RestoreVersion, SetAlias
from runicorn_es.errors import Rejected, WriteFailed
from runicorn_es.events import Event, FileAdded, VersionCreated
from runicorn_es.location import storage_root
from runicorn_es.log import Record
from runicorn_es.names import parse_reference
from runicorn_es.notary import Notary
from runicorn_es.pool import size_bytes_of
from runicorn_es.pool.ingest import Progress, Source, Stored, taking_in
from runicorn_es.pool.materialize import Mode
from runicorn_es.pool.stat_cache import TableStatCache
from runicorn_es.projections.rows import AliasRow, ArtifactRow, RunRow, VersionRow
from runicorn_es.queries import Direction, Lineage, Stats
from runicorn_es.tables import TablesFailed


class Store(Notary):
    """A store of artifacts in a folder. Open one with ``runicorn_es.open_store``; close it, or use it in a ``with``.

    One object serves all threads of a process; after a fork, the child opens its own files by itself.
    """

    def log_artifact(
        self,
        artifact: Artifact,
        *,
        run: str | None = None,
        aliases: Sequence[str] = (),
        key: str | None = None,
        progress: Progress | None = None,
    ) -> VersionNumber:
        """Store an artifact's files and give it its next version number. Durable when this returns.

        run: the id of the run that made it. aliases: to set on the new version, in the same step. key: an idempotency
        key; a second call with the same key returns the version of the first. progress: told bytes as they are read.

        Raises Rejected (nothing to log, the name is taken by another type, a file changed while it was read), Busy, or
        the OSError of a full disk; then nothing was logged.
        """
        self._require_writable()
        if key is not None and (events := self.repeated(key)) is not None:
            return _number_of(_the_version(events, artifact.name), artifact)
        wish = self.wish_for(artifact, run, aliases)
        with self.taken_in([wish], progress or _silently) as [command]:
            created = _the_version(self.execute(command, run=run, key=key), artifact.name)
        return _number_of(created, artifact)

    def batch(self, *, progress: Progress | None = None) -> "Batch":
        """Return a block that gathers what is to be logged and changed, and does it all at its end.

        For bulk: the files of all versions are made durable together, and so are all events. If one thing is refused,
        or the block ends with an exception, nothing is done. Only a crash in the middle of its end may leave the first
        of them done, each whole. progress: told bytes as they are read.

        Example: ``with store.batch() as batch: batch.log_artifact(one); batch.log_artifact(other)``
        """
        self._require_writable()
        return Batch(self, progress or _silently)

    def wish_for(self, artifact: Artifact, run: str | None, aliases: Sequence[str]) -> "Wish":
        """Return a wish to log an artifact, of which all was checked that can be before any file is read."""
        parsed = tuple(dict.fromkeys(names.parse_alias(alias) for alias in aliases if alias != names.LATEST))
        sources = _outside(self.layout.root, artifact.staged_sources())
        if not sources and not artifact.staged_references:
            decisions.refuse_empty(artifact.name)
        require_tree([path for path, _ in sources])
        with self.reading() as view:
            decisions.require_loggable(view, artifact.name, artifact.type)
        return Wish(artifact, run, parsed, sources)

    @contextmanager
    def taken_in(self, wishes: "Sequence[Wish]", progress: Progress) -> Iterator[list[LogArtifact]]:
        """Take the files of several versions into the pool; yields the commands that log them.

        The block carries them out; only then are the sources of mode ``move`` removed.
        """
        cache = TableStatCache(self._reading_rows, self._writing_rows)
        token = f"{os.getpid()}-{self._ambient.token(8).hex()}"
        sources = [source for wish in wishes for _, source in wish.sources]
        intake = taking_in(self.pool, sources, token=token, cache=cache, progress=progress)
        with self._poisoned_by(WriteFailed), intake as stored:
            remaining = iter(stored)
            yield [wish.command([next(remaining) for _ in wish.sources]) for wish in wishes]
        # What was logged is logged, whatever becomes of what is only remembered.
        with suppress(TablesFailed, OSError):
            cache.flush()
            self.pool.hashed.flush()

    def alias(self, spec: str, alias: str, *, reason: str | None = None, expected: int | None = None) -> None:
        """Point an alias at a version, moving it if it exists.

        expected: the number of the version to which it must point now, or 0 if it must not exist yet. Of several who
        expect the same, one succeeds and the others get Conflict.

        Raises Unknown, Conflict, Rejected for ``latest`` and ``v3``.
        """
        self.execute(SetAlias(parse_reference(spec), names.parse_alias(alias), reason, expected))

    def unalias(self, name: str, alias: str | None = None, *, reason: str | None = None) -> None:
        """Remove an alias: ``unalias("m", "production")`` or ``unalias("m:production")``. Raises Unknown."""
        reference = parse_reference(name if alias is None else f"{name}:{alias}")
        if reference.alias is None:
            raise Rejected(f"{reference.text!r} names no alias to remove; write name:alias, and not 'latest'")
        self.execute(RemoveAlias(reference.name, reference.alias, reason))

    def delete(self, spec: str, *, reason: str | None = None, force: bool = False) -> None:
        """Hide a version; ``restore`` brings it back. Its number is never given again.

        Raises Rejected, with the reasons, when an alias points to it or a live version was made from it; not with
        ``force``.
        """
        self.execute(DeleteVersion(parse_reference(spec), reason, force))

    def restore(self, spec: str, *, reason: str | None = None) -> None:
        """Bring a deleted version back with everything it had."""
        self.execute(RestoreVersion(parse_reference(spec), reason))

    def artifacts(
        self, type: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[ArtifactRow]:
        """Return the artifacts that have a live version, by name; of one type if given.

        after, limit: a page of them: those beyond this name, and so many.
        """
        with self.reading() as view:
            return queries.artifacts(view, type, after=after, limit=limit)

    def versions(
        self, name: str, *, deleted: bool = False, after: int | None = None, limit: int | None = None
    ) -> list[VersionRow]:
        """Return the live versions of an artifact, oldest first; with ``deleted`` all. Raises Unknown.

        after, limit: a page of them: those beyond this number, and so many.
        """
        with self.reading() as view:
            return queries.versions(view, name, deleted=deleted, after=after, limit=limit)

    def get(self, spec: str) -> ArtifactVersion:
        """Return a version by ``name``, ``name:v3``, ``name:alias`` or ``name@digest-prefix``. Records nothing."""
        with self.reading() as view:
            row = queries.resolve(view, parse_reference(spec))
        return self.version_of(row)

    def version_of(self, row: VersionRow) -> ArtifactVersion:
        """Return the version of a row."""
        return ArtifactVersion(row, self.reading, self.pool, self.layout)

    def checkout(
        self,
        specs: str | Sequence[str],
        target: str | os.PathLike[str],
        *,
        mode: Mode = "link",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Checkout:
        """Make a folder hold the files of one or more versions, and none that an earlier checkout put there.

        Only what differs from the checkout before is touched; files of yours in the folder stay. mode: as for
        ``ArtifactVersion.download``. overwrite: replace and remove files that were changed since they were checked out,
        which is otherwise refused. progress: told bytes.

        Raises Unknown, Rejected (versions that do not go together, files in the way; nothing was changed then),
        BlobDamaged.

        Example: ``store.checkout(["images:v3", "labels:production"], "data")``
        """
        self._require_writable()
        if mode not in ("link", "copy", "reflink"):
            raise ValueError(f"mode must be 'link', 'copy' or 'reflink', not {mode!r}")
        versions = [self.get(spec) for spec in ([specs] if isinstance(specs, str) else specs)]
        wanted = merged((version.full_name, version.wanted()) for version in versions)
        folder = Path(target).expanduser()
        return check_out(self.pool, wanted, folder, mode=mode, overwrite=overwrite, progress=progress or _silently)

    def aliases(self, name: str) -> list[AliasRow]:
        """Return the aliases of an artifact; ``latest``, which is computed, is not among them. Raises Unknown."""
        with self.reading() as view:
            queries.artifact(view, name)
            return queries.aliases(view, name)

    def stats(self) -> Stats:
        """Return how many artifacts and versions there are, how large they are, and what the pool saves."""
        with self.reading() as view:
            return queries.stats(view, size_bytes_of(self.layout))

    def lineage(
        self, spec: str, direction: Direction = "both", depth: int | None = None, *, limit: int | None = None
    ) -> Lineage:
        """Return what a version was made from and what was made with it, through the runs between, the nearest first.

        direction: ``upstream``, ``downstream`` or ``both``. depth: steps from version to version; None for all. limit:
        so many versions and runs at most in each direction; ``is_cut`` says whether there are more.
        """
        if direction not in ("upstream", "downstream", "both"):
            raise ValueError(f"direction must be 'upstream', 'downstream' or 'both', not {direction!r}")
        with self.reading() as view:
            row = queries.resolve(view, parse_reference(spec), deleted=True)
            return queries.lineage(view, row, direction=direction, depth=depth, limit=limit)

    def audit(
        self,
        *,
        deep: bool = False,
        tables: bool = False,
        against: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Verify log, checkpoint and pool, and return what was found; nothing is changed.

        deep: hash every blob, not only those that look touched. tables: compare them with the log, row by row. against:
        a checkpoint file kept from earlier, which the log must continue.
        """
        kept = None if against is None else Path(against)
        return audit(self.layout.root, deep=deep, with_tables=tables, against=kept, progress=progress)

    def runs(self, project: str | None = None, *, after: str | None = None, limit: int | None = None) -> list[RunRow]:
        """Return the runs, oldest first; of one project if given.

        after, limit: a page of them: those begun after the run with this id, and so many. Raises Unknown.
        """
        with self.reading() as view:
            return queries.runs(view, project, after=after, limit=limit)

    def events(self, after: int = -1) -> Iterator[tuple[Record, tuple[Event, ...]]]:
        """Yield the records beyond index ``after`` and their events, in order, up to the end of the log."""
        while True:
            with self.reading() as view:
                some = list(queries.history(view, after, min(after + 1 + 256, queries.head(view)[0])))
            yield from some
            if not some:
                return
            after = some[-1][0].index


class Wish(NamedTuple):
    """An artifact that is to be logged: by which run, with which aliases, and its files."""

    artifact: Artifact
    run: str | None
    aliases: tuple[str, ...]
    sources: list[tuple[str, Source]]

    def command(self, stored: Sequence[Stored]) -> LogArtifact:
        """Return the command that logs it, given what its files turned out to be."""
        files = (
            FileAdded(path, found.digest, found.size_bytes, found.executable)
            for (path, _), found in zip(self.sources, stored, strict=True)
        )
        pages = tuple(pages_of(files))
        references = tuple(self.artifact.staged_references)
        return LogArtifact(
            self.artifact.name,
            self.artifact.type,
            self.run,
            pages,
            references,
            codec.content_digest([page.digest for page in pages], references),
            self.artifact.metadata_json(),
            tuple(self.artifact.tags),
            self.artifact.description,
            self.aliases,
        )


class Batch:
    """What is done together at the end of a ``with store.batch()`` block, in the order it was asked for."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.versions: list[VersionNumber] = []
        self._store = store
        self._progress = progress
        self._asked: list[Wish | Command] = []

    def log_artifact(self, artifact: Artifact, *, run: str | None = None, aliases: Sequence[str] = ()) -> None:
        """Store an artifact's files and give it its next version number, at the end of the block.

        After it, ``versions`` has the numbers, in the order of the calls. Raises as ``Store.log_artifact``.
        """
        self._asked.append(self._store.wish_for(artifact, run, aliases))

    def alias(self, spec: str, alias: str, *, reason: str | None = None, expected: int | None = None) -> None:
        """Point an alias at a version, which may be one that this block makes."""
        self._asked.append(SetAlias(parse_reference(spec), names.parse_alias(alias), reason, expected))

    def delete(self, spec: str, *, reason: str | None = None, force: bool = False) -> None:
        """Hide a version."""
        self._asked.append(DeleteVersion(parse_reference(spec), reason, force))

    def restore(self, spec: str, *, reason: str | None = None) -> None:
        """Bring a deleted version back."""
        self._asked.append(RestoreVersion(parse_reference(spec), reason))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._asked:
            self._carry_out()

    def _carry_out(self) -> None:
        wishes = [asked for asked in self._asked if isinstance(asked, Wish)]
        with self._store.taken_in(wishes, self._progress) as commands:
            logging = iter(commands)
            ordered = [next(logging) if isinstance(asked, Wish) else asked for asked in self._asked]
            answers = self._store.execute_all(ordered)
        for asked, events in zip(self._asked, answers, strict=True):
            if isinstance(asked, Wish):
                self.versions.append(_number_of(_the_version(events, asked.artifact.name), asked.artifact))


def open_store(path: str | os.PathLike[str] | None = None, read_only: bool = False) -> Store:  # noqa: FBT001, FBT002
    """Open the store at a path, making it if there is none; without a path, where ``RUNICORN_DIR`` or the user's
    configuration says, else in the user's data folder.

    read_only: change nothing, not even the tables; there must be a store. Raises Unknown, Damaged, TooNew.

    Example: ``with open_store("artifacts") as store: store.artifacts()``
    """
    return Store(storage_root(path), read_only=read_only)


def _outside(root: Path, staged: list[tuple[str, Source]]) -> list[tuple[str, Source]]:
    """Return what does not lie in the store itself, as when ``add_dir(".")`` meets a store in the working folder.

    What was added from a folder in the store, such as that of a download, was meant.
    """
    inside = f"{os.path.realpath(root)}/"
    tops = {folder: f"{os.path.realpath(folder)}/" for folder in {source.folder for _, source in staged}}
    return [
        (path, source)
        for path, source in staged
        if tops[source.folder].startswith(inside) or not f"{tops[source.folder]}{source.path}".startswith(inside)
    ]


def _the_version(events: Sequence[Event], name: str) -> VersionCreated:
    for event in events:
        if isinstance(event, VersionCreated) and event.name == name:
            return event
    raise Rejected(f"this idempotency key was used for something else than logging {name!r}; choose another key")


def _number_of(created: VersionCreated, artifact: Artifact) -> VersionNumber:
    artifact.version = created.version
    return VersionNumber.of(created.name, created.version, created.digest)


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
