"""The API against its own document: a program that has read only that sends what fits and what does not.

No answer is a fault of ours, every status and every body is one that the document names, what fits is taken, what does
not fit is refused, and nobody gets in without a token. Seeded: the same requests in every run.
"""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import allow_header_conformance

from bot.access import Scope
from bot.clock import SystemClock
from bot.dashboard.api.openapi import document
from bot.dashboard.api.operations import JSON, Operation
from bot.dashboard.api.pace import Pace
from bot.dashboard.api.table import OPERATIONS
from tests.integration.api_world import escaped, filled_day_api

EXAMPLES: Final = 20
_CONFIG: Final = SchemathesisConfig(
    seed=1,
    projects=ProjectsConfig(
        default=ProjectConfig(
            generation=GenerationConfig(
                max_examples=EXAMPLES, deterministic=True, database="none", with_security_parameters=False
            )
        )
    ),
)
SCHEMA: Final = schemathesis.openapi.from_dict(
    document([each for each in OPERATIONS if each.media == JSON], version="test"), config=_CONFIG
)


@dataclass(frozen=True)
class Served:
    """Where it is served, and the tokens that may ask."""

    url: str
    tokens: dict[str, str]


class _Server(threading.Thread):
    """The API on a loop of its own, because the client here waits for each answer."""

    def __init__(self) -> None:
        super().__init__(name="api", daemon=True)
        self.ready = threading.Event()
        self.served: Served | None = None
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self.join()

    async def _serve(self) -> None:
        async with filled_day_api(SystemClock(), pace=Pace(per_s=10_000, at_once=100_000)) as world:
            self.served = Served(url=str(world.url).rstrip("/"), tokens=dict(world.tokens))
            self.ready.set()
            await self._ended.wait()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = _Server()
    server.start()
    assert server.ready.wait(timeout=30)
    assert server.served is not None
    yield server.served
    server.stop()


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_names(case: schemathesis.Case[Any], served: Served) -> None:
    token = served.tokens["operator"]
    # /api/orders/cancel_all can be read too: it is the order of that name, if there were one.
    excluded = [allow_header_conformance] if case.path.startswith("/api/orders/cancel_") else []
    headers = {"Authorization": f"Bearer {token}"}
    case.call_and_validate(base_url=served.url, headers=headers, excluded_checks=excluded)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/positions/{id}", "position-1"),
        ("/api/orders/{id}", ""),
        ("/api/signals/{id}", ""),
        ("/api/tasks/{id}", "divergence:BTC/USDT:1h"),
    ],
)
def test_what_there_is_to_read_of_one_thing_is_as_the_document_says(path: str, name: str, served: Served) -> None:
    """What is made up is mostly not found; this names what is there."""
    headers = {"Authorization": f"Bearer {served.tokens['reader']}"}
    name = name or _first_id(served, path.partition("/{")[0], headers)
    case = SCHEMA[path]["GET"].Case(path_parameters={"id": escaped(name)})
    assert case.call_and_validate(base_url=served.url, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/chart", {"symbol": "BTC/USDT", "timeframe": "4h", "limit": 10}),
        ("/api/risk/preview", {"symbol": "BTC/USDT", "direction": "long", "entry": "64213.50", "stop": "63500"}),
        ("/api/orders", {"state": ["FILLED", "WORKING"], "limit": 1}),
        ("/api/signals", {"status": "vetoed", "limit": 1}),
        ("/api/trades", {"result": "won", "limit": 1}),
        ("/api/equity", {"points": 5, "since": "1970-01-01T00:00:00Z"}),
    ],
)
def test_lists_by_filter_are_as_the_document_says(path: str, query: dict[str, Any], served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.tokens['reader']}"}
    case = SCHEMA[path]["GET"].Case(query=query)
    assert case.call_and_validate(base_url=served.url, headers=headers).status_code == 200


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_act], ids=lambda each: each.path)
def test_an_act_is_refused_to_whoever_may_only_read(operation: Operation, served: Served) -> None:
    case = SCHEMA[operation.path]["POST"].Case(path_parameters={"id": "x"}, body={}, media_type=JSON)
    for name, allowed in (("reader", False), ("killer", operation.needs is Scope.KILL)):
        headers = {"Authorization": f"Bearer {served.tokens[name]}"}
        status = case.call(base_url=served.url, headers=headers).status_code
        assert (status != 403) is allowed


def _first_id(served: Served, path: str, headers: dict[str, str]) -> str:
    rows = SCHEMA[path]["GET"].Case().call(base_url=served.url, headers=headers).json()["rows"]
    row = rows[0].get("record", {}).get("signal") or rows[0]
    return str(row.get("client_order_id") or row["id"])
