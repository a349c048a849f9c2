"""The daemon: settings in, health port up, heavy libraries after it, run until told to stop."""

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.config import Loaded, find_env_file, load_settings, misspelt_names, project_directory
from bot.errors import BotError, ConfigError, StorageError
from bot.layer5_monitoring.health import HealthPort, HealthState
from bot.layer5_monitoring.service_manager import READY, STOPPING, ServiceManager
from bot.wiring.data_lock import data_lock

if TYPE_CHECKING:
    from bot.wiring.daemon import Daemon

EXIT_CUT_OFF: Final = 1
_STOP_WITHIN_S: Final = 9.5  # and what is left of 10 s for threads that nobody can end
_LAST_THREADS_S: Final = 0.5

_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "--mode": ("MODE", "dev (default), paper or live"),
    "--host": ("HTTP_HOST", "address that the page listens on"),
    "--port": ("HTTP_PORT", "TCP port of the page; if taken, the next free one is used"),
    "--data": ("DATA_DIRECTORY", "folder for database and state"),
    "--speed": ("DEV_SPEED", "market seconds per real second in dev mode"),
    "--seed": ("DEV_SEED", "seed of the market that follows the recorded candles in dev mode"),
}


def main(arguments: Sequence[str]) -> int:
    """Run the daemon; the exit code says how it ended."""
    parser = argparse.ArgumentParser(prog="botctl run", description="Start the daemon; Ctrl-C stops it cleanly.")
    for option, (name, text) in _OPTIONS.items():
        parser.add_argument(option, dest=name, help=text)
    parser.add_argument("--fakes", action="store_true", help="in paper mode: talk to fakes of the venues, offline")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    with_fakes = given.pop("fakes")
    try:
        with contextlib.ExitStack() as stack:
            fakes = stack.enter_context(_fake_venues()) if with_fakes else {}
            loaded = load_settings({**os.environ, **fakes}, find_env_file(Path.cwd()), command_line=given)
            if with_fakes and loaded.settings.run.mode != "paper":
                raise ConfigError(f"--fakes needs MODE=paper, not {loaded.settings.run.mode}; add --mode paper")
            with data_lock(loaded.data_directory):
                asyncio.run(_run(loaded))
    except BotError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the log is not set up yet, or not read
        return error.exit_code
    return 0


async def _run(loaded: Loaded) -> None:
    settings = loaded.settings
    service = ServiceManager(os.environ.get("NOTIFY_SOCKET", ""))
    state = HealthState(mode=settings.run.mode, detail="importing libraries")
    port = HealthPort(state)
    listener = port.bind(settings.run.http_host, settings.run.http_port)
    port.serve()
    stop = asyncio.Event()
    cut_off = _leaving(_STOP_WITHIN_S, EXIT_CUT_OFF)
    _obey_signals(stop, state, service, cut_off)
    taken = settings.run.http_port not in (0, listener.getsockname()[1])
    url = f"http://{_host_of_url(settings.run.http_host)}:{listener.getsockname()[1]}"
    _say(f"{url}/health answers; starting …" + (f" (port {settings.run.http_port} is taken)" if taken else ""))
    for each in misspelt_names(os.environ):
        _say(f"warning: environment: {each}")
    try:
        async with _daemon(loaded, url, state, stop) as daemon:
            await daemon.serve(port.hand_over())
            _introduce(daemon, loaded, url)
            with _run_file(loaded.data_directory, daemon, url):
                async with daemon.watched(service):
                    _keep_what_is_there()
                    service.tell(READY)
                    await daemon.run_until(stop)
            _say("stopping: no new entries; open positions keep their stops at the venue …")
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        await port.close()
        cut_off.cancel()
    _say("stopped. ./botctl run goes on from here.")
    leave_in(_LAST_THREADS_S, 0)


def _keep_what_is_there() -> None:
    """What the start made stays to the end; to look through it for garbage would hold the loop for 0.1 s, each time."""
    gc.collect()
    gc.freeze()


def _obey_signals(stop: asyncio.Event, state: HealthState, service: ServiceManager, cut_off: threading.Timer) -> None:
    """The first signal ends a start wherever it is, and tells a daemon that runs to stop. Others change nothing."""
    starting = asyncio.current_task()

    def obey() -> None:
        if stop.is_set():
            return
        service.tell(STOPPING)
        cut_off.start()
        if state.status == "starting" and starting is not None:
            state.detail = "told to stop"
            starting.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, obey)


def leave_in(seconds: float, status: int) -> None:
    """End the process then, if it is still there: a thread may wait for a venue longer than anybody waits for us.

    Nothing is lost by it: what must survive was stored before it was done, and the next start compares with the venues.
    """
    _leaving(seconds, status).start()


def _leaving(seconds: float, status: int) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    return timer


@contextlib.asynccontextmanager
async def _daemon(loaded: Loaded, url: str, state: HealthState, stop: asyncio.Event) -> "AsyncIterator[Daemon]":
    """Import the heavy half in a thread, so that /health is answered meanwhile; start it, and stop it in the end."""
    wiring = await asyncio.to_thread(importlib.import_module, "bot.wiring.daemon")
    async with wiring.daemon(loaded, url=url, state=state, stop=stop, say=_say) as daemon:
        yield daemon


def _introduce(daemon: "Daemon", loaded: Loaded, url: str) -> None:
    mode = loaded.settings.run.mode
    told = {
        "dev": "simulated venues, real recorded candles at speed, then a seeded market; no key, no outside call",
        "paper": f"{daemon.market.note()}; no real money",
    }.get(mode, daemon.market.note())
    _say(
        f"\n  mode      {mode}: {told}"
        f"\n  page      {url}/login?token={daemon.one_time_token}   (opens once, within 15 minutes)"
        f"\n  login     {daemon.login}"
        f"\n  data      {loaded.data_directory}"
        f"\n  next      open the page; ./botctl status in a second terminal; Ctrl-C stops\n"
    )


def _say(text: str) -> None:
    """To the person at the terminal; the log goes to stdout."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _host_of_url(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 an address to open, not one to bind
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _fake_venues() -> Iterator[Mapping[str, str]]:
    """Fakes of the venues in a process of their own, and the settings that lead to them; they end with us."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes"], cwd=project_directory(), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert process.stdout is not None  # noqa: S101 it was asked for
        line = process.stdout.readline()
        if not line:
            raise ConfigError("--fakes: the fakes of the venues did not start; they need a checkout with its tests")
        settings: Mapping[str, str] = json.loads(line)
        yield settings
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _run_file(data_directory: Path, daemon: "Daemon", url: str) -> Iterator[None]:
    """Where a second terminal finds the daemon; readable by its owner only, because of the token."""
    path = data_directory / "run.json"
    facts = {
        "pid": os.getpid(),
        "url": url,
        "token": daemon.api_token,
        "started_at": daemon.started_at.isoformat(),
        "mode": daemon.mode,
    }
    partial = path.with_name(f"run.json.{secrets.token_hex(4)}")
    try:
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(facts))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); free some space and start again") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
