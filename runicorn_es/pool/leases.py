"""Who may take blobs in and who may remove some: many of the first at once, or one of the second.

A blob that is in the pool already is not written again, so between finding it there and naming it in the log it must
not be removed. Whoever takes blobs in holds a shared lease for that time, whoever removes some an exclusive one. Both
go by a gate, so that those who come one after another cannot keep out for ever the one who waits for all to be gone.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from runicorn_es import durable
from runicorn_es.layout import Layout


@contextmanager
def taking_in(layout: Layout, *, wait_s: float) -> Iterator[None]:
    """Have no blob removed for the length of the block. Raises Busy after the wait."""
    with ExitStack() as held:
        with durable.leased(layout.pool, wait_s=wait_s):
            held.enter_context(durable.leased(layout.incoming, wait_s=wait_s))
        yield


@contextmanager
def removing(layout: Layout, *, wait_s: float) -> Iterator[None]:
    """Have nobody take blobs in for the length of the block; keep it short. Raises Busy after the wait."""
    with (
        durable.leased(layout.pool, exclusive=True, wait_s=wait_s),
        durable.leased(layout.incoming, exclusive=True, wait_s=wait_s),
    ):
        yield
