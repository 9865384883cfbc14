"""What users ask of a store. Every method is one question, answered from one consistent state; nothing is changed."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
import os
from typing import Any

from runicorn_es import export, queries
from runicorn_es.artifact.stored import ArtifactVersion
from runicorn_es.consumers import ConsumerRow, all_consumers
from runicorn_es.custom import Projected, Projection, installed
from runicorn_es.errors import Rejected
from runicorn_es.events import Event
from runicorn_es.export import ExportedTable
from runicorn_es.following import Following
from runicorn_es.interests import parse_interests
from runicorn_es.ledger import Ledger
from runicorn_es.log import Record
from runicorn_es.moments import AsOf, Moment
from runicorn_es.names import parse_reference, split_moment
from runicorn_es.projections.rows import AliasRow, ArtifactRow, RunRow, VersionRow
from runicorn_es.queries import Changes, Diff, Direction, Due, Found, Impact, Lineage, Step
from runicorn_es.rules import Rule, read_rule

_RECORDS_AT_ONCE = 256


class Questions(Ledger):
    """The part of a store that answers."""

    def artifacts(
        self, type: str | None = None, *, after: str | None = None, limit: int | None = None, as_of: AsOf | None = None
    ) -> list[ArtifactRow]:
        """Return the artifacts that have a live version, by name; of one type if given.

        after, limit: a page of them: those beyond this name, and so many. as_of: a moment of the past.
        """
        with self.reading(as_of) as view:
            return queries.artifacts(view, type, after=after, limit=limit)

    def versions(
        self,
        name: str,
        *,
        deleted: bool = False,
        after: int | None = None,
        limit: int | None = None,
        as_of: AsOf | None = None,
    ) -> list[VersionRow]:
        """Return the live versions of an artifact, oldest first; with ``deleted`` all. Raises Unknown.

        after, limit: a page of them: those beyond this number, and so many. as_of: a moment of the past.
        """
        with self.reading(as_of) as view:
            return queries.versions(view, name, deleted=deleted, after=after, limit=limit)

    def search(
        self,
        query: str = "",
        *,
        sort: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        newest_of_each: bool = False,
        as_of: AsOf | None = None,
    ) -> Found:
        """Return the versions that a query means, such as ``type:model tag:production val_acc>=0.9``.

        docs/reference/search.md has the grammar. Only live versions are searched, unless the query says something of
        their ``status``. sort: a field or a key of metadata, with ``-`` before it the largest first; else the newest
        first. limit, after: a page of so many, and the ``next`` of the page before. newest_of_each: of each artifact
        only the newest of what is meant. as_of: a moment of the past; what was purged since is found no more.

        Raises BadQuery, which points at the place, for what cannot be read.

        Example: ``store.search("arch:ResNet* -tag:old", sort="-val_acc", limit=10).rows``
        """
        if limit is not None and limit < 1:
            raise Rejected(f"limit must be at least 1, not {limit}")
        moment = None if as_of is None else self.moment(as_of)
        with self.reading(moment) as view:
            return queries.search(
                view,
                query,
                now_ns=self._ambient.now_ns() if moment is None else moment.time_ns,
                sort=sort,
                after=after,
                limit=limit,
                newest_of_each=newest_of_each,
            )

    def get(self, spec: str, *, as_of: AsOf | None = None) -> ArtifactVersion:
        """Return a version by ``name``, ``name:v3``, ``name:alias`` or ``name@digest-prefix``. Records nothing.

        as_of: a moment of the past, which may also stand in the spec: ``name:production@{2026-01-31}``. What is
        returned then tells its aliases, tags, metadata and uses as of that moment. Raises Unknown.

        Example: ``store.get("resnet:production", as_of="yesterday").version``
        """
        row, moment = self.resolved(spec, as_of=as_of)
        return self.version_of(row, as_of=moment)

    def resolved(
        self, spec: str, *, as_of: AsOf | None = None, deleted: bool = False
    ) -> tuple[VersionRow, Moment | None]:
        """Return the version that a spec means, and the moment as of which: None for now. Raises Unknown.

        as_of: as for ``get``. deleted: also one that is deleted then.
        """
        wanted, moment = self.meant(spec, as_of)
        with self.reading(moment) as view:
            return queries.resolve(view, parse_reference(wanted), deleted=deleted), moment

    def meant(self, spec: str, as_of: AsOf | None = None) -> tuple[str, Moment | None]:
        """Return a spec without the moment that stands in it, and that moment, or the other that was given.

        Raises Rejected for two of them.
        """
        wanted, written = split_moment(spec)
        if written is not None and as_of is not None:
            raise Rejected(f"{spec!r} says already as of when; leave out the other moment")
        as_of = written if as_of is None else as_of
        return wanted, None if as_of is None else self.moment(as_of)

    def version_of(self, row: VersionRow, *, as_of: AsOf | None = None) -> ArtifactVersion:
        """Return the version of a row, as it is now or was at a moment."""
        moment = None if as_of is None else self.moment(as_of)
        return ArtifactVersion(row, partial(self.reading, moment), self.pool, self.layout)

    def aliases(self, name: str, *, as_of: AsOf | None = None) -> list[AliasRow]:
        """Return the aliases of an artifact; ``latest``, which is computed, is not among them. Raises Unknown.

        as_of: a moment of the past.
        """
        with self.reading(as_of) as view:
            queries.artifact(view, name)
            return queries.aliases(view, name)

    def lineage(
        self,
        spec: str,
        direction: Direction = "both",
        depth: int | None = None,
        *,
        limit: int | None = None,
        as_of: AsOf | None = None,
    ) -> Lineage:
        """Return what a version was made from and what was made with it, through the runs between, the nearest first.

        direction: ``upstream``, ``downstream`` or ``both``. depth: steps from version to version; None for all. limit:
        so many versions and runs at most in each direction; ``is_cut`` says whether there are more. as_of: a moment, as
        for ``get``.
        """
        row, moment = self._focus(spec, direction, as_of)
        with self.reading(moment) as view:
            return queries.lineage(view, row, direction=direction, depth=depth, limit=limit)

    def impact(
        self, spec: str, *, after: str | None = None, limit: int | None = None, as_of: AsOf | None = None
    ) -> Impact:
        """Return what depends on a version: all that was made with it, which aliases that reaches, which runs failed.

        Aliases and counts are always whole. after, limit: a page of the versions and runs, the nearest first: those
        behind the one with this id, and so many. as_of: a moment, as for ``get``. Raises Unknown.

        Example: ``store.impact("images:v1").aliases``
        """
        row, moment = self.resolved(spec, as_of=as_of, deleted=True)
        with self.reading(moment) as view:
            return queries.impact(view, row, after=after, limit=limit)

    def openlineage(
        self,
        spec: str,
        direction: Direction = "both",
        depth: int | None = None,
        *,
        limit: int | None = None,
        as_of: AsOf | None = None,
    ) -> list[dict[str, Any]]:
        """Return the runs of a lineage as OpenLineage 2-0-2 RunEvents: JSON objects for whatever collects lineage.

        The same run has the same ids each time. Arguments are those of ``lineage``.
        """
        row, moment = self._focus(spec, direction, as_of)
        with self.reading(moment) as view:
            found = queries.lineage(view, row, direction=direction, depth=depth, limit=limit)
            return list(export.run_events(view, found, self.identity.store_id))

    def export_catalogue(self, path: str | os.PathLike[str], *, as_of: AsOf | None = None) -> ExportedTable:
        """Write a table with a row for each version, deleted and purged ones too, and return what is in it.

        All rows are of one state, whoever writes meanwhile: that of a moment (``as_of``), or the newest one.

        The suffix of the path says the format: ``.jsonl``, ``.parquet`` or ``.arrow`` (these two with
        ``runicorn-es[analysis]``). Metadata is flattened: ``metadata.train.lr`` is a column. The file is there whole or
        not at all, and durable when this returns. Raises Rejected. docs/reference/interop.md describes the columns.

        Example: ``store.export_catalogue("versions.parquet")``
        """
        return export.save_catalogue(self.readings(as_of), path)

    def readings(self, as_of: AsOf | None = None) -> export.Reading:
        """Return what opens one and the same state again and again: that of a moment, or what is the newest now."""
        if as_of is None:
            with self.reading() as view:
                as_of = queries.head(view)[0]
        return partial(self.reading, self.moment(as_of))

    def export_events(self, path: str | os.PathLike[str], *, after: int = -1) -> ExportedTable:
        """Write a table with a row for each event beyond index ``after``, as ``export_catalogue`` does for versions."""
        return export.save_events(self.reading, self.events(after), path)

    def runs(
        self,
        project: str | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        as_of: AsOf | None = None,
    ) -> list[RunRow]:
        """Return the runs, oldest first; of one project if given.

        after, limit: a page of them: those begun after the run with this id, and so many. Raises Unknown. as_of: a
        moment of the past.
        """
        with self.reading(as_of) as view:
            return queries.runs(view, project, after=after, limit=limit)

    def events(
        self,
        after: int = -1,
        *,
        artifact: str | None = None,
        run: str | None = None,
        actor: str | None = None,
        since: AsOf | None = None,
        until: AsOf | None = None,
    ) -> Iterator[tuple[Record, tuple[Event, ...]]]:
        """Yield the records beyond index ``after`` and their events, in order, up to the end of the log.

        artifact, run, actor: only those about an artifact (``name``, ``name:v3`` or ``name:alias``), of a run, by a
        user (``ada`` or ``ada@lab``); found without reading the others, and pages of files are not among them.
        since, until: only those between two moments. Raises Unknown.
        """
        if since is not None:
            after = max(after, self.moment(since).position - 1)
        end = None if until is None else self.moment(until).position
        is_chosen = any(given is not None for given in (artifact, run, actor))
        while True:
            with self.reading() as view:
                before = queries.head(view)[0] if end is None else end
                if is_chosen:
                    chosen = queries.mentioning(view, after, before, artifact=artifact, run=run, actor=actor)
                    some = [queries.record_at(view, index) for index in islice(chosen, _RECORDS_AT_ONCE)]
                else:
                    some = list(queries.history(view, after, min(after + 1 + _RECORDS_AT_ONCE, before)))
            yield from some
            if not some:
                return
            after = some[-1][0].index

    def history(
        self, what: str, *, before: int | None = None, limit: int | None = None, as_of: AsOf | None = None
    ) -> list[Step]:
        """Return what happened to something: each event with when, by whom, in which run and why, the newest first.

        what: an artifact (``name``), a version (``name:v3``, ``name@digest``), an alias (``name:production``, also one
        that was removed), or the id of a run. before, limit: a page of it: what stands before this record, so much.
        as_of: a moment of the past. Raises Unknown.

        Example: ``[(step.time, step.user, step.reason) for step in store.history("resnet:production")]``
        """
        with self.reading(as_of) as view:
            return queries.steps(view, what, before=before, limit=limit)

    def changes(self, since: AsOf, until: AsOf | None = None) -> Changes:
        """Return what changed in the whole store between two moments: each thing's net change, and each step of it.

        until: None for now. Raises Rejected when it is before ``since``.

        Example: ``[change.spec for change in store.changes(since=0).versions]``
        """
        begin = self.moment(since).position
        with self.reading(until) as view:
            end = queries.head(view)[0]
            if begin > end:
                raise Rejected(f"nothing can change from record {begin} to {end}; ask for it the other way round")
            return queries.changes(view, begin, end)

    def diff(self, old: str, new: str | None = None, *, limit: int | None = None, as_of: AsOf | None = None) -> Diff:
        """Return what is different between two versions, also of two artifacts; files by their pages.

        new: without it, ``old`` is compared with the live version before it. limit: so many files at most are listed,
        and all are counted. as_of: a moment of the past; each spec may also have its own, so that a version can be
        compared with how it was. Deleted versions can be compared, purged ones cannot. Raises Unknown, and Rejected for
        a first version alone.

        Example: ``[change.path for change in store.diff("faces:v1", "faces:v2").files if change.kind == "added"]``
        """
        one, then = self.resolved(old, as_of=as_of, deleted=True)
        other, now = one, then
        if new is not None:
            other, now = self.resolved(new, as_of=as_of, deleted=True)
        with self.reading(then) as view:
            if new is None:
                before = queries.version_before(view, one)
                if before is None:
                    spec = f"{one.name}:v{one.version}"
                    raise Rejected(f"there is no live version before {spec}; name two versions to compare")
                one = before
            if now == then:
                return queries.diff(view, one, other, limit=limit)
            with self.reading(now) as later:
                return queries.diff(view, one, other, limit=limit, new_view=later)

    def follow(self, after: int | None = None, *, on: Sequence[str] = (), timeout: float | None = None) -> Following:
        """Tell what happens, event by event, for ever: what was written behind record ``after``, then what comes.

        Yields ``Happened``, which unpacks as ``index, event``: in the order of the log, without a gap, whoever writes,
        each as soon as no power cut can take it back, unlike answers from the tables, which may be ahead by what is
        being synced. after: -1 from the first record on; None: only what comes now. on: only what one of these selects,
        ``alias:production``, ``alias:NAME:production``, ``artifact:NAME``, ``type:model``, ``event:version`` (a tag of
        the events page); files and references of versions only by ``event:file`` and ``event:reference``. timeout: end
        when nothing came for so many seconds; 0: at the end of the log.

        ``stop()`` ends it from another thread. What was blanked by a purge is not told. Raises Rejected.

        Example: ``for index, event in store.follow(on=["alias:production"]): deploy(event.name, event.version)``
        """
        return Following(self, after, interests=parse_interests(on), timeout_s=timeout)

    def project(self, projection: Projection | str) -> Projected:
        """Return the rows of a projection of your own, a fold of all that happened, kept beside the store's tables.

        projection: an object with ``name``, ``schema`` and ``apply(happened, rows)``, or the name under which an
        installed package has one (entry points ``runicorn_es.projections``). A read-only store keeps the rows in
        memory.

        Raises Rejected, Unknown; what ``apply`` raises passes through, and changes nothing.

        Example: ``with store.project(VersionsPerDay()) as own, own.reading() as rows: days = list(rows.scan(b""))``
        """
        return Projected(self, installed(projection) if isinstance(projection, str) else projection)

    def consumers(self) -> list[ConsumerRow]:
        """Return the consumers of the store, by name: how far each is, and whether it is at work."""
        return all_consumers(self)

    def protected(self, *, as_of: AsOf | None = None) -> list[str]:
        """Return the protected aliases, sorted; as they were at a moment, if given."""
        with self.reading(as_of) as view:
            return [row.alias for row in queries.protected(view)]

    def retention(self, *, as_of: AsOf | None = None) -> dict[str, Rule]:
        """Return the rules of retention by their selections; as they were at a moment, if given."""
        with self.reading(as_of) as view:
            return {selection: read_rule(row.rule) for selection, row in queries.rules(view).items()}

    def due(self, *, as_of: AsOf | None = None) -> list[Due]:
        """Return the versions that the rules of retention do not keep: what is due for each, by which rule, and why.

        as_of: what was due when the last of the records of that moment was written.
        """
        moment = None if as_of is None else self.moment(as_of)
        with self.reading(moment) as view:
            return list(queries.due(view, self._ambient.now_ns() if moment is None else moment.time_ns))

    def _focus(self, spec: str, direction: Direction, as_of: AsOf | None) -> tuple[VersionRow, Moment | None]:
        if direction not in ("upstream", "downstream", "both"):
            raise ValueError(f"direction must be 'upstream', 'downstream' or 'both', not {direction!r}")
        return self.resolved(spec, as_of=as_of, deleted=True)
