"""A Binance spot REST server on a loopback port, as awkward as the venue. Oddities name the section of its contract
page that saw them; faults are switched on by tests."""

import asyncio
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from bot.instruments import BINANCE, Instrument
from bot.interfaces import Clock
from bot.models import Timeframe
from tests.fakes.binance_book import (
    BinanceBook,
    BookOrder,
    Refused,
    canceled_row,
    order_row,
    placed_row,
    plain,
    stamp,
    trade_row,
)
from tests.fakes.venue_market import Bar, FakeMarket

KEY: Final = "fake-key"
SECRET: Final = "fake-secret"
MATCH_EVERY_S: Final = 0.1
_REQUESTS_KEPT: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNED: Final = {"timestamp", "recvWindow", "signature"}
_PAGE: Final = 1_000
_DAY_MS: Final = 86_400_000
_HTML: Final = "<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>"
_CLIENT_ID: Final = re.compile(r"[a-zA-Z0-9-_]{1,36}")

Parameters = dict[str, str]


class Fault(StrEnum):
    """What goes wrong with a request. Those with EFFECT have been acted on when it does."""

    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"  # EFFECT
    REPLY_HELD = "reply held"  # EFFECT; until `release`
    REPLY_CUT = "reply cut"  # EFFECT; fewer bytes than promised
    REPLY_PAGE = "reply page"  # EFFECT; 200 with HTML (section 6: no error in ccxt)
    REPLY_TORN = "reply torn"  # EFFECT; 200 with half the JSON
    TWICE = "twice"  # EFFECT, twice
    LATE = "late"  # acted on when the test says so
    ERROR = "error"
    ERROR_AFTER = "error after"  # EFFECT
    PAGE = "page"  # HTML with an error status


@dataclass(slots=True, kw_only=True)
class Rule:
    """One fault for the next `left` requests of one kind (None: for all of them)."""

    fault: Fault
    on: str
    left: int | None
    status: int = 400
    code: int = 0
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that arrived."""

    name: str
    parameters: Parameters


class FakeBinance:
    """One account. `book` may be read and set by tests; `requests` is what arrived."""

    def __init__(
        self,
        market: FakeMarket,
        clock: Clock,
        *,
        instruments: Iterable[Instrument] | None = None,
        balances: dict[str, str] | None = None,
        currency: str = "USDT",
        uid: int = 354_937_868,
    ) -> None:
        chosen = [
            each
            for each in (market.registry if instruments is None else instruments)
            if each.broker_id == BINANCE or instruments is not None
        ]
        self.market = market
        self.clock = clock
        self.book = BinanceBook(market, clock, chosen, balances or {currency: "10000"})
        self.uid = uid
        self.requests: deque[Seen] = deque(maxlen=_REQUESTS_KEPT)
        self.skew_s = 0.0
        self.key_is_revoked = False
        self.can_withdraw_by_key = False
        self.visible_after_s = 0.0
        self.trades_visible_after_s = 0.0
        """Of `myTrades`: read from memory or a database, which may be behind the matching engine that answers a cancel
        (binance-spot-api-docs, rest-api.md, "Data Sources")."""
        self.trades_behind = 0
        """So many of a symbol's newest trades are not in `myTrades` yet, although others of their order may be."""
        self.after: Callable[[str], None] = lambda _: None
        """What happens at the venue right after it has made up its answer to a request of that name."""
        self.weight_limit = 6_000
        self.late: list[tuple[str, Parameters]] = []
        self._rules: list[Rule] = []
        self._weights: deque[tuple[datetime, int]] = deque()
        self._banned_until: datetime | None = None
        self._ignored = 0
        self._held = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._matching: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------------------------------------- running it

    async def start(self, *, port: int = 0, matching: bool = True) -> str:
        """Serve; the base address. With `matching` what rests meets the market by itself."""
        app = web.Application()
        app.router.add_route("*", "/{section:api/v3|sapi/v1}/{path:.+}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        if matching:
            self._matching = asyncio.create_task(self._match(), name="fake binance")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop serving."""
        self.release()
        if self._matching is not None:
            self._matching.cancel()
            with suppress(asyncio.CancelledError):
                await self._matching
        if self._runner is not None:
            await self._runner.cleanup()

    async def _match(self) -> None:
        while True:
            self.book.match()
            await self.clock.sleep(MATCH_EVERY_S)

    # -------------------------------------------------------------------------------------------------- what tests say

    def fail(
        self,
        fault: Fault,
        on: str,
        *,
        times: int | None = 1,
        status: int = 400,
        code: int = 0,
        message: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """`on` is method and path, as in "POST order"; `times` None: until `heal`."""
        self._rules.append(
            Rule(fault=fault, on=on, left=times, status=status, code=code, message=message, headers=headers or {})
        )

    def heal(self) -> None:
        """No more faults."""
        self._rules.clear()

    def release(self) -> None:
        """Let held answers go."""
        self._held.set()
        self._held = asyncio.Event()

    def deliver_late(self) -> list[object]:
        """Requests that were late arrive now; what the venue did with each."""
        done = []
        for name, parameters in self.late:
            try:
                self._check_time(parameters)
                done.append(self._handle(name, parameters))
            except Refused as refused:
                done.append(refused)
        self.late.clear()
        return done

    def ban(self, seconds: float) -> None:
        """418 for everybody until then."""
        self._banned_until = self.clock.now() + timedelta(seconds=seconds)

    def seen(self, name: str) -> list[Parameters]:
        """The parameters of every request of that kind."""
        return [each.parameters for each in self.requests if each.name == name]

    # ------------------------------------------------------------------------------------------------------- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method} {request.match_info['path']}"
        text = request.query_string if request.method in ("GET", "DELETE") else await request.text()
        parameters = dict(parse_qsl(text, keep_blank_values=True))
        self.requests.append(Seen(name=name, parameters=parameters))
        rule = self._rule(name)
        if rule is not None and rule.fault is Fault.REQUEST_LOST:
            return _reset(request)
        try:
            self._count(name, parameters)
            self._check_key(name, request, text, parameters)
            if rule is None:
                data = self._handle(name, parameters)
                self.after(name)
                return self._answer(data)
            return await self._faulty(rule, name, parameters, request)
        except Refused as refused:
            return self._no(refused)

    async def _faulty(self, rule: Rule, name: str, parameters: Parameters, request: web.Request) -> web.StreamResponse:
        error = Refused(rule.code, rule.message, rule.status)
        if rule.fault is Fault.ERROR:
            return self._no(error, rule.headers)
        if rule.fault is Fault.PAGE:
            return web.Response(status=rule.status, text=_HTML, content_type="text/html", headers=rule.headers)
        if rule.fault is Fault.LATE:
            self.late.append((name, parameters))
            return _reset(request)
        data = self._handle(name, parameters)
        if rule.fault is Fault.ERROR_AFTER:
            return self._no(error, rule.headers)
        if rule.fault is Fault.TWICE:
            with suppress(Refused):
                self._handle(name, parameters)
            return self._answer(data)
        if rule.fault is Fault.REPLY_PAGE:
            return web.Response(text=_HTML, content_type="text/html")
        if rule.fault is Fault.REPLY_TORN:
            whole = json.dumps(data)
            return web.Response(text=whole[: len(whole) // 2], content_type="application/json")
        if rule.fault is Fault.REPLY_HELD:
            await self._held.wait()
        if rule.fault is Fault.REPLY_CUT:
            cut = web.StreamResponse(headers={"Content-Length": "5000", "Content-Type": "application/json"})
            await cut.prepare(request)
            await cut.write(json.dumps(data)[:20].encode())
            return _reset(request)
        return _reset(request)

    def _rule(self, name: str) -> Rule | None:
        for rule in self._rules:
            if rule.on in (name, "*") and rule.left != 0:
                if rule.left is not None:
                    rule.left -= 1
                return rule
        return None

    def _answer(self, data: object) -> web.Response:
        return web.json_response(data, headers=self._headers())

    def _no(self, refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
        body = {"code": refused.code, "msg": refused.message}
        return web.json_response(body, status=refused.status, headers={**self._headers(), **(headers or {})})

    def _headers(self) -> dict[str, str]:
        orders = sum(each.at > self.clock.now() - timedelta(seconds=10) for each in self.book.orders)
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._used()), "X-MBX-ORDER-COUNT-10S": str(orders)}
        if self._banned_until is not None or self._used() > self.weight_limit:
            headers["Retry-After"] = str(self._retry_after_s())
        return headers

    def _used(self) -> int:
        return sum(weight for _, weight in self._weights)

    def _retry_after_s(self) -> int:
        until = self._banned_until or self._weights[0][0] + timedelta(minutes=1)
        return max(1, round((until - self.clock.now()).total_seconds()))

    # -------------------------------------------------------------------------------------------------------- checks

    def _count(self, name: str, parameters: Parameters) -> None:
        """Weight per minute; going on after 429 is a ban (section 5)."""
        now = self.clock.now()
        while self._weights and self._weights[0][0] <= now - timedelta(minutes=1):
            self._weights.popleft()
            self._ignored = 0
        if self._banned_until is not None and now < self._banned_until:
            until = stamp(self._banned_until)
            raise Refused(-1003, f"Way too much request weight used; IP banned until {until}.", 418)
        self._banned_until = None
        self._weights.append((now, _WEIGHTS.get(name, 1)))
        if self._used() > self.weight_limit:
            self._ignored += 1
            if self._ignored > 5:
                self.ban(120)
            raise Refused(-1003, f"Too much request weight used; current limit is {self.weight_limit}.", 429)

    def _check_key(self, name: str, request: web.Request, text: str, parameters: Parameters) -> None:
        """Key, signature over the raw text, and time (section 2)."""
        if name in _PUBLIC:
            self._check_names(name, parameters, signed=False)
            return
        key = request.headers.get("X-MBX-APIKEY", "")
        if key == "":
            raise Refused(-2014, "API-key format invalid.", 401)
        if key != KEY or self.key_is_revoked:
            raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if "timestamp" not in parameters:
            raise Refused(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        signed, _, signature = text.partition("&signature=")
        if not hmac.compare_digest(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest(), signature):
            raise Refused(-1022, "Signature for this request is not valid.")
        self._check_time(parameters)
        self._check_names(name, parameters, signed=True)

    def _check_time(self, parameters: Parameters) -> None:
        age_ms = self._now_ms() - int(parameters["timestamp"])
        if age_ms <= -1_000:
            raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if age_ms > int(parameters.get("recvWindow", "5000")):
            raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")

    def _check_names(self, name: str, parameters: Parameters, *, signed: bool) -> None:
        known = _KNOWN.get(name, set()) | (_SIGNED if signed else set())
        if unknown := parameters.keys() - known:
            read = len(parameters) - len(unknown)
            message = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(parameters)}'."
            raise Refused(-1104, message)

    def _now_ms(self) -> int:
        return stamp(self.clock.now()) + round(self.skew_s * 1_000)

    # ------------------------------------------------------------------------------------------------------- answers

    def _handle(self, name: str, parameters: Parameters) -> object:
        answer: Callable[[Parameters], object] | None = {
            "GET time": self._time,
            "GET exchangeInfo": self._markets,
            "GET klines": self._klines,
            "GET ticker/bookTicker": self._book_ticker,
            "GET account": self._account,
            "GET account/apiRestrictions": self._restrictions,
            "GET openOrders": self._open_orders,
            "GET allOrders": self._all_orders,
            "GET myTrades": self._trades,
            "GET order": self._order,
            "POST order": self._place,
            "DELETE order": self._cancel,
        }.get(name)
        if answer is None:
            raise Refused(-1000, f"no such path: {name}", 404)
        return answer(parameters)

    def _time(self, _: Parameters) -> object:
        return {"serverTime": self._now_ms()}

    def _markets(self, asked: Parameters) -> object:
        names = json.loads(asked["symbols"]) if "symbols" in asked else list(self.book.instruments)
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_limit}
            ],
            "exchangeFilters": [],
            "symbols": [self._market_row(self.book.instrument(each)) for each in names],
        }

    def _market_row(self, instrument: Instrument) -> object:
        is_open = self.market.is_open(instrument.symbol, self.clock.now())
        return {
            "symbol": instrument.venue_symbol,
            "status": "TRADING" if is_open else "HALT",
            "baseAsset": instrument.base_currency,
            "quoteAsset": instrument.quote_currency,
            "orderTypes": list(self.book.order_types),
            "isSpotTradingAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0", "maxPrice": "0", "tickSize": plain(instrument.tick)},
                {
                    "filterType": "LOT_SIZE",
                    "minQty": plain(instrument.min_quantity),
                    "maxQty": "9000.00000000",
                    "stepSize": plain(instrument.quantity_step),
                },
                {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "88", "stepSize": "0.00000000"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }

    def _klines(self, asked: Parameters) -> object:
        instrument = self.book.instrument(asked["symbol"])
        step = Timeframe(asked["interval"]).duration
        limit = min(int(asked.get("limit", "500")), _PAGE)
        now = _EPOCH + timedelta(milliseconds=self._now_ms())
        end = min(_at(asked["endTime"]), now) if "endTime" in asked else now
        end += timedelta(microseconds=1)  # the candle that opens at that instant belongs to it
        if "startTime" in asked:
            start = _at(asked["startTime"])
            bars = list(self.market.bars(instrument.symbol, step, start, min(end, start + step * (limit + 1)), now))
            return [_kline(each, step) for each in bars[:limit]]
        bars = list(self.market.bars(instrument.symbol, step, end - step * (limit + 1), end, now))
        return [_kline(each, step) for each in bars[-limit:]]

    def _book_ticker(self, asked: Parameters) -> object:
        instrument = self.book.instrument(asked["symbol"])
        bid, ask = self.market.quote(instrument.symbol, self.clock.now())
        return {
            "symbol": instrument.venue_symbol,
            "bidPrice": plain(bid),
            "bidQty": "31.21000000",
            "askPrice": plain(ask),
            "askQty": "40.66000000",
        }

    def _account(self, asked: Parameters) -> object:
        balances = [
            {"asset": each, "free": plain(total - self.book.locked(each)), "locked": plain(self.book.locked(each))}
            for each, total in self.book.wallet.total.items()
            if total or asked.get("omitZeroBalances") != "true"
        ]
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "updateTime": self._now_ms(),
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
            "uid": self.uid,
        }

    def _restrictions(self, _: Parameters) -> object:
        return {
            "ipRestrict": False,
            "createTime": 1_698_645_219_000,
            "enableReading": True,
            "enableWithdrawals": self.can_withdraw_by_key,
            "enableSpotAndMarginTrading": True,
        }

    def _open_orders(self, asked: Parameters) -> object:
        symbol = self.book.instrument(asked["symbol"]).venue_symbol
        return [order_row(each) for each in self._visible(self.book.orders) if each.symbol == symbol and each.is_open]

    def _all_orders(self, asked: Parameters) -> object:
        symbol, first = self.book.instrument(asked["symbol"]).venue_symbol, int(asked.get("orderId", "0"))
        limit = min(int(asked.get("limit", "500")), _PAGE)
        found = [each for each in self._visible(self.book.orders) if each.symbol == symbol and each.order_id >= first]
        return [order_row(each) for each in found[:limit]]

    def _trades(self, asked: Parameters) -> object:
        """From an id on, that one included (section 4.3); ids and times together are refused."""
        symbol = self.book.instrument(asked["symbol"]).venue_symbol
        if "fromId" in asked and ("startTime" in asked or "endTime" in asked):
            raise Refused(-1128, "Combination of optional parameters invalid.")
        if "endTime" in asked and int(asked["endTime"]) - int(asked["startTime"]) > _DAY_MS:
            raise Refused(-1127, "More than 24 hours between startTime and endTime.")
        limit = min(int(asked.get("limit", "500")), _PAGE)
        shown = {id(each) for each in self._visible(self.book.orders)}
        latest = self.clock.now() - timedelta(seconds=self.trades_visible_after_s)
        done = [each for each in self.book.trades if each.order.symbol == symbol and each.at <= latest]
        found = [each for each in done[: max(0, len(done) - self.trades_behind)] if id(each.order) in shown]
        if "fromId" in asked:
            return [trade_row(each) for each in found if each.id >= int(asked["fromId"])][:limit]
        return [trade_row(each) for each in found[-limit:]]

    def _order(self, asked: Parameters) -> object:
        found = self.book.find(self.book.instrument(asked["symbol"]).venue_symbol, *_named(asked))
        if found is None or not self._visible([found]):
            raise Refused(-2013, "Order does not exist.")
        return order_row(found)

    def _place(self, asked: Parameters) -> object:
        if not _CLIENT_ID.fullmatch(asked.get("newClientOrderId", "")):
            raise Refused(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
        order, done = self.book.place(asked)
        row = placed_row(order, done)
        if asked.get("newOrderRespType") == "ACK":
            return {name: row[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")}
        return row

    def _cancel(self, asked: Parameters) -> object:
        return canceled_row(self.book.cancel(asked["symbol"], *_named(asked)))

    def _visible(self, orders: list[BookOrder]) -> list[BookOrder]:
        """Queries may lag behind the engine."""
        if not self.visible_after_s:
            return orders
        latest = self.clock.now() - timedelta(seconds=self.visible_after_s)
        return [each for each in orders if each.at <= latest]


_PUBLIC: Final = {"GET time", "GET exchangeInfo", "GET klines", "GET ticker/bookTicker"}
_WEIGHTS: Final = {
    "GET exchangeInfo": 20,
    "GET klines": 2,
    "GET ticker/bookTicker": 2,
    "GET account": 20,
    "GET openOrders": 6,
    "GET allOrders": 20,
    "GET myTrades": 20,
    "GET order": 4,
}
_KNOWN: Final[dict[str, set[str]]] = {
    "GET exchangeInfo": {"symbol", "symbols"},
    "GET klines": {"symbol", "interval", "startTime", "endTime", "limit", "timeZone"},
    "GET ticker/bookTicker": {"symbol"},
    "GET account": {"omitZeroBalances"},
    "GET openOrders": {"symbol"},
    "GET allOrders": {"symbol", "orderId", "startTime", "endTime", "limit"},
    "GET myTrades": {"symbol", "orderId", "startTime", "endTime", "fromId", "limit"},
    "GET order": {"symbol", "orderId", "origClientOrderId"},
    "DELETE order": {"symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"},
    "POST order": {
        *("symbol", "side", "type", "timeInForce", "quantity", "price", "stopPrice"),
        *("newClientOrderId", "newOrderRespType"),
    },
}


def _named(asked: Parameters) -> tuple[str, int | None]:
    if "orderId" not in asked and "origClientOrderId" not in asked:
        raise Refused(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return asked.get("origClientOrderId", ""), int(asked["orderId"]) if "orderId" in asked else None


def _at(milliseconds: str) -> datetime:
    return _EPOCH + timedelta(milliseconds=int(milliseconds))


def _kline(bar: Bar, step: timedelta) -> list[object]:
    """The close instant is a millisecond before the next open (section 3.2)."""
    prices = [plain(each) for each in (bar.open, bar.high, bar.low, bar.close, Decimal(bar.volume))]
    return [stamp(bar.opened_at), *prices, stamp(bar.opened_at + step) - 1, "0", bar.volume, "0", "0", "0"]


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
