"""Reports over both backends: the same days must be told alike, and what a figure says must be true of the rows."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.instruments import BINANCE, OANDA, BrokerId, Symbol
from bot.interfaces import Stores
from bot.models import Direction, OutcomeVerdict, PositionId, SignalId, StrategyName, Timeframe
from bot.reports import (
    Before,
    Bucket,
    EquityPoint,
    SignalFilter,
    TradeFilter,
    TradeGroup,
    TradeResult,
    stopped_by,
)
from tests.contract.store_builders import (
    EUR_USD,
    T0,
    at,
    closed,
    order,
    outcome,
    pending,
    position,
    signal_record,
    snapshot,
)
from tests.postgres import Databases, shared_databases

GBP_USD = Symbol("GBP_USD")
MONTH = T0.replace(month=6, day=1, hour=0, minute=0, second=0, microsecond=0)
INSTANT = timedelta(microseconds=1)
FILTERS = (
    SignalFilter(),
    SignalFilter(status="vetoed"),
    SignalFilter(stopped_by="6"),
    SignalFilter(stopped_by="MAX_OPEN_POSITIONS"),
    SignalFilter(symbol=GBP_USD, broker_id=BINANCE),
    SignalFilter(strategy=StrategyName("simple_ma"), timeframe=Timeframe.H4),
    SignalFilter(since=at(20), until=at(50)),
)
TRADES = (
    TradeFilter(),
    TradeFilter(result=TradeResult.WON),
    TradeFilter(result=TradeResult.LOST, direction=Direction.SHORT),
    TradeFilter(result=TradeResult.EVEN),
    TradeFilter(symbol=GBP_USD, broker_id=BINANCE),
    TradeFilter(strategy=StrategyName("simple_ma"), since=at(500), until=at(2500)),
)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool)


async def judge(stores: Stores, name: str, *, minutes: float = 0, status: str = "vetoed", code: str = "6") -> None:
    """One signal that `code` stopped."""
    reason = f"{code}: too much" if status == "refused" else "rule"
    record = signal_record(name, minutes=minutes, status=status, reason=reason)
    await stores.signals.record(replace(record, rejected_by=code if status == "vetoed" else ""))


async def trade(stores: Stores, name: str, result: str, *, minutes: float = 60, **changes: Any) -> None:
    """One closed position with 1 of risk and no costs, so that its result is its R."""
    entry = f"e-{name}"
    ended = closed(name, minutes=minutes, result=result, entry=entry, fees=Decimal(0), risk_amount=Decimal(1))
    await stores.orders.record_intent([order(entry, signal=f"s-{name}")], signal_id=None)
    await stores.orders.save_position(replace(ended, signal_id=SignalId(f"s-{name}"), **changes))


def names(lines: Sequence[Any]) -> list[str]:
    return [getattr(each, "id", "") or each.record.signal.id for each in lines]


# ------------------------------------------------------------------------------------------------------------ signals


async def test_signals_come_newest_first_and_a_page_goes_on_where_the_one_before_ended(stores: Stores) -> None:
    for name, minutes in (("a", 1), ("b", 2), ("B", 2), ("c", 3)):
        await judge(stores, name, minutes=minutes)

    first = await stores.reports.signals(SignalFilter(), limit=2)
    last = first[-1].record
    second = await stores.reports.signals(SignalFilter(), limit=9, before=Before(at=last.decided_at, id=last.signal.id))

    assert names(first) == ["c", "b"]
    assert names(second) == ["B", "a"]  # of one instant by id, capitals first
    assert first[0].record == replace(signal_record("c", minutes=3, reason="rule"), findings=())


async def test_a_signal_refused_by_risk_is_found_by_the_limit_that_refused_it(stores: Stores) -> None:
    await judge(stores, "rule", code="6")
    await judge(stores, "risk", status="refused", code="MAX_OPEN_POSITIONS")
    await judge(stores, "traded", status="ordered", code="")

    found = await stores.reports.signals(SignalFilter(stopped_by="MAX_OPEN_POSITIONS"), limit=9)

    assert names(found) == ["risk"]
    assert stopped_by(found[0].record) == "MAX_OPEN_POSITIONS"


async def test_everything_that_ever_stopped_a_signal_is_listed_once(stores: Stores) -> None:
    assert await stores.reports.stops() == []
    for status, code in (("vetoed", "E3"), ("vetoed", "6"), ("refused", "OPEN_RISK"), ("ordered", "")):
        for name in ("a", "b"):
            await judge(stores, f"{name} {code}", status=status, code=code)
    assert await stores.reports.stops() == ["6", "E3", "OPEN_RISK"]


async def test_a_line_says_what_the_market_did_with_the_signal(stores: Stores) -> None:
    await judge(stores, "s1")
    await judge(stores, "s2", minutes=1)
    await stores.outcomes.save(outcome("s1", done=True, verdict=OutcomeVerdict.TARGET_HIT, r=1.5))

    unknown, known = await stores.reports.signals(SignalFilter(), limit=9)

    assert (unknown.verdict, unknown.r) == (None, None)
    assert (known.verdict, known.r) == (OutcomeVerdict.TARGET_HIT, 1.5)


@pytest.mark.parametrize(
    "chosen",
    [
        SignalFilter(since=datetime(1, 1, 1, tzinfo=UTC)),
        SignalFilter(since=datetime(9999, 12, 31, tzinfo=UTC)),
        SignalFilter(since=datetime(1, 1, 1, tzinfo=UTC), until=datetime(9999, 12, 31, tzinfo=UTC)),
    ],
    ids=["from the first day there is", "from the last one", "from the first to the last"],
)
async def test_verdicts_are_told_of_every_day_that_a_form_can_name(stores: Stores, chosen: SignalFilter) -> None:
    await judge(stores, "s1")
    ever = chosen.since is not None and chosen.since.year == 1
    assert [each.signals for each in await stores.reports.verdicts(chosen)] == ([1] if ever else [])


async def test_verdicts_count_what_rejected_signals_would_have_made_once_decided(
    stores: Stores,
) -> None:
    for name in ("s1", "s2", "s3", "s4"):
        await judge(stores, name, code="6")
    await judge(stores, "s5", status="refused", code="OPEN_RISK")
    await stores.outcomes.save(
        outcome("s1", done=True, verdict=OutcomeVerdict.TARGET_HIT, r=2.0),
        outcome("s2", verdict=OutcomeVerdict.STOP_HIT, r=-1.0),  # decided, although its checkpoints are not all there
        outcome("s3", done=True, verdict=OutcomeVerdict.NEITHER, r=0.25),
        outcome("s4", r=0.75),  # so far
    )

    refused, vetoed = await stores.reports.verdicts(SignalFilter())

    assert (refused.status, refused.stopped_by, refused.signals, refused.decided) == ("refused", "OPEN_RISK", 1, 0)
    assert refused.r_mean is None
    assert (vetoed.stopped_by, vetoed.signals, vetoed.decided) == ("6", 4, 3)
    assert (vetoed.targets, vetoed.stops, vetoed.r_sum) == (1, 1, 1.25)


async def test_a_signal_that_gets_further_is_counted_once_and_where_it_is_now(stores: Stores) -> None:
    await judge(stores, "s1", status="setup", code="")
    await stores.outcomes.save(outcome("s1"))
    await stores.outcomes.save(outcome("s1", verdict=OutcomeVerdict.STOP_HIT, r=-1.0))
    await stores.signals.update_status(SignalId("s1"), "refused", "OPEN_RISK: 6.1 % of 6 %")
    await stores.outcomes.save(outcome("s1", verdict=OutcomeVerdict.TARGET_HIT, r=2.0))  # its candles were corrected

    (figures,) = await stores.reports.verdicts(SignalFilter())

    assert (figures.status, figures.stopped_by, figures.signals, figures.decided) == ("refused", "OPEN_RISK", 1, 1)
    assert (figures.targets, figures.stops, figures.r_sum) == (1, 0, 2.0)
    assert await stores.signals.counts() == {"refused": 1}


async def test_an_outcome_that_is_stored_before_its_signal_counts_too(stores: Stores) -> None:
    await stores.outcomes.save(outcome("s1", verdict=OutcomeVerdict.STOP_HIT, r=-1.0))
    await judge(stores, "s1")
    (figures,) = await stores.reports.verdicts(SignalFilter())
    assert (figures.decided, figures.stops) == (1, 1)


# ------------------------------------------------------------------------------------------------------------- trades


async def test_closed_positions_leave_out_what_is_open_or_never_was(stores: Stores) -> None:
    await stores.orders.record_intent([order("o1")], signal_id=None)
    await stores.orders.save_position(position("open"))
    await stores.orders.save_position(pending("never", closed_at=at(5)))
    await trade(stores, "done", "1")

    assert names(await stores.reports.trades(TradeFilter(), limit=9)) == ["done"]
    assert [each.trades for each in await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)] == [1]


async def test_a_closed_position_that_turns_out_to_be_open_is_no_trade_until_it_is_closed_again(stores: Stores) -> None:
    await trade(stores, "t1", "1")
    ended = await stores.orders.position(PositionId("t1"))

    await stores.orders.save_position(replace(ended, closed_at=None))
    meanwhile = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL), await stores.orders.closed_count()
    await stores.orders.save_position(replace(ended, realised=Decimal(3)))

    assert meanwhile == ([], 0)
    (figures,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)
    assert (figures.trades, figures.net, figures.mean_r) == (1, Decimal(3), 3.0)


async def test_a_page_of_closed_positions_goes_on_where_the_one_before_ended(stores: Stores) -> None:
    for name, minutes in (("a", 1), ("b", 2), ("B", 2), ("c", 3)):
        await trade(stores, name, "1", minutes=minutes)

    older = await stores.reports.trades(TradeFilter(), limit=9, before=Before(at=at(2), id="b"))

    assert names(older) == ["B", "a"]


async def test_the_figures_of_a_group_are_those_of_its_results(stores: Stores) -> None:
    for minutes, result in enumerate(("2", "-1", "-1", "3", "0"), start=1):
        await trade(stores, f"t{minutes}", result, minutes=minutes)

    (figures,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.SYMBOL)

    assert (figures.name, figures.trades, figures.won, figures.lost) == (EUR_USD, 5, 2, 2)
    assert [figures.net, figures.gained, figures.lost_money, figures.costs] == [Decimal(each) for each in (3, 5, 2, 0)]
    assert (figures.mean_r, figures.median_r, figures.fall_r) == (0.6, 0.0, 2.0)
    assert figures.deviation_r == pytest.approx(1.8165902)
    assert figures.profit_factor == 2.5


async def test_a_first_loss_is_a_fall_from_nothing(stores: Stores) -> None:
    await trade(stores, "t1", "-1", minutes=1)
    await trade(stores, "t2", "-0.5", minutes=2)
    (figures,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)
    assert figures.fall_r == 1.5


async def test_a_position_without_a_known_risk_has_a_result_but_no_r(stores: Stores) -> None:
    await trade(stores, "t1", "4", risk_amount=Decimal(0))
    (figures,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)
    assert (figures.trades, figures.net, figures.measured, figures.mean_r) == (1, Decimal(4), 0, None)
    assert await stores.reports.histogram(TradeFilter()) == []


async def test_costs_are_taken_off_before_a_trade_counts_as_won(stores: Stores) -> None:
    await trade(stores, "t1", "0.5", fees=Decimal("0.75"))
    (figures,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)
    assert (figures.won, figures.lost, figures.net, figures.costs) == (0, 1, Decimal("-0.25"), Decimal("0.75"))
    assert names(await stores.reports.trades(TradeFilter(result=TradeResult.LOST), limit=9)) == ["t1"]


async def test_weekday_and_hour_are_those_of_the_entry_in_utc(stores: Stores) -> None:
    await trade(stores, "t1", "1", opened_at=T0.replace(hour=23))  # a Monday
    (weekday,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.WEEKDAY)
    (hour,) = await stores.reports.trade_figures(TradeFilter(), TradeGroup.HOUR)
    assert (weekday.name, hour.name) == ("1", "23")


async def test_the_analyst_of_a_trade_is_that_of_its_signal(stores: Stores) -> None:
    await stores.signals.record(signal_record("s-t1", status="ordered"))
    await trade(stores, "t1", "1")
    await trade(stores, "t2", "1")  # its signal is not stored
    found = await stores.reports.trade_figures(TradeFilter(), TradeGroup.ANALYST)
    assert [(each.name, each.trades) for each in found] == [("", 1), ("detector", 1)]


async def test_the_histogram_counts_each_result_in_its_half_r_and_the_rest_at_the_ends(stores: Stores) -> None:
    for number, result in enumerate(("-7", "-3", "-1", "-0.75", "0", "5.75", "6", "60")):
        await trade(stores, f"t{number}", result)

    assert await stores.reports.histogram(TradeFilter()) == [
        Bucket(low=None, high=-3.0, trades=1),
        Bucket(low=-3.0, high=-2.5, trades=1),
        Bucket(low=-1.0, high=-0.5, trades=2),
        Bucket(low=0.0, high=0.5, trades=1),
        Bucket(low=5.5, high=6.0, trades=1),
        Bucket(low=6.0, high=None, trades=2),
    ]


# ------------------------------------------------------------------------------------------------------------- equity


async def test_thinned_equity_keeps_the_last_value_and_the_deepest_fall_of_each_slot(stores: Stores) -> None:
    for minutes, equity in ((0, "10500"), (1, "8400"), (5, "9450"), (9, "9975"), (10, "1")):
        await stores.snapshots.append(snapshot(minutes, equity))

    found = await stores.reports.equity(since=at(0), until=at(10), points=2)

    assert found == [
        EquityPoint(at=at(1), equity=Decimal(8400), drawdown=0.2),
        EquityPoint(at=at(9), equity=Decimal(9975), drawdown=0.1),
    ]


async def test_equity_of_all_time_begins_with_the_first_that_was_noted(stores: Stores) -> None:
    assert await stores.reports.equity(since=None, until=at(9), points=5) == []
    for minutes in (4, 6, 8, 10):
        await stores.snapshots.append(snapshot(minutes, str(minutes)))
    found = await stores.reports.equity(since=None, until=at(10), points=3)
    assert [each.at for each in found] == [at(4), at(6), at(8)]


async def test_slots_longer_than_an_hour_are_whole_hours(stores: Stores) -> None:
    """T0 is 07:08; two days in 20 slots are three hours each, from 07:00 on."""
    for minutes, equity in ((-9, "1"), (-1, "10500"), (170, "8400"), (173, "9450"), (2879, "9975"), (2881, "2")):
        await stores.snapshots.append(snapshot(minutes, equity))

    found = await stores.reports.equity(since=at(0), until=at(2880), points=20)

    assert found == [
        EquityPoint(at=at(170), equity=Decimal(8400), drawdown=0.2),
        EquityPoint(at=at(173), equity=Decimal(9450), drawdown=0.1),
        EquityPoint(at=at(2879), equity=Decimal(9975), drawdown=0.05),
    ]


async def test_of_two_values_of_one_instant_the_curve_has_the_later_one(stores: Stores) -> None:
    await stores.snapshots.append(snapshot(0, "1"))
    await stores.snapshots.append(snapshot(0, "2"))
    (point,) = await stores.reports.equity(since=at(0), until=at(1), points=5)
    assert point.equity == 2


# --------------------------------------------------------------------------------------------------- one signal's story


async def test_the_entry_and_the_outcome_of_a_signal_are_found_however_old(stores: Stores) -> None:
    await stores.orders.record_intent([order("o1", signal="s1")], signal_id=SignalId("s1"))
    await stores.outcomes.save(outcome("s1"))

    assert await stores.orders.entry_of(SignalId("s1")) == order("o1", signal="s1")
    assert await stores.outcomes.of_signal(SignalId("s1")) == outcome("s1")
    assert await stores.orders.entry_of(SignalId("s2")) is None
    assert await stores.outcomes.of_signal(SignalId("s2")) is None


# ------------------------------------------------------------------------------------------ both against each other


async def fill(stores: Stores, *, seed: int) -> None:
    """Days drawn from a seed; results are quarters, so that sums of floats are exact in any order."""
    draw = Random(seed)
    for number in range(60):
        name, symbol = f"n{number}", draw.choice((EUR_USD, GBP_USD))
        shared: dict[str, Any] = {"symbol": symbol, "strategy": StrategyName(draw.choice(("divergence", "simple_ma")))}
        broker: dict[str, Any] = {"broker_id": BrokerId(draw.choice((OANDA, BINANCE)))}
        record = signal_record(f"s-{name}", minutes=draw.randrange(60))
        status = draw.choice(("vetoed", "refused", "ordered", "setup"))
        await stores.signals.record(
            replace(
                record,
                signal=replace(record.signal, timeframe=draw.choice((Timeframe.H1, Timeframe.H4)), **shared, **broker),
                status=status,
                rejected_by=draw.choice(("0", "6", "E3", "MTF")) if status == "vetoed" else "",
                reason=draw.choice(("MAX_OPEN_POSITIONS: 2 of 2", "plain", "")),
            )
        )
        verdict = draw.choice(list(OutcomeVerdict))
        done = verdict is not OutcomeVerdict.OPEN
        r = draw.randrange(-4, 9) / 4 if done else None
        await stores.outcomes.save(outcome(f"s-{name}", done=done, verdict=verdict, r=r))
        await trade(
            stores,
            name,
            str(Decimal(draw.randrange(-16, 40)) / 4),
            minutes=draw.randrange(3000),
            fees=Decimal(draw.randrange(3)) / 4,
            risk_amount=Decimal(draw.choice((0, 1, 2))),
            direction=draw.choice((Direction.LONG, Direction.SHORT)),
            opened_at=at(draw.randrange(9000)),
            exit_reason=draw.choice(("STOP", "TARGET_1")),
            **shared,
            **broker,
        )
        await stores.snapshots.append(snapshot(draw.randrange(100), str(10_000 + draw.randrange(500))))
        await stores.snapshots.append(snapshot(draw.randrange(30_000), str(10_000 + draw.randrange(500))))


def near(row: Any) -> object:
    """A row whose floats may differ in the last digit."""
    return {name: pytest.approx(each) if isinstance(each, float) else each for name, each in values(row).items()}


def values(row: Any) -> dict[str, object]:
    """Its fields by name."""
    return {each.name: getattr(row, each.name) for each in fields(row)}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_memory_and_postgresql_tell_the_same_days_alike(databases: Databases, seed: int) -> None:
    async with databases.pool() as pool:
        memory, stored = MemoryStores(), PostgresStores(pool)
        await fill(memory, seed=seed)
        await fill(stored, seed=seed)
        ours, theirs = memory.reports, stored.reports
        assert await theirs.stops() == await ours.stops()
        for chosen in FILTERS:
            assert await theirs.signals(chosen, limit=7) == await ours.signals(chosen, limit=7), chosen
            middle = Before(at=at(30), id="s-n3")
            assert await theirs.signals(chosen, limit=99, before=middle) == await ours.signals(
                chosen, limit=99, before=middle
            ), chosen
            assert [near(each) for each in await theirs.verdicts(chosen)] == [
                values(each) for each in await ours.verdicts(chosen)
            ], chosen
        for wanted in TRADES:
            middle = Before(at=at(1500), id="n3")
            assert await theirs.trades(wanted, limit=9, before=middle) == await ours.trades(
                wanted, limit=9, before=middle
            ), wanted
            assert await theirs.histogram(wanted) == await ours.histogram(wanted), wanted
            for by in TradeGroup:
                found, expected = await theirs.trade_figures(wanted, by), await ours.trade_figures(wanted, by)
                assert [near(each) for each in found] == [values(each) for each in expected], (wanted, by)
        for since, minutes, points in ((at(0), 90, 11), (at(0), 20_000, 17), (None, 29_000, 40), (None, 40_000, 500)):
            span: dict[str, Any] = {"since": since, "until": at(minutes), "points": points}
            drawn, wanted_points = await theirs.equity(**span), await ours.equity(**span)
            assert len(drawn) <= points
            assert [near(each) for each in drawn] == [values(each) for each in wanted_points]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whole_months_and_the_days_beside_them_are_counted_alike(databases: Databases, seed: int) -> None:
    """PostgreSQL counts whole months as they come, the memory store every signal each time."""
    draw = Random(seed)
    async with databases.pool() as pool:
        memory, stored = MemoryStores(), PostgresStores(pool)
        for number in range(80):
            day, status = draw.randrange(150) * 1440, draw.choice(("vetoed", "setup"))
            r, further = draw.randrange(-4, 9) / 4, draw.random() < 0.5
            for stores in (memory, stored):
                await judge(stores, f"s{number}", minutes=day, status=status, code=("6", "E3")[number % 2])
                await stores.outcomes.save(outcome(f"s{number}", verdict=OutcomeVerdict.NEITHER, r=r))
                if further:
                    await stores.signals.update_status(SignalId(f"s{number}"), "ordered", "")
        edges = [None, MONTH, MONTH - INSTANT, MONTH + timedelta(days=31), at(0), at(0), at(100_000), at(170_000)]
        for _ in range(40):
            chosen = SignalFilter(
                since=draw.choice(edges), until=draw.choice(edges), status=draw.choice((None, "vetoed"))
            )
            found, expected = await stored.reports.verdicts(chosen), await memory.reports.verdicts(chosen)
            assert [near(each) for each in found] == [values(each) for each in expected], chosen


async def test_signals_and_outcomes_that_change_at_the_same_time_are_all_counted(databases: Databases) -> None:
    """Each change on a connection of its own, two of each signal: none sees the other's before it commits."""
    async with databases.pool() as pool:
        memory, stored = MemoryStores(), PostgresStores(pool)
        for stores in (memory, stored):
            for number in range(12):
                await judge(stores, f"s{number}", status=("setup", "ordered")[number % 2], code="")
            await asyncio.gather(
                *(
                    change
                    for number in range(12)
                    for change in (
                        stores.signals.update_status(SignalId(f"s{number}"), ("ordered", "setup")[number % 2], ""),
                        stores.outcomes.save(outcome(f"s{number}", verdict=OutcomeVerdict.STOP_HIT, r=-1.0)),
                    )
                )
            )
        assert await stored.reports.verdicts(SignalFilter()) == await memory.reports.verdicts(SignalFilter())
