"""A fake IG on a loopback port, as awkward as the venue: two-step deals, late lists, short tokens, spent allowances."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import web

from bot.clock import ManualClock
from bot.instruments import Instrument
from bot.interfaces import Clock
from tests.fakes.ig_book import EpicTerms, IgBook
from tests.fakes.venue_market import FakeMarket

PREFIX = "/gateway/deal"
ACCOUNT = "ABC123"
PAGE = 20
STEPS = {
    "MINUTE": timedelta(minutes=1),
    "MINUTE_5": timedelta(minutes=5),
    "MINUTE_15": timedelta(minutes=15),
    "MINUTE_30": timedelta(minutes=30),
    "HOUR": timedelta(hours=1),
    "HOUR_4": timedelta(hours=4),
    "DAY": timedelta(days=1),
}
LOCAL = timedelta(hours=1)  # the account's clock against UTC
REFERENCE = re.compile(r"[A-Za-z0-9_\-]{1,30}")
_TURNS_BETWEEN = 20  # of the event loop: whoever reads has seen the first piece by then
EPIC = re.compile(r"[A-Za-z0-9._]{6,30}")


class No(Exception):
    """An answer with an error code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to the next `times` requests whose "METHOD /path" begins with `at`; -1: to all of them.

    `lost`: it never arrives. `reply lost`, `html`, `truncated`, `hang`: it has its effect, and the answer does not come
    or is of no use. `pieces`: the answer comes whole, but not at once. `late`: it arrives when `deliver_late` is
    called. `twice`: it arrives two times. `no`: `status` and `code` are answered without an effect.
    """

    kind: str
    at: str
    times: int = 1
    status: int = 500
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One line of the ledger of requests."""

    line: str
    version: str
    text: str
    body: dict[str, Any] = field(default_factory=dict)


class FakeIg:
    """One login with one account that trades, and another that does not."""

    def __init__(
        self, *, instruments: Sequence[Instrument], market: FakeMarket, clock: Clock, balance: str = "10000"
    ) -> None:
        terms = {each.venue_symbol: EpicTerms.of(each) for each in instruments}
        self.book = IgBook(market, clock, terms, Decimal(balance))
        self.clock = clock
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.key, self.username, self.password = "key", "user", "secret"
        self.account = ACCOUNT
        self.currency = "USD"
        self.points_left = 10_000
        self.no_entitlement: set[str] = set()
        self.confirm_misses = 0
        """So many questions for a confirm are answered "not found" first."""
        self.activity_hidden = 0
        """So many looks at activity miss its newest row."""
        self.page_size = 500
        self.null_bar_every = 0
        self.reads_a_minute = 1_000_000
        self.logins = 0
        self._tokens: set[str] = set()
        self._refresh: set[str] = set()
        self._misses: dict[str, int] = {}
        self._late: list[Callable[[], Any]] = []
        self._release = asyncio.Event()
        self._made = 0
        self._reads: list[float] = []
        self._runner: web.AppRunner | None = None
        self._matching: asyncio.Task[None] | None = None

    async def start(self, *, matching: bool = False) -> str:
        """The base address. `matching`: what rests meets the market every 100 ms, also when nobody asks."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        if matching:
            self._matching = asyncio.create_task(self._match_on(), name="fake ig")
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        self.release()
        if self._matching is not None:
            self._matching.cancel()
            await asyncio.gather(self._matching, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def expire_tokens(self) -> None:
        """As weekend maintenance does."""
        self._tokens.clear()

    def release(self) -> None:
        """Answers that hang go on."""
        self._release.set()

    def deliver_late(self) -> None:
        """What was on its way arrives."""
        for deliver in self._late:
            deliver()
        self._late.clear()

    def sent(self, line: str) -> list[Request]:
        """The requests whose "METHOD /path" begins so."""
        return [each for each in self.requests if each.line.startswith(line)]

    # ---------------------------------------------------------------------------------------------------------- faults

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        method = request.headers.get("_method", request.method)
        path = request.path.removeprefix(PREFIX)
        line = f"{method} {path}"
        body = json.loads(text, parse_float=Decimal) if text else {}
        self.requests.append(Request(line=line, version=request.headers.get("VERSION", "1"), text=text, body=body))
        fault = self._fault(line)
        if fault is not None and fault.kind in ("lost", "late"):
            if fault.kind == "late":
                self._late.append(lambda: self._answer(request, method, path, body))
            return self._dropped(request)
        if fault is not None and fault.kind == "no":
            if fault.code:
                return self._json({"errorCode": fault.code}, fault.status)
            return web.Response(status=fault.status, text="<html>Service Unavailable</html>", content_type="text/html")
        answer = self._answer(request, method, path, body)
        if fault is None:
            return answer
        if fault.kind == "twice":
            return self._answer(request, method, path, body)
        if fault.kind == "hang":
            await self._release.wait()
            return answer
        if fault.kind == "html":
            return web.Response(text="<html>Attention required</html>", content_type="text/html")
        if fault.kind == "pieces":
            return await self._in_pieces(request, answer)
        if fault.kind == "truncated":
            return web.Response(body=(answer.body or b"{")[:-4], content_type="application/json")  # type: ignore[index]
        return self._dropped(request)

    async def _in_pieces(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """As a network brings anything longer than a packet."""
        body, half = bytes(answer.body or b""), len(answer.body or b"") // 2  # type: ignore[arg-type]
        part = web.StreamResponse(status=answer.status, headers=answer.headers)
        part.content_length = len(body)
        await part.prepare(request)
        for each in (body[:half], body[half:]):
            await part.write(each)
            for _ in range(_TURNS_BETWEEN):
                await ManualClock().sleep(0)
        return part

    def _fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and line.startswith(fault.at):
                fault.times -= 1
                return fault
        return None

    def _dropped(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    # --------------------------------------------------------------------------------------------------------- answers

    def _answer(self, request: web.Request, method: str, path: str, body: dict[str, Any]) -> web.Response:
        self.book.match()
        try:
            self._let_in(request, method, path)
            version = request.headers.get("VERSION", "1")
            return self._route(request, method, path, version, body)
        except No as no:
            return self._json({"errorCode": no.code}, no.status)

    def _let_in(self, request: web.Request, method: str, path: str) -> None:
        key = request.headers.get("X-IG-API-KEY")
        if key is None:
            raise No(400, "error.security.api-key-missing")
        if key != self.key:
            raise No(403, "error.security.api-key-invalid")
        now = self.clock.monotonic()
        if not (method != "GET" and "/otc" in path):
            self._reads = [each for each in self._reads if each > now - 60] + [now]
            if len(self._reads) > self.reads_a_minute:
                raise No(403, "error.public-api.exceeded-account-allowance")
        if path in ("/session", "/session/refresh-token") and method == "POST":
            return
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer:
            if bearer not in self._tokens or request.headers.get("IG-ACCOUNT-ID") != self.account:
                raise No(401, "error.security.oauth-token-invalid")
        elif f"{request.headers.get('CST')}/{request.headers.get('X-SECURITY-TOKEN')}" not in self._tokens:
            raise No(401, "error.security.client-token-invalid")

    def _route(self, request: web.Request, method: str, path: str, version: str, body: dict[str, Any]) -> web.Response:
        head, _, tail = path[1:].partition("/")
        query = {key: values[0] for key, values in parse_qs(request.query_string).items()}
        match (method, head, version):
            case ("POST", "session", _):
                return self._session(path, version, body)
            case ("GET", "session", "1"):
                return self._json({"clientId": "1", "accountId": self.account, "timezoneOffset": 1, "currency": "USD"})
            case ("PUT", "session", "1"):
                return self._switched(request, body)
            case ("GET", "accounts", "1"):
                return self._json(self._accounts())
            case ("GET", "markets", "2"):
                return self._json({"marketDetails": [self._market(each) for each in query["epics"].split(",")]})
            case ("GET", "prices", "3"):
                return self._json(self._prices(tail, query))
            case ("GET", "positions", "2"):
                return self._json({"positions": self._positions()})
            case ("GET", "workingorders", "2"):
                return self._json({"workingOrders": self._working_orders()})
            case ("GET", "confirms", "1"):
                return self._json(self._confirm(tail))
            case ("GET", "history", "3"):
                return self._json(self._activity(query))
            case (_, "positions" | "workingorders", _):
                return self._deal(method, head, tail, version, body)
        raise No(404, "invalid.url")

    def _session(self, path: str, version: str, body: dict[str, Any]) -> web.Response:
        if path == "/session/refresh-token":
            if body["refresh_token"] not in self._refresh:
                raise No(401, "error.security.oauth-token-invalid")
            self._refresh.discard(body["refresh_token"])
            return self._json(self._oauth())
        self.logins += 1
        if (body.get("identifier"), body.get("password")) != (self.username, self.password):
            raise No(401, "error.security.invalid-details")
        if version == "3":
            return self._json({"clientId": "1", "accountId": self.account, "oauthToken": self._oauth()})
        cst, token = self._token("cst"), self._token("xst")
        self._tokens.add(f"{cst}/{token}")
        data = {
            "accountType": "CFD",
            "currencyIsoCode": self.currency,
            "currentAccountId": self.account,
            "accounts": [{"accountId": self.account, "preferred": True}, {"accountId": "XYZ987", "preferred": False}],
            "timezoneOffset": 1,
            "dealingEnabled": True,
        }
        return self._json(data, headers={"CST": cst, "X-SECURITY-TOKEN": token})

    def _switched(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        if body["accountId"] == self.account:
            raise No(412, "error.switch.accountId-must-be-different")
        self.account, token = body["accountId"], self._token("xst")
        self._tokens.add(f"{request.headers['CST']}/{token}")
        return self._json({"dealingEnabled": True}, headers={"X-SECURITY-TOKEN": token})

    def _token(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    def _oauth(self) -> dict[str, str]:
        access, refresh = self._token("access"), self._token("refresh")
        self._tokens.add(access)
        self._refresh.add(refresh)
        return {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": "60"}

    def _accounts(self) -> dict[str, Any]:
        balance = {
            "balance": self.book.balance,
            "deposit": self.book.deposit,
            "profitLoss": self.book.profit_loss,
            "available": self.book.balance + self.book.profit_loss - self.book.deposit,
        }
        common = {"status": "ENABLED", "accountType": "CFD", "currency": self.currency}
        return {
            "accounts": [
                {"accountId": "NONE00", "balance": None, **common},
                {"accountId": self.account, "balance": balance, **common},
            ]
        }

    def _market(self, epic: str) -> dict[str, Any]:
        terms = self.book.terms.get(epic)
        if terms is None:
            raise No(404, "error.trading.otc.instrument-not-found")
        quote = self.book.quote(epic)
        bid, offer = quote or (None, None)
        return {
            "instrument": {
                "epic": epic,
                "expiry": terms.expiry,
                "currencies": [{"code": terms.currency, "isDefault": True}],
                "onePipMeans": terms.pip_words,
                "contractSize": str(terms.contract_size),
                "lotSize": 1.0,
            },
            "dealingRules": {"minDealSize": {"unit": "POINTS", "value": terms.min_size}},
            "snapshot": {
                "marketStatus": self.book.state(epic),
                "updateTime": "09:00:01",
                "delayTime": 0,
                "bid": bid,
                "offer": offer,
                "decimalPlacesFactor": terms.decimals,
                "scalingFactor": 1,
            },
        }

    def _prices(self, epic: str, query: dict[str, str]) -> dict[str, Any]:
        if epic in self.no_entitlement:
            raise No(403, "unauthorised.access.to.equity.exception")
        terms, step, points = self.book.terms[epic], STEPS[query["resolution"]], int(query.get("max", "10"))
        if self.points_left < points:
            raise No(403, "error.public-api.exceeded-account-historical-data-allowance")
        now = self.clock.now()
        since = now - step * points - timedelta(days=4)
        bars = list(self.book.market.bars(terms.instrument.symbol, step, since, now + step, now))[-points:]
        size = int(query.get("pageSize", str(PAGE)))
        shown = bars if size == 0 else bars[:size]
        self.points_left -= len(shown)
        half = terms.instrument.tick
        rows = []
        for index, bar in enumerate(shown):
            row: dict[str, Any] = {
                "snapshotTime": f"{bar.opened_at + LOCAL:%Y/%m/%d %H:%M:%S}",
                "snapshotTimeUTC": f"{bar.opened_at:%Y-%m-%dT%H:%M:%S}",
                "lastTradedVolume": bar.volume,
            }
            for name in ("open", "close", "high", "low"):
                mid = getattr(bar, name)
                quiet = self.null_bar_every and index % self.null_bar_every == self.null_bar_every - 1
                price = {"bid": (mid - half) / terms.unit, "ask": (mid + half) / terms.unit, "lastTraded": None}
                row[f"{name}Price"] = {"bid": None, "ask": None, "lastTraded": None} if quiet else price
            rows.append(row)
        pages = 1 if size == 0 else -(-len(bars) // size)
        allowance = {"remainingAllowance": self.points_left, "totalAllowance": 10_000, "allowanceExpiry": 69_976}
        paging = {"pageSize": size, "pageNumber": 1, "totalPages": pages}
        return {"prices": rows, "metadata": {"allowance": allowance, "size": len(rows), "pageData": paging}}

    def _positions(self) -> list[dict[str, Any]]:
        rows = []
        for held in self.book.positions.values():
            if held.hidden:
                held.hidden -= 1
                continue
            position = {
                "dealId": held.deal_id,
                "dealReference": held.reference,
                "size": held.size,
                "direction": held.direction,
                "level": held.level,
                "stopLevel": held.stop,
                "limitLevel": held.limit,
                "contractSize": 1.0,
            }
            rows.append({"position": position, "market": {"epic": held.epic, "scalingFactor": 1}})
        return rows

    def _working_orders(self) -> list[dict[str, Any]]:
        return [
            {
                "workingOrderData": {
                    "dealId": each.deal_id,
                    "direction": each.direction,
                    "epic": each.epic,
                    "orderSize": each.size,
                    "orderLevel": each.level,
                    "orderType": "LIMIT",
                },
                "marketData": {"epic": each.epic},
            }
            for each in self.book.working.values()
        ]

    def _confirm(self, reference: str) -> dict[str, Any]:
        misses = self._misses.setdefault(reference, self.confirm_misses)
        if misses or reference not in self.book.confirms:
            self._misses[reference] = max(0, misses - 1)
            raise No(404, "error.confirms.deal-not-found")
        return self.book.confirms[reference]

    def _activity(self, query: dict[str, str]) -> dict[str, Any]:
        rows = [each for each in self.book.activity if query["from"] <= each["date"] <= query["to"]]
        if self.activity_hidden and "start" not in query:
            self.activity_hidden -= 1
            rows = rows[:-1]
        rows.reverse()
        size, start = min(int(query.get("pageSize", "50")), self.page_size), int(query.get("start", "0"))
        following = None
        if start + size < len(rows):
            asked = {**query, "version": "3", "start": str(start + size)}
            following = f"/history/activity?{urlencode(asked)}"
        paging = {"size": size, "next": following}
        return {"activities": rows[start : start + size], "metadata": {"paging": paging}}

    # ----------------------------------------------------------------------------------------------------------- deals

    def _deal(self, method: str, head: str, tail: str, version: str, body: dict[str, Any]) -> web.Response:
        deal_id = tail.removeprefix("otc").removeprefix("/")
        self._made += 1
        reference = str(body.get("dealReference") or f"IG{self._made:010}")
        if not REFERENCE.fullmatch(reference):
            raise No(400, "validation.pattern.invalid.request.dealReference")
        match (method, head):
            case ("POST", "positions"):
                self._validate(body, version)
                if (body.get("orderType") == "LIMIT") is not (body.get("level") is not None):
                    raise No(400, "validation.target-value-conditional-set-value.request")
                if body.get("timeInForce", "FILL_OR_KILL") not in ("EXECUTE_AND_ELIMINATE", "FILL_OR_KILL"):
                    raise No(400, "invalid.input")
                self.book.open(body, reference)
            case ("DELETE", "positions"):
                if version != "1" or not body.get("dealId") or body.get("orderType") != "MARKET":
                    raise No(400, "invalid.input")
                self.book.close(body, reference)
            case ("PUT", "positions"):
                if deal_id not in self.book.positions:
                    raise No(404, "error.position.notfound")
                self.book.amend(deal_id, body, reference)
            case ("POST", "workingorders"):
                self._validate(body, version)
                self.book.rest(body, reference)
            case ("DELETE", "workingorders"):
                self.book.withdraw(deal_id, reference)
            case _:
                raise No(405, "system.error")
        return self._json({"dealReference": reference})

    def _validate(self, body: dict[str, Any], version: str) -> None:
        if version != "2" or not EPIC.fullmatch(str(body.get("epic", ""))):
            raise No(400, "invalid.input")
        if body["epic"] not in self.book.terms:
            raise No(404, "error.trading.otc.instrument-not-found")
        terms = self.book.terms[body["epic"]]
        if not body.get("currencyCode"):
            raise No(400, "validation.null-not-allowed.request.currencyCode")
        attached = any(body.get(each) is not None for each in ("stopLevel", "stopDistance", "limitLevel"))
        explicit_null = any(value is None for value in body.values())
        if explicit_null or (attached and body.get("forceOpen") is not True):
            raise No(400, "validation.target-value-conditional-set-value.request")
        if body["currencyCode"] != terms.currency or body.get("expiry") != terms.expiry:
            raise No(400, "invalid.input")

    def _json(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        date = format_datetime(self.clock.now().replace(microsecond=0), usegmt=True)
        text = json.dumps(data, default=float)
        return web.Response(
            text=text, status=status, content_type="application/json", headers={"Date": date, **(headers or {})}
        )

    async def _match_on(self) -> None:
        while True:
            self.book.match()
            await self.clock.sleep(0.1)
