"""Conditions of a report as SQL: one is there only if it was chosen, so that the planner sees what an index can do.

Every text is a constant of a module, and values are parameters.
"""

from collections.abc import Sequence
from datetime import datetime


class Asked:
    """Conditions and the values they speak of, numbered as they come; `values` are those of a statement so far."""

    def __init__(self, *always: str, values: list[object] | None = None) -> None:
        self._conditions = list(always)
        self.values: list[object] = [] if values is None else values

    def value(self, value: object) -> str:
        """Its place in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"

    def that(self, condition: str, *values: object) -> None:
        """Only rows for which this holds; nothing if it was not chosen."""
        if all(each is not None for each in values):
            self._conditions.append(condition.format(*map(self.value, values)))

    def within(self, column: str, spans: Sequence[tuple[datetime, datetime]]) -> None:
        """Only rows whose `column` lies in one of these spans, whose ends are left out; no row if there is no span."""
        each = [f"({column} >= {self.value(begin)} AND {column} < {self.value(end)})" for begin, end in spans]
        self._conditions.append(f"({' OR '.join(each) or 'false'})")

    @property
    def conditions(self) -> str:
        """For the place after WHERE."""
        return " AND ".join(self._conditions) or "true"
