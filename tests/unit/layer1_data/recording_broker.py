"""A broker that writes down what reaches it, made of the contract as it is today: a new member is in it by itself."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from bot.layer1_data.broker_interface import BrokerInterface

Call = tuple[str, tuple[object, ...], dict[str, object]]

MEMBERS = {name: each for name, each in vars(BrokerInterface).items() if not name.startswith("_")}
FACTS = sorted(name for name, each in MEMBERS.items() if isinstance(each, property))
CALLS = sorted(set(MEMBERS) - set(FACTS))
REQUESTS = [name for name in CALLS if inspect.iscoroutinefunction(MEMBERS[name]) and name != "close"]


class Recorded:
    """What reached the broker, and the one answer that each of its members gives."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers = {name: None if _says_nothing(each) else object() for name, each in MEMBERS.items()}
        members = {name: self._member(name, each) for name, each in MEMBERS.items()}
        self.broker = cast(BrokerInterface, type("RecordingBroker", (BrokerInterface,), members)())

    def _member(self, name: str, contract: object) -> object:
        def note(_: object, *args: object, **named: object) -> object:
            self.calls.append((name, args, named))
            return self.answers[name]

        async def note_request(itself: object, *args: object, **named: object) -> object:
            return note(itself, *args, **named)

        if isinstance(contract, property):
            return property(note)
        return note_request if inspect.iscoroutinefunction(contract) else note


def _says_nothing(contract: object) -> bool:
    return inspect.isfunction(contract) and inspect.signature(contract).return_annotation is None


def made_up(name: str) -> Call:
    """A call of that member with an argument of its own for each parameter, given as the contract says."""
    parameters = list(inspect.signature(cast(Callable[..., Any], MEMBERS[name])).parameters.values())[1:]
    values = {each.name: object() for each in parameters}
    by_name = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    return (
        name,
        tuple(value for parameter, value in values.items() if parameter not in by_name),
        {parameter: value for parameter, value in values.items() if parameter in by_name},
    )


async def made(broker: BrokerInterface, call: Call) -> object:
    """What `broker` answers to it."""
    name, args, named = call
    answer = getattr(broker, name)(*args, **named)
    return await answer if inspect.isawaitable(answer) else answer
