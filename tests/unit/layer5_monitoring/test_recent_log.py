"""The newest lines of the log in memory: bounded, filtered, and without secrets."""

import pytest
from loguru import logger

from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.recent_log import RecentLog

SECRET = "CANARY-4711-secret"


@pytest.fixture
def log() -> RecentLog:
    return RecentLog(Redactor([SECRET]).redact)


def texts(log: RecentLog, limit: int = 9, least: str = "DEBUG", holds: str = "") -> list[str]:
    return [each.text for each in log.newest(limit, least=least, holds=holds)]


def test_the_newest_line_comes_first_and_the_level_and_the_text_choose(log: RecentLog) -> None:
    with log.kept("DEBUG"):
        logger.debug("one")
        logger.info("two Fish")
        logger.warning("three fish")
        logger.error("four")
    logger.error("after the end")

    assert texts(log) == ["four", "three fish", "two Fish", "one"]
    assert texts(log, least="WARNING") == ["four", "three fish"]
    assert texts(log, holds="FISH") == ["three fish", "two Fish"]
    assert texts(log, 1) == ["four"]
    assert texts(log, holds="nowhere") == []


def test_the_list_goes_on_before_the_last_line_that_was_read(log: RecentLog) -> None:
    with log.kept():
        for number in range(5):
            logger.info("line {}", number)

    first = log.newest(2, least="INFO")
    second = log.newest(9, least="INFO", before=first[-1].number)

    assert [each.text for each in (*first, *second)] == ["line 4", "line 3", "line 2", "line 1", "line 0"]


def test_lines_below_the_level_that_is_kept_are_not_there(log: RecentLog) -> None:
    with log.kept("WARNING"):
        logger.info("chatter")
        logger.warning("late")
    assert texts(log) == ["late"]


def test_warnings_are_kept_also_where_only_errors_are_logged(log: RecentLog) -> None:
    with log.kept("ERROR"):
        logger.warning("late")
    assert texts(log) == ["late"]


def test_chatter_is_bounded_and_pushes_no_warning_out(log: RecentLog) -> None:
    with log.kept():
        logger.warning("early")
        for number in range(3_000):
            logger.info("chatter {}", number)

    assert len(texts(log, 9_999)) == 1_001
    assert texts(log, 9_999)[-1] == "early"
    assert texts(log, least="WARNING") == ["early"]


def test_no_secret_is_kept_whichever_way_it_came_in(log: RecentLog) -> None:
    with log.kept():
        logger.warning("refused key {}", SECRET)
        logger.warning("x" * 1_990 + SECRET)
        try:
            raise ValueError(f"no such token={SECRET}")
        except ValueError:
            logger.exception("a call failed")

    assert "CANARY" not in repr(log.newest(9))
    assert texts(log)[0].startswith("a call failed (ValueError: no such token=***")
    assert all(len(each) <= 2_000 for each in texts(log))


def test_a_level_of_a_library_that_we_do_not_know_is_shown_as_information(log: RecentLog) -> None:
    with log.kept():
        logger.log(25, "notice")
    assert [each.level for each in log.newest(9, least="INFO")] == ["INFO"]


def test_a_line_for_a_phone_is_short(log: RecentLog) -> None:
    with log.kept():
        logger.warning("y" * 500)
    (line,) = log.newest(1)
    assert line.short.startswith(f"{line.at:%H:%M:%S} WARNING yyy")
    assert len(line.short) == 200
