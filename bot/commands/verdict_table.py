"""Every rule's answer as a table, for the commands that explain a judgement."""

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bot.models import DivergenceClaim, Finding, FindingStatus

_STYLES = {
    FindingStatus.PASS: "green",
    FindingStatus.FAIL: "bold red",
    FindingStatus.OFF: "dim",
    FindingStatus.NOT_APPLICABLE: "dim",
}


def rules_table(findings: Sequence[Finding], rejected_by: str) -> Table:
    """Number, name, measured value, limit and verdict of each rule, in order; the first failure is marked."""
    table = Table(title="rules, in order; the first failure names the rejection", title_justify="left", box=None)
    table.add_column("no", justify="right")
    table.add_column("rule")
    table.add_column("measured", justify="right", overflow="fold")
    table.add_column("limit")
    table.add_column("verdict")
    for each in findings:
        verdict = Text(each.status.value, style=_STYLES[each.status])
        if each.code == rejected_by:
            verdict.append(" first")
        table.add_row(each.code, each.name, Text(measured_text(each.measured)), Text(each.limit), verdict)
    return table


def measured_text(measured: float | str) -> str:
    """What a rule measured, for a person."""
    if isinstance(measured, str):
        return measured or "-"
    return "missing" if math.isnan(measured) else f"{measured:.6g}"


def claim_table(claim: DivergenceClaim, findings: Sequence[Finding], true_prices: str = "") -> Table:
    """Each claim beside what the evidence rules found; `true_prices` says what the candles show, if they are here."""
    by_code = {each.code: each for each in findings}
    table = Table(title="the claim against the candles", title_justify="left", box=None)
    for heading in ("claimed", "rule", "the candles show", "verdict"):
        table.add_column(heading, overflow="fold")
    for code, said, found in _claims(claim, by_code):
        finding = by_code.get(code)
        shown = f"{found} ({true_prices})" if code == "E3" and true_prices else found
        if finding is not None:
            verdict = Text(finding.status.value, style=_STYLES[finding.status])
            table.add_row(Text(said), f"{code} {finding.name}", Text(shown), verdict)
    return table


def _claims(claim: DivergenceClaim, by_code: dict[str, Finding]) -> list[tuple[str, str, str]]:
    """(rule, what was said, what the rule found) for each part of the claim."""

    def found(code: str, unit: str = "{}") -> str:
        measured = by_code[code].measured if code in by_code else math.nan
        if isinstance(measured, float) and math.isnan(measured):
            return "nothing could be measured"
        return unit.format(measured_text(measured))

    def wrong(code: str, good: str, bad: str) -> str:
        passed = code in by_code and by_code[code].status is FindingStatus.PASS
        return good if passed else f"{bad}: {found(code)}"

    times = f"pivots at {_text(claim.p1_at)} and {_text(claim.p2_at)}"
    prices = f"pivot prices {claim.p1_price} and {claim.p2_price}, and the entry"
    claimed: object = claim.oscillators  # by hand it may be anything
    names = ", ".join(map(str, claimed)) if isinstance(claimed, tuple) else str(claimed)
    return [
        ("E1", "a whole claim of this snapshot", wrong("E1", "every field is well formed", "malformed")),
        ("E2", times, wrong("E2", "candles opened then, in this order", "wrong")),
        ("E3", prices, wrong("E3", "the candles have these prices", "not the candles' prices")),
        ("E4", "both are pivots", wrong("E4", "pivots are there", "pivot missing")),
        ("E5", "the pivots belong together", found("E5", "{} candles apart")),
        ("E6", f"{_text(claim.kind)}: price goes the claimed way", found("E6", "by {} ATR")),
        ("E7", f"diverging: {names}", found("E7", "left after recomputing: {}")),
        ("E8", "nothing crosses the lines", wrong("E8", "the lines are clear", "crossed lines")),
        ("E9", "there was a move between the pivots", found("E9", "{} ATR")),
        ("E10", "fresh, unbroken and near", wrong("E10", found("E10", "known {} candles ago, unbroken, near"), "but")),
        ("E11", "enough data behind it", wrong("E11", "history without holes", "but")),
        ("11", "RSI agrees enough", found("11", "{} points the claimed way")),
    ]


def _text(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if hasattr(value, "strftime") else str(value)
