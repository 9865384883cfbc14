"""All verbs: what each is called, does, and is made of. It is imported and read by typer when a line names it."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

import runicorn_es
from runicorn_es.cli.options import Verb, global_options


class Outline(NamedTuple):
    """place: a module of this package and a function in it. summary: the first sentence of the function's docstring."""

    place: str
    summary: str


# In the order of `--help`.
VERBS = {
    "list": Outline("artifacts:list_artifacts", "List the artifacts that have a version, by name."),
    "versions": Outline("versions:versions", "List the versions of an artifact, oldest first."),
    "show": Outline("versions:show", "Show what is known of a version, also of a deleted one."),
    "files": Outline("versions:files", "List the files of a version, by path."),
    "search": Outline(
        "search:search", "Find versions by name, type, tags, aliases, runs, times, sizes, metadata and words."
    ),
    "add": Outline("transfer:add", "Store files as the next version of an artifact."),
    "get": Outline("transfer:get", "Make the files of a version below a folder."),
    "checkout": Outline(
        "transfer:checkout", "Make a folder hold the files of versions, and none that an earlier checkout put there."
    ),
    "alias": Outline("aliases:alias", "Point an alias at a version, moving it if it is there already."),
    "unalias": Outline("aliases:unalias", "Remove an alias, given as NAME:ALIAS."),
    "tag": Outline("details:tag", "Add tags to a version and take others from it; without any, list them."),
    "describe": Outline("details:describe", "Describe a version in words; without TEXT, show what was said."),
    "annotate": Outline(
        "details:annotate", "Set keys of a version's metadata and take others away; without any, show it."
    ),
    "lineage": Outline("lineage:lineage", "Show what a version was made from and used for, the nearest first."),
    "impact": Outline(
        "impact:impact",
        "Show what depends on a version: all that was made with it, through which runs, "
        "and which aliases that reaches.",
    ),
    "diff": Outline(
        "diff:diff",
        "Show what is different between two versions: files, metadata, tags, references, what they were made from.",
    ),
    "history": Outline(
        "steps:history", "Show what happened to something, the newest first: when, who, in which run, why."
    ),
    "changes": Outline(
        "changes:changes", "Show what changed between two moments: what each thing was before, and what it is after."
    ),
    "undo": Outline("undo:undo", "Take back what a record did, by appending its opposite."),
    "stats": Outline("stats:stats", "Show how much there is, and what the pool saves."),
    "delete": Outline("versions:delete", "Hide a version; `runicorn restore` brings it back."),
    "restore": Outline("versions:restore", "Bring a deleted version back, with everything it had."),
    "protect": Outline(
        "protection:protect", "Protect an alias, of whatever artifact, from being moved or removed without --force."
    ),
    "purge": Outline("purging:purge", "Forget versions for good: files, paths, metadata, tags, descriptions."),
    "gc": Outline(
        "garbage:gc",
        "Remove what takes space for nothing: blobs that no version names, what killed writers left, unused downloads.",
    ),
    "retention": Outline(
        "retention:retention",
        "Say what to keep; `runicorn gc --apply-retention` deletes the rest, and nothing else does.",
    ),
    "explain": Outline(
        "explanation:explain",
        "Say why a version or a blob is kept, what depends on it, and what would be freed without it.",
    ),
    "compact": Outline(
        "compaction:compact",
        "Put versions that are seldom asked for into packs, where what they share is stored once and compressed.",
    ),
    "runs": Outline("runs:runs", "List the runs, oldest first."),
    "events": Outline("events:events", "Print the log, oldest first."),
    "watch": Outline("watching:watch", "Run a command for each event, in order, until Ctrl-C."),
    "consumers": Outline(
        "consuming:consumers",
        "List the consumers, with the last record each has acknowledged; have one go on elsewhere, or forget it.",
    ),
    "audit": Outline("trust:audit", "Verify log, checkpoint and pool; changes nothing."),
    "checkpoint": Outline(
        "trust:checkpoint", "Print the newest signed checkpoint: how many records, and the root over them."
    ),
    "prove": Outline(
        "trust:prove",
        "Print a proof: of a record in the log, that the log continues an older checkpoint, or that it was forked.",
    ),
    "verify": Outline("trust:verify", "Say what a proof proves to whoever trusts a public key."),
    "export": Outline(
        "exporting:export",
        "Write the log as a static transparency log (C2SP tlog-tiles), or versions or events as a table for analysis.",
    ),
    "key": Outline(
        "trust:key",
        "Show the public keys that sign the log, and those that signed it earlier; or replace or lock the key.",
    ),
    "repair": Outline(
        "trust:repair",
        "Take missing or damaged segments and blobs from another copy of the store; each is verified first.",
    ),
    "replay": Outline("replay:replay", "Build a store as this one was at a moment."),
    "rebuild": Outline("rebuild:rebuild", "Fold the tables anew from the log."),
    "doctor": Outline("doctor:doctor", "Look at the store and say how it is; changes nothing."),
    "viewer": Outline("viewer:viewer", "Serve pages to look at the store with, until Ctrl-C."),
    "artifacts": Outline("guide:guide", "The guide's command: list, versions, info, stats, delete and cleanup-dedup."),
}


class Program(TyperGroup):
    """The group of all verbs, with the global options before them."""

    def __init__(self, *, params: list[Any] | None = None, **attributes: Any) -> None:
        version = TyperOption(
            param_decls=["version", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the release and exit.",
        )
        super().__init__(params=[*(params or []), *global_options(), version], **attributes)
        # typer looks commands up by name here, and suggests from the names.
        self.commands = cast(MutableMapping[str, Any], _Made())

    def list_commands(self, _: Any) -> list[str]:
        """Return the names of the verbs, without making any."""
        return list(VERBS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs as typer does, from their outlines."""
        outlines = [TyperCommand(name, help=outline.summary) for name, outline in VERBS.items()]
        TyperGroup(commands=outlines).format_commands(ctx, formatter)


class _Made(Mapping[str, TyperCommand]):
    """The verbs by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, TyperCommand] = {}

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in self._made:
            self._made[name] = _make(name, VERBS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


def _make(name: str, outline: Outline) -> TyperCommand:
    module, _, function = outline.place.partition(":")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name, cls=Verb)(getattr(import_module(f"runicorn_es.cli.{module}"), function))
    return cast(TyperCommand, typer.main.get_command(alone))


def _show_version(context: typer.Context, _: Any, value: object) -> object:
    if value and not context.resilient_parsing:
        typer.echo(f"runicorn-es {runicorn_es.__version__}")
        raise typer.Exit
    return value
