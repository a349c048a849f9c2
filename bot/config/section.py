"""What every section of settings is."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Secrecy(StrEnum):
    """Marks a field that must not be shown, and how much of it is hidden."""

    WHOLE = "whole"
    URL_PASSWORD = "url_password"  # noqa: S105 a mark, not a password


Ratio = Annotated[Decimal, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
