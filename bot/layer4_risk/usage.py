"""How much of each limit is used. One home for the sums: the gate asks with the new entry added, the report without.

Pure. Limits of one broker are measured against its equity, limits over all brokers against all equity.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

from bot.config import RiskSettings
from bot.instruments import BrokerId, InstrumentRegistry, counted_as
from bot.layer4_risk.net_exposure import net_exposures
from bot.layer4_risk.stakes import ZERO, PastEntry, Stake
from bot.models import Direction

EVERYWHERE: Final = "all"
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLimit:
    """One limit: how much of it is used, in `unit` ("positions", "entries", "x equity", "share"), and the share of
    `allowed` that this is. None: not known now.

    `used` is the worst case that entries on their way can lead to. `open`, of limits in money, is what surely is open
    now in the same unit and on the same side: below zero if that is the other side; None where nothing is told apart.
    """

    code: str
    name: str
    scope: str
    used: Decimal | None
    allowed: Decimal
    unit: str
    open: Decimal | None = None
    share: Decimal | None = field(init=False)

    def __post_init__(self) -> None:
        known = self.used is not None and self.allowed > 0
        object.__setattr__(self, "share", self.used / self.allowed if known and self.used is not None else None)

    @property
    def is_count(self) -> bool:
        """It counts things, whatever their size."""
        return self.unit in ("positions", "entries")

    @property
    def is_exceeded(self) -> bool:
        """More is used than is allowed; what is not known is too much."""
        return self.used is None or self.used > self.allowed

    @property
    def says(self) -> str:
        """Used, allowed, and what of it is open, for a person."""
        used, allowed = self._text(self.used), self._text(self.allowed)
        if self.open is None:
            return f"{self.name} at {self.scope}: {used} of at most {allowed}"
        return f"{self.name} at {self.scope}: worst case {used} of at most {allowed}, open now {self._text(self.open)}"

    def _text(self, value: Decimal | None) -> str:
        if value is None:
            return "an unknown amount"
        if self.unit == "share":
            return f"{value:.2%}"
        return f"{value} {self.unit}" if self.is_count else f"{value:.2f} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that limits are measured on. `equity` of a broker that never answered is missing; `total` over all."""

    now: datetime
    settings: RiskSettings
    registry: InstrumentRegistry
    currency: str
    equity: Mapping[BrokerId, Decimal]
    total_equity: Decimal | None
    stakes: Sequence[Stake]
    entries: Sequence[PastEntry]

    def with_entry(self, stake: Stake) -> "Books":
        """As they would be if `stake` were approved now."""
        asked = PastEntry(at=self.now, stake=stake)
        return replace(self, stakes=(*self.stakes, stake), entries=(*self.entries, asked))


def used_limits(books: Books, brokers: Sequence[BrokerId]) -> tuple[UsedLimit, ...]:
    """Every limit of these brokers, then those over all brokers. Raises ConfigError for one without a limit."""
    return (*(row for each in brokers for row in _at_broker(books, each)), *_everywhere(books))


def correlated_name(group: str, direction: str) -> str:
    """Name of the limit of positions of one correlation group in one direction."""
    return f"correlated: {group} {direction}"


def net_name(currency: str, direction: str) -> str:
    """Name of the limit of one currency to one side."""
    return f"net {currency} {direction}"


def _at_broker(books: Books, broker_id: BrokerId) -> Iterator[UsedLimit]:
    settings, equity = books.settings, books.equity.get(broker_id)
    ours = [each for each in books.stakes if each.broker_id == broker_id]
    row = partial(_row, scope=broker_id)

    yield row("MAX_OPEN_POSITIONS", "positions", len(ours), settings.open_positions_at(broker_id), "positions")
    for (group, direction), count in _counted(ours, lambda each: (each.group(books.registry), each.direction)):
        name = correlated_name(group, direction)
        yield row("CORRELATED_EXPOSURE", name, count, settings.correlated_at(broker_id), "positions")
    gross = _over(sum((abs(each.worst) for each in ours), ZERO), equity)
    gross_open = _over(sum((abs(each.open) for each in ours), ZERO), equity)
    yield row("GROSS_LEVERAGE", "gross leverage", gross, settings.max_gross_leverage, "x equity", open_=gross_open)
    at_stops = _over(sum((each.risk_worst for each in ours), ZERO), equity)
    at_stops_open = _over(sum((each.risk_open for each in ours), ZERO), equity)
    allowed_risk = settings.max_open_risk_ratio
    yield row("OPEN_RISK", "risk if all stops are hit", at_stops, allowed_risk, "share", open_=at_stops_open)
    recent = [each for each in books.entries if each.stake.broker_id == broker_id]
    count = len(_since(recent, books.now - MINUTE))
    yield row("ENTRY_RATE", "entries in a minute", count, settings.max_entries_per_minute, "entries")
    for span, name, code, allowed in (
        (HOUR, "turnover in an hour", "TURNOVER_HOUR", settings.max_turnover_hour),
        (DAY, "turnover in 24 h", "TURNOVER_DAY", settings.max_turnover_day),
    ):
        turned = sum((abs(each.stake.worst) for each in _since(recent, books.now - span)), ZERO)
        yield row(code, name, _over(turned, equity), allowed, "x equity")


def _everywhere(books: Books) -> Iterator[UsedLimit]:
    settings, registry = books.settings, books.registry
    for (group, direction), count in _counted(books.stakes, lambda each: (each.group(registry), each.direction)):
        name, allowed = correlated_name(group, direction), settings.max_correlated_everywhere
        yield _row("CORRELATED_EVERYWHERE", name, count, allowed, "positions", scope=EVERYWHERE)
    for (strategy,), count in _counted(books.stakes, lambda each: (each.strategy,)):
        allowed = settings.max_positions_per_strategy
        yield _row("STRATEGY_POSITIONS", "positions of a strategy", count, allowed, "positions", scope=strategy)
    recent = _since(books.entries, books.now - MINUTE)
    for (strategy,), count in _counted(recent, lambda each: (each.stake.strategy,)):
        allowed = settings.max_entries_per_minute_strategy
        yield _row("STRATEGY_RATE", "entries in a minute", count, allowed, "entries", scope=strategy)
    yield from _currencies(books)


def _currencies(books: Books) -> Iterator[UsedLimit]:
    """Each side that a currency can get to is a limit of its own: an entry is judged on the side that it adds to,
    however much is on its way on the other. The account's own currency is no exposure: it is what is counted in."""
    nets = net_exposures(books.stakes, partial(_legs, books.registry))
    for net in sorted(nets, key=lambda each: each.name):
        for direction in Direction:
            farthest = net.farthest(direction)
            if farthest and net.name != counted_as(books.currency):
                yield _row(
                    "CURRENCY_EXPOSURE",
                    net_name(net.name, direction),
                    _over(farthest, books.total_equity),
                    books.settings.max_currency_exposure,
                    "x equity",
                    scope=EVERYWHERE,
                    open_=_over(direction.sign * net.open, books.total_equity),
                )


def _legs(registry: InstrumentRegistry, stake: Stake) -> Mapping[str, int]:
    """Its currencies as they are counted: of a dollar coin paid in dollars nothing is left."""
    found: dict[str, int] = defaultdict(int)
    for name, sign in stake.currencies(registry).items():
        found[counted_as(name)] += sign
    return found


def _row(
    code: str,
    name: str,
    used: Decimal | int | None,
    allowed: Decimal | int,
    unit: str,
    *,
    scope: str,
    open_: Decimal | None = None,
) -> UsedLimit:
    known = None if used is None else Decimal(used)
    return UsedLimit(code=code, name=name, scope=scope, used=known, allowed=Decimal(allowed), unit=unit, open=open_)


def _counted(things: Sequence[T], names_of: Callable[[T], tuple[str, ...]]) -> list[tuple[tuple[str, ...], int]]:
    found: dict[tuple[str, ...], int] = defaultdict(int)
    for each in things:
        found[names_of(each)] += 1
    return sorted(found.items())


def _since(entries: Sequence[PastEntry], instant: datetime) -> list[PastEntry]:
    return [each for each in entries if each.at > instant]


def _over(amount: Decimal, equity: Decimal | None) -> Decimal | None:
    """`amount` in multiples of equity; nothing is 0 whatever the equity, anything over no equity is not known."""
    if not amount:
        return ZERO
    return amount / equity if equity is not None and equity > 0 else None
