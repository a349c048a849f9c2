"""One setting as people see it: its name in the environment, what it accepts, its default, what of it may be shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from bot.config.section import Secrecy, Section
from bot.config.sections import Settings

HIDDEN: Final = "***"
_URL_PASSWORD: Final = re.compile(
    r"(://[^\s:/@]{0,128}:)[^\s]{0,512}(?=@)"
)  # to the last @: a raw password may hold one itself


def mask_url_passwords(text: str) -> str:
    """`text` with the password of each user:password@host address hidden."""
    return _URL_PASSWORD.sub(rf"\1{HIDDEN}", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One field of one section."""

    section: str
    field: str
    info: FieldInfo

    @property
    def name(self) -> str:
        """Name in the environment."""
        return self.field.upper()

    @property
    def meaning(self) -> str:
        """What it is, with its unit."""
        return self.info.description or ""

    @property
    def secrecy(self) -> Secrecy | None:
        """How much of it must not be shown; None: all may be."""
        return next((each for each in self.info.metadata if isinstance(each, Secrecy)), None)

    @property
    def default(self) -> str:
        """Default as it would be written in the environment."""
        return value_text(self.info.default)

    @property
    def accepts(self) -> str:
        """Kind and bounds: "a number from 0 to 1"."""
        kind, optional = _plain_type(self.info.annotation)
        if get_origin(kind) is Literal:
            text = f"one of {', '.join(get_args(kind))}"
        elif kind is bool:
            text = "true or false"
        elif kind is str:
            text = _text_bounds(self.info.metadata)
        else:
            text = f"a {'whole ' if kind is int else ''}number{_number_bounds(self.info.metadata)}"
        return f"{text}, or empty" if optional else text

    def value(self, settings: Settings) -> object:
        """Its value in `settings`, not masked."""
        return getattr(getattr(settings, self.section), self.field)

    def masked(self, text: str) -> str:
        """A value of it, as it may be shown: empty stays empty, so that "not set" is seen."""
        if self.secrecy is Secrecy.WHOLE and text:
            return HIDDEN
        if self.secrecy is Secrecy.URL_PASSWORD:
            return mask_url_passwords(text) if "://" in text else text and HIDDEN
        return text


def sections() -> Mapping[str, type[Section]]:
    """Section classes by the name of their field in Settings, in its order."""
    return {name: info.annotation for name, info in Settings.model_fields.items() if isinstance(info.annotation, type)}


def all_settings() -> tuple[Setting, ...]:
    """Every setting, in the order of the sections."""
    return tuple(
        Setting(section=section, field=field, info=info)
        for section, kind in sections().items()
        for field, info in kind.model_fields.items()
    )


def secret_values(settings: Settings) -> tuple[str, ...]:
    """Every secret that is set, for the log's redactor; of an address its password."""
    found: list[str] = []
    for setting in all_settings():
        value = str(setting.value(settings))
        if setting.secrecy is Secrecy.WHOLE and value:
            found.append(value)
        if setting.secrecy is Secrecy.URL_PASSWORD and (match := _URL_PASSWORD.search(value)):
            found.append(match.group().removeprefix(match.group(1)))
    return tuple(found)


def value_text(value: object) -> str:
    """A value as it would be written in the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type without Annotated and None, and whether None was in it."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = get_args(annotation)
    if NoneType not in members:
        return annotation, False
    return next(each for each in members if each is not NoneType), True


def _number_bounds(metadata: list[Any]) -> str:
    least, most = "", ""
    for bound in metadata:
        if isinstance(bound, Ge):
            least = f"from {_number(bound.ge)}"
        elif isinstance(bound, Gt):
            least = f"above {_number(bound.gt)}"
        elif isinstance(bound, Le):
            most = f"to {_number(bound.le)}"
        elif isinstance(bound, Lt):
            most = f"below {_number(bound.lt)}"
    if least.startswith("from") and not most:
        least = least.replace("from", "of at least")
    return "".join(f" {each}" for each in (least, most) if each)


def _number(bound: object) -> str:
    return value_text(bound) if isinstance(bound, int | float | Decimal) else str(bound)


def _text_bounds(metadata: list[Any]) -> str:
    shortest, longest, pattern = 0, None, None
    for bound in metadata:
        if isinstance(bound, MinLen):
            shortest = bound.min_length
        elif isinstance(bound, MaxLen):
            longest = bound.max_length
        else:
            pattern = getattr(bound, "pattern", pattern)
    if pattern:
        return f"text of the form {pattern}"
    if longest is not None:
        return f"text of {shortest} to {longest} characters"
    return "text, not empty" if shortest else "text"
