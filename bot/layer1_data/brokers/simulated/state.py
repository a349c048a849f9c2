"""Where a simulated venue keeps its memory: a file that is replaced atomically, or memory for tests and replay."""

import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from bot.errors import StorageError


class FileVenueState:
    """One JSON file, replaced as a whole: after a crash it holds the old state or the new one, never a mixture."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Mapping[str, object] | None:
        """The last saved state, or None if there is no file. Raises StorageError if it cannot be read."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"venue state {self._path}: cannot read ({error}); give this user access to it"
            ) from error
        try:
            state = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise StorageError(
                f"venue state {self._path}: {len(content)} bytes are not JSON ({error}); "
                "restore the file, or move it away to start that simulated account anew"
            ) from error
        if not isinstance(state, dict):
            raise StorageError(f"venue state {self._path}: holds no object; restore it or move it away to start anew")
        return state

    def save(self, state: Mapping[str, object]) -> None:
        """Write beside, flush to the disk, rename over. Raises StorageError; the old state is then still there."""
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(orjson.dumps(state))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            self._flush_folder()
        except OSError as error:
            raise StorageError(
                f"venue state {self._path}: cannot write ({error}); free space or give this user write access, "
                "then start again: the state before this change is kept"
            ) from error

    def _flush_folder(self) -> None:
        """A rename is durable only when its folder is flushed too."""
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class MemoryVenueState:
    """The same promise without a disk: what is loaded is a copy, and only JSON types pass."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self.saves = 0

    def load(self) -> Mapping[str, object] | None:
        """The last saved state, or None."""
        if self._content is None:
            return None
        state: Mapping[str, object] = orjson.loads(self._content)
        return state

    def save(self, state: Mapping[str, object]) -> None:
        """Keep a copy of it."""
        self._content = orjson.dumps(state)
        self.saves += 1
