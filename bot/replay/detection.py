"""Everything the detectors find in a stretch of candles, as objects for the chart and as plain values for a file.

Indices count the candles of the stretch, and indicators start at its first candle: what lies before is not known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.config import DivergenceSettings
from bot.errors import UsageError
from bot.layer2_intelligence.indicators.columns import feature_columns
from bot.layer2_intelligence.indicators.confluence import MarketShapes, market_shapes
from bot.layer2_intelligence.indicators.divergence import divergences
from bot.layer2_intelligence.indicators.pivots import Pivots, pivot_lows
from bot.layer2_intelligence.indicators.setups import setups
from bot.layer2_intelligence.structure_events import confluence_json, gap_json, structure_json, sweep_json
from bot.models import CandleSeries, Direction, Divergence, DivergenceSetup, FeatureColumns

WHAT: Final = ("pivots", "divergences", "setups", "fvgs", "structure", "sweeps", "confluence")
_DIGITS: Final = 12
_SIDE_NAMES: Final = {Direction.LONG: "bull", Direction.SHORT: "bear"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """All events of `series`; `left` and `right` are the candles beside a full pivot."""

    series: CandleSeries
    columns: FeatureColumns
    left: int
    right: int
    highs: Pivots
    lows: Pivots
    divergences: Sequence[Divergence]
    setups: Sequence[DivergenceSetup]
    shapes: MarketShapes


def parse_what(text: str) -> tuple[str, ...]:
    """The detectors named in a comma-separated list, in their fixed order; "all" names every one. Raises UsageError."""
    names = [each.strip().lower() for each in text.split(",") if each.strip()]
    unknown = [each for each in names if each not in (*WHAT, "all")]
    if unknown or not names:
        wrong = unknown[0] if unknown else text
        raise UsageError(f"--what {wrong!r} is no detector; use all, or a comma-separated list of {', '.join(WHAT)}")
    return WHAT if "all" in names else tuple(each for each in WHAT if each in names)


def detect(series: CandleSeries, settings: DivergenceSettings, *, bandwidth_lookback: int) -> Detection:
    """Run every detector over `series`. Never fails on short, flat or volumeless series: it then finds less."""
    columns = feature_columns(series, bandwidth_lookback=bandwidth_lookback)
    events = divergences(series, columns, settings)
    sides = [
        pivot_lows(values, series.segment, left=settings.left, right=settings.right)
        for values in (-series.high, series.low)
    ]
    return Detection(
        series=series,
        columns=columns,
        left=settings.left,
        right=settings.right,
        highs=sides[0],
        lows=sides[1],
        divergences=events,
        setups=setups(events, columns.atr, settings),
        shapes=market_shapes(series, columns.atr),
    )


def detection_json(found: Detection, what: Sequence[str]) -> dict[str, Any]:
    """The events of the detectors named in `what`, as JSON types; floats have 12 significant digits, NaN is None."""
    shapes = found.shapes
    parts: dict[str, Any] = {
        "pivots": {
            "L": found.left,
            "R": found.right,
            "highs": pivot_pairs(found.highs),
            "lows": pivot_pairs(found.lows),
        },
        "divergences": [divergence_json(each) for each in found.divergences],
        "setups": [setup_json(each) for each in found.setups],
        "fvgs": [gap_json(each) for each in shapes.gaps],
        "structure": [structure_json(each) for each in shapes.structure],
        "sweeps": [
            {name: value for name, value in sweep_json(each).items() if name != "strength"} for each in shapes.sweeps
        ],
        "confluence": [confluence_json(each) for each in shapes.confluence],
    }
    return {name: plain(parts[name]) for name in what}


def divergence_json(event: Divergence) -> dict[str, Any]:
    """A divergence with plain values, named as in SPEC section 4."""
    return {
        "osc": event.oscillator,
        "kind": event.kind.value,
        "dir": _SIDE_NAMES[event.direction],
        "p1": event.p1,
        "p2": event.p2,
        "q1": event.q1,
        "q2": event.q2,
        "price1": event.price1,
        "price2": event.price2,
        "osc1": event.osc1,
        "osc2": event.osc2,
        "known_at": event.known_at,
    }


def setup_json(setup: DivergenceSetup) -> dict[str, Any]:
    """A setup with plain values, named as in SPEC section 4."""
    return {
        "known_at": setup.known_at,
        "dir": _SIDE_NAMES[setup.direction],
        "kind": setup.kind.value,
        "p1": setup.p1,
        "p2": setup.p2,
        "oscillators": list(setup.oscillators),
        "families": list(setup.families),
        "score": setup.score,
    }


def pivot_pairs(pivots: Pivots) -> list[list[int]]:
    """[index, known_at] of each pivot."""
    return [list(pair) for pair in zip(pivots.at.tolist(), pivots.known_at.tolist(), strict=True)]


def plain(value: Any) -> Any:
    """`value` with every float cut to 12 significant digits; what JSON cannot hold becomes None."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value
