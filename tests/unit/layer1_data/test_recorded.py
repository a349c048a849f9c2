"""The recordings that come with the program."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from bot.errors import DataError, UsageError
from bot.instruments import AssetClass, Symbol
from bot.layer1_data.feeds.recorded import Recording, load, packaged_recordings, recordings
from bot.models import Timeframe

ENTRY = {
    "file": "BTC-USDT_1h.csv",
    "symbol": "BTC/USDT",
    "timeframe": "1h",
    "asset_class": "crypto",
    "rows": 2,
    "first": "2024-03-01T00:00:00Z",
    "last": "2024-03-01T01:00:00Z",
    "licence": "MIT",
    "source": "made by hand",
}
LINES = "time,open,high,low,close,volume\n2024-03-01T00:00:00Z,1,2,1,2,3\n2024-03-01T01:00:00Z,2,3,2,3,4\n"


def folder_with(tmp_path: Path, entry: dict[str, object], lines: str = LINES) -> Path:
    (tmp_path / "index.json").write_bytes(orjson.dumps([entry]))
    (tmp_path / "BTC-USDT_1h.csv").write_text(lines)
    return tmp_path


def test_the_index_becomes_recordings_and_a_recording_its_candles(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**ENTRY})

    (recording,) = recordings(folder)
    series = load(recording, folder)

    assert recording == Recording(
        file="BTC-USDT_1h.csv",
        symbol=Symbol("BTC/USDT"),
        timeframe=Timeframe.H1,
        asset_class=AssetClass.CRYPTO,
        rows=2,
        first=datetime(2024, 3, 1, tzinfo=UTC),
        last=datetime(2024, 3, 1, 1, tzinfo=UTC),
        licence="MIT",
        source="made by hand",
    )
    assert (series.symbol, series.timeframe, series.close.tolist()) == (recording.symbol, Timeframe.H1, [2, 3])


@pytest.mark.parametrize("change", [{"rows": 3}, {"first": "2024-03-01T01:00:00Z"}, {"last": "2024-03-01T02:00:00Z"}])
def test_a_file_that_is_not_what_the_index_says_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    folder = folder_with(tmp_path, {**ENTRY, **change})
    (recording,) = recordings(folder)

    with pytest.raises(DataError, match=r"BTC-USDT_1h\.csv: the index says .*, the file holds 2 from 2024-03-01"):
        load(recording, folder)


def test_a_missing_or_damaged_index_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.json: cannot be read"):
        recordings(tmp_path)
    for text in (b"[{", b"[1]", b'[{"file": "x"}]', b"7"):
        (tmp_path / "index.json").write_bytes(text)
        with pytest.raises(DataError, match=r"index\.json: is damaged"):
            recordings(tmp_path)


def test_a_recording_whose_file_is_gone_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**ENTRY})
    (folder / "BTC-USDT_1h.csv").unlink()

    with pytest.raises(UsageError, match="no such file"):
        load(recordings(folder)[0], folder)


def test_every_packaged_recording_is_whole_and_long_enough_to_decide_on() -> None:
    if not (packaged_recordings() / "index.json").is_file():
        pytest.skip("no recordings in this tree")

    listed = recordings()

    assert listed
    for recording in listed:
        assert len(load(recording)) == recording.rows >= 300, recording.file
