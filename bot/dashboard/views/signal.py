"""Why, and why not: one signal step by step, from its candle to what came of it."""

from decimal import Decimal
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.asked import chosen
from bot.dashboard.views.rows import finding_verdict, first_failure, outcome_words, verdict_of
from bot.dashboard.views.signal_chart import chart_of
from bot.dashboard.views.signal_steps import steps_of, why
from bot.errors import UsageError
from bot.layer5_monitoring.story import Story, story_of
from bot.models import EntrySignal, FindingStatus, Position, SignalId


async def chart(parts: DashboardParts, query: Query) -> Context:
    """The signal and what its chart draws. Raises UsageError without an id, NotFound if there is no such signal."""
    told = await _story(parts, query)
    signal, drawn = told.record.signal, None
    if signal.symbol in parts.registry:
        found = parts.features(signal.symbol, signal.timeframe)
        drawn = chart_of(signal, parts.registry.get(signal.symbol), found, told.position) if found else None
    return {"signal": signal, "chart": drawn, "frame": signal.timeframe.value}


async def short(parts: DashboardParts, query: Query) -> Context:
    """How far it got and why no further, in one sentence and in steps."""
    told = await _story(parts, query)
    return {
        "verdict": verdict_of(told.record.status),
        "why": why(told),
        "failed": first_failure(told.record),
        "steps": steps_of(told),
    }


async def story(parts: DashboardParts, query: Query) -> Context:
    """Each step with all that is known of it."""
    told = await _story(parts, query)
    record, position = told.record, told.position
    checked = [each for each in record.findings if each.status in (FindingStatus.PASS, FindingStatus.FAIL)]
    return {
        "status": await parts.status(),
        "record": record,
        "signal": record.signal,
        "verdict": verdict_of(record.status),
        "why": why(told),
        "failed": first_failure(record),
        "findings": [(each, finding_verdict(each)) for each in record.findings],
        "checked": len(checked),
        "passed": sum(each.status is FindingStatus.PASS for each in checked),
        "opinion": told.opinion,
        "gate": told.gate,
        "orders": told.orders,
        "position": position,
        "outcome": told.outcome,
        "outcome_words": outcome_words,
        "risked": _ratio(position.risk_amount, position) if position else None,
        "reward_risk": _reward_risk(record.signal),
    }


async def _story(parts: DashboardParts, query: Query) -> Story:
    name = chosen(query, "id", SignalId)
    if name is None:
        raise UsageError("a signal page needs ?id=")
    return await story_of(parts.stores, name)


def _reward_risk(signal: EntrySignal) -> float | None:
    """Of the nearest target, from the price that the signal names."""
    if signal.entry is None or signal.stop_loss is None or not signal.targets or signal.entry == signal.stop_loss:
        return None
    return float(abs(signal.targets[0] - signal.entry) / abs(signal.entry - signal.stop_loss))


def _ratio(risk: Decimal, position: Position) -> Decimal | None:
    """Money at risk over what the position was worth, to see the leverage of the stop."""
    worth = position.entry_price * position.first_quantity * position.value_per_point
    return risk / worth if worth else None


SIGNAL: Final = Page(
    name="signal",
    path="/signal",
    title="Signal",
    query=("id",),
    in_menu=False,
    load=chart,
    sections=(
        Section(name="signal-why", load=short, quickest_s=1.0, slowest_s=10.0),
        Section(name="signal-story", load=story, quickest_s=1.0, slowest_s=10.0),
    ),
)
