"""One closed candle through all steps, with a strategy that says what the test wants to hear."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from bot.clock import ManualClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import Currency, Instrument, InstrumentRegistry, Symbol, default_registry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import (
    CandleSeries,
    Direction,
    EntrySignal,
    FeatureSet,
    JournalEntry,
    KillCause,
    KillLevel,
    KillState,
    OrderState,
    Quote,
    SignalId,
    SignalRecord,
    StrategyName,
    StrategyTask,
    Timeframe,
)
from bot.pipeline import Pipeline, PipelineParts
from bot.wiring.core import trading_core
from tests.builders import series
from tests.fakes.awkward_broker import AwkwardBroker, Fault
from tests.unit.layer2_intelligence.judged_scene import Scene

DAY = datetime(2024, 3, 4, tzinfo=UTC)
NOON, NEXT_NOON = DAY + timedelta(hours=12), DAY + timedelta(hours=36)
SOL = default_registry().get("SOL/USDT")


class Scripted:
    """A strategy that repeats what it was told to say at a close."""

    name = StrategyName("divergence")

    def __init__(self) -> None:
        self.says: list[EntrySignal] = []

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        return self.says


class Bench:
    """The pipeline over real parts; `close` brings one candle with one sound signal."""

    def __init__(
        self, *, currency: str = "USD", instruments: Sequence[Instrument] = (SOL,), allows_short: bool = True
    ) -> None:
        self.clock = ManualClock(DAY)
        self.venue = SimulatedBroker(
            broker_id=SOL.broker_id,
            instruments=list(instruments),
            clock=self.clock,
            currency=Currency(currency),
            balance=Decimal(100_000),
            traits=VenueTraits(allows_short=allows_short),
        )
        self.broker = AwkwardBroker(self.venue, self.clock)
        self.stores = MemoryStores()
        self.journal: list[JournalEntry] = []
        self.strategy = Scripted()
        self.blocked = ""
        core = trading_core(
            settings=Settings(),
            registry=InstrumentRegistry(instruments),
            clock=self.clock,
            stores=self.stores,
            journal=self,
            candles=self,
            broker_of=lambda _: self.broker,
            quote_of=self.quote_of,
            entries_blocked=lambda *_: self.blocked,
            strategies=["divergence"],
            environment="d",
        )
        parts: PipelineParts = core.pipeline._parts
        self.pipeline = Pipeline(replace(parts, strategies={"divergence": self.strategy}))
        self.book, self.guard = core.book, core.guard

    async def close(
        self,
        at: datetime,
        timeframe: Timeframe = Timeframe.H1,
        direction: Direction | None = Direction.LONG,
        *,
        spoil: bool = False,
        price: float | None = None,
        now: datetime | None = None,
    ) -> SignalRecord | None:
        """A candle that closes at `at`; with a signal of `direction`, or none. Answers what was stored about it.

        The market quotes the close; `spoil` makes the signal break rule 1; `price` replaces the close.
        """
        scene = Scene(timeframe=timeframe)
        if direction is Direction.SHORT:
            scene.mirror()
        if price is not None:
            scene.close[scene.k] = price
        signal = _at(scene.signal(), scene, at)
        signal = replace(signal, id=SignalId(f"{timeframe.value}/{at.isoformat()}"), confidence=0.1 if spoil else 0.8)
        now = max(self.clock.now(), now or at)
        self.clock.advance((now - self.clock.now()).total_seconds())
        self.venue.observe(SOL.symbol, bid=scene.bid, ask=scene.ask, at=now, gap=True)
        features = scene.features()
        features = replace(features, series=_moved(features.series, int(at.timestamp())))
        self.strategy.says = [signal] if direction is not None else []
        task = StrategyTask.of("divergence", SOL, timeframe)
        await self.pipeline.on_candle(task, features)
        return await self.stores.signals.get(signal.id) if direction is not None else None

    async def setup_states(self) -> list[str]:
        """How each setup ended, oldest first; empty for the live one."""
        return [each.ended_as for each in reversed(list(await self.stores.setups.recent(10)))]

    async def record(self, entry: JournalEntry) -> None:
        """The journal."""
        self.journal.append(entry)

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """No candles: outcomes are not followed further here."""
        return series([], symbol=symbol, timeframe=timeframe)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """The venue's price."""
        return await self.venue.quote(symbol)


def _at(signal: EntrySignal, scene: Scene, at: datetime) -> EntrySignal:
    shift = at - signal.candle_closed_at
    assert signal.claim is not None
    claim = replace(signal.claim, p1_at=signal.claim.p1_at + shift, p2_at=signal.claim.p2_at + shift)
    return replace(signal, candle_closed_at=at, claim=claim)


def _moved(candles: CandleSeries, closes_at_s: int) -> CandleSeries:
    """The same candles, the last of which closes then."""
    count, length = len(candles), candles.timeframe.seconds
    times = closes_at_s - (count - np.arange(count, dtype=np.int64)) * length
    return replace(candles, opened_at_s=times)


def status_of(record: SignalRecord | None) -> str:
    assert record is not None
    return record.status


# ------------------------------------------------------------------------------------- golden 14: setups and triggers


async def test_a_4h_signal_does_not_trade_it_waits_for_24_hours() -> None:
    bench = Bench()
    assert status_of(await bench.close(NOON, Timeframe.H4)) == "setup"
    (setup,) = await bench.stores.setups.recent(1)
    assert (setup.created_at, setup.expires_at) == (NOON, NEXT_NOON)
    assert bench.broker.placed == []


@pytest.mark.parametrize("x", [NOON, NOON + timedelta(hours=1), NEXT_NOON - timedelta(hours=1)])
async def test_a_1h_close_from_created_to_before_expires_confirms(x: datetime) -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    assert status_of(await bench.close(x)) == "ordered"
    assert await bench.setup_states() == ["consumed"]
    assert len(bench.broker.placed) == 1


@pytest.mark.parametrize("x", [NOON - timedelta(hours=1), NEXT_NOON, NEXT_NOON + timedelta(hours=5)])
async def test_a_1h_close_before_created_or_from_expires_on_does_not_confirm(x: datetime) -> None:
    bench = Bench()
    if x < NOON:
        bench.clock.advance((NOON - DAY).total_seconds())
    await bench.close(NOON, Timeframe.H4)
    record = await bench.close(x)
    assert record is not None
    assert (record.status, record.rejected_by) == ("vetoed", "MTF")
    assert bench.broker.placed == []


async def test_the_other_direction_never_confirms() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    record = await bench.close(NOON + timedelta(hours=1), direction=Direction.SHORT)
    assert record is not None
    assert (record.status, record.rejected_by) == ("vetoed", "MTF")


async def test_a_signal_without_setup_is_followed_like_any_other_rejected_one() -> None:
    bench = Bench()
    await bench.close(NOON)
    (outcome,) = await bench.stores.outcomes.unfinished()
    assert not outcome.accepted


async def test_a_setup_is_used_once() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    await bench.close(NOON + timedelta(hours=1))
    record = await bench.close(NOON + timedelta(hours=2))
    assert record is not None
    assert record.rejected_by == "MTF"


async def test_a_newer_setup_of_either_direction_replaces_the_live_one() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    await bench.close(NOON + timedelta(hours=4), Timeframe.H4, Direction.SHORT)
    assert await bench.setup_states() == ["superseded", ""]
    assert status_of(await bench.close(NOON + timedelta(hours=5))) == "vetoed"


async def test_a_rejected_4h_signal_becomes_nothing() -> None:
    bench = Bench()
    assert status_of(await bench.close(NOON, Timeframe.H4, spoil=True)) == "vetoed"
    assert await bench.setup_states() == []


@pytest.mark.parametrize(("price", "ended"), [(99.5, ""), (99.49, "invalidated")])
async def test_a_1h_close_strictly_beyond_its_stop_ends_a_setup(price: float, ended: str) -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    await bench.close(NOON + timedelta(hours=1), direction=None, price=price)
    assert await bench.setup_states() == [ended]


async def test_a_broken_setup_does_not_confirm_the_signal_of_the_candle_that_broke_it() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    record = await bench.close(NOON + timedelta(hours=1), price=99.0)
    assert status_of(record) == "vetoed"
    assert await bench.setup_states() == ["invalidated"]


async def test_an_hour_that_closed_before_the_setup_was_made_cannot_break_it() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    await bench.close(NOON - timedelta(hours=1), direction=None, price=99.0)
    assert await bench.setup_states() == [""]


async def test_a_refusal_by_risk_leaves_the_setup_live() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.H4)
    bench.blocked = "binance is not reconciled yet"
    assert status_of(await bench.close(NOON + timedelta(hours=1))) == "refused"
    assert await bench.setup_states() == [""]
    bench.blocked = ""
    assert status_of(await bench.close(NOON + timedelta(hours=2))) == "ordered"


async def test_an_order_that_the_venue_rejects_has_used_the_setup_up() -> None:
    bench = Bench()
    bench.broker.place_faults.append(Fault.REJECTED)
    await bench.close(NOON, Timeframe.H4)
    await bench.close(NOON + timedelta(hours=1))
    assert await bench.setup_states() == ["consumed"]


async def test_other_timeframes_trade_on_their_own() -> None:
    assert status_of(await Bench().close(NOON, Timeframe.M15)) == "ordered"


# ------------------------------------------------------------------------------------------- judged, recorded, traded


async def test_a_signal_judged_again_is_neither_recorded_nor_traded_again() -> None:
    bench = Bench()
    await bench.close(NOON, Timeframe.M15)
    told = len(bench.journal)
    await bench.close(NOON, Timeframe.M15)
    assert len(bench.broker.placed) == 1
    assert len(bench.journal) == told
    assert dict(await bench.stores.signals.counts()) == {"ordered": 1}


async def test_a_signal_whose_order_is_of_unknown_fate_is_not_sent_by_a_second_look() -> None:
    bench = Bench()
    bench.broker.place_faults.append(Fault.REQUEST_LOST)
    await bench.close(NOON, Timeframe.M15)
    await bench.close(NOON, Timeframe.M15)
    assert len(bench.broker.placed) == 1
    assert (await bench.stores.orders.order_counts())[OrderState.UNKNOWN.value] == 2


async def test_a_veto_is_stored_with_the_first_failing_rule_and_all_findings() -> None:
    record = await Bench().close(NOON, Timeframe.M15, spoil=True)
    assert record is not None
    assert (record.status, record.rejected_by) == ("vetoed", "1")
    assert record.reason.startswith("rule 1")
    assert len(record.findings) == 27


async def test_a_refusal_is_stored_with_its_code_and_reason() -> None:
    bench = Bench()
    pressed = KillState(level=KillLevel.PAUSE, by="daemon", cause=KillCause.DRAWDOWN, reason="16 % lost", at=DAY)
    await bench.stores.kills.set(pressed)
    record = await bench.close(NOON, Timeframe.M15)
    assert record is not None
    assert (record.status, record.reason) == ("refused", f"KILL_SWITCH: {pressed.says}")
    assert bench.broker.placed == []


async def test_a_venue_that_sells_only_what_is_held_is_never_sent_a_short_entry() -> None:
    bench = Bench(allows_short=False)
    record = await bench.close(NOON, Timeframe.M15, Direction.SHORT)
    assert record is not None
    assert (record.status, record.reason[:9]) == ("refused", "NO_SHORT:")
    assert bench.broker.placed == []


async def test_a_venue_that_does_not_tell_the_account_gets_no_order() -> None:
    bench = Bench()
    bench.broker.failing.add("account")
    record = await bench.close(NOON, Timeframe.M15)
    assert record is not None
    assert record.reason == "ACCOUNT: binance: no account; look at the venue's health"


async def test_an_idea_that_is_old_when_it_is_judged_is_not_traded() -> None:
    record = await Bench().close(NOON, Timeframe.M15, now=NOON + timedelta(days=1))
    assert record is not None
    assert record.reason.startswith("STALE_SIGNAL")


async def test_an_entry_of_unknown_fate_keeps_its_task_from_entering_again() -> None:
    bench = Bench()
    bench.broker.place_faults.append(Fault.REQUEST_LOST)
    await bench.close(NOON, Timeframe.M15)
    record = await bench.close(NOON + timedelta(minutes=15), Timeframe.M15)
    assert record is not None
    assert record.reason.startswith("TASK_HAS_POSITION")


async def test_dollars_of_a_stable_coin_are_converted_through_the_pair_of_the_real_one() -> None:
    eur_usd = replace(default_registry().get("EUR_USD"), broker_id=SOL.broker_id)
    bench = Bench(currency="EUR", instruments=(SOL, eur_usd))
    bench.venue.observe(eur_usd.symbol, bid=Decimal("1.25"), ask=Decimal("1.25"), at=NOON, gap=True)
    assert status_of(await bench.close(NOON, Timeframe.M15)) == "ordered"
    (position,) = bench.book.positions()
    assert position.value_per_point == Decimal("0.8")
