"""Answers that are as long as they take: files, a whole version as a zip, and events as they happen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
import re
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runicorn_es import names, queries, settings, telling
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.errors import Unknown
from runicorn_es.names import Digest
from runicorn_es.projections.rows import PURGED
from runicorn_es.viewer.answers.events import RecordLine, record_line
from runicorn_es.viewer.answers.files import FileAsked, image_type, opened
from runicorn_es.viewer.answers.versions import VersionAsked, version_row
from runicorn_es.viewer.desk import Desk
from runicorn_es.viewer.zips import Member, zip_of

# What came from users is never a page: not run, not framed, and saved under its name.
_UNTRUSTED = {"content-security-policy": "sandbox; default-src 'none'"}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAUSE_S = 0.5
_SILENCE_S = 15.0
_BATCH = 100


def download(desk: Desk, asked: FileAsked, *, span: str | None = None) -> Response:
    """Return a file to be saved. span: the Range header, of which one range from a place on is understood."""
    found, stream = opened(desk, asked)
    headers = {
        **_UNTRUSTED,
        "content-disposition": attachment(found.path.rpartition("/")[2]),
        "accept-ranges": "bytes",
        "etag": f'"{Digest(found.digest).hex}"',
    }
    begin, end, status = 0, found.size_bytes, 200
    if span and (match := _RANGE.fullmatch(span)):
        begin, end = int(match[1]), min(int(match[2]) + 1 if match[2] else end, end)
        if begin >= end:
            stream.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{found.size_bytes}"})
        status = 206
        headers["content-range"] = f"bytes {begin}-{end - 1}/{found.size_bytes}"
    headers["content-length"] = str(end - begin)
    return StreamingResponse(_pieces(stream, begin, end), status, headers, media_type="application/octet-stream")


def image(desk: Desk, asked: FileAsked) -> Response:
    """Return an image to be shown in a page of ours; by its bytes, whatever its name says. Raises Unknown."""
    found, stream = opened(desk, asked)
    with stream:
        kind = image_type(stream.read(16))
        if kind is None or found.size_bytes > settings.PREVIEW_IMAGE_BYTES_MAX:
            raise Unknown(f"{asked.path!r} is not an image that is shown here; download it")
        stream.seek(0)
        return Response(stream.read(), headers=_UNTRUSTED, media_type=kind)


def archive(desk: Desk, asked: VersionAsked) -> Response:
    """Return all files of a version as a zip, made as it is sent."""
    with desk.reading(asked.as_of) as view:
        row = version_row(view, asked.name, asked.version)
        spec = names.spec(row.name, row.version)
        if row.status == PURGED:
            raise Unknown(f"{spec} was purged; its files are gone for good")
        positions = queries.created(view, row).pages

    def members() -> Iterator[Member]:
        for position in positions:
            with desk.reading(asked.as_of) as view:
                page = view.page(position)
            for file in page:
                yield Member(file.path, file.size_bytes, file.executable, file.digest)

    def bytes_of(member: Member) -> Iterator[bytes]:
        return _pieces(desk.store.pool.open(member.digest, member.size_bytes), 0, member.size_bytes)

    headers = {**_UNTRUSTED, "content-disposition": attachment(f"{row.name}-v{row.version}.zip")}
    content = zip_of(members, bytes_of, to_datetime(row.created_ns))
    return StreamingResponse(content, headers=headers, media_type="application/zip")


class Tail:
    """Those who follow the log: each gets its new records as events that the server sends."""

    def __init__(self, desk: Desk, row: Callable[[RecordLine], str]) -> None:
        self._desk = desk
        self._row = row
        self._count = 0
        self._is_ending = False

    def follow(self, request: Request, after: int) -> Response:
        """Return the stream of records beyond an index. So many may follow at once."""
        if self._count >= settings.STREAMS_MAX:
            return Response("Too many follow the log here already.\n", 503, {"retry-after": "30"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._told(request, after), headers=headers, media_type="text/event-stream")

    def end(self) -> None:
        """End all streams, for the server is about to stop; browsers ask again by themselves."""
        self._is_ending = True

    async def _told(self, request: Request, after: int) -> AsyncIterator[str]:
        self._count += 1
        try:
            silent_s = 0.0
            yield "retry: 2000\n\n"
            while not self._is_ending and not await request.is_disconnected():
                some = await run_in_threadpool(self._news, after)
                for line in some:
                    after, silent_s = line.index, 0.0
                    content = self._row(line).replace("\r", " ").replace("\n", " ")
                    yield f"id: {line.index}\ndata: {content}\n\n"
                if not some:
                    await asyncio.sleep(_PAUSE_S)
                    silent_s += _PAUSE_S
                    if silent_s >= _SILENCE_S:
                        silent_s = 0.0
                        yield ": still here\n\n"
        finally:
            self._count -= 1

    def _news(self, after: int) -> list[RecordLine]:
        with self._desk.reading() as view:
            end = min(after + 1 + _BATCH, queries.head(view)[0])
            return [record_line(one) for one in telling.told_at(view, range(after + 1, end))]


def attachment(name: str) -> str:
    """Return the header that has an answer saved under a name, as RFC 6266 spells it."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _pieces(stream: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    with stream:
        stream.seek(begin)
        left = end - begin
        while left > 0 and (piece := stream.read(min(left, settings.STREAM_STEP_BYTES))):
            left -= len(piece)
            yield piece
