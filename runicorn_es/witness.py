"""The checkpoint as the witness of how far the log was acknowledged: believed, continued, and carried on.

Invariants:
- What is signed is durable, and continues what was signed before.
- Whoever finds a head of our log in the checkpoint that covers what was written need not sync: whoever signed it has.
- One at a time syncs, signs and publishes, for all who wrote before the sync began. The turn is the lock of the
  checkpoint's file: it lasts a sync, and dies with its holder.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runicorn_es import durable, merkle, projections, queries, settings
from runicorn_es.aside import aside
from runicorn_es.errors import Busy, Damaged
from runicorn_es.folded import FoldedTables
from runicorn_es.log import Log, Position
from runicorn_es.projections.rows import Contradiction
from runicorn_es.queries import Tip, View
from runicorn_es.signing import Head, Keys, Signer, claimed_head
from runicorn_es.tables import TablesFailed


class Witness:
    """The checkpoint of one store, as one process knows it."""

    def __init__(
        self, path: Path, *, origin: str, keys: Keys, log: Log, tables: FoldedTables, signer: Callable[[], Signer]
    ) -> None:
        self._path = path
        self._origin = origin
        self._keys = keys
        self._log = log
        self._tables = tables
        self._signer = signer
        # The checkpoint that was last found to be continued by the log, and its head.
        self._continued: tuple[bytes, Head | None] = b"", None
        # The one that was last read, and the head it claims.
        self._read: tuple[bytes, Head | None] = b"", None

    def claimed_size(self) -> int:
        """Return how many records the checkpoint says were acknowledged, unverified; 0 where it says nothing."""
        claimed = self._claimed(durable.read_small_file(self._path))
        return claimed.size if claimed else 0

    def acknowledged(self) -> int:
        """Return how many records the checkpoint proves to have been acknowledged.

        0 when there is none, or one that the store's key did not sign: after a power cut it may be half written.
        """
        head = self._keys.trust().head_in(self._path)
        return head.size if head else 0

    def require_continued(self, tip: Tip) -> Head | None:
        """Return the head that was signed last; None if none is known.

        Raises Damaged unless the log continues it: two histories are never signed with one key.
        """
        text = durable.read_small_file(self._path)
        if text == self._continued[0]:
            return self._continued[1]
        claimed = self._claimed(text)
        if claimed is None:
            return None
        is_continued = tip.root_at(claimed.size) == claimed.root
        if not is_continued and claimed.size <= tip.size:
            # Far behind: its writers died between their batches and their checkpoints.
            is_continued = merkle.root(self._log.leaves(claimed.size)) == claimed.root
        if is_continued:
            self._continued = text, claimed
            return claimed
        # This very text: half of it may be what another process was just writing.
        if self._keys.trust().head_of(text) is not None:
            raise Damaged(
                f"the log has another history than {self._path} was signed for ({claimed.size} records); "
                "it was put together from two copies of this store, or rewritten; run `runicorn-es audit`"
            )
        return None

    def vouch(self, position: Position, head: Head, sync: Callable[[Position], None]) -> None:
        """Return once what stands before this position, where the log has this head, is durable and signed.

        ``sync`` makes the log durable up to a position. A lease on the log's folder must have been held since this was
        written, or the writer's lock: until it is signed nobody may put another file in the segment's place.
        """

        def is_signed(present: bytes) -> bool:
            known, claimed = self._continued
            if present != known:
                claimed = self._claimed(present)
            if claimed is None or claimed.size < head.size:
                return False
            return present == known or self._is_believed(present, claimed)

        def sign(present: bytes) -> bytes | None:
            if is_signed(present):
                return None
            end, newest = self._newest(position, head)
            # Signed while the disk writes, and seen by nobody before the disk is done.
            signing = aside(lambda: self._signer().sign(newest).encode())
            try:
                sync(end)
            finally:
                signed = signing()
            self._continued = signed, newest
            return signed

        try:
            durable.update_file(self._path, sign, wait_s=settings.TURN_WAIT_S, is_enough=is_signed)
        except Busy:
            # Stopped, or its disk is slow. What we wrote is signed with what is written next.
            sync(position)

    def _newest(self, position: Position, head: Head) -> tuple[Position, Head]:
        """Return the end of the log and the head there, if others have written behind this position meanwhile.

        What the tables know was written before. A later segment is begun only when the one before is durable.
        """
        if self._log.is_written_end(position):
            return position, head
        try:
            with self._tables.reading() as rows:
                end = projections.cursor(rows)
                newest = Head(*queries.head(View(rows, self._log)))
        except (TablesFailed, Contradiction):
            return position, head
        if end is None or end.index <= position.index or end.segment != position.segment:
            return position, head
        return end, newest

    def _claimed(self, text: bytes) -> Head | None:
        """Return the head that a checkpoint claims, unverified; who waits for another one reads the same many times."""
        known, claimed = self._read
        if text != known:
            claimed = claimed_head(text, self._origin)
            self._read = text, claimed
        return claimed

    def _is_believed(self, checkpoint: bytes, claimed: Head) -> bool:
        """Return whether a checkpoint is that of our log; what the tables know is asked before the signature is."""
        root = None
        with suppress(TablesFailed), self._tables.reading() as rows:
            root = queries.tip(View(rows, self._log)).root_at(claimed.size)
        return root == claimed.root or self._keys.trust().head_of(checkpoint) is not None
