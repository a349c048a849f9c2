"""The market of dev mode: three simulated venues, real recorded candles at speed, then a seeded market without end."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
from loguru import logger

from bot.clock import PacedClock
from bot.config import Settings
from bot.errors import ConfigError, StorageError
from bot.instruments import Currency, Instrument, InstrumentRegistry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.state import FileVenueState
from bot.layer1_data.feeds.market_player import MarketPlayer, Track, start_of
from bot.layer1_data.feeds.played_history import PlayedHistory
from bot.layer1_data.feeds.recorded import Recording, load, recordings
from bot.layer1_data.venue_terms import VenueDescriptions
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.models import StrategyTask, Timeframe

# What is played: recording (symbol and candle length) and the row at which it begins. The rows were chosen so that
# something happens soon; what happens is what the real candles make of it.
PLAYED: Final[Mapping[tuple[str, str], int]] = {
    ("BTC/USDT", "1h"): 398,
    ("ETH/USD", "1h"): 371,
    ("EUR_USD", "1h"): 1512,
    ("AAPL", "1h"): 327,
    ("SPY", "15m"): 445,
    ("MSFT", "1d"): 584,
    ("NVDA", "1d"): 153,
}
# One instrument waits with its 1h signals for a 4h setup, as the default says; the others show more in a first minute.
WAITS_FOR_SETUPS: Final = ("ETH/USD",)
_SAVE_EVERY_S: Final = 1.0  # real; a kill in between repeats a second of the market
_WARMUP_CANDLES: Final = 1_200  # of the base timeframe: 1h candles then give the 300 4h candles that law L8 asks for
LEAST_INTERVAL_S: Final = 0.25  # real seconds; this market is fast, the jobs need not be faster than the eye
_FRESH_S: Final = 7_200.0
_STALE_S: Final = 6 * 3_600.0


class DevMarket:
    """Venues, clock and player; remembers over a restart where it was."""

    def __init__(self, settings: Settings, registry: InstrumentRegistry, data_directory: Path) -> None:
        self.registry = registry
        self.speed = settings.dev.dev_speed
        self.least_interval_s = LEAST_INTERVAL_S
        self.notes: Sequence[str] = ()
        self.descriptions = VenueDescriptions()  # these venues are made of the registry
        self._path = data_directory / "dev" / "market.json"
        resume = self._saved()
        self.clock = PacedClock(start_of(resume), self.speed)
        self.history = PlayedHistory()
        played = [(each, PLAYED[each.symbol, each.timeframe]) for each in recordings() if _is_played(each)]
        instruments = [registry.get(each.symbol) for each, _ in played]
        self.brokers = self._venues(settings, instruments, data_directory)
        by_id = {each.broker_id: each for each in self.brokers}
        self.tracks = [
            Track(
                broker=by_id[instrument.broker_id],
                instrument=instrument,
                recording=_from_row(recording, row),
                seed=settings.dev.dev_seed,
            )
            for (recording, row), instrument in zip(played, instruments, strict=True)
        ]
        self._player = MarketPlayer(self.tracks, self.clock, self.history, warmup=_WARMUP_CANDLES, resume=resume)

    def tasks(self, settings: Settings) -> list[StrategyTask]:
        """One divergence task per played instrument and timeframe that its candles give.

        The default timeframes where they fit; an instrument whose own candles are of another length is judged on those.
        """
        wanted = [Timeframe.parse(each) for each in settings.tasks.timeframe_names]
        tasks = []
        for track in self.tracks:
            base = track.timeframe
            fitting = [each for each in wanted if each.seconds >= base.seconds and each.seconds % base.seconds == 0]
            for timeframe in dict.fromkeys((*fitting, base)):
                task = StrategyTask.of(DIVERGENCE, track.instrument, timeframe)
                alone = {} if task.symbol in WAITS_FOR_SETUPS else {"use_multi_tf_confirmation": "false"}
                tasks.append(replace(task, parameters=alone))
        return tasks

    async def run(self, stop: asyncio.Event) -> None:
        """Play until told to stop, saving the place now and then."""
        playing = asyncio.create_task(self._play(stop), name="market player")
        while not playing.done():
            await asyncio.wait((playing,), timeout=_SAVE_EVERY_S)
            self.save()
        await playing

    async def _play(self, stop: asyncio.Event) -> None:
        """A venue that cannot write down what it did stands still until it can: no real one would end a daemon."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._player.run(stop)
                except StorageError as error:
                    logger.error("dev market: it stands still: {}", error)
                    await asyncio.wait((stopping,), timeout=_SAVE_EVERY_S)
        finally:
            stopping.cancel()

    def save(self) -> None:
        """Keep the place for the next start. A disk that is full is told, and ends nothing."""
        beside = self._path.with_name("market.json.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(orjson.dumps(self._player.position()))
            beside.replace(self._path)
            for each in self.brokers:
                each.save()  # one whose market has closed since would otherwise forget what it could not write then
        except OSError as error:
            logger.error("dev market: {} was not saved ({}); free some space", self._path, error.strerror)
        except StorageError as error:
            logger.error("dev market: {}", error)

    def note(self) -> str:
        """What these prices are, in one sentence."""
        recorded = [str(each.instrument.symbol) for each in self.tracks if self._is_recorded(each)]
        seeded = [str(each.instrument.symbol) for each in self.tracks if not self._is_recorded(each)]
        parts = []
        if recorded:
            parts.append(f"recorded real candles, re-dated: {', '.join(recorded)}")
        if seeded:
            parts.append(f"synthetic seeded candles: {', '.join(seeded)}")
        return f"simulated market at {self.speed:,.0f} times real time; {'; '.join(parts)}"

    def _is_recorded(self, track: Track) -> bool:
        return self._player.source(track.instrument.symbol) == "recorded"

    def _saved(self) -> dict[str, Any] | None:
        try:
            return dict(orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f"dev market: {self._path} cannot be used ({error}); move it and {self._path.parent} away to begin anew"
            ) from error

    def _venues(self, settings: Settings, instruments: Sequence[Instrument], data: Path) -> list[SimulatedBroker]:
        ids = list(dict.fromkeys(each.broker_id for each in instruments))
        return [
            SimulatedBroker(
                broker_id=broker_id,
                instruments=[each for each in instruments if each.broker_id == broker_id],
                clock=self.clock,
                currency=Currency(settings.risk.account_currency),
                balance=settings.risk.starting_balance,
                state=FileVenueState(data / "dev" / f"venue-{broker_id}.json"),
                history=self.history,
            )
            for broker_id in ids
        ]


def dev_settings(settings: Settings) -> Settings:
    """Freshness limits that a market at this speed can meet: they are market seconds, and a real second holds many."""
    risk = settings.risk
    fresh = max(risk.entry_validity_s, _FRESH_S)
    quote_age = max(risk.max_quote_age_s, _STALE_S)
    if risk.account_currency != "USD":
        raise ConfigError(
            f"ACCOUNT_CURRENCY={risk.account_currency}: the venues of dev mode keep dollars; use USD in MODE=dev"
        )
    return settings.model_copy(
        update={"risk": risk.model_copy(update={"entry_validity_s": fresh, "max_quote_age_s": quote_age})}
    )


def _is_played(recording: Recording) -> bool:
    return (recording.symbol, recording.timeframe.value) in PLAYED


def _from_row(recording: Recording, row: int) -> Any:
    series = load(recording)
    return series.slice(row, len(series))
