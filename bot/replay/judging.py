"""A signal written by hand, judged like any other.

The signal and its quote are what is judged: they may hold anything, and what is no number, time or name reaches the
rules as it is and fails them. Instrument and settings are the frame of the question: they must be right, or it is not
asked. Nothing here trusts the text: numbers are read as decimals, NaN and infinity are numbers that no rule passes.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, cast

from pydantic import ValidationError

from bot.config import DivergenceSettings, Section, Settings, ValidationSettings
from bot.config.sections import CROSS_CHECKS
from bot.errors import ConfigError, DataError, UsageError
from bot.instruments import AssetClass, BrokerId, Currency, Instrument, InstrumentRegistry, Spread, Symbol
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.validator import judge
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    Endorsed,
    EntrySignal,
    Quote,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
    Verdict,
    Vetoed,
)

TOP_LEVEL: Final = ("signal", "quote", "instrument", "settings")
_NOT_WRITTEN: Final = ""  # stands for a field that is not there: of no type that a rule takes
_EARLIEST_STAMP: Final = 100_000_000  # of seconds, in 1973; a smaller number is no time
_MILLISECONDS_FROM: Final = 100_000_000_000  # as seconds this would be the year 5138
_NO_BROKER: Final = BrokerId("")
_DIRECTIONS: Final[Mapping[str, Direction | None]] = {"long": Direction.LONG, "short": Direction.SHORT, "none": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a file asks: a signal beside its quote, for an instrument, under settings. `signal` is still unread."""

    signal: Mapping[str, object]
    quote: object
    instrument: Instrument
    validation: ValidationSettings
    divergence: DivergenceSettings


def parse_question(text: bytes, name: str, registry: InstrumentRegistry, settings: Settings) -> Question:
    """Read a file's text; `name` is its name in messages.

    Raises DataError for what is no JSON object with the four keys or names no instrument, ConfigError for settings.
    """
    try:
        content = json.loads(
            text, parse_float=_fraction, parse_int=_whole_number, parse_constant=Decimal, object_pairs_hook=_object
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{name}: is not readable JSON ({error}); correct it") from error
    if not isinstance(content, dict):
        raise DataError(f"{name}: holds {_kind(content)}, not an object with the keys {', '.join(TOP_LEVEL)}")
    missing = [key for key in TOP_LEVEL if key not in content]
    if missing:
        raise DataError(f"{name}: key {missing[0]!r} is missing; it needs {', '.join(TOP_LEVEL)}")
    overridden = settings_with(content["settings"], name, settings)
    signal = content["signal"]
    return Question(
        signal=signal if isinstance(signal, dict) else {},
        quote=content["quote"],
        instrument=_instrument(content["instrument"], name, registry),
        validation=overridden.validation,
        divergence=overridden.divergence,
    )


def snapshot(series: CandleSeries, until: int, rows: int) -> CandleSeries:
    """Candles `until-rows+1..until`, or from the first one where there are not that many. Raises UsageError."""
    if not 0 <= until < len(series):
        raise UsageError(f"--until {until}: the file has the candles 0 to {len(series) - 1}; name one of them")
    if rows < 1:
        raise UsageError(f"--rows {rows} must be at least 1")
    return series.slice(max(0, until + 1 - rows), until + 1)


def answer(question: Question, candles: CandleSeries) -> Verdict:
    """The judgement on the newest of `candles`. Never raises for what the signal or the quote hold."""
    features = BatchFeatures(candles, question.divergence, question.validation.bandwidth_lookback)
    newest = len(candles) - 1
    signal = _signal(question, candles.closed_at(newest))
    quote = _quote(question.quote, question.instrument.symbol, candles.closed_at(newest))
    return judge(signal, features.at(newest), quote, question.instrument, question.validation, question.divergence)


def verdict_json(verdict: Endorsed | Vetoed) -> dict[str, Any]:
    """The answer as JSON types: all 27 rows; a measured NaN or infinity is None."""
    return {
        "rows": [[each.code, each.status.value, _plain(each.measured)] for each in verdict.findings],
        "score": _plain(verdict.score),
        "rejected_by": verdict.rejected_by if isinstance(verdict, Vetoed) else None,
        "left": list(verdict.oscillators_left),
    }


def true_prices(signal: EntrySignal, candles: CandleSeries) -> str:
    """What the candles that a claim names really show: their lows (long) or highs (short), and the newest close."""
    if signal.claim is None or signal.direction is None:
        return ""
    name, column = ("low", candles.low) if signal.direction is Direction.LONG else ("high", candles.high)
    shown = []
    for instant in (signal.claim.p1_at, signal.claim.p2_at):
        written: object = instant  # by hand it may be anything
        stamp = written.timestamp() if isinstance(written, datetime) else math.nan
        values = column[candles.opened_at_s == stamp].tolist()
        shown.append(f"{name} {values[0]:.10g}" if values else "no candle")
    return f"{' and '.join(shown)}, close {candles.close[-1]:.10g}"


def _plain(measured: float | str) -> float | str | None:
    return None if isinstance(measured, float) and not math.isfinite(measured) else measured


# ----------------------------------------------------------------------------------------------------- reading JSON


def _whole_number(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 14 else Decimal(digits)  # longer ones cost time squared, and are no price


def _fraction(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError:  # an exponent of twenty digits
        return Decimal("NaN")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Raises ValueError for a name that stands twice: nobody could say which value was judged."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return found


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


# ------------------------------------------------------------------------------------------------- the signal, as it is


def _signal(question: Question, closed_at: datetime) -> EntrySignal:
    """The signal with each field as its type if it can be that, else as it was written: the rules then fail it."""
    written, instrument = question.signal, question.instrument
    fields: dict[str, Any] = {
        "symbol": written.get("symbol", _NOT_WRITTEN),
        "timeframe": _member(Timeframe, written.get("timeframe", _NOT_WRITTEN)),
        "direction": _direction(written.get("direction", _NOT_WRITTEN)),
        "entry": _decimal(written.get("entry", _NOT_WRITTEN)),
        "stop_loss": _decimal(written.get("stop_loss", _NOT_WRITTEN)),
        "targets": _tuple(written.get("targets", _NOT_WRITTEN), _decimal),
        "confidence": _float(written.get("confidence", _NOT_WRITTEN)),
    }
    claim: dict[str, Any] = {
        "kind": _member(DivergenceKind, written.get("kind", _NOT_WRITTEN)),
        "oscillators": _tuple(written.get("oscillators", _NOT_WRITTEN), lambda each: each),
        "p1_at": _instant(written.get("p1_time", _NOT_WRITTEN)),
        "p2_at": _instant(written.get("p2_time", _NOT_WRITTEN)),
        "p1_price": _decimal(written.get("p1_price", _NOT_WRITTEN)),
        "p2_price": _decimal(written.get("p2_price", _NOT_WRITTEN)),
    }
    return EntrySignal(
        id=SignalId("by-hand"),
        task_id=TaskId("by-hand"),
        strategy=StrategyName("divergence"),
        broker_id=instrument.broker_id,
        candle_closed_at=closed_at,
        claim=DivergenceClaim(**claim),
        analyst="by hand",
        **fields,
    )


def _decimal(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _float(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _direction(value: object) -> object:
    return _DIRECTIONS[value] if isinstance(value, str) and value in _DIRECTIONS else value or _NOT_WRITTEN


def _member(kind: type[Timeframe] | type[DivergenceKind], value: object) -> object:
    known = {each.value: each for each in kind}
    return known.get(value, value) if isinstance(value, str) else value


def _tuple(value: object, each_as: Callable[[object], object]) -> object:
    return tuple(each_as(item) for item in value) if isinstance(value, list) else value


def _instant(value: object) -> object:
    """Times are ISO-8601 (UTC without an offset), or whole seconds or milliseconds since 1970, as in candle files."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= _EARLIEST_STAMP:
        return datetime.fromtimestamp(value / (1_000 if value >= _MILLISECONDS_FROM else 1), UTC)
    if not isinstance(value, str):
        return value
    try:
        instant = datetime.fromisoformat(value.strip())
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return value


def _quote(value: object, symbol: Symbol, at: datetime) -> Quote:
    """Bid and ask. What cannot be read is not replaced by a guess: it is NaN, and the rules on prices fail."""
    pair = [_decimal(each) for each in value] if isinstance(value, list) else []
    if len(pair) != 2 or not all(isinstance(each, Decimal) and each.is_finite() for each in pair):
        pair = [Decimal("NaN")] * 2  # half a quote is none: its other half cannot be trusted either
    bid, ask = cast("list[Decimal]", pair)
    return Quote(symbol=symbol, bid=bid, ask=ask, at=at)


# -------------------------------------------------------------------------------------------------- the frame, checked


def _instrument(value: object, name: str, registry: InstrumentRegistry) -> Instrument:
    """A registered instrument with these four facts, or one of its own. Raises DataError."""
    if not isinstance(value, dict):
        raise DataError(
            f"{name}: instrument is {_kind(value)}, not an object with symbol, asset_class, tick, has_volume"
        )
    for key in ("symbol", "asset_class", "tick", "has_volume"):
        if key not in value:
            raise DataError(f"{name}: key 'instrument.{key}' is missing")
    symbol, tick, has_volume = value["symbol"], _decimal(value["tick"]), value["has_volume"]
    classes = [each.value for each in AssetClass]
    if not isinstance(symbol, str) or not symbol:
        raise DataError(f"{name}: instrument.symbol is {_kind(symbol)}, not a name")
    if value["asset_class"] not in classes:
        raise DataError(f"{name}: instrument.asset_class is {value['asset_class']!r}; use one of {', '.join(classes)}")
    if not isinstance(tick, Decimal) or not tick.is_finite() or tick <= 0:
        raise DataError(f"{name}: instrument.tick is {value['tick']!r}; it must be a number above 0")
    if not isinstance(has_volume, bool):
        raise DataError(f"{name}: instrument.has_volume is {has_volume!r}; it must be true or false")
    asset_class = AssetClass(value["asset_class"])
    base = registry.get(symbol) if symbol in registry else _unregistered(symbol, tick)
    return replace(base, asset_class=asset_class, tick=tick, has_volume=has_volume)


def _unregistered(symbol: str, tick: Decimal) -> Instrument:
    return Instrument(
        symbol=Symbol(symbol),
        broker_id=_NO_BROKER,
        asset_class=AssetClass.CRYPTO,
        venue_symbol=symbol,
        tick=tick,
        pip=tick,
        quantity_step=Decimal(1),
        min_quantity=Decimal(1),
        base_currency=Currency(symbol),
        quote_currency=Currency(""),
        typical_spread=Spread(),
    )


def settings_with(value: object, name: str, settings: Settings) -> Settings:
    """`settings` with the overrides of a file. `min_osc` may be written as one object, as the specification does."""
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: settings is {_kind(value)}, not an object of names and values")
    written = {key: each for key, each in value.items() if key != "min_osc"}
    if isinstance(value.get("min_osc"), dict):
        written |= {f"min_osc_{key}": each for key, each in cast("dict[str, object]", value["min_osc"]).items()}
    elif "min_osc" in value:
        raise ConfigError(f"{name}: settings.min_osc is {_kind(value['min_osc'])}, not an object of oscillators")
    sections: dict[str, Section] = {"validation": settings.validation, "divergence": settings.divergence}
    known = [field for section in sections.values() for field in type(section).model_fields]
    for key in written:
        if key not in known:
            near = get_close_matches(key.lower(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{name}: settings.{key} is not a setting of the rules or the detector; {hint}")
    changed = settings.model_copy(update={key: _section(section, written, name) for key, section in sections.items()})
    _check_between(changed, name)
    return changed


def _section(section: Section, written: Mapping[str, object], name: str) -> Section:
    own = {key: value for key, value in written.items() if key in type(section).model_fields}
    try:
        return type(section).model_validate({**section.model_dump(), **own})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ConfigError(f"{name}: settings.{fault['loc'][0]} is {fault['input']!r}: {fault['msg']}") from error


def _check_between(settings: Settings, name: str) -> None:
    fields = {*ValidationSettings.model_fields, *DivergenceSettings.model_fields}
    for check in CROSS_CHECKS:
        if fields.issuperset(check.names) and not check.holds(settings):
            raise ConfigError(f"{name}: settings {', '.join(check.names)}: {check.says}")
