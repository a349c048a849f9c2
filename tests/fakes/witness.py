"""What the venues themselves know, in words that are the same for all of them: for checks that trust no daemon."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bot.instruments import BINANCE, OANDA, BrokerId, Rounding
from bot.interfaces import Clock
from bot.models import ORDER_ID_PREFIX, ClientOrderId, leg_of
from tests.fakes.binance import FakeBinance
from tests.fakes.binance_book import STOPS
from tests.fakes.oanda.server import FakeOanda

LOOK_EVERY_S: Final = 0.02
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry and all that became of it. `held` is what is left in whole steps, `stopped` what its stops cover."""

    entry: str
    symbol: str
    opened: Decimal
    closed: Decimal
    held: Decimal
    stopped: Decimal


@dataclass(slots=True, kw_only=True)
class Naked:
    """A time in which a position had no stop for all of it; `until` None: it still has none."""

    broker_id: BrokerId
    entry: str
    since: datetime
    until: datetime | None = None


class Witness:
    """Looks at the books far more often than anything there matters, and remembers when a stop was missing."""

    def __init__(self, *, binance: FakeBinance, oanda: FakeOanda, clock: Clock) -> None:
        self._entries: Mapping[BrokerId, Callable[[], list[Entry]]] = {
            BINANCE: lambda: binance_entries(binance),
            OANDA: lambda: oanda_entries(oanda),
        }
        self._executed: Mapping[BrokerId, Callable[[], Iterable[str]]] = {
            BINANCE: lambda: (each.client_id for each in binance.book.orders if each.executed),
            OANDA: lambda: oanda_executed(oanda),
        }
        self._clock = clock
        self._naked: list[Naked] = []
        self._open: dict[str, Naked] = {}

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Note which positions are without a stop now."""
        now = self._clock.now()
        missing: dict[str, BrokerId] = {}
        for broker_id, entries in self._entries.items():
            missing |= {each.entry: broker_id for each in entries() if each.stopped < each.held}
        for name, broker_id in missing.items():
            if name not in self._open:
                self._open[name] = Naked(broker_id=broker_id, entry=name, since=now)
                self._naked.append(self._open[name])
        for name in self._open.keys() - missing.keys():
            self._open.pop(name).until = now

    def testimony(self) -> dict[str, Any]:
        """All of it, as JSON can carry it with `default=str`."""
        self.look()
        return {
            "at": self._clock.now(),
            "entries": {name: [asdict(each) for each in entries()] for name, entries in self._entries.items()},
            "executed": {name: dict(Counter(ours(ids()))) for name, ids in self._executed.items()},
            "naked": [asdict(each) for each in self._naked],
        }


def ours(names: Iterable[str]) -> Iterable[str]:
    """Those that the bot has given."""
    return (each for each in names if each.startswith(ORDER_ID_PREFIX))


def oanda_executed(venue: FakeOanda) -> Iterable[str]:
    """An order that closes a trade has no name of its own: the bot writes that on the trade before."""
    for number, order in venue.book.orders.items():
        if order["state"] == "FILLED":
            yield _name(order) or venue.book.closed_under.get(number, "").partition(".")[0]


def oanda_entries(venue: FakeOanda) -> list[Entry]:
    """One per trade that bears a name."""
    stopped = {each["tradeID"] for each in venue.book.pending() if each["type"] == "STOP_LOSS"}
    return [
        Entry(
            entry=trade.name,
            symbol=trade.instrument,
            opened=abs(trade.initial),
            closed=abs(trade.initial) - abs(trade.units),
            held=abs(trade.units),
            stopped=abs(trade.units) if trade.id in stopped else ZERO,
        )
        for trade in venue.book.trades.values()
        if trade.name is not None
    ]


def binance_entries(venue: FakeBinance) -> list[Entry]:
    """One per stem of names: spot has orders and balances only."""
    found: dict[str, list[Any]] = {}
    for order in venue.book.orders:
        if order.client_id.startswith(ORDER_ID_PREFIX):
            found.setdefault(leg_of(ClientOrderId(order.client_id), "E0"), []).append(order)
    withheld: Counter[str] = Counter()
    for done in venue.book.trades:
        if done.commission_asset == venue.book.instruments[done.order.symbol].base_currency:
            withheld[done.order.client_id] += done.commission  # type: ignore[assignment]  # a Counter of Decimal
    told = []
    for name, orders in found.items():
        instrument = venue.book.instruments[orders[0].symbol]
        opened = sum((each.executed for each in orders if each.side == "BUY"), ZERO)
        closed = sum((each.executed for each in orders if each.side == "SELL"), ZERO)
        kept = sum((Decimal(withheld[each.client_id]) for each in orders), ZERO)
        stopped = sum((each.left for each in orders if each.kind in STOPS and each.is_open), ZERO)
        left = (opened - closed - kept) / instrument.quantity_step
        held = left.to_integral_value(rounding=Rounding.DOWN.value) * instrument.quantity_step
        told.append(
            Entry(entry=name, symbol=instrument.symbol, opened=opened, closed=closed, held=held, stopped=stopped)
        )
    return told


def _name(order: Mapping[str, Any]) -> str:
    return str((order.get("clientExtensions") or {}).get("id", ""))
