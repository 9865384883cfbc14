"""Why versions and their records are kept: aliases, protection, lineage, rules; and what goes when they go."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from runicorn_es import names
from runicorn_es.log import Record
from runicorn_es.log.record import BLANKABLE, is_blank
from runicorn_es.names import Reference
from runicorn_es.projections import mentions
from runicorn_es.projections.rows import (
    PROTECTED,
    PURGED,
    PURGES,
    READY,
    RULES,
    VERSIONS,
    ProtectedRow,
    PurgeRow,
    RuleRow,
    VersionRow,
)
from runicorn_es.queries.catalog import aliases_of, all_artifacts, resolve, version
from runicorn_es.queries.content import created, tags
from runicorn_es.queries.graph import outputs, used_by
from runicorn_es.queries.view import View
from runicorn_es.rules import Rule, parse_selection, read_rule, span_text

_SECOND_NS = 1_000_000_000
_SHOWN_MAX = 5
Key = tuple[str, int]


class Due(msgspec.Struct, frozen=True):
    """A version that a rule of retention speaks of: what is due for it, by which rule, and why."""

    name: str
    version: int
    action: Literal["delete", "purge", "keep"]
    selection: str
    reason: str
    size_bytes: int

    @property
    def spec(self) -> str:
        """Return ``name:v3``."""
        return names.spec(self.name, self.version)


def find(view: View, reference: Reference) -> VersionRow:
    """Return the version that is meant, whatever its status. Raises Unknown."""
    if reference.version is not None:
        return version(view, reference.name, reference.version)
    return resolve(view, reference, deleted=True)


def reasons_to_keep(view: View, row: VersionRow, *, without: Collection[Key] = ()) -> list[str]:
    """Return in words why a version should not be deleted: aliases, and live versions that were made from it.

    without: versions, by name and number, that are to go as well and speak for nobody.
    """
    pointing = [
        f"{alias} (protected)" if is_protected(view, alias) else alias
        for alias in aliases_of(view, row)
        if alias != names.LATEST
    ]
    reasons = [f"alias {_some(pointing)} points to it"] if pointing else []
    if made := made_from(view, row, without=without):
        reasons.append(f"made from it: {_some(made)}")
    return reasons


def is_protected(view: View, alias: str) -> bool:
    """Return whether aliases of this name are moved only by force."""
    return PROTECTED.get(view.rows, alias) is not None


def protected(view: View) -> list[ProtectedRow]:
    """Return the protected aliases."""
    return list(PROTECTED.scan(view.rows))


def rules(view: View) -> dict[str, RuleRow]:
    """Return the rules of retention by their selections."""
    return {row.selection: row for row in RULES.scan(view.rows)}


def due(view: View, now_ns: int) -> Iterator[Due]:
    """Yield what is due for each version that a rule of retention would not keep, by artifact and version.

    ``keep`` says of one that goes by its rule, but that aliases or versions made from it still speak for.
    """
    known = [(parse_selection(row.selection), read_rule(row.rule)) for row in rules(view).values()]
    known.sort(key=lambda one: one[0].rank, reverse=True)
    by_selection = {str(selection): rule for selection, rule in known}
    if not by_selection:
        return
    reads_tags = any(selection.kind == "tag" or rule.keep_tagged for selection, rule in known)
    for artifact in all_artifacts(view):
        newer = 0
        for row in VERSIONS.scan(view.rows, artifact.name, reverse=True):
            if row.status == PURGED:
                continue
            tagged = tags(view, row) if reads_tags else []
            chosen = _rule_for(row, tagged, by_selection)
            if (
                chosen is not None
                and (found := _due(view, row, chosen, tagged=tagged, newer=newer, now_ns=now_ns)) is not None
            ):
                yield found
            newer += row.status == READY


def rule_for(view: View, row: VersionRow) -> tuple[str, Rule] | None:
    """Return the selection and the rule of retention that counts for a version, or None."""
    return _rule_for(row, tags(view, row), {row.selection: read_rule(row.rule) for row in rules(view).values()})


def _rule_for(row: VersionRow, tagged: Sequence[str], known: Mapping[str, Rule]) -> tuple[str, Rule] | None:
    """Return the most particular rule for a version; of several tags the first in order."""
    spellings = [
        f"version:{names.spec(row.name, row.version)}",
        f"artifact:{row.name}",
        *(f"tag:{tag}" for tag in tagged),
        f"type:{row.type}",
        "*",
    ]
    return next(((spelling, known[spelling]) for spelling in spellings if spelling in known), None)


def _due(
    view: View, row: VersionRow, chosen: tuple[str, Rule], *, tagged: Sequence[str], newer: int, now_ns: int
) -> Due | None:
    """Return what is due for a version by its rule; ``newer``: how many live versions are newer."""
    selection, rule = chosen
    if row.status == READY:
        reason = _why_not_kept(
            row, rule, tagged=tagged, newer=newer, now_ns=now_ns, is_one=selection.startswith("version:")
        )
        if reason is None:
            return None
        held = reasons_to_keep(view, row)
        said = f"{reason}, but {'; '.join(held)}" if held else reason
        return Due(row.name, row.version, "keep" if held else "delete", selection, said, row.size_bytes)
    if rule.purge_after_s is not None and now_ns - row.deleted_ns >= rule.purge_after_s * _SECOND_NS:
        reason = f"deleted more than {span_text(rule.purge_after_s)} ago"
        return Due(row.name, row.version, "purge", selection, reason, row.size_bytes)
    return None


def _why_not_kept(
    row: VersionRow, rule: Rule, *, tagged: Sequence[str], newer: int, now_ns: int, is_one: bool
) -> str | None:
    """Return why a rule does not keep a live version, or None when it does. The latest needs a rule of its own."""
    if not rule.deletes or (newer == 0 and not is_one):
        return None
    reasons = []
    if rule.keep_last is not None:
        if newer < rule.keep_last:
            return None
        reasons.append("1 version is newer" if newer == 1 else f"{newer} versions are newer")
    if rule.keep_younger_s is not None:
        if now_ns - row.created_ns < rule.keep_younger_s * _SECOND_NS:
            return None
        reasons.append(f"older than {span_text(rule.keep_younger_s)}")
    if rule.keep_tagged:
        if not set(rule.keep_tagged).isdisjoint(tagged):
            return None
        reasons.append(f"not tagged {' or '.join(rule.keep_tagged)}")
    return " and ".join(reasons)


def unfinished_purges(view: View) -> list[PurgeRow]:
    """Return the purges of which something may be left, oldest first."""
    return list(PURGES.scan(view.rows))


def details(view: View, row: VersionRow) -> list[int]:
    """Return the records that hold references, metadata, tags and descriptions of a version, all it ever had."""
    subject = names.spec(row.name, row.version)
    mentioned = mentions.indices(view.rows, mentions.of_artifact(row.name), version=row.version)
    return [index for index in mentioned if _may_be_blanked(view.record(index), subject)]


def _may_be_blanked(record: Record, subject: str) -> bool:
    return bool(record.flags & BLANKABLE) and record.subject == subject and not is_blank(record)


def unpurged(view: View) -> Iterator[VersionRow]:
    """Yield all versions that were not purged, deleted ones among them: those can be restored."""
    return (row for row in VERSIONS.scan(view.rows) if row.status != PURGED)


def pages_of(view: View, rows: Iterable[VersionRow]) -> dict[int, None]:
    """Return the records of the pages that these versions refer to, each once."""
    return {position: None for row in rows for position in created(view, row).pages}


def pages_of_only(view: View, going: Sequence[VersionRow]) -> dict[Key, list[int]]:
    """Return the records of the pages that go with these versions, each with the first of them that refers to it.

    A page that another version refers to, be it deleted, stays. Looks at every version of the store.
    """
    owners: dict[int, Key] = {}
    for row in going:
        for position in created(view, row).pages:
            owners.setdefault(position, (row.name, row.version))
    keys = {(row.name, row.version) for row in going}
    for row in unpurged(view):
        if not owners:
            break
        if (row.name, row.version) not in keys:
            for position in created(view, row).pages:
                owners.pop(position, None)
    found: dict[Key, list[int]] = {key: [] for key in keys}
    for position, key in owners.items():
        found[key].append(position)
    return found


def made_from(view: View, row: VersionRow, *, without: Collection[Key] = ()) -> list[str]:
    """Return the live versions that were made by a run that used this one; ``without`` as for ``reasons_to_keep``."""
    made: dict[Key, None] = {}
    for use in used_by(view, row.name, row.version):
        for output in outputs(view, use.run):
            made[output.name, output.version] = None
    return [
        names.spec(name, number)
        for name, number in made
        if (name, number) not in without and version(view, name, number).status == READY
    ]


def _some(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN_MAX]) + (", …" if len(words) > _SHOWN_MAX else "")
