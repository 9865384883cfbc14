"""What can be changed from a page: each a form that says what will happen, and one command of the store behind it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec

from runicorn_es import names, settings
from runicorn_es.errors import Rejected
from runicorn_es.names import parse_reference
from runicorn_es.store import Store

Form = Mapping[str, str]


class Field(NamedTuple):
    """What a form asks for. ``kind``: ``text``, ``long``, ``box``, or ``hidden``."""

    name: str
    label: str
    kind: str = "text"
    is_needed: bool = False
    hint: str = ""


class Change(NamedTuple):
    """Something that can be changed. ``done``: what is said afterwards. is_dangerous: others may miss what it hides."""

    title: str
    explanation: str
    button: str
    done: str
    fields: tuple[Field, ...]
    carry_out: Callable[[Store, Form], None]
    is_dangerous: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A form with what was put in, and why it was refused, if it was."""

    verb: str
    spec: str
    name: str
    version: int | None
    values: dict[str, str]
    refusal: str | None


_REASON = Field("reason", "Why (kept in the log)")
_FORCE = Field("force", "Do it in spite of the reasons against it", "box")


def _set_alias(store: Store, form: Form) -> None:
    expected = form.get("expected", "")
    if expected and not expected.isdecimal():
        raise Rejected(f"expected must be the number of a version, not {expected!r}")
    store.alias(
        form["spec"],
        form["alias"].strip(),
        reason=form.get("reason") or None,
        expected=int(expected) if expected else None,
        force="force" in form,
    )


def _remove_alias(store: Store, form: Form) -> None:
    name = parse_reference(form["spec"]).name
    store.unalias(name, form["alias"], reason=form.get("reason") or None, force="force" in form)


def _set_tags(store: Store, form: Form) -> None:
    store.set_tags(form["spec"], add=_words(form.get("add", "")), remove=_words(form.get("remove", "")))


def _words(text: str) -> list[str]:
    """Return tags as people write them, with commas between."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _describe(store: Store, form: Form) -> None:
    store.describe(form["spec"], form.get("text", "").replace("\r\n", "\n").strip() or None)


def _delete(store: Store, form: Form) -> None:
    store.delete(form["spec"], reason=form.get("reason") or None, force="force" in form)


def _restore(store: Store, form: Form) -> None:
    store.restore(form["spec"], reason=form.get("reason") or None)


CHANGES: dict[str, Change] = {
    "alias": Change(
        "Set an alias",
        "The alias points to this version from now on. If it points to another one, it moves; the log keeps where it "
        "was.",
        "Set the alias",
        "The alias was set.",
        (Field("alias", "Alias", is_needed=True, hint="Such as production."), _REASON, _FORCE,
         Field("expected", "", "hidden")),
        _set_alias,
    ),
    "unalias": Change(
        "Remove an alias",
        "The alias points to no version any more. The version stays, and the log keeps where the alias was.",
        "Remove the alias",
        "The alias was removed.",
        (Field("alias", "Alias", is_needed=True), _REASON, _FORCE),
        _remove_alias,
        is_dangerous=True,
    ),
    "tag": Change(
        "Change the tags",
        "Tags are words to find versions by. What they were before stays in the log.",
        "Change the tags",
        "The tags were changed.",
        (Field("add", "Add", hint="Several with commas between."), Field("remove", "Take away")),
        _set_tags,
    ),
    "describe": Change(
        "Describe the version",
        "What people should know of it. An empty text takes the description away.",
        "Set the description",
        "The description was set.",
        (Field("text", "Description", "long"),),
        _describe,
    ),
    "delete": Change(
        "Delete a version",
        "The version is hidden from lists and from lookups. Nothing is lost: it can be restored at any time, and its "
        "number is never given again.",
        "Delete the version",
        "The version was deleted. It can be restored.",
        (_REASON, _FORCE),
        _delete,
        is_dangerous=True,
    ),
    "restore": Change(
        "Restore a version",
        "The version is back with everything it had.",
        "Restore the version",
        "The version was restored.",
        (_REASON,),
        _restore,
    ),
}  # fmt: skip


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of a form as browsers send it. Raises Rejected."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=64)
    except ValueError as error:
        raise Rejected(f"this is no form as browsers send them: {error}") from error
    return dict(pairs)


def shown(verb: str, form: Form, refusal: str | None = None) -> Shown:
    """Return a form, filled with what is known. Raises Rejected for what names no version."""
    spec = form.get("spec", "")[: settings.URL_BYTES_MAX]
    reference = parse_reference(spec)
    values = {field.name: form.get(field.name, "") for field in CHANGES[verb].fields}
    return Shown(verb, spec, reference.name, reference.version, values, refusal)


def carry_out(store: Store, verb: str, form: Form) -> None:
    """Do it. Raises as the store does, and Rejected where the form lacks something."""
    change = CHANGES[verb]
    for field in change.fields:
        if field.is_needed and not form.get(field.name, "").strip():
            raise Rejected(f"{field.label} is empty")
    reference = parse_reference(form.get("spec", ""))
    if reference.version is None:
        raise Rejected(f"{reference.text!r} must name one version, such as {names.spec(reference.name, 1)}")
    change.carry_out(store, form)
