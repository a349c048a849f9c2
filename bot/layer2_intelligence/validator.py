"""The judge: every rule on every signal, every finding kept. The only maker of Endorsed."""

from itertools import repeat
from operator import call, itemgetter
from typing import Final

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument
from bot.layer2_intelligence import evidence, rules
from bot.layer2_intelligence.rules_case import Rule, open_case
from bot.layer2_intelligence.rules_limits import limits_of
from bot.models import Endorsed, EntrySignal, FeatureSet, Finding, Quote, Vetoed

# The order is fixed: the first that fails names the rejection.
RULES: Final[tuple[Rule, ...]] = (
    rules.direction,
    rules.confidence,
    rules.fields,
    rules.stop_side,
    rules.reward_risk,
    rules.rsi_contradiction,
    rules.stop_distance,
    rules.trend_strength,
    rules.ranging_market,
    rules.confirmation,
    rules.swing_length,
    rules.rsi_magnitude,
    rules.zero_volume,
    rules.low_volume,
    rules.candle_pattern,
    *evidence.EVIDENCE,
    rules.quality_gate,
)
_STATUS: Final = itemgetter(Finding._fields.index("status"))


def judge(
    signal: EntrySignal,
    features: FeatureSet,
    quote: Quote | None,
    instrument: Instrument,
    validation: ValidationSettings,
    divergence: DivergenceSettings,
) -> Endorsed | Vetoed:
    """Hold a signal against the snapshot it was made from.

    Without a quote the price paid is the close of candle k and half the instrument's typical spread. A function of its
    arguments alone; never raises, whatever the signal holds, and never reads beyond candle k.
    """
    case = open_case(signal, features, quote, instrument, limits_of(validation, divergence))
    findings = tuple(map(call, RULES, repeat(case)))
    statuses = list(map(_STATUS, findings))
    if rules.FAIL in statuses:
        return Vetoed(signal, findings, case.score, case.left.names, findings[statuses.index(rules.FAIL)].code)
    return Endorsed(signal, findings, case.score, case.left.names)
