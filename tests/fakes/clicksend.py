"""A fake ClickSend on a loopback port, as awkward as the service: 200 for refusals, doubles, a late history."""

import asyncio
import base64
import math
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.interfaces import Clock

USER, KEY = "ada@example.org", "1F2E3D4C-0000-4000-8000-000000000000"
SUBACCOUNT_KEY = "AAAA1111-0000-4000-8000-000000000000"
PRICE = 0.077
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("^{}\\[~]|€\f")
THROTTLE_S = 60


@dataclass(slots=True, kw_only=True)
class Text:
    """What was queued. `parts` are billed each."""

    to: str
    body: str
    reference: str
    at_s: float
    parts: int


class FakeClickSend:
    """One account. `faults`, of the next sends, in order: `queued, no answer`, `queued, 500`, `500`, `html 502`, `429`.

    `history_lag_s`: how long a message is missing from the history.
    """

    def __init__(self, clock: Clock, *, balance: float = 5.0, history_lag_s: float = 30) -> None:
        self.queued: list[Text] = []
        self.faults: list[str] = []
        self.looks = 0
        self._account_looks: list[float] = []
        self._clock = clock
        self.balance = balance
        self._history_lag_s = history_lag_s
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Serve; the address."""
        app = web.Application()
        app.router.add_post("/v3/sms/send", self._send)
        app.router.add_get("/v3/sms/history", self._history)
        app.router.add_get("/v3/account", self._account)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if not _is_allowed(request):
            return _no(401, "UNAUTHORIZED")
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "429":
            return _no(429, "TOO_MANY_REQUESTS", {"Retry-After": "23"})
        if fault == "500":
            return _no(500, "INTERNAL_SERVER_ERROR")
        if fault == "html 502":
            return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        body = await request.json()
        if not body.get("messages"):
            return _no(400, 400)
        rows = [self._queue(each) for each in body["messages"]]
        if fault == "queued, no answer":
            assert request.transport is not None
            request.transport.abort()
        if fault == "queued, 500":
            return _no(500, "INTERNAL_SERVER_ERROR")
        data = {"total_price": PRICE, "total_count": len(rows), "queued_count": len(rows), "messages": rows}
        return _yes("Messages queued for delivery.", data)

    def _queue(self, message: dict[str, Any]) -> dict[str, Any]:
        """HTTP 200 and SUCCESS come also for what is refused; then fields are missing and `schedule` is a text."""
        to, text, reference = message["to"], message["body"], message.get("custom_string", "")
        now_s = self._clock.now().timestamp()
        parts = _parts(text)
        refusal = ""
        if not to.startswith("+"):
            refusal = "INVALID_RECIPIENT"
        elif to.startswith("+1999"):
            refusal = "COUNTRY_NOT_ENABLED"
        elif self.balance < PRICE * parts:
            refusal = "INSUFFICIENT_CREDIT"
        elif any((each.to, each.body) == (to, text) and now_s - each.at_s < THROTTLE_S for each in self.queued):
            refusal = "THROTTLED"
        row = {"to": to, "body": text, "from": "", "custom_string": reference, "message_id": self._id()}
        if refusal:
            return {**row, "schedule": "", "message_parts": 0, "message_price": "0.0000", "status": refusal}
        self.balance -= PRICE * parts
        self.queued.append(Text(to=to, body=text, reference=reference, at_s=now_s, parts=parts))
        more = {"direction": "out", "date": int(now_s), "schedule": int(now_s), "user_id": 1, "message_parts": parts}
        return {**row, **more, "message_price": f"{PRICE * parts:.4f}", "status": "SUCCESS"}

    async def _account(self, request: web.Request) -> web.Response:
        """The balance is a text; the keys of subaccounts are there too. 20 a minute."""
        if not _is_allowed(request):
            return _no(401, "UNAUTHORIZED")
        now_s = self._clock.now().timestamp()
        self._account_looks = [each for each in self._account_looks if each > now_s - 60] + [now_s]
        if len(self._account_looks) > 20:
            return _no(429, "TOO_MANY_REQUESTS", {"Retry-After": "30"})
        subaccount = {"api_key": SUBACCOUNT_KEY}
        return _yes("Here's your account", {"user_id": 1, "balance": f"{self.balance:.6f}", "_subaccount": subaccount})

    async def _history(self, request: web.Request) -> web.Response:
        """Pages of at least 15; what was just sent is not there yet."""
        if not _is_allowed(request):
            return _no(401, "UNAUTHORIZED")
        self.looks += 1
        begin, end = float(request.query["date_from"]), float(request.query["date_to"])
        limit, page = max(15, min(100, int(request.query.get("limit", 15)))), int(request.query.get("page", 1))
        known_s = self._clock.now().timestamp() - self._history_lag_s
        found = [each for each in self.queued if begin <= each.at_s <= end and each.at_s <= known_s]
        rows = [{"to": each.to, "custom_string": each.reference, "status": "SENT"} for each in found]
        shown = rows[(page - 1) * limit : page * limit]
        last = max(1, math.ceil(len(rows) / limit))
        return _yes(
            "Here are your history.", {"total": len(rows), "current_page": page, "last_page": last, "data": shown}
        )

    def _id(self) -> str:
        return f"BF7AD270-0DE2-418B-B606-{len(self.queued):012X}"


def _parts(text: str) -> int:
    """As billed: one character outside of GSM-7 makes the whole message UCS-2."""
    if all(each in GSM or each in GSM_EXTENDED for each in text):
        length = sum(2 if each in GSM_EXTENDED else 1 for each in text)
        return 1 if length <= 160 else math.ceil(length / 153)
    length = len(text.encode("utf-16-le")) // 2
    return 1 if length <= 70 else math.ceil(length / 67)


def _is_allowed(request: web.Request) -> bool:
    wanted = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
    return request.headers.get("Authorization") == f"Basic {wanted}"


def _yes(text: str, data: dict[str, Any]) -> web.Response:
    return web.json_response({"http_code": 200, "response_code": "SUCCESS", "response_msg": text, "data": data})


def _no(status: int, code: str | int, headers: dict[str, str] | None = None) -> web.Response:
    body = {"http_code": status, "response_code": code, "response_msg": "no", "data": None}
    return web.json_response(body, status=status, headers=headers)
