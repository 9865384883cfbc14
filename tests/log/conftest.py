"""A log of its own for each test, and what is asked of one."""

import os

import pytest

from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log, Position, Record

STORE_ID = bytes(range(16))


class Journal:
    """A log with its end remembered, as its writer does under the lock."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.log = Log(layout, STORE_ID)
        self.end = START

    def append(self, *payloads: bytes, subject: str = "m:v1", is_overlapping: bool = False) -> list[Record]:
        """Append one batch of records with these payloads, durably."""
        entries = [Entry(subject, payload) for payload in payloads]
        records, self.end = self.log.append(entries, self.end, 1, is_overlapping=is_overlapping)
        self.log.sync(self.end)
        return records

    def batches(self, position: Position = START) -> list[list[bytes]]:
        """Return the payloads of each batch, read by a reader that knows nothing yet."""
        return [[record.payload for record in batch] for batch, _ in Log(self.layout, STORE_ID).batches(position)]

    def segments(self) -> list[str]:
        """Return the names of the segments, in order."""
        return sorted(path.name for path in self.layout.log.glob("*.seg"))


@pytest.fixture
def journal(tmp_path):
    layout = Layout(tmp_path)
    layout.log_quarantine.mkdir(parents=True)
    made = Journal(layout)
    made.log.create()
    return made


@pytest.fixture
def synced(monkeypatch):
    """The files that were synced, in order, by name."""
    names: list[str] = []

    def note(sync):
        def synced_and_noted(descriptor):
            names.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH115, PTH119
            sync(descriptor)

        return synced_and_noted

    monkeypatch.setattr(os, "fsync", note(os.fsync))
    monkeypatch.setattr(os, "fdatasync", note(os.fdatasync))
    return names
