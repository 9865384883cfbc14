"""What can be shown to others: checkpoints, proofs, the log as a static transparency log, and whose key signs it."""

import os
from pathlib import Path

import msgspec

from runicorn_es import durable, founding, merkle, proofs, tiles
from runicorn_es.commands import RotateKey
from runicorn_es.errors import Damaged, Rejected
from runicorn_es.layout import Layout
from runicorn_es.ledger import Request
from runicorn_es.log import Log
from runicorn_es.proofs import Consistency, Fork, Inclusion
from runicorn_es.questions import Questions
from runicorn_es.signing import Head, Keys, Retired
from runicorn_es.signing.note import ED25519, ML_DSA_44
from runicorn_es.tiles import Exported


class Notary(Questions):
    """A ledger that hands out proofs of what is in it. All of them can be verified with a public key alone."""

    def checkpoint(self) -> str:
        """Return the newest signed checkpoint: the text of a C2SP signed note, to be kept elsewhere.

        It is signed with Ed25519 and, unless this store is read-only, cosigned with ML-DSA-44.
        """
        return self._published()[0]

    def checkpoint_at(self, size: int) -> str:
        """Return a checkpoint of the log when it had so many records, signed now with the key in use.

        Raises Rejected beyond its end and where this store is read-only, Damaged when the log is not what was signed.
        """
        self._require_writable()
        _, newest = self._published()
        if size > newest.size:
            raise Rejected(f"the newest checkpoint is of {newest.size} records, and not of {size} or more")
        leaves = self._log.leaves(newest.size)
        if merkle.root(leaves) != newest.root:
            raise Damaged("the log is not what its checkpoint was signed for; run `runicorn-es audit`")
        return self._signer().sign(Head(size, merkle.root(leaves[:size])))

    def verifier_keys(self) -> tuple[str, ...]:
        """Return the public keys of this store as signed notes write them: Ed25519, then ML-DSA-44."""
        return tuple(self._keys.public(algorithm) for algorithm in (ED25519, ML_DSA_44))

    def prove(self, index: int) -> Inclusion:
        """Return the proof that a record is in the log of the newest checkpoint. Raises IndexError beyond its end."""
        checkpoint, head = self._published()
        with self.reading() as view:
            found = view.record(index)
        return proofs.prove_inclusion(found, self._log.leaves(head.size), checkpoint, self._endorsements(self._keys))

    def prove_since(self, checkpoint: str) -> Consistency:
        """Return the proof that the log continues the one that an older checkpoint was signed for.

        Raises Rejected when the older checkpoint is not of this store, Damaged when the log does not continue it.
        """
        newest, head = self._published()
        old = self._keys.trust().head(checkpoint)
        if old is None:
            raise Rejected("the older checkpoint is not signed with this store's key")
        if not 0 < old.size <= head.size:
            raise Damaged(f"the older checkpoint was signed for {old.size} records, the newest for {head.size}")
        leaves = self._log.leaves(head.size)
        if merkle.root(leaves[: old.size]) != old.root:
            raise Damaged(
                f"the first {old.size} records are not those that the older checkpoint was signed for: history was "
                f"rewritten, or the store was forked; from a copy that has them, `runicorn-es prove --fork` shows where"
            )
        return proofs.prove_consistency(checkpoint, old.size, leaves, newest, self._endorsements(self._keys))

    def prove_fork(self, other: str | os.PathLike[str]) -> Fork:
        """Return the proof that this store and another copy of it went on separately, each under a signed checkpoint.

        It can be verified with the public key alone. Raises Rejected when the folder is not a copy of this store, or
        when one of the two logs continues the other.
        """
        layout = Layout(Path(other).absolute())
        identity = founding.require(layout)
        if identity.store_id != self.identity.store_id:
            raise Rejected(f"{layout.root} is another store, not a copy of {self.layout.root}")
        keys, log = Keys(layout.keys, identity.origin), Log(layout, identity.raw_id)
        theirs_text = durable.read_small_file(layout.checkpoint).decode(errors="replace")
        ours_text, ours = self._published()
        theirs = keys.trust().head(theirs_text)
        if theirs is None:
            raise Damaged(f"{layout.checkpoint} is not signed with the key of that copy; run `runicorn-es audit` there")
        leaves, their_leaves = self._log.leaves(ours.size), log.leaves(theirs.size)
        parted = next((i for i, (a, b) in enumerate(zip(leaves, their_leaves, strict=False)) if a != b), None)
        if parted is None:
            raise Rejected(
                f"these are not two histories: the log here has {ours.size} records, that of {layout.root} "
                f"{theirs.size}, and the longer one continues the other"
            )
        return Fork(
            proofs.prove_inclusion(self._log.record(parted), leaves, ours_text, self._endorsements(self._keys)),
            proofs.prove_inclusion(log.record(parted), their_leaves, theirs_text, self._endorsements(keys)),
        )

    def export_tiles(self, target: str | os.PathLike[str]) -> Exported:
        """Write the log's tree, record headers and checkpoint to a folder, as C2SP tlog-tiles lays them out.

        A static file server or a bucket with this content is a transparency log: readers verify it with the public key
        alone. Writes what is new; call it again after more was logged. Raises Rejected when the folder holds another
        log.
        """
        checkpoint, head = self._published()
        return tiles.export(self._log, head, checkpoint, Path(target).absolute())

    def rotate_key(self) -> None:
        """Have a new key sign from now on. The old one is destroyed; what it signed stays proven.

        The last thing it signs is who follows it, so that whoever trusts the old public key can verify later proofs.
        Raises Rejected when the key is under a passphrase that is not known.
        """
        with self._writing() as position:
            retiring = self._signer()
            seeds, successor = self._keys.successor(self._ambient.token)
            self._carry_out([Request(RotateKey(str(successor.ed25519), str(successor.ml_dsa_44)))], position)
            self._sync_and_sign()
            checkpoint, head = self._published()
            leaves = self._log.leaves(head.size)
            endorsement = proofs.prove_inclusion(self._log.record(position.index), leaves, checkpoint)
            public = str(retiring.ed25519), str(retiring.ml_dsa_44)
            retired = Retired(public, head.size, msgspec.Raw(proofs.encode(endorsement)))
            self._keys.succeed(seeds, retired, self._ambient.passphrase, self._ambient.token)
            durable.update_file(
                self.layout.checkpoint, lambda _: self._signer().sign(head).encode(), wait_s=self._lock_wait_s
            )

    def set_passphrase(self, passphrase: str | None) -> None:
        """Put the signing key under a passphrase, or under another; None: under none.

        Whoever writes the store then needs it, in ``RUNICORN_KEY_PASSPHRASE``. Raises Rejected when the present one
        is not known or not right.
        """
        with self._writing():
            self._signer()
            self._keys.set_passphrase(self._ambient.passphrase, passphrase, self._ambient.token)

    def _published(self) -> tuple[str, Head]:
        """Return the newest checkpoint, cosigned where we can sign, and the head it says."""
        text = self.layout.checkpoint.read_text()
        head = self._keys.trust().head(text)
        if head is None:
            raise Damaged(f"{self.layout.checkpoint} is not signed with this store's key; append anything to sign anew")
        if not self.is_read_only:
            text += self._signer().cosign(head, self._ambient.now_ns() // 1_000_000_000)
        return text, head

    def _endorsements(self, keys: Keys) -> tuple[Inclusion, ...]:
        return tuple(proofs.read_endorsement(bytes(one.endorsement)) for one in keys.retired())
