"""What a simulated venue keeps of orders and positions, and what one observation shows it. No logic but their own."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.instruments import Symbol
from bot.models import ClientOrderId, Direction, OrderKind, OrderRole, OrderState, Side

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
REPEATED: Final = "~"


@dataclass(slots=True, kw_only=True, eq=False)
class BookOrder:
    """One order at the venue. `price` is the limit or the trigger (0 for a market order); `entry_order_id` names the
    position it belongs to. `client_order_id` is the venue's key: where an id may come again, the later orders have a
    mark behind it, which nobody outside is told.

    An entry carries what will be attached at its first fill (`attached_*`), and the worst price that it takes (`bound`;
    None: any, or its limit). The quantity of a protective stop follows
    its position. `armed` is False until a price was seen after the order came: until then no path led to its trigger.
    """

    client_order_id: ClientOrderId
    venue_order_id: str
    symbol: Symbol
    side: Side
    role: OrderRole
    kind: OrderKind
    quantity: Decimal
    price: Decimal
    entry_order_id: ClientOrderId
    attached_id: ClientOrderId | None = None
    attached_venue_id: str = ""
    attached_stop: Decimal = ZERO
    bound: Decimal | None = None
    state: OrderState = OrderState.WORKING
    reason: str = ""
    filled: Decimal = ZERO
    triggered: bool = False
    armed: bool = False

    @property
    def told_id(self) -> ClientOrderId:
        """The client's id, without the mark of a repeat."""
        return ClientOrderId(self.client_order_id.partition(REPEATED)[0])

    @property
    def left(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.filled


@dataclass(slots=True, kw_only=True, eq=False)
class BookPosition:
    """What is left of one entry. `reach` is the best exit-side price since it opened or since the last jump: a stop
    moved beyond the price is never filled better than that. `conversion` is the last rate to account currency.
    `quantity` is what can be sold, whole steps; `dust` what fees have left beside it, less than one."""

    entry_order_id: ClientOrderId
    symbol: Symbol
    direction: Direction
    quantity: Decimal
    average_price: Decimal
    stop: BookOrder | None
    reach: Decimal
    conversion: Decimal = ONE
    in_range: bool = False
    dust: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One exchange. `profit` is in quote currency, zero for entries; `withheld` is what the venue kept of it."""

    order: BookOrder
    position: BookPosition
    quantity: Decimal
    price: Decimal
    profit: Decimal
    cause: str
    at: datetime
    withheld: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Sweep:
    """The prices one observation passed through; a point has equal lows and highs. `gap`: reached by a jump."""

    bid_low: Decimal
    bid_high: Decimal
    ask_low: Decimal
    ask_high: Decimal
    at: datetime
    gap: bool
    is_point: bool
