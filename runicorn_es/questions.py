"""What users ask of a store. Every method is one question, answered from one consistent state; nothing is changed."""

from collections.abc import Iterator, Sequence

from runicorn_es import queries
from runicorn_es.artifact.stored import ArtifactVersion
from runicorn_es.consumers import ConsumerRow, all_consumers
from runicorn_es.custom import Projected, Projection, installed
from runicorn_es.errors import Rejected
from runicorn_es.events import Event
from runicorn_es.following import Following
from runicorn_es.interests import parse_interests
from runicorn_es.ledger import Ledger
from runicorn_es.log import Record
from runicorn_es.names import parse_reference
from runicorn_es.projections.rows import AliasRow, ArtifactRow, RunRow, VersionRow
from runicorn_es.queries import Direction, Due, Found, Lineage
from runicorn_es.rules import Rule, read_rule


class Questions(Ledger):
    """The part of a store that answers."""

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

    def search(
        self,
        query: str = "",
        *,
        sort: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        newest_of_each: bool = False,
    ) -> Found:
        """Return the versions that a query means, such as ``type:model tag:production val_acc>=0.9``.

        docs/reference/search.md has the grammar. Only live versions are searched, unless the query says something of
        their ``status``. sort: a field or a key of metadata, with ``-`` before it the largest first; else the newest
        first. limit, after: a page of so many, and the ``next`` of the page before. newest_of_each: of each artifact
        only the newest of what is meant.

        Raises BadQuery, which points at the place, for what cannot be read.

        Example: ``store.search("arch:ResNet* -tag:old", sort="-val_acc", limit=10).rows``
        """
        if limit is not None and limit < 1:
            raise Rejected(f"limit must be at least 1, not {limit}")
        with self.reading() as view:
            return queries.search(
                view,
                query,
                now_ns=self._ambient.now_ns(),
                sort=sort,
                after=after,
                limit=limit,
                newest_of_each=newest_of_each,
            )

    def get(self, spec: str) -> ArtifactVersion:
        """Return a version by ``name``, ``name:v3``, ``name:alias`` or ``name@digest-prefix``. Records nothing."""
        with self.reading() as view:
            row = queries.resolve(view, parse_reference(spec))
        return self.version_of(row)

    def version_of(self, row: VersionRow) -> ArtifactVersion:
        """Return the version of a row."""
        return ArtifactVersion(row, self.reading, self.pool, self.layout)

    def aliases(self, name: str) -> list[AliasRow]:
        """Return the aliases of an artifact; ``latest``, which is computed, is not among them. Raises Unknown."""
        with self.reading() as view:
            queries.artifact(view, name)
            return queries.aliases(view, name)

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

    def protected(self) -> list[str]:
        """Return the protected aliases, sorted."""
        with self.reading() as view:
            return [row.alias for row in queries.protected(view)]

    def retention(self) -> dict[str, Rule]:
        """Return the rules of retention by their selections."""
        with self.reading() as view:
            return {selection: read_rule(row.rule) for selection, row in queries.rules(view).items()}

    def due(self) -> list[Due]:
        """Return the versions that the rules of retention do not keep: what is due for each, by which rule, and why."""
        with self.reading() as view:
            return list(queries.due(view, self._ambient.now_ns()))
