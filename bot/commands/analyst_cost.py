"""`botctl analyst cost`: dollars and tokens by day, symbol and model, and what is left of the budget."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.analyst_calls import ZERO, CallCosts, SpendCaps, SpendWindow
from bot.commands.output import check_writable, write_json
from bot.commands.status import find_daemon, settings_of_daemon
from bot.errors import UsageError
from bot.interfaces import Stores

_MOST_DAYS: Final = 3_660


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What was counted from `since` on. `entries`: opinions of a model after which an entry went on."""

    since: datetime
    spent: Mapping[SpendWindow, Decimal]
    caps: SpendCaps
    costs: Sequence[CallCosts]
    entries: int

    @property
    def total(self) -> Decimal:
        """Dollars."""
        return sum((each.usage.cost for each in self.costs), ZERO)

    @property
    def per_entry(self) -> Decimal | None:
        """Dollars for each entry that went on; None if there was none."""
        return self.total / self.entries if self.entries else None


def cost(
    *,
    days: Annotated[int, Parameter(help="How many days (UTC) to look back, today included.")] = 31,
    json: Annotated[Path | None, Parameter(help="Write the report to this file.")] = None,
    data: Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")] = None,
) -> None:
    """Show what asking the model has cost: budget used, then by day, symbol and model."""
    from bot.clock import SystemClock
    from bot.layer2_intelligence.analyst.budget import caps_of

    if not 1 <= days <= _MOST_DAYS:
        raise UsageError(f"--days {days} must be from 1 to {_MOST_DAYS:,}")
    check_writable(json)
    loaded = settings_of_daemon(data)
    if not loaded.settings.run.database_url:
        find_daemon(loaded.data_directory)  # says how to start one; its database runs as long as it does

    async def ask() -> CostReport:
        from bot.wiring.stored import stores_of_running_daemon

        async with stores_of_running_daemon(loaded) as stores:
            return await cost_report(stores, caps_of(loaded.settings.analyst), SystemClock().now(), days)

    report = asyncio.run(ask())
    if json is not None:
        write_json(json, report_json(report))
    show(report, Console(file=sys.stdout))


async def cost_report(stores: Stores, caps: SpendCaps, now: datetime, days: int) -> CostReport:
    """The report of the last `days` days."""
    since = SpendWindow.DAY.start(now) - timedelta(days=days - 1)
    return CostReport(
        since=since,
        spent=await stores.analyst_calls.spent(now),
        caps=caps,
        costs=await stores.analyst_calls.costs(since),
        entries=await stores.opinions.entered_since(since),
    )


def report_json(report: CostReport) -> dict[str, Any]:
    """The report for programs; dollars are strings."""
    return {
        "since": report.since.isoformat(),
        "dollars": str(report.total),
        "entries": report.entries,
        "dollars_per_entry": None if report.per_entry is None else str(report.per_entry),
        "budget": {
            each.value: {"spent": str(report.spent[each]), "cap": str(report.caps.of(each))} for each in SpendWindow
        },
        "rows": [
            {
                "day": each.day.isoformat(),
                "symbol": each.symbol,
                "model": each.model,
                "requests": each.requests,
                "answered": each.answered,
                "without_word": each.without_word,
                "input_tokens": each.usage.input_tokens,
                "cache_write_tokens": each.usage.cache_write_tokens,
                "cache_read_tokens": each.usage.cache_read_tokens,
                "output_tokens": each.usage.output_tokens,
                "dollars": str(each.usage.cost),
            }
            for each in report.costs
        ],
    }


def show(report: CostReport, console: Console) -> None:
    """The report for people."""
    for window in SpendWindow:
        console.print(f"this {window.value}: {_dollars(report.spent[window])} of {_dollars(report.caps.of(window))}")
    if not report.costs:
        console.print(f"Nothing was asked since {report.since.date()}.")
        return
    per_entry = "no entry went on yet" if report.per_entry is None else f"{_dollars(report.per_entry)} each"
    console.print(f"since {report.since.date()}: {_dollars(report.total)}; {report.entries:,} entries: {per_entry}")
    console.print(_table("day", report.costs, lambda each: each.day))
    console.print(_table("symbol", report.costs, lambda each: each.symbol or "-"))
    console.print(_table("model", report.costs, lambda each: each.model))
    if lost := sum(each.without_word for each in report.costs):
        console.print(f"{lost:,} of the requests without word of their cost, each counted at the most it can cost.")


def _table(name: str, costs: Sequence[CallCosts], group_of: Callable[[CallCosts], date | str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(name, no_wrap=True)
    for heading in ("dollars", "requests", "answered", "tokens in", "from cache", "tokens out"):
        table.add_column(heading, justify="right", no_wrap=True)
    groups: dict[str, list[CallCosts]] = {}
    for each in costs:
        groups.setdefault(str(group_of(each)), []).append(each)
    for group, members in groups.items():
        table.add_row(group, *_sums(members))
    return table


def _sums(costs: Sequence[CallCosts]) -> tuple[str, ...]:
    kept = sum(each.usage.cache_read_tokens for each in costs)
    read = kept + sum(each.usage.input_tokens + each.usage.cache_write_tokens for each in costs)
    counts = (sum(each.requests for each in costs), sum(each.answered for each in costs), read)
    share = f"{kept / read:.0%}" if read else "-"
    written = sum(each.usage.output_tokens for each in costs)
    return (
        _dollars(sum((each.usage.cost for each in costs), ZERO)),
        *(f"{n:,}" for n in counts),
        share,
        f"{written:,}",
    )


def _dollars(amount: Decimal) -> str:
    return f"${amount:.4f}"
