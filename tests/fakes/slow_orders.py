"""An order store that takes its time, as one behind a network: others run before each write and after its commit."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from bot.database.memory_orders import MemoryOrders
from bot.errors import CommitUnknown
from bot.interfaces import Clock
from bot.models import ClientOrderId, Fill, Order, OrderState, Position, PositionId, SignalId


class SlowOrders(MemoryOrders):
    """`MemoryOrders` with turns of the event loop around every write, and commits whose answer can get lost.

    `turns` is asked how many turns go by, before and after each; `lost_commits` counts the writes to come of which the
    caller only learns that the connection broke.
    """

    def __init__(self, clock: Clock, turns: Callable[[], int] = lambda: 1) -> None:
        super().__init__()
        self.turns = turns
        self.lost_commits = 0
        self._clock = clock

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        await self._wait()
        stored = await super().record_intent(orders, signal_id=signal_id, position=position)
        await self._committed()
        return stored

    async def transition(
        self,
        client_order_id: ClientOrderId,
        *,
        expected: OrderState,
        state: OrderState,
        cause: str,
        at: datetime,
        venue_order_id: str | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        await self._wait()
        await super().transition(
            client_order_id,
            expected=expected,
            state=state,
            cause=cause,
            at=at,
            venue_order_id=venue_order_id,
            quantity=quantity,
            price=price,
        )
        await self._committed()

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        await self._wait()
        new = await super().record_fill(fill, order=order, position=position)
        await self._committed()
        return new

    async def save_position(self, position: Position) -> None:
        await self._wait()
        await super().save_position(position)
        await self._committed()

    async def order(self, client_order_id: ClientOrderId) -> Order:
        found = await super().order(client_order_id)
        await self._wait()
        return found

    async def position(self, position_id: PositionId) -> Position:
        found = await super().position(position_id)
        await self._wait()
        return found

    async def orders_of(self, position_id: PositionId) -> Sequence[Order]:
        found = await super().orders_of(position_id)
        await self._wait()
        return found

    async def _committed(self) -> None:
        await self._wait()
        if self.lost_commits > 0:
            self.lost_commits -= 1
            raise CommitUnknown("the connection was lost during a commit; read the row back")

    async def _wait(self) -> None:
        for _ in range(self.turns()):
            await self._clock.sleep(0)
