"""What kind of venue is simulated."""

from dataclasses import dataclass
from decimal import Decimal

from bot.layer1_data.broker_interface import BrokerCapabilities, DuplicateIds
from bot.layer1_data.brokers.simulated.entries import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueTraits(BrokerCapabilities):
    """What the bot may ask (`BrokerCapabilities`), and below it how the venue does what nobody asks for.

    Without `stop_follows_position` stops are orders of their own: reduce-only, several beside each other, left resting
    when nothing is open any more. An attached one then grows with its entry's fills and never shrinks. With
    `stop_reserves` exits are ordinary sales, and an instrument's least notional holds for them too, as at Binance spot;
    elsewhere they are reduce-only, and only entries must be worth that much.

    `liquidity`: the most quantity filled per observation and instrument; None: any.
    `names_stops`: where it is False, the stop that follows a position is a level of it: whoever cancels any stop of
    that position takes this one away.
    `cumulative_fills`: a fill is named by its order and what that had filled by then.
    `visible_after_s`: orders show in answers so long after they were taken.
    `withheld_ratio`: so much of each purchase that opens is kept as its fee, in what was bought: what can be sold is
    then less than the fill, and whoever asks for more than that is refused.
    """

    duplicate_ids: DuplicateIds = DuplicateIds.PERMANENT
    attached_stop: bool = True
    stop_follows_position: bool = True
    amends_stop: bool = True
    streams_quotes: bool = True
    liquidity: Decimal | None = None
    names_stops: bool = True
    cumulative_fills: bool = False
    visible_after_s: float = 0
    withheld_ratio: Decimal = ZERO
