"""The command line: parse, call, show. One file for each noun, and no rule of the domain.

Nothing at the top of these files may take long to import: the store comes through ``late``.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
import io
import os
import sys

import typer

from runicorn_es.cli import (
    aliases,
    artifacts,
    changes,
    compaction,
    completion,
    consuming,
    details,
    diff,
    doctor,
    events,
    explanation,
    exporting,
    failures,
    garbage,
    guide,
    impact,
    lineage,
    protection,
    purging,
    rebuild,
    replay,
    retention,
    runs,
    search,
    stats,
    steps,
    transfer,
    trust,
    undo,
    versions,
    viewer,
    watching,
)
from runicorn_es.cli.options import Program, Verb

# In the order of `--help`.
_VERBS: dict[str, Callable[..., None]] = {
    "list": artifacts.list_artifacts,
    "versions": versions.versions,
    "show": versions.show,
    "files": versions.files,
    "search": search.search,
    "add": transfer.add,
    "get": transfer.get,
    "checkout": transfer.checkout,
    "alias": aliases.alias,
    "unalias": aliases.unalias,
    "tag": details.tag,
    "describe": details.describe,
    "annotate": details.annotate,
    "lineage": lineage.lineage,
    "impact": impact.impact,
    "diff": diff.diff,
    "history": steps.history,
    "changes": changes.changes,
    "undo": undo.undo,
    "stats": stats.stats,
    "delete": versions.delete,
    "restore": versions.restore,
    "protect": protection.protect,
    "purge": purging.purge,
    "gc": garbage.gc,
    "retention": retention.retention,
    "explain": explanation.explain,
    "compact": compaction.compact,
    "runs": runs.runs,
    "events": events.events,
    "watch": watching.watch,
    "consumers": consuming.consumers,
    "audit": trust.audit,
    "checkpoint": trust.checkpoint,
    "prove": trust.prove,
    "verify": trust.verify,
    "export": exporting.export,
    "key": trust.key,
    "repair": trust.repair,
    "replay": replay.replay,
    "rebuild": rebuild.rebuild,
    "doctor": doctor.doctor,
    "viewer": viewer.viewer,
    "artifacts": guide.guide,
}

app = typer.Typer(
    cls=Program,
    help="Version control for models and datasets.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for _name, _verb in _VERBS.items():
    app.command(_name, cls=Verb)(_verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (that of the process, unless one is given) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _let_streams_say_anything()
    try:
        code = _carried_out(given, None if arguments is None else "runicorn")
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = failures.INTERRUPTED
    except BrokenPipeError:
        _write_no_more()
        code = failures.REFUSED
    if code == failures.INTERRUPTED and sys.stderr.isatty():
        # Behind the ^C that the terminal shows, the prompt begins on a line of its own.
        sys.stderr.write("\n")
    return code


def _carried_out(given: list[str], program_name: str | None) -> int:
    command = typer.main.get_command(app)

    def carry_out() -> int:
        return command.main(given, prog_name=program_name, standalone_mode=False) or 0

    try:
        return 0 if completion.for_bash(carry_out, os.environ) else carry_out()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where a failure becomes words
        return failures.report(error, as_json="--json" in given)


def _let_streams_say_anything() -> None:
    """Have names that the encoding of a stream lacks shown by number; a terminal's alphabet must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _write_no_more() -> None:
    """Drop what is still to be written: whoever read it has gone, as ``head`` does."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
