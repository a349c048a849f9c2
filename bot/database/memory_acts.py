"""Acts that are done once, in memory: the twin of `postgres_acts`."""

from dataclasses import replace
from datetime import datetime

from bot.access import Act


class MemoryActs:
    """`ActStore` in memory."""

    def __init__(self) -> None:
        self._acts: dict[tuple[str, str], Act] = {}

    async def begin(self, act: Act, *, forget_before: datetime) -> Act | None:
        """Store an act that begins; the one that has its name already, if there is one. Older ones are forgotten."""
        self._acts = {name: each for name, each in self._acts.items() if each.at >= forget_before}
        known = self._acts.setdefault((act.who, act.key), act)
        return None if known is act else known

    async def end(self, act: Act, *, status: int, answer: str) -> None:
        """Say how it ended; one that has ended stays as it is."""
        known = self._acts.get((act.who, act.key))
        if known is not None and known.status is None:
            self._acts[act.who, act.key] = replace(known, status=status, answer=answer)

    async def forget(self, act: Act) -> None:
        """Nothing was done: the same may be asked for again."""
        self._acts.pop((act.who, act.key), None)
