"""The daily loss limit: what was lost at one broker since its session day began. Beyond it, no entry until the next."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal

from bot.instruments import BrokerId
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.session_day import SessionDay
from bot.models import AccountState, KillCause, KillLevel, KillState

ZERO = Decimal(0)
RealisedSince = Callable[[BrokerId, datetime], Awaitable[Decimal]]


def loss_ratio(account: AccountState, realised: Decimal) -> Decimal:
    """What was lost since the day began, as a share of the balance then; 0 for a gain."""
    lost = max(ZERO, -realised)
    balance = account.balance + lost
    return lost / balance if balance > 0 else ZERO


class DailyLossWatch:
    """Pauses entries at a broker for the rest of its session day, and lets them go on when the next one begins.

    A loss that was made good by a later gain of the day does not open the broker again.
    """

    def __init__(
        self, switch: KillSwitch, realised_since: RealisedSince, *, limit_ratio: Decimal, day: SessionDay
    ) -> None:
        self._switch = switch
        self._realised_since = realised_since
        self._limit = limit_ratio
        self._day = day

    async def observe(self, account: AccountState, now: datetime) -> Decimal:
        """Look at one broker at `now` (market time); what was realised there since its day began."""
        broker_id, day = account.broker_id, self._day.began(now)
        held = self._switch.latch(KillCause.DAILY_LOSS, broker_id)
        if held is not None and self._day.began(held.at) < day:
            await self._switch.release(
                KillCause.DAILY_LOSS, broker_id, reason=f"session day of {day:%Y-%m-%d %H:%M} UTC"
            )
            held = None
        realised = await self._realised_since(broker_id, day)
        ratio = loss_ratio(account, realised)
        if held is None and ratio > self._limit:
            next_day = self._day.ends(now)
            reason = (
                f"{ratio:.2%} of the balance lost since {day:%Y-%m-%d %H:%M} UTC, limit {self._limit:.2%}; "
                f"entries go on at {next_day:%Y-%m-%d %H:%M} UTC"
            )
            await self._switch.press(
                KillState(
                    level=KillLevel.PAUSE,
                    by="daemon",
                    cause=KillCause.DAILY_LOSS,
                    reason=reason,
                    at=now,
                    broker_id=broker_id,
                )
            )
        return realised
