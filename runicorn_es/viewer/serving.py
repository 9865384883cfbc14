"""Start the viewer: bind, say where it is, and serve until it is told to stop."""

from collections.abc import Callable, Sequence
import errno
import os
import secrets
import socket

import msgspec
import uvicorn

from runicorn_es import settings
from runicorn_es.errors import Rejected
from runicorn_es.store import Store
from runicorn_es.viewer.app import Viewer
from runicorn_es.viewer.guard import LOOPBACK, Policy, hosts_for

TOKEN_VARIABLE = "RUNICORN_VIEWER_TOKEN"  # noqa: S105 - the name of the variable

_TOKEN_CHARACTERS_MIN = 16


class Options(msgspec.Struct, frozen=True):
    """Where to serve and to whom. port: 0 for any that is free."""

    host: str = "127.0.0.1"
    port: int = settings.VIEWER_PORT
    is_read_only: bool = False
    wants_token: bool = False
    allowed_hosts: Sequence[str] = ()
    root_path: str = ""


class Address(msgspec.Struct, frozen=True):
    """Where the viewer is. ``token``: what must be shown, if anything. ``ssh``: how to reach it from elsewhere."""

    url: str
    ssh: str | None
    token: str | None


def serve(store: Store, options: Options, *, tell: Callable[[Address], None]) -> None:
    """Serve a store until SIGINT or SIGTERM; ``tell`` is told the address once it can be asked.

    Any address but loopback, and ``wants_token``, mean that a token has to be shown: that of the environment variable
    ``RUNICORN_VIEWER_TOKEN``, else a new one. Raises Rejected when the port is taken or the address is not ours.
    """
    token = _token() if options.wants_token or options.host not in LOOPBACK else None
    hosts, any_address = hosts_for(options.host, options.allowed_hosts)
    root_path = options.root_path.strip("/")
    policy = Policy(hosts, any_address, token, f"/{root_path}" if root_path else "")
    with _bound(options) as bound:
        viewer = Viewer(store, policy, is_read_only=options.is_read_only)
        server = _Server(
            uvicorn.Config(
                viewer.asgi(),
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                proxy_headers=False,
                h11_max_incomplete_event_size=2 * settings.URL_BYTES_MAX,
            )
        )
        server.ready = lambda: tell(_address(options, bound.getsockname()[1], policy))
        server.ending = viewer.tail.end
        server.run([bound])


class _Server(uvicorn.Server):
    """A server that says when it can be asked, and ends the streams before it waits for them."""

    ready: Callable[[], None]
    ending: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.ending()
        await super().shutdown(sockets)


def _bound(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((options.host, options.port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise Rejected(
                f"port {options.port} of {options.host} is taken, perhaps by another viewer; "
                f"choose another with --port {options.port + 1}, or any free one with --port 0"
            ) from error
        raise Rejected(f"cannot serve at {options.host} port {options.port}: {error.strerror or error}") from error
    return bound


def _address(options: Options, port: int, policy: Policy) -> Address:
    anywhere = options.host in {"0.0.0.0", "::"}  # noqa: S104 - it is compared, not bound
    host = socket.gethostname() if anywhere else options.host
    shown = f"[{host}]" if ":" in host else host
    ssh = f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}" if options.host in LOOPBACK else None
    return Address(f"http://{shown}:{port}{policy.root_path}/", ssh, policy.token)


def _token() -> str:
    if (given := os.environ.get(TOKEN_VARIABLE)) is None:
        return secrets.token_urlsafe(32)
    if len(given) < _TOKEN_CHARACTERS_MIN or not given.isascii():
        raise Rejected(f"{TOKEN_VARIABLE} must have at least {_TOKEN_CHARACTERS_MIN} ASCII characters, hard to guess")
    return given
