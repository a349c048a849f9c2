"""`botctl db ...`: the database as a whole. Each works beside a running daemon, except a restore."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from cyclopts import App, Parameter

from bot.commands.doctor import EXIT_FINDING, show_checks
from bot.config import Loaded, find_env_file, load_settings
from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.database.archive import Manifest
    from bot.database.sealed import Key

db: Final = App(name="db")

_LOW_PRIORITY: Final = 10  # of the operating system: a daemon on the same machine comes first
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the facts as JSON.")]
Data = Annotated[str | None, Parameter(help="Data directory; default: DATA_DIRECTORY.")]
KeyFile = Annotated[Path | None, Parameter(help="File of 64 hexadecimal digits: encrypt with it, or decrypt.")]


@db.command
def status(*, as_json: Json = False, data: Data = None) -> None:
    """Show version, size, rows, what waits to be migrated, and the backups there are."""
    from bot.wiring import database_tools as tools

    loaded = _loaded(data)
    found, pending = asyncio.run(tools.database_facts(loaded, _say))
    backups = tools.backups_in(tools.backup_directory(loaded))
    facts = {
        "database": tools.database_place(loaded),
        "server": f"PostgreSQL {found.server_version}",
        "size_bytes": found.size_bytes,
        "schema": found.schema_version,
        "not_applied_yet": list(pending),
        "daemon_trades": found.daemon_trades,
        "rows": found.rows,
        "backups": [{"file": str(each.path), "size_bytes": each.size_bytes} for each in backups],
    }
    _tell(facts, as_json=as_json)
    if not backups and not as_json:
        print(f"There is no backup in {tools.backup_directory(loaded)}: make one with ./botctl db backup")


@db.command
def migrate(*, as_json: Json = False, data: Data = None) -> None:
    """Bring the database up to date. The daemon does the same at each start."""
    from bot.wiring import database_tools as tools

    loaded = _loaded(data)
    if "RELEASE_COMMAND" in os.environ and not loaded.settings.run.database_url:
        # Fly.io runs this in a machine without the volume: a database made here would be thrown away.
        _tell({"applied": [], "note": "the embedded database is migrated by the daemon at its start"}, as_json=as_json)
        return
    applied = asyncio.run(tools.migrate_database(loaded, _say))
    _tell({"applied": list(applied), "database": tools.database_place(loaded)}, as_json=as_json)


@db.command
def backup(
    *,
    to: Annotated[Path | None, Parameter(help="File or directory; default: backups/ in the data directory.")] = None,
    keep: Annotated[int | None, Parameter(help="Keep so many in that directory, the newest; remove the rest.")] = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Write all rows, as of one instant, to one file, and read it back. The daemon goes on trading."""
    from bot.wiring import database_tools as tools

    if keep is not None and keep < 1:
        raise UsageError(f"--keep {keep}: at least 1 must be kept")
    loaded, key = _loaded(data), _key(key_file)
    os.nice(_LOW_PRIORITY)
    with _Rows("backup") as rows:
        made = asyncio.run(tools.make_backup(loaded, to, key, keep, _say, rows.add))
    facts = {
        "file": str(made.path),
        "size_bytes": made.size_bytes,
        "removed": [str(each) for each in made.removed],
        **_of_manifest(made.manifest),
    }
    _tell(facts, as_json=as_json)


@db.command
def restore(
    file: Path,
    /,
    *,
    replace: Annotated[bool, Parameter(negative="", help="Throw away what is there; it is backed up first.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    key_file: KeyFile = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Make the database what a backup says: all of it, or nothing. Stop the daemon first."""
    from bot.wiring import database_tools as tools

    loaded, key = _loaded(data), _key(key_file)
    if replace and not yes:
        _confirm(f"Everything in {tools.database_place(loaded)} is replaced by {file}.")
    with _Rows("restore") as rows:
        manifest, done, saved = asyncio.run(
            tools.restore_backup(loaded, file, key, may_replace=replace, say=_say, on_rows=rows.add)
        )
    facts = {
        "file": str(file),
        "database": tools.database_place(loaded),
        **_of_manifest(manifest),
        "upgraded_by": list(done.upgraded_by),
        "replaced_data_is_in": str(saved) if saved else None,
    }
    _tell(facts, as_json=as_json)
    if not as_json:
        print(
            f"Restored. What happened after {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC only the venues know: start the "
            "daemon, then see ./botctl reconcile"
        )


@db.command
def check(
    file: Annotated[Path | None, Parameter(help="A backup: check this file instead of the database.")] = None,
    /,
    *,
    key_file: KeyFile = None,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Read every row, and hold schema and settings against what is needed. Exit code 4 if something is wrong."""
    from bot.wiring import database_tools as tools

    if file is not None:
        with _Rows("check") as rows:
            manifest, behind = tools.check_backup(file, _key(key_file), rows.add)
        _tell({"file": str(file), **_of_manifest(manifest), "restore_would_apply": list(behind)}, as_json=as_json)
        return 0
    checks = asyncio.run(tools.database_checks(_loaded(data), _say))
    if as_json:
        print(orjson.dumps({"checks": checks}, option=orjson.OPT_INDENT_2).decode())
    else:
        show_checks(checks)
    return EXIT_FINDING if any(each.status != "ok" for each in checks) else 0


class _Rows:
    """Rows done so far, on a terminal; gone when it is over."""

    def __init__(self, title: str) -> None:
        from rich.console import Console

        self._title = title
        self._done = 0
        self._status = Console(stderr=True).status(f"{title} ...")

    def add(self, count: int) -> None:
        self._done += count
        self._status.update(f"{self._title}: {self._done:,} rows")

    def __enter__(self) -> "_Rows":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()


def _loaded(data: str | None) -> Loaded:
    given = {} if data is None else {"DATA_DIRECTORY": data}
    return load_settings(os.environ, find_env_file(Path.cwd()), command_line=given)


def _key(path: Path | None) -> "Key | None":
    from bot.database.sealed import read_key

    return None if path is None else read_key(path)


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{what} Nobody can be asked here: add --yes")
    if input(f'{what} Type "replace" to go on: ') != "replace":
        raise UsageError("nothing was changed: it was not confirmed")


def _of_manifest(manifest: "Manifest") -> dict[str, Any]:
    return {
        "made_at": manifest.made_at.isoformat(),
        "schema": manifest.schema_version,
        "tables": len(manifest.tables),
        "rows": manifest.rows,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tell(facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<22}{_text(name, value)}")


def _text(name: str, value: Any) -> str:
    if name == "size_bytes":
        return _size(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {count:,}" for key, count in value.items() if count) or "none"
    if isinstance(value, list):
        listed = [f"{each['file']} ({_size(each['size_bytes'])})" if isinstance(each, dict) else each for each in value]
        return ("\n" + " " * 22).join(listed) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.0f} kB"
