"""What an address asks for, as values: filters of lists and where a list goes on. Pure.

A form sends every field, also those left empty: empty is any. Raises UsageError for what no form of ours sends.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import urlencode

from bot.errors import UsageError
from bot.reports import Before

T = TypeVar("T")
_MARK: Final = "~"


def chosen(query: Mapping[str, str], name: str, of: Callable[[str], T]) -> T | None:
    """The value of one field; None if it is left out or empty."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        if not text.isprintable():  # no name of ours is not, and the database refuses NUL and half characters
            raise ValueError(text)
        return of(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{name} {text!r} is not one of those that the page offers") from None


def chosen_day(query: Mapping[str, str], name: str, *, end: bool = False) -> datetime | None:
    """The instant at which a day begins, or at which it has ended, in UTC."""

    def read(text: str) -> datetime:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return day + timedelta(days=1) if end else day

    return chosen(query, name, read)


def place(query: Mapping[str, str]) -> Before | None:
    """Where the list goes on, as `older` wrote it."""

    def read(text: str) -> Before:
        at, mark, name = text.partition(_MARK)
        instant = datetime.fromisoformat(at)
        if not mark or instant.tzinfo is None:
            raise ValueError(text)
        return Before(at=instant.astimezone(UTC), id=name)

    return chosen(query, "before", read)


def named(names: Iterable[str]) -> list[tuple[str, str]]:
    """Options of a choice whose values speak for themselves."""
    return [(each, each) for each in sorted(set(names))]


def older(query: Mapping[str, str], at: datetime, name: str) -> str:
    """The query of the page after the row `name` of instant `at`."""
    return with_choice(query, before=f"{at.isoformat()}{_MARK}{name}")


def with_choice(query: Mapping[str, str], **changes: str) -> str:
    """The query with other choices; the list then begins anew."""
    kept = {name: text for name, text in query.items() if text and name != "before"}
    return urlencode({name: text for name, text in {**kept, **changes}.items() if text})
