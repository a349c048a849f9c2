"""`botctl check-config`: what is told beside the settings themselves."""

from pathlib import Path

import pytest

from bot.cli import main


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_a_misspelt_name_in_the_environment_is_a_warning_and_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RISK_PER_TRAD", "1")

    code = main(["check-config"])

    told = capsys.readouterr()
    assert code == 0
    assert "All settings are valid" in told.out
    assert told.err == ("warning: environment: RISK_PER_TRAD is not a setting; did you mean RISK_PER_TRADE_RATIO?\n")


def test_without_a_misspelt_name_there_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config"]) == 0
    assert capsys.readouterr().err == ""
