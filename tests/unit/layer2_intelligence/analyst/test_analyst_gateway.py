"""The gateway over the real library: what is sent, what comes back, what each failure is called and costs."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from bot.analyst_calls import ANSWERED, CallState
from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable
from bot.layer2_intelligence.analyst.capabilities import MODELS
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason, SystemBlock
from tests.fakes.messages_api import KEY, Fault, Shape
from tests.unit.layer2_intelligence.analyst.gateway_stand import Instead, NoWaiting, question, stand

Reason = NoDecisionReason
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


async def test_an_answer_comes_back_with_what_it_cost() -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: {"direction": "long"}

        reply = await here.ask()

    assert isinstance(reply, AnalystReply)
    assert reply.tool_inputs == ({"direction": "long"},)
    assert (reply.model_asked, reply.stop_reason, reply.origin) == ("claude-haiku-5-5", "tool_use", "fake")
    assert reply.usage.output_tokens == 64
    expected = (reply.usage.input_tokens * Decimal("0.10") + 64 * Decimal("0.50")) / 1_000_000
    assert reply.usage.cost == expected
    assert not reply.from_recording


async def test_a_call_is_stored_with_its_question_answer_and_cost() -> None:
    async with stand() as here:
        reply = await here.ask()
        (call,) = await here.stored()

    assert isinstance(reply, AnalystReply)
    assert (call.state, call.outcome, call.counted) == (CallState.SETTLED, ANSWERED, reply.usage.cost)
    assert call.counted < call.reserved
    assert call.request_body == here.fake.posted[0].body
    assert call.reply_body is not None
    assert call.reply_body["stop_reason"] == "tool_use"
    assert (call.symbol, call.signal_id, call.key) == ("EUR_USD", "s1", question().key)


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"claude-sonnet-4-5-20250929"}))
async def test_each_model_of_the_table_is_sent_only_what_the_server_takes(model: str) -> None:
    async with stand() as here:
        reply = await here.ask(question(model=model, image=PNG))

    assert isinstance(reply, AnalystReply), reply
    assert reply.model_answered == model


async def test_a_model_that_refuses_a_forced_choice_is_told_in_words() -> None:
    async with stand() as here:
        await here.ask(question(model="claude-opus-5-5"))
        await here.ask(question(model="claude-haiku-5-5"))

    thinking, plain = (each.body for each in here.fake.posted)
    assert thinking["tool_choice"]["type"] == "auto"
    assert "submit_opinion" in thinking["system"][-1]["text"]
    assert thinking["max_tokens"] > plain["max_tokens"] == 500
    assert plain["tool_choice"] == {"type": "tool", "name": "submit_opinion", "disable_parallel_tool_use": True}


async def test_the_key_goes_into_one_header_and_nowhere_else() -> None:
    async with stand() as here:
        here.fake.script.append(Fault.ECHO_KEY)
        result = await here.ask()
        await here.ask()
        stored = await here.stored()

    (seen, _) = here.fake.posted
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert seen.headers["anthropic-version"] == "2026-10-21"
    assert all(KEY not in text for text in (seen.text, repr(here.client), repr(result), repr(stored)))


async def test_no_library_writes_the_key_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for library in ("", "anthropic", "httpx2", "httpcore2"):  # whatever level our own logging has given them
        caplog.set_level(logging.DEBUG, logger=library)
    async with stand() as here:
        here.fake.script.extend([Fault.BAD_KEY])
        await here.ask()
        await here.ask(question(model="claude-opus-5-5"))

    assert "/v1/messages" in caplog.text
    assert KEY not in caplog.text


async def test_a_slow_ledger_leaves_nothing_to_send_and_nothing_to_pay() -> None:
    calls = MemoryStores().analyst_calls
    clock = ManualClock()

    async def slowly(*given: Any) -> object:
        clock.advance(60)
        return await calls.reserve(*given)

    async with stand(clock, Instead(calls, reserve=slowly)) as here:
        result = await here.ask(deadline_s=20)
        (call,) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.TIMEOUT
    assert (call.state, call.counted) == (CallState.SETTLED, Decimal(0))
    assert here.fake.posted == []


async def test_a_question_that_is_given_up_half_way_stays_counted_in_full() -> None:
    async with stand() as here:
        here.fake.script.append(Fault.HELD)
        asking = asyncio.create_task(here.ask())
        await here.fake.holding.wait()
        asking.cancel()
        await asyncio.wait([asking])
        (call,) = await here.stored()

    assert asking.cancelled()
    assert (call.state, call.counted) == (CallState.RESERVED, call.reserved)


async def test_a_question_that_holds_the_key_is_not_sent() -> None:
    async with stand() as here:
        result = await here.ask(question(user_text=f"news: {KEY}"))

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.SECRET_IN_REQUEST
    assert here.fake.posted == []


SHAPES = [
    (Shape.TWO_TOOLS, Reason.TWO_TOOLS),
    (Shape.NO_TOOL, Reason.NO_TOOL),
    (Shape.MAX_TOKENS, Reason.MAX_TOKENS),
    (Shape.REFUSAL, Reason.REFUSAL),
    (Shape.PAUSE, Reason.PAUSE),
    (Shape.CONTEXT_WINDOW, Reason.CONTEXT_WINDOW),
]


@pytest.mark.parametrize(("shape", "reason"), SHAPES)
async def test_an_answer_that_is_no_decision_is_named_and_paid(shape: Shape, reason: NoDecisionReason) -> None:
    async with stand() as here:
        here.fake.script.append(shape)
        result = await here.ask()
        (call,) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is reason
    assert result.usage is not None
    assert call.state is CallState.SETTLED
    assert call.counted == result.usage.cost > 0
    assert len(here.fake.posted) == 1


@pytest.mark.parametrize("shape", [Shape.TEXT_THEN_TOOL, Shape.THINKING_THEN_TOOL])
async def test_a_tool_call_is_found_wherever_it_stands(shape: Shape) -> None:
    async with stand() as here:
        here.fake.script.append(shape)
        result = await here.ask()

    assert isinstance(result, AnalystReply)
    assert result.tool_inputs == ({"direction": "none"},)


FINAL = [
    (Fault.REFUSED_PARAMETER, Reason.REFUSED_PARAMETER),
    (Fault.BAD_KEY, Reason.BAD_KEY),
    (Fault.NO_CREDIT, Reason.NO_CREDIT),
    (Fault.FORBIDDEN, Reason.NO_PERMISSION),
    (Fault.RETIRED, Reason.RETIRED_MODEL),
    (Fault.TOO_LARGE_PAGE, Reason.TOO_LARGE),
    (Fault.SPEND_LIMIT, Reason.SPEND_LIMIT),
    (Fault.SPEND_LIMIT_429, Reason.SPEND_LIMIT),
    (Fault.SERVER_ERROR_FINAL, Reason.SERVER_ERROR),
]


@pytest.mark.parametrize(("fault", "reason"), FINAL)
async def test_a_refusal_that_stays_is_named_not_repeated_and_free(fault: Fault, reason: NoDecisionReason) -> None:
    async with stand() as here:
        here.fake.script.append(fault)
        result = await here.ask()
        (call,) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is reason
    assert "\n" not in result.says
    assert len(here.fake.posted) == 1
    assert (call.state, call.counted, call.outcome) == (CallState.SETTLED, Decimal(0), reason.value)


ODD = [Fault.PAGE, Fault.NOT_JSON, Fault.EMPTY_OBJECT, Fault.LIST, Fault.NULL_USAGE]


@pytest.mark.parametrize("fault", ODD)
async def test_an_answer_that_is_no_message_is_malformed_and_stays_counted_in_full(fault: Fault) -> None:
    async with stand() as here:
        here.fake.script.append(fault)
        result = await here.ask()
        (call,) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.MALFORMED
    assert (call.state, call.counted) == (CallState.UNKNOWN, call.reserved)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET])
async def test_a_connection_lost_after_sending_is_not_repeated_and_stays_counted(fault: Fault) -> None:
    async with stand() as here:
        here.fake.script.append(fault)
        result = await here.ask()
        (call,) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.CONNECTION
    assert len(here.fake.posted) == 1
    assert call.state is CallState.UNKNOWN


async def test_a_server_that_is_not_there_costs_nothing() -> None:
    async with stand(analyst_attempts=2) as here:
        here.client.url = "http://127.0.0.1:9"  # the discard port: nobody listens
        result = await here.ask()
        stored = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.CONNECTION
    assert [each.counted for each in stored] == [0, 0]


@pytest.mark.parametrize("fault", [Fault.HELD, Fault.SLOW_BODY])
async def test_the_deadline_bounds_silence_and_a_slow_body(fault: Fault) -> None:
    async with stand() as here:
        await here.ask()  # the library is imported, or the deadline would be spent on that
        here.fake.script.append(fault)
        result = await here.ask(deadline_s=2.0)
        (_, call) = await here.stored()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.TIMEOUT
    assert (call.state, call.outcome) == (CallState.UNKNOWN, "timeout")


@pytest.mark.parametrize("fault", [Fault.OVERLOADED, Fault.SERVER_ERROR, Fault.RATE_LIMITED, Fault.GATEWAY_PAGE])
async def test_a_passing_failure_is_tried_again_and_each_request_is_counted(fault: Fault) -> None:
    async with stand() as here:
        here.fake.script.extend([fault, fault])
        result = await here.ask()
        stored = await here.stored()

    assert isinstance(result, AnalystReply)
    assert [each.attempt for each in stored] == [1, 2, 3]
    assert [each.outcome for each in stored][-1] == ANSWERED


async def test_no_more_requests_than_allowed_are_sent() -> None:
    async with stand(analyst_attempts=2) as here:
        here.fake.script.extend([Fault.OVERLOADED] * 5)
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.OVERLOADED
    assert len(here.fake.posted) == 2


async def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    clock = NoWaiting()
    async with stand(clock) as here:
        here.fake.script.append(Fault.RATE_LIMITED)
        await here.ask()

    (wait_s,) = clock.waits_s
    assert 1.0 <= wait_s <= 1.1


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    clock = NoWaiting()
    async with stand(clock) as here:
        here.fake.script.append(Fault.RATE_LIMITED_FOR_AN_HOUR)
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.RATE_LIMITED
    assert clock.waits_s == []


async def test_an_unknown_model_has_no_price_and_is_not_asked() -> None:
    async with stand() as here:
        result = await here.ask(question(model="claude-next"))

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.UNKNOWN_MODEL
    assert here.fake.posted == []


async def test_without_a_key_nothing_is_sent() -> None:
    async with stand() as here:
        here.client.key = ""
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.NO_KEY
    assert here.fake.seen == []


async def test_a_text_that_no_server_could_read_costs_an_opinion_and_not_the_pipeline() -> None:
    async with stand() as here:
        result = await here.ask(question(user_text="half a pair: \ud800"))

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.BUG
    assert here.fake.seen == []


BUDGETS = [
    ("analyst_budget_hour", Reason.BUDGET_HOUR),
    ("analyst_budget_day", Reason.BUDGET_DAY),
    ("analyst_budget_month", Reason.BUDGET_MONTH),
]


@pytest.mark.parametrize(("name", "reason"), BUDGETS)
async def test_an_empty_budget_sends_nothing_and_says_which(name: str, reason: NoDecisionReason) -> None:
    async with stand(empty_budget=name) as here:
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is reason
    assert name.upper() in result.says
    assert here.fake.posted == []


async def test_a_model_that_keeps_failing_is_left_alone_and_tried_again_after_the_pause() -> None:
    clock = ManualClock()
    async with stand(clock, analyst_attempts=1, analyst_breaker_failures=2, analyst_breaker_pause_s=60) as here:
        here.fake.script.extend([Fault.OVERLOADED, Fault.SERVER_ERROR])
        await here.ask()
        await here.ask()
        shut = await here.ask()
        other = await here.ask(question(model="claude-opus-5-5"))
        clock.advance(61)
        again = await here.ask()

    assert isinstance(shut, NoDecision)
    assert shut.reason is Reason.BREAKER_OPEN
    assert isinstance(other, AnalystReply)
    assert isinstance(again, AnalystReply)


async def test_a_trial_that_fails_shuts_the_model_at_once() -> None:
    clock = ManualClock()
    async with stand(clock, analyst_attempts=1, analyst_breaker_failures=2, analyst_breaker_pause_s=60) as here:
        here.fake.script.extend([Fault.OVERLOADED] * 3)
        await here.ask()
        await here.ask()
        clock.advance(61)
        await here.ask()
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.BREAKER_OPEN
    assert len(here.fake.posted) == 3


async def test_a_retired_model_is_not_asked_each_minute() -> None:
    clock = ManualClock()
    async with stand(clock) as here:
        here.fake.script.append(Fault.RETIRED)
        await here.ask()
        clock.advance(600)
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.BREAKER_OPEN
    assert len(here.fake.posted) == 1


async def test_no_more_questions_than_allowed_are_on_their_way_at_once() -> None:
    async with stand(analyst_concurrency=3) as here:
        replies = await asyncio.gather(*(here.ask() for _ in range(12)))

    assert all(isinstance(each, AnalystReply) for each in replies)
    assert here.fake.most_in_flight <= 3


async def test_a_question_that_waits_for_its_turn_until_the_deadline_is_told_so() -> None:
    async with stand(analyst_concurrency=1) as here:
        await here.ask()
        here.fake.script.append(Fault.HELD)
        first = asyncio.create_task(here.ask(deadline_s=20))
        await here.fake.holding.wait()
        result = await here.ask(deadline_s=0.1)
        here.fake.release()
        await first

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.BUSY


async def down(*_: object) -> None:
    raise DatabaseUnavailable("the database did not answer")


async def test_a_ledger_that_does_not_answer_stops_the_question() -> None:
    async with stand(calls=Instead(MemoryStores().analyst_calls, reserve=down)) as here:
        result = await here.ask()

    assert isinstance(result, NoDecision)
    assert result.reason is Reason.LEDGER
    assert here.fake.posted == []


async def test_an_answer_that_cannot_be_settled_is_given_and_stays_counted_in_full() -> None:
    async with stand(calls=Instead(MemoryStores().analyst_calls, settle=down)) as here:
        result = await here.ask()
        (call,) = await here.stored()

    assert isinstance(result, AnalystReply)
    assert (call.state, call.counted) == (CallState.RESERVED, call.reserved)


async def test_the_stable_prefix_is_the_same_bytes_and_is_read_from_the_cache() -> None:
    rules = SystemBlock(text="Rule. " * 4_000, cached=True)
    async with stand() as here:
        first = await here.ask(question(system=(rules,), user_text="closes 1 2 3"))
        second = await here.ask(question(system=(rules,), user_text="closes 4 5 6"))

    assert isinstance(first, AnalystReply)
    assert isinstance(second, AnalystReply)
    assert first.usage.cache_write_tokens == second.usage.cache_read_tokens > 4_096
    assert second.usage.cost < first.usage.cost
    marks: Sequence[object] = [each.body["system"] for each in here.fake.posted]
    assert marks[0] == marks[1]


def test_nothing_of_the_daemon_imports_the_library_before_it_is_needed() -> None:
    code = (
        "import sys, bot.main, bot.wiring.analyst_desk; sys.exit('anthropic' in sys.modules or 'httpx2' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
