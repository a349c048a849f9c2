"""The settings as the rules use them: plain numbers beside the limit texts of the findings, made once."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import BINANCE, IG, OANDA, BrokerId
from bot.layer2_intelligence.indicators.divergence import least_difference
from bot.layer2_intelligence.indicators.setups import FAMILIES
from bot.models import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Both settings sections and what follows from them. A tuple is the bounds of one rule and their text.

    Plain slots, because a rule reads one in a tenth of the time that a field of a settings section takes.
    """

    least_confidence: Mapping[BrokerId, tuple[float, str]]
    least_confidence_elsewhere: tuple[float, str]
    reward_risk: tuple[Decimal, str]
    counting_target: str
    rsi_contradiction: tuple[float, float, str]
    stop_distance: tuple[Decimal, Decimal, str]
    trend_strength: tuple[float, str]
    ranging_market: tuple[float, str]
    confirmation: tuple[int, str]
    families_confirm: bool
    swing_long_candles: tuple[int, str]
    swing_short_candles: tuple[int, str]
    rsi_magnitude: tuple[float, str]
    rsi_magnitude_always: bool
    zero_volume: tuple[float, str]
    low_volume: tuple[float, str]
    pattern_required: bool
    quality: tuple[float, str]
    times: str
    separation: tuple[int, int, str]
    price_slope: tuple[float, str]
    swing_move: tuple[float, str]
    left: int
    right: int
    confirm: int
    osc_win: int
    osc_turn: bool
    least_difference: Mapping[str, tuple[float, float]]  # what counts, and what E7 asks for

    def confidence(self, broker_id: BrokerId) -> tuple[float, str]:
        """Least confidence at one broker."""
        return self.least_confidence.get(broker_id, self.least_confidence_elsewhere)

    def swing(self, timeframe_s: int) -> tuple[int, str]:
        """Fewest candles between the pivots on one timeframe."""
        return self.swing_long_candles if timeframe_s >= _FOUR_HOURS_S else self.swing_short_candles


_FOUR_HOURS_S: Final = Timeframe.H4.seconds


@lru_cache(maxsize=16)  # a sweep alternates between a few settings; both sections are frozen
def limits_of(validation: ValidationSettings, divergence: DivergenceSettings) -> Limits:
    """The limits that two settings sections come to."""
    v, d = validation, divergence
    by_broker = {BINANCE: v.min_confidence_binance, OANDA: v.min_confidence_oanda, IG: v.min_confidence_ig}
    overbought, oversold = v.rsi_overbought, v.rsi_oversold
    return Limits(
        least_confidence={broker_id: _confidence(least) for broker_id, least in by_broker.items() if least is not None},
        least_confidence_elsewhere=_confidence(v.min_confidence),
        reward_risk=(v.min_risk_reward, f">= {v.min_risk_reward}"),
        counting_target=v.rr_target,
        rsi_contradiction=(overbought, oversold, f"< {overbought:g} for a long, > {oversold:g} for a short"),
        stop_distance=(v.min_atr_multiple, v.max_atr_multiple, f"{v.min_atr_multiple} to {v.max_atr_multiple} ATR"),
        trend_strength=(v.min_adx, f">= {v.min_adx:g}"),
        ranging_market=(v.min_bandwidth_ratio, f">= {v.min_bandwidth_ratio:g} of its median"),
        confirmation=(v.min_confirming_indicators, f">= {v.min_confirming_indicators} {v.confirm_by}"),
        families_confirm=v.confirm_by == "families",
        swing_long_candles=_candles(v.min_swing_bars_4h),
        swing_short_candles=_candles(v.min_swing_bars_1h),
        rsi_magnitude=(v.min_divergence_magnitude_rsi, f">= {v.min_divergence_magnitude_rsi:g} points"),
        rsi_magnitude_always=v.rsi_magnitude_when == "always",
        zero_volume=(
            v.near_zero_volume_ratio,
            f"> {v.near_zero_volume_ratio:g} of its mean, 10 of 20 candles with volume",
        ),
        low_volume=(v.volume_low_threshold, f">= {v.volume_low_threshold:g} of its mean"),
        pattern_required=v.require_candle_pattern,
        quality=(v.min_divergence_score, f">= {v.min_divergence_score:g}"),
        times=f"candles of the snapshot, p1 < p2 <= k - {d.confirm}",
        separation=(d.min_sep, d.max_sep, f"{d.min_sep} to {d.max_sep} candles"),
        price_slope=(d.min_price_atr, f"> {d.min_price_atr:g} ATR the claimed way"),
        swing_move=(d.min_swing_atr, f">= {d.min_swing_atr:g} ATR"),
        left=d.left,
        right=d.right,
        confirm=d.confirm,
        osc_win=d.osc_win,
        osc_turn=d.osc_turn,
        least_difference={name: _differences(name, d) for name in FAMILIES},
    )


def _confidence(least: float) -> tuple[float, str]:
    return least, f"{least:g} to 1"


def _differences(name: str, divergence: DivergenceSettings) -> tuple[float, float]:
    least = least_difference(name, divergence)
    return least, 0.0 if name == "rsi" else least  # how much RSI must differ is rule 11's business


def _candles(least: int) -> tuple[int, str]:
    return least, f">= {least} candles"
