"""Anthropic's Messages API on a loopback port, as strict and as awkward as the server.

Each request takes the next item of `script`; without one it is answered with the tool call of `answer_with`. Streaming
and token counting are refused, because nothing here uses them.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from types import TracebackType
from typing import Any, Final

import orjson
from aiohttp import web

from bot.interfaces import Clock
from tests.fakes.messages_rules import ALWAYS_THINK, MODELS, cacheable, refusal

KEY: Final = "sk-ant-fake-0123456789"
_MOST_BYTES: Final = 32 * 2**20
_CACHE_LIFE_S: Final = 300.0
_BYTES_PER_TOKEN: Final = 4
_CACHE_MINIMUM: Final = {"claude-sonnet-5-5": 512, "claude-opus-5-5": 512, "claude-sonnet-4-6": 1_024}
_HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"


class Fault(StrEnum):
    """What goes wrong instead of an answer."""

    REFUSED_PARAMETER = "refused parameter"
    BAD_KEY = "bad key"
    NO_CREDIT = "no credit"
    FORBIDDEN = "forbidden"
    RETIRED = "retired"
    TOO_LARGE_PAGE = "too large, as a page"
    RATE_LIMITED = "rate limited"
    RATE_LIMITED_FOR_AN_HOUR = "rate limited for an hour"
    SPEND_LIMIT = "spend limit"
    SPEND_LIMIT_429 = "spend limit, enforced"
    SERVER_ERROR = "server error"
    SERVER_ERROR_FINAL = "server error, do not retry"
    OVERLOADED = "overloaded"
    GATEWAY_PAGE = "502 with a page"
    PAGE = "200 with a page"
    NOT_JSON = "200 with half the JSON"
    EMPTY_OBJECT = "200 with {}"
    LIST = "200 with []"
    NULL_USAGE = "200 without usage"
    ECHO_KEY = "400 that repeats the key"
    CUT = "fewer bytes than promised"
    SLOW_BODY = "a byte now and then"
    HELD = "no answer"
    RESET = "connection reset"


class Shape(StrEnum):
    """How an answer looks."""

    TOOL = "tool"
    TEXT_THEN_TOOL = "text then tool"
    THINKING_THEN_TOOL = "thinking then tool"
    TWO_TOOLS = "two tools"
    NO_TOOL = "no tool"
    MAX_TOKENS = "max tokens"
    REFUSAL = "refusal"
    PAUSE = "pause"
    CONTEXT_WINDOW = "context window"
    WRONG_SCHEMA = "wrong schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    text: str
    body: Mapping[str, Any]


ToolInput = Callable[[Mapping[str, Any]], Mapping[str, Any]]

# status, error type, message, headers
_ERRORS: Final[Mapping[Fault, tuple[int, str, str, Mapping[str, str]]]] = {
    Fault.REFUSED_PARAMETER: (400, "invalid_request_error", "output_config: Extra inputs are not permitted", {}),
    Fault.BAD_KEY: (401, "authentication_error", "invalid x-api-key", {}),
    Fault.NO_CREDIT: (402, "billing_error", "Your credit balance is too low to access the Anthropic API.", {}),
    Fault.FORBIDDEN: (403, "permission_error", "Your API key does not have permission to use the resource.", {}),
    Fault.RETIRED: (404, "not_found_error", "model: claude-haiku-5-5", {}),
    Fault.RATE_LIMITED: (429, "rate_limit_error", "Number of request tokens has exceeded", {"retry-after": "1"}),
    Fault.RATE_LIMITED_FOR_AN_HOUR: (429, "rate_limit_error", "This request would exceed", {"retry-after": "3600"}),
    Fault.SPEND_LIMIT: (
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        {},
    ),
    Fault.SPEND_LIMIT_429: (429, "rate_limit_error", "The organization's spend limit has been reached.", {}),
    Fault.SERVER_ERROR: (500, "api_error", "Internal server error", {}),
    Fault.SERVER_ERROR_FINAL: (500, "api_error", "Internal server error", {"x-should-retry": "false"}),
    Fault.OVERLOADED: (529, "overloaded_error", "Overloaded", {"x-should-retry": "true"}),
    Fault.ECHO_KEY: (400, "invalid_request_error", f"the header 'Bearer {KEY}' is not understood", {}),
}
_ODD_200: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.PAGE: (_HTML, "text/html"),
    Fault.NOT_JSON: ('{"id":"msg_01","type":"mess', "application/json"),
    Fault.EMPTY_OBJECT: ("{}", "application/json"),
    Fault.LIST: ("[]", "application/json"),
}


@dataclass(slots=True, kw_only=True)
class FakeMessagesApi:
    """The server. `async with FakeMessagesApi(clock=...) as fake:`; its address is `fake.url`."""

    clock: Clock
    script: deque[Fault | Shape] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    answer_with: ToolInput = lambda body: {"direction": "none"}
    models: list[dict[str, Any]] = field(default_factory=lambda: [model_row(each) for each in MODELS])
    output_tokens: int = 64
    url: str = ""
    in_flight: int = 0
    most_in_flight: int = 0
    _runner: web.AppRunner | None = None
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _cached_until_s: dict[str, float] = field(default_factory=dict)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def posted(self) -> list[Seen]:
        """The questions to models, in the order they came."""
        return [each for each in self.seen if each.method == "POST"]

    def release(self) -> None:
        """Let go of what is held."""
        self._released.set()

    async def __aenter__(self) -> "FakeMessagesApi":
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(_seen(request, ""))
        if denied := self._denied(request):
            return denied
        rows = {"data": self.models, "has_more": False, "first_id": None, "last_id": None}
        return self._json(200, rows)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answered(request)
        finally:
            self.in_flight -= 1

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        try:
            text = await request.text()
        except web.HTTPRequestEntityTooLarge:
            return self._error(413, "request_too_large", "Request exceeds the maximum size")
        seen = _seen(request, text)
        self.seen.append(seen)
        if denied := self._denied(request):
            return denied
        if said := refusal(seen.body, request.headers["anthropic-version"]):
            return self._error(*said)
        if seen.body.get("stream"):
            return self._error(501, "api_error", "this fake does not stream")
        item = self.script.popleft() if self.script else _usual(seen.body)
        if isinstance(item, Fault):
            return await self._faulty(item, request, seen.body)
        return self._json(200, self._message(item, seen.body))

    def _denied(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.headers.get("x-api-key")
        if given != KEY:
            return self._error(401, "authentication_error", "invalid x-api-key")
        if "anthropic-version" not in request.headers:
            return self._error(400, "invalid_request_error", "anthropic-version: header is required")
        return None

    async def _faulty(self, fault: Fault, request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
        if fault in _ERRORS:
            status, kind, message, headers = _ERRORS[fault]
            details = {"error_code": "enforced_spend_limit_reached"} if fault is Fault.SPEND_LIMIT_429 else None
            return self._error(status, kind, message, headers=headers, details=details)
        if fault in _ODD_200:
            text, kind = _ODD_200[fault]
            return web.Response(text=text, content_type=kind)
        if fault in (Fault.TOO_LARGE_PAGE, Fault.GATEWAY_PAGE):
            status = 413 if fault is Fault.TOO_LARGE_PAGE else 502
            return web.Response(status=status, text=_HTML, content_type="text/html")
        if fault is Fault.NULL_USAGE:
            return self._json(200, self._message(Shape.TOOL, body) | {"usage": None})
        return await self._broken(fault, request, body)

    async def _broken(self, fault: Fault, request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if fault is Fault.HELD:
            self.holding.set()
            await self._released.wait()
        if fault in (Fault.CUT, Fault.SLOW_BODY):
            data = orjson.dumps(self._message(Shape.TOOL, body))
            response = web.StreamResponse(headers={"content-type": "application/json"})
            response.content_length = len(data)
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            if fault is Fault.SLOW_BODY:
                await self._released.wait()
        transport.abort()
        return web.Response()

    def _message(self, shape: Shape, body: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        content, stop_reason = self._content(shape, body, number)
        return {
            "id": f"msg_{number:04}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": self._usage(body),
        }

    def _content(self, shape: Shape, body: Mapping[str, Any], number: int) -> tuple[list[dict[str, Any]], str]:
        name = body["tools"][0]["name"] if body.get("tools") else "none"
        tool = {"type": "tool_use", "id": f"toolu_{number:04}", "name": name, "input": dict(self.answer_with(body))}
        text = {"type": "text", "text": "I see."}
        thinking = {"type": "thinking", "thinking": "", "signature": "sig"}
        shapes: dict[Shape, tuple[list[dict[str, Any]], str]] = {
            Shape.TOOL: ([tool], "tool_use"),
            Shape.TEXT_THEN_TOOL: ([text, tool], "tool_use"),
            Shape.THINKING_THEN_TOOL: ([thinking, tool], "tool_use"),
            Shape.TWO_TOOLS: ([tool, tool | {"id": f"toolu_{number:04}b"}], "tool_use"),
            Shape.NO_TOOL: ([text], "end_turn"),
            Shape.MAX_TOKENS: ([tool | {"input": {}}], "max_tokens"),
            Shape.REFUSAL: ([], "refusal"),
            Shape.PAUSE: ([text], "pause_turn"),
            Shape.CONTEXT_WINDOW: ([text], "model_context_window_exceeded"),
            Shape.WRONG_SCHEMA: ([tool | {"input": {"surprise": "1"}}], "tool_use"),
        }
        return shapes[shape]

    def _usage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Counters that follow the marks: the longest marked prefix that is kept is read, the rest up to the last mark
        is written, unless it is too short."""
        digest, size, read, marked = hashlib.sha256(body["model"].encode()), 0, 0, 0
        now_s, marks = self.clock.monotonic(), []
        for block in cacheable(body):
            bare = orjson.dumps({name: each for name, each in block.items() if name != "cache_control"})
            digest.update(bare)
            size += len(bare)
            if "cache_control" in block and size // _BYTES_PER_TOKEN >= _CACHE_MINIMUM.get(body["model"], 4_096):
                marked = size // _BYTES_PER_TOKEN
                marks.append(digest.hexdigest())
                if self._cached_until_s.get(marks[-1], -1.0) >= now_s:
                    read = marked
        self._cached_until_s |= dict.fromkeys(marks, now_s + _CACHE_LIFE_S)
        total = size // _BYTES_PER_TOKEN
        return {
            "input_tokens": total - marked,
            "cache_creation_input_tokens": marked - read,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": marked - read, "ephemeral_1h_input_tokens": 0},
            "output_tokens": min(self.output_tokens, body["max_tokens"]),
            "service_tier": "standard",
        }

    def _error(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> web.Response:
        error = {"type": kind, "message": message} | ({"details": dict(details)} if details else {})
        return self._json(status, {"type": "error", "error": error, "request_id": "req_error"}, headers or {})

    def _json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
        limits = {"anthropic-ratelimit-requests-limit": "1000", "anthropic-ratelimit-requests-remaining": "999"}
        sent = {"request-id": f"req_{next(self._numbers):04}", **limits, **(headers or {})}
        return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=sent)


def model_row(model: str, *, lifecycle: str = "active", retires_at: str | None = None) -> dict[str, Any]:
    """One row of GET /v1/models."""
    return {
        "type": "model",
        "id": model,
        "display_name": model,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": lifecycle,
        "retires_at": retires_at,
    }


def _usual(body: Mapping[str, Any]) -> Shape:
    return Shape.THINKING_THEN_TOOL if body["model"] in ALWAYS_THINK else Shape.TOOL


def _seen(request: web.Request, text: str) -> Seen:
    body = orjson.loads(text) if text else {}
    return Seen(method=request.method, path=request.path, headers=dict(request.headers), text=text, body=body)
