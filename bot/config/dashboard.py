"""Settings of the page: who may see it, and how they reach it."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bot.config.section import Secrecy, Section

MIN_PASSWORD_LENGTH: Final = 8
_MIN_KEY_LENGTH: Final = 32
_MAX_NAME_LENGTH: Final = 64

RoleName = Literal["viewer", "operator", "admin"]
_ROLE: Final = "what that user may do: viewer reads, operator also trades and stops, admin everything"
_NAME: Final = "name of a further user; empty: none. More than three: ./botctl users add"
_PASSWORD: Final = (
    f"password of that user, at least {MIN_PASSWORD_LENGTH} characters; a change here counts at the next start"
)
_HASH: Final = "argon2id hash instead of that password, from ./botctl users hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededUser:
    """A person that the settings name; `setting` is what their names begin with."""

    setting: str
    name: str
    password: str = field(repr=False)
    password_hash: str = field(repr=False)
    role: RoleName


class DashboardSettings(Section):
    """Who may see the page. What people change on the page stays, until the setting itself is changed."""

    dashboard_user: str = Field(
        "admin", min_length=1, max_length=_MAX_NAME_LENGTH, description="name of the first user, an admin"
    )
    dashboard_password: Annotated[str, Secrecy.WHOLE] = Field(
        "",
        repr=False,
        description=f"password of the first user, at least {MIN_PASSWORD_LENGTH} characters; "
        "empty: one for the first login is made and printed once",
    )
    dashboard_user_1_name: str = Field("", max_length=_MAX_NAME_LENGTH, description=_NAME)
    dashboard_user_1_password: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_PASSWORD)
    dashboard_user_1_hash: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_HASH)
    dashboard_user_1_role: RoleName = Field("viewer", description=_ROLE)
    dashboard_user_2_name: str = Field("", max_length=_MAX_NAME_LENGTH, description=_NAME)
    dashboard_user_2_password: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_PASSWORD)
    dashboard_user_2_hash: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_HASH)
    dashboard_user_2_role: RoleName = Field("viewer", description=_ROLE)
    dashboard_user_3_name: str = Field("", max_length=_MAX_NAME_LENGTH, description=_NAME)
    dashboard_user_3_password: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_PASSWORD)
    dashboard_user_3_hash: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description=_HASH)
    dashboard_user_3_role: RoleName = Field("viewer", description=_ROLE)
    dashboard_key: Annotated[str, Secrecy.WHOLE] = Field(
        "",
        repr=False,
        description=f"key that second factors are encrypted with, at least {_MIN_KEY_LENGTH} characters; "
        "empty: one is made and kept in the data directory",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of the proxies that end TLS in front of the page, comma-separated, such as "
        "10.0.0.0/8; needed where HTTP_HOST is not of this machine alone",
    )

    @field_validator(
        "dashboard_password", "dashboard_user_1_password", "dashboard_user_2_password", "dashboard_user_3_password"
    )
    @classmethod
    def _long_enough(cls, text: str) -> str:
        if 0 < len(text) < MIN_PASSWORD_LENGTH:
            raise ValueError(f"must be empty or at least {MIN_PASSWORD_LENGTH} characters")
        return text

    @field_validator("dashboard_key")
    @classmethod
    def _strong_enough(cls, text: str) -> str:
        if 0 < len(text) < _MIN_KEY_LENGTH:
            raise ValueError(f"must be empty or at least {_MIN_KEY_LENGTH} characters: openssl rand -hex 32")
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _networks_only(cls, text: str) -> str:
        for each in _words(text):
            try:
                network = ip_network(each, strict=False)
            except ValueError:
                raise ValueError(f"{each!r} is no address or network such as 10.0.0.0/8") from None
            if network.prefixlen == 0:
                raise ValueError(f"{each!r} is every address there is; name those of the proxy")
        return text

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Who may say where a request came from."""
        return tuple(ip_network(each, strict=False) for each in _words(self.trusted_proxies))

    @property
    def further_users(self) -> tuple[SeededUser, ...]:
        """Those that the settings name besides the first one."""
        found = []
        for number in (1, 2, 3):
            start = f"dashboard_user_{number}"
            values = {part: getattr(self, f"{start}_{part}") for part in ("name", "password", "hash", "role")}
            if any(values[part] for part in ("name", "password", "hash")):
                found.append(
                    SeededUser(
                        setting=start.upper(),
                        name=values["name"],
                        password=values["password"],
                        password_hash=values["hash"],
                        role=values["role"],
                    )
                )
        return tuple(found)

    def user_is_whole(self, number: int) -> bool:
        """Whether a further user has a name, and either a password or a hash; or nothing of these."""
        name, password, password_hash = (
            getattr(self, f"dashboard_user_{number}_{part}") for part in ("name", "password", "hash")
        )
        return bool(name) == (bool(password) != bool(password_hash)) and not (password and password_hash)


def is_own_machine(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
