"""Is this price one to decide on: sound, of now, near the last close and the signal, and with a spread worth paying."""

from datetime import datetime
from decimal import Decimal

from bot.config import RiskSettings
from bot.models import EntrySignal, LimitCheck, Quote

ZERO = Decimal(0)
ONE = Decimal(1)


def market_checks(
    signal: EntrySignal, quote: Quote | None, last_close: Decimal | None, now: datetime, settings: RiskSettings
) -> tuple[LimitCheck, ...]:
    """Every check of the price; where there is none to look at, one that fails."""
    allowed = Decimal(str(settings.max_quote_age_s))
    if quote is None:
        says = f"{signal.symbol}: no quote; wait for the venue, or look at its health"
        return (LimitCheck(code="STALE_QUOTE", used=allowed + 1, allowed=allowed, passed=False, says=says),)
    if not _is_sound(quote):
        says = f"{signal.symbol}: bid {quote.bid}, ask {quote.ask} is no market; wait for a sound quote"
        return (LimitCheck(code="CROSSED_QUOTE", used=ONE, allowed=ZERO, passed=False, says=says),)
    age = Decimal(str((now - quote.at).total_seconds()))
    says = f"{signal.symbol}: quote is {age:.0f} s old, limit {allowed:.0f} s (MAX_QUOTE_AGE_S); wait for a newer one"
    return (
        LimitCheck(code="STALE_QUOTE", used=age, allowed=allowed, passed=age <= allowed, says=says),
        _spread(signal, quote, settings.max_spread_to_stop_ratio),
        _collar("the last close", last_close, quote, settings.max_price_deviation_ratio),
        _collar("the signal's entry", signal.entry, quote, settings.max_price_deviation_ratio),
    )


def _is_sound(quote: Quote) -> bool:
    return quote.bid.is_finite() and quote.ask.is_finite() and 0 < quote.bid <= quote.ask


def _spread(signal: EntrySignal, quote: Quote, allowed: Decimal) -> LimitCheck:
    distance = abs(quote.mid - signal.stop_loss) if signal.stop_loss is not None else ZERO
    used = quote.spread / distance if distance else (ONE + allowed if quote.spread else ZERO)
    says = (
        f"{signal.symbol}: spread {quote.spread} is {used:.1%} of the stop distance {distance}, limit {allowed:.1%} "
        "(MAX_SPREAD_TO_STOP_RATIO); wait for a calmer market"
    )
    return LimitCheck(code="WIDE_SPREAD", used=used, allowed=allowed, passed=used <= allowed, says=says)


def _collar(what: str, anchor: Decimal | None, quote: Quote, allowed: Decimal) -> LimitCheck:
    """An anchor that is not known says nothing; one that is not a price allows nothing."""
    if anchor is None:
        return LimitCheck(code="PRICE_COLLAR", used=ZERO, allowed=allowed, passed=True, says=f"{what} is not known")
    is_price = anchor.is_finite() and anchor > 0
    used = abs(quote.mid / anchor - 1) if is_price else ONE + allowed
    says = (
        f"{quote.symbol}: price {quote.mid} is {used:.2%} away from {what} {anchor}, limit {allowed:.2%} "
        "(MAX_PRICE_DEVIATION_RATIO); look at the feed and at the symbol before anything else"
    )
    return LimitCheck(code="PRICE_COLLAR", used=used, allowed=allowed, passed=used <= allowed, says=says)
