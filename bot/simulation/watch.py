"""Who looks at what passes a line."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from bot.instruments import BrokerId
from bot.models import ApprovedOrder, ClientOrderId, Fill, Quote, ReduceOrder, VenuePosition

Request = ApprovedOrder | ReduceOrder


class Watch:
    """One look at each thing that passes. The checks fill it in; by default nobody looks."""

    def __init__(self) -> None:
        self.sending: Callable[[BrokerId, ClientOrderId, Request | VenuePosition], None] = lambda *_: None
        self.not_sent: Callable[[ClientOrderId], None] = lambda _: None
        self.lost: Callable[[ClientOrderId], None] = lambda _: None
        self.told_beyond: Callable[[ClientOrderId], None] = lambda _: None
        self.refused_stop: Callable[[ClientOrderId], None] = lambda _: None
        self.worsened: Callable[[Sequence[Fill]], None] = lambda _: None
        self.doubled: Callable[[ClientOrderId], None] = lambda _: None
        self.moving_stop: Callable[[BrokerId, ClientOrderId, Decimal], None] = lambda *_: None
        self.resizing_stop: Callable[[ClientOrderId, Decimal], None] = lambda *_: None
        self.resized_stop: Callable[[ClientOrderId, Decimal], None] = lambda *_: None
        self.cancelling: Callable[[BrokerId, ClientOrderId], None] = lambda *_: None
        self.told_absent: Callable[[ClientOrderId], None] = lambda _: None
        self.told_bad_quote: Callable[[Quote], None] = lambda _: None
        self.told_replaced: Callable[[ClientOrderId, str | None], None] = lambda *_: None
