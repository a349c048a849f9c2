"""Signals, accepted and rejected: by how far they got, by what stopped them, and one by one."""

from dataclasses import dataclass
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.asked import chosen, chosen_day, named, older, place, with_choice
from bot.dashboard.views.rows import Verdict, verdict_of
from bot.dashboard.views.verdicts import outcome_sign, stop_name
from bot.instruments import BrokerId, Symbol
from bot.models import OutcomeVerdict, StrategyName, Timeframe
from bot.reports import SignalFilter, SignalLine, VerdictFigures, stopped_by

_ROWS: Final = 40
_STATUSES: Final = ("vetoed", "refused", "setup", "ordered", "endorsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """How many signals ended in one way: `share` of all that are shown, `query` chooses them."""

    word: str
    code: str
    signals: int
    share: float
    query: str
    is_chosen: bool
    verdict: Verdict
    figures: VerdictFigures | None = None


async def choices(parts: DashboardParts, query: Query) -> Context:
    """What the form offers, and what is chosen."""
    tasks = await parts.stores.tasks.all()
    stops = await parts.stores.reports.stops()
    return {
        "statuses": [(each, verdict_of(each).word) for each in _STATUSES],
        "stops": [(each, stop_name(each)) for each in stops],
        "symbols": named(each.symbol for each in parts.registry),
        "brokers": named(each.broker_id for each in parts.registry),
        "strategies": named(each.strategy for each in tasks),
        "timeframes": [(each.value, each.value) for each in Timeframe],
        "any_chosen": any(query.values()),
    }


async def counts(parts: DashboardParts, query: Query) -> Context:
    """Of what is chosen: how many by verdict, and by the rule or limit that stopped them."""
    wanted = _filter(query)
    anyhow = SignalFilter(
        symbol=wanted.symbol,
        broker_id=wanted.broker_id,
        strategy=wanted.strategy,
        timeframe=wanted.timeframe,
        since=wanted.since,
        until=wanted.until,
    )
    figures = await parts.stores.reports.verdicts(anyhow)
    total = sum(each.signals for each in figures)
    by_status: dict[str, int] = {}
    for each in figures:
        by_status[each.status] = by_status.get(each.status, 0) + each.signals
    stops = sorted((each for each in figures if each.stopped_by), key=lambda each: (-each.signals, each.stopped_by))
    return {
        "total": total,
        "by_status": [_status_row(query, *each, total) for each in sorted(by_status.items(), key=lambda row: -row[1])],
        "by_stop": [_stop_row(query, each, total) for each in stops],
    }


async def lines(parts: DashboardParts, query: Query) -> Context:
    """One page of them, newest first."""
    found = await parts.stores.reports.signals(_filter(query), limit=_ROWS + 1, before=place(query))
    shown = found[:_ROWS]
    last = shown[-1].record if shown else None
    return {
        "rows": [_line(each) for each in shown],
        "older": older(query, last.decided_at, last.signal.id) if last and len(found) > _ROWS else "",
        "newest": with_choice(query) if "before" in query else None,
        "is_filtered": any(text for name, text in query.items() if name != "before"),
        "last_analysis": (await parts.status()).last_analysis,
    }


def _filter(query: Query) -> SignalFilter:
    return SignalFilter(
        status=chosen(query, "verdict", str),
        stopped_by=chosen(query, "stopped_by", str),
        symbol=chosen(query, "symbol", Symbol),
        broker_id=chosen(query, "broker", BrokerId),
        strategy=chosen(query, "strategy", StrategyName),
        timeframe=chosen(query, "timeframe", Timeframe),
        since=chosen_day(query, "from"),
        until=chosen_day(query, "to", end=True),
    )


def _status_row(query: Query, status: str, signals: int, total: int) -> CountRow:
    return CountRow(
        word=verdict_of(status).word,
        code="",
        signals=signals,
        share=signals / total,
        query=with_choice(query, verdict=status, stopped_by=""),
        is_chosen=query.get("verdict") == status,
        verdict=verdict_of(status),
    )


def _stop_row(query: Query, figures: VerdictFigures, total: int) -> CountRow:
    return CountRow(
        word=stop_name(figures.stopped_by),
        code=figures.stopped_by,
        signals=figures.signals,
        share=figures.signals / total,
        query=with_choice(query, verdict=figures.status, stopped_by=figures.stopped_by),
        is_chosen=query.get("stopped_by") == figures.stopped_by,
        verdict=verdict_of(figures.status),
        figures=figures,
    )


def _line(line: SignalLine) -> dict[str, object]:
    record = line.record
    code = stopped_by(record)
    return {
        "record": record,
        "signal": record.signal,
        "verdict": verdict_of(record.status),
        "code": code,
        "stop_name": stop_name(code) if code else "",
        "reason": record.reason.removeprefix(f"{code}: "),
        "outcome": outcome_sign(line.verdict),
        "r": line.r,
        "is_running": line.verdict is OutcomeVerdict.OPEN,
    }


SIGNALS: Final = Page(
    name="signals",
    path="/signals",
    title="Signals",
    query=("verdict", "stopped_by", "symbol", "broker", "strategy", "timeframe", "from", "to", "before"),
    load=choices,
    sections=(
        Section(name="signal-counts", load=counts, quickest_s=5.0, slowest_s=20.0),
        Section(name="signal-list", load=lines, quickest_s=1.0, slowest_s=10.0),
    ),
)
