"""What holds right now, at the top of every page: mode, health, kill switch, bare positions. Read without any I/O."""

from collections.abc import Mapping
from typing import Final

from bot.dashboard.parts import DashboardParts
from bot.layer4_risk.kill_words import levels, said

_WORTH_TELLING_S: Final = 1.0  # a stop goes out with the first fill; the venue's answer takes a moment


def state_of(parts: DashboardParts) -> Mapping[str, object]:
    """What `sections/state.html` shows; the same for every reader."""
    told = parts.health()
    return {
        "mode": str(told.get("mode", "")),
        "health": str(told.get("status", "unknown")),
        "held": levels(parts.kill.latches()),
        "held_by": said(parts.kill.latches()),
        "bare_s": bare_s if (bare_s := _bare_s(told)) >= _WORTH_TELLING_S else 0,
    }


def _bare_s(told: Mapping[str, object]) -> float:
    """How long some position has had no stop for all of it."""
    gaps = told.get("unprotected_s")
    return float(gaps["now"]) if isinstance(gaps, Mapping) else 0.0
