"""How a position will end, in sentences. Pure."""

from collections.abc import Callable
from decimal import Decimal

from bot.dashboard.views.text import moment, percent, quantity
from bot.models import ExitPlan, Position, Trail, TrailKind

Write = Callable[[Decimal], str]


def plan_words(position: Position, write: Write) -> list[str]:
    """Its exit plan, sentence by sentence, in the order in which it would come to pass. `write` writes a price."""
    plan = position.plan
    sentences = [_stop(position, write), *_targets(position, write)]
    if plan.break_even_target is not None:
        done = " Done." if position.break_even else ""
        sentences.append(f"After target {plan.break_even_target} the stop moves to the entry.{done}")
    elif plan.break_even_fraction is not None:
        done = " Done." if position.break_even else ""
        way = percent(plan.break_even_fraction, 0)
        sentences.append(f"At {way} of the way to the last target the stop moves to the entry.{done}")
    if plan.trail is not None:
        sentences.append(
            _trail(plan.trail) + (" It does so now." if position.trailing and not position.closed_at else "")
        )
    if plan.deadline is not None:
        sentences.append(f"What is left at {moment(plan.deadline)} UTC is closed at market ({plan.deadline_reason}).")
    return sentences


def _stop(position: Position, write: Write) -> str:
    first, now = position.plan.stop, position.stop_price
    moved = f", moved from {write(first)}" if now != first else ""
    if position.closed_at is not None:
        return f"The stop was last at {write(now)}{moved}."
    if position.is_pending:
        return f"The stop goes out with the entry: {write(now)}."
    return f"The stop rests at the venue at {write(now)}{moved}; it closes whatever is left."


def _targets(position: Position, write: Write) -> list[str]:
    plan = position.plan
    return [
        f"Target {number} at {write(each.price)} closes {_share(plan, number)}"
        f"{': reached.' if number <= position.targets_hit else '.'}"
        for number, each in enumerate(plan.targets, start=1)
    ]


def _share(plan: ExitPlan, number: int) -> str:
    upto = sum((each.fraction for each in plan.targets[:number]), Decimal(0))
    if upto >= 1:
        return "everything" if number == 1 else "the rest"
    return f"{percent(plan.targets[number - 1].fraction, 0)} of the first quantity"


def _trail(trail: Trail) -> str:
    if trail.kind is TrailKind.PERCENT:
        begins = f"From {percent(trail.activation_ratio)} in profit on" if trail.activation_ratio else "From the start"
        return f"{begins}, the stop follows the best price at a distance of {percent(trail.distance_ratio)}."
    start, end, step = quantity(trail.start_r), quantity(trail.end_r), quantity(trail.step_r)
    return (
        f"After target 1 the stop follows the best price, from {start} R behind it to {end} R at the last target, "
        f"in steps of at least {step} R."
    )
