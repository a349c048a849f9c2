"""Candles of the fake OANDA: its alignments, its gaps, its limits and its texts."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.instruments import Symbol
from tests.fakes.oanda.book import Book, Json, Refuse, nine_digits

_SECONDS: Final = {"S": 1, "M": 60, "H": 3_600, "D": 86_400}
_KNOWN: Final = {
    "S": (5, 10, 15, 30),
    "M": (1, 2, 4, 5, 10, 15, 30),
    "H": (1, 2, 3, 4, 6, 8, 12),
}
_MOST: Final = 5_000
_FURTHEST: Final = timedelta(days=4_000)
_HOUR: Final = timedelta(hours=1)


def answer(book: Book, name: str, query: Mapping[str, str], now: datetime) -> Json:
    """GET candles."""
    instrument = book.instrument(name)
    granularity = query.get("granularity", "S5")
    if granularity != "D" and int(granularity[1:] or 0) not in _KNOWN.get(granularity[:1], ()):
        raise Refuse("Invalid value specified for 'granularity'")
    if "count" in query and "from" in query and "to" in query:
        raise Refuse("'count' cannot be specified when 'to' and 'from' parameters are set")
    count = int(query.get("count", "500"))
    if count > _MOST:
        raise Refuse("Maximum value for 'count' exceeded")
    since, until = (datetime.fromisoformat(query[each]) if each in query else None for each in ("from", "to"))
    for key, bound in (("from", since), ("to", until)):
        if bound is not None and bound > now:
            raise Refuse(f"Invalid value specified for '{key}'. Time is in the future")
    grid = _Grid(
        granularity, int(query.get("dailyAlignment", "17")), query.get("alignmentTimezone", "America/New_York")
    )
    shown: list[Json] = []
    opens = grid.forward(since) if since else grid.backward(until or now)
    for opened_at in opens:
        closed_at = grid.after(opened_at)
        if opened_at > now or len(shown) >= count or abs(now - opened_at) > _FURTHEST:
            break
        if not _was_open(book, name, opened_at, closed_at):
            continue
        bar = book.market.bar(instrument, opened_at, closed_at - opened_at, now)
        prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close}
        shown.append(
            {
                "complete": bar.is_complete,
                "volume": bar.volume,
                "time": nine_digits(opened_at),
                "mid": {key: book.priced(instrument, value) for key, value in prices.items()},
            }
        )
    return {"instrument": name, "granularity": granularity, "candles": shown if since else shown[::-1]}


def _was_open(book: Book, name: str, opened_at: datetime, closed_at: datetime) -> bool:
    at = opened_at
    while at < closed_at:
        if book.market.is_open(Symbol(name), at):
            return True
        at += _HOUR
    return False


class _Grid:
    """Where candles open: short ones on the UTC grid, those above an hour from the start of the aligned day on."""

    def __init__(self, granularity: str, hour: int, zone: str) -> None:
        self._step = timedelta(seconds=_SECONDS[granularity[0]] * int(granularity[1:] or 1))
        self._hour = hour
        self._zone = ZoneInfo(zone)

    def forward(self, since: datetime) -> Iterator[datetime]:
        """From the candle that covers `since` on."""
        at = self._covering(since)
        while True:
            yield at
            at = self.after(at)

    def backward(self, until: datetime) -> Iterator[datetime]:
        """From the candle that covers `until` back."""
        at = self._covering(until)
        while True:
            yield at
            at = self._covering(at - timedelta(seconds=1))

    def after(self, opened_at: datetime) -> datetime:
        """Where the next one opens."""
        return min(opened_at + self._step, self._day_end(opened_at)) if self._step > _HOUR else opened_at + self._step

    def _covering(self, at: datetime) -> datetime:
        if self._step <= _HOUR:
            return datetime.fromtimestamp(
                at.timestamp() // self._step.total_seconds() * self._step.total_seconds(), at.tzinfo
            )
        start = self._day_start(at)
        return start + (at - start) // self._step * self._step

    def _day_start(self, at: datetime) -> datetime:
        there = at.astimezone(self._zone)
        start = there.replace(hour=self._hour, minute=0, second=0, microsecond=0)
        if start > there:
            start = (start - timedelta(days=1)).replace(hour=self._hour)
        return start.astimezone(at.tzinfo)

    def _day_end(self, at: datetime) -> datetime:
        start = self._day_start(at).astimezone(self._zone)
        return (start + timedelta(days=1)).astimezone(at.tzinfo)
