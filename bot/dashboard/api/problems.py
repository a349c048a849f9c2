"""What went wrong, for programs: problem JSON (RFC 9457) that names what was wrong and what would be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from pydantic import ValidationError

from bot.dashboard.api.encoding import as_json, titled

Place = Literal["path", "query", "header", "body"]

_LONGEST_SHOWN: Final = 80
_MOST_FAULTS: Final = 20  # whoever sends more has sent something else altogether
_SECRET_WORDS: Final = ("password", "code", "secret", "token")
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing; give it",
    "extra_forbidden": "is not known here; leave it out, or look for its name in /api/openapi.json",
    "too_many": "was given more than once; give it once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that does not fit: where it was, its name, the value that came, and what would fit."""

    place: Place
    name: str
    value: str | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDetails:
    """Why a request was not carried out (RFC 9457). `errors` has a row for each thing that does not fit, 20 at most."""

    type: str
    title: str
    status: int
    detail: str
    errors: Sequence[Fault] = ()


class Problem(Exception):
    """The answer to a request that is not carried out. `retry_after_s`: it may be once that time has passed."""

    def __init__(
        self, status: int, detail: str, *, faults: Sequence[Fault] = (), retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s

    @property
    def details(self) -> ProblemDetails:
        """Its JSON."""
        return ProblemDetails(
            type="about:blank",
            title=titled(self.status),
            status=self.status,
            detail=self.detail,
            errors=self.faults,
        )

    def answer(self) -> web.Response:
        """As an answer."""
        response = as_json(self.details, status=self.status, content_type="application/problem+json")
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        return response


def unfit(status: int, faults: Sequence[Fault]) -> Problem:
    """One problem for all that does not fit."""
    told = "; ".join(f"{each.place} {each.name} {each.says}" for each in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return Problem(status, f"{told}{more}. Nothing was done.", faults=faults[:_MOST_FAULTS])


def faults_of(error: ValidationError, place_of: Mapping[str, Place], otherwise: Place) -> list[Fault]:
    """The faults that a model found, in its order. `place_of` names the parameters that do not come `otherwise`."""
    found = []
    for each in error.errors(include_url=False, include_context=False):
        name = _short(".".join(str(part) for part in each["loc"])) or "(all of it)"
        missing = each["type"] in ("missing", "extra_forbidden") and isinstance(each["input"], dict)
        value = None if missing or is_secret(name) else _short(each["input"])
        says = _SENTENCES.get(each["type"]) or _sentence(each["msg"])
        found.append(
            Fault(
                place=place_of.get(str(each["loc"][0]) if each["loc"] else "", otherwise),
                name=name,
                value=value,
                says=says,
            )
        )
    return found


def is_secret(name: str) -> bool:
    """Its value is not told back."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def _sentence(message: str) -> str:
    """The library says "Input should be greater than 0"."""
    own = message.removeprefix("Value error, ")
    return own.replace("Input should", "should", 1) if own.startswith("Input should") else own[:1].lower() + own[1:]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
