"""What an opinion does to the entries of its candle. Pure; docs/analyst.md has the same as a table.

An opinion can withhold an entry, never enlarge one: levels, size and the rules stay ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.layer2_intelligence.analyst.ladder import Consulted
from bot.models import EntrySignal
from bot.opinions import AnalystGate, LadderRung, OpinionEffect


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """One signal to be judged. `withheld` says why it is not entered even if no rule objects; empty: it may be."""

    signal: EntrySignal
    withheld: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """All signals of a candle that wait for a judgement, and the effect in one word and one sentence."""

    signals: tuple[Advised, ...]
    effect: OpinionEffect
    why: str


def advice(consulted: Consulted, found: Sequence[EntrySignal], gate: AnalystGate, *, waited: bool) -> Advice:
    """What follows from an answer, or from having none.

    `found` are the detector's signals; they `waited` for the answer, or went on without it. `gate` is that of the
    model that answered.
    """
    checked = consulted.checked
    if checked is None:
        return _without_answer(consulted, found, waited=waited)
    name = f"claude:{consulted.model}"
    if not gate.may_decide:
        why = f"{name} is a second opinion: it has not earned a say ({gate.says})"
        shadow = [Advised(signal=checked.signal, withheld=why)] if checked.signal else []
        if not waited:
            return Advice(signals=tuple(shadow), effect=OpinionEffect.SECOND_OPINION, why=why)
        # Entries waited for another model, and this one stood in.
        stand_in = _without_answer(consulted, found, waited=True)
        return replace(stand_in, signals=(*stand_in.signals, *shadow))
    if not waited:
        why = f"{name}: its gate was opened while it was asked; the detector had decided already"
        shadow = [Advised(signal=checked.signal, withheld=why)] if checked.signal else []
        return Advice(signals=tuple(shadow), effect=OpinionEffect.SECOND_OPINION, why=why)
    if checked.signal is None:
        return _declined(found, OpinionEffect.DECLINED, f"{name} says that nothing is there")
    if checked.fault is not None:
        why = f"{name}: void claim ({checked.fault.value}): {'; '.join(checked.untrue)}"
        return _declined(found, OpinionEffect.VOID, why, checked.signal)
    return _claim_holds(checked.signal, found, gate, name)


def _claim_holds(claim: EntrySignal, found: Sequence[EntrySignal], gate: AnalystGate, name: str) -> Advice:
    agreeing = [each for each in found if each.direction is claim.direction]
    others = tuple(
        Advised(signal=each, withheld=f"{name} sees the other direction")
        for each in found
        if each.direction is not claim.direction
    )
    if agreeing:
        highest = max(each.confidence for each in agreeing)
        confidence = min(claim.confidence, highest) if gate.confidence_counts else highest
        entered = Advised(signal=replace(claim, confidence=confidence))
        return Advice(signals=(entered, *others), effect=OpinionEffect.CONFIRMED, why=f"{name} sees the same")
    if gate.confidence_counts:
        why = f"{name} sees what the detector does not"
        return Advice(signals=(Advised(signal=claim), *others), effect=OpinionEffect.ENTERED, why=why)
    why = f"{name} alone sees it, and its confidence has not earned to be taken at its word ({gate.says})"
    return Advice(signals=(Advised(signal=claim, withheld=why), *others), effect=OpinionEffect.DECLINED, why=why)


def _declined(
    found: Sequence[EntrySignal], effect: OpinionEffect, why: str, claim: EntrySignal | None = None
) -> Advice:
    withheld = [*found, *([claim] if claim else [])]
    return Advice(signals=tuple(Advised(signal=each, withheld=why) for each in withheld), effect=effect, why=why)


def _without_answer(consulted: Consulted, found: Sequence[EntrySignal], *, waited: bool) -> Advice:
    reasons = ", ".join(f"{each.model or 'no model'}: {each.reason}" for each in consulted.steps)
    reasons = reasons or f"{consulted.model} has not earned a say"
    if not waited:
        why = f"no second opinion ({reasons}); the detector had decided already"
        return Advice(signals=(), effect=OpinionEffect.DETECTOR_DECIDED, why=why)
    if consulted.falls_to is LadderRung.DETECTOR:
        why = f"the detector decides instead ({reasons})"
        return Advice(
            signals=tuple(Advised(signal=each) for each in found), effect=OpinionEffect.DETECTOR_DECIDED, why=why
        )
    return _declined(found, OpinionEffect.NO_ENTRY, f"no entry without the analyst ({reasons})")


def throttled(given: Advice, found: Sequence[EntrySignal], why: str) -> Advice:
    """The same candle when the analyst has let too many entries go on: none of them does."""
    signals = {each.signal.id: each.signal for each in given.signals} | {each.id: each for each in found}
    return Advice(
        signals=tuple(Advised(signal=each, withheld=why) for each in signals.values()),
        effect=OpinionEffect.THROTTLED,
        why=why,
    )
