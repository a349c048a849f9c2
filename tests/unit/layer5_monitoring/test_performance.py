"""What results are worth: few of them prove nothing, whatever their average."""

import pytest

from bot.layer5_monitoring.performance import LEAST_RESULTS, MeanInterval, telling


def test_the_interval_is_students_around_the_mean() -> None:
    found = MeanInterval.of(5, 0.6, 1.5)
    assert found is not None
    assert found.mean == 0.6
    assert (found.low, found.high) == pytest.approx((0.6 - 1.8624, 0.6 + 1.8624), abs=0.001)


@pytest.mark.parametrize(("count", "mean", "deviation"), [(0, None, None), (1, 2.0, None), (9, 1.0, 0.0)])
def test_there_is_no_interval_where_nothing_varies(count: int, mean: float | None, deviation: float | None) -> None:
    assert MeanInterval.of(count, mean, deviation) is None


@pytest.mark.parametrize(
    ("count", "mean", "says"),
    [
        (0, None, "nothing to tell from"),
        (1, 5.0, "1 trade: too few to tell"),
        (LEAST_RESULTS - 1, 5.0, f"{LEAST_RESULTS - 1} trades: too few to tell"),
        (LEAST_RESULTS, 5.0, "gains"),
        (LEAST_RESULTS, 0.1, "not told from luck"),
        (LEAST_RESULTS, -5.0, "loses"),
    ],
)
def test_only_enough_results_with_an_interval_on_one_side_tell_anything(
    count: int, mean: float | None, says: str
) -> None:
    assert telling(count, MeanInterval.of(count, mean, 1.0)) == says
