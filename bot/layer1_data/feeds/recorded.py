"""The recorded real candles that come with the program; `recordings/README.md` tells their sources and licences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import Final

import orjson

from bot.errors import DataError
from bot.instruments import AssetClass, Symbol
from bot.layer1_data.feeds.candle_files import read_candles
from bot.models import CandleSeries, Timeframe

_END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)  # a recording lies in the past; the index guards its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded file as the index lists it; `first` and `last` are the open instants of its outer candles."""

    file: str
    symbol: Symbol
    timeframe: Timeframe
    asset_class: AssetClass
    rows: int
    first: datetime
    last: datetime
    licence: str
    source: str


def packaged_recordings() -> Traversable:
    """The folder inside the installed package."""
    return files("bot.layer1_data") / "recordings"


def recordings(folder: Traversable | None = None) -> list[Recording]:
    """Every recording, in the order of the index. Raises DataError when the index is missing or damaged."""
    index = (folder or packaged_recordings()) / "index.json"
    try:
        return [_recording(each) for each in orjson.loads(index.read_bytes())]
    except OSError as error:
        raise DataError(f"{index}: cannot be read ({error.strerror}); install the program again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{index}: is damaged ({error!r}); install the program again") from error


def load(recording: Recording, folder: Traversable | None = None) -> CandleSeries:
    """All candles of one recording. Raises DataError if the file is not what the index says, UsageError without it."""
    with as_file((folder or packaged_recordings()) / recording.file) as path:
        series = read_candles(
            path,
            recording.symbol,
            recording.timeframe,
            asset_class=recording.asset_class,
            now=_END_OF_TIME,
        )
    found = (len(series), series.opened_at(0), series.opened_at(-1))
    if found != (recording.rows, recording.first, recording.last):
        said = f"{recording.rows} rows from {recording.first.isoformat()} to {recording.last.isoformat()}"
        holds = f"{found[0]} from {found[1].isoformat()} to {found[2].isoformat()}"
        raise DataError(f"{recording.file}: the index says {said}, the file holds {holds}; install the program again")
    return series


def _recording(entry: Mapping[str, str]) -> Recording:
    return Recording(
        file=entry["file"],
        symbol=Symbol(entry["symbol"]),
        timeframe=Timeframe(entry["timeframe"]),
        asset_class=AssetClass(entry["asset_class"]),
        rows=int(entry["rows"]),
        first=datetime.fromisoformat(entry["first"]),
        last=datetime.fromisoformat(entry["last"]),
        licence=entry["licence"],
        source=entry["source"],
    )
