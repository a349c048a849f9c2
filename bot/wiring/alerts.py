"""Wiring of alerts: what is noticed, who is told by which way, and what may be commanded from a chat."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from loguru import logger

from bot.alerts import Severity
from bot.clock import SystemClock
from bot.config import AlertSettings, Settings
from bot.differences import Reconciliation
from bot.errors import NotFound
from bot.instruments import Symbol, to_cents
from bot.interfaces import EventStream, Stores
from bot.layer3_execution.close_one import close_one
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_words import said
from bot.layer5_monitoring.alert_digest import Digests
from bot.layer5_monitoring.alert_retention import AlertRetention
from bot.layer5_monitoring.alert_spool import AlertSpool
from bot.layer5_monitoring.alert_words import conditions_of, ended_by, notice_of
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.courier import Courier, Manners
from bot.layer5_monitoring.escalation import Escalation
from bot.layer5_monitoring.heartbeat import Heartbeat, Progress
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.pictures import Pictures
from bot.layer5_monitoring.recent_log import RecentLog
from bot.layer5_monitoring.sms import ClickSend
from bot.layer5_monitoring.telegram import Telegram, open_telegram
from bot.layer5_monitoring.telegram_commands import CommandParts, telegram_commands
from bot.layer5_monitoring.telegram_desk import TelegramDesk
from bot.models import (
    CandleSeries,
    DaemonStatus,
    EntrySignal,
    FeatureSet,
    JobHealth,
    JournalEntry,
    SignalId,
    Timeframe,
)
from bot.wiring.core import TradingCore

_LOOK_EVERY_S: Final = 2.0
_LIMITS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingParts:
    """What of the daemon alerts need."""

    settings: Settings
    data: Path
    stores: Stores
    events: EventStream
    redactor: Redactor
    log: RecentLog
    core: TradingCore
    health: Callable[[], Mapping[str, object]]
    jobs: Callable[[], Sequence[JobHealth]]
    status: Callable[[], Awaitable[DaemonStatus]]
    reconciliations: Callable[[], Sequence[Reconciliation]]
    risk: Callable[[], Awaitable[RiskReport]]
    features: Callable[[Symbol, Timeframe], FeatureSet | None]


@asynccontextmanager
async def alerting(parts: AlertingParts) -> AsyncIterator[AlertDesk]:
    """Everything about alerts, in tasks of its own: whatever fails there, trading does not wait for it."""
    wanted, clock = parts.settings.alerts, SystemClock()
    desk = AlertDesk(parts.stores.alerts, AlertSpool(parts.data), clock, repeat_s=wanted.alert_repeat_s)
    await desk.load()
    async with AsyncExitStack() as stack:
        stack.enter_context(parts.log.kept(parts.settings.run.log_level))
        entries = await stack.enter_async_context(parts.events.subscribe())
        retention = AlertRetention(parts.stores.alerts, clock, keep_days=wanted.alert_keep_days)
        work = [desk.run(), retention.run(), _listen(desk, entries), _watch(desk, parts.health)]
        if may_go_out(parts.settings, wanted.telegram_url) and wanted.telegram_token:
            way_out = open_telegram(wanted.telegram_token, url=wanted.telegram_url, redact=parts.redactor.redact)
            pictures = Pictures(lambda signal_id: _picture(parts, SignalId(signal_id)), clock)
            stack.push_async_callback(pictures.close)
            work += _telegram(parts, desk, await stack.enter_async_context(way_out), pictures)
        if may_go_out(parts.settings, wanted.clicksend_url) and wanted.clicksend_api_key and wanted.phone_numbers:
            work.append(_escalation(parts, desk, await stack.enter_async_context(clicksend_of(wanted))).run())
        if may_go_out(parts.settings, wanted.heartbeat_url) and wanted.heartbeat_url:
            progress = Progress(parts.jobs, clock, patience_s=wanted.heartbeat_patience_s)
            beat = Heartbeat(wanted.heartbeat_url, progress, clock, interval_s=wanted.heartbeat_interval_s)
            work.append(beat.run())
        if parts.settings.run.mode != "dev":  # there a week passes in minutes, and positions have its time
            work.append(_digests(parts, desk).run())
        tasks = [asyncio.create_task(each, name="alerts") for each in work]
        try:
            yield desk
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await desk.store()


def may_go_out(settings: Settings, address: str) -> bool:
    """Dev mode makes no outside call: it reaches fakes on this machine, and nothing else."""
    return settings.run.mode != "dev" or address.startswith("http://")


# --------------------------------------------------------------------------------------------------- what is noticed


async def _listen(desk: AlertDesk, entries: AsyncIterator[JournalEntry]) -> None:
    """Takes each entry at once and without waiting, so that the stream's queue stays empty."""
    async for entry in entries:
        try:
            notice, ended = notice_of(entry), ended_by(entry)
            if notice is not None:
                desk.notify(notice)
            if ended:
                desk.resolve(ended)
        except Exception as error:  # the edge: one odd entry must not end the others
            logger.opt(exception=error).error("alerts: a journal entry of kind {} was not understood", entry.kind)


async def _watch(desk: AlertDesk, health: Callable[[], Mapping[str, object]]) -> None:
    clock = SystemClock()
    while True:
        try:
            found = health()
            if found.get("last_analysis"):  # before the first one nothing is known to be wrong, or to have ended
                desk.hold(conditions_of(found))
        except Exception as error:  # the edge
            logger.opt(exception=error).error("alerts: the daemon's health was not read")
        await clock.sleep(_LOOK_EVERY_S)


# ------------------------------------------------------------------------------------------------------ who is told


def _telegram(
    parts: AlertingParts, desk: AlertDesk, telegram: Telegram, pictures: Pictures
) -> list[Coroutine[None, None, None]]:
    wanted, clock = parts.settings.alerts, SystemClock()
    manners = Manners(least=Severity(wanted.telegram_severity), zone=ZoneInfo(wanted.alert_zone), quiet=wanted.quiet)
    commands = CommandParts(
        desk=desk,
        stores=parts.stores,
        clock=clock,
        status=parts.status,
        reconciliations=parts.reconciliations,
        risk=lambda: _risk_text(parts),
        log=lambda limit: [each.short for each in parts.log.newest(limit)],
        press=parts.core.kill.press,
        close=lambda position_id: close_one(parts.core.book, parts.core.engine, position_id),
        balances=wanted.telegram_balances,
    )
    commanding = TelegramDesk(
        telegram,
        parts.stores.alerts,
        telegram_commands(commands),
        clock,
        operators=wanted.operator_ids,
        viewers=wanted.viewer_ids,
    )
    couriers = [Courier(desk, telegram, chat, manners, clock, pictures) for chat in chats_of(wanted)]
    return [commanding.run(), *(each.run() for each in couriers)]


async def _picture(parts: AlertingParts, signal_id: SignalId) -> bytes:
    """In a thread, which also imports what draws. Raises NotFound and DataError."""
    signal = (await parts.stores.signals.get(signal_id)).signal
    known = parts.features(signal.symbol, signal.timeframe)
    if known is None:
        raise NotFound(f"{signal.symbol} {signal.timeframe.value}: no candles are followed")
    return await asyncio.to_thread(_draw, signal, known.series)


def _draw(signal: EntrySignal, series: CandleSeries) -> bytes:
    from bot.layer5_monitoring.signal_picture import draw_signal

    return draw_signal(signal, series)


def chats_of(wanted: AlertSettings) -> tuple[int, ...]:
    """Everybody who may command, and the group."""
    people = sorted(wanted.operator_ids | wanted.viewer_ids)
    return (*people, wanted.telegram_group) if wanted.telegram_group else tuple(people)


def clicksend_of(wanted: AlertSettings) -> ClickSend:
    """The sender of text messages; to be opened."""
    return ClickSend(username=wanted.clicksend_username, api_key=wanted.clicksend_api_key, url=wanted.clicksend_url)


def _escalation(parts: AlertingParts, desk: AlertDesk, texts: ClickSend) -> Escalation:
    wanted = parts.settings.alerts
    return Escalation(
        desk,
        parts.stores.alerts,
        texts,
        SystemClock(),
        numbers=wanted.phone_numbers,
        after_s=wanted.sms_after_s,
        per_day=wanted.sms_per_day,
        name=f"bot {parts.settings.run.mode}",
    )


def _digests(parts: AlertingParts, desk: AlertDesk) -> Digests:
    wanted = parts.settings.alerts
    return Digests(
        desk,
        parts.stores,
        SystemClock(),
        hour=wanted.digest_hour,
        weekday=wanted.digest_weekday,
        zone=ZoneInfo(wanted.alert_zone),
        currency=parts.settings.risk.account_currency,
    )


async def _risk_text(parts: AlertingParts) -> str:
    report = await parts.risk()
    fullest = sorted((each for each in report.limits if each.share is not None), key=lambda each: -(each.share or 0))
    lines = [f"{each.name} {each.scope}: {each.share:.0%} used" for each in fullest[:_LIMITS_SHOWN]]
    if parts.settings.alerts.telegram_balances:
        lines.append(f"if every stop is hit now: {to_cents(report.risk_open):.2f} {report.currency} lost")
        lines += [f"not in that, without a stop: {each}" for each in report.unbounded]
    head = f"kill switch: {said(report.latches)}"
    return "\n".join([head, *(f"blocked: {each}" for each in report.entries_blocked), *lines])
