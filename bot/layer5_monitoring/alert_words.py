"""Journal entries and the daemon's health, as notices in words for people. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from bot.alerts import Notice, Severity
from bot.instruments import to_cents
from bot.models import JournalEntry

_LONGEST_TITLE: Final = 300
_LONGEST_VALUE: Final = 300
_MOST_FACTS: Final = 20
_ABOUT: Final = ("position", "order", "subject", "fill", "broker", "symbol")  # what tells two incidents apart, in turn
_NAKED: Final = "position without a stop"
# What a person must do something about now; other incidents are settled by the daemon and worth a look.
_CRITICAL: Final = (
    "kill switch: not done yet",
    _NAKED,
    "unprotected position is closed",
    "closed at the venue, fills unknown",
    "more was filled than ordered",
    "more closed than was opened",
    "order cannot be settled",
    "unknown position",
)
_NEXT: Final[Mapping[str, str]] = {
    "kill switch: not done yet": "it is tried again by itself; look at the venue, close by hand if it goes on",
    _NAKED: "a stop is placed again, or the position closed; look at /positions",
    "order cannot be settled": "see ./botctl reconcile, and the venue's own page",
}
_SEVERITY_OF_LEVEL: Final = {"pause": Severity.WARNING, "flatten": Severity.CRITICAL, "halt": Severity.CRITICAL}


def notice_of(entry: JournalEntry) -> Notice | None:
    """What a person should know of one entry; None if nothing."""
    words = _WORDS.get(entry.kind)
    return words(entry.data) if words is not None else None


def ended_by(entry: JournalEntry) -> str:
    """The key of what one entry ends; empty if nothing."""
    rests = entry.kind == "protection" and entry.data.get("what") == "stop rests again"
    if rests or entry.kind == "position_closed":
        return _incident_key(_NAKED, str(entry.data.get("position")))
    return ""


def conditions_of(health: Mapping[str, object]) -> Sequence[Notice]:
    """What is wrong with the daemon now, of `Supervisor.health`; each lasts until it is missing here."""
    refused = _listed(health, "keys_refused")
    return [
        *(_blocked(each, refused) for each in _listed(health, "entries_blocked")),
        *(_failing(each) for each in _listed(health, "failing_jobs")),
    ]


def _listed(health: Mapping[str, object], name: str) -> list[str]:
    found = health.get(name)
    return [str(each) for each in found] if isinstance(found, list) else []


def _blocked(why: str, refused: Sequence[str]) -> Notice:
    broker = why.replace(":", " ").split(" ", 1)[0]
    if broker in refused:
        return _key_refused(broker, why)
    return Notice(
        key=f"blocked {broker}",
        severity=Severity.WARNING,
        title=_short(f"{broker}: no new entries ({why}); exits and stops go on"),
        body="Next: ./botctl reconcile shows differences, ./botctl doctor what the venue describes otherwise; one that "
        "does not answer is asked again by itself.",
        lasts=True,
    )


def _key_refused(broker: str, why: str) -> Notice:
    """A person has to act: until then nothing but the stops that rest there protects what is open."""
    return Notice(
        key=f"key {broker}",
        severity=Severity.CRITICAL,
        title=f"{broker} refuses our key: nothing can be opened, moved or closed there; its own stops rest",
        body=f"{_short(why)}\n"
        "Next: look after what is open on the venue's own page; let the key in again there, or set a new one and start "
        "again (./botctl doctor names the settings). Our record is compared first, then entries go on.",
        lasts=True,
    )


def _failing(job: str) -> Notice:
    return Notice(
        key=f"job {job}",
        severity=Severity.CRITICAL if job.partition(" ")[0] in ("monitor", "protection") else Severity.WARNING,
        title=f"job {job} fails; it is run again at its interval",
        body="Next: ./botctl status shows the error, the log has all of it.",
        lasts=True,
    )


def _incident(data: Mapping[str, object]) -> Notice:
    what = str(data.get("what", "incident"))
    about = next((str(data[each]) for each in _ABOUT if data.get(each)), "")
    where = " ".join(str(data[each]) for each in ("symbol", "broker") if data.get(each)) or about
    then = _NEXT.get(what, "look at ./botctl reconcile and /positions")
    return Notice(
        key=_incident_key(what, about),
        severity=Severity.CRITICAL if what in _CRITICAL else Severity.WARNING,
        title=_short(f"{where}: {what}; {then}" if where else f"{what}; {then}"),
        body=_facts(data, without=("what",)),
    )


def _kill(data: Mapping[str, object]) -> Notice:
    if data.get("what") == "done":
        flat = "every position is closed" if data.get("flat") else "no working entry is left"
        return Notice(key="kill done", severity=Severity.WARNING, title=f"kill switch: {flat}")
    level, broker = str(data.get("level", "")), str(data.get("broker") or "everywhere")
    told = f"{level.upper()} {broker} by {data.get('by')} ({data.get('cause')})"
    if data.get("released"):
        return Notice(key=f"kill released {told}", severity=Severity.WARNING, title=f"kill switch released: {told}")
    return Notice(
        key=f"kill {told} {data.get('pressed_at')}",
        severity=_SEVERITY_OF_LEVEL.get(level, Severity.WARNING),
        title=_short(f"kill switch: {told}: {data.get('reason') or 'no reason given'}; ./botctl resume ends it"),
    )


def _key(data: Mapping[str, object]) -> Notice:
    """That it is refused lasts, and is told by the health; that it is over is news."""
    broker = data.get("broker")
    title = f"{broker} takes our key again and was compared with our record; entries wait only for what differs"
    if data.get("what") != "accepted again":
        title = f"{broker} has taken no order yet since it refused one for our key; the next entry tries it again"
    return Notice(key=f"key accepted {broker}", severity=Severity.WARNING, title=title)


def _signal(data: Mapping[str, object]) -> Notice | None:
    if data.get("status") != "ordered":
        return None
    said = f"{data.get('symbol')} {data.get('direction')}: entry {data.get('entry')}, stop {data.get('stop')}"
    title = f"signal {said}, ordered; /why {data.get('signal')}"
    return Notice(
        key=f"signal {data.get('signal')}",
        severity=Severity.INFO,
        title=_short(title),
        body=_facts(data, without=("symbol", "direction", "failed", "code", "reason")),
    )


def _price(value: object) -> str:
    """An average of several fills has as many digits as the division gives: eight that count are enough for a person.

    What has no price, because its fills are unknown, says so.
    """
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        return "an unknown price"
    return f"{exact if len(exact.as_tuple().digits) <= 10 else Context(prec=8).plus(exact):f}"


def _opened(data: Mapping[str, object]) -> Notice:
    held = f"{data.get('symbol')} {data.get('direction')} {data.get('quantity')} at {_price(data.get('entry_price'))}"
    return Notice(
        key=f"opened {data.get('position')}",
        severity=Severity.INFO,
        title=_short(f"opened {held}, stop {data.get('stop')}"),
        body=_facts(data, without=("symbol", "direction", "quantity", "entry_price", "stop")),
    )


def _closed(data: Mapping[str, object]) -> Notice:
    result = f"{to_cents(Decimal(str(data['net']))):+.2f} net, {Decimal(str(data['r'])):+.2f} R"
    return Notice(
        key=f"closed {data.get('position')}",
        severity=Severity.INFO,
        title=_short(
            f"closed {data.get('symbol')} at {_price(data.get('exit_price'))} by {data.get('reason')}: {result}"
        ),
    )


_WORDS: Final = {
    "incident": _incident,
    "kill": _kill,
    "key": _key,
    "signal": _signal,
    "position_opened": _opened,
    "position_closed": _closed,
}


def _incident_key(what: str, about: str) -> str:
    return f"incident {what} {about}"


def _facts(data: Mapping[str, object], *, without: Sequence[str]) -> str:
    shown = [(name, value) for name, value in data.items() if name not in without and value not in (None, "", [])]
    return "\n".join(f"{name}: {str(value)[:_LONGEST_VALUE]}" for name, value in shown[:_MOST_FACTS])


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"
