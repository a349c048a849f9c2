"""Every act of the API: does it really happen, twice, with the wrong token, with hostile input."""

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from bot.access import AuditResult
from bot.alerts import Alert, Severity
from bot.clock import ManualClock
from bot.dashboard.api.pace import Pace
from bot.dashboard.app import create_app
from bot.dashboard.routes import DECLARED
from bot.database.memory import MemoryStores
from bot.differences import AnswerKind, AnswerState, Difference, DifferenceKind, Reconciliation
from bot.errors import DatabaseUnavailable
from bot.instruments import OANDA, Symbol
from bot.layer5_monitoring.events import JournalEvents
from bot.models import (
    JournalEntry,
    KillLevel,
    KillState,
    OrderKind,
    OrderState,
    StrategyTask,
    TaskId,
    TaskState,
    Timeframe,
)
from tests.builders import START, approved_order, instrument
from tests.fakes.awkward_broker import Fault
from tests.fakes.dashboard_day import NOW, USER, dashboard_parts
from tests.integration.api_world import ApiWorld, browsing, day_api, desk_api, escaped, filled_day_api
from tests.unit.layer3_execution.desk import Desk

POSITION = approved_order().position_id
ENTRY = approved_order().client_order_id
STOP = approved_order().stop_order_id


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with desk_api() as served:
        yield served


def desk_of(world: ApiWorld) -> Desk:
    assert world.desk is not None
    return world.desk


async def audited(world: ApiWorld) -> list[tuple[str, str, AuditResult]]:
    return [(each.who, each.what, each.result) for each in await world.parts.stores.audit.page(10)]


# ------------------------------------------------------------------------------------------------------- positions


async def test_a_position_is_closed_at_the_venue_once_however_often_it_is_asked(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought()

    first = await world.post(f"/api/positions/{escaped(POSITION)}/close", {"reason": "news"})
    again = await world.post(f"/api/positions/{escaped(POSITION)}/close")

    assert (first.status, first.data) == (200, {"id": POSITION, "done": True, "says": "EUR_USD is closed"})
    assert (again.status, again.data["done"]) == (200, True)
    assert await desk.at_venue() is None
    assert len(await desk.exits()) == 1
    assert (await audited(world))[1] == ("otto", "position closed", AuditResult.OK)


async def test_a_close_that_the_venue_refuses_is_a_conflict_and_the_stop_stays(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought()
    desk.broker.place_faults.append(Fault.REJECTED)

    answer = await world.post(f"/api/positions/{escaped(POSITION)}/close")

    assert answer.status == 409
    assert "10 left" in answer.data["detail"]
    resting = await desk.at_venue()
    assert resting is not None
    assert resting.stop_price is not None
    assert (await audited(world))[0][2] is AuditResult.REFUSED


@pytest.mark.parametrize("by", ["reader", "killer"])
async def test_who_may_not_trade_closes_nothing(world: ApiWorld, by: str) -> None:
    desk = desk_of(world)
    await desk.bought()

    answer = await world.post(f"/api/positions/{escaped(POSITION)}/close", by=by)

    assert answer.status == 403
    assert await desk.at_venue() is not None
    assert await desk.exits() == []


async def test_a_position_that_never_was_is_not_found(world: ApiWorld) -> None:
    answer = await world.post("/api/positions/no%2Fsuch/close")

    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "no/such" in answer.data["detail"]


async def test_one_position_has_its_orders_fills_and_journal(world: ApiWorld) -> None:
    await desk_of(world).bought()

    story = (await world.get(f"/api/positions/{escaped(POSITION)}")).data

    assert (story["position"]["id"], story["position"]["is_open"]) == (POSITION, True)
    assert story["state"] == "OPEN_PROTECTED"
    assert {each["role"] for each in story["orders"]} == {"entry", "stop"}
    assert [each["client_order_id"] for each in story["fills"]] == [ENTRY]


# ---------------------------------------------------------------------------------------------------------- orders


async def test_the_journal_is_read_to_its_end_page_by_page(world: ApiWorld) -> None:
    journal = world.parts.stores.journal
    for number in range(5):
        entry = JournalEntry(at=NOW, kind="fact", task_id=None, data={"number": number})  # all of one instant
        await journal.append(entry)
    everything = (await world.get("/api/journal")).data

    found, path = [], "/api/journal?limit=2"
    while path:
        page = (await world.get(path)).data
        found += page["rows"]
        path = page["next"] and f"/api/journal?limit=2&before={page['next']['before']}"

    assert found == everything["rows"]
    assert [each["data"]["number"] for each in found[:5]] == [4, 3, 2, 1, 0]
    assert everything["next"] is None
    assert (await world.get("/api/journal?before=0")).status == 400


async def test_an_entry_that_waits_is_taken_back_at_the_venue_and_in_our_record(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))

    answer = await world.post(f"/api/orders/{ENTRY}/cancel")
    again = await world.post(f"/api/orders/{ENTRY}/cancel")

    assert (answer.status, again.status) == (200, 200)
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED
    assert list(await desk.venue.open_orders()) == []
    assert desk.book.positions() == ()


async def test_a_protective_stop_is_never_cancelled_and_the_answer_says_why(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought()

    answer = await world.post(f"/api/orders/{STOP}/cancel", by="admin")

    assert answer.status == 409
    assert "protects a position" in answer.data["detail"]
    resting = await desk.at_venue()
    assert resting is not None
    assert resting.stop_price is not None


async def test_an_entry_that_has_filled_cannot_be_taken_back(world: ApiWorld) -> None:
    await desk_of(world).bought()

    answer = await world.post(f"/api/orders/{ENTRY}/cancel")

    assert (answer.status, "FILLED" in answer.data["detail"]) == (409, True)


async def test_a_venue_that_is_silent_about_a_cancel_is_told_and_tried_again_later(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))
    desk.broker.cancel_faults.append(Fault.UNREACHABLE)

    first = await world.post(f"/api/orders/{ENTRY}/cancel")
    second = await world.post(f"/api/orders/{ENTRY}/cancel")

    assert (first.status, first.headers["Retry-After"]) == (503, "5")
    assert second.status == 200
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED


async def test_all_entries_are_taken_back_and_stops_are_counted_not_touched(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))

    answer = await world.post("/api/orders/cancel_all", {})

    assert answer.status == 200
    assert [(each["id"], each["done"]) for each in answer.data["entries"]] == [(ENTRY, True)]
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED


async def test_only_what_waits_for_long_is_stale(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))

    desk.clock.advance(60)
    young = await world.post("/api/orders/cancel_stale", {"older_than_s": 61})
    old = await world.post("/api/orders/cancel_stale", {"older_than_s": 60, "broker": "oanda"})

    assert (young.data["entries"], len(old.data["entries"])) == ([], 1)
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED


async def test_an_order_tells_each_of_its_moves(world: ApiWorld) -> None:
    await desk_of(world).bought()

    story = (await world.get(f"/api/orders/{ENTRY}")).data

    assert [each["to_state"] for each in story["events"]] == ["INTENT", "SENDING", "WORKING", "FILLED"]
    assert len(story["fills"]) == 1


# ----------------------------------------------------------------------------------------------------- kill switch


async def test_the_kill_switch_is_pressed_once_and_says_who_holds_it(world: ApiWorld) -> None:
    first = await world.post("/api/kill", {"level": "pause", "reason": "news"}, by="killer")
    again = await world.post("/api/kill", {"level": "pause", "reason": "news"}, by="killer")

    held = (await world.get("/api/kill")).data
    assert (first.data["is_new"], again.data["is_new"]) == (True, False)
    assert (held["level"], len(held["latches"]), held["latches"][0]["reason"]) == ("pause", 1, "news")
    assert held["latches"][0]["by"].startswith("otto, token ")


async def test_a_token_that_may_only_kill_neither_resumes_nor_trades(world: ApiWorld) -> None:
    await world.post("/api/kill", {"level": "pause"}, by="killer")

    assert (await world.post("/api/kill/resume", {"up_to": "halt"}, by="killer")).status == 403
    assert (await world.post("/api/orders/cancel_all", {}, by="killer")).status == 403
    assert (await world.get("/api/kill")).data["level"] == "pause"


async def test_a_press_is_never_held_up_by_a_limit(world: ApiWorld) -> None:
    for _ in range(50):
        await world.post("/api/orders/cancel_all", {})
    assert (await world.post("/api/orders/cancel_all", {})).status == 429

    answer = await world.post("/api/flatten", {})

    assert (answer.status, answer.data["level"]) == (200, "flatten")


async def test_a_press_holds_while_the_database_is_down(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("down")

    monkeypatch.setattr(world.parts.stores.kills, "set", refuse)
    monkeypatch.setattr(world.parts.stores.acts, "begin", refuse)

    answer = await world.post("/api/kill", {"level": "halt"}, headers={"Idempotency-Key": "k1"})

    assert (answer.status, answer.data["level"]) == (200, "halt")
    assert world.parts.kill.known().level is KillLevel.HALT


async def test_resume_ends_what_was_seen_and_nothing_stronger(world: ApiWorld) -> None:
    await world.post("/api/kill", {"level": "flatten"})

    too_little = await world.post("/api/kill/resume", {"up_to": "pause"})
    enough = await world.post("/api/kill/resume", {"up_to": "flatten", "reason": "calm again"})

    assert (too_little.status, enough.status) == (409, 200)
    assert enough.data["level"] == "none"


async def test_no_token_ends_a_halt(world: ApiWorld) -> None:
    await world.post("/api/kill", {"level": "halt"})

    answer = await world.post("/api/kill/resume", {"up_to": "halt"}, by="admin")

    assert (answer.status, "./botctl resume" in answer.data["detail"]) == (403, True)
    assert (await world.get("/api/kill")).data["level"] == "halt"


async def test_a_person_who_has_just_given_the_password_ends_a_halt_and_later_no_more(world: ApiWorld) -> None:
    """S15, S32."""
    path, clock = world.url / "api/kill/resume", world.parts.clock
    assert isinstance(clock, ManualClock)
    async with browsing(world) as (browser, headers):
        await world.post("/api/kill", {"level": "halt"})
        async with browser.post(path, json={"up_to": "halt"}, headers=headers) as soon:
            first = soon.status
        await world.post("/api/kill", {"level": "halt"})
        clock.advance(5 * 60)
        async with browser.post(path, json={"up_to": "halt"}, headers=headers) as late:
            second = late.status

    assert (first, second) == (200, 403)
    assert world.parts.kill.known().level is KillLevel.HALT


async def test_whoever_owes_a_password_of_his_own_resumes_nothing_and_is_told_the_next_step(world: ApiWorld) -> None:
    stored = await world.parts.stores.users.get(USER)
    assert stored is not None
    await world.parts.stores.users.set_password(
        USER, stored.password_hash, at=world.parts.clock.now(), must_change=True, seeded_by=""
    )
    async with browsing(world) as (browser, headers):
        await world.post("/api/kill", {"level": "halt"})
        async with browser.post(world.url / "api/kill/resume", json={"up_to": "halt"}, headers=headers) as answer:
            told = await answer.json()

    assert (answer.status, "Choose your own first" in told["detail"]) == (403, True)
    assert world.parts.kill.known().level is KillLevel.HALT


async def test_the_api_says_every_level_that_holds(world: ApiWorld) -> None:
    await world.post("/api/flatten", {"reason": "news"})

    pressed = (await world.post("/api/kill", {"level": "halt"})).data
    held = (await world.get("/api/kill")).data

    assert (held["level"], held["says"]) == ("halt", pressed["says"])
    assert re.fullmatch("HALT by .*; FLATTEN by .*: news", held["says"])


async def test_a_browser_acts_only_from_our_own_page(world: ApiWorld) -> None:
    """S11."""
    async with browsing(world) as (browser, headers):
        for sent in ({}, {"Origin": headers["Origin"]}, {**headers, "Origin": "https://evil.example"}):
            async with browser.post(world.url / "api/kill", json={"level": "pause"}, headers=sent) as answer:
                assert answer.status == 403
        assert world.parts.kill.known().level is KillLevel.NONE
        async with browser.post(world.url / "api/kill", json={"level": "pause"}, headers=headers) as answer:
            assert answer.status == 200


# ----------------------------------------------------------------------------------------------------------- tasks


async def test_a_task_is_paused_and_resumed_and_stays_so(world: ApiWorld) -> None:
    task = StrategyTask.of("divergence", instrument("EUR_USD"), Timeframe.H1)
    await world.parts.stores.tasks.ensure([task])

    paused = await world.post(f"/api/tasks/{escaped(task.id)}/pause", {"reason": "news"})
    stored = await world.parts.stores.tasks.get(task.id)
    resumed = await world.post(f"/api/tasks/{escaped(task.id)}/resume")

    assert (paused.data["task"]["state"], stored.state) == ("paused", TaskState.PAUSED)
    assert resumed.data["task"]["state"] == "running"
    assert (await world.post("/api/tasks/none/pause")).status == 404
    assert (await world.post(f"/api/tasks/{escaped(task.id)}/pause", by="reader")).status == 403


# -------------------------------------------------------------------------------------------- differences and alerts


def a_difference() -> Difference:
    return Difference(
        id="k3xq7n",
        fingerprint="f" * 32,
        broker_id=OANDA,
        kind=DifferenceKind.FOREIGN_POSITION,
        symbol=Symbol("EUR_USD"),
        subject="4711",
        ours="nothing",
        theirs="long 100",
        says="somebody else's",
        seen_at=NOW,
        checks=3,
        counts=True,
        answers=(AnswerKind.ADOPT, AnswerKind.IGNORE),
    )


def compared() -> list[Reconciliation]:
    return [
        Reconciliation(
            broker_id=OANDA,
            compared_at=NOW,
            complete=True,
            error="",
            matched=3,
            blocked="",
            differences=(a_difference(),),
        )
    ]


async def test_a_difference_is_answered_as_it_was_looked_at() -> None:
    async with day_api(reconciliations=compared) as world:
        path = "/api/differences/k3xq7n/answer"
        shown = (await world.get("/api/differences")).data["brokers"][0]["differences"][0]

        stale = await world.post(path, {"answer": "adopt", "fingerprint": "0" * 32})
        impossible = await world.post(path, {"answer": "flatten", "fingerprint": shown["fingerprint"]})
        given = await world.post(path, {"answer": "ignore", "fingerprint": shown["fingerprint"]})
        unknown = await world.post("/api/differences/zzzzzz/answer", {"answer": "adopt", "fingerprint": "f"})

        waiting = await world.parts.stores.answers.unfinished()
    assert (stale.status, impossible.status, given.status, unknown.status) == (409, 409, 200, 404)
    assert "adopt or ignore" in impossible.data["detail"]
    assert [(each.kind, each.state) for each in waiting] == [(AnswerKind.IGNORE, AnswerState.GIVEN)]


async def test_of_two_notes_on_an_alert_the_first_counts(world: ApiWorld) -> None:
    alert = Alert(
        id="9f31c2", key="k", severity=Severity.CRITICAL, title="no stop", body="", raised_at=START, last_at=START
    )
    await world.parts.stores.alerts.save(alert)

    first = await world.post("/api/alerts/9f31c2/ack")
    second = await world.post("/api/alerts/9f31c2/ack", by="admin")

    assert (first.data["is_new"], second.data["is_new"]) == (True, False)
    assert first.data["by"] == second.data["by"]
    assert (await world.post("/api/alerts/000000/ack")).status == 404


# ------------------------------------------------------------------------------------------------------ done once


async def test_the_same_key_and_body_give_the_same_answer_and_do_nothing_again(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought()
    path, key = f"/api/positions/{escaped(POSITION)}/close", {"Idempotency-Key": "close-1"}

    first = await world.post(path, {"reason": "news"}, headers=key)
    again = await world.post(path, {"reason": "news"}, headers=key)
    other = await world.post(path, {"reason": "other"}, headers=key)
    somebody_else = await world.post(path, {"reason": "news"}, headers=key, by="admin")

    assert first.text == again.text
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.status == 409
    assert "Idempotency-Replayed" not in somebody_else.headers
    assert len(await desk.exits()) == 1


async def test_what_was_not_reached_may_be_asked_for_again_under_the_same_key(world: ApiWorld) -> None:
    desk = desk_of(world)
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))
    desk.broker.cancel_faults.append(Fault.UNREACHABLE)
    key = {"Idempotency-Key": "cancel-1"}

    first = await world.post(f"/api/orders/{ENTRY}/cancel", headers=key)
    second = await world.post(f"/api/orders/{ENTRY}/cancel", headers=key)

    assert (first.status, second.status) == (503, 200)


async def test_an_act_whose_end_is_not_known_is_not_done_again(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("our bug, in the middle")

    key = {"Idempotency-Key": "cancel-2"}
    with monkeypatch.context() as patched:
        patched.setattr(world.parts.trading.desk, "cancel_all", broken)
        first = await world.post("/api/orders/cancel_all", {}, headers=key)
    second = await world.post("/api/orders/cancel_all", {}, headers=key)

    assert (first.status, second.status) == (500, 409)
    assert "our bug" not in first.text
    assert "end is not known" in second.data["detail"]


async def test_a_key_is_forgotten_after_a_day(world: ApiWorld) -> None:
    key = {"Idempotency-Key": "press"}
    await world.post("/api/orders/cancel_all", {"reason": "one"}, headers=key)
    clock = world.parts.clock
    clock.advance(24 * 3600 + 1)  # type: ignore[attr-defined]

    answer = await world.post("/api/orders/cancel_all", {"reason": "two"}, headers=key)

    assert answer.status == 200


async def test_a_key_that_is_none_is_refused(world: ApiWorld) -> None:
    answer = await world.post("/api/orders/cancel_all", {}, headers={"Idempotency-Key": "a b"})

    assert (answer.status, answer.data["errors"][0]["name"]) == (400, "Idempotency-Key")


# ------------------------------------------------------------------------------------------------------- what comes in


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({"level": "none"}, 422, "level"),
        ({"level": "pause", "reason": "x" * 201}, 422, "reason"),
        ({"level": "pause", "reason": "a\x00b"}, 422, "reason"),
        ({"level": "pause", "more": 1}, 422, "more"),
        ({}, 422, "level"),
        ([], 422, "(all of it)"),
    ],
)
async def test_a_body_that_does_not_fit_is_told_by_field_and_presses_nothing(
    world: ApiWorld, body: object, status: int, name: str
) -> None:
    answer = await world.post("/api/kill", body)

    assert (answer.status, answer.data["errors"][0]["name"]) == (status, name)
    assert world.parts.kill.known().level is KillLevel.NONE


async def test_a_body_that_is_no_json_or_too_large_or_of_another_kind_is_refused(world: ApiWorld) -> None:
    async def sent(data: bytes, kind: str) -> int:
        answer = await world.ask("POST", "/api/kill", by="operator", data=data, headers={"Content-Type": kind})
        return answer.status

    assert await sent(b'{"level": ', "application/json") == 400
    assert await sent(b'{"level": "pause"}', "text/plain") == 415
    assert await sent(b'{"reason": "' + b"x" * 70_000 + b'"}', "application/json") == 413
    assert await sent(b"[" * 50_000, "application/json") == 400
    assert world.parts.kill.known().level is KillLevel.NONE


async def test_hostile_text_comes_back_as_text(world: ApiWorld) -> None:
    hostile = "<script>alert(1)</script>\"'{{7*7}}"
    await world.post("/api/kill", {"level": "pause", "reason": hostile})

    answer = await world.get("/api/kill")

    assert answer.data["latches"][0]["reason"] == hostile
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == ("application/json", "nosniff")


async def test_who_asks_too_fast_is_told_how_long_to_wait_and_nobody_else_waits(world: ApiWorld) -> None:
    for _ in range(200):
        assert (await world.get("/api/orders?limit=1")).status == 200

    late = await world.get("/api/orders?limit=1")
    other = await world.get("/api/orders?limit=1", by="operator")
    world.parts.clock.advance(1)  # type: ignore[attr-defined]
    later = await world.get("/api/orders?limit=1")

    assert (late.status, late.headers["Retry-After"]) == (429, "1")
    assert (other.status, later.status) == (200, 200)


async def test_a_preview_says_size_and_limits_and_orders_nothing(world: ApiWorld) -> None:
    desk = desk_of(world)
    query = "symbol=EUR_USD&direction=long&entry=100&stop=98"

    preview = (await world.get(f"/api/risk/preview?{query}")).data
    wrong_side = (await world.get("/api/risk/preview?symbol=EUR_USD&direction=long&entry=100&stop=102")).data

    assert (preview["allowed"], preview["refused_by"]) == (True, "")
    assert Decimal(preview["risk_amount"]) > 0
    assert {each["code"] for each in preview["checks"]} >= {"KILL_SWITCH", "STALE_QUOTE", "DAILY_LOSS"}
    assert wrong_side["allowed"] is False
    assert list(await desk.stores.orders.recent_orders(10)) == []
    assert (await world.get("/api/risk/preview?symbol=NONE&direction=long&entry=1&stop=2")).status == 404


REHEARSED = {"task": "divergence:BTC/USDT:1h", "direction": "long", "entry": "64213.5", "stop": "63000"}


async def test_a_dry_run_goes_through_every_rule_and_limit_and_leaves_nothing_behind() -> None:
    async with filled_day_api(ManualClock(), pace=Pace(per_s=20, at_once=200)) as world:
        stores = world.parts.stores
        before = await stores.signals.counts(), await stores.orders.order_counts(), await stores.journal.recent(99)

        answer = await world.post("/api/trade/dryrun", REHEARSED)

        after = await stores.signals.counts(), await stores.orders.order_counts(), await stores.journal.recent(99)
    found = answer.data
    failed = [each["code"] for each in found["rules"] if each["status"] == "fail"]
    assert (answer.status, found["would_order"], found["stopped_by"]) == (200, False, failed[0])
    assert len(found["rules"]) > 20
    assert found["says"]
    assert {each["code"] for each in found["risk"]["checks"]} >= {"KILL_SWITCH", "STALE_QUOTE"}
    assert after == before


async def test_a_dry_run_without_a_target_is_not_stopped_by_the_target_that_was_made_up_for_it() -> None:
    async with filled_day_api(ManualClock(), pace=Pace(per_s=20, at_once=200)) as world:
        answer = await world.post("/api/trade/dryrun", REHEARSED)
    (reward,) = (each for each in answer.data["rules"] if each["code"] == "4")
    assert reward["status"] == "pass"


async def test_a_dry_run_of_a_paused_task_would_order_nothing() -> None:
    async with filled_day_api(ManualClock(), pace=Pace(per_s=20, at_once=200)) as world:
        await world.parts.stores.tasks.set_state(TaskId(REHEARSED["task"]), TaskState.PAUSED)
        found = (await world.post("/api/trade/dryrun", REHEARSED)).data
    assert (found["would_order"], found["stopped_by"]) == (False, "PAUSED")
    assert "resume" in found["says"]
    assert len(found["rules"]) > 20


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"task": "no such task"}, 404, "no such task"),
        ({"stop": "0"}, 422, "a decimal above 0"),
        ({"direction": "up"}, 422, "direction"),
        ({"size": "1"}, 422, "size"),
    ],
)
async def test_a_dry_run_of_what_cannot_be_says_what_is_wrong(
    world: ApiWorld, changes: dict[str, str], status: int, says: str
) -> None:
    answer = await world.post("/api/trade/dryrun", {**REHEARSED, **changes})
    assert answer.status == status
    assert says in answer.text


async def test_a_dry_run_before_the_first_candle_says_what_to_ask_instead(world: ApiWorld) -> None:
    task = StrategyTask.of("divergence", instrument(), Timeframe.M5)  # nobody has candles of that length
    await world.parts.stores.tasks.ensure([task])
    answer = await world.post("/api/trade/dryrun", {**REHEARSED, "task": task.id})
    assert (answer.status, "ask /api/risk/preview" in answer.text) == (409, True)


async def test_a_dry_run_needs_the_scope_of_trading(world: ApiWorld) -> None:
    assert (await world.post("/api/trade/dryrun", REHEARSED, by="reader")).status == 403


def test_every_act_of_the_api_needs_more_than_reading() -> None:
    """Default deny: an act that a reader could do would be a mistake in its declaration."""
    app = create_app(dashboard_parts(MemoryStores(), JournalEvents(), ManualClock()))
    acts = {
        path: route.needs for (method, path), route in app[DECLARED].items() if method == "POST" and "/api/" in path
    }

    assert len(acts) >= 10
    assert {each.value for each in acts.values() if each} == {"kill", "trade"}


async def test_a_press_is_answered_while_the_database_hangs(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    may = asyncio.Event()
    real = world.parts.stores.kills.set

    async def hang(state: KillState) -> bool:
        await may.wait()
        return await real(state)

    monkeypatch.setattr(world.parts.stores.kills, "set", hang)
    monkeypatch.setattr("bot.dashboard.pressing._PATIENCE_S", 0.01)

    answer = await world.post("/api/kill", {"level": "halt"})
    may.set()

    assert (answer.status, answer.data["level"]) == (200, "halt")
    assert "stored as soon as" in answer.data["says"]


async def test_an_act_that_was_done_is_told_as_done_though_its_answer_could_not_be_kept(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("down")

    monkeypatch.setattr(world.parts.stores.acts, "end", down)

    answer = await world.post("/api/orders/cancel_all", {}, headers={"Idempotency-Key": "k1"})
    again = await world.post("/api/orders/cancel_all", {}, headers={"Idempotency-Key": "k1"})

    assert (answer.status, again.status) == (200, 409)


async def test_a_thousand_faults_are_told_in_few_words(world: ApiWorld) -> None:
    many = {f"unknown{each}": each for each in range(1_000)}

    answers = [
        await world.post("/api/kill", {"level": "halt", **many}, by="killer"),
        await world.get("/api/kill?" + "&".join(f"u{each}=1" for each in range(900))),
    ]

    assert [each.status for each in answers] == [422, 400]
    assert max(len(each.text) for each in answers) < 8_000
    assert "and 997 more" in answers[0].data["detail"]


async def test_all_who_ask_the_venues_share_one_slow_pace(world: ApiWorld) -> None:
    """A venue counts what we ask, and the comparison with our book and the exits need it (IG: 30 a minute)."""
    answers = [
        await world.get("/api/venues/positions", by=by) for by in ("reader", "operator", "admin") for _ in range(9)
    ]

    assert [each.status for each in answers].count(200) <= 10
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_whoever_rehearses_or_previews_asks_the_venues_at_their_pace(world: ApiWorld) -> None:
    """Both read account and price there: forty at once would be all that Binance allows in a minute."""
    preview = "/api/risk/preview?symbol=EUR_USD&direction=long&entry=100&stop=98"

    rehearsed = [await world.post("/api/trade/dryrun", REHEARSED) for _ in range(12)]
    previewed = await world.get(preview, by="reader")

    assert [each.status for each in rehearsed[-2:]] == [429, 429]
    assert previewed.status == 429
