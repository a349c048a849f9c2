"""Passwords and codes from the terminal, or from a file; never from an argument, which every process can read (S23)."""

import getpass
import sys
from pathlib import Path

from bot.errors import UsageError


def asked_password(question: str, file: Path | None) -> str:
    """What the file holds, or the person types. Raises UsageError."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"password file {file} cannot be read ({error}); name a readable one") from error
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password: name a file of it with --password-file")
    return getpass.getpass(question)


def new_password(file: Path | None) -> str:
    """The same, typed twice. Raises UsageError."""
    first = asked_password("New password: ", file)
    if file is None and getpass.getpass("Once more: ") != first:
        raise UsageError("the two are not the same; nothing was changed, try again")
    return first


def asked_code() -> str:
    """A code of the authenticator. Raises UsageError."""
    if not sys.stdin.isatty():
        raise UsageError("a code of the authenticator is needed, and there is no terminal to ask: use the page")
    return input("Code of the authenticator: ")
