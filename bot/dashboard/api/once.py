"""Acts under a key of their asker's: the same one asked for again gets the answer of the first time."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from aiohttp import web
from loguru import logger

from bot.access import Act
from bot.dashboard.api.problems import Fault, Problem, unfit
from bot.errors import BotError
from bot.interfaces import ActStore, Clock

HEADER: Final = "Idempotency-Key"
KEY: Final = "[A-Za-z0-9_.:-]{1,100}"
KEPT: Final = timedelta(hours=24)
_REPLAYED: Final = "Idempotency-Replayed"

Answer = Callable[[], Awaitable[web.Response]]


async def done_once(request: web.Request, who: str, acts: ActStore, clock: Clock, answer: Answer) -> web.Response:
    """The answer of `answer`, or of the one time before that it was asked for under this key.

    What failed because something was not reached may be asked for again. Raises Problem: 409 while the first has not
    ended, or for a key that was another act's.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await answer()
    if not re.fullmatch(KEY, key):
        says = "must be 1 to 100 letters, digits or any of _ . : -"
        raise unfit(400, [Fault(place="header", name=HEADER, value=key[:80], says=says)])
    act = Act(who=who, key=key, fingerprint=await _fingerprint(request), at=clock.now())
    before = await acts.begin(act, forget_before=clock.now() - KEPT)
    if before is not None:
        return _again(act, before)
    try:
        response = await answer()
    except Problem as problem:
        if problem.status >= 500:
            await acts.forget(act)
            raise
        response = problem.answer()
    try:
        await acts.end(act, status=response.status, answer=response.text or "")
    except BotError as error:  # it was done, and is told so; asked for again under this key it is not done again
        logger.warning("api: the answer to an act of {} under {!r} was not kept: {}", who, key, error)
    return response


def _again(act: Act, before: Act) -> web.Response:
    if before.fingerprint != act.fingerprint:
        raise Problem(409, f"the key {act.key!r} was used for another act; take a new key for each act")
    if before.status is None:
        raise Problem(
            409,
            f"the act under the key {act.key!r} has begun and its end is not known: it is still being done, or the "
            "daemon was stopped meanwhile. Look what came of it before asking under a new key",
        )
    good = before.status < 400
    kind = "application/json" if good else "application/problem+json"
    response = web.Response(body=before.answer.encode(), status=before.status, content_type=kind)
    response.headers[_REPLAYED] = "true"
    return response


async def _fingerprint(request: web.Request) -> str:
    told = b"\n".join((request.method.encode(), request.path_qs.encode(), await request.read()))
    return hashlib.sha256(told).hexdigest()
