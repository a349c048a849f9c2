"""A question as the JSON that one model takes, and what it may cost at most. Only fields named here are ever sent."""

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from bot.layer2_intelligence.analyst.capabilities import ModelTraits
from bot.layer2_intelligence.analyst.nouns import AnalystRequest

_THINKING_ROOM_TOKENS: Final = 4_096  # thinking counts inside max_tokens
_SERVER_OVERHEAD_TOKENS: Final = 1_000  # what the server adds to a request with a tool is some 500
_EPHEMERAL: Final = {"type": "ephemeral"}


def wire_body(request: AnalystRequest, traits: ModelTraits) -> dict[str, Any]:
    """The body of POST /v1/messages. The same request gives the same bytes: the server's cache looks for them."""
    system = [_system_block(each.text, cached=each.cached) for each in request.system]
    tool_choice: dict[str, Any] = {"type": "tool", "name": request.tool.name, "disable_parallel_tool_use": True}
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens}
    if traits.thinks:
        body["max_tokens"] = min(request.max_tokens + _THINKING_ROOM_TOKENS, traits.output_tokens)
        body |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
        system.append(
            _system_block(f"Answer by calling the tool {request.tool.name} exactly once, and in no other way.")
        )
        tool_choice = {"type": "auto", "disable_parallel_tool_use": True}
    tool = {"name": request.tool.name, "description": request.tool.description, "strict": True}
    return body | {
        "system": system,
        "messages": [{"role": "user", "content": [*_images(request.image), _text(request.user_text)]}],
        "tools": [tool | {"input_schema": dict(request.tool.schema)}],
        "tool_choice": tool_choice,
    }


def worst_cost(body: Mapping[str, Any], traits: ModelTraits, image: bytes | None) -> Decimal:
    """Dollars that sending `body` costs at most.

    A token is at least one byte of text, so the bytes bound the tokens, whatever the tokenizer. All of it is taken as
    written to the cache, which is the dearest way to read.
    """
    size = len(orjson.dumps(body)) + _SERVER_OVERHEAD_TOKENS
    if image is not None:
        size += traits.image_tokens - len(base64.b64encode(image))
    return traits.price.cost(input_tokens=0, cache_write_tokens=size, output_tokens=int(body["max_tokens"]))


def _system_block(text: str, *, cached: bool = False) -> dict[str, Any]:
    return _text(text) | ({"cache_control": _EPHEMERAL} if cached else {})


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _images(image: bytes | None) -> list[dict[str, Any]]:
    if image is None:
        return []
    data = base64.b64encode(image).decode("ascii")
    return [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}]
