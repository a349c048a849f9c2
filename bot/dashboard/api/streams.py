"""Live updates over a WebSocket (`/ws`) and as server-sent events (`/api/events`): the same messages."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Annotated, Final
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, web
from aiohttp_sse import EventSourceResponse
from pydantic import Field

from bot.access import Scope
from bot.dashboard.api.hub import HUB, Listener, Message, Topic
from bot.dashboard.api.operations import Asked, Call
from bot.dashboard.cookies import cookie
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL
from bot.dashboard.sessions import SESSIONS, digest
from bot.dashboard.tokens import TOKEN_DESK
from bot.dashboard.vigil import VIGIL
from bot.errors import BotError

_MOST_BYTES_IN: Final = 4 * 1024
_PING_EVERY_S: Final = 15.0
_SEND_WITHIN_S: Final = 10.0

Send = Callable[[Message], Awaitable[None]]


class Ending(Enum):
    """Why a stream ended: the code of its WebSocket, and words."""

    SHUTDOWN = (WSCloseCode.GOING_AWAY, "the daemon stops; connect again in a moment")
    LOGGED_OUT = (WSCloseCode.POLICY_VIOLATION, "the login or token has ended; log in, then connect again")
    TOO_SLOW = (WSCloseCode.TRY_AGAIN_LATER, "messages were not read fast enough; connect again")
    TROUBLE = (WSCloseCode.INTERNAL_ERROR, "the newest figures could not be read; connect again")

    @property
    def says(self) -> str:
        """The words."""
        return self.value[1]


class TopicsAsked(Asked):
    """What to listen to; all of it, if nothing is named."""

    topic: Annotated[list[Topic], Field(default_factory=list, max_length=len(Topic))]


async def events(call: Call, asked: TopicsAsked) -> web.StreamResponse:
    """Live updates as server-sent events: the event is the message's type, its data the message.

    `hello` comes first, then how things are, then what changes. `ended` is the last one: it says why.
    """
    response = EventSourceResponse(send_timeout=_SEND_WITHIN_S)

    async def send(message: Message) -> None:
        await response.send(message.text, event=message.kind)

    with _listening(call.request, _topics(asked.topic)) as listener:  # before the answer begins: it may be a no
        await response.prepare(call.request)
        with suppress(ConnectionResetError, TimeoutError):
            async with response:
                ending = await _pump(call.request, listener, send)
                await send(Message.of("ended", says=ending.says))
    return response


async def websocket(request: web.Request) -> web.StreamResponse:
    """Live updates over a WebSocket. What the client sends is not listened to, and 4 KiB at most.

    403 for a browser that comes from another site, 503 if too many listen.
    """
    _require_own_origin(request)
    try:
        topics = _topics([Topic(each) for each in request.query.getall("topic", [])])
    except ValueError:
        raise web.HTTPBadRequest from None
    socket = web.WebSocketResponse(heartbeat=_PING_EVERY_S, max_msg_size=_MOST_BYTES_IN, compress=False)
    if not socket.can_prepare(request):
        raise web.HTTPUpgradeRequired
    with _listening(request, topics) as listener:
        await socket.prepare(request)
        ending = await _until_it_ends(request, socket, listener)
        if ending is not None:
            await socket.close(code=ending.value[0], message=ending.says.encode())
    return socket


@contextmanager
def _listening(request: web.Request, topics: frozenset[Topic]) -> Iterator[Listener]:
    """Take part until the login ends."""

    async def holds() -> bool:
        return request.transport is not None and await _still_may(request)

    with request.app[HUB].listen(topics) as listener, request.app[VIGIL].keep(holds, listener.log_out):
        yield listener


async def _until_it_ends(request: web.Request, socket: web.WebSocketResponse, listener: Listener) -> Ending | None:
    """Tell one client what is new; why that ended, None if the client ended it."""

    async def send(message: Message) -> None:
        await socket.send_str(message.text)

    reading = asyncio.create_task(_read_to_the_end(socket), name="websocket reading")
    sending = asyncio.create_task(_pump(request, listener, send), name="websocket sending")
    try:
        await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
        return sending.result() if sending.done() else None
    except (ConnectionResetError, TimeoutError):
        return Ending.TOO_SLOW
    finally:
        for each in (reading, sending):
            each.cancel()
        await asyncio.gather(reading, sending, return_exceptions=True)


async def _read_to_the_end(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        """Nothing is asked for here; pings are answered by the library."""


def _topics(named: Sequence[Topic]) -> frozenset[Topic]:
    return frozenset(named) or frozenset(Topic)


async def _pump(request: web.Request, listener: Listener, send: Send) -> Ending:
    """Send what is new until it ends; why it did. Raises ConnectionResetError, TimeoutError."""
    hub = request.app[HUB]
    try:
        messages = await hub.greeting(listener)
    except BotError:
        return Ending.TROUBLE
    while True:
        for each in messages:
            async with asyncio.timeout(_SEND_WITHIN_S):
                await send(each)
        messages = await listener.news()
        if hub.closing:
            return Ending.SHUTDOWN
        if listener.is_slow:
            return Ending.TOO_SLOW
        if listener.is_logged_out:
            return Ending.LOGGED_OUT


async def _still_may(request: web.Request) -> bool:
    """Whether whoever opened the stream could open it now. Listening is not using: a session's idle time goes on."""
    principal = request[PRINCIPAL]
    if not principal.is_token:
        session = await request.app[SESSIONS].look(cookie(request, "session"))
        return session is not None
    given = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if secrets.compare_digest(digest(given), digest(request.app[PARTS].api_token)):
        return True
    now = await request.app[TOKEN_DESK].recognise(given)
    return now is not None and now.may(Scope.READ)


def _require_own_origin(request: web.Request) -> None:
    """A browser names where it comes from, and sends cookies of ours from anywhere (S12); a program names nothing."""
    origin = request.headers.get("Origin")
    if origin is None and request[PRINCIPAL].is_token:
        return
    try:
        authority = urlsplit(origin or "").netloc
    except ValueError:
        authority = ""
    if not authority or authority != request.headers.get("Host"):
        raise web.HTTPForbidden
