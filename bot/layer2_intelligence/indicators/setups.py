"""Setups (SPEC section 4): the divergences of one second pivot, reduced to the majority kind and scored."""

from collections.abc import Iterable, Mapping
from itertools import combinations, groupby
from operator import attrgetter
from typing import Final

from bot.config import DivergenceSettings
from bot.layer2_intelligence.indicators.divergence import UNBOUNDED, least_difference
from bot.models import Divergence, DivergenceKind, DivergenceSetup, Floats

# Oscillators of a family are nearly the same series, so families confirm each other, oscillators do not.
FAMILIES: Final = {
    "rsi": "momentum",
    "cci": "momentum",
    "stoch_k": "range",
    "willr": "range",
    "macd_hist": "trend",
    "mfi": "volume",
}
# Few sets of families occur over and over: one sorted tuple for each, by the set.
_FAMILY_NAMES: Final = sorted(set(FAMILIES.values()))
_SORTED: Final = {frozenset(names): names for count in range(1, 5) for names in combinations(_FAMILY_NAMES, count)}
_FAMILY_WEIGHT, _MAGNITUDE_WEIGHT, _PRICE_WEIGHT = 0.5, 0.3, 0.2
_ALL_FAMILIES: Final = 4
_FULL_MAGNITUDE: Final = 4  # times the least difference counts as 1


def setups(events: Iterable[Divergence], atr: Floats, settings: DivergenceSettings) -> list[DivergenceSetup]:
    """Setups of `events` (sorted as `divergences` gives them), in the same order."""
    least = {name: least_difference(name, settings) for name in FAMILIES}
    groups = groupby(events, key=attrgetter("known_at", "direction"))
    return [_setup(list(group), atr, least) for _, group in groups]


def _setup(group: list[Divergence], atr: Floats, least: Mapping[str, float]) -> DivergenceSetup:
    regular = sum(each.kind is DivergenceKind.REGULAR for each in group)
    kind = DivergenceKind.REGULAR if 2 * regular >= len(group) else DivergenceKind.HIDDEN
    left = tuple(each for each in group if each.kind is kind)
    first_pivots = [each.p1 for each in left]
    p1 = max(first_pivots, key=lambda each: (first_pivots.count(each), each))
    families = _SORTED[frozenset([FAMILIES[each.oscillator] for each in left])]
    chosen, atr2 = left[first_pivots.index(p1)], atr.item(left[0].p2)
    magnitude = _median([_magnitude(each, atr2, least) for each in left])
    return DivergenceSetup(
        known_at=chosen.known_at,
        direction=chosen.direction,
        kind=kind,
        p1=p1,
        p2=chosen.p2,
        divergences=left,
        families=families,
        score=_FAMILY_WEIGHT * len(families) / _ALL_FAMILIES
        + _MAGNITUDE_WEIGHT * magnitude
        + _PRICE_WEIGHT * _share(abs(chosen.price2 - chosen.price1), atr2),
    )


def _magnitude(event: Divergence, atr: float, least: Mapping[str, float]) -> float:
    needed = least[event.oscillator] * (atr if event.oscillator == UNBOUNDED else 1.0)
    return _share(abs(event.osc2 - event.osc1), _FULL_MAGNITUDE * needed)


def _share(difference: float, whole: float) -> float:
    """`difference` as a share of `whole`, at most 1; a difference always counts in full where nothing is demanded."""
    return min(1.0, difference / whole) if whole > 0 else 1.0


def _median(values: list[float]) -> float:
    """`statistics.median`, which takes ten times as long."""
    values.sort()
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
