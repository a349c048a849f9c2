"""Tasks, alerts, log lines and settings of the believable day (`dashboard_day.py`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from loguru import logger

from bot.alerts import Alert, Channel, Delivery, DeliveryState, Severity, Way
from bot.config import load_settings, secret_values, settings_in_force
from bot.database.memory import MemoryStores
from bot.instruments import Symbol, default_registry
from bot.interfaces import Clock
from bot.layer5_monitoring.checkup import Checkup, Finding, Question
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.recent_log import RecentLog
from bot.models import StrategyTask, TaskState, Timeframe

NOW = datetime(2025, 3, 4, 14, 0, 5, tzinfo=UTC)
SYMBOLS = ("BTC/USDT", "ETH/USDT", "EUR_USD", "GBP_USD", "NVDA")
SECRETS: Mapping[str, str] = {
    "TELEGRAM_TOKEN": "123456:CANARY-telegram-token-0001",
    "CLICKSEND_API_KEY": "CANARY-clicksend-key-0002",
    "BINANCE_API_SECRET": "CANARY-binance-secret-0003",
    "OANDA_TOKEN": "CANARY-oanda-token-0004",
    "IG_PASSWORD": "CANARY-ig-password-0005",
    "ANTHROPIC_API_KEY": "CANARY-anthropic-key-0006",
    "HEARTBEAT_URL": "https://watch.example/CANARY-heartbeat-0007",
    "DATABASE_URL": "postgresql://bot:CANARY-database-0008@db.example/bot",
}


async def fill_operations(stores: MemoryStores) -> None:
    """Five symbols on two timeframes, one of them behind; alerts of every kind."""
    registry = default_registry()
    tasks = [
        StrategyTask.of("divergence", registry.get(symbol), timeframe)
        for symbol in SYMBOLS
        for timeframe in (Timeframe.H1, Timeframe.H4)
    ]
    await stores.tasks.ensure([*tasks[:-1], replace(tasks[-1], state=TaskState.PAUSED, parameters={"left": "7"})])
    for alert in day_alerts():
        await stores.alerts.save(alert)


def day_judged() -> Mapping[tuple[Symbol, Timeframe], datetime]:
    """The newest candle of each series; one symbol is behind, and one has none yet."""
    midnight = NOW.replace(hour=0, minute=0, second=0)
    newest = {}
    for symbol in SYMBOLS[:-1]:
        for timeframe in (Timeframe.H1, Timeframe.H4):
            closed_at = midnight + (NOW - midnight) // timeframe.duration * timeframe.duration
            behind = 3 if symbol == "GBP_USD" else 0
            newest[Symbol(symbol), timeframe] = closed_at - behind * timeframe.duration
    return newest


def day_alerts() -> list[Alert]:
    """One that waits, one that lasts, one that ended, and what was only told."""
    sent = Delivery(channel=Channel.TELEGRAM, recipient="42", state=DeliveryState.SENT, at=_at(2), reference="7")
    failed = Delivery(
        channel=Channel.SMS, recipient="+61411111111", state=DeliveryState.FAILED, at=_at(6), says="INSUFFICIENT_CREDIT"
    )
    return [
        day_alert(
            "9f31c2",
            0,
            severity=Severity.CRITICAL,
            title="EUR_USD oanda: position without a stop; a stop is placed again, or the position closed",
            body="position: position-2\nsince: 14:00:01",
            deliveries=(sent, failed),
        ),
        day_alert(
            "b07d11",
            1,
            severity=Severity.WARNING,
            lasts=True,
            count=3,
            title="ig: no new entries (ig did not answer: no answer within 10 s); exits and stops go on",
            deliveries=(sent,),
        ),
        day_alert(
            "55aa01",
            7,
            severity=Severity.WARNING,
            lasts=True,
            resolved_at=_at(9),
            acked_at=_at(8),
            acked_by="ada",
            title="job outcomes fails; it is run again at its interval",
            deliveries=(sent,),
        ),
        *(day_alert(f"00a{n:03d}", 10 + n, title=f"opened BTC/USDT long 0.15512 at 64213.5{n}") for n in range(60)),
    ]


def day_alert(name: str, minutes: float, **changes: Any) -> Alert:
    """An alert for information."""
    at = NOW - timedelta(minutes=minutes)
    standard = Alert(
        id=name, key=f"key {name}", severity=Severity.INFO, title="told", body="", raised_at=at, last_at=at
    )
    return replace(standard, **changes)


def day_log(redactor: Redactor | None = None) -> RecentLog:
    """A log with a line of each level."""
    log = RecentLog((redactor or Redactor(SECRETS.values())).redact)
    with log.kept("DEBUG"):
        logger.debug("feed: asked binance for BTC/USDT 1h")
        logger.info("database: applied 0011_alerts.sql")
        logger.warning("job analysis missed 2 runs, 2 so far: the event loop or the machine was busy")
        logger.error("ig: no answer within 10 s to /positions; token=abcdef0123456789")
    return log


def day_parts() -> Mapping[str, Any]:
    """What the pages of operation read besides the stores; every secret is set."""
    loaded = load_settings({**SECRETS, "MODE": "paper", "RISK_PER_TRADE_RATIO": "0.004"}, None)
    assert set(SECRETS.values()) - set(secret_values(loaded.settings)) == {SECRETS["DATABASE_URL"]}
    return {
        "judged": day_judged,
        "log": day_log(),
        "configuration": settings_in_force(loaded),
        "ways": (
            Way(name="Telegram", channel=Channel.TELEGRAM, is_set=True, says="1 may command, 0 may read"),
            Way(name="Text messages", channel=Channel.SMS, is_set=True, says="1 phone"),
            Way(name="Heartbeat", channel=None, is_set=False, says="not set", next_step="set HEARTBEAT_URL"),
        ),
        "versions": {"trading-bot": "0.1.0", "Python": "3.11.7"},
    }


def day_checkup(clock: Clock) -> Checkup:
    """Answers of each kind."""

    def question(finding: Finding) -> Question:
        async def ask() -> Sequence[Finding]:
            return [finding]

        return Question(name=finding.name, ask=ask, within_s=1.0, next_step="look at the log")

    found = (
        Finding(name="database", status="ok", says="answers", took_ms=1.4),
        Finding(name="migrations", status="ok", says="all applied"),
        Finding(
            name="broker ig",
            status="fail",
            says="no answer within 5 s",
            next_step="look at the network and the venue's status page; entries there wait by themselves meanwhile",
        ),
        Finding(
            name="disk", status="warn", says="0.9 GB free", next_step="free at least 1 GiB, or move DATA_DIRECTORY"
        ),
        Finding(name="event loop", status="ok", says="0.4 ms late at most within the last minute"),
    )
    return Checkup([question(each) for each in found], clock)


def _at(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)
