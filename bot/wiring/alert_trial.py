"""A test message by every way that is set, without a daemon."""

from collections.abc import AsyncIterator
from datetime import datetime

from bot.alerts import Alert, Severity, alert_id
from bot.config import Settings, secret_values
from bot.errors import AlertFailed
from bot.layer5_monitoring.alert_text import chat_text, sms_text
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.telegram import open_telegram
from bot.wiring.alerts import chats_of, clicksend_of, may_go_out


async def sent_messages(settings: Settings, *, at: datetime, with_sms: bool) -> AsyncIterator[tuple[str, str]]:
    """(where, what came of it) for each chat, and for each phone if those are wanted: they cost money."""
    wanted, redact = settings.alerts, Redactor(secret_values(settings)).redact
    title = "test of the alerts; nothing is wrong, nothing to do"
    alert = Alert(
        id=alert_id("test", at), key="test", severity=Severity.INFO, title=title, body="", raised_at=at, last_at=at
    )
    if not wanted.telegram_token:
        yield "telegram", "not set: TELEGRAM_TOKEN"
    elif not may_go_out(settings, wanted.telegram_url):
        yield "telegram", "not asked: dev mode makes no outside call"
    elif not chats_of(wanted):
        yield "telegram", "nobody to tell: set TELEGRAM_OPERATORS"
    else:
        async with open_telegram(wanted.telegram_token, url=wanted.telegram_url, redact=redact) as telegram:
            for chat in chats_of(wanted):
                try:
                    await telegram.send(chat, chat_text([alert]))
                    yield f"telegram {chat}", "sent"
                except AlertFailed as error:
                    yield f"telegram {chat}", str(error)
    if not wanted.clicksend_api_key or not wanted.phone_numbers:
        yield "sms", "not set: CLICKSEND_USERNAME, CLICKSEND_API_KEY and SMS_TO"
    elif not may_go_out(settings, wanted.clicksend_url):
        yield "sms", "not asked: dev mode makes no outside call"
    elif not with_sms:
        yield "sms", "not asked: it costs money, add --sms"
    else:
        async with clicksend_of(wanted) as texts:
            for number, to in enumerate(wanted.phone_numbers):
                try:
                    await texts.send(to, sms_text(alert, name="bot test"), f"{alert.id}-{number}")
                    yield f"sms {to}", "queued"
                except AlertFailed as error:
                    yield f"sms {to}", str(error)
