"""What is going to be a version: the files, references, metadata and tags that a user chose."""

from collections.abc import Mapping, Sequence
import filecmp
import os
from pathlib import Path
import stat
from typing import Any, Self

import msgspec

from runicorn_es import names, settings
from runicorn_es.artifact.json_values import is_count, is_text, plain_to_json, to_plain, to_sorted_json
from runicorn_es.artifact.walk import Symlinks, files_below
from runicorn_es.errors import Rejected
from runicorn_es.events import ReferenceAdded
from runicorn_es.pool.sources import Mode, Source


class _Origin(msgspec.Struct, frozen=True):
    """Where files come from: those of a folder, which may be millions, share one.

    prefix: what stands before the path below the folder in the path inside the artifact. path: below the folder, where
    it does not follow from that.
    """

    folder: str
    prefix: str
    mode: Mode
    follow: bool
    path: str | None = None

    def source(self, inside: str) -> Source:
        """Return what to take in for a path inside the artifact."""
        path = inside[len(self.prefix) :] if self.path is None else self.path
        return Source(self.folder, path, self.mode, self.follow)


class Artifact:
    """A model, a dataset, or whatever else should get versions; log it with ``Run.log_artifact``.

    name: at most 128 characters, none of ``/ \\ : * ? < > | "``. type: ``model``, ``dataset``, ``config``, ``code``,
    ``custom``, or another lower-case word. metadata: any JSON object. Files are read when the artifact is logged.

    Raises Rejected (a ValueError) for names and values that cannot be stored.

    Example:
        >>> model = Artifact("resnet50-model", type="model").add_metadata({"val_acc": 0.95})
        >>> model.full_name
        'resnet50-model'
    """

    def __init__(
        self,
        name: str,
        type: str,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = names.parse_name(name)
        self.type = names.parse_type(type)
        self.description = description if description is None else parse_description(description)
        self.version: int | None = None
        self._metadata: dict[str, Any] = {}
        self._tags: set[str] = set()
        self._origins: dict[str, _Origin] = {}
        self._references: dict[str, ReferenceAdded] = {}
        self.add_metadata(metadata or {})

    def add_file(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        mode: Mode = "copy",
        symlinks: Symlinks = "error",
    ) -> Self:
        """Add one file, under its own name or under ``name`` (a path inside the artifact). Returns the artifact.

        mode: ``copy`` stores a copy (shared blocks where the file system can); ``link`` makes the file itself a blob,
        read-only from then on; ``move`` does that and removes the file when the version is logged. Raises
        FileNotFoundError, or Rejected: for a folder, a symbolic link (unless ``symlinks="follow"``), a FIFO, a device,
        or another file under the same path.
        """
        file = _absolute(path)
        try:
            found = file.stat() if symlinks == "follow" else file.lstat()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no file {os.fspath(path)!r} to add (looked for {file}); check the path and the working folder"
            ) from None
        if stat.S_ISDIR(found.st_mode):
            raise Rejected(f"{file} is a folder; use add_dir to add the files in it")
        if stat.S_ISLNK(found.st_mode):
            raise Rejected(f"{file} is a symbolic link; pass symlinks='follow' to store the file it points to")
        if not stat.S_ISREG(found.st_mode):
            raise Rejected(f"{file} is neither a file nor a folder; only files can be stored")
        origin = _Origin(str(file.parent), "", _known_mode(mode), _is_following(symlinks), file.name)
        self._stage(names.parse_path(name if name is not None else file.name), origin)
        return self

    def add_dir(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        exclude_patterns: Sequence[str] | str | None = None,
        *,
        mode: Mode = "copy",
        symlinks: Symlinks = "error",
    ) -> Self:
        """Add all files below a folder, by their paths relative to it, below ``name`` if given. Returns the artifact.

        exclude_patterns: shell patterns such as ``*.log`` or ``cache/*``; a folder that matches is left out whole.
        Raises FileNotFoundError, NotADirectoryError, or Rejected as ``add_file`` does; nothing is added then.
        """
        folder = _absolute(path)
        try:
            found = folder.stat() if symlinks == "follow" else folder.lstat()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no folder {os.fspath(path)!r} to add (looked for {folder}); check the path and the working folder"
            ) from None
        if stat.S_ISLNK(found.st_mode):
            raise Rejected(f"{folder} is a symbolic link; pass symlinks='follow', or the folder it points to")
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(f"{folder} is not a folder; use add_file to add a single file")
        prefix = f"{names.parse_path(name.rstrip('/'))}/" if name is not None else ""
        shared = _Origin(str(folder), prefix, _known_mode(mode), _is_following(symlinks))
        exclude = (exclude_patterns,) if isinstance(exclude_patterns, str) else exclude_patterns or ()
        before = dict(self._origins)
        try:
            for relative in files_below(shared.folder, exclude, symlinks):
                wanted = prefix + relative
                inside = names.parse_path(wanted)
                self._stage(inside, shared if inside == wanted else msgspec.structs.replace(shared, path=relative))
        except (Rejected, OSError):
            self._origins = before
            raise
        return self

    def add_reference(self, uri: str, checksum: str | None = None, size: int | None = None, **attributes: Any) -> Self:
        """Add something that stays where it is, such as ``s3://bucket/data``; only this note of it is stored.

        checksum: such as ``sha256:…``. size: in bytes. Further keywords are kept as JSON. Returns the artifact. Raises
        Rejected for values that cannot be stored, and for the same URI with other values.
        """
        if not uri or uri != uri.strip() or not uri.isprintable():
            raise Rejected(f"reference {uri!r} is not a URI; write something like 's3://bucket/path'")
        if checksum is not None and not is_text(checksum):
            raise Rejected(f"checksum of reference {uri!r} must be a text such as 'sha256:…', not {checksum!r}")
        if size is not None and not is_count(size):
            raise Rejected(f"size of reference {uri!r} must be a number of bytes, not {size!r}")
        reference = ReferenceAdded(uri, checksum, size, to_sorted_json(attributes, f"attributes of reference {uri!r}"))
        if self._references.setdefault(uri, reference) != reference:
            raise Rejected(f"reference {uri!r} was added already with other values; add it once")
        return self

    def add_metadata(self, metadata: Mapping[str, Any]) -> Self:
        """Add keys and values, replacing those of the same key. Returns the artifact.

        Raises Rejected, naming the key, for NaN, infinities and what JSON cannot hold; nothing is added then.
        """
        if not isinstance(metadata, Mapping):
            raise Rejected(f"metadata must be a dictionary, not {type(metadata).__name__}")
        merged = to_plain({**self._metadata, **metadata}, "metadata")
        plain_to_json(merged, "metadata")
        self._metadata = merged
        return self

    def add_tags(self, *tags: str) -> Self:
        """Add tags. Returns the artifact. Raises Rejected for an empty or unprintable one."""
        parsed = {names.parse_tag(tag) for tag in tags}
        if len(self._tags | parsed) > settings.TAGS_MAX:
            raise Rejected(f"an artifact may have at most {settings.TAGS_MAX} tags")
        self._tags |= parsed
        return self

    @property
    def is_loaded(self) -> bool:
        """Return False: this is a draft. A version that was loaded from the store says True."""
        return False

    @property
    def full_name(self) -> str:
        """Return ``name:v3`` once it was logged, before that the name alone."""
        return self.name if self.version is None else names.spec(self.name, self.version)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return a copy of the metadata added so far."""
        return dict(self._metadata)

    @property
    def tags(self) -> list[str]:
        """Return the tags added so far, sorted."""
        return sorted(self._tags)

    @property
    def staged_files(self) -> dict[str, Path]:
        """Return the files added so far: path inside the artifact to file on disk, in order of the paths."""
        return {path: Path(str(self.source_of(path))) for path in self.staged_paths()}

    @property
    def staged_references(self) -> list[ReferenceAdded]:
        """Return the references added so far, in the order they were added."""
        return list(self._references.values())

    def staged_paths(self) -> list[str]:
        """Return the paths of the files added so far, in the order in which they will stand in the version."""
        return sorted(self._origins, key=str.encode)

    def staged_folders(self) -> set[str]:
        """Return the folders that files were added from."""
        return {origin.folder for origin in self._origins.values()}

    def source_of(self, path: str) -> Source:
        """Return what to take in for one of these paths."""
        return self._origins[path].source(path)

    def metadata_json(self) -> str:
        """Return the metadata as the text of a JSON object."""
        return plain_to_json(self._metadata, "metadata")

    def __repr__(self) -> str:
        counts = f"{len(self._origins)} files, {len(self._references)} references"
        return f"<Artifact {self.full_name!r} ({self.type}), {counts}>"

    def _stage(self, path: str, origin: _Origin) -> None:
        taken = self._origins.setdefault(path, origin)
        if taken is origin:
            return
        present, source = taken.source(path), origin.source(path)
        if str(present) != str(source):
            # Two names of one file, or two files that are equal, are one file all the same. What was compared before
            # is no answer: neither size nor time say that a file is still the same.
            filecmp.clear_cache()
            if not filecmp.cmp(str(present), str(source), shallow=False):
                raise Rejected(
                    f"two different files would have the path {path!r} in the artifact: {present} and {source}; "
                    "add one of them under another name"
                )
        elif taken != origin:
            self._origins[path] = origin


def parse_description(text: str) -> str:
    """Return a description. Raises Rejected for what is no text, or too long."""
    if not is_text(text):
        raise Rejected(f"the description must be a text, not {text!r}")
    if len(text) > settings.DESCRIPTION_CHARACTERS_MAX:
        raise Rejected(f"the description has {len(text)} characters; put a long text into a file instead")
    return text


def _known_mode(mode: Mode) -> Mode:
    if mode not in ("copy", "link", "move"):
        raise Rejected(f"mode must be 'copy', 'link' or 'move', not {mode!r}")
    return mode


def _is_following(symlinks: Symlinks) -> bool:
    if symlinks not in ("error", "follow"):
        raise Rejected(f"symlinks must be 'error' or 'follow', not {symlinks!r}")
    return symlinks == "follow"


def _absolute(path: str | os.PathLike[str]) -> Path:
    # Not resolved: whether the last part is a link is for the caller to see.
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100
