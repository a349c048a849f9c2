"""Which OANDA account is traded, and with which token."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from bot.errors import ConfigError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Environment(StrEnum):
    """Play money or real money; a token belongs to one of them."""

    PRACTICE = "practice"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What it takes to talk to one account. `url` stands in for the venue's hosts and must lead to this machine."""

    token: str = field(repr=False)
    account: str = field(repr=False)
    environment: Environment
    url: str | None = None

    def __post_init__(self) -> None:
        host = None if self.url is None else urlsplit(self.url).hostname
        if self.url is not None and host not in _LOOPBACK:
            raise ConfigError(f"oanda: url {self.url!r} is not on this machine; leave it out to use the venue's hosts")

    @property
    def shown(self) -> str:
        """The account as a person may see it."""
        return f"{self.environment.value} ...{self.account[-7:]}"

    @property
    def fingerprint(self) -> str:
        """Tells two accounts apart without naming them."""
        return hashlib.sha256(f"oanda|{self.environment.value}|{self.account}".encode()).hexdigest()[:16]

    def hide(self, text: str) -> str:
        """`text` without token and account number."""
        return text.replace(self.token, "***").replace(self.account, "***") if self.token and self.account else text


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOuts:
    """`silence_s`: longest wait for the next byte of an answer; `whole_s`: for all of it; `stream_s`: of a stream;
    `joined_s`: for the answer to another one's question, which was the same."""

    silence_s: float = 10.0
    whole_s: float = 20.0
    stream_s: float = 15.0
    joined_s: float = 2.0
