"""Requests to OANDA through its library: each sent once, on a thread of its line, each answer told as it is."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from ssl import SSLCertVerificationError
from typing import Any, Final, TypeVar

from oandapyV20 import API, V20Error
from oandapyV20.oandapyV20 import TRADING_ENVIRONMENTS
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ConnectTimeout
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, SSLError

from bot.layer1_data.brokers.oanda.access import Access, TimeOuts
from bot.layer1_data.brokers.oanda.errors import Failure, words_in
from bot.layer1_data.brokers.oanda.to_oanda import Call

_CONNECT_S: Final = 5.0

Answer = TypeVar("Answer")
Json = dict[str, Any]


class _Wire(HTTPAdapter):
    """Sends each request once and keeps the answer's head, so that a slow body can be cut off.

    Where the venue is stood in for, the library's fixed host is replaced here, for this client only.
    """

    def __init__(self, host: str, url: str | None) -> None:
        super().__init__(max_retries=0)
        self._host = host
        self._url = url
        self.answer: Response | None = None

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        self.answer = None
        if self._url is not None and request.url is not None:
            request.url = request.url.replace(self._host, self._url.rstrip("/"), 1)
            kwargs["proxies"] = {}
        self.answer = super().send(request, *args, **kwargs)
        return self.answer

    def cut(self) -> None:
        """End the reading of an answer that is on its way."""
        if self.answer is not None:
            with suppress(Exception):  # it may have ended by itself meanwhile
                self.answer.raw.shutdown()


class Client:
    """The library's client for one thread, and the means to stop it from another one."""

    def __init__(self, access: Access, silence_s: float) -> None:
        self._access = access
        logging.getLogger("oandapyV20").setLevel(logging.CRITICAL)  # its lines show addresses with the account in them
        # A redirect would send an order a second time.
        arguments = {"timeout": (min(_CONNECT_S, silence_s), silence_s), "allow_redirects": False}
        self._api = API(access.token, environment=access.environment.value, request_params=arguments)
        self._api.client.auth = _as_it_is  # or a .netrc would take the place of the token
        hosts = TRADING_ENVIRONMENTS[access.environment.value]
        self._wires = [_Wire(host, access.url) for host in hosts.values()]
        for host, wire in zip(hosts.values(), self._wires, strict=True):
            self._api.client.mount(host, wire)

    def ask(self, call: Call, fresh: bool = False) -> Json:
        """Send one request, over a new connection if `fresh`. Raises Failure, whatever the library raises."""
        if fresh:
            self._api.close()
        answer = self._guarded(lambda: self._api.request(self._endpoint(call)))
        if not isinstance(answer, dict):
            raise Failure(f"answered {type(answer).__name__} instead of an object", sent=True)
        return answer

    def lines(self, call: Call) -> Iterator[Json]:
        """The lines of a stream. Raises Failure when it breaks."""
        lines = self._guarded(lambda: iter(self._api.request(self._endpoint(call))))
        while (line := self._guarded(lambda: next(lines, None))) is not None:
            if isinstance(line, dict):
                yield line

    def cut(self) -> None:
        """End what is being read, from any thread."""
        for wire in self._wires:
            wire.cut()

    def close(self) -> None:
        """Release the connections."""
        self._api.close()

    def _endpoint(self, call: Call) -> Any:
        module = import_module(f"oandapyV20.endpoints.{call.group}")
        account = (self._access.account,) if call.of_account else ()
        return getattr(module, call.name)(*account, **call.arguments)

    def _guarded(self, work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except V20Error as error:
            raise self._refusal(error) from error
        except Exception as error:  # no library error leaves this place
            words = self._access.hide(f"{type(error).__name__}: {error}")
            raise Failure(words, sent=not _never_connected(error)) from error

    def _refusal(self, error: V20Error) -> Failure:
        body = _object(error.msg)
        words = words_in(body) if body is not None else " ".join(str(error.msg).split())
        return Failure(self._access.hide(f"{error.code} {words}".strip()), sent=True, status=int(error.code), body=body)


class ThreadLine:
    """One thread with its one connection."""

    def __init__(self, access: Access, time_outs: TimeOuts) -> None:
        self._access = access
        self._time_outs = time_outs
        self._client = Client(access, time_outs.silence_s)
        self._thread = _one_thread()

    async def ask(self, call: Call, ended: Callable[[object], None], *, fresh: bool) -> Json:
        """As `Line.ask`."""
        asking = asyncio.ensure_future(self._asked(call, fresh))
        asking.add_done_callback(_forget)
        asking.add_done_callback(ended)
        return await asyncio.shield(asking)

    async def _asked(self, call: Call, fresh: bool) -> Json:
        try:
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._client.ask, call, fresh)
        except RuntimeError as error:  # no thread could be begun: what was queued for it must not leave later
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = _one_thread()
            raise Failure(str(error), sent=False) from error
        work.add_done_callback(_forget)
        done, _ = await asyncio.wait({work}, timeout=self._time_outs.whole_s)
        if not done:
            self._renew(work)
            raise Failure(f"no whole answer within {self._time_outs.whole_s:g} s", sent=True)
        return work.result()

    async def close(self) -> None:
        """End what is being asked and release the connection."""
        self._client.cut()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self._client.close()

    def _renew(self, work: asyncio.Future[Json]) -> None:
        """A thread that hangs in an answer without end is left to it, with its connection."""
        hanging = self._client
        work.add_done_callback(lambda _: hanging.close())
        hanging.cut()
        self._thread.shutdown(wait=False)
        self._thread = _one_thread()
        self._client = Client(self._access, self._time_outs.silence_s)


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="oanda")


def _forget(work: asyncio.Future[Json]) -> None:
    if not work.cancelled():
        work.exception()  # nobody else asks for it if the caller has left


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def _object(text: object) -> Mapping[str, Any] | None:
    try:
        body = json.loads(str(text))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _never_connected(error: Exception) -> bool:
    """Proof that not one byte of the request left: the connection was never made."""
    if isinstance(error, ConnectTimeout):
        return True
    failed = error.args[0] if isinstance(error, NoConnection) and error.args else None
    reason = failed.reason if isinstance(failed, MaxRetryError) else None
    if isinstance(reason, SSLError):  # a certificate is judged before the first byte; all else of TLS may come later
        return any(isinstance(each, SSLCertVerificationError) for each in reason.args)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
