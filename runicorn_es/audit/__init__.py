"""Prove that log, pool and tables agree with each other and with what was signed; report, never repair.

The audit reads the log as it lies on the disk and opens no store, so it also works where a store would not open, on a
read-only disk, and while others write: it looks at what was there when it began.
"""

from collections.abc import Callable
from pathlib import Path

from runicorn_es import durable, founding, projections, tables
from runicorn_es.audit.holdings import Holdings
from runicorn_es.audit.reading import LogReading
from runicorn_es.audit.report import Finding, Report
from runicorn_es.founding import Identity
from runicorn_es.layout import Layout
from runicorn_es.log import Position, Record
from runicorn_es.pool import stat_cache
from runicorn_es.projections.rows import Contradiction
from runicorn_es.signing import Head, Keys, claimed_head
from runicorn_es.tables import MemoryTables

__all__ = ["Finding", "Report", "audit"]

_REFOLD = "open the store, or run `runicorn-es rebuild`: the tables are folded anew from the log"


def audit(
    root: Path,
    *,
    deep: bool = False,
    with_tables: bool = False,
    against: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify a store and return what was found; nothing is changed.

    Every record (checksum, chain, commitment), every batch, the events and their rules, the Merkle root at the size of
    the signed checkpoint, and each blob that a version names: that it is there and looks untouched.

    deep: hash every blob. with_tables: fold the log anew and compare with the tables, row by row. against: a checkpoint
    kept from earlier; the log must still be a continuation of it. progress: told bytes as they are read.

    Raises Unknown when there is no store, TooNew; damage is reported, not raised.
    """
    layout = Layout(root.absolute())
    identity = founding.require(layout)
    told = progress or _silently
    claims = _claims(layout, identity, against)
    log = LogReading(
        layout,
        identity.raw_id,
        max((head.size for _, head in claims if head), default=0),
        [head.size for _, head in claims if head],
    )
    comparison = _TablesComparison(layout, identity) if with_tables else None
    log.read(comparison.fold if comparison else _drop, told)
    findings = log.findings + _check_claims(claims, identity, log)
    holdings = Holdings(layout, log)
    holdings.check(deep=deep, progress=told)
    holdings.find_orphans()
    findings += holdings.findings
    if comparison is not None:
        findings += comparison.findings(is_log_whole=log.is_whole)
    live = len(log.created.keys() - log.purged)
    return Report(log.size, log.root.hex(), live, len(holdings.named), holdings.hashed, findings)


class _TablesComparison:
    """The tables as they lie there, against a fold of the log up to their cursor."""

    def __init__(self, layout: Layout, identity: Identity) -> None:
        self._expected = MemoryTables()
        self._rows: dict[bytes, bytes] | None = None
        self._cursor: Position | None = None
        self._failure: str | None = None
        try:
            with tables.peeked(layout.tables, layout.boot, projections.identity(identity.store_id)) as rows:
                if rows is not None:
                    self._cursor = projections.cursor(rows)
                    self._rows = {key: row for key, row in rows.scan(b"") if not key.startswith(stat_cache.PREFIX)}
                    # A row is found in another way than by going through all of them, and so by other pages.
                    self._rows = {key: rows.get(key) or b"" for key in self._rows}
        except (tables.TablesFailed, Contradiction) as error:
            self._failure = str(error)

    def fold(self, batch: list[Record]) -> None:
        """Fold one batch, unless the tables are not that far."""
        if self._cursor is not None and batch[-1].index < self._cursor.index and self._failure is None:
            last = batch[-1]
            behind = Position(last.index + 1, last.segment, last.offset + last.size_bytes, last.leaf)
            try:
                with self._expected.writing() as out:
                    projections.fold(batch, behind, out)
            except Contradiction as error:
                self._failure = f"the log contradicts itself: {error}"

    def findings(self, *, is_log_whole: bool) -> list[Finding]:
        """Return how the tables differ."""
        if self._failure is not None:
            return [Finding("tables", f"the tables cannot be compared: {self._failure}", _REFOLD)]
        if self._rows is None:
            return [Finding("tables", "there are no tables of this boot", _REFOLD, is_damage=False)]
        if not is_log_whole:
            return [Finding("tables", "the tables cannot be compared with a damaged log", "see to the log first")]
        with self._expected.reading() as view:
            expected = dict(view.scan(b""))
        differing = [key for key in expected.keys() | self._rows.keys() if expected.get(key) != self._rows.get(key)]
        if not differing:
            return []
        kinds = ", ".join(sorted({projections.kind_of(key) for key in differing}))
        return [Finding("tables", f"{len(differing)} rows are not what the log says ({kinds})", _REFOLD)]


def _claims(layout: Layout, identity: Identity, against: Path | None) -> list[tuple[Path, Head | None]]:
    """Return the checkpoints to hold the log against: each file, and its head if the store's key signed it."""
    files = [layout.checkpoint] if against is None else [layout.checkpoint, against]
    trust = Keys(layout.keys, identity.origin).trust()
    return [(file, trust.head_in(file)) for file in files]


def _check_claims(claims: list[tuple[Path, Head | None]], identity: Identity, log: LogReading) -> list[Finding]:
    findings = []
    for path, head in claims:
        if head is None:
            is_forged = claimed_head(durable.read_small_file(path), identity.origin) is not None
            message = f"{path} is not signed with this store's key" if is_forged else f"{path} holds no checkpoint"
            remedy = "ask who changed it" if is_forged else "nothing after a power cut: the next batch makes a new one"
            findings.append(Finding("checkpoint", message, remedy, is_damage=is_forged, path=str(path)))
        elif head.size > log.size:
            message = f"{path} was signed for {head.size} records, the log has {log.size}: records were lost or removed"
            findings.append(Finding("checkpoint", message, "restore the log from a copy of this store", path=str(path)))
        elif log.is_whole and log.roots.get(head.size) != head.root:
            message = f"the first {head.size} records are not those that {path} was signed for: history was rewritten"
            findings.append(Finding("checkpoint", message, "compare with another copy of this store", path=str(path)))
    return findings


def _drop(batch: list[Record]) -> None:
    """Do nothing with a batch."""


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
