"""Which daemon a command is about: each mode has a data directory of its own, and nobody thinks of that in a hurry."""

from pathlib import Path

import pytest

from bot.commands.status import settings_of_daemon


@pytest.fixture(autouse=True)
def nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `.env` in the working directory."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    for name in ("MODE", "DATA_DIRECTORY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _directory(*running: str, data: str | None = None) -> str:
    return settings_of_daemon(data, runs=lambda directory: directory.name in running).data_directory.name


def test_a_stop_without_a_mode_is_for_the_paper_daemon_where_no_other_runs() -> None:
    assert _directory(".botdata-paper") == ".botdata-paper"


def test_the_mode_of_the_settings_comes_first_where_its_daemon_runs() -> None:
    assert _directory(".botdata", ".botdata-paper") == ".botdata"


def test_where_no_daemon_runs_the_settings_stay_as_they_are() -> None:
    assert _directory() == ".botdata"


def test_a_daemon_of_dev_mode_is_found_although_env_says_paper(nothing_is_set: Path) -> None:
    (nothing_is_set / ".env").write_text("MODE=paper\n")

    assert _directory(".botdata") == ".botdata"
    assert _directory(".botdata", ".botdata-paper") == ".botdata-paper"


def test_a_mode_that_was_named_just_now_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "dev")

    assert _directory(".botdata-paper") == ".botdata"


def test_a_directory_that_was_named_is_obeyed() -> None:
    assert _directory(".botdata-paper", data="elsewhere") == "elsewhere"
