"""The ways to people as they are set, in words. No number, token or address is among them."""

from collections.abc import Sequence

from bot.alerts import Channel, Way
from bot.config import Settings
from bot.wiring.alerts import may_go_out

_DEV: Sequence[str] = ("dev mode makes no outside call", "use MODE=paper to be told of something")


def ways_of(settings: Settings) -> Sequence[Way]:
    """Telegram, text messages and the heartbeat."""
    return (_telegram(settings), _texts(settings), _heartbeat(settings))


def _telegram(settings: Settings) -> Way:
    wanted = settings.alerts
    people = len(wanted.operator_ids) + len(wanted.viewer_ids) + bool(wanted.telegram_group)
    if not wanted.telegram_token:
        return _not_set("Telegram", Channel.TELEGRAM, "set TELEGRAM_TOKEN and TELEGRAM_OPERATORS (docs/alerts.md)")
    if not may_go_out(settings, wanted.telegram_url):
        return Way(name="Telegram", channel=Channel.TELEGRAM, is_set=False, says=_DEV[0], next_step=_DEV[1])
    if not people:
        return Way(
            name="Telegram",
            channel=Channel.TELEGRAM,
            is_set=False,
            says="a bot, and nobody it may write to",
            next_step="set TELEGRAM_OPERATORS to your numeric id",
        )
    said = (
        f"{len(wanted.operator_ids)} may command, {len(wanted.viewer_ids)} may read"
        f"{', a group is told' if wanted.telegram_group else ''}; {wanted.telegram_severity} and worse"
    )
    return Way(name="Telegram", channel=Channel.TELEGRAM, is_set=True, says=said)


def _texts(settings: Settings) -> Way:
    wanted, name = settings.alerts, "Text messages"
    if not (wanted.clicksend_api_key and wanted.clicksend_username and wanted.phone_numbers):
        return _not_set(name, Channel.SMS, "set CLICKSEND_USERNAME, CLICKSEND_API_KEY and SMS_TO")
    if not may_go_out(settings, wanted.clicksend_url):
        return Way(name=name, channel=Channel.SMS, is_set=False, says=_DEV[0], next_step=_DEV[1])
    said = (
        f"{_count(len(wanted.phone_numbers), 'phone')}, for critical alerts that nobody took note of within "
        f"{wanted.sms_after_s:.0f} s; at most {wanted.sms_per_day} a day"
    )
    return Way(name=name, channel=Channel.SMS, is_set=True, says=said)


def _heartbeat(settings: Settings) -> Way:
    wanted, name = settings.alerts, "Heartbeat"
    if not wanted.heartbeat_url:
        return _not_set(name, None, "set HEARTBEAT_URL: only that notices that the whole machine is gone")
    if not may_go_out(settings, wanted.heartbeat_url):
        return Way(name=name, channel=None, is_set=False, says=_DEV[0], next_step=_DEV[1])
    return Way(
        name=name, channel=None, is_set=True, says=f"every {wanted.heartbeat_interval_s:.0f} s while all goes on"
    )


def _not_set(name: str, channel: Channel | None, next_step: str) -> Way:
    return Way(name=name, channel=channel, is_set=False, says="not set", next_step=next_step)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
