"""What the marks of one analyst come to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, quantiles, stdev
from typing import Final

from bot.layer2_intelligence.analyst.evaluation.charts import Rung
from bot.layer2_intelligence.analyst.evaluation.marks import Mark, Said
from bot.layer2_intelligence.analyst.evaluation.statistics import Calibration, Forecast, Share, calibration
from bot.layer2_intelligence.evidence import ModelFault

_ORIGINAL: Final = frozenset({Rung.PLANTED, Rung.ABSENT, Rung.NULL, Rung.RECORDED})
_FOUND_WITHIN: Final = 1  # candles between the pivots of two answers that mean the same one
_Z: Final = 1.96
_COIN_BRIER: Final = 0.25  # of whoever always says "one half"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterGain:
    """Mean R of the detector's candidates that an analyst kept, less that of those it turned down; 95 % interval."""

    kept: int
    declined: int
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures of one analyst. Shares are of what could be counted: what was not answered is in none but `answered`.

    `fabrication`, `misreading` and `untradable` are shares of the claims; `precision` and `recall` hold the claims
    against the detector, on all charts that are no change of another. `null_seen` is how often something was seen in a
    random walk, `null_false` how often without the detector's agreement. `sure_of_reading` calibrates the confidence
    against the truth of the claim; `made` and `recorded` against the nearest target being hit before the stop.
    """

    analyst: str
    asked: int
    answered: Share
    unanswered: Mapping[str, int]
    live: Share
    valid: Share
    true_claims: Share
    fabrication: Share
    misreading: Share
    untradable: Share
    precision: Share
    recall: Share
    planted_found: Share
    absent_quiet: Share
    null_seen: Share
    null_false: Share
    mirrored: Share
    rescaled: Share
    repeated: Share
    sure_of_reading: Calibration
    made: Calibration
    recorded: Calibration
    recorded_by: Mapping[str, Calibration]
    filter: FilterGain
    accepted_mean_r: float | None
    cost: Decimal
    cost_per_answer: Decimal | None
    latency_median_s: float | None
    latency_p95_s: float | None

    @property
    def score(self) -> float:
        """0..100: how much it knows, times how steady it is. It ranks; it opens nothing.

        What could not be counted gives 0: nobody is credited with what was not asked. Only the repetition is left out
        where it could not be counted: answers from recordings never repeat anything.
        """
        brier = self.made.brier
        knows = fmean(
            (
                self.true_claims.value or 0.0,
                self.planted_found.value or 0.0,
                self.absent_quiet.value or 0.0,
                0.0 if self.null_false.value is None else 1.0 - self.null_false.value,
                0.0 if brier is None else max(0.0, 1.0 - brier / _COIN_BRIER),
            )
        )
        steady = [each.value or 0.0 for each in (self.valid, self.mirrored, self.rescaled)]
        if self.repeated.value is not None:
            steady.append(self.repeated.value)
        return 100.0 * knows * fmean(steady)


def figures(analyst: str, marks: Sequence[Mark]) -> Figures:
    """The figures of all marks of one analyst."""
    answered = [each for each in marks if each.said is not Said.NO_ANSWER]
    valid = [each for each in answered if each.said is not Said.INVALID]
    claims = [each for each in valid if each.said is Said.CLAIM]
    originals = [each for each in valid if each.rung in _ORIGINAL]
    of = _by_rung(valid)
    known = {each.chart: each for each in valid}
    recorded = of(Rung.RECORDED)
    accepted = [each.r for each in recorded if each.accepted and each.r is not None]
    cost = sum((each.cost for each in marks), Decimal(0))
    latencies = [each.latency_s for each in marks if each.latency_s is not None]
    return Figures(
        analyst=analyst,
        asked=len(marks),
        answered=Share(len(answered), len(marks)),
        unanswered=dict(Counter(each.why for each in marks if each.said is Said.NO_ANSWER)),
        live=_share(answered, lambda each: each.origin == "live"),
        valid=Share(len(valid), len(answered)),
        true_claims=_share(claims, lambda each: each.is_true),
        fabrication=_share(claims, lambda each: each.fault in (ModelFault.FABRICATION, ModelFault.MALFORMED)),
        misreading=_share(claims, lambda each: each.fault is ModelFault.MISREADING),
        untradable=_share(claims, lambda each: each.fault is ModelFault.UNTRADABLE),
        precision=_share([each for each in originals if each.said is Said.CLAIM], _agrees),
        recall=_share([each for each in originals if each.detector], _agrees),
        planted_found=_share(of(Rung.PLANTED), lambda each: each.is_true and each.direction is each.planted),
        absent_quiet=_share(of(Rung.ABSENT), lambda each: each.said is Said.NOTHING),
        null_seen=_share(of(Rung.NULL), lambda each: each.said is Said.CLAIM),
        null_false=_share(of(Rung.NULL), lambda each: each.said is Said.CLAIM and not _agrees(each)),
        mirrored=_twins(of(Rung.MIRRORED), known, flips=True),
        rescaled=_twins(of(Rung.RESCALED), known),
        repeated=_twins(of(Rung.REPEATED), known),
        sure_of_reading=calibration([Forecast(each.confidence, each.is_true) for each in claims]),
        made=_outcomes([*of(Rung.PLANTED), *of(Rung.NULL)]),
        recorded=_outcomes(recorded),
        recorded_by=_groups(recorded),
        filter=filter_gain(recorded),
        accepted_mean_r=fmean(accepted) if accepted else None,
        cost=cost,
        cost_per_answer=cost / len(answered) if answered else None,
        latency_median_s=_quantile(latencies, 50),
        latency_p95_s=_quantile(latencies, 95),
    )


def filter_gain(marks: Iterable[Mark]) -> FilterGain:
    """What an analyst's yes is worth in front of the detector's candidates: `detector_r` of both groups compared.

    As in the daemon, a void claim is a no, also one that is true and too late.
    """
    candidates = [each for each in marks if each.detector and each.detector_r is not None]
    kept = [each.detector_r for each in candidates if _keeps(each) and each.detector_r is not None]
    declined = [each.detector_r for each in candidates if not _keeps(each) and each.detector_r is not None]
    if len(kept) < 2 or len(declined) < 2:
        return FilterGain(kept=len(kept), declined=len(declined), difference=None, low=None, high=None)
    difference = fmean(kept) - fmean(declined)
    half = _Z * (stdev(kept) ** 2 / len(kept) + stdev(declined) ** 2 / len(declined)) ** 0.5
    return FilterGain(
        kept=len(kept), declined=len(declined), difference=difference, low=difference - half, high=difference + half
    )


def _by_rung(marks: Sequence[Mark]) -> Callable[[Rung], list[Mark]]:
    return lambda rung: [each for each in marks if each.rung is rung]


def _share(marks: Sequence[Mark], counts: Callable[[Mark], bool]) -> Share:
    return Share(sum(map(counts, marks)), len(marks))


def _agrees(mark: Mark) -> bool:
    """A true claim in a direction that the detector sees, too."""
    return mark.is_true and mark.direction in mark.detector


def _keeps(mark: Mark) -> bool:
    return _agrees(mark) and mark.fault is None


def _twins(changed: Sequence[Mark], known: Mapping[str, Mark], *, flips: bool = False) -> Share:
    """How often a changed chart got the answer of the one it was made from. One recording read twice tells nothing."""
    pairs = [(each, known[each.twin]) for each in changed if each.twin in known]
    pairs = [(after, before) for after, before in pairs if not after.recording or after.recording != before.recording]
    return Share(sum(_same(after, before, flips=flips) for after, before in pairs), len(pairs))


def _same(after: Mark, before: Mark, *, flips: bool) -> bool:
    if after.said is not before.said or after.said is Said.NOTHING:
        return after.said is before.said
    if after.direction is None or before.direction is None:
        return after.direction is before.direction
    expected = before.direction.opposite if flips else before.direction
    if after.p2 is None or before.p2 is None:
        return after.direction is expected and after.p2 is before.p2
    return after.direction is expected and abs(after.p2 - before.p2) <= _FOUND_WITHIN


def _outcomes(marks: Sequence[Mark]) -> Calibration:
    """Of the claims that could have been acted on, and were followed to their end."""
    usable = (each for each in marks if each.is_true and each.fault is None)
    return calibration([Forecast(each.confidence, each.hit) for each in usable if each.hit is not None])


def _groups(marks: Sequence[Mark]) -> dict[str, Calibration]:
    """Calibration by symbol and by regime."""
    names = sorted({each.symbol for each in marks} | {each.regime for each in marks})
    return {name: _outcomes([each for each in marks if name in (each.symbol, each.regime)]) for name in names}


def _quantile(values: Sequence[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]
