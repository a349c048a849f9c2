"""The fake OANDA as a server: REST and the pricing stream on one loopback port."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from bot.instruments import Symbol
from bot.interfaces import Clock
from tests.fakes.oanda import candles, desk
from tests.fakes.oanda.book import ACCOUNT, Book, Json, Refuse, nine_digits
from tests.fakes.oanda.faults import Fault, Faults
from tests.fakes.venue_market import FakeMarket

TOKEN: Final = "practice-token-of-nobody"
_TICK_S: Final = 0.1
_REQUESTS_KEPT: Final = 100_000
_STALE: Final = web.RequestKey("stale", bool)
PRICE_S: Final = 0.25  # at most four prices a second


class FakeOanda:
    """One account. `requests` has every request as "METHOD path", `faults` what goes wrong.

    `stream_silent`: open streams say nothing more. `page` cuts every list of transactions and orders to that many.
    """

    def __init__(
        self,
        market: FakeMarket,
        clock: Clock,
        *,
        token: str = TOKEN,
        balance: str = "10000.0000",
        currency: str = "USD",
        hedging: bool = False,
        heartbeat_s: float = 5.0,
    ) -> None:
        self.market = market
        self.book = Book(market, clock.now, balance=balance, currency=currency, hedging=hedging)
        self.faults = Faults()
        self.requests: deque[str] = deque(maxlen=_REQUESTS_KEPT)
        self.page = 1_000
        self.stream_silent = False
        self.streams_opened = 0
        self._streams: set[web.StreamResponse] = set()
        self._clock = clock
        self._token = token
        self._heartbeat_s = heartbeat_s
        self._stale: tuple[Json, str] | None = None
        self._runner: web.AppRunner | None = None
        self._matching: asyncio.Task[None] | None = None

    async def start(self, *, by_itself: bool = True, port: int = 0) -> str:
        """The base url. `by_itself`: resting orders are matched against the market all the time."""
        app = web.Application(middlewares=[self._around])
        root = "/v3/accounts/{account}"
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("GET", "/v3/accounts", self._accounts),
            ("GET", root, self._everything),
            ("GET", f"{root}/summary", self._summary),
            ("GET", f"{root}/instruments", self._instruments),
            ("GET", f"{root}/pricing", self._pricing),
            ("GET", f"{root}/pricing/stream", self._stream),
            ("POST", f"{root}/orders", self._create),
            ("GET", f"{root}/orders", self._orders),
            ("GET", f"{root}/pendingOrders", self._pending),
            ("GET", f"{root}/orders/{{spec}}", self._order),
            ("PUT", f"{root}/orders/{{spec}}/cancel", self._cancel),
            ("GET", f"{root}/openTrades", self._open_trades),
            ("GET", f"{root}/trades/{{spec}}", self._trade),
            ("PUT", f"{root}/trades/{{spec}}/close", self._close_trade),
            ("PUT", f"{root}/trades/{{spec}}/orders", self._trade_orders),
            ("PUT", f"{root}/trades/{{spec}}/clientExtensions", self._trade_extensions),
            ("GET", f"{root}/transactions/sinceid", self._since),
            ("GET", f"{root}/transactions/{{id}}", self._transaction),
            ("GET", "/v3/instruments/{instrument}/candles", self._candles),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        if by_itself:
            self._matching = asyncio.create_task(self._match_forever(), name="fake oanda")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Hang up on everybody."""
        self.faults.release.set()
        if self._matching is not None:
            self._matching.cancel()
            with suppress(asyncio.CancelledError):
                await self._matching
        self.cut_streams()
        if self._runner is not None:
            await self._runner.cleanup()

    def cut_streams(self) -> None:
        """Close every open stream without a word."""
        for each in list(self._streams):
            if each.prepared and (transport := each._req and each._req.transport):
                transport.abort()

    def freeze(self) -> None:
        """From now on, where the STALE fault says so, the account is told as it is at this moment."""
        self._stale = (self._account_json(), self.book.last_id)

    async def _match_forever(self) -> None:
        while True:
            self.book.match()
            await self._clock.sleep(_TICK_S)

    @web.middleware
    async def _around(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await request.read()  # what has arrived is there, whatever becomes of the connection
        self.requests.append(f"{request.method} {request.path}")
        fault = self.faults.take(request)
        if fault is Fault.STALE:
            request[_STALE] = True
        elif fault is not None:
            return await self.faults.apply(fault, request, lambda each: self._answered(each, handler))
        return await self._answered(request, handler)

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _words("Insufficient authorization to perform request.", 401)
        if request.match_info.get("account", ACCOUNT) != ACCOUNT:
            return _words("The provided request was forbidden.", 403)
        try:
            return await handler(request)
        except Refuse as refused:
            return _words(refused.words, refused.status, lastTransactionID=self.book.last_id)
        except web.HTTPException as error:
            return _words(error.reason, error.status)

    # ------------------------------------------------------------------------------------------------------- account

    async def _accounts(self, request: web.Request) -> web.Response:
        return _json({"accounts": [{"id": ACCOUNT, "tags": []}]})

    async def _summary(self, request: web.Request) -> web.Response:
        return self._told(account=self.book.summary())

    def _account_json(self) -> Json:
        book = self.book
        orders = [dict(each) for each in book.pending()]
        return {**book.summary(), "orders": orders, "trades": self._trades(), "positions": []}

    def _trades(self) -> list[Json]:
        """As the account's summary of them: newest first, the stop only by its number."""
        stops = {each.get("tradeID"): each["id"] for each in self.book.pending() if each["type"] == "STOP_LOSS"}
        return [
            self.book.trade_json(each) | ({"stopLossOrderID": stops[each.id]} if each.id in stops else {})
            for each in reversed(self.book.open_trades())
        ]

    async def _everything(self, request: web.Request) -> web.Response:
        if request.get(_STALE) and self._stale is not None:
            return _json({"account": self._stale[0], "lastTransactionID": self._stale[1]})
        return self._told(account=self._account_json())

    async def _instruments(self, request: web.Request) -> web.Response:
        return self._told(instruments=list(self.book.instruments()))

    # -------------------------------------------------------------------------------------------------------- prices

    async def _pricing(self, request: web.Request) -> web.Response:
        names = self._asked(request)
        return _json({"time": nine_digits(self._now()), "prices": [self._price(each) for each in names]})

    def _asked(self, request: web.Request) -> list[str]:
        names = [each for each in request.query.get("instruments", "").split(",") if each]
        if not names or not all(self.book.offers(each) for each in names):
            raise Refuse("Invalid value specified for 'instruments'")
        return names

    def _price(self, name: str) -> Json:
        instrument = self.book.instrument(name)
        bid, ask = self.market.quote(Symbol(name), self._now())
        is_open = self.market.is_open(Symbol(name), self._now())
        depth = 10_000_000
        return {
            "type": "PRICE",
            "instrument": name,
            "time": nine_digits(self._now()),
            "status": "tradeable" if is_open else "non-tradeable",
            "tradeable": is_open,
            "bids": [{"price": self.book.priced(instrument, bid), "liquidity": depth}] if is_open else [],
            "asks": [{"price": self.book.priced(instrument, ask), "liquidity": depth}] if is_open else [],
            "closeoutBid": self.book.priced(instrument, bid),
            "closeoutAsk": self.book.priced(instrument, ask),
        }

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        names = self._asked(request)
        stream = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        self.streams_opened += 1
        self._streams.add(stream)
        told: dict[str, list[Any]] = {}
        silent_s = 0.0
        try:
            while True:
                for each in names:
                    price = self._price(each)
                    shown = [price["bids"], price["asks"]]
                    if told.get(each) != shown and not self.stream_silent:
                        told[each] = shown
                        silent_s = 0.0
                        await self._write(stream, price)
                if silent_s >= self._heartbeat_s and not self.stream_silent:
                    silent_s = 0.0
                    await self._write(stream, {"type": "HEARTBEAT", "time": nine_digits(self._now())})
                await self._clock.sleep(PRICE_S)
                silent_s += PRICE_S
        except ConnectionError:
            return stream
        finally:
            self._streams.discard(stream)

    async def _write(self, stream: web.StreamResponse, line: Json) -> None:
        text = json.dumps(line).encode() + b"\n"
        await stream.write(text[: len(text) // 2])  # a line does not care for the edges of chunks
        await stream.write(text[len(text) // 2 :])

    async def _candles(self, request: web.Request) -> web.Response:
        return _json(candles.answer(self.book, request.match_info["instrument"], request.query, self._now()))

    # -------------------------------------------------------------------------------------------------------- orders

    async def _create(self, request: web.Request) -> web.Response:
        status, answer = desk.create_order(self.book, (await request.json())["order"])
        return _json(answer, status)

    async def _cancel(self, request: web.Request) -> web.Response:
        status, answer = desk.cancel_order(self.book, request.match_info["spec"])
        return _json(answer, status)

    async def _close_trade(self, request: web.Request) -> web.Response:
        status, answer = desk.close_trade(self.book, request.match_info["spec"], await request.json())
        return _json(answer, status)

    async def _trade_orders(self, request: web.Request) -> web.Response:
        spec = request.match_info["spec"]
        status, answer = desk.change_trade_orders(self.book, spec, await request.json())
        return _json(answer, status)

    async def _trade_extensions(self, request: web.Request) -> web.Response:
        spec = request.match_info["spec"]
        status, answer = desk.change_trade_extensions(self.book, spec, await request.json())
        return _json(answer, status)

    async def _orders(self, request: web.Request) -> web.Response:
        """The newest ones first; never more than a page."""
        state = request.query.get("state", "PENDING")
        before = int(request.query.get("beforeID", int(self.book.last_id) + 1))
        found = [
            each for each in self.book.orders.values() if state in ("ALL", each["state"]) and int(each["id"]) < before
        ]
        count = min(int(request.query.get("count", "50")), 500, self.page)
        return self._told(orders=found[::-1][:count])

    async def _pending(self, request: web.Request) -> web.Response:
        return self._told(orders=self.book.pending()[::-1])

    async def _order(self, request: web.Request) -> web.Response:
        return self._told(order=self.book.order_by(request.match_info["spec"]))

    async def _open_trades(self, request: web.Request) -> web.Response:
        return self._told(trades=self._trades())

    async def _trade(self, request: web.Request) -> web.Response:
        return self._told(trade=self.book.trade_json(self.book.trade_by(request.match_info["spec"])))

    # -------------------------------------------------------------------------------------------------- transactions

    async def _since(self, request: web.Request) -> web.Response:
        since = int(request.query["id"])
        if not 1 <= since <= int(self.book.last_id):
            return _words("The specified transaction ID is out of range", 416)
        return self._told(transactions=self.book.transactions[since : since + self.page])

    async def _transaction(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if not 1 <= number <= int(self.book.last_id):
            raise Refuse("The transaction ID specified does not exist", 404)
        return self._told(transaction=self.book.transactions[number - 1])

    def _told(self, **parts: Any) -> web.Response:
        return _json({**parts, "lastTransactionID": self.book.last_id})

    def _now(self) -> datetime:
        return self._clock.now()


def _json(answer: Json, status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, headers={"RequestID": "42"})


def _words(words: str, status: int, **more: str) -> web.Response:
    return _json({"errorMessage": words, **more}, status)
