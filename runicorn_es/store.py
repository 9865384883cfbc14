"""What users ask of a store and have it do. Every method is one command or one query."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
import os
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
import warnings

import msgspec

from runicorn_es import codec, consumers, decisions, names, purge, queries, reclaim, settings
from runicorn_es.artifact.draft import Artifact, parse_description
from runicorn_es.artifact.json_values import is_count, to_json
from runicorn_es.artifact.paging import pages_of, require_tree
from runicorn_es.artifact.stored import VersionNumber
from runicorn_es.audit import Report, audit
from runicorn_es.checkout import Checkout, check_out, merged
from runicorn_es.cold import require_chunker
from runicorn_es.commands import (
    Command,
    DeleteVersion,
    Describe,
    LogArtifact,
    ProtectAlias,
    Purge,
    RemoveAlias,
    RestoreVersion,
    SetAlias,
    SetMetadata,
    SetRetention,
    SetTags,
    Undo,
)
from runicorn_es.compact import Compacted, compact, seldom_asked_for
from runicorn_es.consumers import Consumer
from runicorn_es.errors import Busy, Rejected, RunicornError, WriteFailed
from runicorn_es.events import Event, FileAdded, VersionCreated, VersionPurged
from runicorn_es.explain import Explanation, explain
from runicorn_es.interests import parse_interests
from runicorn_es.location import storage_root
from runicorn_es.moments import AsOf, Moment
from runicorn_es.names import Reference, parse_reference
from runicorn_es.notary import Notary
from runicorn_es.patches import patches
from runicorn_es.pool.ingest import Progress, Stored, taking_in
from runicorn_es.pool.materialize import Mode
from runicorn_es.pool.stat_cache import TableStatCache
from runicorn_es.purge import Purged
from runicorn_es.queries import Due, Stats
from runicorn_es.reclaim import Reclaimed
from runicorn_es.replay import replay
from runicorn_es.rules import Rule, parse_selection, parse_span
from runicorn_es.tables import TablesFailed


class Store(Notary):
    """A store of artifacts in a folder. Open one with ``runicorn_es.open_store``; close it, or use it in a ``with``.

    One object serves all threads of a process; after a fork, the child opens its own files by itself.
    """

    def _begin_in_this_process(self) -> None:
        super()._begin_in_this_process()
        try:
            if not self.is_read_only:
                self._finish_purges()
        except BaseException:
            # Nobody could close it, and tables that failed are made anew only when the last of their users is gone.
            self._tables.close()
            raise

    def _finish_purges(self) -> None:
        """Carry out what purges that died have left, unless somebody is at it."""
        with self.reading() as view:
            is_left = bool(queries.unfinished_purges(view))
        if is_left:
            try:
                purge.finish(self, wait_s=0)
            except Busy:
                pass
            except (OSError, RunicornError) as error:
                # The store must open all the same: what is in the way is mended in an open store.
                warnings.warn(f"a purge could not be finished: {error}", RuntimeWarning, stacklevel=2)

    def log_artifact(
        self,
        artifact: Artifact,
        *,
        run: str | None = None,
        aliases: Sequence[str] = (),
        key: str | None = None,
        cold: bool = False,
        progress: Progress | None = None,
    ) -> VersionNumber:
        """Store an artifact's files and give it its next version number. Durable when this returns.

        run: the id of the run that made it. aliases: to set on the new version, in the same step. key: an idempotency
        key; a second call with the same key returns the version of the first. cold: put its files into packs at once,
        as ``compact`` does. progress: told bytes as they are read.

        Raises Rejected (nothing to log, the name is taken by another type, a file changed while it was read), Busy, or
        the OSError of a full disk; then nothing was logged.
        """
        self._require_writable()
        if key is not None and (events := self.repeated(key)) is not None:
            return _number_of(_the_version(events, artifact.name), artifact)
        if cold:
            require_chunker()
        wish = self.wish_for(artifact, run, aliases)
        with self.taken_in([wish], progress or _silently) as [command]:
            created = _the_version(self.execute(command, run=run, key=key), artifact.name)
        if cold:
            self.compact(names.spec(created.name, created.version))
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
        paths = _outside(self.layout.root, artifact)
        if not paths and not artifact.staged_references:
            decisions.refuse_empty(artifact.name)
        require_tree(paths)
        with self.reading() as view:
            decisions.require_loggable(view, artifact.name, artifact.type, parsed)
        return Wish(artifact, run, parsed, paths)

    @contextmanager
    def taken_in(self, wishes: "Sequence[Wish]", progress: Progress) -> Iterator[list[LogArtifact]]:
        """Take the files of several versions into the pool; yields the commands that log them.

        The block carries them out; only then are the sources of mode ``move`` removed.
        """
        cache = TableStatCache(self._reading_rows, self._writing_rows)
        token = f"{os.getpid()}-{self._ambient.token(8).hex()}"
        sources = (wish.artifact.source_of(path) for wish in wishes for path in wish.paths)
        intake = taking_in(self.pool, sources, token=token, cache=cache, progress=progress)
        with self._poisoned_by(WriteFailed), intake as stored:
            # Taken from the end, so that of millions none is there twice.
            stored.reverse()
            yield [wish.command(stored) for wish in wishes]
        # What was logged is logged, whatever becomes of what is only remembered.
        with suppress(TablesFailed, OSError):
            self.pool.hashed.flush()

    def alias(
        self, spec: str, alias: str, *, reason: str | None = None, expected: int | None = None, force: bool = False
    ) -> None:
        """Point an alias at a version, moving it if it exists.

        spec: may be one of the past, such as ``m:production@{yesterday}``: to set it back to what it was.
        expected: the number of the version to which it must point now, or 0 if it must not exist yet. Of several who
        expect the same, one succeeds and the others get Conflict. force: move it although it is protected.

        Raises Unknown, Conflict, Rejected for ``latest`` and ``v3`` and for a protected alias that would move.
        """
        self.execute(SetAlias(self._reference(spec), names.parse_alias(alias), reason, expected, force))

    def _reference(self, spec: str) -> Reference:
        """Return which version is meant, by its number if it is one of the past."""
        wanted, moment = self.meant(spec)
        if moment is None:
            return parse_reference(wanted)
        row, _ = self.resolved(wanted, as_of=moment, deleted=True)
        return Reference(row.name, spec, version=row.version)

    def unalias(self, name: str, alias: str | None = None, *, reason: str | None = None, force: bool = False) -> None:
        """Remove an alias: ``unalias("m", "production")`` or ``unalias("m:production")``.

        Raises Unknown, and Rejected for a protected one, unless ``force``.
        """
        reference = parse_reference(name if alias is None else f"{name}:{alias}")
        if reference.alias is None:
            raise Rejected(f"{reference.text!r} names no alias to remove; write name:alias, and not 'latest'")
        self.execute(RemoveAlias(reference.name, reference.alias, reason, force))

    def protect(self, alias: str, *, reason: str | None = None) -> None:
        """Have aliases of this name, of whatever artifact, moved and removed only with ``force``.

        A version that one points to is then neither deleted nor purged without ``force`` either, as with every alias.
        """
        self.execute(ProtectAlias(names.parse_alias(alias), is_protected=True, reason=reason))

    def unprotect(self, alias: str, *, reason: str | None = None) -> None:
        """End the protection of an alias."""
        self.execute(ProtectAlias(names.parse_alias(alias), is_protected=False, reason=reason))

    def set_tags(self, spec: str, add: Sequence[str] | str = (), remove: Sequence[str] | str = ()) -> None:
        """Add tags to a version and take others from it; one that is there, or is not, already is no error.

        Raises Unknown, and Rejected for what is no tag or both added and removed.

        Example: ``store.set_tags("resnet50-model:v3", add=["checked"], remove=["new"])``
        """
        self.execute(_tags_to_set(spec, add, remove))

    def describe(self, spec: str, text: str | None) -> None:
        """Set the description of a version; None takes it away. Raises Unknown, Rejected."""
        self.execute(_description_to_set(spec, text))

    def set_metadata(
        self, spec: str, changes: Mapping[str, Any] | None = None, *, remove: Sequence[str] | str = ()
    ) -> None:
        """Set keys of a version's metadata, leaving the others as they are.

        changes: keys and their new values; a value that is a dictionary takes the place of the one that was there.
        remove: keys to take away before, inner ones with dots; one that is not there is no error. Raises Unknown, and
        Rejected for what JSON cannot hold.

        Example: ``store.set_metadata("resnet50-model:v3", {"val_acc": 0.92}, remove=["train.lr"])``
        """
        self.execute(_metadata_to_set(spec, changes, remove))

    def delete(self, spec: str, *, reason: str | None = None, force: bool = False) -> None:
        """Hide a version; ``restore`` brings it back. Its number is never given again.

        Raises Rejected, with the reasons, when an alias points to it or a live version was made from it; not with
        ``force``.
        """
        self.execute(DeleteVersion(parse_reference(spec), reason, force))

    def restore(self, spec: str, *, reason: str | None = None) -> None:
        """Bring a deleted version back with everything it had."""
        self.execute(RestoreVersion(parse_reference(spec), reason))

    def purge(self, spec: str | Sequence[str], *, reason: str | None = None, force: bool = False) -> Purged:
        """Forget versions for good: their files, paths, metadata, tags, descriptions and references.

        Their numbers, when and by whom they were made and purged, and ``reason`` stay, lineage keeps them as purged,
        and the log still verifies. What other versions share stays with those. Repeating it does nothing. Returns what
        went.

        Raises Unknown, and Rejected for versions in use, as ``delete`` does, unless ``force``.
        docs/explanation/purge.md says what no purge can reach.

        Example: ``store.purge("faces:v3", reason="consent withdrawn")``
        """
        specs = [spec] if isinstance(spec, str) else spec
        return self._purge(Purge(tuple(parse_reference(one) for one in specs), None, reason, force))

    def purge_artifact(self, name: str, *, reason: str | None = None, force: bool = False) -> Purged:
        """Forget all versions of an artifact for good, as ``purge`` does; its name stays. Raises as ``purge``."""
        versions = [f"{name}:v{row.version}" for row in self.versions(name, deleted=True)]
        return self.purge(versions, reason=reason, force=force)

    def purge_run(self, run: str, *, reason: str | None = None, force: bool = False) -> Purged:
        """Forget all versions that a run logged, and its project, name, configuration, tags, command and surroundings.

        Its id and times stay. Raises as ``purge``.
        """
        with self.reading() as view:
            queries.run(view, run)
            made = [names.spec(edge.name, edge.version) for edge in queries.outputs(view, run)]
        return self._purge(Purge(tuple(parse_reference(one) for one in made), run, reason, force))

    def _purge(self, command: Purge) -> Purged:
        events = self.execute(command)
        try:
            count, size_bytes = purge.finish(self)
        except Busy as error:
            raise Busy(f"the purge is decided and hidden already, but not carried out: {error}; purge again") from error
        versions = [names.spec(event.name, event.version) for event in events if isinstance(event, VersionPurged)]
        return Purged(versions, count, size_bytes)

    def set_retention(
        self,
        selection: str,
        *,
        keep_last: int | None = None,
        keep_younger: str | None = None,
        keep_tagged: Sequence[str] = (),
        purge_after: str | None = None,
    ) -> None:
        """Set what is to be kept of a selection of versions; nothing given: no rule any more.

        selection: the name of an artifact, ``name:v3``, ``type:model``, ``tag:nightly``, or ``*`` for all; the most
        particular rule counts. keep_last: the newest so many. keep_younger: those younger than, such as ``30d``.
        keep_tagged: those with one of these tags. A version is deleted when none of what is given keeps it, by
        ``reclaim(apply_retention=True)`` and not before; the latest one and those with an alias, or from which live
        ones were made, always stay. purge_after: deleted versions are purged so long after their deletion.

        Raises Rejected, Unknown for a version that is not there.

        Example: ``store.set_retention("type:model", keep_last=5, keep_younger="30d", purge_after="90d")``
        """
        rule = Rule(
            None if keep_last is None else _count(keep_last, "keep_last"),
            None if keep_younger is None else parse_span(keep_younger),
            tuple(sorted({names.parse_tag(tag) for tag in keep_tagged})),
            None if purge_after is None else parse_span(purge_after),
        )
        self.execute(SetRetention(parse_selection(selection), None if rule == Rule() else rule))

    def undo(self, index: int, *, reason: str | None = None, force: bool = False) -> tuple[Event, ...]:
        """Take back what a record did: append its opposite, and return its events. The record stays where it is.

        An alias points to where it pointed before, a deleted version is restored, a restored one deleted; tags,
        metadata, description, protection and rules of retention become what they were. An undo can be undone. index:
        as ``history`` and ``events`` tell it. force: move a protected alias, delete a version in use.

        Raises Rejected where there is no opposite (a version that was logged, a purge, a use), Conflict when the same
        was changed again since, Unknown for a record that is not there.

        Example: ``store.undo(store.history("resnet:production")[0].index, reason="worse on the new data")``
        """
        return self.execute(Undo(index, reason, force))

    def patch(self, old: str, new: str | None = None, *, as_of: AsOf | None = None) -> Iterator[str]:
        """Yield what is different within files, as lines: of text files as ``diff -u`` does, of safetensors by tensor.

        old, new, as_of: as for ``diff``. Of other files, and of those beyond 4 MiB, it is only said that they differ.
        Raises as ``diff``, and BlobDamaged.

        Example: ``print("\\n".join(store.patch("config:v1", "config:v2")))``
        """
        return patches(self.pool, self.diff(old, new, as_of=as_of))

    def reclaim(
        self,
        *,
        dry_run: bool = False,
        apply_retention: bool = False,
        downloads_unused: str = f"{settings.DOWNLOAD_UNUSED_DAYS}d",
        progress: Progress | None = None,
    ) -> Reclaimed:
        """Remove what takes space for nothing, and return each thing with its size and why it went.

        Blobs that no version names, what killed writers left, downloads into the store that nobody asked for in so long
        or whose version is deleted (never a file that you changed). Deleted versions keep their blobs until a purge.
        Writers go on meanwhile. apply_retention: first delete and purge what is ``due``. dry_run: change nothing.
        progress: told how many blobs were looked at.

        Raises Damaged, and removes nothing, where what a version needs cannot be read; Busy.
        """
        self._require_writable()
        if not dry_run:
            purge.finish(self)
        applied = self._apply_retention(dry_run=dry_run) if apply_retention else []
        found = reclaim.reclaim(
            self, unused_s=parse_span(downloads_unused), is_dry_run=dry_run, progress=progress or _silently
        )
        return msgspec.structs.replace(found, due=applied)

    def _apply_retention(self, *, dry_run: bool) -> list[Due]:
        found = self.due()
        if dry_run:
            return found
        for one in found:
            if one.action == "delete":
                # Somebody may have set an alias on it since we looked: then it stays.
                with suppress(Rejected):
                    self.delete(one.spec, reason=f"retention of {one.selection}: {one.reason}")
        purged = [one for one in found if one.action == "purge"]
        if purged:
            self.purge([one.spec for one in purged], reason=f"retention: {purged[0].reason}")
        return found

    def compact(
        self,
        specs: str | Sequence[str] | None = None,
        *,
        keep_last: int = 1,
        older_than: str = "0s",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Compacted:
        """Put versions that are seldom asked for into packs: chunks that they share are stored once, and compressed.

        specs: these versions; without it all but the newest ``keep_last`` of each artifact, those younger than
        ``older_than`` (such as ``90d``), and those with an alias. A file that another version has as well stays as it
        is. Everything is read as before, only that a download is a copy and no hard link. dry_run: change nothing.
        progress: told bytes as they are read.

        Raises Unknown, BlobDamaged, Busy, and Rejected where ``runicorn-es[chunks]`` is not installed.

        Example: ``store.compact(keep_last=3, older_than="30d")``
        """
        self._require_writable()
        older_than_s = parse_span(older_than)
        with self.reading() as view:
            if specs is None:
                found = seldom_asked_for(
                    view,
                    keep_last=_count(keep_last, "keep_last"),
                    older_than_s=older_than_s,
                    now_ns=self._ambient.now_ns(),
                )
                chosen = list(found)
            else:
                wanted = [specs] if isinstance(specs, str) else specs
                chosen = [queries.resolve(view, parse_reference(spec), deleted=True) for spec in wanted]
        return compact(self, chosen, is_dry_run=dry_run, progress=progress or _silently)

    def explain(self, what: str) -> Explanation:
        """Return why something takes space, what depends on it, and what would be freed without it.

        what: a version, as a spec, or a blob, as ``blake3:`` and at least 8 digits of its digest. Raises Unknown.
        """
        return explain(self, what)

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

    def consumer(
        self, name: str, *, after: int | None = None, on: Sequence[str] = (), timeout: float | None = None
    ) -> Consumer:
        """Follow the store from where this consumer last acknowledged: each event at least once, whatever dies.

        after: where a consumer begins that is new: -1 with the first record, None with what comes now. It is not looked
        at later. on, timeout: as for ``follow``. One process at a time works under a name.

        Raises Busy, naming who does; Rejected for a read-only store.

        Example: ``with store.consumer("deploy") as told: [told.ack(one) for one in told if deployed(one)]``
        """
        interests = parse_interests(on)
        return Consumer(self, name, after=after, interests=interests, timeout_s=timeout, holder=self._holder())

    def reset_consumer(self, name: str, *, after: int | None = None) -> int:
        """Have a consumer go on behind this record, -1 for the beginning, None for the end; returns its index.

        Raises Unknown, Rejected, Busy while it is at work.
        """
        return consumers.reset(self, name, after, holder=self._holder())

    def remove_consumer(self, name: str) -> None:
        """Forget a consumer and how far it was. Raises Unknown, Busy while it is at work."""
        consumers.remove(self, name, holder=self._holder())

    def stats(self, *, as_of: AsOf | None = None) -> Stats:
        """Return how many artifacts and versions there are, how large they are, and what the pool takes and saves.

        The sums are kept as things change; the first time after a start of the machine the pool is counted. as_of: a
        moment of the past; what the pool took then nobody knows, and ``pool_bytes`` is None.
        """
        if as_of is not None:
            with self.reading(as_of) as view:
                return queries.stats(view, None)
        used = reclaim.used(self)
        packed_bytes = self.pool.packs.size_bytes()
        with self.reading() as view:
            return queries.stats(
                view,
                used.size_bytes + packed_bytes,
                packed_bytes=packed_bytes,
                garbage_count=used.orphan_count,
                garbage_bytes=used.orphan_bytes,
            )

    def replay_to(self, as_of: AsOf, target: str | os.PathLike[str], *, progress: Progress | None = None) -> Moment:
        """Build a store in a folder as this one was at a moment, and return the moment. The folder must not be there.

        Its log is the same up to then, with a checkpoint that this store signs, and its blobs are hard links to ours,
        or copies on another file system. Who writes to it does so under a key of its own: it is no longer this store.
        What is purged here later is not gone from it.

        Raises Rejected, also for a moment before a purge: what was purged since is missing there.

        Example: ``store.replay_to("2026-01-31", "as-it-was")``
        """
        return replay(self, as_of, Path(target).expanduser(), self._ambient, progress=progress or _silently)

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


class Wish(NamedTuple):
    """An artifact that is to be logged: by which run, with which aliases, and the paths of its files."""

    artifact: Artifact
    run: str | None
    aliases: tuple[str, ...]
    paths: list[str]

    def command(self, stored: list[Stored]) -> LogArtifact:
        """Return the command that logs it, given what its files turned out to be; takes them from the list's end."""

        def file(path: str) -> FileAdded:
            found = stored.pop()
            return FileAdded(path, found.digest, found.size_bytes, found.executable)

        files = map(file, self.paths)
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

    def set_tags(self, spec: str, add: Sequence[str] | str = (), remove: Sequence[str] | str = ()) -> None:
        """Add tags to a version and take others from it."""
        self._asked.append(_tags_to_set(spec, add, remove))

    def describe(self, spec: str, text: str | None) -> None:
        """Set the description of a version; None takes it away."""
        self._asked.append(_description_to_set(spec, text))

    def set_metadata(
        self, spec: str, changes: Mapping[str, Any] | None = None, *, remove: Sequence[str] | str = ()
    ) -> None:
        """Set keys of a version's metadata, after others are removed."""
        self._asked.append(_metadata_to_set(spec, changes, remove))

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


def _outside(root: Path, artifact: Artifact) -> list[str]:
    """Return the paths of what does not lie in the store itself, as ``add_dir(".")`` may meet it in the working folder.

    What was added from a folder in the store, such as that of a download, was meant.
    """
    inside = f"{os.path.realpath(root)}/"
    tops = {folder: f"{os.path.realpath(folder)}/" for folder in artifact.staged_folders()}
    paths = artifact.staged_paths()
    # Only a folder above the store can hold some of it.
    if not any(inside.startswith(top) and top != inside for top in tops.values()):
        return paths

    def is_meant(path: str) -> bool:
        source = artifact.source_of(path)
        top = tops[source.folder]
        return top.startswith(inside) or not f"{top}{source.path}".startswith(inside)

    return [path for path in paths if is_meant(path)]


def _tags_to_set(spec: str, add: Sequence[str] | str, remove: Sequence[str] | str) -> SetTags:
    added, removed = ({names.parse_tag(tag) for tag in _several(tags)} for tags in (add, remove))
    if both := sorted(added & removed):
        raise Rejected(f"tag {both[0]!r} is to be added and removed; say one of it")
    return SetTags(parse_reference(spec), tuple(sorted(added)), tuple(sorted(removed)))


def _description_to_set(spec: str, text: str | None) -> Describe:
    return Describe(parse_reference(spec), "" if text is None else parse_description(text))


def _metadata_to_set(spec: str, changes: Mapping[str, Any] | None, remove: Sequence[str] | str) -> SetMetadata:
    if changes is not None and not isinstance(changes, Mapping):
        raise Rejected(f"metadata must be a dictionary, not {type(changes).__name__}")
    return SetMetadata(parse_reference(spec), to_json(changes or {}, "metadata"), tuple(_several(remove)))


def _several(texts: Sequence[str] | str) -> Sequence[str]:
    """Return one text as a list of it: a text is a sequence of letters, too, and those are never meant."""
    return [texts] if isinstance(texts, str) else texts


def _the_version(events: Sequence[Event], name: str) -> VersionCreated:
    for event in events:
        if isinstance(event, VersionCreated) and event.name == name:
            return event
    raise Rejected(f"this idempotency key was used for something else than logging {name!r}; choose another key")


def _count(value: int, what: str) -> int:
    if not is_count(value):
        raise Rejected(f"{what} must be a number of versions, not {value!r}")
    return value


def _number_of(created: VersionCreated, artifact: Artifact) -> VersionNumber:
    artifact.version = created.version
    return VersionNumber.of(created.name, created.version, created.digest)


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
