"""Operations: one declaration gives the route, the checks of what comes in, and its part of the OpenAPI document.

The handler is the declaration: its docstring is the summary, its parameter `asked` names what the address may say,
`body` what the request may carry, and what it returns is the answer. What does not fit never reaches it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Final, get_origin, get_type_hints

from aiohttp import web
from loguru import logger
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.access import Principal, Scope
from bot.dashboard.api.encoding import as_json
from bot.dashboard.api.once import done_once
from bot.dashboard.api.pace import PACE_DESK
from bot.dashboard.api.problems import Fault, Place, Problem, faults_of, unfit
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.routes import PRINCIPAL, Route
from bot.errors import BrokerError, ConfigError, DatabaseUnavailable, NotFound, UnknownSymbol, UsageError

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
_RETRY_AFTER_S: Final = 5

Answers = Callable[..., Awaitable[Any]]


class Asked(BaseModel):
    """What an address may say: the parameters in its path and in its query."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Body(BaseModel):
    """What a request may carry: a JSON object of these fields, and of no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that fits, and who it is from."""

    request: web.Request
    parts: DashboardParts
    by: Principal

    @property
    def who(self) -> str:
        """The name of whoever asks, for what is kept; of a program also the token it asks with."""
        return f"{self.by.name}, {self.by.how}" if self.by.is_token else self.by.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one path.

    `needs` is the scope of whoever asks. `may_answer` are the errors beyond those that follow from what it takes.
    `decimals` says how answers write them. What is `is_urgent` waits for no limit (S33) and no database; asked for
    twice it is done once by itself. What `asks_venues` takes of their patience, which is for trading: all who ask share
    one slow pace.
    """

    method: str
    path: str
    handler: Answers
    needs: Scope
    group: str
    summary: str
    description: str
    asked: type[Asked] | None
    body: type[Body] | None
    answer: Any
    may_answer: tuple[int, ...] = ()
    decimals: type[str] | type[float] = str
    media: str = JSON
    is_urgent: bool = False
    asks_venues: bool = False

    @property
    def is_act(self) -> bool:
        """It changes something."""
        return self.method != "GET"

    @property
    def places(self) -> Mapping[str, Place]:
        """Where each parameter of the address stands, by its name there."""
        names = self.asked.model_fields if self.asked is not None else {}
        return {name: "path" if f"{{{name}}}" in self.path else "query" for name in names}

    @property
    def errors(self) -> tuple[int, ...]:
        """Every status that is not success, in order: what follows from what it takes, and what it says itself."""
        found = {400, 401, 403, 503, *self.may_answer}
        found |= {404} if "{" in self.path else set()
        found |= {409, 413, 415, 422} if self.is_act else set()
        found |= set() if self.is_urgent else {429}
        return tuple(sorted(found))

    def route(self) -> Route:
        """Its place in the table of routes."""
        return Route(
            method=self.method,
            path=self.path,
            handler=answers(self),
            needs=self.needs,
            streams=self.media == EVENT_STREAM,
            is_urgent=self.is_urgent or self.asks_venues,
        )


def read(path: str, handler: Answers, *, group: str, needs: Scope = Scope.READ, **more: Any) -> Operation:
    """Something to look at."""
    return _declared("GET", path, handler, needs, group, **more)


def act(path: str, handler: Answers, *, group: str, needs: Scope = Scope.TRADE, **more: Any) -> Operation:
    """Something that changes the world."""
    return _declared("POST", path, handler, needs, group, **more)


def _declared(method: str, path: str, handler: Answers, needs: Scope, group: str, **more: Any) -> Operation:
    hints = get_type_hints(handler, include_extras=True)
    summary, _, description = cleandoc(handler.__doc__ or "").partition("\n")
    return Operation(
        method=method,
        path=path,
        handler=handler,
        needs=needs,
        group=group,
        summary=summary.strip(),
        description=" ".join(description.split()),
        asked=hints.get("asked"),
        body=hints.get("body"),
        answer=hints["return"],
        **more,
    )


def answers(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of its route: check, call, shape the answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        call = Call(request=request, parts=request.app[PARTS], by=request[PRINCIPAL])
        try:
            if not operation.is_urgent:
                request.app[PACE_DESK].take(call.who, is_act=operation.is_act)
            if operation.asks_venues:
                request.app[PACE_DESK].take_venues()
            response: web.StreamResponse = await told(_carried_out(operation, call))
        except Problem as problem:
            return problem.answer()
        return response

    return answer


async def _carried_out(operation: Operation, call: Call) -> web.StreamResponse:
    arguments = await _arguments(operation, call.request)
    if operation.media != JSON:
        stream: web.StreamResponse = await operation.handler(call, **arguments)
        return stream

    async def answer() -> web.Response:
        return as_json(await told(operation.handler(call, **arguments)), decimals=operation.decimals)

    if operation.is_act and not operation.is_urgent:
        return await done_once(call.request, call.who, call.parts.stores.acts, call.parts.clock, answer)
    return await answer()


async def told(work: Awaitable[Any]) -> Any:
    """What `work` gives; our errors become problems that say what to do. The middleware has what is left: our bugs."""
    try:
        return await work
    except NotFound as error:
        raise Problem(404, str(error)) from error
    except (UnknownSymbol, ConfigError) as error:  # an instrument or a broker that is not there
        raise Problem(404, str(error)) from error
    except UsageError as error:
        raise Problem(400, str(error)) from error
    except DatabaseUnavailable as error:
        logger.warning("api: not answered: {}", error)
        detail = "the database does not answer; nothing new is opened meanwhile, stops rest at the venues; ask again"
        raise Problem(503, detail, retry_after_s=_RETRY_AFTER_S) from error
    except BrokerError as error:
        raise Problem(503, f"a venue gave no usable answer: {error}", retry_after_s=_RETRY_AFTER_S) from error


# -------------------------------------------------------------------------------------------------- what comes in


async def _arguments(operation: Operation, request: web.Request) -> dict[str, BaseModel]:
    arguments: dict[str, BaseModel] = {}
    if operation.asked is not None:
        arguments["asked"] = _address(operation, operation.asked, request)
    elif request.query:
        raise unfit(400, [_unknown(name) for name in request.query])
    if operation.body is not None:
        arguments["body"] = await _carried(operation.body, request)
    return arguments


def _address(operation: Operation, model: type[Asked], request: web.Request) -> Asked:
    """The parameters of the address. 404 for a path that cannot be, 400 for a query that does not fit."""
    given: dict[str, Any] = dict(request.match_info)
    twice: list[Fault] = []
    lists = {name for name, info in model.model_fields.items() if get_origin(info.annotation) is list}
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        if len(values) > 1 and name not in lists:
            twice.append(Fault(place="query", name=name, value=None, says="was given more than once; give it once"))
        if name in request.match_info:
            twice.append(_unknown(name))
        given[name] = values if name in lists else values[0]
    if twice:
        raise unfit(400, twice)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = faults_of(error, operation.places, "query")
        raise unfit(404 if all(each.place == "path" for each in faults) else 400, faults) from error


async def _carried(model: type[Body], request: web.Request) -> Body:
    """The body. 415 if it is not JSON, 400 if it is broken, 422 if it does not fit; nothing at all is an empty one."""
    text = await request.read()
    if text and request.content_type != JSON:
        raise Problem(415, f"the body is {request.content_type}; send {JSON}")
    try:
        return model.model_validate_json(text or b"{}")
    except ValidationError as error:
        broken = any(each["type"] == "json_invalid" for each in error.errors(include_url=False, include_input=False))
        raise unfit(400 if broken else 422, faults_of(error, {}, "body")) from error


def _unknown(name: str) -> Fault:
    says = "is not known here; leave it out, or look for its name in /api/openapi.json"
    return Fault(place="query", name=name[:80], value=None, says=says)
