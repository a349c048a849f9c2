"""The processes of tier C: a daemon in paper mode, and the fakes of its venues."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession

from bot.config import project_directory
from bot.errors import BotError
from bot.instruments import BINANCE, OANDA, BrokerId
from bot.interfaces import Clock

URLS: Final[Mapping[BrokerId, str]] = {BINANCE: "BINANCE_URL", OANDA: "OANDA_URL"}
STOPPED_WITHIN_S: Final = 60.0  # a run of the analysis that is under way is awaited

# Settings that anybody may choose, so that something is traded with every minute's candles, and in small amounts.
SETTINGS: Final[Mapping[str, str]] = {
    "BROKERS": ",".join(URLS),
    "TIMEFRAMES": "1m",
    "USE_MULTI_TF_CONFIRMATION": "false",
    "ANALYSIS_INTERVAL_S": "1",
    "MONITOR_INTERVAL_S": "15",  # more often, and Binance's request budget is spent on it
    "LOG_FORMAT": "json",
    **dict.fromkeys(("LEFT", "RIGHT", "CONFIRM", "MIN_SEP"), "2"),
    **dict.fromkeys(("MIN_PRICE_ATR", "MIN_SWING_ATR", "MIN_CONFIDENCE", "MIN_RISK_REWARD", "MIN_ATR_MULTIPLE"), "0"),
    **dict.fromkeys(("RSI_OVERBOUGHT", "MAX_ATR_MULTIPLE"), "100"),
    **dict.fromkeys(("RSI_OVERSOLD", "MIN_ADX", "MIN_BANDWIDTH_RATIO", "MIN_CONFIRMING_INDICATORS"), "0"),
    **{f"MIN_OSC_{each}": "0" for each in ("RSI", "STOCH_K", "MFI", "WILLR", "CCI", "MACD_HIST")},
    **dict.fromkeys(("MIN_SWING_BARS_1H", "MIN_DIVERGENCE_MAGNITUDE_RSI", "MIN_DIVERGENCE_SCORE"), "0"),
    "RSI_MAGNITUDE_WHEN": "claimed",
    "MAX_SPREAD_TO_STOP_RATIO": "1",
    "RISK_PER_TRADE_RATIO": "0.0002",
    **dict.fromkeys(("MAX_OPEN_POSITIONS_BINANCE", "MAX_OPEN_POSITIONS_OANDA", "MAX_POSITIONS_PER_STRATEGY"), "100"),
    **dict.fromkeys(("MAX_CORRELATED_EXPOSURE", "MAX_CORRELATED_EVERYWHERE"), "100"),
    **dict.fromkeys(("MAX_ENTRIES_PER_MINUTE", "MAX_ENTRIES_PER_MINUTE_STRATEGY"), "100"),
}


class Daemon:
    """One process of `botctl run`."""

    def __init__(self, process: Process, data: Path, session: ClientSession) -> None:
        self.process = process
        self._data = data
        self._session = session

    @classmethod
    async def start(cls, folder: Path, settings: Mapping[str, str], session: ClientSession) -> "Daemon":
        """On the data directory in `folder`; it need not be up yet."""
        with (folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "bot.cli", "run", "--mode", "paper", "--port", "0"),
                *("--data", str(folder / "data")),
                env=cls.environment(settings),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        return cls(process, folder / "data", session)

    @staticmethod
    def environment(settings: Mapping[str, str]) -> Mapping[str, str]:
        """Of every program of ours that works on that daemon's data."""
        return {**os.environ, "PYTHONPATH": str(project_directory()), **SETTINGS, **settings}

    async def is_up(self) -> bool:
        """It has compared every venue once, and says so. Raises BotError if it has ended."""
        if self.process.returncode is not None:
            raise BotError(f"a daemon ended by itself with exit code {self.process.returncode}; see its log")
        return self._facts() is not None

    async def has_looked(self) -> bool:
        """It has asked for candles once."""
        facts = self._facts()
        with suppress(ClientError, TimeoutError):
            if facts is not None:
                async with self._session.get(f"{facts['url']}/health") as answer:
                    return (await answer.json()).get("last_analysis") is not None
        return False

    async def kill(self) -> None:
        """As `kill -9`."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """As Ctrl-C; the exit code. Raises TimeoutError."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOPPED_WITHIN_S):
            return await self.process.wait()

    def _facts(self) -> Mapping[str, Any] | None:
        """The file of a killed predecessor is still there at first: it names another process."""
        try:
            facts: Mapping[str, Any] = json.loads((self._data / "run.json").read_text())
        except (OSError, ValueError):
            return None
        return facts if facts["pid"] == self.process.pid else None


async def until(holds: Callable[[], Awaitable[bool]], within_s: float, *, clock: Clock, every_s: float = 0.1) -> bool:
    """Wait until it holds; False if it does not within so many seconds."""
    deadline_s = clock.monotonic() + within_s
    while not await holds():
        if clock.monotonic() > deadline_s:
            return False
        await clock.sleep(every_s)
    return True


@asynccontextmanager
async def fake_venues(seed: int, *, hedging: bool = False) -> AsyncIterator[Mapping[str, str]]:
    """The fakes in a process of their own, with a lively market, and the settings that lead to them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes", "--lively", "--seed", str(seed), *(["--hedging"] if hedging else [])),
        cwd=project_directory(),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None  # noqa: S101 it was asked for
        line = await process.stdout.readline()
        if not line:
            raise BotError("the fakes of the venues did not start; tier c needs a checkout with its tests")
        settings: Mapping[str, str] = json.loads(line)
        yield settings
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
