"""BLAKE3 with all cores, also in a process that was forked.

The library's threads belong to the process that first hashed with all cores. A fork has their queue and not them, and
would wait for ever for what it hands them; so there each hash has threads of its own.
"""

import os

from blake3 import blake3

# More than these outrun any disk, and are not for nothing to start.
_OWN_THREADS_MAX = 8

_threads = blake3.AUTO


def hasher() -> blake3:
    """Return an empty BLAKE3 hash, which uses several cores for what is large."""
    return blake3(max_threads=_threads)


def _use_own_threads() -> None:
    global _threads  # noqa: PLW0603
    _threads = min(os.cpu_count() or 1, _OWN_THREADS_MAX)


os.register_at_fork(after_in_child=_use_own_threads)
