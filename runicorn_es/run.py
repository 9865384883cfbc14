"""A program that makes and uses artifacts, and the run that is current in this thread."""

import atexit
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
import os
import sys
from types import TracebackType
from typing import Any, Literal, Self
import warnings

from runicorn_es import names, queries
from runicorn_es.ambient import SYSTEM
from runicorn_es.artifact import Artifact, ArtifactVersion, VersionNumber
from runicorn_es.artifact.json_values import to_json
from runicorn_es.commands import FinishRun, StartRun, UseArtifact
from runicorn_es.errors import Rejected, RunicornError, Unknown
from runicorn_es.events import VersionUsed
from runicorn_es.location import storage_root
from runicorn_es.names import Reference, parse_reference
from runicorn_es.program import this_program
from runicorn_es.store import Store

Status = Literal["finished", "failed"]


class Run:
    """A run in a store. Begin one with ``init``; it is also a context manager, which an exception marks as failed."""

    def __init__(self, store: Store, run_id: str, project: str, name: str | None) -> None:
        self.store = store
        self.id = run_id
        self.project = project
        self.name = name
        self.status: str = "running"
        self._pid = os.getpid()

    def log_artifact(
        self,
        artifact: Artifact,
        aliases: Sequence[str] | str | None = None,
        *,
        idempotency_key: str | None = None,
        cold: bool = False,
    ) -> VersionNumber:
        """Store an artifact as the next version of its name; durable when this returns.

        aliases: names such as ``production`` to set on it in the same step. idempotency_key: a call repeated with the
        same key returns the version of the first. cold: put its files into packs at once, for a version that nobody
        will ask for soon. Returns the version's number: an int with ``name``, ``spec``, ``digest``. Raises Rejected
        when there is nothing to log, when the name belongs to another type, or when a file changed while it was read;
        then nothing was logged.

        Example: ``version = run.log_artifact(model, aliases=["production"])``
        """
        self._require_running()
        if not isinstance(artifact, Artifact):
            raise Rejected(f"log_artifact takes an Artifact that you made, not {type(artifact).__name__}")
        chosen = (aliases,) if isinstance(aliases, str) else tuple(aliases or ())
        return self.store.log_artifact(artifact, run=self.id, aliases=chosen, key=idempotency_key, cold=cold)

    def use_artifact(self, spec: str, type: str | None = None) -> ArtifactVersion:
        """Return a version as an input of this run, which is recorded before any of its bytes are handed out.

        spec: ``name`` or ``name:latest``, ``name:v3``, ``name:alias``, or ``name@`` and the beginning of a digest.
        It may be one of the past: ``m:production@{2026-01-31}`` is what production meant then. type: raise unless it is
        of this type. Used twice is recorded once. Raises Unknown, naming what exists nearby.
        """
        self._require_running()
        wanted, moment = self.store.meant(spec)
        reference = parse_reference(wanted)
        if moment is not None:
            row, _ = self.store.resolved(wanted, as_of=moment, deleted=True)
            reference = Reference(row.name, spec, version=row.version)
        with self.store.reading() as view:
            row = queries.resolve(view, reference)
            is_recorded = queries.has_used(view, self.id, row)
        if is_recorded and (type is None or type == row.type):
            return self.store.version_of(row)
        events = self.store.execute(UseArtifact(self.id, reference, type), run=self.id)
        # An alias may have moved before we had the lock; what was recorded is what counts.
        for event in events:
            if isinstance(event, VersionUsed):
                reference = Reference(event.name, spec, version=event.version)
        with self.store.reading() as view:
            return self.store.version_of(queries.resolve(view, reference))

    def finish(self, status: Status = "finished") -> None:
        """End the run; a second time does nothing."""
        if status not in ("finished", "failed"):
            raise ValueError(f"status must be 'finished' or 'failed', not {status!r}")
        if self.status != "running":
            return
        self.store.execute(FinishRun(self.id, status), run=self.id)
        self.status = status
        self._forget()

    def _forget(self) -> None:
        # The store stays open: versions that the run used may be asked for more.
        if _current.get() is self:
            _current.set(None)
        _open_runs.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish("finished" if error is None else "failed")

    def __repr__(self) -> str:
        return f"<Run {self.id} of project {self.project!r}, {self.status}>"

    def _require_running(self) -> None:
        if self.status != "running":
            raise Rejected(f"run {self.id} has {self.status}; begin another one with init()")


def init(
    project: str,
    name: str | None = None,
    *,
    storage: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
) -> Run:
    """Begin a run and make it the current one of this thread.

    storage: the folder of the store, made if there is none; without it ``$RUNICORN_DIR``, the user's configuration, or
    the user's data folder. config: any JSON object. The run records who runs what, where, with which Python and which
    git commit. A run that is still current is finished first, with a warning.

    Example:
        >>> run = init("image_classification", name="resnet50_v1")  # doctest: +SKIP
        >>> finish()  # doctest: +SKIP
    """
    project = names.parse_project(project)
    name = None if name is None else names.parse_project(name, "run")
    settings_json = to_json(config or {}, "config")
    parsed_tags = tuple(sorted({names.parse_tag(tag) for tag in tags or ()}))
    _end_earlier()
    store = Store(storage_root(storage))
    try:
        program = this_program()
        run_id = _new_id()
        command = StartRun(
            run_id,
            project,
            name,
            settings_json,
            parsed_tags,
            program.python,
            program.command,
            program.folder,
            program.git_commit,
            program.git_dirty,
        )
        store.execute(command, run=run_id)
    except BaseException:
        store.close()
        raise
    run = Run(store, run_id, project, name)
    _current.set(run)
    _open_runs[run_id] = run
    return run


def finish(status: Status = "finished") -> None:
    """End the current run of this thread. Raises Unknown when there is none."""
    run = _current_here()
    if run is None:
        raise Unknown("there is no current run in this thread to finish; begin one with init()")
    run.finish(status)


def _end_earlier() -> None:
    """Finish the run that is still current, with a warning to the caller of ``init``."""
    earlier = _current_here()
    if earlier is None or earlier.status != "running":
        return
    how = "is finished now"
    try:
        earlier.finish()
    except (OSError, RunicornError) as error:
        # Its store may be gone, and must not stand in the way of what comes next.
        earlier._forget()  # noqa: SLF001
        how = f"could not be finished ({error})"
    warnings.warn(f"run {earlier.id} was still open and {how}; call finish() before the next init()", stacklevel=3)


def _current_here() -> Run | None:
    """Return the current run of this thread, unless it is the parent's of this forked process."""
    run = _current.get()
    return run if run is not None and run._pid == os.getpid() else None  # noqa: SLF001


def _new_id() -> str:
    """Return an id such as ``20250901_103015_abc123``: the time in UTC, and digits that no seed repeats."""
    seconds = SYSTEM.now_ns() // 1_000_000_000
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d_%H%M%S}_{SYSTEM.token(3).hex()}"


def _finish_at_exit() -> None:
    """End what the program left open: failed if it ends by an exception, else finished."""
    is_failing = getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")
    for run in list(_open_runs.values()):
        if run._pid == os.getpid():  # noqa: SLF001
            try:
                run.finish("failed" if is_failing else "finished")
            except (RunicornError, OSError) as error:
                print(f"runicorn-es: run {run.id} could not be finished: {error}", file=sys.stderr)  # noqa: T201


# The current run of each thread and task; and all that are open, by id, for the end of the program.
_current: ContextVar[Run | None] = ContextVar("current run", default=None)
_open_runs: dict[str, Run] = {}
atexit.register(_finish_at_exit)
