"""One model per class of venue (docs/order-safety.md): options of the simulated venue."""

from collections.abc import Mapping
from typing import Any, Final

from bot.layer1_data.broker_interface import DuplicateIds

ATTACHED: Final[Mapping[str, Any]] = {"duplicate_ids": DuplicateIds.OPEN_ONLY}  # OANDA
NAMELESS: Final[Mapping[str, Any]] = {"duplicate_ids": DuplicateIds.NONE, "names_stops": False}  # IG, MT5
FUTURES: Final[Mapping[str, Any]] = {
    "attached_stop": False,
    "stop_follows_position": False,
    "amends_stop": True,
    "duplicate_ids": DuplicateIds.OPEN_ONLY,
}
COINBASE: Final[Mapping[str, Any]] = {
    "attached_stop": True,
    "stop_follows_position": False,
    "amends_stop": False,
    "duplicate_ids": DuplicateIds.PERMANENT,
    "cumulative_fills": True,
}
TRADIER: Final[Mapping[str, Any]] = {
    "attached_stop": False,
    "stop_follows_position": False,
    "amends_stop": False,
    "duplicate_ids": DuplicateIds.NONE,
}
SPOT: Final[Mapping[str, Any]] = {**TRADIER, "stop_reserves": True, "duplicate_ids": DuplicateIds.OPEN_ONLY}
OURS_TO_SIZE: Final = {"futures": FUTURES, "coinbase": COINBASE, "tradier": TRADIER, "spot": SPOT}
EVERY_CLASS: Final = {"attached": ATTACHED, "nameless": NAMELESS, **OURS_TO_SIZE}
