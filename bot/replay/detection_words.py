"""What the detectors found, in words: how many of each kind, and the newest events one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.layer2_intelligence.structure_events import BreakEvent, ChainState, SweepOutcome
from bot.models import Direction, Divergence, DivergenceSetup
from bot.replay.detection import Detection, detection_json, pivot_pairs

_TOWARDS: Final = {1: "up", -1: "down"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event in words, known at the close of candle `known_at`."""

    known_at: int
    what: str
    text: str


def counts(found: Detection, what: Sequence[str]) -> dict[str, str]:
    """How many events each detector of `what` found."""
    shapes = found.shapes
    breaks = sum(isinstance(each, BreakEvent) for each in shapes.structure)
    swept = sum(each.outcome is SweepOutcome.SWEPT for each in shapes.sweeps)
    complete = sum(each.state is ChainState.COMPLETE for each in shapes.confluence)
    texts = {
        "pivots": f"{len(found.highs.at):,} highs, {len(found.lows.at):,} lows",
        "divergences": f"{len(found.divergences):,} ({_of_each_side(found.divergences)})",
        "setups": f"{len(found.setups):,} ({_of_each_side(found.setups)})",
        "fvgs": f"{len(shapes.gaps):,}, {sum(each.filled is not None for each in shapes.gaps):,} of them filled",
        "structure": f"{len(shapes.structure) - breaks:,} swings, {breaks:,} breaks",
        "sweeps": f"{swept:,} swept, {len(shapes.sweeps) - swept:,} broken",
        "confluence": f"{len(shapes.confluence):,} changes, {complete:,} complete",
    }
    return {name: texts[name] for name in what}


def newest_lines(found: Detection, what: Sequence[str], count: int) -> list[Line]:
    """The `count` events that became known last, oldest of them first."""
    lines = [line for name in what for line in _lines(found, name, count)]
    lines.sort(key=lambda line: line.known_at)
    return lines[-count:]


def _of_each_side(events: Sequence[Divergence] | Sequence[DivergenceSetup]) -> str:
    bull = sum(each.direction is Direction.LONG for each in events)
    return f"{bull:,} bull, {len(events) - bull:,} bear"


def _lines(found: Detection, name: str, count: int) -> list[Line]:
    if name == "pivots":
        sides = {"high": found.highs, "low": found.lows}
        lines = [
            Line(known_at=known_at, what=name, text=f"{side} at candle {at}")
            for side, pivots in sides.items()
            for at, known_at in pivot_pairs(pivots)[-count:]
        ]
    else:
        events = sorted(detection_json(found, (name,))[name], key=_known_at)[-count:]
        lines = [Line(known_at=_known_at(each), what=name, text=_WORDS[name](each)) for each in events]
    return lines


def _known_at(event: Mapping[str, Any]) -> int:
    return int(event["k"] if "k" in event else event["known_at"])


def _divergence(event: Mapping[str, Any]) -> str:
    return (
        f"{event['kind']} {event['dir']}, candles {event['p1']} and {event['p2']}: price {event['price1']:g} to "
        f"{event['price2']:g}, {event['osc']} {event['osc1']:.4g} to {event['osc2']:.4g}"
    )


def _setup(event: Mapping[str, Any]) -> str:
    names = ", ".join(event["oscillators"])
    return (
        f"{event['kind']} {event['dir']}, candles {event['p1']} and {event['p2']}: {names}; score {event['score']:.2f}"
    )


def _gap(event: Mapping[str, Any]) -> str:
    facts = [f"{fact} at {event[fact]}" for fact in ("touched", "filled", "inverted") if event[fact] is not None]
    return f"{_TOWARDS[event['dir']]}, {event['bottom']:g} to {event['top']:g}: {', '.join(facts) or 'untouched'}"


def _structure(event: Mapping[str, Any]) -> str:
    of = f"{event['type']} {event['level']:g} of candle {event['idx']}"
    if "dir" in event:
        return f"{event['ev']} {_TOWARDS[event['dir']]} through the {of}"
    return f"{event['ev']} {event['label'] or 'first'}: {of}"


def _sweep(event: Mapping[str, Any]) -> str:
    return (
        f"{event['side']} {event['level']:g} of candle {event['pivot']} {event['ev']}, as far as {event['extreme']:g}"
    )


def _chain(event: Mapping[str, Any]) -> str:
    return f"{_TOWARDS[event['dir']]} chain of {event['since']}: {event['why']}, now {event['state']}"


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "divergences": _divergence,
    "setups": _setup,
    "fvgs": _gap,
    "structure": _structure,
    "sweeps": _sweep,
    "confluence": _chain,
}
