"""The log: JSON lines for machines, coloured text for a terminal, and no secret in either.

Every line passes the redactor at the last step, so it does not matter how a secret came in: in the message, a bound
value, an exception's text, or through a library that uses the standard `logging`.

Who logs never waits for who reads: a thread of its own writes, and lines that it has no room for are left out and
counted (a pager, Ctrl-S, a log driver that stalls).
"""

import json
import logging
import math
import os
import re
import select
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO, cast
from urllib.parse import quote, quote_plus

from loguru import logger

from bot.config import mask_url_passwords

if TYPE_CHECKING:
    from loguru import Message, Record

_HIDDEN: Final = "***"
_MIN_SECRET_LENGTH: Final = 4  # hiding each "abc" or "1" would leave no readable line
_MAX_DEPTH: Final = 6
WAITING_LINES_MAX: Final = 10_000  # some megabytes
_LAST_LINES_S: Final = 1.0  # an orderly end waits as long for a reader
_CREDENTIALS: Final = r"(?:key|token|secret|passw(?:or)?d|passphrase|signature|credential)s?"
_VALUE: Final = r"""(?:"[^"]*"|'[^']*'|[^\s"',;&)\]}]+)"""
_PATTERNS: Final = (
    # Authorization: Bearer abc; Cookie: a=b; X-SECURITY-TOKEN: abc; also inside the repr of a headers mapping
    re.compile(
        r"""(?i)(\b(?:(?:proxy-)?authorization|(?:set-)?cookie|cst|x-[\w-]{0,40}(?:key|token))["']?\s*[:=]\s*["']?)"""
        r"""(?:(?:bearer|basic|digest)\s+)?[^\s"',]+"""
    ),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"),
    # token=abc, "api_key": "abc"; with a colon only after a quote, or "unknown key: EUR_USD" would be hidden too
    re.compile(rf"(?i)({_CREDENTIALS}(?:[\"']\s*:\s*|[\"']?\s*=\s*)){_VALUE}"),
)
_SECRET_FIELD: Final = re.compile(rf"(?i){_CREDENTIALS}$|^authorization$|cookie$")
_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_COLOUR_END: Final = "\x1b[0m"
# Each speaks in our own words elsewhere (apscheduler: bot/scheduler.py), or is too chatty below this level.
_LIBRARY_LEVELS: Final = {
    "apscheduler": logging.CRITICAL,
    "aiohttp.access": logging.WARNING,
    "httpx": logging.WARNING,  # it logs every address, and that of Telegram holds the token
    "httpcore": logging.WARNING,
    "httpx2": logging.WARNING,  # anthropic's
    "httpcore2": logging.WARNING,
    "anthropic": logging.WARNING,
    "asyncio": logging.WARNING,
    "urllib3": logging.WARNING,
}


class Redactor:
    """Hides the secrets it was told, in their usual spellings, and whatever looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Hide these too from now on; those shorter than 4 characters are left out."""
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_LENGTH:
                self._spellings |= _spellings(secret)
        if self._spellings:
            longest_first = sorted(self._spellings, key=lambda each: (-len(each), each))
            self._known = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(_HIDDEN, text)
        if "://" in text and "@" in text:
            text = mask_url_passwords(text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{_HIDDEN}", text)
        return text

    def redact_value(self, value: object, *, name: str = "", depth: int = 0) -> object:
        """`value` as JSON types without secrets; a field whose `name` says that it is one is hidden whole."""
        if value is None or isinstance(value, bool):
            return value
        if _SECRET_FIELD.search(name):
            return _HIDDEN
        if isinstance(value, int | float):
            return value if math.isfinite(value) else str(value)  # JSON knows no NaN
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            return {
                self.redact(str(key)): self.redact_value(each, name=str(key), depth=depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
            return [self.redact_value(each, depth=depth + 1) for each in value]
        return self.redact(str(value))


def configure_logging(*, level: str, log_format: str, redactor: Redactor, stream: TextIO) -> None:
    """Send loguru's and the standard library's records to `stream`, and nowhere else.

    `log_format`: json, text, or auto (text on a terminal). Tracebacks never show the values of variables.
    `logger.remove()`, which loguru calls when Python ends, waits about a second until all is written.
    """
    on_terminal = stream.isatty()
    form = _as_text if log_format == "text" or (log_format == "auto" and on_terminal) else _as_json
    sink = _Sink(stream, redactor, form, colour=on_terminal)
    logger.remove()
    logger.add(sink, level=level, format=lambda record: "", backtrace=False, diagnose=False, catch=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=level, force=True)
    logging.captureWarnings(True)
    for name, least in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(least)


class _Sink:
    """Makes one line per record. Never raises: a log that fails must not stop a position from being managed."""

    def __init__(
        self,
        stream: TextIO,
        redactor: Redactor,
        form: "Callable[[Record, Redactor, bool], str]",
        *,
        colour: bool,
    ) -> None:
        self._redactor = redactor
        self._form = form
        self._colour = colour
        self._writer = _Writer(_output(stream))

    def write(self, message: "Message") -> None:
        """Called by loguru for each record."""
        self._writer.put(self._line(message.record), partial(self._left_out, message.record))

    def stop(self) -> None:
        """Called by loguru in the end."""
        self._writer.stop()

    def _line(self, record: "Record") -> str:
        try:
            return self._form(record, self._redactor, self._colour) + "\n"
        except Exception as error:  # an edge: the str() of a bound value may do anything
            said = f"a log record could not be shown: {type(error).__name__}"
            return json.dumps({"level": "ERROR", "message": said}) + "\n"

    def _left_out(self, last: "Record", count: int) -> str:
        """Stands for `count` lines; its instant is that of the last of them."""
        told: dict[str, object] = {
            "level": logger.level("WARNING"),
            "name": __name__,
            "message": f"the log was not read: {count} lines are left out here, the last one of this instant",
            "extra": {},
            "exception": None,
        }
        return self._line(cast("Record", {**last, **told}))


class _Writer:
    """Writes lines in a thread. There is room for a number of them; then lines are left out until half have gone."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: deque[str] = deque()
        self._left_out = 0
        self._note: Callable[[int], str] = str
        self._is_writing = False
        self._is_over = False
        self._changed = threading.Condition()  # reentrant: garbage collection may log while we hold it
        # A daemon: a reader that never comes back does not hold the end of the process.
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def put(self, line: str, note: Callable[[int], str]) -> None:
        """Have it written, or left out; `note` makes the line that then stands for those left out up to it."""
        with self._changed:
            if len(self._lines) >= (WAITING_LINES_MAX // 2 if self._left_out else WAITING_LINES_MAX):
                self._left_out += 1
                self._note = note
                return
            self._note_what_is_left_out()
            self._lines.append(line)
            self._changed.notify_all()

    def stop(self) -> None:
        """Write what waits, or give it up after a second."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._lines or self._left_out or self._is_writing), _LAST_LINES_S)
            self._is_over = True
            self._changed.notify_all()

    def _run(self) -> None:
        while lines := self._next():
            try:
                self._write(lines)
            except (OSError, ValueError):
                continue  # the reader of our output has gone

    def _next(self) -> str:
        """All that waits, when something does; nothing in the end."""
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._left_out or self._is_over)
            if not self._lines:
                self._note_what_is_left_out()
            lines = "".join(self._lines)
            self._lines.clear()
            self._is_writing = True
            return "" if self._is_over else lines

    def _note_what_is_left_out(self) -> None:
        if self._left_out:
            self._lines.append(self._note(self._left_out))
            self._left_out = 0


def _output(stream: TextIO) -> Callable[[str], None]:
    """Writes to the file below `stream`, if there is one: Python aborts at its end when it finds a thread that is
    inside the stream itself."""
    try:
        stream.fileno()
    except (OSError, ValueError):  # in memory
        return partial(_write_stream, stream)
    return partial(_write_file, stream)


def _write_stream(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _write_file(stream: TextIO, text: str) -> None:
    rest = memoryview(text.encode(stream.encoding, "backslashreplace"))
    while rest:
        try:
            rest = rest[os.write(stream.fileno(), rest) :]
        except BlockingIOError:  # whoever shares the terminal with us may have asked it not to wait
            waiting = select.poll()
            waiting.register(stream.fileno(), select.POLLOUT)
            waiting.poll()


class _ToLoguru(logging.Handler):
    """Hands records of the standard library's logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} (its arguments do not fit it)"
        level: str | int = record.levelname if record.levelname in _LEVEL_NAMES else record.levelno

        def name_it(ours: "Record") -> None:
            ours["name"] = record.name

        logger.patch(name_it).opt(exception=record.exc_info).log(level, "{}", text.rstrip())


_LEVEL_NAMES: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


def _as_json(record: "Record", redactor: Redactor, colour: bool) -> str:
    line: dict[str, object] = {
        "at": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "logger": record["name"],
        "message": redactor.redact(record["message"]),
    }
    if record["extra"]:
        line["extra"] = redactor.redact_value(record["extra"])
    if record["exception"] is not None:
        line["exception"] = redactor.redact(_traceback(record))
    return json.dumps(line)


def _as_text(record: "Record", redactor: Redactor, colour: bool) -> str:
    level = record["level"].name
    shown = f"{level:<8}"
    if colour:
        shown = f"{_COLOURS.get(level, _COLOURS['ERROR'])}{shown}{_COLOUR_END}"
    bound = redactor.redact_value(record["extra"])
    extra = "".join(f" {name}={value}" for name, value in bound.items()) if isinstance(bound, dict) else ""
    at = f"{record['time'].astimezone(UTC):%H:%M:%S.%f}"
    said = _in_one_line(f"{record['name']}: {redactor.redact(record['message'])}{extra}")
    line = f"{at} {shown} {said}"
    return f"{line}\n{redactor.redact(_traceback(record)).rstrip()}" if record["exception"] is not None else line


def _in_one_line(text: str) -> str:
    """What venues, people and models say must begin no line of its own, and move no cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _traceback(record: "Record") -> str:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return ""
    return "".join(traceback.format_exception(exception.type, exception.value, exception.traceback))


def _spellings(secret: str) -> set[str]:
    """How a secret may stand in a text: raw, in an address, in JSON, in a repr."""
    return {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
