"""Wiring of the risk report: what the stores and the running parts know, into one pure function."""

from bot.config import Settings
from bot.instruments import BrokerId
from bot.interfaces import Stores
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer4_risk.exposure import BrokerStake, RiskReport, StakeView, risk_report
from bot.layer4_risk.session_day import session_day_of
from bot.supervisor import Supervisor
from bot.wiring.core import TradingCore


async def report_of(
    *, settings: Settings, stores: Stores, router: BrokerRouter, supervisor: Supervisor, core: TradingCore
) -> RiskReport:
    """Limits and exposure now, as the database has them. Raises DatabaseUnavailable."""
    now, accounts = supervisor.now(), supervisor.accounts()
    await core.kill.state()  # what is only in the file yet counts too
    day = session_day_of(settings.risk).began(now)

    async def stake_of(broker_id: BrokerId) -> BrokerStake:
        return BrokerStake(
            broker_id=broker_id,
            account=accounts.get(broker_id),
            realised=await stores.orders.realised_since(broker_id, day),
            entries_blocked=supervisor.entries_blocked(broker_id),
        )

    await core.ledger.load(now)
    view = StakeView(
        at=now,
        settings=settings.risk,
        positions=await stores.orders.open_positions(),
        orders=await stores.orders.unfinished_orders(),
        reserved=core.ledger.reserved(now),
        foreign=core.reconciler.foreign.all(),
        entries=core.ledger.entries(now),
        brokers=[await stake_of(each.broker_id) for each in router],
        latches=core.kill.latches(),
        snapshot=await stores.snapshots.latest(),
        session_day_began_at=day,
    )
    return risk_report(view, router.registry)
