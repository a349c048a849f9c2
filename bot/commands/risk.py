"""`botctl risk`: limits used against allowed, and exposure, as the running daemon counts them."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from cyclopts import Parameter

from bot.commands.status import ask, find_daemon, settings_of_daemon
from bot.instruments import to_cents

_WORST: Final = "pending and unknown entries count where that is worse, and never make room"


def risk(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the daemon's JSON.")] = False,
    data: Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")] = None,
) -> None:
    """Show limits used per broker, and exposure per currency, group and strategy. Exit code 1 if no daemon runs, 6
    while its database is away."""
    loaded = settings_of_daemon(data)
    report = ask(find_daemon(loaded.data_directory), "/api/risk")
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


def show(report: Mapping[str, Any]) -> None:
    """The report as tables."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    latches = report["latches"]
    if not latches:
        console.print("Kill switch: not pressed.")
    for each in latches:
        where = f" at {each['broker_id']}" if each["broker_id"] else ""
        told = f"Kill switch: {each['level'].upper()}{where} by {each['by']} ({each['cause']}): {each['reason']}"
        console.print(Text(told, style="bold red"))
    for why in report["entries_blocked"]:
        console.print(Text(f"Entries are blocked: {why}", style="bold red"))
    limits = Table("limit", "where", "open now", "used (worst case)", "allowed", "share", title=f"Limits; {_WORST}")
    for each in report["limits"]:
        used, allowed = (_amount(each[name], each["unit"]) for name in ("used", "allowed"))
        held = "" if each["open"] is None else _amount(each["open"], each["unit"])
        full = each["used"] is not None and Decimal(each["used"]) >= Decimal(each["allowed"])
        style = "bold red" if full else ""
        limits.add_row(each["name"], each["scope"], held, Text(used, style=style), allowed, _share(each["share"]))
    console.print(limits)
    title = f"Signed exposure, {report['currency']}; worst case: the farthest from zero"
    exposure = Table("by", "name", "open now", "worst case", "positions", title=title)
    for kind, name in (("currency", "currencies"), ("group", "groups"), ("strategy", "strategies")):
        for each in report[name]:
            money = (f"{to_cents(Decimal(each[column])):+,.2f}" for column in ("open", "worst"))
            exposure.add_row(kind, Text(each["name"]), *money, str(each["positions"]))
    console.print(exposure if report["strategies"] else "No exposure: nothing is open or on its way.")
    gross_open, gross_worst, risk_open, risk_worst = (
        f"{to_cents(Decimal(report[name])):,.2f}" for name in ("gross_open", "gross_worst", "risk_open", "risk_worst")
    )
    console.print(f"Gross: {gross_open} open now, worst case {gross_worst} {report['currency']}.")
    console.print(f"If every stop is hit now: {risk_open} lost, worst case {risk_worst} {report['currency']}.")
    for each in report["unbounded"]:
        told = f"Not in that figure: {each}. Our record does not have it, and no stop bounds what it can lose."
        console.print(Text(told, style="bold red"))
    for each in report["unknown_orders"]:
        console.print(Text(f"fate unknown: {each}", style="bold red"))


def _amount(value: str | None, unit: str) -> str:
    if value is None:
        return "not known yet"
    number = Decimal(value)
    return {"share": f"{number:.2%}", "x equity": f"{number:.2f} x equity"}.get(unit, f"{number} {unit}")


def _share(value: str | None) -> str:
    return "" if value is None else f"{Decimal(value):.0%}"
