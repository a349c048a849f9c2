"""What can go wrong between a client and the fake venue; set for the next requests, or until lifted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(StrEnum):
    """Names of the faults; those with an effect have done what was asked."""

    LOST_REQUEST = auto()
    LOST_REPLY = auto()
    LATE_REQUEST = auto()
    HELD_REPLY = auto()
    DRIPPING_REPLY = auto()
    DUPLICATED = auto()
    TRUNCATED_REPLY = auto()
    RESET_MID_BODY = auto()
    HTML_INSTEAD = auto()
    BAD_GATEWAY = auto()
    BAD_GATEWAY_AFTER_EFFECT = auto()
    TOO_MANY = auto()
    UNAUTHORISED = auto()
    FORBIDDEN = auto()
    REDIRECTED = auto()
    STALE = auto()


@dataclass
class Faults:
    """`release` lets held and late requests go on."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    _rules: list[tuple[Fault, str, int | None]] = field(default_factory=list)

    def next(self, fault: Fault, match: str = "", *, times: int = 1) -> None:
        """For the next `times` requests whose "METHOD path" contains `match`."""
        self._rules.append((fault, match, times))

    def always(self, fault: Fault, match: str = "") -> None:
        """Until `lift`."""
        self._rules.append((fault, match, None))

    def lift(self) -> None:
        """Nothing goes wrong any more."""
        self._rules.clear()

    def take(self, request: web.Request) -> Fault | None:
        """The fault of this request, if there is one."""
        told = f"{request.method} {request.path}"
        for index, (fault, match, left) in enumerate(self._rules):
            if match in told:
                if left is not None:
                    self._rules[index] = (fault, match, left - 1)
                self._rules = [each for each in self._rules if each[2] != 0]
                return fault
        return None

    async def apply(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or not, as the fault says."""
        words = {
            Fault.UNAUTHORISED: (401, "Insufficient authorization to perform request."),
            Fault.FORBIDDEN: (403, "The provided request was forbidden."),
            Fault.TOO_MANY: (429, "The request rate was exceeded"),
        }
        if fault in words:
            return web.json_response({"errorMessage": words[fault][1]}, status=words[fault][0])
        if fault is Fault.BAD_GATEWAY:
            return _html(502)
        if fault is Fault.REDIRECTED:
            raise web.HTTPTemporaryRedirect(request.path)
        if fault is Fault.LOST_REQUEST:
            return _cut(request)
        if fault is Fault.LATE_REQUEST:
            await self.release.wait()
        answer = await handler(request)
        assert isinstance(answer, web.Response)
        if fault is Fault.DUPLICATED:
            return await handler(request)
        if fault is Fault.BAD_GATEWAY_AFTER_EFFECT:
            return _html(502)
        if fault is Fault.HTML_INSTEAD:
            return _html(answer.status)
        if fault is Fault.HELD_REPLY:
            await self.release.wait()
        if fault in (Fault.TRUNCATED_REPLY, Fault.RESET_MID_BODY, Fault.DRIPPING_REPLY):
            return await self._in_part(fault, request, answer)
        return _cut(request) if fault in (Fault.LOST_REPLY, Fault.LATE_REQUEST) else answer

    async def _in_part(self, fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
        body = answer.body
        assert isinstance(body, bytes)
        part = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        if fault is Fault.TRUNCATED_REPLY:  # a whole HTTP answer around half a document
            return web.Response(status=answer.status, body=body[: len(body) // 2], content_type="application/json")
        part.content_length = len(body)
        await part.prepare(request)
        await part.write(body[: len(body) // 2])
        if fault is Fault.DRIPPING_REPLY:
            await self.release.wait()
        return _cut(request)


def _html(status: int) -> web.Response:
    return web.Response(status=status, text="<html><body>gateway</body></html>", content_type="text/html")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
