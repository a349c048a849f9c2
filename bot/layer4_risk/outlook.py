"""Which entries would be refused now, whatever signal came, and why. Pure: worked out from what the limits already use.

The gate itself decides with the sized entry in hand; a limit that is not full here may still be too small for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.instruments import Instrument, InstrumentRegistry, Symbol, counted_as
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.usage import EVERYWHERE, UsedLimit, correlated_name
from bot.models import Direction, KillLevel, Position

_OF_ITS_SCOPE = frozenset({"STRATEGY_POSITIONS", "STRATEGY_RATE"})
_CORRELATED = frozenset({"CORRELATED_EXPOSURE", "CORRELATED_EVERYWHERE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Entries that would be refused: which, because of what, and whether that is every entry of a broker or more."""

    code: str
    entries: str
    says: str
    is_wide: bool = False


def obstacles(report: RiskReport, registry: InstrumentRegistry, positions: Sequence[Position]) -> tuple[Obstacle, ...]:
    """Everything that stands in the way now, what stops most first."""
    found = (*_pressed(report), *_full(report, registry), *_held(positions))
    return tuple(sorted(found, key=lambda each: not each.is_wide))


def is_full(limit: UsedLimit) -> bool:
    """One more entry would pass it; what is not known is full."""
    if limit.used is None:
        return True
    if limit.is_count:
        return limit.used + 1 > limit.allowed
    return limit.used > limit.allowed if limit.code == "DAILY_LOSS" else limit.used >= limit.allowed


def _pressed(report: RiskReport) -> Iterator[Obstacle]:
    for latch in report.latches:
        if latch.level is not KillLevel.NONE:
            entries = f"every entry at {latch.broker_id}" if latch.broker_id else "every entry"
            yield Obstacle(code="KILL_SWITCH", entries=entries, says=latch.says, is_wide=True)
    for each in report.entries_blocked:
        yield Obstacle(code="RECONCILING", entries="entries that a difference is about", says=each, is_wide=True)


def _full(report: RiskReport, registry: InstrumentRegistry) -> Iterator[Obstacle]:
    for limit in report.limits:
        if not is_full(limit) or limit.code == "DRAWDOWN":  # that one presses the kill switch
            continue
        wide = False
        if limit.code in _CORRELATED:
            entries = _correlated(limit, registry)
        elif limit.code == "CURRENCY_EXPOSURE":
            entries = _adding_to(limit, registry)
        elif limit.code in _OF_ITS_SCOPE:
            entries = f"every entry of {limit.scope}"
        else:
            entries, wide = f"every entry at {limit.scope}", True
        if entries:
            yield Obstacle(code=limit.code, entries=entries, says=limit.says, is_wide=wide)


def _correlated(limit: UsedLimit, registry: InstrumentRegistry) -> str:
    for direction in Direction:
        members = [
            each.symbol
            for each in registry
            if limit.scope in (EVERYWHERE, each.broker_id)
            and limit.name == correlated_name(each.correlation_group or each.symbol, direction)
        ]
        if members:
            return f"{direction.value} {', '.join(sorted(members))}"
    return ""


def _adding_to(limit: UsedLimit, registry: InstrumentRegistry) -> str:
    currency, _, side = limit.name.removeprefix("net ").rpartition(" ")  # `net_name`
    longs, shorts = _pushing(currency, Direction(side).sign, registry)
    told = [f"{word} {', '.join(names)}" for word, names in (("long", longs), ("short", shorts)) if names]
    return "; ".join(told)


def _pushing(currency: str, sign: int, registry: InstrumentRegistry) -> tuple[list[Symbol], list[Symbol]]:
    """Instruments whose purchase, and those whose sale, adds to a net holding of that sign."""
    longs = sorted(each.symbol for each in registry if _weight(each, currency) * sign > 0)
    shorts = sorted(each.symbol for each in registry if _weight(each, currency) * sign < 0)
    return longs, shorts


def _weight(instrument: Instrument, currency: str) -> int:
    base, quote = counted_as(instrument.base_currency), counted_as(instrument.quote_currency)
    return (base == currency) - (quote == currency)


def _held(positions: Sequence[Position]) -> Iterator[Obstacle]:
    for each in positions:
        state = "waits for its entry" if each.is_pending else "is open"
        yield Obstacle(
            code="TASK_HAS_POSITION",
            entries=f"a second entry of {each.task_id}",
            says=f"its {each.direction.value} {each.symbol} {state}; a task holds one position at a time",
        )
