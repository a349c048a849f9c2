"""The OpenAPI document: complete, valid, and reachable; what it promises is held in test_api_conformance.py."""

import json
from pathlib import Path

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from bot.cli import main
from bot.clock import ManualClock
from bot.dashboard.api.openapi import document
from bot.dashboard.api.operations import JSON
from bot.dashboard.api.pace import Pace
from bot.dashboard.api.table import OPERATIONS
from bot.dashboard.app import create_app
from bot.dashboard.routes import DECLARED
from bot.database.memory import MemoryStores
from bot.layer5_monitoring.events import JournalEvents
from tests.fakes.dashboard_day import NOW, dashboard_parts
from tests.integration.api_world import day_api, filled_day_api

DOCUMENT = document(OPERATIONS, version="test")


def test_every_route_of_the_api_is_in_the_document_with_the_scope_it_needs() -> None:
    app = create_app(dashboard_parts(MemoryStores(), JournalEvents(), ManualClock()))
    served = {key: route.needs for key, route in app[DECLARED].items() if key[1].startswith("/api/")}

    described = {
        (method.upper(), path): operation["security"][1]["token"][0]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert {key: scope.value for key, scope in served.items() if scope} == described
    assert None not in served.values()


def test_the_document_is_valid_openapi() -> None:
    assert list(OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)) == []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    referred = {each.partition('"')[0] for each in text.split('"#/components/schemas/')[1:]}
    assert referred <= DOCUMENT["components"]["schemas"].keys()


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own() -> None:
    operations = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert [
        each["operationId"]
        for each in operations
        if len(each["summary"]) < 10 or not each["summary"].endswith((".", ":"))
    ] == []


async def test_the_document_is_for_whoever_is_logged_in() -> None:
    async with day_api() as world:
        asked = await world.get("/api/openapi.json")
        async with world.client.get(world.url / "api/openapi.json") as stranger:
            assert stranger.status == 401

    assert asked.data["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))


async def test_nothing_that_can_be_read_tells_a_secret() -> None:
    """S22, S23: the settings of the day hold canaries."""
    queries = {
        "/api/chart": "?symbol=BTC/USDT",
        "/api/risk/preview": "?symbol=BTC/USDT&direction=long&entry=64213&stop=63000",
        "/api/venues/quote": "?symbol=BTC/USDT",
        "/api/venues/candles": "?symbol=BTC/USDT",
    }
    told: dict[str, str] = {}
    async with filled_day_api(ManualClock(NOW), pace=Pace(per_s=100, at_once=1_000)) as world:
        for each in OPERATIONS:
            if not each.is_act and each.media == JSON and "{" not in each.path:
                answer = await world.get(each.path + queries.get(each.path, ""))
                told[each.path] = answer.text
        used = [*world.tokens.values()]

    assert [path for path, text in told.items() if "CANARY" in text or any(each in text for each in used)] == []
    assert "TELEGRAM_TOKEN" in told["/api/config/effective"]
    assert len(told) >= 24


def test_the_command_writes_the_document_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi", "--out", str(tmp_path / "openapi.json")]) == 0
    assert main(["openapi"]) == 0

    written = json.loads((tmp_path / "openapi.json").read_text())
    shown = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert written["paths"] == shown["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))
