"""The whole pipeline over candles: same bytes twice, and a position that ends as its plan says."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ReplayClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import Currency, InstrumentRegistry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer3_execution.exits import Close, ExitState, on_candle
from bot.layer5_monitoring.journal import FileJournal, NoJournal
from bot.models import (
    ApprovedOrder,
    CandleSeries,
    Direction,
    FeatureColumns,
    FeatureSet,
    JournalEntry,
    Position,
    Side,
    StrategyTask,
    Timeframe,
    decimal_of,
)
from bot.replay.engine import ReplayEngine, ReplayParts, ReplayTrack
from bot.wiring.core import trading_core
from bot.wiring.replay import replay_candles
from tests.builders import approved_order, at, frictionless, plan, series

Row = tuple[float, float, float, float]
NOTHING = np.empty(0)
NO_COLUMNS = FeatureColumns(*(NOTHING for _ in range(11)))


class NoFeatures:
    """Features of a series on which no strategy speaks."""

    def __init__(self, of: CandleSeries) -> None:
        self._series = of

    def at(self, k: int) -> FeatureSet:
        """Nothing but the candle."""
        return FeatureSet(self._series, NO_COLUMNS, k, ())


async def play(order: ApprovedOrder, candles: CandleSeries) -> tuple[Position, list[JournalEntry]]:
    """Submit `order` before the first candle, replay all candles, answer the position as it ended or stands."""
    instrument = frictionless(tick="0.01")
    registry, clock, stores = InstrumentRegistry([instrument]), ReplayClock(candles.opened_at(0)), MemoryStores()
    venue = SimulatedBroker(
        broker_id=instrument.broker_id,
        instruments=[instrument],
        clock=clock,
        currency=Currency("USD"),
        balance=Decimal(1_000_000),
    )
    entries: list[JournalEntry] = []

    class Kept(NoJournal):
        async def record(self, entry: JournalEntry) -> None:
            entries.append(entry)

    async def no_quote(symbol: str) -> None:
        return None

    core = trading_core(
        settings=Settings(),
        registry=registry,
        clock=clock,
        stores=stores,
        journal=Kept(),
        candles=_Nothing(candles),
        broker_of=lambda _: venue,
        quote_of=no_quote,
        entries_blocked=lambda *_: "",
        strategies=["divergence"],
        environment="r",
    )
    task = StrategyTask.of("divergence", instrument, candles.timeframe)
    engine = ReplayEngine(
        ReplayParts(
            series=candles,
            instrument=instrument,
            tracks=[ReplayTrack(task, NoFeatures(candles), range(len(candles)))],
            clock=clock,
            venue=venue,
            pipeline=core.pipeline,
            book=core.book,
            guard=core.guard,
            tracker=core.tracker,
            reconciler=core.reconciler,
            outcomes=core.outcomes,
            drawdown=core.drawdown,
        )
    )
    price = decimal_of(candles.open[0])
    venue.observe(instrument.symbol, bid=price, ask=price, at=candles.opened_at(0), gap=True)
    venue.pause(instrument.symbol)
    await core.engine.submit(order)
    engine.refit()
    await engine.run(lambda _: None)
    return await stores.orders.position(order.position_id), entries


class _Nothing:
    """A candle source that has none: outcomes are not what is tested here."""

    def __init__(self, like: CandleSeries) -> None:
        self._empty = like.slice(0, 0)

    def series(self, symbol: str, timeframe: Timeframe) -> CandleSeries:
        """None at all."""
        return self._empty


def by_plan(order: ApprovedOrder, candles: CandleSeries) -> tuple[list[Close], ExitState]:
    """What the pure exit function makes of the same candles."""
    entry = decimal_of(candles.open[0])
    state = ExitState(
        entry=entry, first_quantity=order.quantity, quantity=order.quantity, stop=order.plan.stop, best=entry
    )
    closes: list[Close] = []
    for k in range(len(candles)):
        if not state.quantity:
            break
        candle = candles.candle(k)
        state, actions = on_candle(
            order.plan,
            state,
            open_=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            closed_at=candle.closed_at,
        )
        closes += [each for each in actions if isinstance(each, Close)]
    return closes, state


def order_for(direction: Direction) -> ApprovedOrder:
    tick = Decimal("0.01")
    side = Side.opening(direction)
    return approved_order(side=side, plan=plan(direction, tick=tick), valid_until=at(10_000))


cents = st.integers(min_value=9_700, max_value=10_900).map(lambda each: each / 100)
rows = st.lists(st.tuples(cents, cents, cents, cents), min_size=2, max_size=25)


def candles_of(prices: Sequence[Row], *, mirrored: bool) -> CandleSeries:
    """Candles around 100 whose first one opens at 100; mirrored about 100 for shorts."""
    made: list[Row] = [(100.0, 100.0, 100.0, 100.0)]
    for a, b, c, d in prices:
        quad = [round(200 - each, 2) for each in (a, b, c, d)] if mirrored else [a, b, c, d]
        made.append((quad[0], max(quad), min(quad), quad[3]))
    return series(made)


@settings(deadline=None, max_examples=150)
@given(prices=rows, long=st.booleans())
async def test_the_venue_closes_a_position_exactly_as_its_plan_says(prices: list[Row], long: bool) -> None:
    candles = candles_of(prices, mirrored=not long)
    order = order_for(Direction.LONG if long else Direction.SHORT)
    closes, state = by_plan(order, candles)

    position, _ = await play(order, candles)

    assert position.quantity == state.quantity
    assert position.closed_quantity == sum(each.quantity for each in closes)
    earned = sum((each.price or Decimal(0)) * each.quantity for each in closes)
    assert position.closed_quantity == 0 or position.exit_price == earned / position.closed_quantity
    if not position.quantity:
        assert position.exit_reason == closes[-1].reason
    else:
        assert position.stop_price == state.stop


async def test_an_entry_is_not_filled_after_a_gap_beyond_its_bound_and_waits_for_no_other_price() -> None:
    gap: list[Row] = [(100, 100, 100, 100), (100, 100, 100, 100)]
    order = replace(order_for(Direction.LONG), price_bound=Decimal("99.99"))
    position, entries = await play(order, series(gap))
    assert position.exit_reason == "NOT_OPENED: EXPIRED at the venue"
    assert [each for each in entries if each.kind in ("fill", "incident")] == []


async def test_candles_that_a_position_sleeps_through_still_widen_its_extremes() -> None:
    sleepy: list[Row] = [(100, 100, 100, 100), (100, 102, 99, 100), (100, 103, 98.5, 101), (101, 101, 97, 97)]
    position, _ = await play(order_for(Direction.LONG), series(sleepy))
    assert (position.best_price, position.exit_reason) == (Decimal(103), "STOP")


async def test_a_position_leaves_intent_send_fill_and_result_in_the_journal_in_that_order() -> None:
    _, entries = await play(order_for(Direction.LONG), series([(100, 100, 100, 100), (100, 101, 97, 97)]))
    kinds = [each.kind for each in entries]
    assert kinds.index("order") < kinds.index("fill") < kinds.index("position_opened")
    assert kinds.index("position_opened") < kinds.index("position_closed")


@pytest.fixture(scope="module")
def euro() -> CandleSeries:
    return next(load(each) for each in recordings() if each.symbol == "EUR_USD" and each.timeframe is Timeframe.H1)


async def run(candles: CandleSeries, journal: Path) -> dict[str, object]:
    with FileJournal(journal) as file:
        return await replay_candles(
            settings=Settings(),
            series=candles,
            strategy="divergence",
            balance=Decimal(10_000),
            journal=file,
            progress=lambda _: None,
        )


async def test_two_replays_of_real_candles_give_identical_bytes(euro: CandleSeries, tmp_path: Path) -> None:
    first = await run(euro, tmp_path / "first")
    second = await run(euro, tmp_path / "second")
    assert orjson.dumps(first) == orjson.dumps(second)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


async def test_real_candles_lead_to_signals_verdicts_orders_and_results_that_add_up(
    euro: CandleSeries, tmp_path: Path
) -> None:
    figures = await run(euro, tmp_path / "journal")
    assert figures["signals"] == figures["accepted"] + figures["rejected"]  # type: ignore[operator]
    assert figures["candles"] == len(euro)
    assert figures["positions"] > 0  # type: ignore[operator]
    lines = [orjson.loads(line) for line in (tmp_path / "journal").read_bytes().splitlines()]
    results = [Decimal(each["net"]) for each in lines if each["kind"] == "position_closed"]
    assert float(sum(results)) == pytest.approx(figures["realised"])
    assert figures["incidents"] == 0


async def test_what_is_decided_on_a_prefix_is_decided_on_the_whole(euro: CandleSeries, tmp_path: Path) -> None:
    cut = 1_500
    await run(euro.slice(0, cut), tmp_path / "prefix")
    await run(euro, tmp_path / "whole")

    def decisions(name: str) -> list[bytes]:
        lines = (tmp_path / name).read_bytes().splitlines()
        rows = [(line, orjson.loads(line)) for line in lines]
        end = euro.closed_at(cut - 1).isoformat().replace("+00:00", "Z")
        return [line for line, row in rows if row["kind"] != "outcome" and row["at"] <= end]

    assert decisions("prefix") == decisions("whole")
