"""What every section of settings is."""

from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field


class Secrecy(StrEnum):
    """Marks a field that must not be shown, and how much of it is hidden."""

    WHOLE = "whole"
    URL_PASSWORD = "url_password"  # noqa: S105 a mark, not a password


Ratio = Annotated[Decimal, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine only. Keys are sent there, so a name that may lead elsewhere is not taken."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
