"""Wiring of the commands that look at a file of quotes."""

from pathlib import Path

from bot.clock import SystemClock
from bot.errors import UsageError
from bot.layer1_data.feeds.tick_files import TickSeries, read_ticks


def read_any_ticks(path: Path, first: int, rows: int | None) -> TickSeries:
    """`rows` rows of the file from row `first` on; all that follow, for None. Raises UsageError or DataError."""
    ticks = read_ticks(path, now=SystemClock().now())
    if rows is not None and rows < 1:
        raise UsageError(f"--rows {rows} must be at least 1")
    part = ticks.part(first, rows) if first >= 0 else None
    if part is None or not len(part):
        raise UsageError(f"--from {first}: the file has the quotes 0 to {int(ticks.rows[-1])}; name one of them")
    return part
