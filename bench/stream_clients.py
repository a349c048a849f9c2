"""The browsers of `bench_streams.py`, in a process of their own: each holds one stream open and counts what comes.

From stdin comes one JSON line of what to do, then a line to begin counting and one to end. To stdout goes "open" when
all are connected, and at the end what they saw.
"""

import asyncio
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

MARKS = {"state": re.compile(rb"State at (\d+\.\d+)"), "figures": re.compile(rb"figures of (\d+\.\d+)")}
AGAIN_S, PATIENCE_S = 1.0, 60.0
_END = b"\r\n\r\n"


class Browser:
    """One stream. `heard`: for each kind of mark, when one of which instant came first."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url = url
        self.cookie = cookie
        self.is_open = asyncio.Event()
        self.put_off = 0
        self.begin()

    def begin(self) -> None:
        """Count from now."""
        self.bytes = self.updates = 0
        self.heard: dict[str, list[tuple[float, float]]] = {name: [] for name in MARKS}

    async def read(self, client: aiohttp.ClientSession) -> None:
        """Until cancelled; an end of the stream is an error. Comes again if it is asked to, as browsers do."""
        while True:
            async with client.get(self.url, headers={"Cookie": self.cookie}) as stream:
                if stream.status != 503:
                    stream.raise_for_status()
                    await self._follow(stream)
            self.put_off += 1
            await asyncio.sleep(AGAIN_S)

    async def _follow(self, stream: aiohttp.ClientResponse) -> None:
        rest = b""
        async for chunk in stream.content.iter_any():
            self.is_open.set()
            self.bytes += len(chunk)
            *events, rest = (rest + chunk).split(_END)
            for event in events:
                self._note(event)
        raise RuntimeError(f"{self.url} ended")

    def _note(self, event: bytes) -> None:
        if event.startswith(b":"):  # a ping
            return
        self.updates += 1
        now_s = time.monotonic()
        for name, mark in MARKS.items():
            found = mark.search(event)
            heard = self.heard[name]
            if found and (not heard or float(found[1]) > heard[-1][1]):
                heard.append((now_s, float(found[1])))

    def facts(self) -> dict[str, Any]:
        """For the other process."""
        return {"bytes": self.bytes, "updates": self.updates, "put_off": self.put_off, "heard": self.heard}


async def sleepers(task: dict[str, Any]) -> list[socket.socket]:
    """Connections that ask for a stream and never read a byte of it."""
    parts, opened = urlsplit(task["url"]), []
    for each in task["never_read"]:
        target = f"{urlsplit(each['url']).path}?{urlsplit(each['url']).query}"
        asked = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {each['cookie']}\r\n\r\n"
        made = socket.create_connection((parts.hostname, parts.port))
        made.sendall(asked.encode())
        opened.append(made)
    return opened


async def _all_open(browsers: Sequence[Browser]) -> None:
    for each in browsers:
        await each.is_open.wait()


async def main() -> None:
    """One measurement."""
    asked = json.loads(sys.stdin.readline())
    browsers = [Browser(each["url"], each["cookie"]) for each in asked["read"]]
    never = await sleepers(asked)
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        reading = [asyncio.create_task(each.read(client)) for each in browsers]
        opening = asyncio.create_task(_all_open(browsers))
        await asyncio.wait([opening, *reading], return_when=asyncio.FIRST_COMPLETED)
        for task in reading:
            if task.done():
                task.result()
        _say("open")
        await asyncio.to_thread(sys.stdin.readline)
        for each in browsers:
            each.begin()
        await asyncio.to_thread(sys.stdin.readline)
        _say(json.dumps([each.facts() for each in browsers]))
        for task in reading:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*reading)
    for made in never:
        made.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# ------------------------------------------------------------------------------------------ the process that measures


class Clients:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process | None) -> None:
        self._process = process

    def write(self, line: bytes) -> None:
        """Tell it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line)

    async def line(self) -> bytes:
        """Hear of it. Raises RuntimeError if it ended."""
        if self._process is None or self._process.stdout is None:
            return b"[]"
        said = await self._process.stdout.readline()
        if not said:
            raise RuntimeError("the browsers' process ended; what it said is above")
        return said

    async def facts(self) -> Sequence[Mapping[str, Any]]:
        """What the browsers saw."""
        found: Sequence[Mapping[str, Any]] = json.loads(await self.line())
        return found


@asynccontextmanager
async def watching(url: str, browsers: Sequence[Mapping[str, str]], *, never_read: int = 0) -> AsyncIterator[Clients]:
    """A process of its own in which all of them watch; `never_read` of them read nothing."""
    if not browsers:
        yield Clients(None)
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**27,
    )
    clients = Clients(process)
    try:
        task = {"url": url, "never_read": browsers[:never_read], "read": browsers[never_read:]}
        clients.write(json.dumps(task).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            await clients.line()
        yield clients
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
