"""What every answer is made from: the store, the moment that is asked about, and what the viewer was started with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
import time
from typing import Annotated, Generic, TypeVar

import msgspec

from runicorn_es import queries
from runicorn_es.queries import Found, View
from runicorn_es.store import Store

Made = TypeVar("Made")

Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Spec = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Path = Annotated[str, msgspec.Meta(max_length=4096)]
Words = Annotated[str, msgspec.Meta(max_length=1000)]
Moment = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Job(Generic[Made]):
    """Something that takes long, done once at a time behind the pages; what it found last is kept."""

    def __init__(self, work: Callable[[], Made]) -> None:
        self._work = work
        self._lock = Lock()
        self.is_running = False
        self.found: Made | None = None
        self.finished_ns = 0
        self.failure: str | None = None

    def start(self) -> None:
        """Begin, unless it is being done already."""
        with self._lock:
            if self.is_running:
                return
            self.is_running = True
        Thread(target=self._run, name="viewer job", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found, self.failure = self._work(), None
        except Exception as error:  # noqa: BLE001 - whatever it is, the page says it
            self.failure = str(error) or type(error).__name__
        finally:
            self.finished_ns = time.time_ns()
            self.is_running = False


class Desk:
    """An open store and what the pages share."""

    def __init__(self, store: Store, *, is_read_only: bool = False) -> None:
        self.store = store
        self.is_read_only = is_read_only or store.is_read_only
        self.counting = Job(store.stats)
        self.verifying = Job(store.audit)
        self.reclaiming = Job(lambda: store.reclaim(dry_run=True))

    @contextmanager
    def reading(self, as_of: str | None = None) -> Iterator[View]:
        """Open the newest state, or a past one, for the length of a block."""
        with self.store.reading(as_of) as view:
            yield view

    def head(self) -> int:
        """Return how many records there are now."""
        with self.store.reading() as view:
            return queries.head(view)[0]

    def search(self, view: View, query: str, *, sort: str | None, after: str | None, limit: int) -> Found:
        """Return a page of the versions that a query means. Raises BadQuery."""
        return queries.search(view, query, now_ns=time.time_ns(), sort=sort, after=after, limit=limit)
