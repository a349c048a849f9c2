"""No secret leaves through the log, by whatever path it came in; every record becomes one line."""

import asyncio
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from bot.layer5_monitoring.logger import WAITING_LINES_MAX, Redactor, configure_logging

CANARY = "c4n4ry-7f3a/9b+1d&e"


class Output(io.StringIO):
    """A stream in memory; to look at what was logged ends the log, so that all of it is there."""

    def getvalue(self) -> str:
        logger.remove()
        return super().getvalue()


class Terminal(Output):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged as JSON, with the canary registered."""
    stream = Output()
    with configured(stream, "json"):
        yield stream


@pytest.fixture
def terminal() -> Iterator[io.StringIO]:
    """What is logged on a terminal."""
    stream = Terminal()
    with configured(stream, "auto"):
        yield stream


@contextmanager
def configured(stream: TextIO, log_format: str, *, level: str = "DEBUG") -> Iterator[None]:
    """Logs to `stream` only; loguru and logging are as before afterwards."""
    root = logging.getLogger()
    handlers, level_before = list(root.handlers), root.level
    configure_logging(level=level, log_format=log_format, redactor=Redactor([CANARY]), stream=stream)
    yield
    logger.remove()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level_before)
    for name in ("apscheduler", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def fail_with(text: str) -> None:
    raise RuntimeError(text)


def test_a_secret_in_a_message_is_hidden(log: io.StringIO) -> None:
    logger.info("connecting with {}", CANARY)

    assert CANARY not in log.getvalue()
    assert json.loads(log.getvalue())["message"] == "connecting with ***"


def test_a_secret_in_a_bound_value_is_hidden_however_deep(log: io.StringIO) -> None:
    logger.bind(call={"headers": [("x", CANARY)], CANARY: 1}, plain=CANARY).info("call")

    assert CANARY not in log.getvalue()
    assert json.loads(log.getvalue())["extra"]["plain"] == "***"


def test_a_secret_in_an_exception_and_its_cause_is_hidden(log: io.StringIO) -> None:
    try:
        try:
            fail_with(f"refused {CANARY}")
        except RuntimeError as cause:
            raise ValueError(f"with {CANARY!r}") from cause
    except ValueError:
        logger.exception("a call failed")

    line = json.loads(log.getvalue())
    assert CANARY not in log.getvalue()
    assert "RuntimeError: refused ***" in line["exception"]
    assert "ValueError: with '***'" in line["exception"]


def test_the_values_of_variables_are_not_shown_in_a_traceback(log: io.StringIO) -> None:
    local = "unregistered-9431"

    try:
        fail_with(f"{len(local)} characters")
    except RuntimeError:
        logger.exception("a call failed")

    assert "17 characters" in log.getvalue()
    assert "unregistered-9431" not in log.getvalue().replace('local = \\"unregistered-9431\\"', "")


def test_a_secret_in_the_standard_library_log_is_hidden(log: io.StringIO) -> None:
    try:
        fail_with(CANARY)
    except RuntimeError:
        logging.getLogger("aiohttp.client").exception("call to %s failed", f"https://host/?q={CANARY}")

    line = json.loads(log.getvalue())
    assert CANARY not in log.getvalue()
    assert line["logger"] == "aiohttp.client"
    assert line["message"] == "call to https://host/?q=*** failed"
    assert "RuntimeError: ***" in line["exception"]


def test_a_secret_in_a_python_warning_is_hidden(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"old option {CANARY}", stacklevel=1)

    assert CANARY not in log.getvalue()
    assert "old option ***" in log.getvalue()


async def test_a_secret_in_an_exception_that_nobody_awaited_is_hidden(log: io.StringIO) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": RuntimeError(CANARY)})

    assert CANARY not in log.getvalue()
    assert "RuntimeError: ***" in log.getvalue()


@pytest.mark.parametrize("spelled", [CANARY.replace("/", "%2F").replace("+", "%2B").replace("&", "%26")])
def test_a_secret_as_it_stands_in_an_address_is_hidden(log: io.StringIO, spelled: str) -> None:
    logger.info("GET https://host/path?q={}", spelled)

    assert spelled not in log.getvalue()


def test_a_secret_on_a_terminal_is_hidden_too(terminal: io.StringIO) -> None:
    try:
        fail_with(CANARY)
    except RuntimeError:
        logger.bind(account=CANARY).exception("with {}", CANARY)

    assert CANARY not in terminal.getvalue()
    assert "with *** account=***" in terminal.getvalue()
    assert "RuntimeError: ***" in terminal.getvalue()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer eyJhbGciOi.J9.x-y", "eyJhbGciOi.J9.x-y"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        ("sent Bearer 0123456789abcdef to the venue", "0123456789abcdef"),
        ("postgresql://bot:p@ss/w0rd@db.host:5432/bot?x=1", "p@ss/w0rd"),
        ("redis://:s3same@cache/0", "s3same"),
        ("GET /v3?api_key=AbC123&limit=5", "AbC123"),
        ("refresh_token = 'r3fr3sh me'", "r3fr3sh me"),
        ('{"password": "h0rse battery"}', "h0rse battery"),
        ("{'client_secret': 'zzz-1'}", "zzz-1"),
        ("X-SECURITY-TOKEN: 9f9f9f9f", "9f9f9f9f"),
        ("Cookie: session=abcdef012", "abcdef012"),
        ("OANDA_TOKEN=99-88-77", "99-88-77"),
    ],
)
def test_what_looks_like_a_credential_is_hidden_without_being_registered(text: str, hidden: str) -> None:
    redacted = Redactor().redact(text)

    assert hidden not in redacted
    assert "***" in redacted


@pytest.mark.parametrize(
    "text",
    [
        "unknown key: EUR_USD is not in the registry",
        "order t-81 EUR_USD: stop 1.0932 is above entry 1.0901; a BUY needs its stop below",
        "see https://example.org/docs#limits",
        "listening on http://127.0.0.1:8080",
    ],
)
def test_ordinary_sentences_are_left_as_they_are(text: str) -> None:
    assert Redactor([CANARY]).redact(text) == text


def test_a_field_named_like_a_secret_is_hidden_whole(log: io.StringIO) -> None:
    logger.bind(api_key=123456, token={"value": "abc"}, symbol="EUR_USD").info("made")

    assert json.loads(log.getvalue())["extra"] == {"api_key": "***", "token": "***", "symbol": "EUR_USD"}


def test_a_secret_registered_later_is_hidden_from_then_on() -> None:
    redactor = Redactor()
    before = redactor.redact(f"made {CANARY}")

    redactor.add(CANARY)

    assert before == f"made {CANARY}"
    assert redactor.redact(f"made {CANARY}") == "made ***"


def test_a_secret_that_contains_another_is_hidden_whole() -> None:
    assert Redactor(["abcd", "abcdefgh"]).redact("abcdefgh abcd") == "*** ***"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30), st.text(min_size=4, max_size=20), st.text(max_size=30))
def test_no_registered_secret_survives_in_any_text(before: str, secret: str, after: str) -> None:
    if secret.strip("*"):
        assert secret not in Redactor([secret]).redact(before + secret + after).replace("***", "")


def test_each_record_is_one_json_line_with_instant_level_and_logger(log: io.StringIO) -> None:
    logger.warning("two\nlines")
    logger.bind(nan=float("nan")).debug("next")

    first, second = (json.loads(line, parse_constant=pytest.fail) for line in log.getvalue().splitlines())
    assert first["message"] == "two\nlines"
    assert first["level"] == "WARNING"
    assert first["at"].endswith("+00:00")
    assert second["extra"] == {"nan": "nan"}


def test_a_terminal_gets_coloured_text_and_a_pipe_does_not(terminal: io.StringIO) -> None:
    logger.info("hello")
    pipe = Output()
    with configured(pipe, "text"):
        logger.info("hello")

    assert "\x1b[32mINFO" in terminal.getvalue()
    assert "\x1b[" not in pipe.getvalue()
    assert "hello" in pipe.getvalue()


def test_records_below_the_level_are_not_written() -> None:
    stream = Output()
    with configured(stream, "json", level="WARNING"):
        logger.info("quiet")
        logging.getLogger("library").info("quiet")
        logger.warning("loud")

    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_a_bound_value_that_cannot_be_shown_costs_its_line_not_the_caller(log: io.StringIO) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    logger.bind(value=Broken()).info("hello")

    assert CANARY not in log.getvalue()
    assert "could not be shown: RuntimeError" in log.getvalue()


def test_a_closed_output_does_not_raise_into_the_caller() -> None:
    stream = Output()
    with configured(stream, "json"):
        stream.close()
        logger.info("nobody reads this")


def test_a_standard_library_record_with_wrong_arguments_still_makes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Output()
    with configured(stream, "json"):
        logging.getLogger("library").warning("%d of %d", CANARY)

    assert json.loads(stream.getvalue())["message"] == "%d of %d (its arguments do not fit it)"
    assert CANARY not in stream.getvalue() + capsys.readouterr().err


def test_hostile_text_begins_no_line_and_moves_no_terminal(terminal: io.StringIO) -> None:
    """What venues, people and models say is logged as text (S14)."""
    logger.bind(reason="a\nb\x1b[2J").info("audit: {}", "quiet\n12:00:00 INFO bot: all is well\x1b[2J\u202e\x07")

    (line,) = terminal.getvalue().splitlines()
    assert "\x1b[2J" not in line
    assert "\u202e" not in line
    assert "\\n12:00:00 INFO bot: all is well" in line


def test_lines_that_nobody_reads_are_left_out_and_one_line_says_how_many_once_the_reader_is_back() -> None:
    # Arrange: the pipe takes some hundred lines, then the writer is held
    reading, writing = os.pipe()
    logged = WAITING_LINES_MAX + 5000

    # Act
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream, configured(stream, "json"):
        for number in range(logged):
            logger.info("line {} {}", number, "x" * 100)
        lines = [json.loads(reader.readline())]
        while "left out" not in lines[-1]["message"]:
            lines.append(json.loads(reader.readline()))
        logger.info("back")
        after = json.loads(reader.readline())

    # Assert
    *kept, note = lines
    assert [line["message"].split()[1] for line in kept] == [str(number) for number in range(len(kept))]
    assert len(kept) >= WAITING_LINES_MAX
    assert f": {logged - len(kept)} lines are left out here" in note["message"]
    assert (note["level"], note["logger"]) == ("WARNING", "bot.layer5_monitoring.logger")
    assert note["at"] > kept[-1]["at"]
    assert after["message"] == "back"
