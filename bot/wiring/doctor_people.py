"""What `botctl doctor` looks at besides venues: the ways to people, who may open the page, and the newest backup.

No message goes out, and the heartbeat is not fetched: that would say that the daemon runs.
"""

import asyncio
import ssl
from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

from bot.access import Role, User
from bot.alerts import Way
from bot.config import Loaded, Settings, secret_values
from bot.errors import AlertFailed, BotError
from bot.interfaces import Clock
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.telegram import Telegram, open_telegram
from bot.wiring.alerts import chats_of, clicksend_of
from bot.wiring.database_tools import backup_directory, backups_in
from bot.wiring.doctor import Check, Status
from bot.wiring.stored import stores_of_running_daemon
from bot.wiring.ways import ways_of

_ANSWER_WITHIN_S: Final = 10.0
_LEAST_BALANCE: Final = Decimal(1)  # a text costs about a tenth of it
_DAY_S: Final = 86_400.0
_OLDEST_BACKUP_S: Final = 2 * _DAY_S


async def people_checks(loaded: Loaded, clock: Clock, *, daemon_runs: bool = False) -> list[Check]:
    """One finding for each, at least. Who may open the page is in the database: known where that runs."""
    settings = loaded.settings
    users = await _users(loaded) if daemon_runs or settings.run.database_url else None
    telegram, texts, heartbeat = ways_of(settings)
    asked = await asyncio.gather(
        _telegram(settings, telegram), _texts(settings, texts), _heartbeat(settings, heartbeat)
    )
    return [*(check for checks in asked for check in checks), page_check(settings, users), backup_check(loaded, clock)]


def _not_set(settings: Settings, name: str, way: Way) -> list[Check]:
    """Worth knowing; with real money worth a warning."""
    status: Status = "warn" if settings.run.mode == "live" else "ok"
    return [Check(name=name, status=status, detail=way.says, next_step=way.next_step)]


# ------------------------------------------------------------------------------------------------------------ telegram


async def _telegram(settings: Settings, way: Way) -> list[Check]:
    if not way.is_set:
        return _not_set(settings, "telegram", way)
    wanted = settings.alerts
    redact = Redactor(secret_values(settings)).redact
    async with open_telegram(wanted.telegram_token, url=wanted.telegram_url, redact=redact) as telegram:
        try:
            name = await telegram.name()
        except AlertFailed as error:
            step = "refused: copy TELEGRAM_TOKEN again from @BotFather; no answer: look at the network"
            return [Check(name="telegram", status="fail", detail=str(error), next_step=step)]
        found = [Check(name="telegram", status="ok", detail=f"{name}; {way.says}"), *_commanders(settings)]
        return [*found, *await asyncio.gather(*(_chat(telegram, each) for each in chats_of(wanted)))]


def _commanders(settings: Settings) -> list[Check]:
    if settings.alerts.operator_ids:
        return []
    step = "put your numeric id into TELEGRAM_OPERATORS, or stop trading by page and ./botctl only"
    return [Check(name="telegram: operators", status="warn", detail="nobody may press a kill there", next_step=step)]


async def _chat(telegram: Telegram, chat: int) -> Check:
    try:
        await telegram.reach(chat)
    except AlertFailed as error:
        step = "that person must write to the bot once, and not block it; a group must have it as a member"
        return Check(name=f"telegram: chat {chat}", status="fail", detail=str(error), next_step=step)
    return Check(name=f"telegram: chat {chat}", status="ok", detail="can be written to")


# -------------------------------------------------------------------------------------------- text messages, heartbeat


async def _texts(settings: Settings, way: Way) -> list[Check]:
    if not way.is_set:
        return _not_set(settings, "text messages", way)
    async with clicksend_of(settings.alerts) as texts:
        try:
            balance = await texts.balance()
        except AlertFailed as error:
            step = "refused: correct CLICKSEND_USERNAME and CLICKSEND_API_KEY; not reached: look at the network"
            return [Check(name="text messages", status="fail", detail=str(error), next_step=step)]
    told = f"{way.says}; balance {balance:.2f}" if balance.is_finite() else f"{way.says}; balance not told"
    if balance.is_finite() and balance < _LEAST_BALANCE:
        return [Check(name="text messages", status="warn", detail=told, next_step="top up the account at ClickSend")]
    return [Check(name="text messages", status="ok", detail=told)]


async def _heartbeat(settings: Settings, way: Way) -> list[Check]:
    """Its address is a secret: the path says who we are."""
    if not way.is_set:
        return _not_set(settings, "heartbeat", way)
    address = urlsplit(settings.alerts.heartbeat_url)
    host, is_secure = address.hostname or "", address.scheme == "https"
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(
                host,
                address.port or (443 if is_secure else 80),
                ssl=ssl.create_default_context() if is_secure else None,
            )
            writer.close()
    except (OSError, TimeoutError) as error:
        told = f"{host} was not reached: {type(error).__name__}"
        step = "look at the network, and at the host in HEARTBEAT_URL"
        return [Check(name="heartbeat", status="fail", detail=told, next_step=step)]
    return [Check(name="heartbeat", status="ok", detail=f"{host} is reached; {way.says}. Nothing was sent")]


# ------------------------------------------------------------------------------------------------------------ the page


async def _users(loaded: Loaded) -> Sequence[User] | None:
    """Everybody; None where the database does not tell, which is a finding of its own."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S), stores_of_running_daemon(loaded) as stores:
            return await stores.users.all()
    except (BotError, TimeoutError):
        return None


def page_check(settings: Settings, users: Sequence[User] | None) -> Check:
    """Who may open it, and with real money whether whoever may act has a second factor."""
    if not users:
        return Check(name="page", status="ok", detail="who may open it is known when the daemon has run")
    acting = [each for each in users if each.is_enabled and each.role is not Role.VIEWER]
    weak = [each.name for each in acting if not each.has_second_factor]
    told = f"{len(users)} people, {len(acting)} may act, {len(acting) - len(weak)} of them with a second factor"
    if not any(each.role is Role.ADMIN for each in acting):
        step = "./botctl users enable NAME, or ./botctl users add NAME --role admin"
        return Check(name="page", status="fail", detail=f"{told}; nobody is an admin", next_step=step)
    if weak and settings.run.mode == "live":
        step = "they log in and set it up on the account page; until then they may only read"
        return Check(name="page", status="fail", detail=f"{told}; not {', '.join(weak)}", next_step=step)
    return Check(name="page", status="ok", detail=told)


# -------------------------------------------------------------------------------------------------------------- backup


def backup_check(loaded: Loaded, clock: Clock) -> Check:
    """How old the newest one of the data directory is; those that lie elsewhere are not known."""
    mode, directory = loaded.settings.run.mode, backup_directory(loaded)
    if mode == "dev":
        return Check(name="backup", status="ok", detail="dev mode keeps nothing worth one")
    status: Status = "warn" if mode == "live" else "ok"
    newest = next(iter(backups_in(directory)), None)
    if newest is None:
        step = "./botctl db backup, each day by a timer, and copied off this machine (docs/restore.md)"
        return Check(name="backup", status=status, detail=f"none in {directory}", next_step=step)
    age_s = clock.now().timestamp() - newest.path.stat().st_mtime
    told = f"{newest.path.name}, {max(age_s, 0) / 3600:,.0f} h old, {newest.size_bytes / 1e6:,.1f} MB"
    if age_s > _OLDEST_BACKUP_S:
        return Check(
            name="backup", status=status, detail=told, next_step="./botctl db backup; look why its timer ended"
        )
    return Check(name="backup", status="ok", detail=told)
