"""Closed candles from the brokers into the cache: each one once, in order, also over gaps."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final

from bot.errors import BrokerError, ConfigError, DataError
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.quality import QuarantinedCandle, quarantine
from bot.models import Candle, Timeframe

LEAST_HISTORY: Final = 300  # SPEC law L8: recursive indicators need so many before the first decision
_PAGE: Final = 500
_MOST_PAGES: Final = 200  # in one poll; the rest of a longer backfill follows in the next
_LATE_GRACE: Final = timedelta(minutes=15)  # how long after its close a missing candle is asked for again
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Subscription = tuple[Symbol, Timeframe]


@dataclass(frozen=True, slots=True)
class FeedError:
    """A broker that gave no usable answer for one subscription; it is asked again in the next poll."""

    symbol: Symbol
    timeframe: Timeframe
    broker_id: BrokerId
    text: str


@dataclass(frozen=True, slots=True)
class FeedQuarantine:
    """A candle of one subscription that was not passed on; told once, however often the venue repeats it."""

    symbol: Symbol
    timeframe: Timeframe
    candle: Candle
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """What one poll brought. Everything is ordered: longer timeframes first, then as the registry lists the symbols.

    `new` maps to the index of the first new candle in the cache's series as this poll left it; all after it are new.
    `delays_s` has, for each new candle, the seconds from its close to this delivery. `seeded` is the length of history
    loaded: not new.
    """

    polled_at: datetime
    asked: tuple[Subscription, ...]
    seeded: Mapping[Subscription, int]
    new: Mapping[Subscription, int]
    delays_s: Mapping[Subscription, tuple[float, ...]]
    quarantined: tuple[FeedQuarantine, ...]
    errors: tuple[FeedError, ...]


@dataclass(slots=True)
class _Progress:
    """What the feed remembers of one subscription besides its candles.

    `told` are the quarantined rows that were reported; `quiet_until` is when the next question makes sense after the
    venue answered that it has nothing (a closed market).
    """

    told: set[tuple[datetime, str]] = field(default_factory=set)
    quiet_until: datetime = _EPOCH


@dataclass(slots=True)
class _Answer:
    """Rows of one subscription as the venue gave them, and the words of its failure if it failed before the end."""

    rows: list[Candle] = field(default_factory=list)
    error: str = ""


class CandleFeed:
    """Polls brokers for candles that should have closed by now; never asks otherwise.

    The first answer seeds the history, or a cache that already holds candles is continued. Raises ConfigError for a
    history that is too short for the indicators.
    """

    def __init__(self, router: BrokerRouter, cache: CandleCache, clock: Clock, *, keep_history: int = 400) -> None:
        if keep_history < LEAST_HISTORY:
            raise ConfigError(f"keep_history is {keep_history}; indicators need at least {LEAST_HISTORY} candles")
        self._router = router
        self._cache = cache
        self._clock = clock
        self._keep_history = keep_history
        self._progress: dict[Subscription, _Progress] = {}
        self._polling = asyncio.Lock()  # two polls at a time would quarantine each other's candles as duplicates

    def subscribe(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """Follow one instrument and timeframe; again is the same. Raises UnknownSymbol, ConfigError as the router."""
        self._router.for_symbol(symbol)
        self._progress.setdefault((symbol, timeframe), _Progress())
        rank = {instrument.symbol: index for index, instrument in enumerate(self._router.registry)}
        ordered = sorted(self._progress.items(), key=lambda item: (-item[0][1].seconds, rank[item[0][0]]))
        self._progress = dict(ordered)

    def newest(self) -> Mapping[Subscription, datetime | None]:
        """When the newest candle of everything that is followed opened; None where there is none yet."""
        return {each: self._newest(each) for each in self._progress}

    async def poll(self) -> FeedReport:
        """Ask every broker that should have something, all at the same time, and pass on what is fit.

        A broker's failure ends in the report and keeps nobody else from being delivered. Any other error is a bug: it
        ends the poll (as an exception group) before anything is delivered, so that no candle gets lost.
        """
        async with self._polling:
            due = [each for each in self._progress if self._is_due(each, self._clock.now())]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch(each)) for each in due]
            return self._report(due, [each.result() for each in tasks])

    # -------------------------------------------------------------------------------------------------------- asking

    def _is_due(self, subscription: Subscription, now: datetime) -> bool:
        newest = self._newest(subscription)
        closes_at = newest + 2 * subscription[1].duration if newest else _EPOCH
        return now >= max(closes_at, self._progress[subscription].quiet_until)

    async def _fetch(self, subscription: Subscription) -> _Answer:
        """Everything since the last known candle, page by page while the venue moves on and more should be there."""
        (symbol, timeframe), answer = subscription, _Answer()
        broker, newest = self._router.for_symbol(symbol), self._newest(subscription)
        try:
            if newest is None:
                answer.rows += await broker.candles(symbol, timeframe, since=None, limit=self._keep_history)
                return answer
            for _ in range(_MOST_PAGES):
                page = await broker.candles(symbol, timeframe, since=newest + timeframe.duration, limit=_PAGE)
                answer.rows += page
                last = max((each.opened_at for each in page), default=newest)
                if last <= newest or last + 2 * timeframe.duration > self._clock.now():
                    return answer
                newest = last
        except (BrokerError, DataError) as error:
            answer.error = str(error) or type(error).__name__
        return answer

    # ---------------------------------------------------------------------------------------------------- delivering

    def _report(self, due: Sequence[Subscription], answers: Sequence[_Answer]) -> FeedReport:
        now = self._clock.now()
        seeded: dict[Subscription, int] = {}
        new: dict[Subscription, int] = {}
        delays_s: dict[Subscription, tuple[float, ...]] = {}
        quarantined: list[FeedQuarantine] = []
        errors: list[FeedError] = []
        for key, answer in zip(due, answers, strict=True):
            known = self._newest(key) is not None
            good, bad = self._deliver(key, answer.rows, now)
            if good and known:
                new[key] = len(self._cache.series(*key)) - len(good)  # not what was known: old ones may have gone
                delays_s[key] = tuple((now - each.closed_at).total_seconds() for each in good)
            elif good:
                seeded[key] = len(good)
            quarantined.extend(FeedQuarantine(*key, each.candle, each.reason) for each in bad)
            if answer.error:
                errors.append(FeedError(*key, self._router.for_symbol(key[0]).broker_id, answer.error))
            elif not good:
                self._keep_quiet(key, now)
        return FeedReport(
            polled_at=now,
            asked=tuple(due),
            seeded=seeded,
            new=new,
            delays_s=delays_s,
            quarantined=tuple(quarantined),
            errors=tuple(errors),
        )

    def _deliver(
        self, subscription: Subscription, rows: Sequence[Candle], now: datetime
    ) -> tuple[list[Candle], list[QuarantinedCandle]]:
        """Put what is fit into the cache; return it, and the quarantined rows that were not told before."""
        progress = self._progress[subscription]
        ordered = sorted(rows, key=attrgetter("opened_at"))  # stable: of two that open together the first one counts
        newest = self._newest(subscription)
        good, bad = quarantine(ordered, subscription[1], now=now, last_opened_at=newest)
        self._cache.append(*subscription, good)
        untold = [each for each in bad if (each.candle.opened_at, each.reason) not in progress.told]
        progress.told |= {(each.candle.opened_at, each.reason) for each in untold}
        if good:  # the venue is not asked for anything older again
            progress.told = {each for each in progress.told if each[0] > good[-1].opened_at}
        return good, untold

    def _keep_quiet(self, subscription: Subscription, now: datetime) -> None:
        """After a fruitless answer, wait for the next close, unless the candle may only be late."""
        length = subscription[1].duration
        start = self._newest(subscription) or _EPOCH
        closed_at = start + (now - start) // length * length
        if now - closed_at >= min(_LATE_GRACE, length / 2):
            self._progress[subscription].quiet_until = closed_at + length

    def _newest(self, subscription: Subscription) -> datetime | None:
        series = self._cache.series(*subscription)
        return series.opened_at(-1) if len(series) else None
