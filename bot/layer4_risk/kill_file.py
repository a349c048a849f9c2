"""The kill switch as a file: it needs no database, no page and no daemon to be pressed."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import StorageError
from bot.models import KillLevel

KILL_FILE: Final = "KILL"
_MOST_BYTES: Final = 64
_NO_FILES_LEFT: Final = (errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class FilePress:
    """What the file says, and whose it is."""

    level: KillLevel
    by: str
    reason: str


class KillFile:
    """`KILL` in the data directory, with one word in it: pause, flatten or halt.

    A file that says anything else, or nothing, or cannot be read, is a HALT: somebody wanted everything to stop, and
    HALT stops the most without closing a position that nobody asked to close.
    """

    def __init__(self, data_directory: Path) -> None:
        self.path = data_directory / KILL_FILE

    def read(self) -> FilePress | None:
        """What is pressed by the file; None if there is none, or no file can be opened. Cheap: one failing open.

        Never raises.
        """
        try:
            with self.path.open("rb") as file:
                word = file.read(_MOST_BYTES).decode("utf-8", "replace").strip().lower()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in _NO_FILES_LEFT:
                return None  # said of files that are not there, too: it is read again in a moment
            return FilePress(KillLevel.HALT, self._owner(), f"{self.path} cannot be read ({error.strerror})")
        if word in (KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT):
            return FilePress(KillLevel(word), self._owner(), f"{self.path} says so")
        return FilePress(
            KillLevel.HALT, self._owner(), f"{self.path} says {word!r}, which is none of pause, flatten, halt"
        )

    def write(self, level: KillLevel) -> None:
        """Press by the file; one that presses more stays as it is. Raises StorageError."""
        there = self.read()
        if there is not None and there.level >= level:
            return
        partial = self.path.with_name(f"{KILL_FILE}.new")
        try:
            partial.write_text(f"{level.value}\n", encoding="ascii")
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
