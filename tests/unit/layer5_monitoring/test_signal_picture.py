"""A signal as a picture: what is drawn, how large it is, and what happens where no candles are known."""

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from bot.errors import DataError
from bot.instruments import Symbol
from bot.layer5_monitoring.signal_picture import draw_signal
from bot.models import CandleSeries, Direction, EntrySignal, Timeframe
from tests.fakes.dashboard_day import entry_signal

CLOSED_AT = datetime(2025, 3, 4, 14, 0, tzinfo=UTC)


def series(count: int = 300) -> CandleSeries:
    """A wave of candles, the newest one closed at CLOSED_AT."""
    opened_at_s = np.array([int(CLOSED_AT.timestamp()) - 3_600 * (count - k) for k in range(count)])
    close = 64_000 + 500 * np.sin(np.arange(count) / 9.0)
    open_ = close - 40 * np.cos(np.arange(count))
    return CandleSeries(
        Symbol("BTC/USDT"),
        Timeframe.H1,
        opened_at_s,
        open_,
        np.maximum(open_, close) + 30,
        np.minimum(open_, close) - 30,
        close,
        np.ones(count),
        np.zeros(count, dtype=np.int64),
    )


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


SIGNAL = entry_signal(candle_closed_at=CLOSED_AT)


def with_an_old_pivot() -> EntrySignal:
    assert SIGNAL.claim is not None
    return replace(SIGNAL, claim=replace(SIGNAL.claim, p1_at=CLOSED_AT - timedelta(days=60)))


@pytest.mark.parametrize(
    "signal",
    [
        pytest.param(SIGNAL, id="long"),
        pytest.param(replace(SIGNAL, direction=Direction.SHORT), id="short"),
        pytest.param(replace(SIGNAL, claim=None), id="without a claim"),
        pytest.param(replace(SIGNAL, direction=None, entry=None, stop_loss=None, targets=()), id="without levels"),
        pytest.param(with_an_old_pivot(), id="a pivot before the first candle"),
    ],
)
def test_a_picture_is_of_one_size_and_small_enough_to_be_sent(signal: EntrySignal) -> None:
    picture = draw_signal(signal, series())

    assert size_of(picture) == (880, 506)
    assert len(picture) < 200_000


def test_a_picture_shows_its_levels_and_nothing_of_later_candles() -> None:
    picture = draw_signal(SIGNAL, series())
    later = draw_signal(replace(SIGNAL, candle_closed_at=CLOSED_AT - timedelta(hours=5)), series())
    other_stop = draw_signal(replace(SIGNAL, stop_loss=Decimal("63000")), series())

    assert len({picture, later, other_stop}) == 3
    assert draw_signal(SIGNAL, series()) == picture
    assert (
        draw_signal(replace(SIGNAL, candle_closed_at=CLOSED_AT - timedelta(hours=5)), series().slice(0, 295)) == later
    )


@pytest.mark.parametrize("count", [0, 1])
def test_without_candles_there_is_no_picture(count: int) -> None:
    with pytest.raises(DataError, match="no candles are known"):
        draw_signal(SIGNAL, series(count))


def test_a_market_that_does_not_move_can_be_drawn() -> None:
    still = series()
    flat = np.full(len(still), 64_213.5)
    frozen = CandleSeries(
        still.symbol, still.timeframe, still.opened_at_s, flat, flat, flat, flat, still.volume, still.segment
    )
    levels = replace(SIGNAL, entry=Decimal("64213.5"), stop_loss=None, targets=(), claim=None)

    assert size_of(draw_signal(levels, frozen)) == (880, 506)
