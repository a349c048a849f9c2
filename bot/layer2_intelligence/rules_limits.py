"""The settings as the rules use them: numbers looked up by name, and the limit texts of the findings, made once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import BINANCE, IG, OANDA, BrokerId
from bot.layer2_intelligence.indicators.divergence import least_difference
from bot.layer2_intelligence.indicators.setups import FAMILIES
from bot.models import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Both settings sections and what follows from them. A pair is a bound and its text."""

    validation: ValidationSettings
    divergence: DivergenceSettings
    least_confidence: Mapping[BrokerId, tuple[float, str]]
    least_confidence_elsewhere: tuple[float, str]
    swing_long_candles: tuple[int, str]
    swing_short_candles: tuple[int, str]
    least_difference: Mapping[str, float]
    texts: Mapping[str, str]

    def confidence(self, broker_id: BrokerId) -> tuple[float, str]:
        """Least confidence at one broker."""
        return self.least_confidence.get(broker_id, self.least_confidence_elsewhere)

    def swing(self, timeframe: Timeframe) -> tuple[int, str]:
        """Fewest candles between the pivots on one timeframe."""
        return self.swing_long_candles if timeframe.seconds >= _FOUR_HOURS_S else self.swing_short_candles


_FOUR_HOURS_S: Final = Timeframe.H4.seconds


@lru_cache(maxsize=16)  # a sweep alternates between a few settings; both sections are frozen
def limits_of(validation: ValidationSettings, divergence: DivergenceSettings) -> Limits:
    """The limits that two settings sections come to."""
    by_broker = {
        BINANCE: validation.min_confidence_binance,
        OANDA: validation.min_confidence_oanda,
        IG: validation.min_confidence_ig,
    }
    return Limits(
        validation=validation,
        divergence=divergence,
        least_confidence={broker_id: _confidence(least) for broker_id, least in by_broker.items() if least is not None},
        least_confidence_elsewhere=_confidence(validation.min_confidence),
        swing_long_candles=(validation.min_swing_bars_4h, f">= {validation.min_swing_bars_4h} candles"),
        swing_short_candles=(validation.min_swing_bars_1h, f">= {validation.min_swing_bars_1h} candles"),
        least_difference={name: least_difference(name, divergence) for name in FAMILIES},
        texts={**_rule_texts(validation), **_evidence_texts(divergence)},
    )


def _confidence(least: float) -> tuple[float, str]:
    return least, f"{least:g} to 1"


def _rule_texts(validation: ValidationSettings) -> dict[str, str]:
    return {
        "4": f">= {validation.min_risk_reward}",
        "5": f"< {validation.rsi_overbought:g} for a long, > {validation.rsi_oversold:g} for a short",
        "6": f"{validation.min_atr_multiple} to {validation.max_atr_multiple} ATR",
        "7": f">= {validation.min_adx:g}",
        "8": f">= {validation.min_bandwidth_ratio:g} of its median",
        "9": f">= {validation.min_confirming_indicators} {validation.confirm_by}",
        "11": f">= {validation.min_divergence_magnitude_rsi:g} points",
        "12": f"> {validation.near_zero_volume_ratio:g} of its mean, 10 of 20 candles with volume",
        "13": f">= {validation.volume_low_threshold:g} of its mean",
        "S": f">= {validation.min_divergence_score:g}",
    }


def _evidence_texts(divergence: DivergenceSettings) -> dict[str, str]:
    return {
        "E2": f"candles of the snapshot, p1 < p2 <= k - {divergence.confirm}",
        "E5": f"{divergence.min_sep} to {divergence.max_sep} candles",
        "E6": f"> {divergence.min_price_atr:g} ATR the claimed way",
        "E9": f">= {divergence.min_swing_atr:g} ATR",
    }
