"""The session day: its boundaries to the microsecond, in zones whose clocks turn."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer4_risk.session_day import SessionDay

DAY = datetime(2024, 3, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
NEW_YORK = "America/New_York"
ZONES = ("UTC", NEW_YORK, "Europe/London", "Australia/Lord_Howe", "Asia/Tokyo", "America/St_Johns", "Pacific/Apia")


def day(start_hour: int, zone: str = "UTC") -> SessionDay:
    return SessionDay(start_hour=start_hour, zone=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("now", "start_hour", "begin"),
    [
        (DAY, 0, DAY),
        (DAY - MOMENT, 0, DAY - timedelta(days=1)),
        (DAY + timedelta(days=1) - MOMENT, 0, DAY),
        (DAY + timedelta(hours=22), 22, DAY + timedelta(hours=22)),
        (DAY + timedelta(hours=22) - MOMENT, 22, DAY - timedelta(hours=2)),
        (DAY, 22, DAY - timedelta(hours=2)),
    ],
)
def test_it_begins_at_its_hour_and_not_a_moment_before(now: datetime, start_hour: int, begin: datetime) -> None:
    assert day(start_hour).began(now) == begin


@pytest.mark.parametrize(
    ("now", "began", "ends"),
    [
        ("2024-01-15T12:00", "2024-01-14T22:00", "2024-01-15T22:00"),
        ("2024-07-15T12:00", "2024-07-14T21:00", "2024-07-15T21:00"),
        ("2024-03-10T12:00", "2024-03-09T22:00", "2024-03-10T21:00"),
        ("2024-11-03T12:00", "2024-11-02T21:00", "2024-11-03T22:00"),
    ],
)
def test_five_oclock_in_new_york_follows_its_clocks(now: str, began: str, ends: str) -> None:
    instants = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (now, began, ends)]
    forex = day(17, NEW_YORK)
    assert [forex.began(instants[0]), forex.ends(instants[0])] == instants[1:]


def test_an_hour_that_is_skipped_or_comes_twice_begins_one_day_only() -> None:
    skipped, twice = day(2, NEW_YORK), day(1, NEW_YORK)
    assert skipped.began(datetime(2024, 3, 10, 12, tzinfo=UTC)) == datetime(2024, 3, 10, 7, tzinfo=UTC)
    assert twice.began(datetime(2024, 11, 3, 12, tzinfo=UTC)) == datetime(2024, 11, 3, 5, tzinfo=UTC)


@settings(deadline=None)
@given(
    now=st.datetimes(datetime(2000, 1, 3), datetime(2050, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    start_hour=st.integers(0, 23),
    zone=st.sampled_from(ZONES),
)
def test_every_instant_lies_in_exactly_the_day_that_it_names(now: datetime, start_hour: int, zone: str) -> None:
    of = day(start_hour, zone)
    began, ends = of.began(now), of.ends(now)
    assert began <= now < ends
    assert timedelta(hours=22) <= ends - began <= timedelta(hours=49)
    assert (of.began(began), of.began(ends), of.ends(began)) == (began, ends, ends)
