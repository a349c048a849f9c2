"""Whatever the broker contract has, a broker over another one hands on, with every argument and the answer as it is."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import DelegatingBroker
from tests.unit.layer1_data.recording_broker import CALLS, FACTS, REQUESTS, Recorded, made, made_up

T = TypeVar("T")


class Doorkeeper(DelegatingBroker):
    """Notes what passes through the door; with `shut` nothing does."""

    def __init__(self, broker: BrokerInterface) -> None:
        super().__init__(broker)
        self.passed: list[str] = []
        self.shut = False

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self.passed.append(call)
        if self.shut:
            raise TimeoutError(call)
        return await super()._through(call, send)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_handed_on_with_its_arguments_and_its_answer_comes_back(recorded: Recorded, name: str) -> None:
    call = made_up(name)

    answer = await made(DelegatingBroker(recorded.broker), call)

    assert recorded.calls == [call]
    assert answer is recorded.answers[name]


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_the_brokers_own(recorded: Recorded, name: str) -> None:
    assert getattr(DelegatingBroker(recorded.broker), name) is recorded.answers[name]


async def test_every_request_passes_through_the_door_under_its_own_name_the_stream_and_the_goodbye_do_not(
    recorded: Recorded,
) -> None:
    broker = Doorkeeper(recorded.broker)

    for name in CALLS:
        await made(broker, made_up(name))

    assert broker.passed == REQUESTS


async def test_what_the_door_does_not_let_through_never_reaches_the_broker(recorded: Recorded) -> None:
    broker = Doorkeeper(recorded.broker)
    broker.shut = True

    with pytest.raises(TimeoutError):
        await made(broker, made_up("place"))

    assert recorded.calls == []
