"""The clock, the entropy and who we are: the only inputs of the store that are not arguments."""

from collections.abc import Callable
from functools import cache
import getpass
import os
import socket
import time

import msgspec

PASSPHRASE_VARIABLE = "RUNICORN_KEY_PASSPHRASE"  # noqa: S105 - its name, not one


class Actor(msgspec.Struct, frozen=True):
    """Who acts: login name, host name and process id."""

    user: str
    host: str
    pid: int


class Ambient(msgspec.Struct, frozen=True):
    """What a store asks of its surroundings; tests pass their own.

    now_ns: nanoseconds since the epoch. token: that many random bytes. actor: who acts, asked once per batch.
    passphrase: that of the signing key, if it has one; asked when it is first needed.
    """

    now_ns: Callable[[], int]
    token: Callable[[int], bytes]
    actor: Callable[[], Actor]
    passphrase: Callable[[], str | None] = lambda: os.environ.get(PASSPHRASE_VARIABLE)


def current_actor() -> Actor:
    """Return the login name (or the numeric user id where there is none), host and pid of this process."""
    return _actor_of(os.getpid())


@cache
def _actor_of(pid: int) -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Actor(user, socket.gethostname(), pid)


# os.urandom, never the random module: a seeded or forked program must not repeat an id.
SYSTEM = Ambient(time.time_ns, os.urandom, current_actor)
