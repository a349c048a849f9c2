"""Listening with a bound: whoever opens connections without end must not use up those that reach the venues."""

import asyncio
from typing import Final

from aiohttp import web

MOST_CONNECTIONS: Final = 500  # of the 1,024 files that a process usually may have open


class BoundedSite(web.SockSite):
    """Serves on a socket that listens already. Of what comes while `MOST_CONNECTIONS` are open nothing is read."""

    async def start(self) -> None:
        """Begin to serve."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")

        def connection() -> asyncio.BaseProtocol:
            return server() if len(server.connections) < MOST_CONNECTIONS else _Refused()

        loop = asyncio.get_running_loop()
        # For asyncio a backlog is also how many it accepts at a go. Where no file can be opened (RELIABILITY P7) it
        # tries them all, each with a timer that does the same a second later: soon the loop does nothing else.
        self._server = await loop.create_server(connection, sock=self._sock, backlog=1)
        self._sock.listen(self._backlog)  # as many as before may wait for their turn


class _Refused(asyncio.Protocol):
    """Closed before anything is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
