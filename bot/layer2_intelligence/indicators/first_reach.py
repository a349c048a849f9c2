"""When a series first comes to a level, for many levels at once."""

import numpy as np

from bot.models import Floats, Ints


class FirstReach:
    """Searches in one column of shape (n,), without NaN.

    A search looks at stretches of 1, 2, 4, ... values while they stay above its level, and then halves the last one.
    It costs the logarithm of the distance found, so near levels cost the same in a long series as in a short one.
    """

    def __init__(self, values: Floats) -> None:
        self._count = len(values)
        # _lowest[e][i] is the least of the 2**e values from i on; the value after the end stops every search.
        self._lowest = [np.append(values, -np.inf)]

    def at_or_below(self, level: Floats, *, start: Ints) -> Ints:
        """The first index from `start` (>= 0) on with a value at or below `level`; n where there is none.

        All of shape (m,), without NaN.
        """
        found = np.minimum(start, self._count)
        stopped: list[Ints] = []
        moving = np.arange(len(found), dtype=np.int64)
        while len(moving):
            power = len(stopped)
            above = self._stretches(power)[found[moving]] > level[moving]
            stopped.append(moving[~above])
            moving = moving[above]
            found[moving] += 1 << power
        inside = np.empty(0, dtype=np.int64)
        for power in range(len(stopped) - 1, 0, -1):
            inside = np.concatenate((inside, stopped[power]))
            above = self._stretches(power - 1)[found[inside]] > level[inside]
            found[inside[above]] += 1 << (power - 1)
        return found

    def below(self, level: Floats, *, start: Ints) -> Ints:
        """As `at_or_below`, strictly below."""
        return self.at_or_below(np.nextafter(level, -np.inf), start=start)

    def _stretches(self, power: int) -> Floats:
        """Least values of stretches of 2**power values, made by doubling; those that pass the end hold its stop."""
        while len(self._lowest) <= power:
            half = 1 << (len(self._lowest) - 1)
            table = self._lowest[-1]
            longer = np.full(len(table), -np.inf)
            np.minimum(table[:-half], table[half:], out=longer[:-half])
            self._lowest.append(longer)
        return self._lowest[power]
