"""``viewer``: the store in a browser."""

import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked


def viewer(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 for any that is free.")
    ] = 23300,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser of this machine.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let nobody change anything from it.")] = False,
    token: Annotated[
        bool,
        typer.Option("--token", help="Want a token from whoever asks, as other addresses than loopback always do."),
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", metavar="NAME", help="Answer to this name as well, as a proxy may call it."),
    ] = None,
    root_path: Annotated[
        str, typer.Option("--root-path", metavar="PATH", help="The path under which a proxy has it.")
    ] = "",
) -> None:
    """Serve pages to look at the store with, until Ctrl-C."""
    serving = late.serving
    options = serving.Options(host, port, read_only, token, tuple(allowed_host or ()), root_path)

    def tell(address: "late.serving.Address") -> None:
        if asked(context).as_json:
            output.line_of_stream("runicorn.viewer/1", **late.msgspec.structs.asdict(address))
        else:
            _say(address)
        if show:
            late.webbrowser.open(address.url)

    with opening.reading(asked(context)) as store:
        serving.serve(store, options, tell=tell)


def _say(address: "late.serving.Address") -> None:
    output.say(f"The store is at {address.url}artifacts (Ctrl-C ends it)")
    if address.token is not None:
        output.say(f"Log in with any name and this password, which is shown only here: {address.token}")
    if address.ssh is not None:
        output.say(f"From another machine: {address.ssh}")
    sys.stdout.flush()
