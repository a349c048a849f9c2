"""The market of dev mode: recorded candles, played as quotes to the simulated venues, then a seeded market without end.

Nothing here pretends to be live: candles are re-dated to follow each other from `DEV_EPOCH` on without holes, so
nights and weekends collapse, and `source` tells whether an instrument is still recorded or already seeded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import Any, Final, Literal, Protocol

from bot.errors import DataError
from bot.instruments import Instrument, Rounding, Symbol
from bot.interfaces import Clock
from bot.layer1_data.feeds.played_history import PlayedHistory
from bot.layer1_data.feeds.seeded_market import BLOCK_CANDLES
from bot.layer1_data.feeds.tape import QUOTES_PER_CANDLE, Tape, quote_path
from bot.models import CandleSeries, Quote, Timeframe, decimal_of

DEV_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday; the first quote of a fresh run
WARMUP_CANDLES: Final = 400

_CLOSING: Final = QUOTES_PER_CANDLE  # the step after the last quote: the candle closes
_VERSION: Final = 1


class PlayedVenue(Protocol):
    """What the player needs of a simulated venue."""

    def observe(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, at: datetime, gap: bool) -> bool:
        """One price point; `gap` where it was reached by a jump."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One instrument to play: where, from which recording (in its base timeframe), and the seed of what follows it."""

    broker: PlayedVenue
    instrument: Instrument
    recording: CandleSeries
    seed: int

    @property
    def timeframe(self) -> Timeframe:
        """Base timeframe."""
        return self.recording.timeframe


@dataclass(slots=True, kw_only=True, eq=False)
class _Reel:
    """Where one track is: the candle being played and its next step (0 to 7 a quote, 8 its close)."""

    track: Track
    tape: Tape
    candle: int
    step: int
    path: tuple[float, ...] = ()

    @property
    def next_at_s(self) -> int:
        """When the next step is due."""
        return self.tape.opens_at_s(self.candle) + self.step * self.track.timeframe.seconds // QUOTES_PER_CANDLE


class MarketPlayer:
    """Plays all tracks together by the clock, and keeps their history.

    `resume` is what `position` answered before a restart: prices and history then go on as if unbroken. The clock must
    start at `start_of(resume)`. `on_quote` and `on_candle` (symbol, base timeframe, close) are told after the fact and
    must not block. Raises DataError for a `resume` that does not fit the tracks.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        clock: Clock,
        history: PlayedHistory,
        *,
        warmup: int = WARMUP_CANDLES,
        epoch: datetime = DEV_EPOCH,
        resume: Mapping[str, Any] | None = None,
        on_quote: Callable[[Quote], None] | None = None,
        on_candle: Callable[[Symbol, Timeframe, datetime], None] | None = None,
    ) -> None:
        self._clock = clock
        self._history = history
        self._on_quote = on_quote
        self._on_candle = on_candle
        self._warmup = int(resume["warmup"]) if resume else warmup
        self._epoch = datetime.fromisoformat(resume["epoch"]) if resume else epoch
        self._played_until = start_of(resume, epoch)
        saved = _saved_tracks(resume)
        self._reels = {each.instrument.symbol: self._reel(each, saved.get(each.instrument.symbol)) for each in tracks}
        self._order = tuple(self._reels.values())
        self._due = [(reel.next_at_s, reel.step != _CLOSING, index) for index, reel in enumerate(self._order)]
        heapify(self._due)

    @property
    def next_at(self) -> datetime:
        """When something happens next."""
        return datetime.fromtimestamp(self._due[0][0], tz=UTC)

    @property
    def behind_s(self) -> float:
        """Market seconds by which the next quote is late; quotes are never skipped."""
        return max(0.0, (self._clock.now() - self.next_at).total_seconds())

    def source(self, symbol: Symbol) -> str:
        """`recorded` or `seeded`: where the candle that is being played comes from."""
        reel = self._reels[symbol]
        return "recorded" if reel.tape.is_recorded(reel.candle) else "seeded"

    def position(self) -> dict[str, Any]:
        """All that `resume` needs, JSON types only. Time does not go back over a restart."""
        reached = min(max(self._clock.now(), self._played_until), self.next_at)
        return {
            "version": _VERSION,
            "at": reached.isoformat(),
            "epoch": self._epoch.isoformat(),
            "warmup": self._warmup,
            "tracks": {symbol: _saved(reel) for symbol, reel in self._reels.items()},
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Play until `stop` is set. Late quotes are played one after the other, others get their turn in between."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._sleep(stopping)
                if not stop.is_set():
                    self.play_next()
        finally:
            stopping.cancel()

    def play_next(self) -> datetime:
        """Play everything that is due at the next instant, candle closes before the quotes; that instant."""
        at_s, at = self._due[0][0], self.next_at
        while self._due[0][0] == at_s:
            index = heappop(self._due)[2]
            reel = self._order[index]
            try:
                if reel.step == _CLOSING:
                    self._close(reel, at)
                else:
                    self._quote(reel, at)
            finally:  # a venue that could not save must not lose its turn
                heappush(self._due, (reel.next_at_s, reel.step != _CLOSING, index))
        self._played_until = at
        return at

    async def _sleep(self, stopping: asyncio.Task[Literal[True]]) -> None:
        """Until the next instant or the stop; as a task, so that catching up still gives way."""
        sleeping = asyncio.create_task(self._clock.sleep_until(self.next_at))
        try:
            await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
            if sleeping.done():
                sleeping.result()  # a clock that failed must not look like a wake-up
        finally:
            sleeping.cancel()

    def _quote(self, reel: _Reel, at: datetime) -> None:
        if not reel.path:
            reel.path = quote_path(reel.tape.prices(reel.candle))
        instrument = reel.track.instrument
        mid = decimal_of(reel.path[reel.step])
        half = instrument.typical_spread.at(mid) / 2
        bid = max(instrument.round_price(mid - half, Rounding.DOWN), instrument.tick)
        ask = max(instrument.round_price(mid + half, Rounding.UP), bid)
        is_open = reel.step == 0
        reel.step += 1
        reel.track.broker.observe(instrument.symbol, bid=bid, ask=ask, at=at, gap=is_open)
        if self._on_quote is not None:
            self._on_quote(Quote(symbol=instrument.symbol, bid=bid, ask=ask, at=at))

    def _close(self, reel: _Reel, at: datetime) -> None:
        symbol = reel.track.instrument.symbol
        self._history.append(symbol, reel.tape.opens_at_s(reel.candle), reel.tape.prices(reel.candle))
        reel.candle, reel.step, reel.path = reel.candle + 1, 0, ()
        if self._on_candle is not None:
            self._on_candle(symbol, reel.track.timeframe, at)

    def _reel(self, track: Track, saved: Mapping[str, Any] | None) -> _Reel:
        """Thread one track: where it was, or, if it is new, at the first candle that opens from now on."""
        seconds = track.timeframe.seconds
        origin_s = int(self._epoch.timestamp()) - self._warmup * seconds
        if saved is not None:
            _check_fits(track, saved)
        tape = Tape(
            instrument=track.instrument,
            recording=track.recording,
            seed=track.seed,
            origin_s=origin_s,
            anchors={} if saved is None else {int(key): float(value) for key, value in saved["anchors"].items()},
            blocks_back=self._history.kept // BLOCK_CANDLES + 2,
        )
        fresh = -((origin_s - int(self._played_until.timestamp())) // seconds)  # rounded up to a whole candle
        candle, step = (fresh, 0) if saved is None else (int(saved["candle"]), int(saved["step"]))
        self._fill_history(track, tape, candle)
        return _Reel(track=track, tape=tape, candle=candle, step=step)

    def _fill_history(self, track: Track, tape: Tape, candle: int) -> None:
        """All candles before `candle` that are kept: the warm-up of a fresh run, what was there before a restart."""
        symbol = track.instrument.symbol
        self._history.begin(symbol, track.timeframe)
        for number in range(max(0, candle - self._history.kept), candle):
            self._history.append(symbol, tape.opens_at_s(number), tape.prices(number))


def start_of(resume: Mapping[str, Any] | None, epoch: datetime = DEV_EPOCH) -> datetime:
    """The instant at which the clock of dev mode starts: where the last run was, or the epoch."""
    return epoch if resume is None else datetime.fromisoformat(resume["at"])


def _saved(reel: _Reel) -> dict[str, Any]:
    return {
        "timeframe": reel.track.timeframe.value,
        "recorded": len(reel.track.recording),
        "seed": reel.track.seed,
        "candle": reel.candle,
        "step": reel.step,
        "anchors": {str(block): price for block, price in reel.tape.anchors.items()},
    }


def _saved_tracks(resume: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if resume is None:
        return {}
    if resume.get("version") != _VERSION:
        raise DataError(
            f"saved market position has version {resume.get('version')}, this program reads {_VERSION}; "
            "remove the saved run state to begin dev mode anew"
        )
    tracks: Mapping[str, Any] = resume["tracks"]
    return tracks


def _check_fits(track: Track, saved: Mapping[str, Any]) -> None:
    """Another recording or seed would make the price jump where the last run stopped."""
    now = (track.timeframe.value, len(track.recording), track.seed)
    then = (saved["timeframe"], saved["recorded"], saved["seed"])
    if now != then:
        raise DataError(
            f"market of {track.instrument.symbol}: timeframe, recorded candles and seed are {now}, the saved position "
            f"was made with {then}; restore them, or remove the saved run state to begin dev mode anew"
        )
