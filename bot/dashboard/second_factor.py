"""The second factor: codes of an authenticator (TOTP, RFC 6238), and the recovery codes for when it is lost."""

import base64
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken

from bot.errors import ConfigError, DataError, StorageError

STEP_S: Final = 30
KEY_FILE: Final = "dashboard-key"
ISSUER: Final = "Trading bot"
RECOVERY_CODES: Final = 10
_SEED_CHARACTERS: Final = 32  # 160 bits
_RECOVERY_BYTES: Final = 15  # 120 bits: enough for one fast hash
_KEY_BYTES: Final = 32
_FOR_OTHERS: Final = 0o077


class Vault:
    """Encrypts second factors, and marks browsers, with the one key of this daemon."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hmac.digest(key, b"second factors", "sha256")))
        self._mark_key = hmac.digest(key, b"known browsers", "sha256")

    def seal(self, name: str, seed: str) -> bytes:
        """What is kept of the second factor of one person."""
        return self._fernet.encrypt(f"{seed} {name}".encode("utf-8", "surrogatepass"))

    def open(self, name: str, sealed: bytes) -> str:
        """The seed again. Raises DataError if it was sealed with another key, or for somebody else."""
        try:
            seed, _, of = self._fernet.decrypt(sealed).decode("utf-8", "surrogatepass").partition(" ")
        except InvalidToken:
            of, seed = "", ""
        if not seed or of != name:
            raise DataError(
                f"the second factor of {name} cannot be read: it was kept with another key; restore that key, or "
                f"remove the second factor: ./botctl users totp {name}"
            )
        return seed

    def mark(self, text: str) -> str:
        """A mark that only we can make."""
        return hmac.new(self._mark_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def vault_of(setting: str, data_directory: Path) -> Vault:
    """The vault of DASHBOARD_KEY, or of the key file, which is made at the first start. Raises ConfigError."""
    if setting:
        return Vault(setting.encode())
    path = data_directory / KEY_FILE
    try:
        if not path.exists():
            _write_key(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"key file {path} cannot be used ({error.strerror}); make it readable by this user"
        ) from error
    if mode & _FOR_OTHERS:
        raise ConfigError(f"key file {path} can be read by others (mode {mode:o}); next step: chmod 600 {path}")
    if len(key) < _KEY_BYTES:
        raise ConfigError(
            f"key file {path} has {len(key)} bytes, needs {_KEY_BYTES}; restore it from a backup, or remove it: then "
            "each second factor has to be set up again"
        )
    return Vault(key)


def _write_key(path: Path) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    partial.replace(path)


def new_seed() -> str:
    """160 random bits, as authenticators take them."""
    return pyotp.random_base32(_SEED_CHARACTERS)


def address_of(seed: str, name: str) -> str:
    """The address that an authenticator reads from the picture."""
    return pyotp.TOTP(seed).provisioning_uri(name=name, issuer_name=ISSUER)


def picture_of(seed: str, name: str) -> str:
    """A QR code of that address, as a data address of an SVG."""
    return segno.make(address_of(seed, name), error="m").svg_data_uri(scale=5, border=4, light="#fff")


def step_of(now: datetime) -> int:
    """The number of the 30 s in which `now` lies."""
    return int(now.timestamp()) // STEP_S


def code_of(seed: str, step: int) -> str:
    """Six digits."""
    return pyotp.TOTP(seed).generate_otp(step)


def code_matches(seed: str, code: str, now: datetime) -> bool:
    """Whether `code` is the one of this moment: it lives 30 s, by our clock."""
    given = "".join(code.split()).encode("utf-8", "surrogatepass")
    return secrets.compare_digest(given, code_of(seed, step_of(now)).encode())


def new_recovery_codes() -> Sequence[str]:
    """Ten codes, each for one use, in groups that can be read aloud."""
    texts = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    return ["-".join(each[at : at + 4] for at in range(0, len(each), 4)) for each in texts]


def recovery_digest(code: str) -> bytes:
    """What is kept of a recovery code; spaces, dashes and case do not matter."""
    plain = "".join(each for each in code.upper() if each.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
