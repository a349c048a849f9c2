"""One owner of a data directory: the kernel drops the lock with its holder, however that ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from bot.errors import ConfigError, StorageError


class DataInUse(ConfigError):
    """A daemon runs on this data directory. Stop it, or use another one."""


@contextlib.contextmanager
def data_lock(data_directory: Path) -> Iterator[None]:
    """Hold the directory, making it if need be. Raises DataInUse, or StorageError if it cannot be written."""
    try:
        data_directory.mkdir(parents=True, exist_ok=True)
        lock = (data_directory / "daemon.lock").open("w")
    except OSError as error:
        raise StorageError(
            f"data directory {data_directory} cannot be written ({error.strerror}); make it writable, "
            "free some space, or name another with --data or DATA_DIRECTORY"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataInUse(
                f"a daemon already runs on {data_directory}: see it with ./botctl status, "
                "stop it, or name another directory with --data"
            ) from None
        yield
