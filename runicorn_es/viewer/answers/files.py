"""What is in a version: its folders and files, and a look into one of them."""

import csv
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

import msgspec

from runicorn_es import names, queries, settings
from runicorn_es.errors import Unknown
from runicorn_es.events import FileAdded
from runicorn_es.projections.rows import PURGED
from runicorn_es.queries import ExternalReference, File, to_file, to_reference
from runicorn_es.viewer.answers.versions import version_row
from runicorn_es.viewer.desk import Desk, Limit, Moment, Name, Path, Words

Look = Literal["text", "json", "table", "image", "none"]

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_REFERENCES_SHOWN = 200


class FilesAsked(msgspec.Struct, frozen=True):
    """folder: which one, with ``/`` between its parts. after: the name behind which the page begins."""

    name: Name
    version: int
    folder: Path = ""
    after: Words | None = None
    limit: Limit = settings.FOLDER_ENTRIES
    as_of: Moment | None = None


class Entry(msgspec.Struct, frozen=True):
    """What lies in a folder: a file, or (``file`` is None) another folder."""

    name: str
    path: str
    file: File | None


class Files(msgspec.Struct, frozen=True):
    """A page of a folder. references: those of the version, in its topmost folder, not all where there are many."""

    spec: str
    folder: str
    entries: list[Entry]
    next: str | None
    references: list[ExternalReference]
    num_files: int
    num_references: int
    size_bytes: int


class FileAsked(msgspec.Struct, frozen=True):
    """Which file of which version."""

    name: Name
    version: int
    path: Path
    as_of: Moment | None = None


class Preview(msgspec.Struct, frozen=True):
    """A look into a file. is_cut: there is more of it. ``why``: why there is nothing to see, for ``none``."""

    spec: str
    file: File
    look: Look
    text: str = ""
    rows: list[list[str]] = []
    is_cut: bool = False
    why: str = ""


def files(desk: Desk, asked: FilesAsked) -> Files:
    """Return what lies directly in a folder. Raises Unknown where nothing does."""
    folder = asked.folder.strip("/")
    with desk.reading(asked.as_of) as view:
        row = version_row(view, asked.name, asked.version)
        spec = names.spec(row.name, row.version)
        if row.status == PURGED:
            return Files(spec, folder, [], None, [], row.file_count, row.reference_count, row.size_bytes)
        found = queries.folder(view, row, folder, after=asked.after, limit=asked.limit)
        if folder and not found.names and asked.after is None:
            raise Unknown(f"{spec} has no folder {folder!r}")
        above = f"{folder}/" if folder else ""
        entries = [
            Entry(name, f"{above}{name.rstrip('/')}", to_file(found.files[name]) if name in found.files else None)
            for name in found.names
        ]
        references: list[ExternalReference] = []
        if not folder and asked.after is None and row.reference_count:
            references = [to_reference(one) for one in queries.references(view, row)[:_REFERENCES_SHOWN]]
        return Files(spec, folder, entries, found.next, references, row.file_count, row.reference_count, row.size_bytes)


def opened(desk: Desk, asked: FileAsked) -> tuple[FileAdded, BinaryIO]:
    """Return a file as the log has it, and its bytes. It is looked up by its whole path in the version, or Unknown."""
    with desk.reading(asked.as_of) as view:
        row = version_row(view, asked.name, asked.version)
        if row.status == PURGED:
            raise Unknown(f"{names.spec(row.name, row.version)} was purged; its files are gone for good")
        found = queries.file(view, row, asked.path)
    return found, desk.store.pool.open(found.digest, found.size_bytes)


def preview(desk: Desk, asked: FileAsked) -> Preview:
    """Return a look into a file: no more of it is read than is shown."""
    found, stream = opened(desk, asked)
    spec, file = names.spec(asked.name, asked.version), to_file(found)
    with stream:
        head = stream.read(settings.PREVIEW_JSON_BYTES_MAX)
    if image_type(head) is not None:
        if file.size > settings.PREVIEW_IMAGE_BYTES_MAX:
            return Preview(spec, file, "none", why="The image is too large to be shown here; download it.")
        return Preview(spec, file, "image")
    text = _text(head)
    if text is None:
        return Preview(spec, file, "none", why="These bytes are no text and no image that is shown here.")
    kind = PurePosixPath(asked.path).suffix.lower()
    if kind in {".json", ".ipynb"} and file.size <= len(head) and (indented := _indented(head)) is not None:
        return Preview(spec, file, "json", text=indented)
    is_cut = file.size > settings.PREVIEW_BYTES_MAX
    text = _text(head[: settings.PREVIEW_BYTES_MAX]) or ""
    if kind in {".csv", ".tsv"} and (rows := _rows(text, "\t" if kind == ".tsv" else ",", is_cut=is_cut)):
        shown = rows[: settings.PREVIEW_ROWS_MAX]
        return Preview(spec, file, "table", rows=shown, is_cut=is_cut or len(rows) > len(shown))
    return Preview(spec, file, "text", text=text, is_cut=is_cut)


def image_type(head: bytes) -> str | None:
    """Return the type of an image by its first bytes, for those that browsers show and that hold no script."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((type_ for magic, type_ in _IMAGES.items() if head.startswith(magic)), None)


def _text(head: bytes) -> str | None:
    """Return bytes as text, or None where they are none. The last character may be cut in its middle."""
    if b"\x00" in head:
        return None
    for missing in range(4):
        try:
            return head[: len(head) - missing].decode()
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:
                return None
    return None


def _indented(head: bytes) -> str | None:
    try:
        msgspec.json.decode(head)
        return msgspec.json.format(head, indent=2).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _rows(text: str, delimiter: str, *, is_cut: bool) -> list[list[str]]:
    lines = text.splitlines(keepends=True)
    if is_cut:
        lines = lines[:-1]
    try:
        return list(islice(csv.reader(lines, delimiter=delimiter), settings.PREVIEW_ROWS_MAX + 1))
    except csv.Error:
        return []
