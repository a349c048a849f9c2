"""Money: what each account holds, what trading made of it, and equity over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from bot.dashboard.api.fields import DIGITS, Moment
from bot.dashboard.api.operations import Asked, Call
from bot.models import AccountState
from bot.reports import EquityPoint, TradeFigures, TradeFilter, TradeGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All accounts together, in `currency`. `drawdown` and `peak` are null before the first equity was noted.

    `accounts` has each one as it was read last; one that never answered is missing. `trades` counts everything that
    closed, after costs; null before the first. `win_share` is that of trades won.
    """

    at: datetime
    currency: str
    equity: Decimal
    balance: Decimal
    drawdown: Decimal | None
    peak: Decimal | None
    open_result: Decimal
    win_share: float | None
    trades: TradeFigures | None
    accounts: Sequence[AccountState]


class EquityAsked(Asked):
    """Which span; without `since` the last 30 days of market time."""

    since: Moment | None = None
    until: Moment | None = None
    points: Annotated[int, Field(ge=2, le=2_000, description="At most so many points."), DIGITS] = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Equity:
    """The curve, oldest first; spans in which nothing was noted are left out."""

    points: Sequence[EquityPoint]


async def account(call: Call) -> Account:
    """Balances, equity, drawdown, and wins and losses so far."""
    parts = call.parts
    status, snapshot = await parts.status(), await parts.stores.snapshots.latest()
    figures = next(iter(await parts.stores.reports.trade_figures(TradeFilter(), TradeGroup.ALL)), None)
    opened = await parts.stores.orders.open_positions()
    return Account(
        at=status.now,
        currency=status.currency,
        equity=status.equity,
        balance=status.balance,
        drawdown=snapshot.drawdown if snapshot else None,
        peak=snapshot.peak if snapshot else None,
        open_result=sum((each.open_result for each in opened if each.is_open), Decimal(0)),
        win_share=figures.won / figures.trades if figures and figures.trades else None,
        trades=figures,
        accounts=[*parts.trading.accounts().values()],
    )


async def equity(call: Call, asked: EquityAsked) -> Equity:
    """Equity over time, with the deepest fall below the peak in each slot."""
    until = asked.until or (await call.parts.status()).now + timedelta(seconds=1)
    since = asked.since or until - timedelta(days=30)
    if since >= until:
        return Equity(points=())
    return Equity(points=await call.parts.stores.reports.equity(since=since, until=until, points=asked.points))
