"""The fake Messages API refuses what the server refuses, in its words; asked by bare HTTP, without our gateway."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.clock import ManualClock
from tests.fakes.messages_api import KEY, FakeMessagesApi

HEADERS = {"Authorization": f"Bearer {KEY}", "anthropic-version": "2026-10-21"}
TOOL = {
    "name": "submit",
    "strict": True,
    "input_schema": {"type": "object", "properties": {"n": {"type": "number"}}, "additionalProperties": False},
}
SOUND: dict[str, Any] = {
    "model": "claude-haiku-5-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "hello"}],
    "tools": [TOOL],
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeMessagesApi]:
    async with FakeMessagesApi(clock=ManualClock()) as running:
        yield running


async def answer(
    fake: FakeMessagesApi, body: dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{fake.url}/v1/messages", json=body, headers=HEADERS if headers is None else headers) as response,
    ):
        return response.status, await response.json()


def schema(**changes: Any) -> dict[str, Any]:
    return {"tools": [TOOL | {"input_schema": TOOL["input_schema"] | changes}]}  # type: ignore[operator]


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def image(data: str, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


REFUSED = [
    ({"temperature": 0}, "temperature: Extra inputs are not permitted"),
    ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    ({"model": "claude-opus-5-5", "tool_choice": {"type": "tool", "name": "submit"}}, "not supported for this model"),
    ({"model": "claude-sonnet-5-5", "tool_choice": {"type": "any"}}, "not supported for this model"),
    ({"tool_choice": {"type": "tool", "name": "other"}}, "Tool 'other' not found"),
    (
        {"tool_choice": {"type": "any"}, "max_tokens": 3_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}},
        "Thinking may not be enabled when tool_choice forces tool use",
    ),
    ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "`max_tokens` must be greater"),
    ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, 'thinking: type "disabled"'),
    (schema(properties={"n": {"type": "number", "minimum": 0}}), "properties minimum are not supported"),
    (schema(properties={"n": {"type": "array", "items": {"type": "string"}, "minItems": 2}}), "'minItems' values"),
    (schema(additionalProperties=True), "'additionalProperties' must be explicitly set to false"),
    (schema(properties={"n": {"type": "object", "properties": {}}}), "'additionalProperties' must be"),
    (user({"type": "text", "text": ""}), "text content blocks must be non-empty"),
    (user(image("AAAA")), "the image appears not to be of type image/png"),
    (user(image("AAAA", "image/bmp")), "media_type: Input should be one of"),
    ({"messages": []}, "at least one message is required"),
    (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]},
        "does not support assistant message prefill",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "submit", "input": {}}]},
                {"role": "user", "content": "b"},
            ]
        },
        "without `tool_result` blocks immediately after",
    ),
    (
        user(*({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}} for _ in range(5))),
        "A maximum of 4",
    ),
]


@pytest.mark.parametrize(("changes", "says"), REFUSED)
async def test_what_the_server_refuses_is_refused(fake: FakeMessagesApi, changes: dict[str, Any], says: str) -> None:
    status, body = await answer(fake, SOUND | changes)

    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert says in body["error"]["message"]


async def test_a_sound_request_is_answered(fake: FakeMessagesApi) -> None:
    status, body = await answer(fake, SOUND)

    assert (status, body["stop_reason"], body["content"][0]["type"]) == (200, "tool_use", "tool_use")


async def test_sampling_is_taken_under_the_old_version_only(fake: FakeMessagesApi) -> None:
    status, _ = await answer(fake, SOUND | {"temperature": 0}, HEADERS | {"anthropic-version": "2023-06-01"})

    assert status == 200


async def test_an_unknown_model_is_not_found(fake: FakeMessagesApi) -> None:
    status, body = await answer(fake, SOUND | {"model": "claude-sonnet-4-5-20250929"})

    assert (status, body["error"]["type"]) == (404, "not_found_error")


async def test_either_key_header_is_taken_and_no_key_is_not(fake: FakeMessagesApi) -> None:
    version = {"anthropic-version": "2026-10-21"}

    statuses = [
        (await answer(fake, SOUND, version | more))[0] for more in ({"x-api-key": KEY}, {"x-api-key": "no"}, {})
    ]

    assert statuses == [200, 401, 401]


async def test_a_version_must_be_named(fake: FakeMessagesApi) -> None:
    status, body = await answer(fake, SOUND, {"x-api-key": KEY})

    assert (status, body["error"]["message"]) == (400, "anthropic-version: header is required")


def marked(text: str) -> dict[str, Any]:
    return {"system": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}


async def counters(fake: FakeMessagesApi, body: dict[str, Any]) -> tuple[int, int]:
    _, message = await answer(fake, body)
    return message["usage"]["cache_creation_input_tokens"], message["usage"]["cache_read_input_tokens"]


async def test_a_marked_prefix_is_written_once_and_then_read_until_it_dies() -> None:
    clock = ManualClock()
    async with FakeMessagesApi(clock=clock) as fake:
        first = await counters(fake, SOUND | marked("word " * 5_000))
        clock.advance(299)
        second = await counters(fake, SOUND | marked("word " * 5_000) | user({"type": "text", "text": "other"}))
        clock.advance(301)
        third = await counters(fake, SOUND | marked("word " * 5_000))

    assert first[0] > 4_096
    assert (first[1], second) == (0, (0, first[0]))
    assert third == first


async def test_a_short_prefix_is_not_kept_and_nobody_says_so(fake: FakeMessagesApi) -> None:
    found = [await counters(fake, SOUND | marked("word " * 100)) for _ in range(2)]

    assert found == [(0, 0), (0, 0)]


async def test_other_bytes_before_the_mark_are_another_prefix(fake: FakeMessagesApi) -> None:
    await counters(fake, SOUND | marked("word " * 5_000))

    written, read = await counters(fake, SOUND | marked("Word " * 5_000))

    assert written > 4_096
    assert read == 0
