"""Settings of alerts: who is told by which way, when it is quiet, and who may command by Telegram."""

import re
from datetime import time
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bot.config.section import FakeUrl, Secrecy, Section, ZoneName, is_loopback

_FAKE: Final = "loopback address of a fake that is asked instead, such as http://127.0.0.1:9000; empty: none"
_PHONE: Final = re.compile(r"\+[1-9]\d{6,14}")
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class AlertSettings(Section):
    """How people are told. Without a token and keys alerts are only kept: `./botctl alerts` shows them."""

    telegram_token: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="token of the Telegram bot")
    telegram_operators: str = Field(
        "", description="numeric Telegram ids of who may read, pause and kill, comma-separated; never user names"
    )
    telegram_viewers: str = Field("", description="numeric Telegram ids of who may only read, comma-separated")
    telegram_group: int = Field(
        0, le=0, description="id of a group that alerts go to as well, below 0; no command is taken from it; 0: none"
    )
    telegram_severity: Literal["info", "warning", "critical"] = Field(
        "info", description="least severity that goes to Telegram; info tells of every position"
    )
    telegram_balances: bool = Field(True, description="amounts of money may appear in answers on Telegram")
    telegram_url: FakeUrl = Field("", description=f"Telegram: {_FAKE}")

    clicksend_username: str = Field("", description="ClickSend user name, for text messages")
    clicksend_api_key: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="ClickSend API key")
    sms_to: str = Field("", description="phone numbers such as +61411111111 that get critical alerts, comma-separated")
    sms_after_s: float = Field(
        180, ge=10, le=86_400, description="seconds a critical alert waits to be acknowledged before it goes out by SMS"
    )
    sms_per_day: int = Field(10, ge=0, le=1_000, description="most text messages within 24 h, all numbers together")
    clicksend_url: FakeUrl = Field("", description=f"ClickSend: {_FAKE}")

    alert_repeat_s: float = Field(
        300, ge=1, le=86_400, description="seconds in which the same thing again is counted, not told again"
    )
    alert_keep_days: int = Field(
        180, ge=7, le=3_650, description="days that alerts are kept after they have ended; open ones stay"
    )
    quiet_hours: str = Field(
        "", description="such as 22:00-07:00, in alert_zone: only critical alerts are sent, others wait; empty: never"
    )
    alert_zone: ZoneName = Field("UTC", description="time zone of quiet hours and digests, as in Europe/Berlin")
    digest_hour: int = Field(7, ge=-1, le=23, description="hour of the daily digest, in alert_zone; -1: no digest")
    digest_weekday: int = Field(1, ge=0, le=7, description="day of the weekly digest: 1 Monday to 7 Sunday; 0: none")

    heartbeat_url: Annotated[str, Secrecy.WHOLE] = Field(
        "",
        repr=False,
        description="https address that is fetched while the daemon makes progress; whoever watches it tells you when "
        "that ends; empty: none",
    )
    heartbeat_interval_s: float = Field(60, ge=5, le=3_600, description="seconds between two fetches of it")
    heartbeat_patience_s: float = Field(
        900, ge=30, le=86_400, description="seconds without a good run of analysis or monitor that end the heartbeat"
    )

    @property
    def operator_ids(self) -> frozenset[int]:
        """Who may read, pause and kill."""
        return frozenset(map(int, _words(self.telegram_operators)))

    @property
    def viewer_ids(self) -> frozenset[int]:
        """Who may only read."""
        return frozenset(map(int, _words(self.telegram_viewers))) - self.operator_ids

    @property
    def phone_numbers(self) -> tuple[str, ...]:
        """Who gets text messages."""
        return _words(self.sms_to)

    @property
    def quiet(self) -> tuple[time, time] | None:
        """When it is quiet: from, and until; over midnight where the second is the earlier one."""
        match = _HOURS.fullmatch(self.quiet_hours)
        if match is None:
            return None
        first, second, third, fourth = map(int, match.groups())
        return time(first, second), time(third, fourth)

    @field_validator("telegram_operators", "telegram_viewers")
    @classmethod
    def _numeric_ids(cls, text: str) -> str:
        if not all(each.isascii() and each.isdigit() and int(each) > 0 for each in _words(text)):
            raise ValueError("must be numeric ids such as 123456789, comma-separated: names can be taken over")
        return text

    @field_validator("sms_to")
    @classmethod
    def _phone_numbers(cls, text: str) -> str:
        if not all(_PHONE.fullmatch(each) for each in _words(text)):
            raise ValueError("must be numbers in international form such as +61411111111, comma-separated")
        return text

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, text: str) -> str:
        if text and not _HOURS.fullmatch(text):
            raise ValueError("must be empty or hours such as 22:00-07:00")
        return text

    @field_validator("heartbeat_url")
    @classmethod
    def _https(cls, text: str) -> str:
        if text and not text.startswith("https://") and not is_loopback(text):
            raise ValueError("must be empty or begin with https://")
        return text

    @field_validator("telegram_token", "clicksend_api_key")
    @classmethod
    def _fits_an_address(cls, text: str) -> str:
        if not text.isascii() or not text.isprintable() or " " in text or "/" in text:
            raise ValueError("must be one line of plain letters, as the service shows it")
        return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
