"""What a follower of the log wants to hear of: an alias, an artifact, a type, or one kind of event."""

from collections.abc import Callable, Sequence
import difflib
from typing import Literal, get_args

import msgspec

from runicorn_es import names
from runicorn_es.errors import Rejected
from runicorn_es.events import (
    AliasRemoved,
    AliasSet,
    BatchAppended,
    DescriptionChanged,
    Event,
    MetadataChanged,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)

Kind = Literal["alias", "artifact", "type", "event"]
OfVersion = (
    VersionCreated
    | MetadataChanged
    | TagsChanged
    | DescriptionChanged
    | AliasSet
    | AliasRemoved
    | VersionUsed
    | VersionDeleted
    | VersionRestored
    | VersionPurged
)
# Who appended is told with each event, and is none that one waits for.
TAGS = tuple(kind.__struct_config__.tag for kind in get_args(Event) if kind is not BatchAppended)
_KINDS: tuple[Kind, ...] = get_args(Kind)
_USAGE = "write alias:production, alias:NAME:production, artifact:NAME, type:model or event:version"


class Interest(msgspec.Struct, frozen=True):
    """One thing to hear of. ``artifact`` narrows an alias down to that of one artifact."""

    kind: Kind
    value: str
    artifact: str | None = None

    def __str__(self) -> str:
        """Return how it is spelled, such as ``alias:production``."""
        return ":".join(part for part in (self.kind, self.artifact, self.value) if part is not None)

    def covers(self, event: Event, type_of: Callable[[str], str | None]) -> bool:
        """Return whether this event is meant; ``type_of`` knows the type of an artifact by its name."""
        match self.kind:
            case "event":
                return bool(event.__struct_config__.tag == self.value)
            case "alias":
                is_of_alias = isinstance(event, AliasSet | AliasRemoved) and event.alias == self.value
                return is_of_alias and self.artifact in {None, name_in(event)}
            case "artifact":
                return name_in(event) == self.value
            case "type":
                name = name_in(event)
                return name is not None and type_of(name) == self.value


def parse_interest(text: str) -> Interest:
    """Return an interest by how it is spelled. Raises Rejected, which says what is wrong with it."""
    try:
        return _parsed(text)
    except Rejected as error:
        message = str(error)
        raise Rejected(message if message.startswith(repr(text)) else f"{text!r}: {message}") from None


def parse_interests(texts: Sequence[str]) -> tuple[Interest, ...]:
    """Return several interests. Raises Rejected for the first that is none."""
    return tuple(parse_interest(text) for text in texts)


def are_interested(interests: Sequence[Interest], event: Event, type_of: Callable[[str], str | None]) -> bool:
    """Return whether one of these interests covers an event. Without interests everything is of interest."""
    return not interests or any(one.covers(event, type_of) for one in interests)


def want_pages(interests: Sequence[Interest]) -> bool:
    """Return whether the pages, which hold files, have to be looked into for these interests."""
    return not interests or any(one.kind == "event" and one.value == "file" for one in interests)


def name_in(event: Event) -> str | None:
    """Return the name of the artifact that an event is about, or None. Files and references say none."""
    return event.name if isinstance(event, OfVersion) else None


def _parsed(text: str) -> Interest:
    kind, colon, value = text.partition(":")
    match kind:
        case "alias" if colon:
            artifact, between, alias = value.rpartition(":")
            return Interest("alias", names.parse_alias(alias), names.parse_name(artifact) if between else None)
        case "artifact" if colon:
            return Interest("artifact", names.parse_name(value))
        case "type" if colon:
            return Interest("type", names.parse_type(value))
        case "event" if colon:
            if value not in TAGS:
                raise Rejected(
                    f"{text!r}: there is no event {value!r}{_instead(value, TAGS)}; the events are {', '.join(TAGS)}"
                )
            return Interest("event", value)
    meant = _instead(kind, _KINDS, f":{value}") if colon else ""
    raise Rejected(f"{text!r} says not what to hear of{meant}; {_USAGE}")


def _instead(word: str, known: Sequence[str], rest: str = "") -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean '{close[0]}{rest}'" if close else ""
