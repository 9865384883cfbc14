"""Build a store as it was at a moment, for real: a folder of its own, which can be opened, audited and proved.

The log is cut behind a batch, and is otherwise the same, with the store's id in it; so the checkpoint of that moment is
one of this store, signed with its key. Public keys go along and the secret one does not: two histories are never signed
with one key, and whoever writes to the copy does so with a key of its own.

The folder is made beside its place and renamed as the last step, when everything in it is durable.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import shutil

from runicorn_es import durable, founding, queries
from runicorn_es.ambient import Ambient
from runicorn_es.audit import audit
from runicorn_es.errors import Rejected
from runicorn_es.layout import Layout, first_index_of
from runicorn_es.moments import AsOf, Moment
from runicorn_es.notary import Notary
from runicorn_es.pool import seal
from runicorn_es.pool.materialize import Progress, Wanted, materialize
from runicorn_es.signing.note import ED25519, ML_DSA_44

_PUBLIC = {ED25519: "ed25519.vkey", ML_DSA_44: "mldsa44.vkey"}


def replay(store: Notary, as_of: AsOf, target: Path, ambient: Ambient, *, progress: Progress) -> Moment:
    """Make the folder hold the store as it was, and return the moment. Raises as ``Store.replay_to``."""
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Rejected(f"{target} is there already; name a folder that is not, or an empty one")
    moment = store.moment(as_of)
    if moment.position == 0:
        raise Rejected("at position 0 there was no store yet")
    durable.make_folder(target.parent)
    layout = Layout(target.with_name(f".{target.name}-{os.getpid()}-{ambient.token(4).hex()}"))
    try:
        with durable.filesystem_of(target.parent) as sync_all:
            _copy_log(store, moment, layout)
            founding.found(layout, ambient)
            materialize(store.pool, _blobs(store, moment), layout.pool, mode="link", overwrite=False, progress=progress)
            _seal_copies(layout)
            _sign(store, moment, layout)
            _require_sound(layout, moment)
            sync_all()
        durable.rename(layout.root, target)
    except BaseException:
        shutil.rmtree(layout.root, ignore_errors=True)
        raise
    return moment


def _copy_log(store: Notary, moment: Moment, layout: Layout) -> None:
    """Write the segments up to the moment."""
    with store.reading() as view:
        last = view.record(moment.position - 1)
    durable.make_folder(layout.log)
    for path in sorted(store.layout.log.iterdir()):
        first = first_index_of(path.name)
        if first is not None and first <= last.segment:
            content = path.read_bytes()
            is_last = first == last.segment
            durable.write_file(layout.log / path.name, content[: last.offset + last.size_bytes] if is_last else content)


def _blobs(store: Notary, moment: Moment) -> Iterator[Wanted]:
    """Yield what the versions of that moment have that are not purged, each blob once, by where it lies in a pool."""
    seen: set[bytes] = set()
    with store.reading(moment) as view:
        pages = list(queries.pages_of(view, queries.unpurged(view)))
    for position in pages:
        with store.reading() as view:
            page = view.page(position)
        for file in page:
            if file.digest not in seen:
                seen.add(file.digest)
                name = file.digest.hex()
                yield Wanted(f"{name[:2]}/{name}", file.digest, file.size_bytes, executable=False)


def _seal_copies(layout: Layout) -> None:
    """Make what could not be linked, such as cold blobs, look as blobs do."""
    for folder in layout.fan_out():
        with os.scandir(folder) as found:
            for one in found:
                if one.stat().st_nlink == 1:
                    descriptor = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        seal(descriptor)
                    finally:
                        os.close(descriptor)


def _sign(store: Notary, moment: Moment, layout: Layout) -> None:
    """Put a checkpoint of that moment there, and the public keys to verify it with; none where we may not sign."""
    if store.is_read_only:
        return
    checkpoint = store.checkpoint_at(moment.position)
    for name, key in zip(_PUBLIC.values(), store.verifier_keys(), strict=True):
        durable.write_file(layout.keys / name, f"{key}\n".encode())
    durable.write_file(layout.checkpoint, checkpoint.encode())


def _require_sound(layout: Layout, moment: Moment) -> None:
    damage = [finding for finding in audit(layout.root).findings if finding.is_damage]
    if damage:
        raise Rejected(
            f"the store of #{moment.position} cannot be built: {damage[0].message}; what was purged later is gone from "
            "it, too. Name a moment after the purge, or ask with --as-of, where the purged is a tombstone"
        )
