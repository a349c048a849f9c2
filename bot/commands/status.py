"""`botctl status`: asks the daemon that runs on this machine."""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from bot.clock import SystemClock
from bot.config import Loaded, find_env_file, load_settings
from bot.config.environment import DEFAULT, ENVIRONMENT
from bot.errors import BotError, ConfigError, DatabaseUnavailable
from bot.instruments import to_cents

_TIMEOUT_S: Final = 2.0
_STATUS: Final = "/api/status"
_HEALTH: Final = "/health"
_PROBLEM: Final = "application/problem+json"
_MODES: Final = ("dev", "paper", "live")
_ALWAYS_SHOWN: Final = (
    "mode",
    "url",
    "health",
    "kill_level",
    "kill",
    "equity",
    "open_positions",
    "closed_positions",
    "signals",
    "orders",
    "last_analysis",
    "last_error",
)


class NoDaemon(BotError):
    """No daemon answers here. Start one, or look at the one that hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDaemon:
    """What a daemon writes to `run.json` in its data directory, for its owner only."""

    pid: int
    url: str
    token: str = field(repr=False)


def status(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the daemon's JSON.")] = False,
    data: Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")] = None,
) -> None:
    """Show what the running daemon does. Exit code 1 if none runs, 6 while its database is away: then what it knows."""
    loaded = settings_of_daemon(data)
    daemon = find_daemon(loaded.data_directory)
    try:
        _show(ask(daemon), as_json=as_json)
    except DatabaseUnavailable:
        health = _health(daemon)
        known = {"mode": health.get("mode"), "url": daemon.url, "health": health.get("status")}
        known |= {name: health.get(name) for name in ("last_analysis", "entries_blocked")}
        _show(known | {"kill_level": health.get("kill")}, as_json=as_json)
        raise


def runs_on(data_directory: Path) -> bool:
    """Whether a daemon does."""
    try:
        find_daemon(data_directory)
    except NoDaemon:
        return False
    return True


def settings_of_daemon(data: str | None, *, runs: Callable[[Path], bool] = runs_on) -> Loaded:
    """The settings as of the daemon that is meant, on the directory `data` if named.

    Each mode has a data directory of its own. Where neither was named just now and no daemon runs on that of the
    settings, the daemon of another mode is meant: else `./botctl flatten` would stop nothing, and say it had.
    """
    named = {} if data is None else {"DATA_DIRECTORY": data}
    env_file = find_env_file(Path.cwd())
    loaded = load_settings(os.environ, env_file, command_line=named)
    is_named = loaded.origins["DATA_DIRECTORY"] != DEFAULT or loaded.origins["MODE"] == ENVIRONMENT
    if is_named or runs(loaded.data_directory):
        return loaded
    for mode in _MODES:
        with suppress(ConfigError):  # settings that this mode refuses are not those of a daemon that runs
            of_mode = load_settings(os.environ, env_file, command_line={"MODE": mode})
            if runs(of_mode.data_directory):
                print(f"The daemon of MODE={mode} is meant: no other runs.", file=sys.stderr)
                return of_mode
    return loaded


def find_daemon(data_directory: Path) -> RunningDaemon:
    """The daemon of one data directory. Raises NoDaemon, also if it ended without removing its file."""
    path = data_directory / "run.json"
    start_it = "start it with ./botctl run"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        daemon = RunningDaemon(pid=int(written["pid"]), url=str(written["url"]), token=str(written["token"]))
    except FileNotFoundError:
        raise NoDaemon(f"no daemon runs here ({path} does not exist): {start_it}") from None
    except OSError as error:
        raise NoDaemon(f"{path} cannot be read ({error.strerror}): ask as the user who started the daemon") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NoDaemon(f"no daemon runs here ({path} is damaged): {start_it}") from error
    if not _is_alive(daemon.pid):
        raise NoDaemon(f"no daemon runs here (process {daemon.pid} of {path} has ended): {start_it}")
    return daemon


def ask(daemon: RunningDaemon, path: str = _STATUS, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """Its answer to `path`, an object.

    Raises DatabaseUnavailable if its database keeps it from answering, NoDaemon if it does not answer in time, or not
    with that.
    """
    try:
        return _answer(daemon, path, timeout_s)
    except (DatabaseUnavailable, NoDaemon):
        if away := without_database(daemon):
            raise DatabaseUnavailable(away) from None
        raise


def without_database(daemon: RunningDaemon) -> str:
    """What a person has to know while the daemon has no database, as it says itself; empty if it has one."""
    health = _health(daemon)
    if health.get("writer_lock") != "away":
        return ""
    since, bare_s = health.get("writer_lock_away_since"), (health.get("unprotected_s") or {}).get("now", 0)
    lines = [
        f"the database of the daemon (process {daemon.pid}) does not answer{f', {_age(since)}' if since else ''}.",
        "Entries are blocked, and nothing is closed or moved before it answers. Stops that rest at the venues protect.",
    ]
    if bare_s > 0:
        lines.append(f"A position has had no stop for all of it for {bare_s:.0f} s: look at the venue's own app.")
    if health.get("database") == "embedded":
        lines.append(
            "Its server is one of the daemon's own: if that has ended, a restart of the daemon starts it again."
        )
    else:
        lines.append(
            "A restart of the daemon does not help, because it does not start without it: see to the server of "
            "DATABASE_URL. The daemon goes on by itself when that answers."
        )
    return "\n".join(lines)


def _age(since: str) -> str:
    begun = datetime.fromisoformat(since)
    return f"since {begun:%Y-%m-%d %H:%M:%S} UTC, for {(SystemClock().now() - begun).total_seconds():.0f} s"


def _health(daemon: RunningDaemon) -> Mapping[str, Any]:
    """What it says of itself without any I/O; nothing, if it does not even do that."""
    try:
        return _answer(daemon, _HEALTH, _TIMEOUT_S)
    except (DatabaseUnavailable, NoDaemon):
        return {}


def _answer(daemon: RunningDaemon, path: str, timeout_s: float) -> dict[str, Any]:
    if not daemon.url.startswith(("http://", "https://")):
        raise NoDaemon(f"run.json of process {daemon.pid} names no http address; stop it and start ./botctl run")
    request = urllib.request.Request(  # noqa: S310 the scheme was just checked
        f"{daemon.url}{path}", headers={"Authorization": f"Bearer {daemon.token}", "Accept": "application/json"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our token is not for a proxy
    of_daemon = f"the daemon (process {daemon.pid}) at {daemon.url}"
    try:
        with direct.open(request, timeout=timeout_s) as response:
            facts = json.load(response)
    except urllib.error.HTTPError as error:
        told = "is starting; ask again in a second" if error.code == 503 else f"answered {error.code} {error.reason}"
        kind = error.headers.get_content_type()
        error.close()
        if error.code == 503 and kind == _PROBLEM:
            raise DatabaseUnavailable(f"{of_daemon} got no answer of its database; ask again in a second") from None
        raise NoDaemon(f"{of_daemon} {told}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoDaemon(
            f"{of_daemon} does not answer ({type(error).__name__}: {error}); look at its log, or stop and start it"
        ) from error
    if not isinstance(facts, dict):
        raise NoDaemon(f"{of_daemon} answered something that is no object of ours; is another program on that port?")
    return facts


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    facts = {**dict.fromkeys(_ALWAYS_SHOWN), **found}
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _print_table(facts)


def _print_table(facts: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    for name, value in facts.items():
        if name != "jobs":
            table.add_row(name.replace("_", " "), Text(_cell(value)))
    console = Console()
    console.print(table)
    jobs = [each for each in facts.get("jobs") or () if isinstance(each, dict)]
    if jobs:
        of_jobs = Table("job", "runs", "missed", "failures", "last run", "last error")
        for job in jobs:
            names = ("name", "runs", "missed", "failures", "last_run_at", "last_error")
            of_jobs.add_row(*(Text(_cell(job.get(each))) for each in names))
        console.print(of_jobs)


def _cell(value: object) -> str:
    if value in (None, "", {}, []):
        return "-"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, float):  # amounts of money; counts are whole
        return f"{to_cents(Decimal(str(value))):,.2f}"
    return str(value)
