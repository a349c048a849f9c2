"""What can be traded and where: the registry of instruments, their precision, costs and routing, and rounding."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, NewType

from bot.errors import UnknownSymbol

Symbol = NewType("Symbol", str)
BrokerId = NewType("BrokerId", str)
Currency = NewType("Currency", str)

_CENT: Final = Decimal("0.01")
_LEAST_USDT: Final = Decimal(5)  # NOTIONAL of Binance's USDT pairs; a start takes over what it is then
_FOR_PEOPLE: Final = Context(prec=60, rounding=ROUND_HALF_UP)  # whatever digits a venue gives
_COUNTED_AS: Final[Mapping[str, Currency]] = {"USDT": Currency("USD")}

BINANCE: Final = BrokerId("binance")
OANDA: Final = BrokerId("oanda")
IG: Final = BrokerId("ig")


def counted_as(currency: str) -> Currency:
    """What `currency` is counted as, everywhere: the one stable coin of the registry is its dollar, at par."""
    return _COUNTED_AS.get(currency, Currency(currency))


class AssetClass(StrEnum):
    """What kind of thing an instrument is; rules and costs differ by it."""

    CRYPTO = "crypto"
    FOREX = "forex"
    METAL = "metal"
    COMMODITY = "commodity"
    INDEX = "index"
    BOND = "bond"
    STOCK = "stock"


class Rounding(StrEnum):
    """Direction in which a price goes to its tick."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING
    NEAREST = ROUND_HALF_EVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Typical bid-ask distance: a price distance, or a share of the price for markets that trade over decades of it."""

    price: Decimal = Decimal(0)
    ratio: Decimal = Decimal(0)

    def at(self, price: Decimal) -> Decimal:
        """Spread in price units at `price`."""
        return self.price + self.ratio * price


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable thing at one broker. Quantities are in units of base (contracts for CFDs), never in lots.

    `contract_size` turns quantity x price into quote currency. `commission_ratio` is a share of notional per side.
    `slippage_ratio` is what a market order or a triggered stop pays beyond the spread, as a share of the price.
    `min_notional` is the least an order may be worth at its own price, in quote currency; 0: there is no such bound.
    """

    symbol: Symbol
    broker_id: BrokerId
    asset_class: AssetClass
    venue_symbol: str
    tick: Decimal
    pip: Decimal
    quantity_step: Decimal
    min_quantity: Decimal
    base_currency: Currency
    quote_currency: Currency
    typical_spread: Spread
    contract_size: Decimal = Decimal(1)
    commission_ratio: Decimal = Decimal(0)
    slippage_ratio: Decimal = Decimal(0)
    max_leverage: Decimal = Decimal(1)
    min_notional: Decimal = Decimal(0)
    has_volume: bool = True
    correlation_group: str = ""

    def round_price(self, price: Decimal, rounding: Rounding) -> Decimal:
        """`price` on the tick grid, in the named direction."""
        return (price / self.tick).to_integral_value(rounding=rounding.value) * self.tick

    def round_quantity(self, quantity: Decimal) -> Decimal:
        """`quantity` on the step grid, always down (towards zero)."""
        return (quantity / self.quantity_step).to_integral_value(rounding=ROUND_FLOOR) * self.quantity_step

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Value of `quantity` at `price`, in quote currency."""
        return quantity * price * self.contract_size

    @property
    def min_quantity_times_price(self) -> Decimal:
        """`min_notional` for who knows quantities and prices, and no contract size: an exit plan."""
        return self.min_notional / self.contract_size


class InstrumentRegistry:
    """The one list of symbols. Answers by symbol; says what was meant when a name is not known."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_symbol: Mapping[Symbol, Instrument] = {each.symbol: each for each in instruments}

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._by_symbol

    def get(self, symbol: str) -> Instrument:
        """The instrument called `symbol`. Raises UnknownSymbol, naming the nearest known ones."""
        found = self._by_symbol.get(Symbol(symbol))
        if found is None:
            raise UnknownSymbol(self._unknown(symbol))
        return found

    def of_broker(self, broker_id: BrokerId) -> tuple[Instrument, ...]:
        """All instruments routed to one broker, in registry order."""
        return tuple(each for each in self if each.broker_id == broker_id)

    def _unknown(self, symbol: str) -> str:
        near = get_close_matches(symbol.upper(), list(self._by_symbol), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "none is similar."
        known = ", ".join(self._by_symbol)
        return f"symbol {symbol!r} is not in the registry of {len(self)} instruments; {hint} Known: {known}"


def _crypto(base: str, quote: str, tick: str, step: str, *, group: str = "crypto") -> Instrument:
    return Instrument(
        symbol=Symbol(f"{base}/{quote}"),
        broker_id=BINANCE,
        asset_class=AssetClass.CRYPTO,
        venue_symbol=f"{base}{quote}",
        tick=Decimal(tick),
        pip=Decimal(tick),
        quantity_step=Decimal(step),
        min_quantity=Decimal(step),
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        typical_spread=Spread(ratio=Decimal("0.0002")),
        commission_ratio=Decimal("0.001"),
        slippage_ratio=Decimal("0.0002"),
        min_notional=_LEAST_USDT if quote == "USDT" else Decimal(0),
        correlation_group=group,
    )


def _forex(pair: str, spread_pips: str) -> Instrument:
    base, quote = pair.split("_")
    yen = quote == "JPY"
    pip = Decimal("0.01") if yen else Decimal("0.0001")
    return Instrument(
        symbol=Symbol(pair),
        broker_id=OANDA,
        asset_class=AssetClass.FOREX,
        venue_symbol=pair,
        tick=pip / 10,
        pip=pip,
        quantity_step=Decimal(1),
        min_quantity=Decimal(1),
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        typical_spread=Spread(price=Decimal(spread_pips) * pip),
        slippage_ratio=Decimal("0.00002"),
        max_leverage=Decimal(30),
        correlation_group="usd" if "USD" in pair else quote.lower(),
    )


def _oanda_cfd(
    name: str, kind: AssetClass, tick: str, spread: str, leverage: int, *, volume: bool = True
) -> Instrument:
    base, quote = name.split("_")
    return Instrument(
        symbol=Symbol(name),
        broker_id=OANDA,
        asset_class=kind,
        venue_symbol=name,
        tick=Decimal(tick),
        pip=Decimal(tick) * 10,
        quantity_step=Decimal("0.1") if kind is AssetClass.INDEX else Decimal(1),
        min_quantity=Decimal("0.1") if kind is AssetClass.INDEX else Decimal(1),
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        typical_spread=Spread(ratio=Decimal(spread)),
        slippage_ratio=Decimal("0.00005"),
        max_leverage=Decimal(leverage),
        has_volume=volume,
        correlation_group={"index": "indices", "bond": "bonds", "metal": "metals"}.get(kind.value, "energy"),
    )


def _stock(ticker: str, *, epic: str | None = None, group: str = "us_tech") -> Instrument:
    return Instrument(
        symbol=Symbol(ticker),
        broker_id=IG,
        asset_class=AssetClass.STOCK,
        venue_symbol=epic or f"UA.D.{ticker}.CASH.IP",
        tick=Decimal("0.01"),
        pip=Decimal("0.01"),
        quantity_step=Decimal(1),
        min_quantity=Decimal(1),
        base_currency=Currency(ticker),
        quote_currency=Currency("USD"),
        typical_spread=Spread(ratio=Decimal("0.0003")),
        commission_ratio=Decimal("0.0002"),
        slippage_ratio=Decimal("0.0001"),
        max_leverage=Decimal(5),
        correlation_group=group,
    )


_M, _C, _I, _B = AssetClass.METAL, AssetClass.COMMODITY, AssetClass.INDEX, AssetClass.BOND

# The default universe (product row D4) first; after it what recorded files and later strategies also need.
DEFAULT_UNIVERSE: Final[tuple[Instrument, ...]] = (
    _crypto("BTC", "USDT", "0.01", "0.00001"),
    _crypto("ETH", "USDT", "0.01", "0.0001"),
    _crypto("SOL", "USDT", "0.01", "0.001"),
    _crypto("DOGE", "USDT", "0.00001", "1"),
    _forex("EUR_USD", "0.8"),
    _forex("GBP_USD", "1.1"),
    _forex("USD_JPY", "1.0"),
    _forex("AUD_USD", "1.0"),
    _forex("USD_CAD", "1.4"),
    _forex("NZD_USD", "1.4"),
    _forex("EUR_GBP", "1.1"),
    _forex("EUR_JPY", "1.4"),
    _oanda_cfd("SPX500_USD", _I, "0.1", "0.0001", 20),
    _oanda_cfd("NAS100_USD", _I, "0.1", "0.0001", 20),
    _oanda_cfd("US30_USD", _I, "0.1", "0.0001", 20),
    _oanda_cfd("UK100_GBP", _I, "0.1", "0.00015", 20),
    _oanda_cfd("DE30_EUR", _I, "0.1", "0.0001", 20),
    _oanda_cfd("JP225_USD", _I, "0.1", "0.0003", 20),
    _oanda_cfd("XAU_USD", _M, "0.01", "0.00025", 20),
    _oanda_cfd("XAG_USD", _M, "0.0001", "0.001", 10),
    _oanda_cfd("XCU_USD", _C, "0.0001", "0.0015", 10),
    _oanda_cfd("WTICO_USD", _C, "0.001", "0.0005", 10),
    _oanda_cfd("BCO_USD", _C, "0.001", "0.0005", 10),
    _oanda_cfd("NATGAS_USD", _C, "0.001", "0.003", 10),
    _oanda_cfd("USB10Y_USD", _B, "0.001", "0.0002", 5),
    _oanda_cfd("DE10YB_EUR", _B, "0.001", "0.0002", 5),
    _oanda_cfd("USB02Y_USD", _B, "0.001", "0.0002", 5),
    _oanda_cfd("UK10YB_GBP", _B, "0.001", "0.0002", 5),
    _stock("NVDA"),
    _stock("AAPL"),
    _stock("MSFT"),
    _stock("AMZN"),
    _stock("TSLA"),
    _stock("META"),
    _stock("GOOGL"),
    _stock("AVGO"),
)
FURTHER_INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    _crypto("BTC", "USD", "0.01", "0.00001"),
    _crypto("BNB", "USDT", "0.01", "0.001"),
    _crypto("XRP", "USDT", "0.0001", "1"),
    _crypto("LTC", "USDT", "0.01", "0.001"),
    _crypto("ETH", "USD", "0.01", "0.0001"),
    _crypto("ETH", "BTC", "0.00001", "0.0001"),
    _crypto("LTC", "BTC", "0.000001", "0.001"),
    _crypto("DASH", "BTC", "0.000001", "0.001"),
    _crypto("XRP", "ETH", "0.0000001", "1"),
    _forex("GBP_JPY", "1.8"),
    _forex("AUD_JPY", "1.6"),
    _forex("EUR_AUD", "1.8"),
    _forex("EUR_CAD", "1.9"),
    _forex("GBP_CAD", "2.2"),
    _oanda_cfd("EU50_EUR", _I, "0.1", "0.0004", 20),
    _stock("GOOG"),
    _stock("IBM", group="us_large"),
    _stock("ORCL"),
    _stock("SPY", group="indices"),
    _stock("QQQ", group="indices"),
    _stock("AIG", group="us_large"),
    _stock("TWX", group="us_large"),
)


def default_registry() -> InstrumentRegistry:
    """The default universe and the further instruments, in that order."""
    return InstrumentRegistry((*DEFAULT_UNIVERSE, *FURTHER_INSTRUMENTS))


def to_cents(amount: Decimal) -> Decimal:
    """An amount of money as people read it: two decimals, a half away from nothing, and no minus before nothing."""
    if not amount.is_finite():
        return amount
    cents = amount.quantize(_CENT, context=_FOR_PEOPLE)
    return cents if cents else abs(cents)
