"""What a replay came to, as plain JSON types; two runs give the same bytes."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from statistics import mean, median

from bot.models import (
    CandleSeries,
    FindingStatus,
    Order,
    Outcome,
    OutcomeVerdict,
    Position,
    SignalRecord,
    StrategyTask,
)


def summary(
    *,
    tasks: Sequence[StrategyTask],
    series: CandleSeries,
    currency: str,
    starting_balance: Decimal,
    equity: float,
    max_drawdown: float,
    signals: Sequence[SignalRecord],
    orders: Sequence[Order],
    fills: int,
    closed: Sequence[Position],
    still_open: Sequence[Position],
    outcomes: Sequence[Outcome],
    incidents: int,
    kill_switch: str,
) -> dict[str, object]:
    """All figures of one replay. Money in `currency`, ratios 0..1, R-multiples after costs."""
    judged = [each for each in signals if each.status != "vetoed" or each.rejected_by == "MTF"]
    sent = [each for each in orders if each.role != "stop"]
    net = sum((each.net for each in closed), Decimal(0))
    return {
        "symbol": series.symbol,
        "timeframe": series.timeframe.value,
        "tasks": [each.id for each in tasks],
        "first": series.opened_at(0).isoformat(),
        "last": series.opened_at(len(series) - 1).isoformat(),
        "candles": len(series),
        "signals": len(signals),
        "accepted": len(judged),
        "rejected": len(signals) - len(judged),
        "rejected_by": dict(sorted(Counter(each.rejected_by for each in signals if each.rejected_by).items())),
        "failed_rules": _failed_rules(signals),
        "refused": sum(1 for each in signals if each.status == "refused"),
        "refused_by": dict(sorted(Counter(_code(each) for each in signals if each.status == "refused").items())),
        "orders": len(sent),
        "orders_by_state": dict(sorted(Counter(f"{each.role}:{each.state}" for each in orders).items())),
        "fills": fills,
        "positions": len(closed) + len(still_open),
        "open_positions": len(still_open),
        "exits": dict(sorted(Counter(each.exit_reason for each in closed).items())),
        "outcomes": len(outcomes),
        "outcomes_by_verdict": dict(sorted(Counter(each.verdict.value for each in outcomes).items())),
        "rejected_outcomes": _rejected_outcomes(outcomes),
        "currency": currency,
        "starting_balance": float(starting_balance),
        "pnl": round(equity - float(starting_balance), 8),
        "realised": round(float(net), 8),
        "fees": round(float(sum((each.fees for each in (*closed, *still_open)), Decimal(0))), 8),
        "max_drawdown": round(max_drawdown, 8),
        "win_rate": round(_share([each.net > 0 for each in closed]), 6) if closed else None,
        "r_multiples": _r_multiples(closed),
        "kill_switch": kill_switch,
        "incidents": incidents,
    }


def _failed_rules(signals: Sequence[SignalRecord]) -> dict[str, int]:
    """How often each rule failed, also behind the first failure; in rule order."""
    failed: dict[str, int] = {}
    for record in signals:
        for finding in record.findings:
            failed.setdefault(finding.code, 0)
            failed[finding.code] += finding.status is FindingStatus.FAIL
    return {code: count for code, count in failed.items() if count}


def _code(record: SignalRecord) -> str:
    return record.reason.split(":", 1)[0]


def _rejected_outcomes(outcomes: Sequence[Outcome]) -> dict[str, float | int]:
    """What the market did with signals that rules rejected: the raw material of a rule's worth."""
    rejected = [each for each in outcomes if not each.accepted]
    decided = [each.r for each in rejected if each.r is not None]
    return {
        "count": len(rejected),
        "target_hit": sum(1 for each in rejected if each.verdict is OutcomeVerdict.TARGET_HIT),
        "mean_r": round(mean(decided), 6) if decided else 0.0,
    }


def _r_multiples(closed: Sequence[Position]) -> dict[str, object]:
    values = [round(each.r_multiple, 6) for each in closed]
    if not values:
        return {"count": 0, "values": []}
    return {
        "count": len(values),
        "mean": round(mean(values), 6),
        "median": round(median(values), 6),
        "best": max(values),
        "worst": min(values),
        "values": values,
    }


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
