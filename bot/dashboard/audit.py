"""The audit: who did what, how, from where, when, and how it ended; also what was refused.

Every act of somebody we know is written down by the middleware. `audit(request, what, detail)` says it in better words.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from loguru import logger

from bot.access import AuditEntry, AuditResult
from bot.dashboard.parts import PARTS
from bot.dashboard.patience import PATIENCE_S
from bot.dashboard.routes import PRINCIPAL, SAFE_METHODS, Handler, route_of
from bot.dashboard.visitor import address_of
from bot.errors import BotError, DataError, NotFound, UsageError
from bot.interfaces import AuditStore, Clock

_MOST_WAITING: Final = 1_000
_LONGEST: Final = 500
_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What one act was, in words."""

    what: str
    detail: str
    who: str
    how: str


def audit(request: web.Request, what: str, detail: str = "", *, who: str = "", how: str = "") -> None:
    """Say what this request does ("user disabled", "bob"). It is written when the request has ended, with its result.

    Call it before the act, so that a refusal is named too; twice for two acts. `who` and `how` only where nobody is
    logged in. Never give it a secret.
    """
    request[NOTES] = (*request.get(NOTES, ()), Note(what=what, detail=detail[:_LONGEST], who=who, how=how))


class AuditLog:
    """Writes entries in their order; what the database does not take waits here, and is in the log already."""

    def __init__(self, store: AuditStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[AuditEntry] = deque(maxlen=_MOST_WAITING)
        self._writing: asyncio.Task[None] | None = None
        self._trying_again: asyncio.Task[None] | None = None

    async def write(self, *entries: AuditEntry) -> None:
        """Write them, and whatever waits. Never raises; a silent database is not waited for."""
        for each in entries:
            logger.info(
                "audit: {} {} {} {} ({}, {})",
                each.who,
                each.result.value,
                each.what,
                each.detail,
                each.how,
                each.address,
            )
        self._waiting.extend(entries)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="audit")
        await asyncio.wait((self._writing,), timeout=PATIENCE_S)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_first()
        except BotError as error:
            logger.warning("audit: {} entries wait for the database: {}", len(self._waiting), error)
            if self._trying_again is None or self._trying_again.done():
                self._trying_again = asyncio.create_task(self._try_again(), name="audit again")

    async def _try_again(self) -> None:
        while self._waiting:
            await self._clock.sleep(_AGAIN_S)
            await self.write()

    async def end(self, _: web.Application) -> None:
        """One last try for what waits."""
        if self._trying_again is not None:
            self._trying_again.cancel()
        if self._waiting:
            await self.write()
        running = [each for each in (self._trying_again, self._writing) if each is not None and not each.done()]
        for each in running:
            each.cancel()
        if running:
            await asyncio.wait(running, timeout=PATIENCE_S)

    async def _write_first(self) -> None:
        first = self._waiting[0]
        try:
            await self._store.append(first)
        except DataError as error:
            logger.error("audit: an entry was refused and is in the log only: {}", error)
        if self._waiting and self._waiting[0] is first:  # a full queue may have dropped it meanwhile
            self._waiting.popleft()


@web.middleware
async def audit_acts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write down what was done or refused, when it has ended."""
    result = AuditResult.FAILED
    try:
        response = await handler(request)
        result = _result_of(response.status)
        return response
    except web.HTTPException as answer:
        result = _result_of(answer.status)
        raise
    except (UsageError, NotFound):
        result = AuditResult.REFUSED
        raise
    finally:
        entries = _entries(request, result)
        if entries:
            await request.app[AUDIT_LOG].write(*entries)


def _entries(request: web.Request, result: AuditResult) -> list[AuditEntry]:
    """What there is to say; nothing of strangers who only knock, or they would fill the database."""
    principal = request.get(PRINCIPAL)
    notes = request.get(NOTES, ())
    if not notes and principal is not None and request.method not in SAFE_METHODS:
        route = route_of(request)
        notes = (Note(what=route.path if route else request.path[:_LONGEST], detail="", who="", how=""),)
    return [
        AuditEntry(
            at=request.app[PARTS].clock.now(),
            who=each.who or (principal.name if principal else "nobody"),
            how=each.how or (principal.how if principal else ""),
            address=address_of(request),
            what=each.what,
            detail=each.detail,
            result=result,
        )
        for each in notes
    ]


def _result_of(status: int) -> AuditResult:
    if status < 400:
        return AuditResult.OK
    return AuditResult.REFUSED if status < 500 else AuditResult.FAILED


NOTES: Final = web.RequestKey("notes", Sequence[Note])
AUDIT_LOG: Final = web.AppKey("audit_log", AuditLog)
