"""What passes between the parts of the analyst: a question, its answer, or why there is none."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from bot.analyst_calls import Usage as Usage
from bot.instruments import Symbol
from bot.models import EntrySignal, SignalId

Json = Mapping[str, Any]


class NoDecisionReason(StrEnum):
    """Every named cause of having no answer."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    BAD_REQUEST = "bad_request"
    REFUSED_PARAMETER = "refused_parameter"
    TOO_LARGE = "too_large"
    NO_KEY = "no_key"
    BAD_KEY = "bad_key"
    NO_PERMISSION = "no_permission"
    NO_CREDIT = "no_credit"
    SPEND_LIMIT = "spend_limit"
    RETIRED_MODEL = "retired_model"
    UNKNOWN_MODEL = "unknown_model"
    REFUSAL = "refusal"
    MAX_TOKENS = "max_tokens"
    CONTEXT_WINDOW = "context_window"
    PAUSE = "pause"
    NO_TOOL = "no_tool"
    TWO_TOOLS = "two_tools"
    SCHEMA = "schema"
    MALFORMED = "malformed"
    BUDGET_HOUR = "budget_hour"
    BUDGET_DAY = "budget_day"
    BUDGET_MONTH = "budget_month"
    LEDGER = "ledger"  # the budget could not be asked: nothing is sent that is not counted
    BREAKER_OPEN = "breaker_open"
    BUSY = "busy"
    SECRET_IN_REQUEST = "secret_in_request"  # noqa: S105 a name, not a secret
    NOT_RECORDED = "not_recorded"
    BUG = "bug"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemBlock:
    """One stable text of the prompt. `cached` marks the end of a prefix that the server may keep."""

    text: str
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The one form that an answer may have."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystRequest:
    """One question to one model. `symbol` and `signal_id` say what it is about and are never sent."""

    model: str
    system: tuple[SystemBlock, ...]
    user_text: str
    tool: Tool
    max_tokens: int
    image: bytes | None = None
    symbol: Symbol | None = None
    signal_id: SignalId | None = None

    @property
    def key(self) -> str:
        """SHA-256 of what is asked, whatever the model: what one model takes and another refuses is not in it."""
        asked = {
            "system": [{"text": each.text, "cached": each.cached} for each in self.system],
            "user_text": self.user_text,
            "tool": {"name": self.tool.name, "description": self.tool.description, "schema": self.tool.schema},
            "max_tokens": self.max_tokens,
            "image": hashlib.sha256(self.image).hexdigest() if self.image is not None else None,
        }
        # Not orjson: this must have a key for any text, also half a surrogate pair, which has no UTF-8.
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystReply:
    """What a model answered, with exactly one tool call. `tool_inputs` is untrusted and not checked yet."""

    request_key: str
    model_asked: str
    model_answered: str
    stop_reason: str
    tool_inputs: tuple[dict[str, Any], ...]
    text: str
    usage: Usage
    latency_s: float
    request_id: str
    at: datetime
    from_recording: bool
    origin: str = "live"  # of a recording: who wrote it; only "live" was said by a model


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDecision:
    """Why there is no answer. `usage` is what it cost all the same, if that is known."""

    reason: NoDecisionReason
    says: str
    request_key: str = ""
    model: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What an analyst made of a candidate. `signal` None: it looked, and says that nothing is there.

    `by` is the model or "detector". `untrue` are the claims that the candles deny; with one of them there is no entry.
    """

    signal: EntrySignal | None
    by: str
    untrue: tuple[str, ...] = ()
    reply: AnalystReply | None = None
    no_decision: NoDecision | None = None


class AnalystGateway(Protocol):
    """Where questions go: to the model, to recordings, or to both."""

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """An answer, or why there is none, after at most `deadline_s` of real time. Never raises."""
