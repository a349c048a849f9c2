"""Names of what can reject a signal, by code."""

from collections.abc import Mapping
from typing import Final

# In the order of judgement; the confirmation by a longer timeframe comes last and has no number.
RULE_NAMES: Final[Mapping[str, str]] = {
    "0": "direction",
    "1": "confidence",
    "2": "fields",
    "3": "stop side",
    "4": "reward:risk",
    "5": "RSI contradiction",
    "6": "stop distance",
    "7": "trend strength",
    "8": "ranging market",
    "9": "confirmation",
    "10": "swing length",
    "11": "RSI magnitude",
    "12": "zero volume",
    "13": "low volume",
    "14": "candle pattern",
    "E1": "shape",
    "E2": "times",
    "E3": "prices",
    "E4": "pivots",
    "E5": "separation",
    "E6": "price slope",
    "E7": "oscillator slope",
    "E8": "line of sight",
    "E9": "swing",
    "E10": "fresh and alive",
    "E11": "data",
    "S": "quality score",
    "MTF": "longer timeframe",
}
