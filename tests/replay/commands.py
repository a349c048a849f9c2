"""What the tests of the inspecting commands share: a quiet place to run them in, and candles as files."""

from importlib.resources import files
from pathlib import Path

import pytest

from bot.layer1_data.feeds.candle_files import write_candles
from bot.models import CandleSeries

EURO = Path(str(files("bot.layer1_data") / "recordings" / "EUR_USD_1h.csv.gz"))
APPLE = Path(str(files("bot.layer1_data") / "recordings" / "AAPL_1d.csv.gz"))


def settle_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory with default settings."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")


def as_file(series: CandleSeries, path: Path) -> Path:
    """The series as a CSV file."""
    write_candles(path, series)
    return path
