"""What the Messages API refuses, in its words. Returns are (HTTP status, error type, message)."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Refusal = tuple[int, str, str]

MODELS: Final = (
    "claude-haiku-5-5",
    "claude-haiku-4-5-20251001",
    "claude-haiku-4-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-sonnet-4-6",
)
ALWAYS_THINK: Final = ("claude-sonnet-5-5", "claude-opus-5-5")
_NO_PREFILL: Final = (*ALWAYS_THINK, "claude-haiku-5-5", "claude-sonnet-4-6")
_KEYS: Final = {
    *("model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
    *("stop_sequences", "stream", "metadata", "service_tier", "cache_control", "container", "inference_geo", "speed"),
}
_OLD_KEYS: Final = {"temperature", "top_p", "top_k"}
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_STRICT: Final = {"minimum", "maximum", "multipleOf", "minLength", "maxLength", "exclusiveMinimum", "$ref"}
_IMAGE_STARTS: Final = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_MOST_MARKS: Final = 4
_IMAGE_BYTES: Final = 10_000_000


def refusal(body: Mapping[str, Any], version: str) -> Refusal | None:
    """The first thing that is wrong with a request; None if it is taken."""
    for said in _faults(body, version):
        return said if isinstance(said, tuple) else (400, "invalid_request_error", said)
    return None


def _faults(body: Mapping[str, Any], version: str) -> Iterator[str | Refusal]:
    allowed = _KEYS | (_OLD_KEYS if version < "2026-10-21" else set())
    yield from (f"{each}: Extra inputs are not permitted" for each in body if each not in allowed)
    yield from (f"{each}: Field required" for each in ("model", "max_tokens", "messages") if each not in body)
    model, most = body["model"], body["max_tokens"]
    if model not in MODELS:
        yield 404, "not_found_error", f"model: {model}"
    if not isinstance(most, int) or most < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    yield from _tool_faults(body)
    yield from _thinking_faults(body)
    yield from _message_faults(body["messages"], model)
    if sum("cache_control" in each for each in cacheable(body)) > _MOST_MARKS:
        yield "A maximum of 4 blocks with cache_control may be provided."


def cacheable(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Everything that may carry a cache mark, in the order of the prefix: tools, system, messages."""
    system = body.get("system", [])
    blocks = [*body.get("tools", []), *([{"type": "text", "text": system}] if isinstance(system, str) else system)]
    return [*blocks, *(block for message in body["messages"] for block in _blocks(message))]


def _tool_faults(body: Mapping[str, Any]) -> Iterator[str]:
    choice = body.get("tool_choice", {})
    if choice.get("type") in ("tool", "any"):
        if body["model"] in ALWAYS_THINK:
            yield 'tool_choice: type "tool" and "any" are not supported for this model.'
        if body.get("thinking", {}).get("type") == "enabled":
            yield "Thinking may not be enabled when tool_choice forces tool use."
    names = [each.get("name") for each in body.get("tools", [])]
    if choice.get("type") == "tool" and choice.get("name") not in names:
        yield f"Tool '{choice.get('name')}' not found in provided tools"
    for place, tool in enumerate(body.get("tools", [])):
        if not _TOOL_NAME.fullmatch(str(tool.get("name"))):
            yield f"tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
        if tool.get("strict"):
            yield from (f"tools.{place}.custom: {each}" for each in _strict_faults(tool["input_schema"]))


def _strict_faults(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _strict_faults(each)
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type", "")
    if kind == "object" and schema.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if isinstance(kind, str) and kind:
        unsupported = ", ".join(sorted(_NOT_STRICT & set(schema)))
        if unsupported:
            yield f"For '{kind}' type, properties {unsupported} are not supported"
        if kind == "array" and schema.get("minItems", 0) > 1:
            yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    for name, each in schema.items():
        if name == "properties":
            yield from _strict_faults(list(each.values()))
        elif name in ("items", "anyOf", "allOf", "$defs"):
            yield from _strict_faults(each)


def _thinking_faults(body: Mapping[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking", {})
    kind, budget = thinking.get("type"), thinking.get("budget_tokens", 0)
    if kind == "disabled" and body["model"] in ALWAYS_THINK:
        yield 'thinking: type "disabled" is not supported for this model.'
    if kind == "adaptive" and body["model"].startswith("claude-haiku-4-5"):
        yield "thinking: adaptive thinking is not supported on this model"
    if kind == "enabled" and not 1_024 <= budget < body["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`, which must be at least 1024"


def _message_faults(messages: list[Mapping[str, Any]], model: str) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
        return
    if messages[-1]["role"] == "assistant" and model in _NO_PREFILL:
        yield "This model does not support assistant message prefill. The conversation must end with a user message."
    asked: list[str] = []
    for place, message in enumerate(messages):
        blocks = _blocks(message)
        results = [each.get("tool_use_id") for each in blocks if each.get("type") == "tool_result"]
        if asked and results[: len(asked)] != asked:
            yield f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after"
        asked = [each["id"] for each in blocks if each.get("type") == "tool_use"]
        if any(each.get("type") == "text" and not each.get("text") for each in blocks):
            yield f"messages.{place}: text content blocks must be non-empty"
        yield from (f"messages.{place}.{said}" for each in blocks if (said := _image_fault(each)))


def _image_fault(block: Mapping[str, Any]) -> str:
    if block.get("type") != "image" or block["source"]["type"] != "base64":
        return ""
    kind, data = block["source"]["media_type"], block["source"]["data"]
    if kind not in _IMAGE_STARTS:
        return f"image.source.base64.media_type: Input should be one of {', '.join(_IMAGE_STARTS)}"
    if len(data) > _IMAGE_BYTES:
        return "image.source.base64: image exceeds 10 MB maximum"
    try:
        start = base64.b64decode(data, validate=True)
    except binascii.Error:
        return "image.source.base64.data: Invalid base64 data"
    return "" if start.startswith(_IMAGE_STARTS[kind]) else f"image: the image appears not to be of type {kind}"


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
