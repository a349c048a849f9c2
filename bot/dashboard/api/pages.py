"""Lists that go on: newest first, each page naming where the next one begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from bot.dashboard.api.fields import Older
from bot.reports import Before

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Parameters of the page that follows."""

    before_at: datetime
    before_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Rows, newest first. `next` is null where nothing older is left."""

    rows: Sequence[Row]
    next: Next | None


def page_of(rows: Sequence[Row], asked: Older, place: Callable[[Row], Before]) -> Page[Row]:
    """The page of `rows`; a full one may go on."""
    last = place(rows[-1]) if len(rows) == asked.limit else None
    return Page(rows=rows, next=None if last is None else Next(before_at=last.at, before_id=last.id))
