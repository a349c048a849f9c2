"""How values are written in JSON.

Instants are ISO 8601 in UTC, NaN is null. Decimals are strings, because a number would lose digits in the reader;
`/api/status` alone has them as numbers, because it is for looking, not for calculating.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus

import orjson
from aiohttp import web


def as_json(
    value: object,
    *,
    status: int = 200,
    decimals: type[str] | type[float] = str,
    content_type: str = "application/json",
) -> web.Response:
    """A JSON answer; dataclasses and named tuples become objects of their fields."""
    return web.Response(body=encoded(value, decimals=decimals), status=status, content_type=content_type)


def encoded(value: object, *, decimals: type[str] | type[float] = str) -> bytes:
    """`value` as JSON in UTF-8."""

    def convert(item: object) -> object:
        if isinstance(item, Decimal):
            return decimals(format(item, "f")) if item.is_finite() else None
        if isinstance(item, Mapping):
            return dict(item)
        if isinstance(item, frozenset):
            return sorted(item)
        if isinstance(item, tuple) and hasattr(item, "_asdict"):  # orjson knows dataclasses, but not named tuples
            return item._asdict()
        raise TypeError(f"{type(item).__name__} has no JSON form")

    return orjson.dumps(value, default=convert, option=orjson.OPT_NON_STR_KEYS)


def measured(value: float) -> float | None:
    """A number, or None where nothing was measured."""
    return value if math.isfinite(value) else None


def titled(status: int) -> str:
    """What a status is called."""
    return HTTPStatus(status).phrase


def problem(status: int) -> web.Response:
    """An error as problem JSON (RFC 9457): what kind it is, and nothing of what happened inside."""
    body = {"type": "about:blank", "title": titled(status), "status": status, "detail": HTTPStatus(status).description}
    return as_json(body, status=status, content_type="application/problem+json")
