"""What people want to be kept of their versions: a rule, and which versions it is for. Values only."""

import re
from typing import Literal

import msgspec

from runicorn_es import names
from runicorn_es.errors import Rejected

DAY_S = 86_400
_SPAN = re.compile(r"([0-9]{1,12})\s*(s|m|h|d|w|y)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S, "y": 365 * DAY_S}


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is kept; what is not kept is deleted when retention is applied.

    keep_last: the newest so many of each artifact. keep_younger_s: those logged less than so many seconds ago.
    keep_tagged: those with one of these tags. purge_after_s: deleted ones are purged so many seconds after their
    deletion; None: never. The latest version and those with an alias are always kept.
    """

    keep_last: int | None = None
    keep_younger_s: int | None = None
    keep_tagged: tuple[str, ...] = ()
    purge_after_s: int | None = None

    def __str__(self) -> str:
        """Return the rule in words, such as ``keep last 3, younger than 30d``."""
        kept = []
        if self.keep_last is not None:
            kept.append(f"last {self.keep_last}")
        if self.keep_younger_s is not None:
            kept.append(f"younger than {span_text(self.keep_younger_s)}")
        if self.keep_tagged:
            kept.append(f"tagged {' or '.join(self.keep_tagged)}")
        said = [f"keep {', '.join(kept)}"] if kept else []
        if self.purge_after_s is not None:
            said.append(f"purge {span_text(self.purge_after_s)} after deletion")
        return "; ".join(said)

    @property
    def deletes(self) -> bool:
        """Return whether the rule ever deletes anything: one that says nothing of what to keep does not."""
        return self.keep_last is not None or self.keep_younger_s is not None or bool(self.keep_tagged)


class Selection(msgspec.Struct, frozen=True):
    """Which versions a rule is for: all, those of a type, with a tag, of an artifact, or one."""

    kind: Literal["all", "type", "tag", "artifact", "version"]
    name: str = ""
    version: int = 0

    def __str__(self) -> str:
        """Return how it is spelled: ``*``, ``type:model``, ``tag:nightly``, ``artifact:m`` or ``version:m:v3``."""
        match self.kind:
            case "all":
                return "*"
            case "version":
                return f"version:{names.spec(self.name, self.version)}"
            case _:
                return f"{self.kind}:{self.name}"

    @property
    def rank(self) -> int:
        """Return how particular it is: of several rules for a version, that of the highest rank counts."""
        return ("all", "type", "tag", "artifact", "version").index(self.kind)


def parse_selection(text: str) -> Selection:
    """Return a selection by how it is spelled; the bare name of an artifact or a bare spec will do. Raises Rejected."""
    kind, colon, rest = text.partition(":")
    match kind:
        case "*" if not colon:
            return Selection("all")
        case "type" if colon:
            return Selection("type", names.parse_type(rest))
        case "tag" if colon:
            return Selection("tag", names.parse_tag(rest))
        case "artifact" if colon:
            return Selection("artifact", names.parse_name(rest))
    reference = names.parse_reference(rest if kind == "version" and colon else text)
    if reference.version is not None:
        return Selection("version", reference.name, reference.version)
    if reference.alias is None and reference.digest_prefix is None and not colon:
        return Selection("artifact", reference.name)
    raise Rejected(
        f"{text!r} selects no versions; write '*', 'type:model', 'tag:nightly', the name of an artifact, or name:v3"
    )


def read_rule(text: str) -> Rule:
    """Return the rule that a JSON object says. Raises Rejected."""
    try:
        return msgspec.json.decode(text, type=Rule)
    except msgspec.MsgspecError as error:
        raise Rejected(f"{text!r} is not a rule of retention: {error}") from error


def parse_span(text: str) -> int:
    """Return the seconds of a span of time such as ``30d``, ``12h`` or ``2w``. Raises Rejected."""
    match = _SPAN.fullmatch(text.strip().lower())
    if not match:
        raise Rejected(f"{text!r} is not a span of time; write a number and s, m, h, d, w or y, such as 30d")
    return int(match[1]) * _UNITS_S[match[2]]


def span_text(seconds: int) -> str:
    """Return a span of time as ``parse_span`` reads it, in the largest unit that has no rest."""
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNITS_S[unit] == 0:
            return f"{seconds // _UNITS_S[unit]}{unit}"
    return f"{seconds}s"
