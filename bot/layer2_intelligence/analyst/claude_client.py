"""The only door to Anthropic's library: one request, sent once, and its errors in our words.

The library takes seconds to import, so that happens in a thread, at the first question. Answers are read as plain JSON
and not as the library's types: it does not check them, and what a proxy sends instead of an answer comes through as
anything. The warnings of retired models, which it raises on each call, are `capabilities` here.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from bot.layer2_intelligence.analyst.nouns import NoDecisionReason

if TYPE_CHECKING:
    import anthropic
    import httpx2

_ADDRESS: Final = "https://api.anthropic.com"
_VERSION: Final = "2026-10-21"
_CONNECT_WITHIN_S: Final = 5.0
_SAID_AT_MOST: Final = 300
_SPEND_LIMIT: Final = "specified API usage limits"
_NAMES_PARAMETER: Final = re.compile(r"[\w.\[\]]+: ")
_STATUS: Final[Mapping[int, NoDecisionReason]] = {
    401: NoDecisionReason.BAD_KEY,
    402: NoDecisionReason.NO_CREDIT,
    403: NoDecisionReason.NO_PERMISSION,
    404: NoDecisionReason.RETIRED_MODEL,
    408: NoDecisionReason.SERVER_ERROR,
    409: NoDecisionReason.SERVER_ERROR,
    413: NoDecisionReason.TOO_LARGE,
    429: NoDecisionReason.RATE_LIMITED,
    529: NoDecisionReason.OVERLOADED,
}
_PASSING: Final = {NoDecisionReason.SERVER_ERROR, NoDecisionReason.RATE_LIMITED, NoDecisionReason.OVERLOADED}
# Somebody between us and the model gave up waiting: it may have answered, and be paid, all the same.
_MAYBE_PAID: Final = {408, 499, 502, 504}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A 200 with JSON in it. Its content is untrusted."""

    body: object
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer. `is_free`: it surely cost nothing; `may_retry`: the same again may do, after `retry_after_s`."""

    reason: NoDecisionReason
    says: str
    is_free: bool
    may_retry: bool
    retry_after_s: float | None = None
    request_id: str = ""


@dataclass(slots=True, kw_only=True)
class ClaudeClient:
    """One connection pool to Anthropic, or to a fake on this machine. Belongs to one event loop; close it."""

    key: str = field(repr=False)
    url: str = ""
    _client: "anthropic.AsyncAnthropic | None" = field(default=None, repr=False)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def origin(self) -> str:
        """Who answers: "live", or "fake" for an address of this machine."""
        return "fake" if self.url else "live"

    def holds_secret(self, body: Mapping[str, Any]) -> bool:
        """Whether the key is in what would be sent."""
        return self.key in orjson.dumps(body).decode()

    async def open(self) -> None:
        """Import the library and make ready, in a thread. Else the first question waits for it."""
        await self._opened()

    async def send(self, body: Mapping[str, Any], *, timeout_s: float) -> Answered | Failed:
        """POST /v1/messages, once."""
        client = await self._opened()
        return await self._heard(
            client.post("/v1/messages", cast_to=_response(), body=body, options=_within(timeout_s))
        )

    async def models(self, *, timeout_s: float) -> Answered | Failed:
        """GET /v1/models: what the key can use."""
        client = await self._opened()
        return await self._heard(client.get("/v1/models?limit=1000", cast_to=_response(), options=_within(timeout_s)))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> "anthropic.AsyncAnthropic":
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._made)
            return self._client

    def _made(self) -> "anthropic.AsyncAnthropic":
        import anthropic

        return anthropic.AsyncAnthropic(
            api_key=self.key,
            base_url=self.url or _ADDRESS,
            max_retries=0,  # each request is counted, so who counts decides whether there is another
            default_headers={"anthropic-version": _VERSION},
            open_telemetry=False,
        )

    async def _heard(self, sending: "Awaitable[httpx2.Response]") -> Answered | Failed:
        import anthropic
        import httpx2

        try:
            response = await sending
        except anthropic.APIStatusError as error:
            return self._refused(error)
        except anthropic.APITimeoutError as error:
            return self._unreached(NoDecisionReason.TIMEOUT, error)
        except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            return self._unreached(NoDecisionReason.CONNECTION, error)
        return self._read(response.text, response.headers.get("request-id", ""))

    def _read(self, text: str, request_id: str) -> Answered | Failed:
        try:
            return Answered(body=orjson.loads(self._redacted(text)), request_id=request_id)
        except orjson.JSONDecodeError:
            says = f"the server answered 200 with something that is not JSON: {self._said(text)}"
            return Failed(
                reason=NoDecisionReason.MALFORMED, says=says, is_free=False, may_retry=False, request_id=request_id
            )

    def _refused(self, error: "anthropic.APIStatusError") -> Failed:
        status, said = error.status_code, _message_of(error.body) or error.response.text
        reason = _STATUS.get(status)
        if reason is None:
            reason = NoDecisionReason.SERVER_ERROR if status >= 500 else NoDecisionReason.BAD_REQUEST
        if _SPEND_LIMIT in said or "enforced_spend_limit_reached" in error.response.text:
            reason = NoDecisionReason.SPEND_LIMIT
        elif status == 400 and _NAMES_PARAMETER.match(said):
            reason = NoDecisionReason.REFUSED_PARAMETER
        headers = error.response.headers
        return Failed(
            reason=reason,
            says=f"HTTP {status}: {self._said(said)}",
            is_free=status not in _MAYBE_PAID,
            may_retry=reason in _PASSING and headers.get("x-should-retry") != "false",
            retry_after_s=_retry_after_s(headers),
            request_id=error.request_id or "",
        )

    def _unreached(self, reason: NoDecisionReason, error: BaseException) -> Failed:
        import httpx2

        cause: BaseException = error.__cause__ or error
        never_sent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        says = f"{type(cause).__name__}: {self._said(str(cause) or str(error))}"
        return Failed(reason=reason, says=says, is_free=never_sent, may_retry=never_sent)

    def _redacted(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text

    def _said(self, text: str) -> str:
        """A stranger's words, as they may be shown: one line, not long, without the key."""
        plain = "".join(each if each.isprintable() else " " for each in self._redacted(text))
        return " ".join(plain.split())[:_SAID_AT_MOST]


def _response() -> "type[httpx2.Response]":
    import httpx2

    return httpx2.Response


def _within(timeout_s: float) -> "anthropic.RequestOptions":
    import httpx2

    return {"timeout": httpx2.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_WITHIN_S))}


def _message_of(body: object) -> str:
    error = body.get("error") if isinstance(body, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else None
    return message if isinstance(message, str) else ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait; None if it does not say, or says nonsense."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        until, sent = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
    except (KeyError, ValueError):
        return None
    return max((_aware(until) - _aware(sent)).total_seconds(), 0.0)


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
