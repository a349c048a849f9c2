"""The daily loss limit: what was lost at one broker since its session day began. Beyond it, no entry until the next."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal

from bot.instruments import BrokerId
from bot.layer4_risk.kill_switch import KillSwitch
from bot.models import AccountState, KillCause, KillLevel, KillState

ZERO = Decimal(0)
RealisedSince = Callable[[BrokerId, datetime], Awaitable[Decimal]]


def session_day(now: datetime, start_hour_utc: int) -> datetime:
    """Begin of the session day that `now` lies in: the last `start_hour_utc` o'clock UTC, this instant included."""
    start = now.replace(hour=start_hour_utc, minute=0, second=0, microsecond=0)
    return start if start <= now else start - timedelta(days=1)


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
        self, switch: KillSwitch, realised_since: RealisedSince, *, limit_ratio: Decimal, start_hour_utc: int
    ) -> None:
        self._switch = switch
        self._realised_since = realised_since
        self._limit = limit_ratio
        self._start_hour = start_hour_utc

    async def observe(self, account: AccountState, now: datetime) -> Decimal:
        """Look at one broker at `now` (market time); what was realised there since its day began."""
        broker_id, day = account.broker_id, session_day(now, self._start_hour)
        held = self._switch.latch(KillCause.DAILY_LOSS, broker_id)
        if held is not None and session_day(held.at, self._start_hour) < day:
            await self._switch.release(
                KillCause.DAILY_LOSS, broker_id, reason=f"session day of {day:%Y-%m-%d %H:%M} UTC"
            )
            held = None
        realised = await self._realised_since(broker_id, day)
        ratio = loss_ratio(account, realised)
        if held is None and ratio > self._limit:
            next_day = day + timedelta(days=1)
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
