#!/usr/bin/env python3
"""Print docs/reference/api.md: every public name with its signature and what its docstring says.

tools/api_reference.py > docs/reference/api.md
"""

import ast
from collections.abc import Callable, Iterator
import inspect
import re
import sys
import textwrap
import typing

import msgspec

import runicorn_es as rn
from runicorn_es.events import Event

INTRODUCTION = """\
# Python API

<!-- made by tools/api_reference.py from the docstrings; change those -->

Everything here is imported from `runicorn_es`, which the examples of these pages call `rn`. Sizes are in bytes, times
in UTC. Errors are described in [errors](errors.md), words in the [glossary](glossary.md), limits in
[settings](settings.md).

A **spec** names a version: `name` or `name:latest` (the newest that is not deleted), `name:v3`, `name:alias`, or
`name@` and at least four hexadecimal digits of its content digest.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "Runs": ("init", "finish", "Run"),
    "Making versions": ("Artifact", "VersionNumber"),
    "Using versions": ("ArtifactVersion", "Metadata", "Manifest", "File"),
    "Stores": ("open_store", "Store", "Batch"),
    "Searching": ("Found",),
    "Following": ("Happened", "Following", "Consumer", "Projection", "Projected"),
    "What changed": ("Diff", "Changes", "Step"),
    "Keeping and forgetting": ("Rule", "Due", "Purged", "Reclaimed", "Reclaimable", "Explanation", "Compacted"),
    "Errors": (
        "RunicornError",
        "Rejected",
        "Unknown",
        "BadQuery",
        "Conflict",
        "DiskFull",
        "Busy",
        "Damaged",
        "BlobDamaged",
        "WriteFailed",
        "TooNew",
    ),
}
# What the rooms of the package call on each other's objects; users have better.
INTERNAL = {
    "execute",
    "execute_all",
    "wish_for",
    "taken_in",
    "reading",
    "readings",
    "repeated",
    "records",
    "version_of",
    "forget",
    "source_of",
    "staged_folders",
    "staged_paths",
    "metadata_json",
    "of",
}
ALL_EVENTS = " | ".join(kind.__name__ for kind in Event.__args__)
LINE_CHARACTERS = 100


def main() -> None:
    """Print the page."""
    missing = set(rn.__all__) - {name for group in GROUPS.values() for name in group}
    if missing:
        sys.exit(f"tools/api_reference.py: no group for {', '.join(sorted(missing))}; add it to GROUPS")
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [described(name, getattr(rn, name)) for name in group]
    parts.append(
        "## What is returned\n\nPlain, frozen records that one meets but does not make. "
        "Events are described on [their own page](events.md).\n"
    )
    parts += [described(kind.__name__, kind) for kind in types_returned()]
    sys.stdout.write("\n".join(parts))


def described(name: str, thing: type | Callable[..., object]) -> str:
    """Return the section of one public name."""
    parts = [f"### `{name}`\n"]
    if not isinstance(thing, type) or thing is rn.Artifact:
        parts.append(signature_of(f"rn.{name}", thing))
    code = f" Exit code {thing.exit_code}." if isinstance(thing, type) and issubclass(thing, rn.RunicornError) else ""
    parts.append(f"{text_of(thing)}{code}\n")
    if isinstance(thing, type) and not code:
        if issubclass(thing, msgspec.Struct):
            parts.append(table_of_fields(thing))
        elif attributes := attributes_of(thing):
            parts.append(f"Attributes: {', '.join(f'`{attribute}`' for attribute in attributes)}.\n")
        parts += members_of(thing)
    return "\n".join(parts)


def attributes_of(kind: type) -> list[str]:
    """Return the public attributes that instances of a class have: those annotated, and those its __init__ sets."""
    found = dict.fromkeys(inspect.get_annotations(kind))
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found[name] = None
            case _:
                pass
    return [name for name in found if not name.startswith("_")]


def types_returned() -> list[type]:
    """Return the package's types that public methods return, and those of their fields, that have no public name."""
    found: dict[type, None] = {}
    public = [getattr(rn, name) for name in rn.__all__]
    waiting = [hint for thing in public for hint in hints_of(thing)]
    while waiting:
        hint = waiting.pop(0)
        waiting += typing.get_args(hint)
        is_ours = isinstance(hint, type) and hint.__module__.startswith("runicorn_es.")
        if is_ours and hint not in public and hint not in found and hint.__module__ != Event.__args__[0].__module__:
            found[hint] = None
            waiting += hints_of(hint)
    return list(found)


def hints_of(thing: type | Callable[..., object]) -> list[object]:
    """Return the types that a public name hands out: what it returns, or what its methods and fields are."""
    if not isinstance(thing, type):
        return [typing.get_type_hints(thing).get("return")]
    fields = list(typing.get_type_hints(thing).values()) if issubclass(thing, msgspec.Struct) else []
    functions = [member.fget if isinstance(member, property) else member for _, member in public_members(thing)]
    return fields + [typing.get_type_hints(function).get("return") for function in functions]


def public_members(kind: type) -> list[tuple[str, object]]:
    """Return the public methods and properties of a class with their names, in the order of its source."""
    shown: dict[str, object] = {}
    for parent in kind.__mro__:
        if parent.__module__.startswith("runicorn_es"):
            for name, member in vars(parent).items():
                is_shown = isinstance(member, property) or inspect.isfunction(member)
                if is_shown and not name.startswith("_") and name not in INTERNAL:
                    shown.setdefault(name, member)
    return list(shown.items())


def members_of(kind: type) -> Iterator[str]:
    """Yield the sections of the public methods and properties of a class."""
    for name, member in public_members(kind):
        if isinstance(member, property):
            yield f"#### `{kind.__name__}.{name}`\n\n`{type_text(returned(member.fget))}`. {text_of(member)}\n"
        else:
            assert callable(member)
            yield f"#### `{kind.__name__}.{name}`\n\n{signature_of(name, member)}\n{text_of(member)}\n"


def table_of_fields(kind: type[msgspec.Struct]) -> str:
    """Return the fields of a record as a table."""
    hints = typing.get_type_hints(kind)
    lines = ["| field | type |", "|---|---|"]
    for name in kind.__struct_fields__:
        kind_text = type_text(hints[name]).replace("|", "\\|")
        lines.append(f"| `{name}` | `{kind_text}` |")
    return "\n".join(lines) + "\n"


def signature_of(shown_as: str, thing: Callable[..., object]) -> str:
    """Return a signature as a block of code, on several lines where it is long."""
    signature = inspect.signature(thing)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    arrow = ""
    if not isinstance(thing, type) and signature.return_annotation is not inspect.Signature.empty:
        arrow = f" -> {type_text(signature.return_annotation)}"
    words = list(parameter_texts(parameters))
    line = f"{shown_as}({', '.join(words)}){arrow}"
    if len(line) > LINE_CHARACTERS:
        line = "\n".join([f"{shown_as}(", *(f"    {word}," for word in words), f"){arrow}"])
    # Not `python`: a signature is no program.
    return f"```text\n{line}\n```\n"


def parameter_texts(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """Yield each parameter as in source code, with the star before those that are given by keyword."""
    has_star = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            has_star = True
        if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
            has_star = True
            yield "*"
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"{stars}{parameter.name}: {type_text(parameter.annotation)}{default}"


def type_text(kind: object) -> str:
    """Return a type as one would write it, without the modules it comes from."""
    text = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    text = re.sub(r"\b(?:typing|collections\.abc|pathlib|datetime|runicorn_es(?:\.\w+)*)\.", "", text)
    text = text.replace(ALL_EVENTS, "Event")
    return {"NoneType": "None", "Self": "Artifact"}.get(text, text)


def returned(function: object) -> object:
    """Return what a property's function returns."""
    assert callable(function)
    return inspect.signature(function).return_annotation


def text_of(thing: object) -> str:
    """Return a docstring as Markdown: code in single backticks, sessions in blocks."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(thing) or "").replace("  # doctest: +SKIP", "")
    return re.sub(
        r"^Example:\n((?: +.*\n?)+)",
        lambda match: f"```pycon\n{inspect.cleandoc(match[1])}\n```",
        text,
        flags=re.MULTILINE,
    )


if __name__ == "__main__":
    main()
