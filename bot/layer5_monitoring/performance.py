"""What results are worth: averages with the interval that their number allows. Pure.

Few results prove nothing: an average without its interval would be a promise.
"""

import math
from dataclasses import dataclass
from typing import Final

LEAST_RESULTS: Final = 30  # below, an average says more about luck than about the idea

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, 1.96 + 2.4/n is exact to three digits.
_STUDENT: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def student(freedom: int) -> float:
    """97.5 % quantile of Student's t distribution."""
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96 + 2.4 / freedom


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """An average and the 95 % interval around it."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, mean: float | None, deviation: float | None) -> "MeanInterval | None":
        """From so many results and their standard deviation; None where Student's interval says nothing."""
        if mean is None or deviation is None or count < 2 or not deviation > 0.0:
            return None
        half = student(count - 1) * deviation / math.sqrt(count)
        return cls(mean=mean, low=mean - half, high=mean + half)


def telling(count: int, interval: MeanInterval | None) -> str:
    """What so many results prove, in a few words."""
    if not count:
        return "nothing to tell from"
    if count < LEAST_RESULTS:
        return f"{count} {'trade' if count == 1 else 'trades'}: too few to tell"
    if interval is None:
        return "all results are equal"
    if interval.low > 0:
        return "gains"
    return "loses" if interval.high < 0 else "not told from luck"
