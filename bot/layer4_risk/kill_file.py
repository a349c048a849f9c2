"""The kill switch as a file: it needs no database, no page and no daemon to be pressed."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import StorageError
from bot.models import KillLevel

KILL_FILE: Final = "KILL"
_MOST_BYTES: Final = 64
_WORDS: Final = (KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT)
_NO_FILES_LEFT: Final = (errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class FilePress:
    """What the file says, and whose it is."""

    level: KillLevel
    by: str
    reason: str


class KillFile:
    """`KILL` in the data directory: pause, flatten or halt, one word on a line; all of them hold.

    A file that says anything else, or nothing, or cannot be read, is a HALT: somebody wanted everything to stop, and
    HALT stops the most without closing a position that nobody asked to close.
    """

    def __init__(self, data_directory: Path) -> None:
        self.path = data_directory / KILL_FILE

    def read(self) -> tuple[FilePress, ...]:
        """What is pressed by the file; nothing if there is none, or no file can be opened. Cheap: one failing open.

        Never raises.
        """
        try:
            with self.path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8", "replace").strip().lower()
        except FileNotFoundError:
            return ()
        except OSError as error:
            if error.errno in _NO_FILES_LEFT:
                return ()  # said of files that are not there, too: it is read again in a moment
            return (FilePress(KillLevel.HALT, self._owner(), f"{self.path} cannot be read ({error.strerror})"),)
        words = [each.strip() for each in text.splitlines()]
        if words and all(each in _WORDS for each in words):
            return tuple(FilePress(KillLevel(each), self._owner(), f"{self.path} says so") for each in words)
        says = f"{self.path} says {text!r}, which is none of pause, flatten, halt"
        return (FilePress(KillLevel.HALT, self._owner(), says),)

    def write(self, level: KillLevel) -> None:
        """Press by the file, besides what it presses already. Raises StorageError."""
        there = [each.level for each in self.read()]
        if level in there:
            return
        partial = self.path.with_name(f"{KILL_FILE}.new")
        try:
            partial.write_text("".join(f"{each.value}\n" for each in (*there, level)), encoding="ascii")
            partial.replace(self.path)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written ({error.strerror}); free some space, make the directory writable, "
                "or stop the daemon: resting stops stay at the venues"
            ) from error

    def remove(self) -> None:
        """Take it away before a person resumes, or it would press again. Raises StorageError."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be removed ({error.strerror}), so nothing was resumed; remove it by hand"
            ) from error

    def _owner(self) -> str:
        try:
            return self.path.owner()
        except (OSError, KeyError):
            return "unknown"
