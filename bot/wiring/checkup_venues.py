"""What `/health/deep` says of one venue: from memory whether it answers, and once a minute its clock."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer5_monitoring.checkup import Finding, Question, Status
from bot.wiring.metrics_probes import WatchedParts

_SKEW_WARN_S: Final = 0.75  # IG tells whole seconds; at 1 s Binance refuses what bears our time
_SKEW_FAIL_S: Final = 1.0
_CLOCK_EVERY_S: Final = 60.0  # it costs a request, and the budget is for trading
_CLOCK_WITHIN_S: Final = 4.0
_DOWN: Final = "look at the network and the venue's status page; stops rest there, entries wait by themselves meanwhile"
_LOCKED_OUT: Final = (
    "look after what is open on the venue's own page, where its stops rest; let the key in again there, or set a new "
    "one and start again: ./botctl doctor names the settings"
)


class VenueCheckup:
    """The questions about one venue."""

    def __init__(self, broker: BrokerInterface, parts: WatchedParts) -> None:
        self._broker = broker
        self._parts = parts
        self._name = f"broker {broker.broker_id}"
        self._clock_known: tuple[float, Finding] | None = None

    def questions(self) -> list[Question]:
        """Whether it answers, and what its clock says."""
        return [
            Question(name=self._name, ask=self.answers, within_s=2.0, next_step="this is our bug, see the log"),
            Question(name=f"{self._name}: clock", ask=self.clock, within_s=_CLOCK_WITHIN_S + 1, next_step=_DOWN),
        ]

    async def answers(self) -> Sequence[Finding]:
        """The newest comparison with our record: a real question, asked every two minutes anyway."""
        broker_id, supervisor = self._broker.broker_id, self._parts.supervisor
        newest = next(each for each in supervisor.reconciliations() if each.broker_id == broker_id)
        if newest.key_refused:
            return [Finding(name=self._name, status="fail", says=newest.blocked, next_step=_LOCKED_OUT)]
        if newest.compared_at is None or not newest.complete:
            return [Finding(name=self._name, status="fail", says=f"no answer: {newest.error}", next_step=_DOWN)]
        age_s = (self._parts.market_clock.now() - newest.compared_at).total_seconds() / self._parts.speed
        if newest.blocked:
            differs = "./botctl reconcile shows what differs, and takes your answer"
            step = "do as it says; ./botctl doctor looks again" if newest.is_clean else differs
            return [Finding(name=self._name, status="warn", says=f"entries wait: {newest.blocked}", next_step=step)]
        says = f"answered {age_s:.0f} s ago; entries may go there"
        return [Finding(name=self._name, status="ok", says=says)]

    async def clock(self) -> Sequence[Finding]:
        """Ours against the venue's, as told within the last minute. Raises BrokerError where it does not answer."""
        now_s = self._parts.clock.monotonic()
        if self._clock_known is None or now_s - self._clock_known[0] >= _CLOCK_EVERY_S:
            self._clock_known = (now_s, await self._asked_clock())
        return [self._clock_known[1]]

    async def _asked_clock(self) -> Finding:
        before = self._parts.market_clock.now()
        try:
            async with asyncio.timeout(_CLOCK_WITHIN_S):
                there = await self._broker.server_time()
        except TimeoutError:
            budget = self._broker.rate_budget
            used = f"; {budget.used} of {budget.allowed} requests are used, it may wait for its turn" if budget else ""
            says = f"not told within {_CLOCK_WITHIN_S:g} s{used}"
            return Finding(
                name=f"{self._name}: clock", status="warn", says=says, next_step="it is asked again by itself"
            )
        return self._skew(before, there, self._parts.market_clock.now())

    def _skew(self, before: datetime, there: datetime, after: datetime) -> Finding:
        name, speed = f"{self._name}: clock", self._parts.speed
        unsure_s = (after - before).total_seconds() / 2 / speed  # how much of the way was there, and how much back
        offset_s = ((before + (after - before) / 2) - there).total_seconds() / speed
        side = "ahead of" if offset_s > 0 else "behind"
        says = f"ours is {abs(offset_s):.2f} s {side} the venue's, give or take {unsure_s:.2f} s"
        beyond_s = max(0.0, abs(offset_s) - unsure_s)
        if beyond_s <= _SKEW_WARN_S:
            return Finding(name=name, status="ok", says=says)
        status: Status = "warn" if beyond_s <= _SKEW_FAIL_S else "fail"
        return Finding(name=name, status=status, says=says, next_step="switch on time synchronisation (NTP)")
