"""yfinance, tamed: one question, one table or one error of ours.

Yahoo answers an empty table to almost any trouble, so the two are told apart here. yfinance is synchronous and keeps
its state in the process: a client belongs to one thread, and there is one of them.
"""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.errors import BrokerUnavailable

if TYPE_CHECKING:
    from requests import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one question was answered: rows of (opened at, open, high, low, close, volume), and facts of the symbol."""

    since: datetime
    until: datetime
    rows: tuple[tuple[datetime, float, float, float, float, float], ...]
    facts: Mapping[str, Any]


class TooMany(Exception):
    """The venue blocks us for a while."""


class Client:
    """yfinance, as it is used in the worker thread; importing it takes a second, so that happens there too."""

    def __init__(self, cache_directory: Path, url: str, timeout_s: float) -> None:
        self._cache_directory = cache_directory
        self._url = url
        self._timeout_s = timeout_s
        self._session: Session | None = None
        self._library: Any = None

    def table(self, ticker: str, interval: str, start: datetime, end: datetime) -> Table:
        """Rows within the range. Raises TooMany, or BrokerUnavailable with the venue's words."""
        library = self._opened()
        from pandas.errors import Pandas4Warning
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError

        # yfinance switches these on when it is imported, and pandas tells it of its version 4.
        warnings.filterwarnings("ignore", category=Pandas4Warning, module="yfinance")
        library.data.YfData.cache_get.cache_clear()  # it keeps empty and wrong answers too
        asked = library.Ticker(ticker, session=self._session)
        try:
            frame = asked.history(
                interval=interval,
                start=start,
                end=end,
                auto_adjust=False,
                actions=False,
                timeout=self._timeout_s,
            )
            return Table(since=start, until=end, rows=_rows(frame), facts=dict(asked.get_history_metadata()))
        except YFRateLimitError as error:
            raise TooMany from error
        except YFPricesMissingError as error:
            facts = _facts(asked)
            if error.yahoo_reason is None and facts.get("symbol") == ticker:
                # It knows the symbol, and has nothing in that range.
                return Table(since=start, until=end, rows=(), facts=facts)
            words = error.yahoo_reason or f"no usable answer ({error})"
            raise BrokerUnavailable(f"yahoo: {interval} of {ticker}: {words}") from error
        except Exception as error:  # the backend's, the library's and its parsers': none leaves this place
            words = f"{type(error).__name__} {error}".replace("\n", " ")[:200]
            raise BrokerUnavailable(f"yahoo: {interval} of {ticker} was not answered: {words}") from error

    def close(self) -> None:
        """Close the library's files in the thread that opened them: it does not, and Python 3.13 complains."""
        if self._library is None:
            return
        cache = self._library.cache
        for files in (cache.tz_db_proxy, cache.Cookie_db_proxy, cache.isin_db_proxy):
            if files.obj is not None:
                files.close()

    def _opened(self) -> Any:
        if self._library is None:
            import yfinance

            self._cache_directory.mkdir(parents=True, exist_ok=True)
            yfinance.set_tz_cache_location(str(self._cache_directory))
            yfinance.config.debug.hide_exceptions = False
            logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # what it says of failures is in our errors
            self._session = _loopback_session(self._url) if self._url else None
            self._library = yfinance
        return self._library


def _facts(asked: Any) -> dict[str, Any]:
    try:
        return dict(asked.get_history_metadata())
    except Exception:  # it was already refused: what it knows besides is a bonus
        return {}


def _rows(frame: Any) -> tuple[tuple[datetime, float, float, float, float, float], ...]:
    if frame.empty:
        return ()
    columns = [frame[name].tolist() for name in ("Open", "High", "Low", "Close", "Volume")]
    instants = [each.to_pydatetime() for each in frame.index.tz_convert("UTC")]
    return tuple(zip(instants, *columns, strict=True))


def _loopback_session(url: str) -> "Session":
    """Sends to `url` whatever was meant for one of the venue's hosts, and tells which one that was."""
    from requests import PreparedRequest, Response, Session
    from requests.adapters import HTTPAdapter

    class Loopback(HTTPAdapter):
        def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
            sent, parts = request.copy(), urlsplit(str(request.url))
            sent.headers["X-Original-Host"] = str(parts.hostname)
            sent.url = f"{url.rstrip('/')}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            answer = super().send(sent, *args, **{**kwargs, "proxies": {}})
            answer.url, answer.request = str(request.url), request
            return answer

    session = Session()
    session.mount("https://", Loopback())
    return session
