"""Alerts as text: for a chat, with everything, and for a phone, in one part. Pure."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from bot.alerts import Alert, Severity

_MARKS: Final = {Severity.INFO: "i", Severity.WARNING: "WARNING", Severity.CRITICAL: "CRITICAL"}
LONGEST_MESSAGE: Final = 3_500  # the service takes 4096 after parsing; how it counts is not told
LONGEST_CAPTION: Final = 1_000  # of a picture; the service takes 1024
_LONGEST_SMS: Final = 160
_GSM_SAFE: Final = frozenset(
    "@$\n !\"#%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)  # of GSM-7 what is one septet, and the same letter in ASCII


def chat_text(alerts: Sequence[Alert], longest: int = LONGEST_MESSAGE) -> str:
    """One message for one or several alerts; the first line says it all, the last one names the alert."""
    if len(alerts) == 1:
        alert = alerts[0]
        foot = f"/ack {alert.id}" if alert.severity is Severity.CRITICAL else alert.id
        last = f"\n{_when(alert)}   {foot}"
        said = f"{_first_line(alert)}\n{alert.body}" if alert.body else _first_line(alert)
        return cut(said, longest - len(last)) + last
    worst = max((each.severity for each in alerts), key=lambda each: each.rank)
    lines = [f"{_MARKS[worst]}: {len(alerts)} alerts", *(f"{_first_line(each)}   {each.id}" for each in alerts)]
    return cut("\n".join(lines), longest)


def sms_text(alert: Alert, *, name: str) -> str:
    """One part of GSM-7: a letter outside of it would make the message longer and dearer."""
    head = f"{name} {alert.id} CRITICAL "
    plain = unicodedata.normalize("NFKD", alert.title)
    letters = "".join(each if each in _GSM_SAFE else " " for each in plain if not unicodedata.combining(each))
    return (head + " ".join(letters.split()))[:_LONGEST_SMS]


def cut(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text` in one message."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _first_line(alert: Alert) -> str:
    again = f" ({alert.count} times)" if alert.count > 1 else ""
    return f"{_ended(alert)}{_MARKS[alert.severity]}: {alert.title}{again}"


def _ended(alert: Alert) -> str:
    if alert.resolved_at is not None:
        return f"resolved after {_span((alert.resolved_at - alert.raised_at).total_seconds())}: "
    return f"taken by {alert.acked_by}: " if alert.acked_at is not None else ""


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"


def _when(alert: Alert) -> str:
    return f"{alert.raised_at:%Y-%m-%d %H:%M:%S} UTC"
