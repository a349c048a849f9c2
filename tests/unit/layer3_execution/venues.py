"""One model per class of venue (docs/order-safety.md)."""

from dataclasses import replace
from typing import Final

from bot.layer1_data.broker_interface import DuplicateIds
from bot.layer1_data.brokers.simulated.traits import VenueTraits

_OWN_STOPS: Final = VenueTraits(attached_stop=False, stop_follows_position=False, amends_stop=False)

ATTACHED: Final = VenueTraits(duplicate_ids=DuplicateIds.OPEN_ONLY)  # OANDA
NAMELESS: Final = VenueTraits(duplicate_ids=DuplicateIds.NONE, names_stops=False)  # IG, MT5
FUTURES: Final = replace(_OWN_STOPS, amends_stop=True, duplicate_ids=DuplicateIds.OPEN_ONLY)
COINBASE: Final = replace(_OWN_STOPS, attached_stop=True, duplicate_ids=DuplicateIds.PERMANENT, cumulative_fills=True)
TRADIER: Final = replace(_OWN_STOPS, duplicate_ids=DuplicateIds.NONE)
SPOT: Final = replace(TRADIER, stop_reserves=True, duplicate_ids=DuplicateIds.OPEN_ONLY)
OURS_TO_SIZE: Final = {"futures": FUTURES, "coinbase": COINBASE, "tradier": TRADIER, "spot": SPOT}
EVERY_CLASS: Final = {"attached": ATTACHED, "nameless": NAMELESS, **OURS_TO_SIZE}
