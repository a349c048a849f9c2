"""A fake Yahoo on a loopback port: charts of the shared market, and the answers by which it says that it has none."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.instruments import AssetClass, Symbol
from bot.interfaces import Clock
from tests.fakes.venue_market import FakeMarket

NEW_YORK = ZoneInfo("America/New_York")
LONDON = ZoneInfo("Europe/London")
STEPS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
LOOK_BACK_DAYS = {"1m": 30, "5m": 60, "15m": 60, "1h": 730}
OPENS, CLOSES = time(9, 30), time(16)
NOT_FOUND = ("Not Found", "No data found, symbol may be delisted")


class FakeYahoo:
    """Knows the symbols it is given. Prices are floats with the noise of short ones, holes included."""

    def __init__(self, *, symbols: Iterable[str], market: FakeMarket, clock: Clock) -> None:
        self.symbols = set(symbols)
        self.market = market
        self.clock = clock
        self.currency = "USD"
        self.requests: list[tuple[str, str]] = []
        self.trouble = ""
        """429, 502, outage, empty, crumb429 or reset: what charts (or crumbs) are answered with."""
        self.hole_every = 0
        """Every so manieth row is null in all columns."""
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def charts(self) -> int:
        """How many charts were asked for."""
        return sum("/chart/" in path for _, path in self.requests)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        host, path = request.headers.get("X-Original-Host", ""), request.path
        self.requests.append((host, path))
        if host == "fc.yahoo.com":
            # Only the cookie counts: the venue answers "not found" to it.
            headers = {"Set-Cookie": "A3=d=1; Max-Age=31557600; Domain=.yahoo.com; Path=/; Secure"}
            return web.Response(status=404, text="", headers=headers)
        if path.endswith("/getcrumb"):
            if self.trouble in ("crumb429", "429"):
                return web.Response(status=429, text="Too Many Requests")
            return web.Response(text="abc.DEF/1")
        if "/chart/" not in path:
            return web.json_response({"quoteSummary": {"result": None, "error": {"code": "Not Found"}}}, status=404)
        return self._troubled(request) or self._chart(unquote(path.rpartition("/")[2]), dict(request.query))

    def _troubled(self, request: web.Request) -> web.Response | None:
        if self.trouble == "429":
            return web.Response(status=429, text="Edge: Too Many Requests")
        if self.trouble == "502":
            return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        if self.trouble == "outage":
            return web.Response(text="<html>Will be right back</html>", content_type="text/html")
        if self.trouble == "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return None

    def _chart(self, ticker: str, query: dict[str, str]) -> web.Response:
        symbol = f"{ticker[:3]}_{ticker[3:6]}" if ticker.endswith("=X") else ticker
        if symbol not in self.symbols:
            return self._error(404, *NOT_FOUND)
        interval, now = query["interval"], self.clock.now()
        if interval not in STEPS:
            return self._error(400, "Bad Request", f"Invalid input - interval={interval} is not supported.")
        if "period1" in query:
            since = datetime.fromtimestamp(int(query["period1"]), UTC)
            until = datetime.fromtimestamp(int(query["period2"]), UTC)
        else:
            since, until = now - timedelta(days=1), now
        if (days := LOOK_BACK_DAYS.get(interval)) and since < now - timedelta(days=days):
            text = f"{interval} data not available. The requested range must be within the last {days} days."
            return self._error(422, "Unprocessable Entity", text)
        rows = [] if self.trouble == "empty" else list(self._rows(symbol, interval, since, min(until, now)))
        result: dict[str, Any] = {"meta": self._meta(symbol, interval, now), "indicators": {"quote": [{}]}}
        if rows:
            names = ("open", "high", "low", "close", "volume")
            result["timestamp"] = [each[0] for each in rows]
            columns = {name: [each[index + 1] for each in rows] for index, name in enumerate(names)}
            result["indicators"]["quote"] = [columns]
            if interval == "1d":
                adjusted = [None if each is None else each * 0.98 for each in columns["close"]]
                result["indicators"]["adjclose"] = [{"adjclose": adjusted}]
        return web.json_response({"chart": {"result": [result], "error": None}})

    def _rows(self, symbol: str, interval: str, since: datetime, until: datetime) -> Iterable[tuple[Any, ...]]:
        """Of regular sessions; the last one may still be forming. A day's row has the instant of its session's open."""
        instrument, step = self.market.registry.get(symbol), STEPS[interval]
        if instrument.asset_class is AssetClass.FOREX:
            for bar in self.market.bars(instrument.symbol, step, since, until, self.clock.now()):
                yield (int(bar.opened_at.timestamp()), *map(float, (bar.open, bar.high, bar.low, bar.close)), 0)
            return
        day, number = since.astimezone(NEW_YORK).date(), 0
        while day <= until.astimezone(NEW_YORK).date():
            if day.weekday() < 5:
                at = datetime.combine(day, OPENS, NEW_YORK).astimezone(UTC)
                end = datetime.combine(day, CLOSES, NEW_YORK).astimezone(UTC)
                while at < end:
                    if since <= at < until:
                        number += 1
                        bar = self.market.bar(instrument, at, min(step, end - at), self.clock.now())
                        noisy = [float(each) + 1e-6 for each in (bar.open, bar.high, bar.low, bar.close)]
                        hole = self.hole_every and number % self.hole_every == 0
                        yield (int(at.timestamp()), *([None] * 5 if hole else [*noisy, bar.volume]))
                    at += end - at if interval == "1d" else step
            day += timedelta(days=1)

    def _meta(self, symbol: str, interval: str, now: datetime) -> dict[str, Any]:
        instrument = self.market.registry.get(symbol)
        is_pair = instrument.asset_class is AssetClass.FOREX
        bid, ask = self.market.quote(Symbol(symbol), now)
        day = now.astimezone(NEW_YORK).date()
        opens, closes = (int(datetime.combine(day, each, NEW_YORK).timestamp()) for each in (OPENS, CLOSES))
        period = {"timezone": "EST", "start": opens, "end": closes, "gmtoffset": -18_000}
        meta: dict[str, Any] = {
            "currency": instrument.quote_currency if is_pair else self.currency,
            "symbol": f"{instrument.base_currency}{instrument.quote_currency}=X" if is_pair else symbol,
            "exchangeName": "NMS",
            "instrumentType": "CURRENCY" if is_pair else "EQUITY",
            "gmtoffset": -18_000,
            "timezone": "EST",
            "exchangeTimezoneName": "Europe/London" if is_pair else "America/New_York",
            "regularMarketPrice": float((bid + ask) / 2),
            "regularMarketTime": int(now.timestamp()) - 900,
            "priceHint": 2,
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            "dataGranularity": interval,
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }
        opens_at, closes_at, zone = (time(0), time(23, 59), LONDON) if is_pair else (OPENS, CLOSES, NEW_YORK)
        if interval != "1d":
            meta["tradingPeriods"] = [
                [
                    {
                        "timezone": "EST",
                        "start": int(datetime.combine(each, opens_at, zone).timestamp()),
                        "end": int(datetime.combine(each, closes_at, zone).timestamp()),
                        "gmtoffset": -18_000,
                    }
                ]
                for back in range(60, -1, -1)
                if (each := day - timedelta(days=back)).weekday() < 5
            ]
        return meta

    def _error(self, status: int, code: str, description: str) -> web.Response:
        error = {"code": code, "description": description}
        return web.json_response({"chart": {"result": None, "error": error}}, status=status)
