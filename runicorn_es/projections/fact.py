"""What a projection is given: a record and, unless it is a page or was blanked, its events."""

import msgspec

from runicorn_es.events import Event
from runicorn_es.log import Record


class Fact(msgspec.Struct, frozen=True):
    """A record of the log with its events decoded."""

    record: Record
    events: tuple[Event, ...]
