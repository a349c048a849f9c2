"""The curve of falls and the histogram as shapes of small pictures. Coordinates are drawn, never traded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.reports import HISTOGRAM_STEPS, Bucket, EquityPoint, bucket_ends

WIDTH: Final = 600
HEIGHT: Final = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Underwater:
    """Points of `line` and of the `area` above it; `deepest` as a share of the peak."""

    line: str
    area: str
    deepest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRow:
    """One step of the histogram in words, with its `share` of the fullest one."""

    says: str
    trades: int
    share: float
    tone: str


def underwater(points: Sequence[EquityPoint]) -> Underwater | None:
    """How far below the peak, over time; None for fewer than two points."""
    if len(points) < 2:
        return None
    begin, span_s = points[0].at, (points[-1].at - points[0].at).total_seconds()
    deepest = max(max(each.drawdown for each in points), 0.0)
    scale = HEIGHT / deepest if deepest else 0.0
    drawn = [
        f"{(each.at - begin).total_seconds() / span_s * WIDTH:.1f},{max(each.drawdown, 0.0) * scale:.1f}"
        for each in points
    ]
    line = " ".join(drawn)
    return Underwater(line=line, area=f"0,0 {line} {WIDTH},0", deepest=deepest)


def histogram(buckets: Sequence[Bucket]) -> Sequence[BucketRow]:
    """Every step from the lowest to the highest one that has a trade, empty ones too."""
    if not buckets:
        return ()
    counted = {each.low: each.trades for each in buckets}
    numbers = [number for number in range(HISTOGRAM_STEPS + 2) if bucket_ends(number)[0] in counted]
    most = max(counted.values())
    return [_bucket_row(*bucket_ends(number), counted, most) for number in range(numbers[0], numbers[-1] + 1)]


def _bucket_row(low: float | None, high: float | None, counted: dict[float | None, int], most: int) -> BucketRow:
    trades = counted.get(low, 0)
    if low is None:
        says = f"below {_number(high)}"
    else:
        says = f"{_number(low)} and more" if high is None else f"{_number(low)} to {_number(high)}"
    tone = "loss" if low is None or low < 0 else "gain"
    return BucketRow(says=says, trades=trades, share=trades / most, tone=tone)


def _number(value: float | None) -> str:
    return f"{value or 0.0:+.1f}".replace("-", "−").replace("+0.0", "0.0")
