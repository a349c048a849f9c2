"""The heavy libraries of the venues: not before /health answers, and never on the event loop."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
BEFORE_HEALTH = """
import sys
import bot.main, bot.wiring.daemon
print(sorted({"ccxt", "yfinance", "pandas", "oandapyV20", "requests"} & sys.modules.keys()))
"""
IN_WHICH_THREAD = """
import asyncio, sys, threading
from bot.clock import SystemClock
from bot.config import load_settings
from bot.errors import BrokerUnavailable
from bot.instruments import Symbol, default_registry
from bot.models import Timeframe
from bot.wiring.venues import connected

HEAVY = {"ccxt", "yfinance", "pandas", "oandapyV20", "requests"}
on_the_loop, elsewhere = set(), set()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            (on_the_loop if threading.current_thread() is threading.main_thread() else elsewhere).add(name)

async def first_calls():
    nobody = dict.fromkeys(("BINANCE_URL", "OANDA_URL", "IG_URL", "YAHOO_URL"), "http://127.0.0.1:1")
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s", "OANDA_TOKEN": "t", "OANDA_ACCOUNT_ID": "101-004-1-001"}
    keys |= {"IG_API_KEY": "k", "IG_USERNAME": "u", "IG_PASSWORD": "p"}
    loaded = load_settings({**nobody, **keys, "MODE": "paper", "DATA_DIRECTORY": sys.argv[1]}, None)
    async with connected(loaded, default_registry(), SystemClock()) as router:
        for symbol in ("BTC/USDT", "EUR_USD", "AAPL"):
            try:
                await router.for_symbol(Symbol(symbol)).candles(Symbol(symbol), Timeframe.H1, since=None, limit=1)
            except BrokerUnavailable:
                pass

sys.meta_path.insert(0, Watch())
asyncio.run(first_calls())
print(sorted(on_the_loop), sorted(elsewhere))
"""


def told(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    return done.stdout.strip()


def test_importing_the_daemon_loads_no_library_of_a_venue() -> None:
    assert told(BEFORE_HEALTH) == "[]"


def test_the_libraries_are_imported_beside_the_event_loop_also_with_the_first_call(tmp_path: Path) -> None:
    assert told(IN_WHICH_THREAD, str(tmp_path)) == "[] ['ccxt', 'oandapyV20', 'pandas', 'requests', 'yfinance']"
