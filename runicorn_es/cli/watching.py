"""``watch``: run a command when something happens."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
import signal
from typing import Annotated

import typer

from runicorn_es.cli import late, opening
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import REFUSED, Refused

From = Annotated[
    str | None,
    typer.Option("--from", metavar="WHERE", help="now, start, or the index of a record to begin with."),
]


def watch(
    context: typer.Context,
    *,
    command: Annotated[str, typer.Option("--exec", metavar="COMMAND", help="What to run, by sh -c.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="WHAT",
            help="alias:production, alias:NAME:production, artifact:NAME, type:model, event:version; repeatable: any.",
        ),
    ] = None,
    consumer: Annotated[
        str | None, typer.Option("--consumer", metavar="NAME", help="Remember under this name what was dealt with.")
    ] = None,
    begin: From = None,
    attempts: Annotated[
        int, typer.Option("--attempts", metavar="N", min=1, help="How often to run it for one event, at most.")
    ] = 5,
    backoff: Annotated[
        str, typer.Option("--backoff", metavar="SPAN", help="How long to wait before the second; then twice as long.")
    ] = "1s",
    dead_letters: Annotated[
        Path | None,
        typer.Option("--dead-letters", metavar="FILE", help="Put an event there that fails each time, and go on."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="SPAN", help="End when nothing happened for so long; 0s: at once."),
    ] = None,
) -> None:
    """Run a command for each event, in order, until Ctrl-C.

    It is given the event as JSON on stdin, and what it is about in RUNICORN_EVENT, RUNICORN_ARTIFACT, and so on. An
    event is dealt with when the command has succeeded; with --consumer, one that was not is met again the next time.
    """
    span = late.rules.parse_span
    handler = late.handler.Handler(command, attempts, span(backoff), dead_letters, as_json=asked(context).as_json)
    ends_after_s = None if timeout is None else span(timeout)
    after = parse_from(begin or "now")
    with opening.reading(asked(context)) if consumer is None else opening.changing(asked(context)) as store:
        wanted = on or []
        if consumer is None:
            with _stopped_by_sigterm(), store.follow(after, on=wanted, timeout=ends_after_s) as following:
                _deal_with(following, handler, store, _no_more)
        else:
            told = store.consumer(consumer, after=after, on=wanted, timeout=ends_after_s)
            with _stopped_by_sigterm(), told:
                _deal_with(told, handler, store, told.ack)


def parse_from(text: str | None) -> int | None:
    """Return behind which record to begin; None: behind the last one."""
    match text:
        case "now" | None:
            return None
        case "start":
            return -1
    if not (text.isascii() and text.isdecimal()):
        raise Refused(f"--from {text!r} is neither 'now', 'start' nor the index of a record")
    return int(text) - 1


def _deal_with(
    told: "Iterable[late.following.Happened]",
    handler: "late.handler.Handler",
    store: "late.store.Store",
    acknowledge: "Callable[[late.following.Happened], None]",
) -> None:
    for happened in told:
        if not handler.handle(store.layout.root, happened):
            raise typer.Exit(REFUSED)
        acknowledge(happened)


def _no_more(_: object) -> None:
    """Remember nothing."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Have SIGTERM do what Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
