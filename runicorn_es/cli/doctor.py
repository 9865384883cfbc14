"""``doctor``: how the store is."""

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.errors import Damaged

_YES_NO = {True: "yes", False: "no", None: "cannot be seen"}


def doctor(context: typer.Context) -> None:
    """Look at the store and say how it is; changes nothing. Exit code 65 when something is wrong."""
    layout = opening.existing(asked(context))
    found = late.checkup.check(layout, is_writable=opening.is_writable(layout))
    if asked(context).as_json:
        output.document("runicorn.doctor/1", **late.msgspec.structs.asdict(found))
    else:
        _show(found)
        for warning in found.warnings:
            output.complain("warning", output.printable(warning))
        for finding in found.findings:
            output.complain("error", output.printable(finding))
    if found.findings:
        raise typer.Exit(Damaged.exit_code)


def _show(found: "late.checkup.Checkup") -> None:
    where = found.file_system
    kept = output.size(sum(one.size_bytes for one in found.quarantine))
    about = {
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "store": found.path,
        "id": f"{found.store_id}, format {found.format}, created {found.created}",
        "file system": f"{where.type or 'unknown'}, {output.size(where.free_bytes)} free, "
        f"flock {'works' if where.has_flock else 'does not work'}",
        "writable": _YES_NO[found.is_writable],
        "log": f"{_known(found.records, 'record')}, {output.size(found.log_bytes)} "
        f"in {output.count(found.segments, 'segment')}",
        "checkpoint": f"of {_known(found.checkpoint_records, 'record')}",
        "signing key": _YES_NO[found.has_key],
        "pool": f"{output.count(found.blobs, 'blob')}, {output.size(found.pool_bytes)}",
        "quarantine": f"{output.count(len(found.quarantine), 'file')}, {kept}" if found.quarantine else "empty",
    }
    output.say(*(f"{label:<12} {output.printable(value)}" for label, value in about.items()))
    output.say(*(f"  {output.size(one.size_bytes):>10}  {output.printable(one.path)}" for one in found.quarantine))
    output.say("healthy" if not found.findings else f"not healthy: {output.count(len(found.findings), 'finding')}")


def _known(number: int | None, noun: str) -> str:
    return f"unknown {noun}s" if number is None else output.count(number, noun)
