"""Moments as people write them, and where in the log they are."""

from datetime import UTC, date, datetime, timedelta
import time

import pytest

from given import SECOND_NS, given
from runicorn_es import queries
from runicorn_es.errors import Rejected
from runicorn_es.events import BlobsReclaimed, Draft
from runicorn_es.moments import Instant, Kept, Moment, Position, meaning

NOW = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
DAY_NS = 86_400 * SECOND_NS


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND_NS


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """An hour before UTC in winter, two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, Position(0)),
        (812, Position(812)),
        ("#812", Position(812)),
        (Moment(7, 9), Position(7)),
        ("2026-01-31T12:30", Instant(ns(datetime(2026, 1, 31, 11, 30, tzinfo=UTC)))),
        ("2026-01-31 12:30:05", Instant(ns(datetime(2026, 1, 31, 11, 30, 5, tzinfo=UTC)))),
        ("2026-01-31T12:30Z", Instant(ns(datetime(2026, 1, 31, 12, 30, tzinfo=UTC)))),
        ("2026-01-31T12:30+05:00", Instant(ns(datetime(2026, 1, 31, 7, 30, tzinfo=UTC)))),
        ("2025-07-31T12:30", Instant(ns(datetime(2025, 7, 31, 10, 30, tzinfo=UTC)))),
        (
            datetime(2026, 1, 31, 12, 30),  # noqa: DTZ001 - on purpose
            Instant(ns(datetime(2026, 1, 31, 11, 30, tzinfo=UTC))),
        ),
        (
            datetime.fromisoformat("2026-01-31T00:00+05:00"),
            Instant(ns(datetime(2026, 1, 30, 19, tzinfo=UTC))),
        ),
        ("2026-01-31", Instant(ns(datetime(2026, 1, 31, 23, tzinfo=UTC)) - 1)),
        (date(2026, 1, 31), Instant(ns(datetime(2026, 1, 31, 23, tzinfo=UTC)) - 1)),
        ("yesterday", Instant(ns(datetime(2026, 2, 2, 23, tzinfo=UTC)) - 1)),
        ("today", Instant(ns(NOW))),
        ("2026-02-03", Instant(ns(NOW))),
        ("now", Instant(ns(NOW))),
        ("3 days ago", Instant(ns(NOW) - 3 * DAY_NS)),
        ("1 Day Ago", Instant(ns(NOW) - DAY_NS)),
        ("an hour ago", Instant(ns(NOW) - 3600 * SECOND_NS)),
        ("90s ago", Instant(ns(NOW) - 90 * SECOND_NS)),
        ("2 weeks ago", Instant(ns(NOW) - 14 * DAY_NS)),
        ("999999999 weeks ago", Instant(0)),
        ("0001-01-01", Instant(0)),
        ("origin\n812\nroot\n", Kept("origin\n812\nroot\n")),
    ],
    ids=str,
)
def test_a_moment_means_what_people_mean_by_it(written, meant):
    assert meaning(written, ns(NOW)) == meant


@pytest.mark.parametrize(
    "written", ["", "812", "#", "#-1", "soon", "2026-13-01", "3 fortnights ago", "tomorrow", True, 1.5, b"#1", "#1\x00"]
)
def test_what_means_no_moment_is_refused_with_what_would(written):
    with pytest.raises(Rejected, match=r"is no moment; write a position \(#812\), a date or time"):
        meaning(written, ns(NOW))


@pytest.mark.parametrize(
    "written", ["2026-02-04", "9999-12-31", date.max, NOW + timedelta(seconds=1), "2026-02-03T13:01"]
)
def test_what_is_to_come_is_refused(written):
    with pytest.raises(Rejected, match="in the future"):
        meaning(written, ns(NOW))


def test_a_negative_position_is_refused():
    with pytest.raises(Rejected, match="-1 is negative"):
        meaning(-1, ns(NOW))


# In a log: one record in the first second, three in one batch in the next, one in the third.


@pytest.fixture
def log():
    one = Draft("", (BlobsReclaimed(0, 0),))
    return given(one, [one, one, one], one)


@pytest.mark.parametrize(("position", "found"), [(0, 0), (1, 1), (2, 1), (3, 1), (4, 4), (5, 5)])
def test_a_moment_in_the_middle_of_a_batch_is_the_one_before_it(log, position, found):
    seconds = {0: 0, 1: 1, 4: 2, 5: 3}[found]

    assert queries.moment_at(log, position) == Moment(found, seconds * SECOND_NS)


@pytest.mark.parametrize(
    ("time_ns", "found"), [(0, 0), (SECOND_NS - 1, 0), (SECOND_NS, 1), (2 * SECOND_NS, 4), (4 * SECOND_NS, 5)]
)
def test_by_a_time_is_with_all_that_happened_then(log, time_ns, found):
    assert queries.moment_by(log, time_ns).position == found


def test_a_position_beyond_the_end_is_refused(log):
    with pytest.raises(Rejected, match="position 6 is in the future: the log has 5 records"):
        queries.moment_at(log, 6)


def test_an_empty_log_has_one_moment():
    assert queries.moment_by(given(), 10 * SECOND_NS) == Moment(0, 0)
