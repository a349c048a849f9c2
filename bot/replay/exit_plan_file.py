"""An exit plan written by hand (docs/exits.md): read strictly, because a plan that is nearly right loses money.

Numbers are read as decimals, exactly as they are written. The first fault ends the reading, with its key, its value,
what is allowed and what to do.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final, NoReturn

from bot.errors import DataError
from bot.instruments import Instrument
from bot.models import Direction, ExitPlan, Target, Trail, TrailKind

DEADLINE_REASONS: Final = ("TIMEOUT", "SESSION_END")
NO_STOP: Final = Decimal(0)
STOP_REASONS: Final = ("STOP", "DRAWDOWN")
TARGET_REASONS: Final = ("BASKET_TP",)
KEYS: Final = (
    *("side", "direction", "entry", "quantity", "stop", "targets", "break_even", "trail", "deadline"),
    *("deadline_reason", "stop_reason", "target_reason", "tick", "step", "min_qty", "min_notional"),
)
_TRAIL_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "percent": ("kind", "distance", "activation"),
    "progressive": ("kind", "start_r", "end_r", "step_r"),
}
_SMALLEST: Final = Decimal("1E-12")
_LARGEST: Final = Decimal("1E12")
_MANY_R: Final = Decimal(1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPlan:
    """What a file asks to try. `entry` is None where the first price of the data is to be the entry."""

    plan: ExitPlan
    entry: Decimal | None
    quantity: Decimal
    name: str

    def entered(self, first_price: Decimal) -> Decimal:
        """The entry: as written, else `first_price`. Raises DataError for one that does not fit stop and targets."""
        if self.entry is None:
            _check_sides(self.plan, first_price, _Faults(self.name), f"entry {first_price} (the first price)")
            return first_price
        return self.entry


def has_stop(plan: ExitPlan) -> bool:
    """False for a basket whose drawdown no price reaches: its stop is 0, as `basket_plan` has it (SPEC 16, X <= 0)."""
    return plan.stop > 0


class _Faults:
    """Speaks of one file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def refuse(self, text: str) -> NoReturn:
        """Raise DataError."""
        raise DataError(f"{self._name}: {text}")


def parse_exit_plan(text: bytes, name: str, instrument: Instrument | None = None) -> WrittenPlan:
    """The plan in a file's text; `name` is the file's in messages. Raises DataError.

    `tick`, `step`, `min_qty` and `min_notional` may be left out where an instrument is given.
    """
    faults = _Faults(name)
    written = _Object(_content(text, faults), "", KEYS, faults)
    direction = _direction(written)
    tick = written.number("tick", above=Decimal(0), default=instrument.tick if instrument else None)
    step = written.number("step", above=Decimal(0), default=instrument.quantity_step if instrument else None)
    targets = _targets(written)
    plan = ExitPlan(
        direction=direction,
        stop=NO_STOP if written.is_null("stop") else written.number("stop", above=Decimal(0)),
        targets=targets,
        tick=tick,
        quantity_step=step,
        min_quantity=written.number(
            "min_qty", least=Decimal(0), default=instrument.min_quantity if instrument else step
        ),
        min_notional=written.number(
            "min_notional",
            least=Decimal(0),
            default=instrument.min_quantity_times_price if instrument else Decimal(0),
        ),
        trail=_trail(written, targets),
        deadline=_deadline(written),
        deadline_reason=written.word("deadline_reason", DEADLINE_REASONS, default="TIMEOUT"),
        stop_reason=written.word("stop_reason", STOP_REASONS, default="STOP"),
        target_reason=written.word("target_reason", TARGET_REASONS, default=""),
    )
    if not has_stop(plan):
        _check_unstopped(plan, written)
    plan = _with_break_even(plan, written)
    quantity = written.number("quantity", above=Decimal(0))
    entry = None if written.get("entry") is None else written.number("entry", above=Decimal(0))
    _check_order(plan, faults)
    if entry is not None:
        _check_sides(plan, entry, faults, f"entry {entry}")
    return WrittenPlan(plan=plan, entry=entry, quantity=quantity, name=name)


# ------------------------------------------------------------------------------------------------------ the JSON text


def _content(text: bytes, faults: _Faults) -> dict[str, Any]:
    try:
        content = json.loads(
            text, parse_float=Decimal, parse_int=_whole, parse_constant=Decimal, object_pairs_hook=_once
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        faults.refuse(f"is not readable JSON ({error}); correct it")
    if not isinstance(content, dict):
        faults.refuse(f"holds {_shown(content)}, not an object with the keys {', '.join(KEYS)}")
    return content


def _whole(digits: str) -> Decimal:
    return Decimal(digits)  # not int: a number of a million digits would take minutes


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Raises ValueError for a name that stands twice: nobody could say which value counts."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"key {twice!r} stands twice in one object")
    return dict(pairs)


def _shown(value: object) -> str:
    """A value as a person wrote it, shortened."""
    if isinstance(value, str):
        text = f"the text {value!r}"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, Decimal):
        text = f"{value}"
    else:
        text = "a list" if isinstance(value, list) else "an object"
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Object:
    """One JSON object; `path` stands before its keys in messages."""

    def __init__(self, content: Mapping[str, Any], path: str, keys: Sequence[str], faults: _Faults) -> None:
        self._content, self._path, self.faults = content, path, faults
        for key in content:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(keys)}"
                faults.refuse(f"key {path}{key} is not known; {hint}")

    def get(self, key: str) -> Any:
        """The value; None where the key is missing, too."""
        return self._content.get(key)

    def is_null(self, key: str) -> bool:
        """It is there, as null: what is left out by mistake is not meant."""
        return key in self._content and self._content[key] is None

    def number(
        self,
        key: str,
        *,
        above: Decimal | None = None,
        least: Decimal | None = None,
        most: Decimal = _LARGEST,
        below: Decimal | None = None,
        default: Decimal | None = None,
    ) -> Decimal:
        """A finite number within the bounds; `default` where the key is missing or null."""
        value = self._content.get(key)
        if value is None and default is not None:
            return default
        if key not in self._content:
            self.faults.refuse(f"key {self._path}{key} is missing; add it{_PLACES.get(key, '')}")
        return bounded(value, f"{self._path}{key}", self.faults, above=above, least=least, most=most, below=below)

    def word(self, key: str, known: Sequence[str], *, default: str) -> str:
        """One of the known words; `default` where the key is missing or null."""
        value = self._content.get(key)
        if value is None:
            return default
        if value not in known:
            self.faults.refuse(f"{self._path}{key} is {_shown(value)}; use {' or '.join(known)}")
        return str(value)


_PLACES: Final[Mapping[str, str]] = {
    "tick": ", or name the instrument with --symbol",
    "step": ", or name the instrument with --symbol",
}


def bounded(
    value: object,
    path: str,
    faults: _Faults,
    *,
    above: Decimal | None = None,
    least: Decimal | None = None,
    most: Decimal = _LARGEST,
    below: Decimal | None = None,
) -> Decimal:
    """`value` if it is a finite number within the bounds; refused otherwise."""
    if not isinstance(value, Decimal):
        quotes = "without quotes" if isinstance(value, str) else "there"
        faults.refuse(f"{path} is {_shown(value)}, not a number; write a number {quotes}")
    if not value.is_finite():
        faults.refuse(f"{path} is {value}, not a finite number; write a number")
    bounds = [(value <= above, f"must be above {above}")] if above is not None else []
    bounds += [(value < least, f"must be at least {least}")] if least is not None else []
    bounds += [(value >= below, f"must be below {below}")] if below is not None else []
    bounds += [(value > most, f"must be at most {most:f}"), (0 < value < _SMALLEST, f"must be at least {_SMALLEST:f}")]
    for broken, says in bounds:
        if broken:
            faults.refuse(f"{path} is {_shown(value)}; it {says}: correct it")
    return value


# ---------------------------------------------------------------------------------------------------------- the parts


def _direction(written: _Object) -> Direction:
    given = [key for key in ("side", "direction") if written.get(key) is not None]
    if len(given) != 1:
        written.faults.refuse(
            "key side is missing; add long or short" if not given else "has side and direction; keep one"
        )
    value = written.get(given[0])
    if value not in ("long", "short"):
        written.faults.refuse(f"{given[0]} is {_shown(value)}; use long or short")
    return Direction(value)


def _targets(written: _Object) -> tuple[Target, ...]:
    value, faults = written.get("targets"), written.faults
    if value is None:
        return ()
    if not isinstance(value, list):
        faults.refuse(f"targets is {_shown(value)}; write a list of [price, fraction], nearest first")
    found = []
    for at, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2:
            faults.refuse(f"targets[{at}] is {_shown(pair)}; write [price, fraction], such as [104, 0.5]")
        price = bounded(pair[0], f"targets[{at}] price", faults, above=Decimal(0))
        found.append(
            Target(
                price=price,
                fraction=bounded(pair[1], f"targets[{at}] fraction", faults, above=Decimal(0), most=Decimal(1)),
            )
        )
    total = sum((each.fraction for each in found), Decimal(0))
    if total > 1:
        faults.refuse(f"the fractions of targets sum to {total}, above 1; what they close must not exceed the quantity")
    return tuple(found)


def _with_break_even(plan: ExitPlan, written: _Object) -> ExitPlan:
    value, faults = written.get("break_even"), written.faults
    if value is None:
        return plan
    if not isinstance(value, dict) or len(value) != 1:
        faults.refuse('break_even is not understood; write null, {"fraction": 0.8} or {"target": 1}')
    inner = _Object(value, "break_even.", ("fraction", "target"), faults)
    if not plan.targets:
        faults.refuse("break_even needs a target, and targets is empty; add one or write null")
    if "fraction" in value:
        return replace(plan, break_even_fraction=inner.number("fraction", above=Decimal(0), most=Decimal(1)))
    number = inner.number("target", least=Decimal(1), most=Decimal(len(plan.targets)))
    if number != number.to_integral_value():
        faults.refuse(f"break_even.target is {number}; write the number of a target, such as 1")
    return replace(plan, break_even_target=int(number))


def _trail(written: _Object, targets: tuple[Target, ...]) -> Trail | None:
    value, faults = written.get("trail"), written.faults
    if value is None:
        return None
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in ("percent", "progressive"):
        faults.refuse('trail is not understood; write null or an object with "kind": "percent" or "progressive"')
    inner = _Object(value, "trail.", _TRAIL_KEYS[kind], faults)
    if kind == "percent":
        return Trail(
            kind=TrailKind.PERCENT,
            distance_ratio=inner.number("distance", above=Decimal(0), below=Decimal(1)),
            activation_ratio=inner.number("activation", least=Decimal(0), below=Decimal(1), default=Decimal(0)),
        )
    if not targets:
        faults.refuse("trail of kind progressive starts at target 1, and targets is empty; add one")
    start = inner.number("start_r", least=Decimal(0), most=_MANY_R, default=Decimal("1.0"))
    end = inner.number("end_r", least=Decimal(0), most=_MANY_R, default=Decimal("0.25"))
    if end > start:
        faults.refuse(f"trail.end_r {end} is above trail.start_r {start}; the stop trails tighter, never looser")
    step = inner.number("step_r", least=Decimal(0), most=_MANY_R, default=Decimal("0.1"))
    return Trail(kind=TrailKind.PROGRESSIVE, start_r=start, end_r=end, step_r=step)


def _deadline(written: _Object) -> datetime | None:
    value = written.get("deadline")
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) and not value.isdigit() else None
    except ValueError:
        instant = None
    if instant is None:
        written.faults.refuse(
            f"deadline is {_shown(value)}; write null or an ISO-8601 time in quotes, such as 2024-05-01T13:00:00Z"
        )
    try:
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except OverflowError:
        written.faults.refuse(f"deadline is {_shown(value)}, outside the years 1 to 9999 in UTC; correct it")


# -------------------------------------------------------------------------------------------------- what must fit what


def _check_unstopped(plan: ExitPlan, written: _Object) -> None:
    """Only a long basket may be without a stop: the drawdown price of a short one lies above its average, always."""
    refuse = written.faults.refuse
    if plan.target_reason not in TARGET_REASONS or not plan.targets:
        refuse(
            "stop is null, which only a basket may have: one with target_reason BASKET_TP and a target; "
            "write the price of the stop"
        )
    if plan.direction is Direction.SHORT:
        refuse("stop is null, and the drawdown price of a short basket is always above its entry; write it as the stop")
    for key in ("break_even", "trail"):
        if written.get(key) is not None:
            refuse(f"{key} is given, and a basket without a stop has none; write null")


def _check_order(plan: ExitPlan, faults: _Faults) -> None:
    """Targets nearest first, and all beyond the stop; a stop that its tick does not round away to nothing."""
    if has_stop(plan) and plan.tick > plan.stop:
        faults.refuse(f"tick {plan.tick} is larger than the stop {plan.stop}; write the smallest price step")
    sign, side = plan.direction.sign, plan.direction.value
    prices = [each.price for each in plan.targets]
    for at, (nearer, further) in enumerate(pairwise(prices)):
        if sign * (further - nearer) < 0:
            faults.refuse(
                f"targets[{at + 1}] price {further} of a {side} is nearer than targets[{at}] price {nearer}; "
                "write the nearest target first"
            )
    if prices and sign * (prices[0] - plan.stop) <= 0:
        beyond = "above" if sign > 0 else "below"
        faults.refuse(
            f"targets[0] price {prices[0]} of a {side} is not {beyond} its stop {plan.stop}; correct one of them"
        )


def _check_sides(plan: ExitPlan, entry: Decimal, faults: _Faults, what: str) -> None:
    """The stop on the losing side of the entry, the targets on the other."""
    sign, side = plan.direction.sign, plan.direction.value
    behind, beyond = ("below", "above") if sign > 0 else ("above", "below")
    if sign * (entry - plan.stop) <= 0:
        faults.refuse(f"stop {plan.stop} of a {side} is not {behind} its {what}; a {side} needs its stop {behind}")
    if plan.targets and sign * (plan.targets[0].price - entry) <= 0:
        price = plan.targets[0].price
        faults.refuse(f"targets[0] price {price} of a {side} is not {beyond} its {what}; move it {beyond}")
