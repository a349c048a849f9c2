"""How old the newest candles are, and which instruments should have newer ones: their market was open."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.instruments import BrokerId, Instrument, InstrumentRegistry, Symbol
from bot.layer1_data.quality import is_unscheduled_hole
from bot.models import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAge:
    """Candles of one length at one broker. `age_s` is the time since the newest of any symbol closed, in seconds of the
    market's clock; None while there is none. `stale` lacks more than three candles of open market, or has none."""

    broker_id: BrokerId
    timeframe: Timeframe
    age_s: float | None
    symbols: int
    stale: tuple[Symbol, ...]


def feed_ages(
    newest: Mapping[tuple[Symbol, Timeframe], datetime | None], registry: InstrumentRegistry, now: datetime
) -> list[FeedAge]:
    """Each broker and timeframe that is followed; `newest` has the open of the newest candle, as `CandleFeed` says."""
    groups: dict[tuple[BrokerId, Timeframe], dict[Symbol, datetime | None]] = {}
    for (symbol, timeframe), opened_at in newest.items():
        groups.setdefault((registry.get(symbol).broker_id, timeframe), {})[symbol] = opened_at
    found = []
    for (broker_id, timeframe), opened in groups.items():
        known = [each for each in opened.values() if each is not None]
        found.append(
            FeedAge(
                broker_id=broker_id,
                timeframe=timeframe,
                age_s=(now - max(known) - timeframe.duration).total_seconds() if known else None,
                symbols=len(opened),
                stale=tuple(each for each, at in opened.items() if _is_late(registry.get(each), timeframe, at, now)),
            )
        )
    return found


def _is_late(instrument: Instrument, timeframe: Timeframe, opened_at: datetime | None, now: datetime) -> bool:
    if opened_at is None:
        return True
    newest_s, now_s = int(opened_at.timestamp()), int(now.timestamp())
    return is_unscheduled_hole(newest_s, now_s, timeframe, instrument.asset_class)
