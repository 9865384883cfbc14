"""Every exception the package raises on purpose, by what the reader should do about it.

    RunicornError
    ├── Rejected          change the request                        exit 2    (ValueError)
    │   ├── Unknown       no such artifact, version, alias or run             (LookupError)
    │   ├── BadQuery      a query that cannot be read, and where
    │   └── Conflict      the store moved on meanwhile; look again
    ├── DiskFull          make room; deleting still works           exit 1    (OSError)
    ├── Busy              retry later; somebody holds the lock      exit 75   (TimeoutError)
    ├── Damaged           bytes on disk are not what was written    exit 65
    │   ├── BlobDamaged   a blob is missing or its bytes are wrong
    │   └── WriteFailed   a write or sync failed; open anew                   (OSError)
    └── TooNew            written by a newer release; upgrade       exit 76

``FileNotFoundError``, ``PermissionError`` and what else the system refuses pass through as the ``OSError`` they are.
"""


class RunicornError(Exception):
    """The base of every error that this package raises on purpose."""

    exit_code = 1


class Rejected(RunicornError, ValueError):
    """The request cannot be met as asked; nothing was changed."""

    exit_code = 2


class Unknown(Rejected, LookupError):
    """What was named does not exist here; the message names what exists nearby."""


class BadQuery(Rejected):
    """A query cannot be read. ``place`` is where in ``query`` it stops making sense, ``reason`` why."""

    def __init__(self, reason: str, query: str, place: int) -> None:
        # The end of a line within the query would tear the mark from what it points at.
        shown = "".join(character if character.isprintable() else " " for character in query)
        super().__init__(f"{reason}\n  {shown}\n  {' ' * place}^")
        self.reason = reason
        self.query = query
        self.place = place


class Conflict(Rejected):
    """The request was based on a state that is no longer so; look again and decide anew."""


class DiskFull(RunicornError, OSError):
    """There is no room for another batch; nothing was written. What makes room, such as deleting, still works."""


class Busy(RunicornError, TimeoutError):
    """Another process held the lock for the whole time we were willing to wait; nothing was changed."""

    exit_code = 75


class Damaged(RunicornError):
    """Bytes of the store differ from what was written; the message says where and what to do."""

    exit_code = 65


class BlobDamaged(Damaged):
    """A blob of the pool is missing, or its bytes are not those of its digest (``digest``, 32 raw bytes)."""

    def __init__(self, message: str, digest: bytes) -> None:
        super().__init__(message)
        self.digest = digest


class WriteFailed(Damaged, OSError):
    """An earlier write or sync of this store object failed; it answers questions but writes no more."""


class TooNew(RunicornError):
    """The store was written by a newer release than this one; it is sound, but we cannot read all of it."""

    exit_code = 76
