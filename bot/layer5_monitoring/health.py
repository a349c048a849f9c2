"""The port that answers from the first moment on, and the state that `/health` shows.

Everything here is standard library, so that the port listens about a tenth of a second after the process began, while
the libraries of the daemon are still to be imported (import them in a thread: the loop of this port must go on).
"""

import asyncio
import errno
import json
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.errors import ConfigError

_FURTHER_PORTS: Final = 20
_HIGHEST_PORT: Final = 65_535
_BACKLOG: Final = 128
_MAX_HEAD_BYTES: Final = 8_192
_MAX_CONNECTIONS: Final = 100
_RETRY_ACCEPT_S: Final = 0.1
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_STARTING_PAGE: Final = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="1">'
    b"<title>Starting</title></head><body><h1>Starting</h1><p>The daemon is starting; this page looks again each "
    b"second.</p></body></html>"
)


@dataclass(slots=True, kw_only=True)
class HealthState:
    """What is known without asking anything: the daemon writes it, `/health` shows it.

    `status` is starting, ok, degraded or stopping; `detail` says in a few words what goes on. No error texts here:
    `/health` is open to everybody.
    """

    status: str = "starting"
    detail: str = ""
    mode: str = ""
    started_at: datetime | None = None
    last_analysis: datetime | None = None

    def facts(self) -> dict[str, object]:
        """What `/health` tells, as JSON types; instants as ISO 8601 or None."""
        return {
            "status": self.status,
            "detail": self.detail,
            "mode": self.mode,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "last_analysis": self.last_analysis.isoformat() if self.last_analysis else None,
        }


class HealthPort:
    """A listening socket with the least of an HTTP server: `/health`, and "starting" for all else, `/ready` too.

    `bind`, then `serve`, then `hand_over` gives the same socket to the real server: it was never closed, so no client
    finds the port shut. A client that is slow, silent or talks nonsense costs `timeout_s` and 8 KiB at most.
    """

    def __init__(self, state: HealthState, *, timeout_s: float = 2.0) -> None:
        self._state = state
        self._timeout_s = timeout_s
        self._listener: socket.socket | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def bind(self, host: str, port: int) -> socket.socket:
        """Listen on `port`, or if it is taken on one of the next 20, or on any; the socket knows which.

        Raises ConfigError if the host is not ours or the port not allowed.
        """
        further = range(port + 1, min(port + _FURTHER_PORTS, _HIGHEST_PORT) + 1) if port else ()
        for candidate in (port, *further, 0):
            try:
                self._listener = _listen(host, candidate)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise ConfigError(
                        f"cannot listen on {host} port {candidate} ({error.strerror or error}); "
                        "set HTTP_HOST to an address of this machine and HTTP_PORT to 1024 or above, or 0 for any"
                    ) from error
            else:
                return self._listener
        raise ConfigError(f"no TCP port is free on {host}; stop what holds them, or set HTTP_HOST to another address")

    def serve(self) -> None:
        """Answer from now on; needs a running loop and a bound socket."""
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def hand_over(self) -> socket.socket:
        """Stop accepting and give the listening socket away; answers under way are still finished.

        What connects from here on waits in the socket's queue until the new owner accepts it.
        """
        if self._listener is None:
            raise ValueError("the health port has no socket to hand over; call bind first, hand_over once")
        listener, self._listener = self._listener, None
        asyncio.get_running_loop().remove_reader(listener)
        return listener

    async def close(self) -> None:
        """Stop: close the socket if it is still ours, and wait for the answers under way."""
        if self._listener is not None:
            self.hand_over().close()
        if self._answering:
            await asyncio.wait(self._answering)

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # out of file descriptors: the socket stays readable, so wait instead of spinning
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(_RETRY_ACCEPT_S, self.serve)
                return
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if len(self._answering) >= _MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._answer(connection))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    head = await _read_head(loop, connection)
                    if head:
                        await loop.sock_sendall(connection, self._response(head))
                        await _linger(loop, connection)
            except (TimeoutError, OSError):
                return  # the client went away or does not read: nobody is left to tell

    def _response(self, head: bytes) -> bytes:
        if b"\r\n\r\n" not in head:
            return _http(431)
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _http(400)
        method, path = words[0], words[1].split(b"?", 1)[0]
        if path == b"/ready":
            reason = {"ready": False, "reason": f"{self._state.status}: {self._state.detail}"}
            return _http(503, json.dumps(reason).encode(), "application/json", with_body=method != b"HEAD")
        if path != b"/health":
            return _http(503, _STARTING_PAGE, "text/html; charset=utf-8", with_body=method != b"HEAD")
        if method not in {b"GET", b"HEAD"}:
            return _http(405)
        return _http(200, json.dumps(self._state.facts()).encode(), "application/json", with_body=method != b"HEAD")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    everywhere = host == "::" and socket.has_dualstack_ipv6()  # all addresses: those of IPv4 as well
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=everywhere)
    listener.setblocking(False)
    return listener


async def _read_head(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    """Bytes up to the end of the headers, or the first 8 KiB of more; empty if the client left before."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
        received = await loop.sock_recv(connection, _MAX_HEAD_BYTES)
        if not received:
            return b""
        head += received
    return head


async def _linger(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Let the client read to the end: closing with unread bytes would reset the connection and lose the answer."""
    connection.shutdown(socket.SHUT_WR)
    while await loop.sock_recv(connection, _MAX_HEAD_BYTES):
        pass  # bounded by the caller's timeout


def _http(status: int, body: bytes = b"", content_type: str = "text/plain", *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{'Retry-After: 1' if status == 503 else 'X-Content-Type-Options: nosniff'}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (body if with_body else b"")
