"""Recorded answers: as files that can be kept with tests and shared, and as gateways that answer from them.

A file says who answered in `origin`: "live" (a model), "fake" (a program on this machine), "hand" (a person). Whoever
reads it sees that; nothing but a model's answer is called live.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bot.analyst_calls import ANSWERED, AnalystCall, CallState, Usage
from bot.errors import BotError, DataError
from bot.interfaces import AnalystCallStore
from bot.layer2_intelligence.analyst.capabilities import traits_of
from bot.layer2_intelligence.analyst.nouns import (
    AnalystGateway,
    AnalystReply,
    AnalystRequest,
    NoDecision,
    NoDecisionReason,
)
from bot.layer2_intelligence.analyst.replies import read_reply, read_usage

_READABLE: Final = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


class Cassette(BaseModel):
    """One recorded answer as a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    origin: Literal["live", "fake", "hand"]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,80}$")]
    at: AwareDatetime
    symbol: str = ""
    signal_id: str = ""
    request_id: str = ""
    latency_s: float = Field(0.0, ge=0)
    request_body: dict[str, Any]
    reply_body: dict[str, Any]

    @property
    def file_name(self) -> str:
        """Its name follows from what was asked and who answered."""
        return f"{self.model}.{self.key}.json"

    def call(self) -> AnalystCall:
        """It as a stored call, which costs nothing here."""
        traits = traits_of(self.model)
        usage = read_usage(self.reply_body.get("usage"), traits) if traits else None
        return AnalystCall(
            reserved=Usage().cost,
            state=CallState.IMPORTED,
            outcome=ANSWERED,
            usage=usage or Usage(),
            **self.model_dump(exclude={"format"}),
        )


def cassette_of(call: AnalystCall) -> Cassette | None:
    """A stored call as a cassette; None if nothing came back. Raises DataError for an origin that has no name."""
    if call.reply_body is None:
        return None
    fields = {name: getattr(call, name) for name in Cassette.model_fields if name != "format"}
    try:
        return Cassette.model_validate(fields)
    except ValidationError as error:
        raise DataError(f"analyst call {call.number} cannot be written as a recording: {_first(error)}") from error


def write_cassettes(cassettes: Iterable[Cassette], directory: Path) -> int:
    """Write each as a file of `directory`, in place of an older one to the same question; how many files there are."""
    directory.mkdir(parents=True, exist_ok=True)
    newest = {each.file_name: each for each in sorted(cassettes, key=_at)}
    for name, cassette in newest.items():
        (directory / name).write_bytes(orjson.dumps(cassette.model_dump(mode="json"), option=_READABLE))
    return len(newest)


def read_cassettes(directory: Path) -> tuple[Cassette, ...]:
    """Every .json file of `directory`, oldest answer first. Raises DataError that names the first bad file."""
    if not directory.is_dir():
        raise DataError(f"{directory} is no directory of recordings; name one that holds *.json files")
    return tuple(sorted((_read(path) for path in sorted(directory.glob("*.json"))), key=_at))


class RecordedGateway:
    """Answers from recordings only; nothing is sent and nothing is spent."""

    def __init__(self, cassettes: Iterable[Cassette]) -> None:
        self._calls: Mapping[tuple[str, str], AnalystCall] = {
            (each.key, each.model): each.call() for each in sorted(cassettes, key=_at)
        }

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The newest recorded answer of that model to that question."""
        call = self._calls.get((request.key, request.model))
        if call is None:
            return _no_decision(request, NoDecisionReason.NOT_RECORDED, "no recording of this question")
        return replayed(call, request)


class CachedGateway:
    """Asks only what has not been answered yet."""

    def __init__(self, store: AnalystCallStore, gateway: AnalystGateway, *, origin: str) -> None:
        """`origin`: whose recordings count as answers, such as "live"; others are as if they were not there."""
        self._store = store
        self._gateway = gateway
        self._origin = origin

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The recorded answer, or a new one."""
        try:
            call = await self._store.answered(request.key, request.model, origin=self._origin)
        except BotError as error:
            return _no_decision(request, NoDecisionReason.LEDGER, f"recordings cannot be read: {error}")
        if call is not None:
            return replayed(call, request)
        return await self._gateway.ask(request, deadline_s=deadline_s)


def replayed(call: AnalystCall, request: AnalystRequest) -> AnalystReply | NoDecision:
    """What a stored call answers, read again by today's words."""
    traits = traits_of(call.model)
    if traits is None:
        return _no_decision(request, NoDecisionReason.UNKNOWN_MODEL, f"{call.model} is not in the table of models")
    return read_reply(call.reply_body, traits, call, from_recording=True)


async def import_cassettes(cassettes: Iterable[Cassette], store: AnalystCallStore) -> int:
    """Store those that are not stored yet; how many."""
    return sum([await store.add(each.call()) for each in cassettes])


def _read(path: Path) -> Cassette:
    try:
        return Cassette.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"recording {path} cannot be read ({error.strerror}); check its rights") from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"recording {path} is not JSON ({error}); remove it or export it again") from error
    except ValidationError as error:
        raise DataError(f"recording {path} is wrong: {_first(error)}; correct or remove it") from error


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _at(cassette: Cassette) -> datetime:
    return cassette.at


def _no_decision(request: AnalystRequest, reason: NoDecisionReason, says: str) -> NoDecision:
    return NoDecision(reason=reason, says=f"{request.model}: {says}", request_key=request.key, model=request.model)
