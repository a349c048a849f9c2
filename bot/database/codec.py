"""Values that are no column of their own, as JSON and back: decimals are strings, instants ISO 8601."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from bot.instruments import BrokerId, Currency
from bot.models import AccountState, Direction, DivergenceClaim, DivergenceKind, ExitPlan, Target, Trail, TrailKind

Json = dict[str, Any]


def storable(text: str) -> str:
    """`text` as PostgreSQL takes it: what a venue or a model wrote may hold NUL or half a surrogate pair."""
    if text.isprintable():  # nearly always: then there is nothing to replace
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def storable_json(value: object) -> object:
    """`value` (JSON types only) with every text made `storable`."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(each) for each in value]
    return value


def decimals_to_json(numbers: Sequence[Decimal]) -> list[str]:
    """Each number as a string."""
    return [str(each) for each in numbers]


def decimals_from_json(texts: Sequence[str]) -> tuple[Decimal, ...]:
    """The numbers that `decimals_to_json` wrote."""
    return tuple(Decimal(each) for each in texts)


def account_to_json(account: AccountState) -> Json:
    """What one account was worth."""
    return {
        "broker": account.broker_id,
        "currency": account.currency,
        "balance": str(account.balance),
        "equity": str(account.equity),
        "margin_used": str(account.margin_used),
        "at": account.at.isoformat(),
    }


def account_from_json(data: Json) -> AccountState:
    """The account that `account_to_json` wrote."""
    return AccountState(
        broker_id=BrokerId(data["broker"]),
        currency=Currency(data["currency"]),
        balance=Decimal(data["balance"]),
        equity=Decimal(data["equity"]),
        margin_used=Decimal(data["margin_used"]),
        at=datetime.fromisoformat(data["at"]),
    )


def claim_to_json(claim: DivergenceClaim) -> Json:
    """What a divergence signal claims."""
    return {
        "kind": claim.kind.value,
        "oscillators": list(claim.oscillators),
        "p1_at": claim.p1_at.isoformat(),
        "p2_at": claim.p2_at.isoformat(),
        "p1_price": str(claim.p1_price),
        "p2_price": str(claim.p2_price),
    }


def claim_from_json(data: Json) -> DivergenceClaim:
    """The claim that `claim_to_json` wrote."""
    return DivergenceClaim(
        kind=DivergenceKind(data["kind"]),
        oscillators=tuple(data["oscillators"]),
        p1_at=datetime.fromisoformat(data["p1_at"]),
        p2_at=datetime.fromisoformat(data["p2_at"]),
        p1_price=Decimal(data["p1_price"]),
        p2_price=Decimal(data["p2_price"]),
    )


def plan_to_json(plan: ExitPlan) -> Json:
    """An exit plan."""
    return {
        "direction": plan.direction.value,
        "stop": str(plan.stop),
        "targets": [{"price": str(each.price), "fraction": str(each.fraction)} for each in plan.targets],
        "tick": str(plan.tick),
        "quantity_step": str(plan.quantity_step),
        "min_quantity": str(plan.min_quantity),
        "min_notional": str(plan.min_notional),
        "break_even_target": plan.break_even_target,
        "break_even_fraction": _text(plan.break_even_fraction),
        "trail": _trail_to_json(plan.trail) if plan.trail else None,
        "deadline": plan.deadline.isoformat() if plan.deadline else None,
        "deadline_reason": plan.deadline_reason,
        "stop_reason": plan.stop_reason,
        "target_reason": plan.target_reason,
    }


def plan_from_json(data: Json) -> ExitPlan:
    """The plan that `plan_to_json` wrote."""
    deadline = data["deadline"]
    return ExitPlan(
        direction=Direction(data["direction"]),
        stop=Decimal(data["stop"]),
        targets=tuple(
            Target(price=Decimal(each["price"]), fraction=Decimal(each["fraction"])) for each in data["targets"]
        ),
        tick=Decimal(data["tick"]),
        quantity_step=Decimal(data["quantity_step"]),
        min_quantity=Decimal(data["min_quantity"]),
        min_notional=Decimal(data.get("min_notional", "0")),  # plans stored before there was one lack it
        break_even_target=data["break_even_target"],
        break_even_fraction=_decimal(data["break_even_fraction"]),
        trail=_trail_from_json(data["trail"]) if data["trail"] else None,
        deadline=datetime.fromisoformat(deadline) if deadline else None,
        deadline_reason=data["deadline_reason"],
        stop_reason=data.get("stop_reason", "STOP"),  # plans stored before it could be anything else lack it
        target_reason=data.get("target_reason", ""),
    )


def _trail_to_json(trail: Trail) -> Json:
    return {
        "kind": trail.kind.value,
        "distance_ratio": str(trail.distance_ratio),
        "activation_ratio": str(trail.activation_ratio),
        "start_r": str(trail.start_r),
        "end_r": str(trail.end_r),
        "step_r": str(trail.step_r),
    }


def _trail_from_json(data: Json) -> Trail:
    return Trail(
        kind=TrailKind(data["kind"]),
        distance_ratio=Decimal(data["distance_ratio"]),
        activation_ratio=Decimal(data["activation_ratio"]),
        start_r=Decimal(data["start_r"]),
        end_r=Decimal(data["end_r"]),
        step_r=Decimal(data["step_r"]),
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
