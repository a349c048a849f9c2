"""`botctl pause|flatten|halt|resume` where no database is reached: the file, and what is refused."""

from pathlib import Path

import pytest

from bot.cli import main


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory on which no daemon runs."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("level", ["pause", "flatten", "halt"])
def test_without_a_daemon_the_file_is_written_and_says_when_it_counts(
    data: Path, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([level, "--data", str(data)]) == 0
    assert (data / "KILL").read_text() == f"{level}\n"
    told = capsys.readouterr()
    assert "when it starts" in told.out
    assert "no daemon runs here" in told.err


def test_with_a_database_that_is_down_the_file_is_written_too(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bot:canary-secret@127.0.0.1:1/bot")
    assert main(["halt", "--data", str(data), "--reason", "hurry"]) == 0
    assert (data / "KILL").read_text() == "halt\n"
    told = capsys.readouterr()
    assert "127.0.0.1" in told.err
    assert "canary-secret" not in told.out + told.err


def test_what_is_pressed_later_stands_besides_what_was_pressed_before(data: Path) -> None:
    main(["halt", "--data", str(data)])
    assert main(["flatten", "--data", str(data)]) == 0
    assert (data / "KILL").read_text() == "halt\nflatten\n"


def test_a_directory_that_cannot_be_written_is_an_error_with_the_next_step(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["halt", "--data", str(data / "gone")]) == 7
    assert "cannot be written" in capsys.readouterr().err


def test_resume_without_a_daemon_changes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pause", "--data", str(data)])
    assert main(["resume", "--data", str(data)]) == 6
    assert (data / "KILL").exists()
    assert "botctl run" in capsys.readouterr().err
