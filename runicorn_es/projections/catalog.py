"""Artifacts, their versions and their aliases."""

from collections import defaultdict

from msgspec.structs import replace

from runicorn_es.events import (
    AliasRemoved,
    AliasSet,
    BatchAppended,
    DescriptionChanged,
    MetadataChanged,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
)
from runicorn_es.log import Record
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import OF_A_VERSION, Fact
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
    DigestRow,
    VersionRow,
)

CONCERNED = OF_A_VERSION | {AliasRemoved, AliasSet}
_POSITIONS: dict[type, str] = {
    MetadataChanged: "metadata_position",
    TagsChanged: "tags_position",
    DescriptionChanged: "description_position",
}


def apply(fact: Fact, out: Chronicle) -> None:
    """Fold what this fact says of artifacts, versions and aliases."""
    record = fact.record
    details: defaultdict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for event in fact.events:
        match event:
            case VersionCreated():
                _create(event, record, out)
            case BatchAppended():
                # Stands beside most of them: not to be compared with all that follow.
                pass
            case MetadataChanged() | TagsChanged() | DescriptionChanged():
                details[event.name, event.version][_POSITIONS[type(event)]] = record.index
            case AliasSet():
                alias = AliasRow(event.alias, event.version, record.index, record.time_ns)
                ALIASES.put(out, alias, event.name, event.alias)
            case AliasRemoved():
                ALIASES.delete(out, event.name, event.alias)
            case VersionDeleted():
                _change_status(event.name, event.version, DELETED, record, out)
            case VersionRestored():
                _change_status(event.name, event.version, READY, record, out)
            case VersionPurged():
                _change_status(event.name, event.version, PURGED, record, out)
            case _:
                pass
    # Mostly they come together.
    for version, positions in details.items():
        VERSIONS.put(out, replace(VERSIONS.expect(out, *version), **positions), *version)


def _create(event: VersionCreated, record: Record, out: Chronicle) -> None:
    version = VersionRow(
        event.name,
        event.type,
        event.version,
        READY,
        record.time_ns,
        event.run,
        event.digest,
        event.file_count,
        event.reference_count,
        event.size_bytes,
        record.index,
    )
    VERSIONS.add(out, version, event.name, event.version)
    DIGESTS.add(out, DigestRow(event.version), event.name, event.digest, event.version)
    artifact = ARTIFACTS.get(out, event.name)
    if artifact is None:
        artifact = ArtifactRow(event.name, event.type, record.time_ns, 0, 0, 0, 0, 0)
    if event.version != artifact.allotted + 1:
        raise Contradiction(
            f"the projections know {artifact.allotted} versions of {event.name!r}, the log {event.version}"
        )
    artifact = replace(
        artifact,
        updated_ns=record.time_ns,
        allotted=event.version,
        latest=event.version,
        live=artifact.live + 1,
        size_bytes=artifact.size_bytes + event.size_bytes,
    )
    ARTIFACTS.put(out, artifact, event.name)


def _change_status(name: str, number: int, status: str, record: Record, out: Chronicle) -> None:
    version = VERSIONS.expect(out, name, number)
    after = replace(version, status=status, deleted_ns=0 if status == READY else version.deleted_ns or record.time_ns)
    if status == PURGED:
        # At no moment of the past is there more of it.
        after = replace(after, metadata_position=-1, tags_position=-1, description_position=-1)
        VERSIONS.bury(out, after, name, number, index=version.position)
    else:
        VERSIONS.put(out, after, name, number)
    artifact = ARTIFACTS.expect(out, name)
    live = (status == READY) - (version.status == READY)
    deleted = (status == DELETED) - (version.status == DELETED)
    newest = (row.version for row in VERSIONS.scan(out, name, reverse=True) if row.status == READY)
    artifact = replace(
        artifact,
        updated_ns=record.time_ns,
        latest=next(newest, 0),
        live=artifact.live + live,
        size_bytes=artifact.size_bytes + live * version.size_bytes,
        deleted=artifact.deleted + deleted,
        deleted_bytes=artifact.deleted_bytes + deleted * version.size_bytes,
    )
    ARTIFACTS.put(out, artifact, name)
