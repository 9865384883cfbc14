"""From a request to what it asks: path and query become the Struct of the question, or a refusal that says why."""

from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from runicorn_es import queries
from runicorn_es.errors import Busy, Conflict, Rejected, TooNew, Unknown
from runicorn_es.viewer.desk import Desk

AskedType = TypeVar("AskedType", bound=msgspec.Struct)

_NAMES_COMPARED_MAX = 10_000


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer. ``kind``: the error's class, as in the Python API."""

    status: int
    kind: str
    message: str


def asked(request: Request, kind: type[AskedType]) -> AskedType:
    """Return what a request asks. A parameter that is empty is none. Raises Rejected."""
    given: dict[str, Any] = {key: value for key, value in request.query_params.items() if value}
    given |= request.path_params
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Rejected(f"this cannot be asked: {error}") from error


def problem(error: Exception) -> Problem:
    """Return what is to be said of an error, and the status of HTTP."""
    match error:
        case Unknown() | IndexError():
            status = 404
        case Conflict():
            status = 409
        case Rejected():
            status = 400
        case Busy():
            status = 503
        case TooNew():
            status = 501
        case _:
            status = 500
    return Problem(status, type(error).__name__, str(error) or type(error).__name__)


def near_names(desk: Desk, name: str) -> list[str]:
    """Return the names of artifacts that look like one."""
    with desk.reading() as view:
        known = [row.name for row in queries.artifacts(view, limit=_NAMES_COMPARED_MAX)]
    return get_close_matches(name, known, n=5, cutoff=0.5)
