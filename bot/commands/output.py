"""What commands have in common at their edges: files that are whole or not there, a progress bar, JSON numbers."""

import contextlib
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bot.errors import StorageError, UsageError


def check_writable(path: Path | None) -> None:
    """Refuse a name that cannot be written before the work is done, not after it. Raises UsageError."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file in it")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: the directory {path.absolute().parent} does not exist; make it first")


def read_whole(path: Path) -> bytes:
    """What the file holds. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write the file under another name and rename it, so that it is whole or as it was before. Raises StorageError."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StorageError(f"{path} cannot be written ({error.strerror}); free some space or name another") from error


def write_json(path: Path, value: Any, *, indented: bool = True) -> None:
    """JSON with NaN and infinity as null; indented for people, in one line for programs. Raises StorageError."""
    indent = orjson.OPT_INDENT_2 if indented else 0
    write_whole(path, orjson.dumps(value, option=indent | orjson.OPT_APPEND_NEWLINE))


class ProgressBar:
    """How much of a long run is done, with the time left; on a terminal only, and gone when the run is over."""

    def __init__(self, title: str, unit: str, total: int) -> None:
        columns = (
            TextColumn(title),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(title, total=total)

    def done(self, count: int) -> None:
        """So many units are done."""
        self._progress.update(self._task, completed=count)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
