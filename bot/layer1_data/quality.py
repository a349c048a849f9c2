"""Which candles and quotes are fit to be seen, and which holes between candles nobody planned.

What is unfit is quarantined: returned with its reason, never passed on. Source: SPEC-signals section 1.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from bot.instruments import AssetClass, Instrument, InstrumentRegistry, Symbol
from bot.models import Candle, Ints, Quote, Timeframe

Number = TypeVar("Number", float, Decimal)

_NEW_YORK: Final = ZoneInfo("America/New_York")
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_ALLOWED_HOLE_BARS: Final = 3
_LONGEST_CLOSURE_S: Final = 5 * _DAY_S  # a longer hole is never a weekend with its holidays
_INDEX_NIGHT_S: Final = 18 * _HOUR_S  # the longest night of an exchange session: 16:00 to 09:30 New York
_MONDAY: Final = 0
_THURSDAY: Final = 3
_FRIDAY: Final = 4
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_DAY_ENDS: Final = time(17)  # everywhere in the world a trading day ends before or at 17:00 New York
_SESSION_OPENS: Final = time(9, 30)
_SESSION_CLOSES: Final = time(16)
_HALF_SESSION_CLOSES: Final = time(13)


# ------------------------------------------------------------------------------------------------------------ holes


def segments(opened_at_s: Ints, timeframe: Timeframe, asset_class: AssetClass) -> Ints:
    """Segment number of each candle: rises by one at each unscheduled hole of more than three candles.

    Takes strictly rising open times in seconds, shape (n,); returns the same shape, starting at 0.
    """
    holes = np.flatnonzero(np.diff(opened_at_s) > (_ALLOWED_HOLE_BARS + 1) * timeframe.seconds)
    rises = np.zeros(len(opened_at_s), dtype=np.int64)
    for before in holes.tolist():
        first, second = int(opened_at_s[before]), int(opened_at_s[before + 1])
        rises[before + 1] = is_unscheduled_hole(first, second, timeframe, asset_class)
    return np.cumsum(rises)


def is_unscheduled_hole(
    previous_opened_at_s: int, opened_at_s: int, timeframe: Timeframe, asset_class: AssetClass
) -> bool:
    """Whether more than three candle lengths of open market lie between the close of one candle and the next open."""
    start, end = previous_opened_at_s + timeframe.seconds, opened_at_s
    longest = _ALLOWED_HOLE_BARS * timeframe.seconds
    return end - start > longest and _missed_s(start, end, asset_class) > longest


def _missed_s(start: int, end: int, asset_class: AssetClass) -> int:
    """Seconds of `start..end` in which the market was open by its calendar."""
    if asset_class is AssetClass.CRYPTO or end - start > 2 * _LONGEST_CLOSURE_S:
        return end - start
    if asset_class is AssetClass.STOCK:
        return _missed_session_s(start, end)
    missed = end - start - _overlap_s(start, end, asset_class)
    night = asset_class is AssetClass.INDEX and missed <= _INDEX_NIGHT_S and _holds_day_end(start, end)
    return 0 if night else missed  # an index may be an all-day contract or follow the session of its exchange


def _missed_session_s(start: int, end: int) -> int:
    """Regular-hours seconds of a US stock in `start..end`; whole missing sessions count as holidays up to five days."""
    if end - start > _LONGEST_CLOSURE_S:
        return end - start
    missed = 0
    for day in _days(start, end):
        if day.weekday() >= _SATURDAY:
            continue
        half = _is_us_holiday(day)
        opens, closes = _at(day, _SESSION_OPENS), _at(day, _HALF_SESSION_CLOSES if half else _SESSION_CLOSES)
        seconds = max(0, min(end, closes) - max(start, opens))
        missed += 0 if seconds == closes - opens else seconds
    return missed


def _overlap_s(start: int, end: int, asset_class: AssetClass) -> int:
    """Seconds of `start..end` inside scheduled closures, each second counted once."""
    total, cursor = 0, start
    for opens, closes in sorted(each for day in _days(start, end) for each in _closures(day, asset_class)):
        cursor = max(cursor, opens)
        total += max(0, min(end, closes) - cursor)
        cursor = max(cursor, closes)
    return total


def _closures(day: date, asset_class: AssetClass) -> Iterator[tuple[int, int]]:
    """Closures of an over-the-counter market that belong to one New York day, with some tolerance at both ends.

    Forex closes Friday 17:00 and opens Sunday 17:00; metals, energy and indices open at 18:00 and rest an hour a day.
    """
    before, forex = day - timedelta(days=1), asset_class is AssetClass.FOREX
    if day.weekday() == _SATURDAY:
        yield _at(before, time(16)), _at(day + timedelta(days=1), time(19))
    yield (
        (_at(day, time(16, 55)), _at(day, time(17, 15))) if forex else (_at(day, time(16, 45)), _at(day, time(18, 15)))
    )
    if (day.month, day.day) in _FULL_HOLIDAYS:  # brokers close on the eve, some at noon, and open before Europe does
        observed = not forex and day.weekday() == _SUNDAY
        yield _at(before, time(12)), _at(day + timedelta(days=1), time(19) if observed else time(3))
    elif not forex and _is_us_holiday(day):
        whole = asset_class is AssetClass.INDEX or day == _good_friday(day.year)
        yield (_at(before, time(16)) if whole else _at(day, time(12))), _at(day, time(18, 15))


_FULL_HOLIDAYS: Final = frozenset({(12, 25), (1, 1)})
_FIXED_US_HOLIDAYS: Final = frozenset({(6, 19), (7, 3), (7, 4), (7, 5), (12, 24), (12, 26), (12, 31)}) | _FULL_HOLIDAYS


def _is_us_holiday(day: date) -> bool:
    """A day on which US exchanges are shut or close early; days next to a fixed date count, too."""
    if (day.month, day.day) in _FIXED_US_HOLIDAYS or day == _good_friday(day.year):
        return True
    if day.weekday() == _MONDAY:
        third, first = 15 <= day.day <= 21, day.day <= 7
        return (day.month in (1, 2) and third) or (day.month == 5 and day.day >= 25) or (day.month == 9 and first)
    thursday = day if day.weekday() == _THURSDAY else day - timedelta(days=1)
    return day.weekday() in (_THURSDAY, _FRIDAY) and thursday.month == 11 and 22 <= thursday.day <= 28


def _good_friday(year: int) -> date:
    """Two days before Easter Sunday. Source: the anonymous Gregorian computus (Nature, 20 April 1876)."""
    century, rest = divmod(year, 100)
    shift = (8 * century + 13) // 25
    moon = (19 * (year % 19) + century - century // 4 - shift + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    late = (year % 19 + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, day + 1) - timedelta(days=2)


def _holds_day_end(start: int, end: int) -> bool:
    return any(start <= _at(day, _DAY_ENDS) <= end for day in _days(start, end))


def _days(start: int, end: int) -> Iterator[date]:
    """New York days that touch `start..end`, with one more at each end for closures that reach over midnight."""
    first = datetime.fromtimestamp(start, tz=_NEW_YORK).date() - timedelta(days=1)
    last = datetime.fromtimestamp(end, tz=_NEW_YORK).date() + timedelta(days=1)
    return (first + timedelta(days=index) for index in range((last - first).days + 1))


def _at(day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, tzinfo=_NEW_YORK).timestamp())


# ---------------------------------------------------------------------------------------------------------- candles


@dataclass(frozen=True, slots=True)
class QuarantinedCandle:
    """A candle that is not passed on, and why."""

    candle: Candle
    reason: str


def price_fault(open_: Number, high: Number, low: Number, close: Number, volume: Number) -> str:
    """What is wrong with one candle's numbers, naming the column and the value; empty if nothing is."""
    prices: Mapping[str, Number] = {"open": open_, "high": high, "low": low, "close": close}
    numbers: Mapping[str, Number] = {**prices, "volume": volume}
    for name, value in numbers.items():
        if not math.isfinite(value):
            return f"{name} {value} is not a finite number"
    for name, value in prices.items():
        if value <= 0:
            return f"{name} {value} is not above 0"
    for name, value in prices.items():
        if value > high:
            return f"high {high} is below {name} {value}"
        if value < low:
            return f"low {low} is above {name} {value}"
    return f"volume {volume} is below 0" if volume < 0 else ""


def quarantine(
    candles: Sequence[Candle], timeframe: Timeframe, *, now: datetime, last_opened_at: datetime | None
) -> tuple[list[Candle], list[QuarantinedCandle]]:
    """The fit candles in the order given, and the others with their reasons.

    `last_opened_at` is the open of the newest candle already known; a fit candle opens after it and after every fit
    candle before it in the list. Nothing is repaired: what is left out becomes a hole.
    """
    good: list[Candle] = []
    bad: list[QuarantinedCandle] = []
    newest = last_opened_at
    for candle in candles:
        reason = _candle_fault(candle, timeframe, now, newest)
        if reason:
            bad.append(QuarantinedCandle(candle, reason))
        else:
            good.append(candle)
            newest = candle.opened_at
    return good, bad


def _candle_fault(candle: Candle, timeframe: Timeframe, now: datetime, newest: datetime | None) -> str:
    if newest is not None and candle.opened_at == newest:
        return f"duplicate: a candle opened at {_text(newest)} is already known"
    if newest is not None and candle.opened_at < newest:
        return f"out of order: opened at {_text(candle.opened_at)}, before the last known {_text(newest)}"
    length = candle.closed_at - candle.opened_at
    if abs(length - timeframe.duration) * 10 > timeframe.duration:  # a day of 23 or 25 hours is still a day
        return f"length {length} is not that of a {timeframe.value} candle"
    closes_at = max(candle.closed_at, candle.opened_at + timeframe.duration)
    if closes_at > now:
        return f"not closed yet: closes at {_text(closes_at)}"  # without `now`: the same fault has the same words
    return price_fault(candle.open, candle.high, candle.low, candle.close, candle.volume)


# ----------------------------------------------------------------------------------------------------------- quotes

QUOTE_MAX_AGE: Final = timedelta(seconds=60)
_CLOCK_TOLERANCE: Final = timedelta(seconds=5)  # a venue's clock may run a little before ours
_ABSURD_SPREAD_MULTIPLE: Final = 50  # rollover and news widen a spread 10 to 25 times


def quote_fault(quote: Quote, instrument: Instrument, *, now: datetime, max_age: timedelta = QUOTE_MAX_AGE) -> str:
    """What is wrong with a quote: not a price, crossed, stale, from the future, absurdly wide; empty if nothing."""
    for name, value in (("bid", quote.bid), ("ask", quote.ask)):
        if not (value.is_finite() and value > 0):
            return f"{quote.symbol}: {name} {value} is not a price"
    if quote.bid > quote.ask:
        return f"{quote.symbol}: crossed, bid {quote.bid} is above ask {quote.ask}"
    if now - quote.at > max_age:
        age, limit = (now - quote.at).total_seconds(), max_age.total_seconds()
        return f"{quote.symbol}: stale, {age:.1f} s old, limit {limit:.1f} s"
    if quote.at - now > _CLOCK_TOLERANCE:
        return f"{quote.symbol}: stamped {_text(quote.at)}, after now {_text(now)}; check the clocks"
    limit_spread = instrument.typical_spread.at(quote.mid) * _ABSURD_SPREAD_MULTIPLE
    if 0 < limit_spread < quote.spread:
        return f"{quote.symbol}: spread {quote.spread} is absurd, limit {limit_spread.normalize():f}"
    return ""


_JUMP_RATIO: Final = Decimal("0.2")  # further than that from the last price only a second quote is believed

_OVERTAKING: Final = timedelta(seconds=1)  # an answer and the stream may pass each other on the wire


class QuoteScreen:
    """`quote_fault` over the quotes of a day, with what only prices before can tell: going back, and a lone jump.

    A gap over a weekend is believed with the second quote that shows it, if it is the very next one and newer; one bad
    tick never is, however often it is told.
    """

    def __init__(self, registry: InstrumentRegistry, *, max_age: timedelta) -> None:
        self._registry = registry
        self._max_age = max_age
        self._newest: dict[Symbol, Quote] = {}
        self._doubted: dict[Symbol, Quote] = {}

    def fault(self, quote: Quote, *, now: datetime, known: Decimal | None = None) -> str:
        """What is wrong with it; empty if it may be acted on, and then it is the newest.

        `known` is a price from elsewhere (a position's mark, the last close) to hold the first quote against.
        """
        doubted = self._doubted.pop(quote.symbol, None)
        found = quote_fault(quote, self._registry.get(quote.symbol), now=now, max_age=self._max_age)
        return found or self._against_the_past(quote, known, doubted)

    def _against_the_past(self, quote: Quote, known: Decimal | None, doubted: Quote | None) -> str:
        newest = self._newest.get(quote.symbol)
        if newest is not None and quote.at < newest.at - _OVERTAKING:
            return f"{quote.symbol}: stamped {_text(quote.at)}, older than the one before, {_text(newest.at)}"
        before = known if newest is None else newest.mid
        is_shown_again = doubted is not None and quote.at > doubted.at and not _jumps(doubted.mid, quote)
        if before is not None and _jumps(before, quote) and not is_shown_again:
            self._doubted[quote.symbol] = quote
            return f"{quote.symbol}: jumps from {before} to {quote.mid}; waiting for a second quote that says so"
        self._newest[quote.symbol] = quote
        return ""


def _jumps(before: Decimal, after: Quote) -> bool:
    return abs(after.mid - before) > _JUMP_RATIO * before


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
