"""How values are written in JSON.

Instants are ISO 8601 in UTC, NaN is null. Decimals are strings, because a number would lose digits in the reader;
`/api/status` alone has them as numbers, because it is for looking, not for calculating.
"""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus

import orjson
from aiohttp import web


def as_json(value: object, *, status: int = 200, decimals: type[str] | type[float] = str) -> web.Response:
    """A JSON answer; dataclasses and named tuples become objects of their fields."""

    def convert(item: object) -> object:
        if isinstance(item, Decimal):
            return decimals(format(item, "f"))
        if isinstance(item, Mapping):
            return dict(item)
        if isinstance(item, tuple) and hasattr(item, "_asdict"):  # orjson knows dataclasses, but not named tuples
            return item._asdict()
        raise TypeError(f"{type(item).__name__} has no JSON form")

    body = orjson.dumps(value, default=convert, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def problem(status: int) -> web.Response:
    """An error as problem JSON (RFC 9457): what kind it is, and nothing of what happened inside."""
    phrase = HTTPStatus(status)
    body = {"type": "about:blank", "title": phrase.phrase, "status": status, "detail": phrase.description}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/problem+json")
