"""Who may ask: every request passes here before it is routed, and every answer on its way out.

A page that some website shows can send requests to this machine too, and point its own name at 127.0.0.1. So only known
Host names are answered; a change comes by POST, from a page of ours, with the token that was in its form; no header
lets another origin read an answer. There are no cookies. Who needs the token of the viewer gives it as the password of
HTTP's own login, which browsers ask for by themselves, or as a bearer token.
"""

from base64 import b64decode
from collections.abc import Collection
import hmac
import ipaddress
import re
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runicorn_es import settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CHANGE_TOKEN = "x-runicorn-token"  # noqa: S105 - the name of the header

_HOST = re.compile(r"\[([0-9a-f:.]+)\](?::\d+)?|([a-z0-9._-]+)(?::\d+)?", re.IGNORECASE)
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
    "cache-control": "no-store",
}


class Policy(msgspec.Struct, frozen=True):
    """Who is let in.

    hosts: the names by which the viewer may be called. any_address: or by any number of an address, which no stranger
    can point elsewhere. token: what must be shown, if anything. root_path: the path under which a proxy has it.
    """

    hosts: frozenset[str] = LOOPBACK
    any_address: bool = False
    token: str | None = None
    root_path: str = ""


class Guard:
    """The application behind the policy."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                known = {name.lower() for name, _ in headers}
                headers += [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in known]
                message["headers"] = headers
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        root_path = self._policy.root_path
        path = scope["path"]
        if root_path and (path == root_path or path.startswith(f"{root_path}/")):
            # A proxy that does not take it off itself.
            scope = {**scope, "path": path[len(root_path) :] or "/"}
        await self._app(scope, _Limited(receive), send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return why a request is not answered, or None."""
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        host = host_of(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_known(host):
            said = hosts[0] if hosts else ""
            return _refuse(
                421,
                f"This viewer does not answer to the name {said[:100]!r}. If that is its name, start it with "
                f"--allowed-host {host or 'NAME'}; else use http://127.0.0.1 with its port.",
            )
        if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > settings.URL_BYTES_MAX:
            return _refuse(414, "The address is too long.")
        given = dict(headers)
        if self._policy.token is not None and not _shows(given.get(b"authorization", ""), self._policy.token):
            refusal = _refuse(
                401,
                "This viewer wants its token, which it showed when it was started: as the password of the login "
                "(with any name), or as the header 'Authorization: Bearer TOKEN'.",
            )
            refusal.headers["www-authenticate"] = 'Basic realm="runicorn viewer", charset="UTF-8"'
            return refusal
        if scope["method"] in {"GET", "HEAD"}:
            return None
        length = given.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > settings.REQUEST_BYTES_MAX:
            return _refuse(413, f"A request has at most {settings.REQUEST_BYTES_MAX:,} bytes.")
        if not is_same_origin(given, hosts[0]):
            return _refuse(403, "A change is only taken from a page of this viewer itself; open it there.")
        return None

    def _is_known(self, host: str) -> bool:
        return host in self._policy.hosts or (self._policy.any_address and _is_address(host))


def host_of(header: str) -> str | None:
    """Return the name in a Host header, without the port; None for what is none."""
    match = _HOST.fullmatch(header)
    return (match[1] or match[2]).lower().rstrip(".") if match else None


def is_same_origin(headers: dict[bytes, str], host: str) -> bool:
    """Return whether a request comes from a page of ours, or from no page: browsers say where from, by themselves."""
    if (site := headers.get(b"sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := headers.get(b"origin")) is not None:
        return urlsplit(origin).netloc.lower() == host.lower()
    return True


def is_same(given: str, wanted: str) -> bool:
    """Return whether two secrets are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def hosts_for(bound: str, allowed: Collection[str]) -> tuple[frozenset[str], bool]:
    """Return the names to answer to when bound to this address, and whether any number of an address will do."""
    names = {name.lower().rstrip(".") for name in allowed}
    if bound in LOOPBACK:
        return LOOPBACK | names, False
    return LOOPBACK | names | {bound.lower()}, True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shows(authorization: str, token: str) -> bool:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return is_same(value.strip(), token)
    if scheme.lower() == "basic":
        try:
            password = b64decode(value.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
        except ValueError:
            return False
        return is_same(password, token)
    return False


def _refuse(status: int, message: str) -> Response:
    return PlainTextResponse(f"{message}\n", status)


class _Limited:
    """The body of a request, cut off where it is longer than it may be, whatever it said of itself."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size_bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._size_bytes += len(message.get("body", b""))
        if self._size_bytes > settings.REQUEST_BYTES_MAX:
            raise HTTPException(413, f"A request has at most {settings.REQUEST_BYTES_MAX:,} bytes.")
        return message
