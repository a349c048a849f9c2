"""The file of a backup: a zip of one COPY text per table, and a manifest of what must be in it.

It holds data, never SQL: restoring one runs nothing but our own migrations. It appears under its name only when all of
it is on the disk, and is readable by its owner only. With a key it is encrypted as a whole (`sealed.py`).
"""

import contextlib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bot.database.migrate import AppliedMigration
from bot.database.sealed import Key, opened, sealing
from bot.errors import DataError, StorageError, UsageError

MANIFEST: Final = "manifest.json"
_CHUNK_BYTES: Final = 1 << 20
_MANIFEST_BYTES_MAX: Final = 16 << 20
_OWNER_ONLY: Final = 0o600


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TablePart(_Part):
    """One table: what its text must be."""

    name: str
    columns: tuple[str, ...]
    rows: int
    size_bytes: int
    sha256: str


class SequencePart(_Part):
    """Where the numbers of an identity column stood."""

    table: str
    column: str
    last_value: int
    is_called: bool


class Manifest(_Part):
    """What a backup is of, and what must be in it."""

    format: Literal[1] = 1
    made_at: AwareDatetime
    server_version: str
    migrations: tuple[AppliedMigration, ...]
    tables: tuple[TablePart, ...]
    sequences: tuple[SequencePart, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(each.rows for each in self.tables)

    @property
    def schema_version(self) -> str:
        """Name of the newest migration that the database had."""
        return self.migrations[-1].name if self.migrations else "none"


class Sink(Protocol):
    """Where tables go: an archive, or nowhere, to see that each row can be read."""

    def table(self, name: str, columns: tuple[str, ...]) -> "contextlib.AbstractContextManager[Callable[[bytes], int]]":
        """Take one table: what is entered takes its text, piece by piece, and says how many rows were in a piece."""


@dataclass(slots=True)
class ArchiveWriter:
    """Takes tables one after the other, then the manifest."""

    _zip: zipfile.ZipFile
    _tables: list[TablePart] = field(default_factory=list)

    @contextlib.contextmanager
    def table(self, name: str, columns: tuple[str, ...]) -> Iterator[Callable[[bytes], int]]:
        """See `Sink`."""
        digest, counted = hashlib.sha256(), {"rows": 0, "bytes": 0}
        with self._zip.open(_entry(name), "w", force_zip64=True) as entry:

            def write(piece: bytes) -> int:
                entry.write(piece)
                digest.update(piece)
                rows = piece.count(b"\n")  # COPY writes a line break within a value as \n
                counted["rows"] += rows
                counted["bytes"] += len(piece)
                return rows

            yield write
        part = TablePart(
            name=name,
            columns=columns,
            rows=counted["rows"],
            size_bytes=counted["bytes"],
            sha256=digest.hexdigest(),
        )
        self._tables.append(part)

    def finish(
        self,
        *,
        made_at: datetime,
        server_version: str,
        migrations: tuple[AppliedMigration, ...],
        sequences: tuple[SequencePart, ...],
    ) -> Manifest:
        """Write the manifest; nothing may come after it."""
        manifest = Manifest(
            made_at=made_at,
            server_version=server_version,
            migrations=migrations,
            tables=tuple(self._tables),
            sequences=sequences,
        )
        self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=2))
        return manifest


@contextlib.contextmanager
def new_archive(path: Path, key: Key | None = None) -> Iterator[ArchiveWriter]:
    """A new file at `path`: whole, on the disk and 0600 after the block, or not there at all if the block raises.

    Raises UsageError if there is a file of that name, StorageError if it cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} exists already and is not overwritten; name another file")
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(partial, flags, _OWNER_ONLY), "wb") as file:
            with sealing(file, key) as sealed, zipfile.ZipFile(sealed, "w", zipfile.ZIP_DEFLATED) as archive:
                yield ArchiveWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_directory(path.parent)
    except OSError as error:
        raise StorageError(
            f"backup {path} cannot be written ({error.strerror or error}); free some space, make the directory "
            "writable, or name another place with --to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


class Archive:
    """A backup that was opened: its manifest was read, its tables were not."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._zip = archive
        self.manifest = self._read_manifest()

    def verify(self, on_rows: Callable[[int], None] = lambda _: None) -> None:
        """Read all of it and hold it against the manifest. Raises DataError."""
        for part in self.manifest.tables:
            for piece in self.pieces(part):
                on_rows(piece.count(b"\n"))

    def pieces(self, part: TablePart) -> Iterator[bytes]:
        """The text of one table. Raises DataError in the end if it was not what the manifest says."""
        digest, rows, size = hashlib.sha256(), 0, 0
        with _damage(self._path, f"table {part.name}"), self._zip.open(_entry(part.name)) as entry:
            while piece := entry.read(_CHUNK_BYTES):
                digest.update(piece)
                rows, size = rows + piece.count(b"\n"), size + len(piece)
                yield piece
        if (rows, size, digest.hexdigest()) != (part.rows, part.size_bytes, part.sha256):
            raise _damaged(
                self._path, f"table {part.name} has {rows} rows in {size} bytes that are not the ones that were written"
            )

    def _read_manifest(self) -> Manifest:
        with _damage(self._path, MANIFEST), self._zip.open(MANIFEST) as entry:
            text = entry.read(_MANIFEST_BYTES_MAX)
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(each) for each in first["loc"])
            raise _damaged(
                self._path, f"its manifest is none of this program's: {where or MANIFEST}: {first['msg']}"
            ) from error
        named = sorted([MANIFEST, *(_entry(each.name) for each in manifest.tables)])
        if sorted(self._zip.namelist()) != named:
            raise _damaged(self._path, "its parts are not the ones that its manifest names")
        return manifest


@contextlib.contextmanager
def open_archive(path: Path, key: Key | None = None) -> Iterator[Archive]:
    """Open a backup. Raises UsageError if there is none at `path`, DataError if it is not whole."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"there is no backup {path}; ./botctl db status lists those of the data directory") from None
    except OSError as error:
        raise StorageError(f"backup {path} cannot be read ({error.strerror}); give this user access to it") from error
    with file, opened(file, path, key) as plain:
        with _damage(path, "the list of its parts"):
            archive = zipfile.ZipFile(plain)
        with archive:
            yield Archive(path, archive)


def _entry(table: str) -> str:
    return f"tables/{table}.copy"


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"backup {path} is damaged: {what}; nothing was changed: use another backup")


@contextlib.contextmanager
def _damage(path: Path, where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, OSError) as error:
        raise _damaged(path, f"{where} cannot be read ({error})") from error


def _flush_directory(directory: Path) -> None:
    """A rename is durable only when its directory is flushed too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
