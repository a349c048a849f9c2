"""What is at stake: every limit used against allowed, exposure, and which entries would be refused now."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.net_exposure import Exposure
from bot.layer4_risk.outlook import is_full, obstacles
from bot.layer4_risk.usage import EVERYWHERE, UsedLimit

_NEARLY: Final = Decimal("0.8")
_FILLED_BY_TIME: Final = frozenset({"ENTRY_RATE", "TURNOVER_HOUR", "TURNOVER_DAY", "STRATEGY_RATE"})
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """One limit with its state in a word."""

    limit: UsedLimit
    word: str
    sign: str
    tone: str

    @classmethod
    def of(cls, limit: UsedLimit) -> "LimitRow":
        """Full, nearly full, or free."""
        if limit.used is None:
            return cls(limit=limit, word="not known: entries wait", sign="?", tone="loss")
        if is_full(limit):
            return cls(limit=limit, word="full", sign="■", tone="loss")
        if limit.share is not None and limit.share >= _NEARLY:
            return cls(limit=limit, word="nearly full", sign="◷", tone="wait")
        return cls(limit=limit, word="free", sign="✓", tone="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRow:
    """One currency, group or strategy, with its share of the largest of its kind."""

    exposure: Exposure
    share: float

    @property
    def may_change(self) -> bool:
        """Something is on its way, or of unknown fate, even where the worst case is that it never comes."""
        return self.exposure.lowest != self.exposure.highest


async def state(parts: DashboardParts, query: Query) -> Context:
    """Together: what is lost if every stop is hit, how much is held, and what nobody knows."""
    report, snapshot = await parts.risk(), await parts.stores.snapshots.latest()
    full = [each for each in report.limits if is_full(each)]
    return {
        "report": report,
        "equity": snapshot.equity if snapshot else None,
        "drawdown": snapshot.drawdown if snapshot else None,
        "full": len(full),
        "throttled": [each for each in full if each.code in _FILLED_BY_TIME],
        "limits": len(report.limits),
    }


async def entries(parts: DashboardParts, query: Query) -> Context:
    """What stands in the way of entries now."""
    report = await parts.risk()
    reasons: dict[tuple[str, bool], list[str]] = {}
    for each in obstacles(report, parts.registry, await parts.stores.orders.open_positions()):
        reasons.setdefault((each.entries, each.is_wide), []).append(each.says)
    return {"rows": [(*which, said) for which, said in reasons.items()]}


async def limits(parts: DashboardParts, query: Query) -> Context:
    """Every limit, by where it holds."""
    report = await parts.risk()
    brokers = sorted({each.broker_id for each in parts.registry})
    scopes = sorted({each.scope for each in report.limits}, key=lambda scope: (scope != EVERYWHERE, scope))
    tables = [
        (f"limits-{number}", _title(scope, scope in brokers), _limits_at(report, scope))
        for number, scope in enumerate(scopes)
    ]
    return {"tables": tables, "began_at": report.session_day_began_at}


async def exposure(parts: DashboardParts, query: Query) -> Context:
    """Signed exposure: open now, and in the worst case."""
    report = await parts.risk()
    kinds = (("Currency", report.currencies), ("Group", report.groups), ("Strategy", report.strategies))
    return {
        "report": report,
        "tables": [(f"exposure-{title.lower()}", title, _rows(rows)) for title, rows in kinds],
    }


def _limits_at(report: RiskReport, scope: str) -> list[LimitRow]:
    return [LimitRow.of(each) for each in report.limits if each.scope == scope]


def _title(scope: str, is_broker: bool) -> str:
    if scope == EVERYWHERE:
        return "Over all brokers"
    return f"At {scope}" if is_broker else f"Strategy {scope}"


def _rows(exposures: Sequence[Exposure]) -> list[ExposureRow]:
    most = max((abs(each.worst) for each in exposures), default=_ZERO)
    return [ExposureRow(exposure=each, share=float(abs(each.worst) / most) if most else 0.0) for each in exposures]


RISK: Final = Page(
    name="risk",
    path="/risk",
    title="Risk",
    sections=(
        Section(name="risk-state", load=state, quickest_s=1.0, slowest_s=2.0),
        Section(name="risk-entries", load=entries, quickest_s=1.0, slowest_s=3.0),
        Section(name="risk-limits", load=limits, quickest_s=1.0, slowest_s=3.0),
        Section(name="risk-exposure", load=exposure, quickest_s=1.0, slowest_s=3.0),
    ),
)
