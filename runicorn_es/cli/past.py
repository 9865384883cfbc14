"""``--as-of``: the moment that a question is about, and how the answer says so."""

from typing import Any

from runicorn_es.cli import late, output
from runicorn_es.cli.asked import Asked


def moment(store: "late.store.Store", asked: Asked, as_of: str | None) -> "late.moments.Moment | None":
    """Return the moment that is meant, None for now. People are told on stderr which it is. Raises Rejected."""
    found = None if as_of is None else store.moment(as_of)
    say(asked, found)
    return found


def meant(
    store: "late.store.Store", asked: Asked, spec: str, as_of: str | None
) -> "tuple[str, late.moments.Moment | None]":
    """Return a spec without a moment in it, and that moment or the one of ``--as-of``; told as ``moment`` does."""
    wanted, found = store.meant(spec, as_of)
    say(asked, found)
    return wanted, found


def say(asked: Asked, moment: "late.moments.Moment | None") -> None:
    """Tell people which moment is shown. In JSON the answer says it."""
    if moment is not None and not asked.as_json:
        when = f", {output.local_time(moment.time_ns)}" if moment.time_ns else ""
        output.complain("as of", f"#{moment.position}{when}")


def member(moment: "late.moments.Moment | None") -> dict[str, Any]:
    """Return the member of an answer in JSON that says which moment it is of; none for now."""
    if moment is None:
        return {}
    return {"as_of": {"position": moment.position, "time": output.utc_time(moment.time_ns)}}
