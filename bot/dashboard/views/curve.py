"""The equity curve as the points of a small picture. Coordinates are floats: they are drawn, never traded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.models import PortfolioSnapshot
from bot.reports import EquityPoint

WIDTH: Final = 600
HEIGHT: Final = 120
_MARGIN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of `line` (SVG polyline) and `area` below it, the height of the first value, and what the picture says."""

    line: str
    area: str
    baseline: str
    low: Decimal
    high: Decimal
    change: Decimal
    first_at: datetime
    last_at: datetime


def equity_curve(snapshots: Sequence[PortfolioSnapshot | EquityPoint]) -> Curve | None:
    """The curve through at least two snapshots, oldest first; None if there are fewer."""
    if len(snapshots) < 2:
        return None
    values = [each.equity for each in snapshots]
    low, high = min(values), max(values)
    span_s = (snapshots[-1].at - snapshots[0].at).total_seconds()
    points = []
    for index, each in enumerate(snapshots):
        passed_s = (each.at - snapshots[0].at).total_seconds()
        share = passed_s / span_s if span_s > 0 else index / (len(snapshots) - 1)
        points.append(f"{share * WIDTH:.1f},{_height(each.equity, low, high)}")
    line = " ".join(points)
    return Curve(
        line=line,
        area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
        baseline=_height(values[0], low, high),
        low=low,
        high=high,
        change=values[-1] - values[0],
        first_at=snapshots[0].at,
        last_at=snapshots[-1].at,
    )


def _height(value: Decimal, low: Decimal, high: Decimal) -> str:
    share = float((value - low) / (high - low)) if high > low else 0.5
    return f"{HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN):.1f}"
