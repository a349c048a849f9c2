"""Wiring of the risk report: what the stores and the running parts know, into one pure function."""

from bot.config import Settings
from bot.instruments import BrokerId
from bot.interfaces import Stores
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer4_risk.daily_loss import session_day
from bot.layer4_risk.exposure import BrokerStake, RiskReport, StakeView, risk_report
from bot.layer4_risk.kill_switch import KillSwitch
from bot.supervisor import Supervisor


async def report_of(
    *, settings: Settings, stores: Stores, router: BrokerRouter, supervisor: Supervisor, kill: KillSwitch
) -> RiskReport:
    """Limits and exposure now, as the database has them. Raises DatabaseUnavailable."""
    now, risk, accounts = supervisor.now(), settings.risk, supervisor.accounts()
    await kill.state()  # what is only in the file yet counts too
    day = session_day(now, risk.session_day_start_utc)

    async def stake_of(broker_id: BrokerId) -> BrokerStake:
        return BrokerStake(
            broker_id=broker_id,
            max_positions=settings.get_max_open_positions(broker_id),
            account=accounts.get(broker_id),
            realised=await stores.orders.realised_since(broker_id, day),
            entries_blocked=supervisor.entries_blocked(broker_id),
        )

    view = StakeView(
        at=now,
        currency=risk.account_currency,
        positions=await stores.orders.open_positions(),
        orders=await stores.orders.unfinished_orders(),
        brokers=[await stake_of(each.broker_id) for each in router],
        latches=kill.latches(),
        snapshot=await stores.snapshots.latest(),
        daily_loss_limit_ratio=risk.daily_loss_limit_ratio,
        max_drawdown_ratio=risk.max_drawdown_ratio,
        max_correlated=risk.max_correlated_exposure,
        session_day_began_at=day,
    )
    return risk_report(view, router.registry)
