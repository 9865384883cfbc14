"""Artifacts, versions and aliases, and which version is meant."""

from collections.abc import Iterator
import difflib
from itertools import islice

import msgspec

from runicorn_es import names
from runicorn_es.errors import Unknown
from runicorn_es.interop import notebook
from runicorn_es.names import Reference
from runicorn_es.projections import blanks
from runicorn_es.projections.rows import (
    ALIASES,
    ARTIFACTS,
    DELETED,
    DIGESTS,
    PURGED,
    READY,
    VERSIONS,
    AliasRow,
    ArtifactRow,
    Contradiction,
    VersionRow,
)
from runicorn_es.queries.view import View

_SUGGESTIONS = 3
_NAMES_COMPARED_MAX = 10_000


class Counts(msgspec.Struct, frozen=True):
    """Artifacts that have a live version, and sums over live versions and over deleted ones that can be restored."""

    artifacts: int = 0
    versions: int = 0
    size_bytes: int = 0
    deleted_versions: int = 0
    deleted_bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.artifacts + other.artifacts,
            self.versions + other.versions,
            self.size_bytes + other.size_bytes,
            self.deleted_versions + other.deleted_versions,
            self.deleted_bytes + other.deleted_bytes,
        )


class Stats(msgspec.Struct, frozen=True):
    """What ``stats`` shows. Sizes in bytes.

    pool_bytes: what all blobs take on disk, each counted once; None as of the past, for that is not known.
    packed_bytes: those of them in pack files (cold).
    garbage_count, garbage_bytes: blobs that no version names, which ``gc`` removes.
    """

    total: Counts
    by_type: dict[str, Counts]
    pool_bytes: int | None
    packed_bytes: int = 0
    garbage_count: int = 0
    garbage_bytes: int = 0

    @property
    def saved_bytes(self) -> int:
        """Return how much less the pool takes than a copy for each version would, deleted ones included.

        0 where it is not known what the pool took.
        """
        if self.pool_bytes is None:
            return 0
        return max(0, self.total.size_bytes + self.total.deleted_bytes - self.pool_bytes + self.garbage_bytes)

    @property
    def saved_share(self) -> float:
        """Return the saved part of all that a copy for each version would take, from 0 to 1."""
        stored_bytes = self.total.size_bytes + self.total.deleted_bytes
        return self.saved_bytes / stored_bytes if stored_bytes else 0.0

    def _repr_html_(self) -> str:
        pairs = {
            "pool": f"{self.pool_bytes:,} bytes, {self.packed_bytes:,} of them packed",
            "saved": f"{self.saved_bytes:,} bytes ({self.saved_share:.1%})",
            "garbage": f"{self.garbage_bytes:,} bytes in {self.garbage_count:,} blobs",
        }
        kinds = [("all", self.total), *sorted(self.by_type.items())]
        rows = [(kind, f"{row.artifacts:,}", f"{row.versions:,}", f"{row.size_bytes:,}") for kind, row in kinds]
        return notebook.card("the store", pairs, notebook.table(("type", "artifacts", "versions", "bytes"), rows))


def artifacts(
    view: View, kind: str | None = None, *, after: str | None = None, limit: int | None = None
) -> list[ArtifactRow]:
    """Return the artifacts that have a live version, by name; of one type, beyond a name, so many, if given."""
    found = ARTIFACTS.scan(view.rows, after=after)
    return list(islice((row for row in found if row.live and (kind is None or row.type == kind)), limit))


def all_artifacts(view: View) -> list[ArtifactRow]:
    """Return all artifacts by name, also those of which every version was deleted or purged."""
    return list(ARTIFACTS.scan(view.rows))


def artifact(view: View, name: str) -> ArtifactRow:
    """Return an artifact. Raises Unknown, naming similar ones."""
    row = ARTIFACTS.get(view.rows, name)
    if row is None:
        raise Unknown(not_found(f"no artifact named {name!r}", name, [row.name for row in _some_artifacts(view)]))
    return row


def versions(
    view: View, name: str, *, deleted: bool = False, after: int | None = None, limit: int | None = None
) -> list[VersionRow]:
    """Return the live versions of an artifact, oldest first; with ``deleted`` also the deleted and purged ones.

    after, limit: only those beyond a number, and so many.
    """
    artifact(view, name)
    found = VERSIONS.scan(view.rows, name, after=after)
    return list(islice((row for row in found if deleted or row.status == READY), limit))


def resolve(view: View, reference: Reference, *, deleted: bool = False) -> VersionRow:
    """Return the version that is meant.

    Raises Unknown when there is none, or when it is deleted (unless ``deleted``) or purged.
    """
    if reference.digest_prefix is not None and ARTIFACTS.get(view.rows, reference.text) is not None:
        # An artifact may be called ``bert@2024``; its name comes first.
        reference = Reference(reference.text, reference.text)
    if reference.digest_prefix is not None:
        row = _by_digest(view, reference)
    else:
        row = _by_number_or_alias(view, reference, deleted=deleted)
    spec = names.spec(row.name, row.version)
    if row.status == PURGED:
        raise Unknown(f"{spec} was purged and cannot come back; `runicorn-es events` says when and why")
    if (blanked := blanks.position_of(view.rows, spec)) is not None:
        # For its message: what is blank and why that is damage.
        view.events(blanked)
    if row.status == DELETED and not deleted:
        raise Unknown(f"{spec} is deleted; `runicorn-es restore {spec}` brings it back")
    return row


def version(view: View, name: str, number: int) -> VersionRow:
    """Return one version by its number, whatever its status. Raises Unknown."""
    row = VERSIONS.get(view.rows, name, number)
    if row is None:
        allotted = artifact(view, name).allotted
        if 1 <= number <= allotted:
            VERSIONS.expect(view.rows, name, number)
        raise Unknown(f"{name!r} has no version v{number}; its versions are v1 to v{allotted}")
    if (row.name, row.version) != (name, number):
        raise Contradiction(f"the projections have {row.name}:v{row.version} in the place of {name}:v{number}")
    return row


def aliases(view: View, name: str) -> list[AliasRow]:
    """Return the aliases of an artifact, by alias. ``latest``, which is computed, is not among them."""
    return list(ALIASES.scan(view.rows, name))


def aliases_by_version(view: View, name: str) -> dict[int, list[str]]:
    """Return the aliases of each version that has one, ``latest`` first."""
    found: dict[int, list[str]] = {}
    row = ARTIFACTS.get(view.rows, name)
    if row is not None and row.latest:
        found[row.latest] = [names.LATEST]
    for alias in ALIASES.scan(view.rows, name):
        found.setdefault(alias.version, []).append(alias.alias)
    return found


def aliases_of(view: View, row: VersionRow) -> list[str]:
    """Return the aliases of one version, ``latest`` first."""
    return aliases_by_version(view, row.name).get(row.version, [])


def stats(
    view: View, pool_bytes: int | None, *, packed_bytes: int = 0, garbage_count: int = 0, garbage_bytes: int = 0
) -> Stats:
    """Return the sums over the store; what the blobs take is known to the caller."""
    by_type: dict[str, Counts] = {}
    for row in ARTIFACTS.scan(view.rows):
        counts = Counts(bool(row.live), row.live, row.size_bytes, row.deleted, row.deleted_bytes)
        by_type[row.type] = by_type.get(row.type, Counts()) + counts
    total = sum(by_type.values(), Counts())
    return Stats(total, by_type, pool_bytes, packed_bytes, garbage_count, garbage_bytes)


def _by_number_or_alias(view: View, reference: Reference, *, deleted: bool) -> VersionRow:
    row = artifact(view, reference.name)
    if reference.version is not None:
        return version(view, row.name, reference.version)
    if reference.alias is not None:
        alias = ALIASES.get(view.rows, row.name, reference.alias)
        if alias is None:
            known = [names.LATEST, *(found.alias for found in ALIASES.scan(view.rows, row.name))]
            raise Unknown(not_found(f"{row.name!r} has no alias {reference.alias!r}", reference.alias, known))
        return version(view, row.name, alias.version)
    if row.latest:
        return version(view, row.name, row.latest)
    newest = version(view, row.name, row.allotted)
    if deleted:
        return newest
    raise Unknown(
        f"all versions of {row.name!r} are deleted; `runicorn-es versions {row.name} --deleted` lists them, "
        "`runicorn-es restore` brings one back"
    )


def _by_digest(view: View, reference: Reference) -> VersionRow:
    prefix = reference.digest_prefix or ""
    artifact(view, reference.name)
    # The half of a byte that an odd number of digits ends with is compared with the row.
    begin = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    numbers = [row.version for row in DIGESTS.beginning(view.rows, reference.name, begin=begin)]
    rows = (version(view, reference.name, number) for number in sorted(numbers))
    found = [row for row in rows if row.status == READY and row.digest.hex().startswith(prefix)]
    digests = {row.digest for row in found}
    if len(digests) > 1:
        some = ", ".join(names.spec(row.name, row.version) for row in found[:_SUGGESTIONS])
        raise Unknown(f"{reference.text!r} means several versions ({some}…); write more digits of the digest")
    if not found:
        raise Unknown(f"no live version of {reference.name!r} has a digest that begins with {prefix!r}")
    # Several versions with one content: the newest speaks for all.
    return found[-1]


def _some_artifacts(view: View) -> Iterator[ArtifactRow]:
    for count, row in enumerate(ARTIFACTS.scan(view.rows)):
        if count == _NAMES_COMPARED_MAX:
            return
        yield row


def not_found(message: str, wanted: str, known: list[str]) -> str:
    """Return a message that names what exists nearby."""
    near = difflib.get_close_matches(wanted, known, n=_SUGGESTIONS, cutoff=0.5)
    if near:
        return f"{message}; did you mean {' or '.join(repr(name) for name in near)}?"
    if not known:
        return f"{message}; there is none yet"
    some = ", ".join(repr(name) for name in known[:_SUGGESTIONS])
    return f"{message}; there is {some}" + (", …" if len(known) > _SUGGESTIONS else "")
