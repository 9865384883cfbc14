"""Find the store that a command line means and open it: for questions, for changes, or to make one."""

from collections.abc import Iterator
from contextlib import contextmanager
import os

from runicorn_es.cli import late
from runicorn_es.cli.asked import Asked


@contextmanager
def reading(asked: Asked) -> Iterator["late.store.Store"]:
    """Open the store for questions; read-only where this user may not write. Never makes one.

    Raises Unknown where there is none.
    """
    layout = existing(asked)
    with late.store.Store(layout.root, read_only=not is_writable(layout)) as store:
        yield store


@contextmanager
def changing(asked: Asked) -> Iterator["late.store.Store"]:
    """Open the store for changes to what is in it. Raises Unknown where there is none."""
    with late.store.Store(existing(asked).root) as store:
        yield store


@contextmanager
def adding(asked: Asked) -> Iterator["late.store.Store"]:
    """Open the store to add to it, making it if there is none."""
    with late.store.Store(late.location.storage_root(asked.storage)) as store:
        yield store


def existing(asked: Asked) -> "late.layout.Layout":
    """Return where everything lies in the store that is meant. Raises Unknown where there is none."""
    layout = late.layout.Layout(late.location.storage_root(asked.storage).absolute())
    late.founding.require(layout)
    return layout


def is_writable(layout: "late.layout.Layout") -> bool:
    """Return whether this user may write here; an answer for the real user, as ``access`` gives it."""
    return os.access(layout.root, os.W_OK) and (
        os.access(layout.projections, os.W_OK) or not layout.projections.exists()
    )
