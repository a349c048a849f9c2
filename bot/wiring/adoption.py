"""What an adopted position is given: a stop by config, from the price of now, and what a point of it is worth."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from bot.config import RiskSettings
from bot.instruments import Currency, InstrumentRegistry, Rounding, Symbol
from bot.layer3_execution.adoption import AdoptionTerms, TermsOf
from bot.layer4_risk.conversion import conversion
from bot.models import Direction, ExitPlan, Quote


def adoption_terms(
    settings: RiskSettings, registry: InstrumentRegistry, quote_of: Callable[[Symbol], Awaitable[Quote | None]]
) -> TermsOf:
    """The terms, as a question that is asked when something is to be adopted."""
    account, max_age = Currency(settings.account_currency), timedelta(seconds=settings.max_conversion_age_s)

    async def terms_of(symbol: Symbol, direction: Direction) -> AdoptionTerms | None:
        quote = await quote_of(symbol) if symbol in registry else None
        if quote is None:
            return None
        instrument, price = registry.get(symbol), quote.mid
        rate = (await conversion(quote, account, registry, quote_of, now=quote.at, max_age=max_age)).rate
        if rate is None:
            return None
        away = Rounding.DOWN if direction is Direction.LONG else Rounding.UP
        plan = ExitPlan(
            direction=direction,
            stop=instrument.round_price(price * (1 - direction.sign * settings.adopted_stop_ratio), away),
            targets=(),
            tick=instrument.tick,
            quantity_step=instrument.quantity_step,
            min_quantity=instrument.min_quantity,
            min_notional=instrument.min_quantity_times_price,
        )
        return AdoptionTerms(price=price, plan=plan, value_per_point=rate * instrument.contract_size)

    return terms_of
