"""Encryption of a whole backup file: AES-256-GCM, one key, a new nonce for each file.

    8 bytes "BOTSEAL1", 12 bytes nonce, the encrypted zip, 16 bytes tag

Nothing of a file is used before its tag was found right, so a changed byte anywhere is found before anything is done.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NewType

from bot.errors import DataError, StorageError, UsageError

Key = NewType("Key", bytes)

_MARK: Final = b"BOTSEAL1"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_CHUNK_BYTES: Final = 1 << 20
_FOR_OTHERS: Final = 0o077


def read_key(path: Path) -> Key:
    """The key in a file of 64 hexadecimal digits, readable by its owner only. Raises UsageError or StorageError."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise UsageError(f"there is no key file {path}; make one: openssl rand -hex 32 > {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"key file {path} cannot be read ({error}); give this user access to it") from error
    if mode & _FOR_OTHERS:
        raise UsageError(f"key file {path} can be read by others (mode {mode & 0o777:o}); next step: chmod 600 {path}")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"key file {path} is not 64 hexadecimal digits; make one: openssl rand -hex 32 > {path}")
    return Key(bytes.fromhex(text))


class _Sealed:
    """A file to write to: what is written comes out encrypted."""

    def __init__(self, file: IO[bytes], key: Key) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        nonce = os.urandom(_NONCE_BYTES)
        self._file = file
        self._encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
        file.write(_MARK + nonce)

    def write(self, data: bytes) -> int:
        self._file.write(self._encryptor.update(data))
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def end(self) -> None:
        self._file.write(self._encryptor.finalize() + self._encryptor.tag)


@contextlib.contextmanager
def sealing(file: IO[bytes], key: Key | None) -> Iterator[IO[bytes]]:
    """`file` itself without a key; with one, a file that encrypts into it (written from front to end only)."""
    if key is None:
        yield file
        return
    sealed = _Sealed(file, key)
    yield sealed  # type: ignore[misc]  # zipfile asks of a file that it streams into for write and flush only
    sealed.end()


@contextlib.contextmanager
def opened(file: IO[bytes], path: Path, key: Key | None) -> Iterator[IO[bytes]]:
    """What `sealing` was given: `file` itself if it is not encrypted, else a temporary file without a name.

    Raises UsageError if the key is missing, DataError if it is another one or a byte was changed.
    """
    is_sealed = file.read(len(_MARK)) == _MARK
    if not is_sealed:
        file.seek(0)
        yield file
        return
    if key is None:
        raise UsageError(f"backup {path} is encrypted; name its key with --key-file")
    with tempfile.TemporaryFile(dir=path.parent) as plain:
        _decrypt(file, plain, path, key)
        plain.seek(0)
        yield plain


def _decrypt(file: IO[bytes], plain: IO[bytes], path: Path, key: Key) -> None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    begin = len(_MARK) + _NONCE_BYTES
    left = file.seek(0, os.SEEK_END) - begin - _TAG_BYTES
    if left < 0:
        raise _not_opened(path)
    file.seek(left + begin)
    tag = file.read(_TAG_BYTES)
    file.seek(len(_MARK))
    decryptor = Cipher(algorithms.AES(key), modes.GCM(file.read(_NONCE_BYTES), tag)).decryptor()
    try:
        while left:
            piece = file.read(min(left, _CHUNK_BYTES))
            left -= len(piece)
            plain.write(decryptor.update(piece))
        decryptor.finalize()
    except InvalidTag:
        raise _not_opened(path) from None
    except OSError as error:
        raise StorageError(
            f"backup {path} cannot be decrypted beside itself ({error.strerror or error}); copy it to a disk with room"
        ) from error


def _not_opened(path: Path) -> DataError:
    return DataError(
        f"backup {path} cannot be opened with this key: it is another one, or the file was cut short or changed; "
        "nothing was changed: use the key it was made with, or another backup"
    )
