"""What every section of settings is."""

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Secrecy(StrEnum):
    """Marks a field that must not be shown, and how much of it is hidden."""

    WHOLE = "whole"
    URL_PASSWORD = "url_password"  # noqa: S105 a mark, not a password


class Section(BaseModel):
    """Base of all sections: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def is_loopback(url: str, *, schemes: Collection[str] = ("http",)) -> bool:
    """Whether `url` leads to this machine only. Keys are sent there, so a name that may lead elsewhere is not taken."""
    parts = urlsplit(url)
    try:
        return parts.scheme in schemes and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _of_this_machine(url: str) -> str:
    if url and not is_loopback(url):
        raise ValueError("must be empty or an http address of this machine, such as http://127.0.0.1:9000")
    return url


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError("must be a time zone like UTC, Europe/Berlin or America/New_York") from error
    return name


Ratio = Annotated[Decimal, Field(ge=0, le=1)]
FakeUrl = Annotated[str, AfterValidator(_of_this_machine)]  # of a fake that is asked instead of the service; or empty
ZoneName = Annotated[str, AfterValidator(_known_zone)]
