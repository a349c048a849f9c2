"""Which models are set, whether the key reaches them, and for how long they will be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from bot.config import AnalystSettings
from bot.layer2_intelligence.analyst.capabilities import MODELS, ModelTraits, traits_of

WARN_BEFORE: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """One model. `reachable` None: the server was not asked. `warnings` are sentences with a next step."""

    model: str
    role: str
    traits: ModelTraits | None
    reachable: bool | None
    retires_on: date | None
    warnings: tuple[str, ...]


def model_lines(
    settings: AnalystSettings, today: date, served: Sequence[Mapping[str, Any]] | None
) -> tuple[ModelLine, ...]:
    """The models that are set, then the others of the table. `served`: rows of GET /v1/models, None if not asked."""
    roles = {settings.analyst_model: "ANALYST_MODEL"}
    if settings.analyst_fallback_model:
        roles.setdefault(settings.analyst_fallback_model, "ANALYST_FALLBACK_MODEL")
    rows = None if served is None else {str(each.get("id")): each for each in served}
    return tuple(_line(model, roles.get(model, ""), today, rows) for model in dict.fromkeys([*roles, *MODELS]))


def _line(model: str, role: str, today: date, rows: Mapping[str, Mapping[str, Any]] | None) -> ModelLine:
    traits = traits_of(model)
    row = _row_of(model, traits, rows or {})
    gone = row.get("lifecycle") == "retired"
    reachable = None if rows is None else bool(row) and not gone
    retires_on = _day(row.get("retires_at")) or (traits.retires_on if traits else None)
    faults = _faults(model, role, traits, reachable, retires_on, today) if role else ()
    return ModelLine(
        model=model, role=role, traits=traits, reachable=reachable, retires_on=retires_on, warnings=tuple(faults)
    )


def _row_of(model: str, traits: ModelTraits | None, rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the server says of a model, by the name that is set or by its full id."""
    return rows.get(model) or (rows.get(traits.model) if traits else None) or {}


def _faults(
    model: str, role: str, traits: ModelTraits | None, reachable: bool | None, retires_on: date | None, today: date
) -> list[str]:
    said = []
    if traits is None:
        said.append(
            f"{role}={model} is not in the table of models: its price is unknown, so it is not asked; set another"
        )
    if reachable is False:
        said.append(f"{role}={model} is not among the models that this key can use; set another")
    if retires_on is not None and retires_on <= today:
        said.append(f"{role}={model} retired on {retires_on}; set another")
    elif retires_on is not None and retires_on - today <= WARN_BEFORE:
        days = (retires_on - today).days
        said.append(f"{role}={model} retires on {retires_on}, in {days} days; set another before")
    return said


def _day(text: object) -> date | None:
    try:
        return datetime.fromisoformat(str(text)).date() if text else None
    except ValueError:
        return None
