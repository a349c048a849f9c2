"""What a reading claims must be true of the candles it was shown (SPEC 5.2); levels are worked out here, not taken."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.analyst.payload import OSCILLATOR_SCALE, Payload
from bot.layer2_intelligence.analyst.tools import DivergenceReading, OscillatorReading, Reading
from bot.layer2_intelligence.evidence import EVIDENCE, ModelFault, model_fault
from bot.layer2_intelligence.indicators.divergence import UNBOUNDED, least_difference
from bot.layer2_intelligence.levels import stop_and_targets
from bot.layer2_intelligence.rules_case import open_case
from bot.layer2_intelligence.rules_limits import limits_of
from bot.layer2_intelligence.signals import signal_of
from bot.models import (
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    FeatureSet,
    FindingStatus,
    Judgement,
    StrategyTask,
)

_PIVOT_WITHIN: Final = 1  # candles: as far as evidence rule E4 looks for a pivot
_VALUE_TOLERANCE: Final = 0.1  # of the least difference that makes a divergence


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a chart was made of, and under which settings a claim about it is judged."""

    task: StrategyTask
    features: FeatureSet
    instrument: Instrument
    divergence: DivergenceSettings
    validation: ValidationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A reading beside the candles. `signal` None: it says that nothing is there.

    With a `fault` the claim is void, and `untrue` says in sentences why. `struck_out` are claimed oscillators that do
    not diverge: they alone void nothing, as long as one is left.
    """

    reading: Reading
    signal: EntrySignal | None = None
    fault: ModelFault | None = None
    untrue: tuple[str, ...] = ()
    struck_out: tuple[str, ...] = ()

    @property
    def claims(self) -> EntrySignal | None:
        """The signal of a claim that holds."""
        return self.signal if self.fault is None else None


def check(reading: Reading, payload: Payload, shot: Snapshot, *, by: str) -> Checked:
    """Hold a reading against its snapshot. Never raises; reads candles up to k only."""
    found = reading.divergence
    if found is None:
        return Checked(reading=reading)
    signal = _signal(found, reading, payload, shot, by)
    case = open_case(signal, shot.features, None, shot.instrument, limits_of(shot.validation, shot.divergence))
    if case.shape is not None:  # levels belong to the pivot that is there, not to the bar that was named
        stop, targets = _levels(shot, Direction(found.direction), case.shape.p2)
        signal = replace(signal, stop_loss=stop, targets=targets)
        case = case._replace(signal=signal)
    findings = tuple(rule(case) for rule in EVIDENCE)
    invented = _invented_values(found, payload, shot)
    failed = tuple(each.says for each in findings if each.status is FindingStatus.FAIL)
    fault = model_fault(Judgement(signal, findings, case.score))
    if invented and fault is not ModelFault.MALFORMED:
        fault = ModelFault.FABRICATION
    return Checked(
        reading=reading,
        signal=signal,
        fault=fault,
        untrue=(*invented, *failed),
        struck_out=tuple(sorted({each.oscillator for each in found.oscillators} - set(case.left.names))),
    )


def _signal(found: DivergenceReading, reading: Reading, payload: Payload, shot: Snapshot, by: str) -> EntrySignal:
    series = shot.features.series
    p1, p2 = payload.index_of(found.first_bar), payload.index_of(found.second_bar)
    direction = Direction(found.direction)
    stop, targets = _levels(shot, direction, p2)
    return signal_of(
        shot.task,
        shot.features,
        "claude",
        direction=direction,
        stop=stop,
        targets=targets,
        confidence=reading.confidence / 100,
        claim=DivergenceClaim(
            kind=DivergenceKind(found.kind),
            oscillators=tuple(sorted(each.oscillator for each in found.oscillators)),
            p1_at=series.opened_at(p1),
            p2_at=series.opened_at(p2),
            p1_price=payload.price_of(found.first_price),
            p2_price=payload.price_of(found.second_price),
        ),
        analyst=f"claude:{by}",
    )


def _levels(shot: Snapshot, direction: Direction, p2: int) -> tuple[Decimal, tuple[Decimal, ...]]:
    return stop_and_targets(shot.features, shot.instrument, direction, p2, shot.divergence)


def _invented_values(found: DivergenceReading, payload: Payload, shot: Snapshot) -> tuple[str, ...]:
    """Claimed oscillator values that stand nowhere near the claimed bar."""
    places = (("first", found.first_bar), ("second", found.second_bar))
    return tuple(
        f"{each.oscillator} is said to be {getattr(each, name)} at bar {bar}; the chart has no such value there"
        for each in found.oscillators
        for name, bar in places
        if not _is_shown(each, getattr(each, name), bar, payload, shot)
    )


def _is_shown(each: OscillatorReading, value: int, bar: int, payload: Payload, shot: Snapshot) -> bool:
    """Whether the chart shows `value` where that oscillator may turn at a pivot of that bar."""
    reach = _PIVOT_WITHIN + shot.divergence.osc_win
    nearby = slice(payload.index_of(max(1, bar - reach)), payload.index_of(min(payload.bars, bar + reach)) + 1)
    values = payload.shown(each.oscillator, shot.features.columns.oscillator(each.oscillator)[nearby])
    least = least_difference(each.oscillator, shot.divergence)
    if each.oscillator == UNBOUNDED:
        least *= shot.features.columns.atr.item(shot.features.k) / float(payload.unit)
    else:
        least *= OSCILLATOR_SCALE
    return any(abs(shown - value) <= max(1.0, _VALUE_TOLERANCE * least) for shown in values.tolist())
