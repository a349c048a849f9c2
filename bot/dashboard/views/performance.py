"""What came of it: equity, results in R, and figures by group, with how much so few trades can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views import curve, plots
from bot.dashboard.views.asked import chosen, named, with_choice
from bot.dashboard.views.verdicts import stop_name
from bot.errors import UsageError
from bot.instruments import BrokerId, Symbol, to_cents
from bot.layer2_intelligence.analyst.evaluation.statistics import Share
from bot.layer5_monitoring.performance import LEAST_RESULTS, MeanInterval, telling
from bot.models import StrategyName
from bot.reports import EquityPoint, SignalFilter, TradeFigures, TradeFilter, TradeGroup, VerdictFigures

_POINTS: Final = 240
_TABLE_POINTS: Final = 12
_PERIODS: Final[Mapping[str, str]] = {"7": "7 days", "30": "30 days", "all": "All"}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_GROUPS: Final[Mapping[TradeGroup, str]] = {
    TradeGroup.STRATEGY: "Strategy",
    TradeGroup.SYMBOL: "Symbol",
    TradeGroup.BROKER: "Broker",
    TradeGroup.ANALYST: "Who said so",
    TradeGroup.TIMEFRAME: "Timeframe",
    TradeGroup.DIRECTION: "Direction",
    TradeGroup.EXIT_REASON: "How it ended",
    TradeGroup.WEEKDAY: "Weekday of the entry",
    TradeGroup.HOUR: "Hour of the entry, UTC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresRow:
    """Figures of one group with what their number allows to say."""

    name: str
    figures: TradeFigures
    won: Share
    mean: MeanInterval | None
    tells: str

    @classmethod
    def of(cls, figures: TradeFigures, name: str) -> "FiguresRow":
        """The row of one group."""
        mean = MeanInterval.of(figures.measured, figures.mean_r, figures.deviation_r)
        return cls(
            name=name,
            figures=figures,
            won=Share(figures.won, figures.trades),
            mean=mean,
            tells=telling(figures.measured, mean),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """What one rule or limit rejected, and whether that was right."""

    name: str
    query: str
    figures: VerdictFigures
    mean: MeanInterval | None
    tells: str


async def curves(parts: DashboardParts, query: Query) -> Context:
    """Choices, and the curves of the period."""
    now = (await parts.status()).now
    until = now + timedelta(seconds=1)
    points = await parts.stores.reports.equity(since=_since(query, now), until=until, points=_POINTS)
    every = max(1, -(-len(points) // _TABLE_POINTS))
    return {
        "periods": [(word, with_choice(query, days=name), _period(query) == name) for name, word in _PERIODS.items()],
        "period": _PERIODS[_period(query)],
        "symbols": named(each.symbol for each in parts.registry),
        "brokers": named(each.broker_id for each in parts.registry),
        "strategies": named(each.strategy for each in await parts.stores.tasks.all()),
        "curve": curve.equity_curve(points),
        "size": (curve.WIDTH, curve.HEIGHT),
        "under": plots.underwater(points),
        "under_size": (plots.WIDTH, plots.HEIGHT),
        "drawn": _drawn(points),
        "points": points[::-1][::every][::-1],
    }


async def figures(parts: DashboardParts, query: Query) -> Context:
    """Everything of the choice together."""
    status = await parts.status()
    found = await parts.stores.reports.trade_figures(_filter(query, status.now), TradeGroup.ALL)
    return {
        "row": FiguresRow.of(found[0], "all") if found else None,
        "currency": status.currency,
        "least": LEAST_RESULTS,
    }


async def spread(parts: DashboardParts, query: Query) -> Context:
    """How many trades gave how much."""
    wanted = _filter(query, (await parts.status()).now)
    return {"buckets": plots.histogram(await parts.stores.reports.histogram(wanted))}


async def groups(parts: DashboardParts, query: Query) -> Context:
    """One table: trades told apart by what was chosen."""
    by = _group(query)
    found = await parts.stores.reports.trade_figures(_filter(query, (await parts.status()).now), by)
    rows = [FiguresRow.of(each, _group_name(by, each.name)) for each in found]
    if by not in (TradeGroup.WEEKDAY, TradeGroup.HOUR):
        rows.sort(key=lambda each: (-each.figures.trades, each.name))
    return {
        "title": _GROUPS[by],
        "rows": rows,
        "groups": [(title, with_choice(query, by=each.value), each is by) for each, title in _GROUPS.items()],
    }


async def rules(parts: DashboardParts, query: Query) -> Context:
    """What each rule and limit rejected, and what that would have made."""
    status = await parts.status()
    wanted = SignalFilter(
        symbol=chosen(query, "symbol", Symbol),
        broker_id=chosen(query, "broker", BrokerId),
        strategy=chosen(query, "strategy", StrategyName),
        since=_since(query, status.now),
    )
    found = [each for each in await parts.stores.reports.verdicts(wanted) if each.signals]
    rows = [_rule_row(query, each) for each in found if each.stopped_by]
    rows.sort(key=lambda each: (-each.figures.signals, each.name))
    return {"rows": rows, "least": LEAST_RESULTS}


def _filter(query: Query, now: datetime) -> TradeFilter:
    return TradeFilter(
        symbol=chosen(query, "symbol", Symbol),
        broker_id=chosen(query, "broker", BrokerId),
        strategy=chosen(query, "strategy", StrategyName),
        since=_since(query, now),
    )


def _period(query: Query) -> str:
    name = query.get("days") or "all"
    if name not in _PERIODS:
        raise UsageError(f"days {name!r} is not one of {', '.join(_PERIODS)}")
    return name


def _group(query: Query) -> TradeGroup:
    by = chosen(query, "by", TradeGroup) or TradeGroup.STRATEGY
    if by not in _GROUPS:
        raise UsageError(f"by {by.value!r} is not one of {', '.join(each.value for each in _GROUPS)}")
    return by


def _since(query: Query, now: datetime) -> datetime | None:
    name = _period(query)
    return None if name == "all" else now - timedelta(days=int(name))


def _group_name(by: TradeGroup, name: str) -> str:
    if by is TradeGroup.WEEKDAY:
        return _DAYS[int(name) - 1]
    if by is TradeGroup.HOUR:
        return f"{name}:00"
    return name or "not known"


def _rule_row(query: Query, found: VerdictFigures) -> RuleRow:
    mean = MeanInterval.of(found.decided, found.r_mean, found.deviation_r)
    tells = telling(found.decided, mean).replace("trade", "signal")
    return RuleRow(
        name=stop_name(found.stopped_by),
        query=with_choice(query, verdict=found.status, stopped_by=found.stopped_by, days="", by=""),
        figures=found,
        mean=mean,
        tells={"gains": "costs money", "loses": "saves money"}.get(tells, tells),
    )


def _drawn(points: Sequence[EquityPoint]) -> Mapping[str, object]:
    """As JSON types, for the script that draws it."""
    return {
        "at_s": [round(each.at.timestamp()) for each in points],
        "equity": [float(to_cents(each.equity)) for each in points],  # a browser rounds what is left otherwise
        "fall_percent": [round(-100 * max(each.drawdown, 0.0), 3) for each in points],
    }


PERFORMANCE: Final = Page(
    name="performance",
    path="/performance",
    title="Performance",
    query=("days", "symbol", "broker", "strategy", "by"),
    load=curves,
    sections=(
        Section(name="performance-figures", load=figures, quickest_s=5.0, slowest_s=30.0),
        Section(name="performance-spread", load=spread, quickest_s=5.0, slowest_s=30.0),
        Section(name="performance-groups", load=groups, quickest_s=20.0, slowest_s=120.0),
        Section(name="performance-rules", load=rules, quickest_s=20.0, slowest_s=120.0),
    ),
)
