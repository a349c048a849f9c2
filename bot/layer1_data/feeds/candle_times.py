"""Times as files write them, read as seconds or microseconds since 1970: ISO-8601, or such numbers themselves."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bot.models import Ints

TIME_BYTES: Final = 40  # longer than any time that is understood
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLISECONDS_FROM: Final = 100_000_000_000  # as seconds this would be the year 5138
_ISO_UTC: Final = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)((?:\.0+)?(?:Z|\+00:00)?)")
_EPOCH: Final = re.compile(r"(\d{9,13})(?:\.0+)?")  # fewer digits could as well be a date, more are not milliseconds


def plain_instants_s(cells: NDArray[np.bytes_]) -> Ints | None:
    """Times that are all written like the first one, shape (n,), as seconds; None if they are not."""
    first = cells[0].decode("ascii")
    codes = cells.view(np.uint8).reshape(len(cells), TIME_BYTES)
    iso = _ISO_UTC.fullmatch(first)
    length = len(iso[1]) if iso else len(first)
    digits = np.array([each.isdigit() for each in first[:length]])
    core = codes[:, :length]
    if (codes[:, length:] != codes[0, length:]).any() or (core[:, ~digits] != core[0, ~digits]).any():
        return None
    if (core[:, digits] - np.uint8(ord("0")) > 9).any():  # unsigned: what stands before "0" wraps to a large number
        return None
    plain = np.ascontiguousarray(core).view(f"S{length}").ravel()
    try:
        return plain.astype("datetime64[s]").astype(np.int64) if iso else _epochs_s(plain, first)
    except ValueError:  # month 13, hour 25
        return None


def _epochs_s(plain: NDArray[np.bytes_], first: str) -> Ints | None:
    if not (_EPOCH.fullmatch(first) and first.isdigit()):
        return None
    stamps = plain.astype(np.int64)
    if (stamps < _MILLISECONDS_FROM).all():
        return stamps
    whole = (stamps >= _MILLISECONDS_FROM).all() and not (stamps % 1_000).any()
    return stamps // 1_000 if whole else None


def instant_s(text: str) -> int:
    """One time of any kind that is understood. Raises ValueError, also for a part of a second."""
    seconds, rest = divmod(instant_us(text), 1_000_000)
    if rest:
        raise ValueError(f"time is {text.strip()!r}, not a whole second as the open of a candle; correct or remove it")
    return seconds


def instant_us(text: str) -> int:
    """The same in microseconds. Raises ValueError."""
    text = text.strip()
    if epoch := _EPOCH.fullmatch(text):
        stamp = int(epoch[1])
        return stamp * (1_000 if stamp >= _MILLISECONDS_FROM else 1_000_000)
    try:
        instant = datetime.fromisoformat("" if text.isdigit() else text)  # 20240501 could as well be seconds
    except ValueError:
        raise ValueError(
            f"time is {text!r}, neither ISO-8601 (2024-05-01T13:00:00Z) nor seconds or milliseconds since 1970; "
            "correct or remove it"
        ) from None
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _BEGIN) // _MICROSECOND


def utc_text(opened_at_s: int) -> str:
    """The instant as ISO-8601 with Z."""
    return f"{np.datetime64(opened_at_s, 's')}Z"
