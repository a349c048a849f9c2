"""The day of the daily loss limit: it begins at an hour of a time zone; where clocks turn it has 23 or 25 hours."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.config import RiskSettings

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDay:
    """Begins at `start_hour` o'clock in `zone`, that instant included. An hour that a clock skips begins after it, one
    that comes twice begins at the first."""

    start_hour: int
    zone: ZoneInfo

    def began(self, now: datetime) -> datetime:
        """When the day that `now` lies in began, UTC."""
        return max(each for each in self._around(now) if each <= now)

    def ends(self, now: datetime) -> datetime:
        """When the next day begins, UTC."""
        return min(each for each in self._around(now) if each > now)

    def _around(self, now: datetime) -> Iterator[datetime]:
        today = now.astimezone(self.zone).date()
        for shift in (-1, 0, 1):
            start = datetime.combine(today + shift * _DAY, time(self.start_hour), self.zone)
            yield start.astimezone(UTC)


def session_day_of(settings: RiskSettings) -> SessionDay:
    """The day that is set."""
    return SessionDay(start_hour=settings.session_day_start_hour, zone=ZoneInfo(settings.session_day_zone))
