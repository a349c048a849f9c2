"""The kill switch in words: everything that holds, and what it does together. Pure."""

from collections.abc import Iterable

from bot.models import NOT_KILLED, KillLevel, KillState


def said(latches: Iterable[KillState]) -> str:
    """Every latch in one line, the strongest first."""
    return "; ".join(each.says for each in _strongest_first(latches)) or NOT_KILLED.says


def levels(latches: Iterable[KillState]) -> str:
    """Each level that holds, once: "HALT, FLATTEN and PAUSE at ig"; empty if none does."""
    named = [
        f"{each.level.value.upper()}{f' at {each.broker_id}' if each.broker_id else ''}"
        for each in _strongest_first(latches)
    ]
    *others, last = dict.fromkeys(named) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def effect(latches: Iterable[KillState]) -> str:
    """What they do together: where a FLATTEN holds, whatever holds besides, positions are being closed.

    Of one broker only entries are ever held.
    """
    held = list(latches)
    levels_held = {each.level for each in held}
    brokers = dict.fromkeys(each.broker_id for each in held)
    if KillLevel.HALT in levels_held:
        entries = "nothing that increases risk is sent"
    elif None in brokers or not brokers:
        entries = "no new entries"
    else:
        entries = f"no new entries at {' and '.join(str(each) for each in brokers)}, others go on"
    closing = KillLevel.FLATTEN in levels_held
    return f"{entries}; {'every position is being closed at market' if closing else 'positions, stops and exits go on'}"


def _strongest_first(latches: Iterable[KillState]) -> list[KillState]:
    return sorted(latches, key=lambda each: -each.level.severity)
