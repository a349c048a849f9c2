"""Which holes split a series, and which candles and quotes are quarantined."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.instruments import AssetClass, Symbol, default_registry
from bot.layer1_data import quality
from bot.layer1_data.quality import is_unscheduled_hole, price_fault, quarantine, quote_fault, segments
from bot.models import Candle, Quote, Timeframe

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
EUR_USD = default_registry().get("EUR_USD")


def new_york_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


def splits(last_close: str, next_open: str, timeframe: Timeframe, asset_class: AssetClass) -> bool:
    """Whether a hole between two New York times is unscheduled."""
    previous_open = new_york_s(last_close) - timeframe.seconds
    return is_unscheduled_hole(previous_open, new_york_s(next_open), timeframe, asset_class)


def candle(opened_at: datetime = NOW - timedelta(hours=1), changes: Mapping[str, str] | None = None) -> Candle:
    numbers = {"open": "1.10", "high": "1.12", "low": "1.09", "close": "1.11", "volume": "5", **(changes or {})}
    prices = {name: Decimal(value) for name, value in numbers.items()}
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timedelta(hours=1),
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        close=prices["close"],
        volume=prices["volume"],
    )


# --------------------------------------------------------------------------------------------------------------- holes


@pytest.mark.parametrize("asset_class", list(AssetClass))
def test_three_missing_candles_are_no_new_segment_in_any_market(asset_class: AssetClass) -> None:
    opens = new_york_s("2024-03-06 10:00") + 60 * np.array([0, 1, 2, 6, 7])  # a Wednesday, all markets open

    assert segments(opens, Timeframe.M1, asset_class).tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("asset_class", list(AssetClass))
def test_four_missing_candles_in_open_market_start_a_new_segment_in_every_market(asset_class: AssetClass) -> None:
    opens = new_york_s("2024-03-06 10:00") + 60 * np.array([0, 1, 2, 7, 8, 13])

    assert segments(opens, Timeframe.M1, asset_class).tolist() == [0, 0, 0, 1, 1, 2]


def test_every_long_hole_of_crypto_is_unscheduled() -> None:
    assert splits("2024-03-08 17:00", "2024-03-10 17:00", Timeframe.H1, AssetClass.CRYPTO)
    assert splits("2023-12-24 17:00", "2023-12-25 17:00", Timeframe.H4, AssetClass.CRYPTO)


@pytest.mark.parametrize(
    ("last_close", "next_open"),
    [
        ("2024-02-02 17:00", "2024-02-04 17:00"),  # winter
        ("2024-07-12 17:00", "2024-07-14 17:00"),  # summer
        ("2024-03-08 17:00", "2024-03-10 17:00"),  # the clocks change in between
        ("2024-11-01 16:55", "2024-11-03 17:05"),
        ("2024-12-24 13:00", "2024-12-25 18:00"),
        ("2024-12-31 17:00", "2025-01-02 02:00"),
    ],
)
def test_weekends_christmas_and_new_year_do_not_split_forex_metals_or_indices(last_close: str, next_open: str) -> None:
    for asset_class in (AssetClass.FOREX, AssetClass.METAL, AssetClass.COMMODITY, AssetClass.INDEX, AssetClass.BOND):
        assert not splits(last_close, next_open, Timeframe.M1, asset_class), asset_class


@pytest.mark.parametrize(
    ("last_close", "next_open"),
    [
        ("2024-02-02 11:00", "2024-02-04 17:00"),  # the outage began on Friday morning
        ("2024-02-02 12:40", "2024-02-04 17:00"),  # only just too early: the daily rest inside the weekend counts once
        ("2024-02-02 17:00", "2024-02-05 09:00"),  # it lasted into Monday
        ("2024-02-06 02:00", "2024-02-06 07:00"),
        ("2024-02-06 17:00", "2024-02-08 17:00"),
        ("2024-02-02 17:00", "2024-02-25 17:00"),
    ],
)
def test_an_outage_splits_forex_also_when_a_weekend_lies_in_it(last_close: str, next_open: str) -> None:
    assert splits(last_close, next_open, Timeframe.H1, AssetClass.FOREX)


def test_three_candles_missing_beside_a_weekend_do_not_split_forex() -> None:
    assert not splits("2024-02-02 13:00", "2024-02-04 17:00", Timeframe.H1, AssetClass.FOREX)


def test_the_daily_rest_of_metals_and_indices_does_not_split_them_but_an_hour_at_noon_does() -> None:
    for asset_class in (AssetClass.METAL, AssetClass.INDEX, AssetClass.COMMODITY):
        assert not splits("2024-03-06 17:00", "2024-03-06 18:00", Timeframe.M1, asset_class)
        assert splits("2024-03-06 12:00", "2024-03-06 13:00", Timeframe.M1, asset_class)
    assert splits("2024-03-06 17:00", "2024-03-06 18:00", Timeframe.M1, AssetClass.FOREX)


def test_the_night_of_an_exchange_session_splits_a_metal_but_not_an_index() -> None:
    assert not splits("2024-03-06 16:00", "2024-03-07 09:30", Timeframe.M1, AssetClass.INDEX)
    assert not splits("2024-03-08 16:00", "2024-03-11 09:30", Timeframe.M1, AssetClass.INDEX)
    assert not splits("2024-01-12 16:00", "2024-01-16 09:30", Timeframe.M1, AssetClass.INDEX)  # Martin Luther King
    assert splits("2024-03-06 16:00", "2024-03-07 09:30", Timeframe.M1, AssetClass.METAL)


def test_metals_close_on_good_friday_and_early_on_us_holidays() -> None:
    assert not splits("2024-03-28 17:00", "2024-03-31 18:00", Timeframe.M15, AssetClass.METAL)
    assert not splits("2024-09-02 13:00", "2024-09-02 18:00", Timeframe.M15, AssetClass.METAL)
    assert splits("2024-09-03 13:00", "2024-09-03 18:00", Timeframe.M15, AssetClass.METAL)


@pytest.mark.parametrize(
    ("last_close", "next_open"),
    [
        ("2024-03-06 16:00", "2024-03-07 09:30"),
        ("2024-03-06 07:15", "2024-03-06 09:30"),  # sparse pre-market
        ("2024-03-08 16:00", "2024-03-11 09:30"),
        ("2024-01-12 16:00", "2024-01-16 09:30"),  # a Monday holiday
        ("2024-11-27 16:00", "2024-11-29 09:30"),  # Thanksgiving
        ("2024-11-29 13:00", "2024-12-02 09:30"),  # half a session after it
    ],
)
def test_what_lies_between_two_sessions_does_not_split_a_stock(last_close: str, next_open: str) -> None:
    assert not splits(last_close, next_open, Timeframe.M1, AssetClass.STOCK)


@pytest.mark.parametrize(
    ("last_close", "next_open"),
    [
        ("2024-03-06 11:00", "2024-03-06 11:04"),
        ("2024-03-06 15:00", "2024-03-07 09:30"),  # the last hour is missing
        ("2024-03-06 16:00", "2024-03-07 09:35"),  # the first minutes are
        ("2001-09-10 16:00", "2001-09-17 09:30"),  # longer than any weekend with its holidays
    ],
)
def test_missing_regular_hours_split_a_stock(last_close: str, next_open: str) -> None:
    assert splits(last_close, next_open, Timeframe.M1, AssetClass.STOCK)


@pytest.mark.parametrize(
    ("year", "month", "day"), [(1961, 3, 31), (2000, 4, 21), (2018, 3, 30), (2019, 4, 19), (2038, 4, 23), (2049, 4, 16)]
)
def test_good_friday_is_found_in_early_and_late_years(year: int, month: int, day: int) -> None:
    assert quality._good_friday(year) == date(year, month, day)


def test_daily_candles_of_stocks_and_forex_over_weekends_are_one_segment() -> None:
    fridays_and_mondays = np.array([date(2024, 3, day).toordinal() for day in (1, 4, 5, 6, 7, 8, 11)]) - 719_163

    for asset_class in (AssetClass.STOCK, AssetClass.FOREX):
        assert not segments(fridays_and_mondays * 86_400, Timeframe.D1, asset_class).any()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
    st.sampled_from(list(Timeframe)),
    st.sampled_from(list(AssetClass)),
    st.data(),
)
def test_segments_of_a_prefix_are_a_prefix_of_the_segments(
    steps: list[int], timeframe: Timeframe, asset_class: AssetClass, data: st.DataObject
) -> None:
    opens = new_york_s("2024-11-25 09:30") + timeframe.seconds * np.cumsum(steps)
    count = data.draw(st.integers(0, len(opens)))

    whole = segments(opens, timeframe, asset_class)

    assert segments(opens[:count], timeframe, asset_class).tolist() == whole[:count].tolist()
    assert set(np.diff(whole).tolist()) <= {0, 1}


# ------------------------------------------------------------------------------------------------------------- candles


def test_a_fit_candle_is_passed_on_unchanged() -> None:
    fit = candle()

    assert quarantine([fit], Timeframe.H1, now=NOW, last_opened_at=NOW - timedelta(hours=2)) == ([fit], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"close": "NaN"}, "close NaN is not a finite number"),
        ({"high": "Infinity"}, "high Infinity is not a finite number"),
        ({"volume": "NaN"}, "volume NaN is not a finite number"),
        ({"low": "0"}, "low 0 is not above 0"),
        ({"open": "-1.10"}, "open -1.10 is not above 0"),
        ({"high": "1.105"}, "high 1.105 is below close 1.11"),
        ({"low": "1.105"}, "low 1.105 is above open 1.10"),
        ({"high": "1.05"}, "high 1.05 is below open 1.10"),
        ({"volume": "-1"}, "volume -1 is below 0"),
    ],
)
def test_a_candle_with_an_impossible_number_is_quarantined_with_column_and_value(
    changes: dict[str, str], reason: str
) -> None:
    bad = candle(changes=changes)

    good, quarantined = quarantine([bad], Timeframe.H1, now=NOW, last_opened_at=None)

    assert (good, [(each.candle, each.reason) for each in quarantined]) == ([], [(bad, reason)])


def test_a_flat_candle_without_volume_is_fit() -> None:
    flat = candle(changes={"open": "1", "high": "1", "low": "1", "close": "1", "volume": "0"})

    assert quarantine([flat], Timeframe.H1, now=NOW, last_opened_at=None)[0] == [flat]


def test_duplicates_disorder_and_what_is_older_than_the_last_known_are_quarantined() -> None:
    opens = [NOW - timedelta(hours=hours) for hours in (6, 5, 3, 4, 3, 2)]

    good, bad = quarantine(
        [candle(each) for each in opens], Timeframe.H1, now=NOW, last_opened_at=NOW - timedelta(hours=5)
    )

    assert [each.opened_at for each in good] == [opens[2], opens[5]]
    assert [each.reason for each in bad] == [
        "out of order: opened at 2024-03-01T06:00:00Z, before the last known 2024-03-01T07:00:00Z",
        "duplicate: a candle opened at 2024-03-01T07:00:00Z is already known",
        "out of order: opened at 2024-03-01T08:00:00Z, before the last known 2024-03-01T09:00:00Z",
        "duplicate: a candle opened at 2024-03-01T09:00:00Z is already known",
    ]


def test_a_candle_is_quarantined_until_the_instant_it_closes() -> None:
    forming = candle(NOW - timedelta(hours=1))

    before = quarantine([forming], Timeframe.H1, now=NOW - timedelta(microseconds=1), last_opened_at=None)

    assert [each.reason for each in before[1]] == ["not closed yet: closes at 2024-03-01T12:00:00Z"]
    assert quarantine([forming], Timeframe.H1, now=NOW, last_opened_at=None)[0] == [forming]


def test_a_candle_of_another_length_is_quarantined() -> None:
    hourly = candle(NOW - timedelta(hours=9))

    _, bad = quarantine([hourly], Timeframe.H4, now=NOW, last_opened_at=None)

    assert [each.reason for each in bad] == ["length 1:00:00 is not that of a 4h candle"]


def test_a_bad_candle_does_not_become_the_last_known_one() -> None:
    first, broken, third = (
        candle(NOW - timedelta(hours=3)),
        candle(NOW - timedelta(hours=2), {"low": "2"}),
        candle(NOW - timedelta(hours=2)),
    )

    good, bad = quarantine([first, broken, third], Timeframe.H1, now=NOW, last_opened_at=None)

    assert (good, len(bad)) == ([first, third], 1)


_ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 2.0, 3.0])


@settings(deadline=None, max_examples=300)
@given(_ANY_NUMBER, _ANY_NUMBER, _ANY_NUMBER, _ANY_NUMBER, _ANY_NUMBER)
def test_floats_and_decimals_get_the_same_answer(
    open_: float, high: float, low: float, close: float, vol: float
) -> None:
    numbers = (open_, high, low, close, vol)

    in_floats = price_fault(*numbers)
    in_decimals = price_fault(*(Decimal(repr(each)) for each in numbers))

    assert bool(in_floats) == bool(in_decimals)
    if not in_floats:
        assert 0 < low <= min(open_, close) <= max(open_, close) <= high < float("inf")
        assert 0 <= vol < float("inf")


# -------------------------------------------------------------------------------------------------------------- quotes


def quote(bid: str, ask: str, *, age_s: float = 0) -> Quote:
    at = NOW - timedelta(seconds=age_s)
    return Quote(symbol=Symbol("EUR_USD"), bid=Decimal(bid), ask=Decimal(ask), at=at)


def test_an_ordinary_and_a_locked_quote_are_fit() -> None:
    assert quote_fault(quote("1.10000", "1.10010"), EUR_USD, now=NOW) == ""
    assert quote_fault(quote("1.10000", "1.10000"), EUR_USD, now=NOW) == ""


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (quote("1.1001", "1.1000"), "EUR_USD: crossed, bid 1.1001 is above ask 1.1000"),
        (quote("0", "1.1"), "EUR_USD: bid 0 is not a price"),
        (quote("1.1", "NaN"), "EUR_USD: ask NaN is not a price"),
        (quote("-1", "1.1"), "EUR_USD: bid -1 is not a price"),
        (quote("1.1", "1.1001", age_s=61), "EUR_USD: stale, 61.0 s old, limit 60.0 s"),
        (quote("1.1", "1.1001", age_s=-6), "EUR_USD: stamped 2024-03-01T12:00:06Z, after now 2024-03-01T12:00:00Z"),
        (quote("1.1", "1.2"), "EUR_USD: spread 0.1 is absurd, limit 0.004"),
    ],
)
def test_an_unfit_quote_is_named_with_its_values(bad: Quote, says: str) -> None:
    assert quote_fault(bad, EUR_USD, now=NOW).startswith(says)


@pytest.mark.parametrize("age_s", [60, -5])
def test_a_quote_at_the_limit_of_its_age_is_fit(age_s: float) -> None:
    assert quote_fault(quote("1.1", "1.1001", age_s=age_s), EUR_USD, now=NOW) == ""


@settings(deadline=None)
@given(st.decimals("0.5", "2", places=5), st.decimals("0", "0.004", places=5))
def test_a_spread_up_to_the_limit_is_never_absurd(bid: Decimal, spread: Decimal) -> None:
    assume(spread > 0)

    assert quote_fault(quote(str(bid), str(bid + spread)), EUR_USD, now=NOW) == ""
