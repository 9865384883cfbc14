"""Whether the store is what it was, and showing it to others: ``audit``, ``prove``, ``key``, ``repair`` and more."""

from pathlib import Path
import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output, progress
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.versions import find
from runicorn_es.errors import Damaged

_File = Annotated[Path | None, typer.Option("--against", metavar="FILE", help="A checkpoint kept from earlier.")]


def audit(
    context: typer.Context,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every blob, not only those that look touched.")] = False,
    tables: Annotated[bool, typer.Option("--tables", help="Compare the tables with the log, row by row.")] = False,
    against: _File = None,
) -> None:
    """Verify log, checkpoint and pool; changes nothing. Exit code 65 when something is damaged."""
    layout = opening.existing(asked(context))
    with progress.shown("audit", lambda: _size_bytes(layout, deep=deep)) as told:
        report = late.audit.audit(layout.root, deep=deep, with_tables=tables, against=against, progress=told)
    if asked(context).as_json:
        output.document("runicorn.audit/1", is_clean=report.is_clean, **late.msgspec.structs.asdict(report))
    else:
        for finding in report.findings:
            _show(finding)
        hashed = f", {report.blobs_hashed:,} of them hashed" if report.blobs_hashed else ""
        output.say(
            f"{output.count(report.size, 'record')}, {output.count(report.versions, 'version')}, "
            f"{output.count(report.blobs, 'blob')}{hashed}; root {report.root}",
            "clean" if report.is_clean else "damaged",
        )
    if not report.is_clean:
        raise typer.Exit(Damaged.exit_code)


def checkpoint(
    context: typer.Context,
    *,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write it to a file, to be kept.")] = None,
) -> None:
    """Print the newest signed checkpoint: how many records, and the root over them."""
    with opening.reading(asked(context)) as store:
        note = store.checkpoint()
        key, *others = store.verifier_keys()
    if save is not None:
        late.durable.write_file(save.absolute(), note.encode())
    if asked(context).as_json:
        _, head, _ = late.signed.read_checkpoint(note)
        output.document(
            "runicorn.checkpoint/1", size=head.size, root=head.root.hex(), note=note, key=key, ml_dsa_44_key=others[0]
        )
    elif save is None:
        sys.stdout.write(note)


def prove(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="SPEC|INDEX", help="A version, or the index of a record.")
    ] = None,
    *,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="FILE", help="A checkpoint kept from earlier: that the log continues it."),
    ] = None,
    fork: Annotated[
        Path | None,
        typer.Option("--fork", metavar="DIR", help="Another copy of this store: that the two went on separately."),
    ] = None,
) -> None:
    """Print a proof: of a record in the log, that the log continues an older checkpoint, or that it was forked."""
    if [what, since, fork].count(None) != 2:
        raise Refused(
            "say what to prove: a version or the index of a record, --since and an older checkpoint, or --fork and "
            "another copy of this store"
        )
    with opening.reading(asked(context)) as store:
        if since is not None:
            bundle = late.proofs.encode(store.prove_since(_content(since).decode(errors="replace")))
        elif fork is not None:
            bundle = late.proofs.encode(store.prove_fork(fork))
        else:
            index = int(what) if what and what.isdecimal() else find(store, what or "").position
            try:
                bundle = late.proofs.encode(store.prove(index))
            except IndexError as error:
                raise Refused(str(error)) from error
    sys.stdout.write(bundle.decode())


def verify(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A file with what `prove` printed.")],
    *,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="The public key, or a file with it; else the store's own."),
    ] = None,
) -> None:
    """Say what a proof proves to whoever trusts a public key. Needs no store when a key is given."""
    trusted = _key(key) if key is not None else _own_key(opening.existing(asked(context)))
    proven = late.proofs.verify(_content(bundle), trusted)
    told = [event for event in proven.events if not isinstance(event, late.events.BatchAppended)]
    if asked(context).as_json:
        output.document(
            "runicorn.verified/1",
            kind=proven.kind,
            size=proven.size,
            root=proven.root,
            old_size=proven.old_size,
            other_size=proven.other_size,
            other_root=proven.other_root,
            index=proven.index,
            time=output.utc_time(proven.time_ns or 0),
            subject=proven.subject,
            sentences=[late.telling.describe_event(event) for event in told],
        )
    elif proven.kind == "consistency":
        output.say(f"proven: the log of {proven.size} records begins with the one of {proven.old_size}")
    elif proven.kind == "fork":
        output.say(
            f"proven: the store was forked; both histories are signed, and record {proven.index} differs",
            f"  one has {proven.size} records, root {proven.root}",
            f"  one has {proven.other_size} records, root {proven.other_root}",
        )
    else:
        time = output.local_time(proven.time_ns or 0)
        output.say(f"proven: record {proven.index} of {time} is in the log of {proven.size} records")
        output.say(*(f"  {output.printable(late.telling.describe_event(event))}" for event in told))


def key(
    context: typer.Context,
    *,
    rotate: Annotated[bool, typer.Option("--rotate", help="Have a new key sign from now on.")] = False,
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Ask for a passphrase to lock the key with; an empty one unlocks it."),
    ] = False,
) -> None:
    """Show the public keys that sign the log, and those that signed it earlier; or replace or lock the key."""
    if rotate or passphrase:
        with opening.changing(asked(context)) as store:
            if passphrase:
                store.set_passphrase(_new_passphrase() or None)
            if rotate:
                store.rotate_key()
    layout = opening.existing(asked(context))
    keys = late.signing.Keys(layout.keys, late.founding.require(layout).origin)
    present = [keys.public(algorithm) for algorithm in (late.note.ED25519, late.note.ML_DSA_44)]
    retired = keys.retired()
    is_locked = keys.is_locked() if keys.has_secret() else None
    if asked(context).as_json:
        earlier = [{"keys": list(one.keys), "size": one.size} for one in retired]
        output.document("runicorn.key/1", keys=present, retired=earlier, is_locked=is_locked)
        return
    output.say(present[0], f"with an ML-DSA-44 key beside it, in {layout.keys / 'mldsa44.vkey'}")
    output.say(*(f"until record {one.size - 1}: {one.keys[0]}" for one in retired))
    if is_locked:
        output.say("locked with a passphrase")


def repair(
    context: typer.Context,
    *,
    source: Annotated[Path, typer.Option("--from", metavar="DIR", help="Another copy of this store.")],
) -> None:
    """Take missing or damaged segments and blobs from another copy of the store; each is verified first."""
    layout = opening.existing(asked(context))
    done = late.repair.repair(layout.root, source)
    if asked(context).as_json:
        output.document("runicorn.repair/1", **late.msgspec.structs.asdict(done))
    else:
        output.say(*(f"took log/{name}" for name in done.segments), *(f"took blob {name}" for name in done.blobs))
        for finding in done.remaining:
            _show(finding)
        output.say("nothing is damaged any more" if not done.remaining else "damaged still")
    if done.remaining:
        raise typer.Exit(Damaged.exit_code)


def _show(finding: "late.audit.Finding") -> None:
    where = (
        f"{finding.path}, bytes {finding.offset} to {finding.offset + (finding.size_bytes or 0)}: "
        if (finding.path is not None and finding.offset is not None)
        else ""
    )
    word = "damage" if finding.is_damage else "note"
    output.say(output.printable(f"{word}: {where}{finding.message}"))
    if finding.affected:
        output.say(output.printable(f"  affects {', '.join(finding.affected)}"))
    output.say(output.printable(f"  {finding.remedy}"))


def _key(text: str) -> str:
    """Return a public key given as such or as a file."""
    path = Path(text)
    return _content(path).decode(errors="replace").strip() if "+" not in text or path.is_file() else text


def _content(path: Path) -> bytes:
    """Return what a file holds, and of one that is too long to be a proof or a key, so much that this shows."""
    with path.open("rb") as file:
        return file.read(late.proofs.BUNDLE_BYTES_MAX + 1)


def _own_key(layout: "late.layout.Layout") -> str:
    return late.signing.Keys(layout.keys, late.founding.require(layout).origin).public()


def _new_passphrase() -> str:
    """Ask twice on a terminal; else take the first line of what is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(
        typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, default="", show_default=False)
    )


def _size_bytes(layout: "late.layout.Layout", *, deep: bool) -> int:
    log_bytes = sum(file.stat().st_size for file in layout.log.glob("*.seg"))
    return log_bytes + (late.pool.size_bytes_of(layout) if deep else 0)
