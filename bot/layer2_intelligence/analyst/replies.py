"""Reads what came back: an answer with exactly one tool call, or the named reason why it is none.

Live answers and recordings are read by the same words, so a recording cannot mean anything else than it did.
"""

from collections.abc import Mapping
from typing import Any, Final

from bot.analyst_calls import AnalystCall, Usage
from bot.layer2_intelligence.analyst.capabilities import ModelTraits
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason

_STOPPED: Final[Mapping[str, tuple[NoDecisionReason, str]]] = {
    "refusal": (NoDecisionReason.REFUSAL, "the model refused to answer"),
    "max_tokens": (NoDecisionReason.MAX_TOKENS, "the answer was cut at max_tokens; raise it"),
    "model_context_window_exceeded": (NoDecisionReason.CONTEXT_WINDOW, "the question is too long for the model"),
    "pause_turn": (NoDecisionReason.PAUSE, "the server paused the turn, which only its own tools need"),
}


def read_reply(
    body: object, traits: ModelTraits, call: AnalystCall, *, from_recording: bool = False
) -> AnalystReply | NoDecision:
    """The answer to `call` in `body`, as parsed from JSON. A NoDecision without `usage`: the cost is not known."""
    if not isinstance(body, Mapping) or body.get("type") != "message" or not isinstance(body.get("content"), list):
        return _none(call, NoDecisionReason.MALFORMED, f"the server answered 200 with no message: {_kind(body)}")
    usage = read_usage(body.get("usage"), traits)
    if usage is None:
        return _none(call, NoDecisionReason.MALFORMED, "the answer does not say what it cost")
    stop_reason = str(body.get("stop_reason"))
    if stop_reason in _STOPPED:
        return _none(call, *_STOPPED[stop_reason], usage=usage)
    blocks = [each for each in body["content"] if isinstance(each, Mapping)]
    calls = [each for each in blocks if each.get("type") == "tool_use"]
    if len(calls) != 1 or stop_reason != "tool_use":
        reason = NoDecisionReason.TWO_TOOLS if len(calls) > 1 else NoDecisionReason.NO_TOOL
        says = f"{len(calls)} tool calls, need exactly 1 (stop_reason {stop_reason[:40]})"
        return _none(call, reason, says, usage=usage)
    if not isinstance(calls[0].get("input"), dict):
        return _none(call, NoDecisionReason.MALFORMED, "the input of the tool call is no object", usage=usage)
    return AnalystReply(
        request_key=call.key,
        model_asked=call.model,
        model_answered=str(body.get("model")),
        stop_reason=stop_reason,
        tool_inputs=(calls[0]["input"],),
        text="".join(str(each.get("text", "")) for each in blocks if each.get("type") == "text"),
        usage=usage,
        latency_s=call.latency_s,
        request_id=call.request_id,
        at=call.at,
        from_recording=from_recording,
        origin=call.origin,
    )


def read_usage(value: object, traits: ModelTraits) -> Usage | None:
    """Tokens and their cost; None if the server did not say them as whole numbers."""
    if not isinstance(value, Mapping):
        return None
    written, kept = value.get("cache_creation_input_tokens") or 0, value.get("cache_creation")
    for_an_hour = (kept.get("ephemeral_1h_input_tokens") or 0) if isinstance(kept, Mapping) else 0
    read, plain, output = (
        value.get("cache_read_input_tokens") or 0,
        value.get("input_tokens"),
        value.get("output_tokens"),
    )
    counts = [_count(each) for each in (plain, output, read, written, for_an_hour)]
    if any(each is None for each in counts):
        return None
    plain, output, read, written, for_an_hour = (each or 0 for each in counts)
    cost = traits.price.cost(
        input_tokens=plain,
        output_tokens=output,
        cache_write_tokens=max(written - for_an_hour, 0),
        cache_write_hour_tokens=for_an_hour,
        cache_read_tokens=read,
    )
    return Usage(
        input_tokens=plain, cache_write_tokens=written, cache_read_tokens=read, output_tokens=output, cost=cost
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _none(call: AnalystCall, reason: NoDecisionReason, says: str, *, usage: Usage | None = None) -> NoDecision:
    return NoDecision(
        reason=reason,
        says=f"{call.model}: {says}",
        request_key=call.key,
        model=call.model,
        usage=usage,
    )


def _kind(body: object) -> str:
    return "an object of another kind" if isinstance(body, Mapping) else f"a {type(body).__name__}"
