"""What a projection is given: a record and, unless it is a page or was blanked, its events."""

import msgspec

from runicorn_es.events import (
    DescriptionChanged,
    Event,
    MetadataChanged,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
)
from runicorn_es.log import Record

# What changes what is known of a version.
OF_A_VERSION = frozenset(
    {
        DescriptionChanged,
        MetadataChanged,
        TagsChanged,
        VersionCreated,
        VersionDeleted,
        VersionPurged,
        VersionRestored,
    }
)


class Fact(msgspec.Struct, frozen=True, gc=False):
    """A record of the log with its events decoded. ``batch``: the index of the first record of its batch.

    kinds: of the events. is_blank: its payload was blanked, and it has no events.
    """

    record: Record
    events: tuple[Event, ...]
    batch: int
    kinds: frozenset[type]
    is_blank: bool
