"""Which IG account is traded, and with which login."""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal

from bot.config.section import is_loopback
from bot.errors import ConfigError

_HOSTS: Final = {"demo": "https://demo-api.ig.com", "live": "https://api.ig.com"}
_TOLD_DIGITS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What it takes to talk to one account. `account` empty: the one that the login prefers.

    `oauth`: tokens that last a minute and are refreshed, instead of two that last hours. `url` is the loopback address
    of a fake that is asked instead of the venue.
    """

    environment: Literal["demo", "live"]
    key: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    account: str = field(default="", repr=False)
    oauth: bool = False
    url: str = ""

    def __post_init__(self) -> None:
        if self.url and not is_loopback(self.url, schemes=("http", "https")):
            raise ConfigError(f"ig: {self.url!r} is not an http address of this machine; keys are not sent there")

    @property
    def base(self) -> str:
        """Address that every path is appended to."""
        return f"{(self.url or _HOSTS[self.environment]).rstrip('/')}/gateway/deal"

    def shown(self, account: str) -> str:
        """An account as a person may see it."""
        return f"{self.environment} …{account[-_TOLD_DIGITS:]}"

    def fingerprint(self, account: str) -> str:
        """Tells two accounts apart without naming them."""
        return hashlib.sha256(f"ig|{self.environment}|{account}".encode()).hexdigest()[:16]
