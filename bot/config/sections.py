"""The sections: every setting with its unit, bounds and meaning.

A section is what one part of the program needs. Environment names are the field names in capitals; they are unique
over all sections. Bounds within one setting stand in its Field; those between settings in `CROSS_CHECKS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bot.config.alerts import AlertSettings
from bot.config.analyst import AnalystSettings
from bot.config.dashboard import DashboardSettings, is_own_machine
from bot.config.metrics import MetricsSettings
from bot.config.section import Ratio, Secrecy, Section, ZoneName
from bot.config.venues import VenueSettings
from bot.errors import ConfigError

# The values of models.Timeframe, which stands above this module; a test holds the two together.
TIMEFRAMES: Final = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")


class RunSettings(Section):
    """Where and how the daemon runs."""

    mode: Literal["dev", "paper", "live"] = Field(
        "dev",
        description="dev: simulated venues, no outside call; paper: real data, simulated or sandbox orders; "
        "live: real money",
    )
    http_host: str = Field("127.0.0.1", description="address that the page and /health listen on")
    http_port: int = Field(
        8080,
        ge=0,
        le=65_535,
        description="TCP port of the page and /health; if taken, the next free one is used; 0: any",
    )
    data_directory: str = Field(
        ".botdata",
        min_length=1,
        description="folder for the embedded database, logs and run state; relative to the project",
    )
    database_url: Annotated[str, Secrecy.URL_PASSWORD] = Field(
        "", repr=False, description="PostgreSQL to use, postgresql://user:password@host/name; empty: the embedded one"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least severe level that is logged"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: coloured text on a terminal, JSON lines otherwise"
    )

    @field_validator("database_url")
    @classmethod
    def _postgresql_only(cls, text: str) -> str:
        if text and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be empty or begin with postgresql://")
        return text


class ScheduleSettings(Section):
    """How often the jobs run, in seconds of market time; dev mode scales them by its speed."""

    analysis_interval_s: float = Field(300, ge=1, le=86_400, description="seconds between analysis cycles")
    monitor_interval_s: float = Field(120, ge=1, le=3_600, description="seconds between checks of every open position")
    outcome_interval_s: float = Field(300, ge=1, le=86_400, description="seconds between outcome updates")


class DevSettings(Section):
    """The simulated market of dev mode."""

    dev_speed: float = Field(
        3_600, ge=1, le=1_000_000, description="market seconds per real second; 3600: a 1h candle each second"
    )
    dev_seed: int = Field(7, ge=0, description="seed of the market that follows the recorded candles")


class TaskSettings(Section):
    """Default strategy tasks."""

    timeframes: str = Field("1h,4h", description="timeframes of the default divergence tasks, comma-separated")
    use_multi_tf_confirmation: bool = Field(
        True, description="4h signals wait as setups, 1h signals trade only if they confirm one"
    )
    setup_ttl_hours: float = Field(24, gt=0, le=720, description="hours a 4h setup lives")

    @property
    def timeframe_names(self) -> tuple[str, ...]:
        """The timeframes one by one, in the order given."""
        return tuple(each.strip().lower() for each in self.timeframes.split(","))

    @field_validator("timeframes")
    @classmethod
    def _known_timeframes(cls, text: str) -> str:
        names = [each.strip().lower() for each in text.split(",")]
        if not set(names) <= set(TIMEFRAMES) or len(set(names)) < len(names):
            raise ValueError(f"must be a comma-separated list, each at most once, of {', '.join(TIMEFRAMES)}")
        return ",".join(names)


class DivergenceSettings(Section):
    """The divergence detector (SPEC section 4) and the levels of its signals."""

    left: int = Field(5, ge=1, le=50, description="bars to the left of a pivot")
    right: int = Field(5, ge=1, le=50, description="bars to the right of a full pivot")
    confirm: int = Field(
        2, ge=1, le=50, description="bars to the right of the second pivot; osc_win < confirm <= right"
    )
    min_sep: int = Field(5, ge=2, le=500, description="fewest bars between the two pivots")
    max_sep: int = Field(60, ge=2, le=500, description="most bars between the two pivots")
    osc_win: int = Field(1, ge=0, le=10, description="bars around a pivot in which the oscillator may turn")
    osc_turn: bool = Field(True, description="the oscillator must turn at its anchor")
    min_price_atr: float = Field(0.1, ge=0, le=10, description="least price difference of the pivots, in ATR")
    min_swing_atr: float = Field(1.0, ge=0, le=100, description="least move between the pivots, in ATR")
    min_osc_rsi: float = Field(3.0, ge=0, description="least RSI difference, points")
    min_osc_stoch_k: float = Field(5.0, ge=0, description="least stochastic difference, points")
    min_osc_mfi: float = Field(3.0, ge=0, description="least MFI difference, points")
    min_osc_willr: float = Field(5.0, ge=0, description="least Williams %R difference, points")
    min_osc_cci: float = Field(15.0, ge=0, description="least CCI difference, points")
    min_osc_macd_hist: float = Field(0.05, ge=0, description="least MACD histogram difference, in ATR")
    stop_buffer_atr: float = Field(
        0.25, ge=0, le=10, description="how far beyond the second pivot the detector puts its stop, in ATR"
    )
    min_stop_atr: float = Field(0.6, ge=0.5, le=7, description="least stop distance of the detector, in ATR")
    target_one_r: float = Field(2.2, ge=1, le=50, description="first target, in multiples of the risk")
    target_two_r: float = Field(4.0, ge=1, le=100, description="second target, in multiples of the risk")


class ValidationSettings(Section):
    """Limits of the rules (SPEC section 5)."""

    min_confidence: float = Field(0.70, ge=0, le=1, description="rule 1: least confidence, 0..1")
    min_confidence_binance: float | None = Field(
        None, ge=0, le=1, description="rule 1 at Binance; empty: min_confidence"
    )
    min_confidence_oanda: float | None = Field(None, ge=0, le=1, description="rule 1 at OANDA; empty: min_confidence")
    min_confidence_ig: float | None = Field(None, ge=0, le=1, description="rule 1 at IG; empty: min_confidence")
    min_risk_reward: Decimal = Field(Decimal("2.0"), ge=0, le=100, description="rule 4: least reward per risk")
    rr_target: Literal["first", "second", "weighted"] = Field("first", description="rule 4: the target that counts")
    rsi_overbought: float = Field(70, ge=50, le=100, description="rule 5: a long needs RSI below this")
    rsi_oversold: float = Field(30, ge=0, le=50, description="rule 5: a short needs RSI above this")
    min_atr_multiple: Decimal = Field(Decimal("0.5"), ge=0, le=100, description="rule 6: least stop distance, in ATR")
    max_atr_multiple: Decimal = Field(
        Decimal("7.0"), ge=0, le=100, description="rule 6: greatest stop distance, in ATR"
    )
    min_adx: float = Field(20.0, ge=0, le=100, description="rule 7: least ADX, crypto only")
    min_bandwidth_ratio: float = Field(
        0.5, ge=0, le=10, description="rule 8: least Bollinger bandwidth against its median"
    )
    bandwidth_lookback: int = Field(100, ge=20, le=1_000, description="rule 8: candles of that median")
    min_confirming_indicators: int = Field(2, ge=0, le=6, description="rule 9: least number of confirming families")
    confirm_by: Literal["families", "oscillators"] = Field("families", description="rule 9: what is counted")
    min_swing_bars_4h: int = Field(
        10, ge=0, le=500, description="rule 10: least bars between the pivots, 4h and longer"
    )
    min_swing_bars_1h: int = Field(
        7, ge=0, le=500, description="rule 10: least bars between the pivots, shorter than 4h"
    )
    min_divergence_magnitude_rsi: float = Field(3.0, ge=0, le=100, description="rule 11: least RSI divergence, points")
    rsi_magnitude_when: Literal["always", "claimed"] = Field(
        "always", description="rule 11: always, or only if RSI is claimed"
    )
    near_zero_volume_ratio: float = Field(
        0.01, ge=0, le=1, description="rule 12: volume must exceed this share of its mean"
    )
    volume_low_threshold: float = Field(0.0, ge=0, le=10, description="rule 13: least volume against its mean; 0: off")
    require_candle_pattern: bool = Field(False, description="rule 14: a reversal pattern is needed")
    min_divergence_score: float = Field(5.0, ge=0, le=10, description="gate S: least quality score, 0..10")


class RiskSettings(Section):
    """How much may be risked. "times equity" is a plain number: 30 is thirty times what the account is worth."""

    starting_balance: Decimal = Field(
        Decimal(10_000), gt=0, description="balance of each simulated account, account currency"
    )
    account_currency: str = Field("USD", pattern="^[A-Z]{3,5}$", description="currency of accounts and results")
    risk_per_trade_ratio: Decimal = Field(
        Decimal("0.01"), gt=0, le=Decimal("0.05"), description="share of equity lost at the stop; at most 0.05"
    )
    max_open_risk_ratio: Decimal = Field(
        Decimal("0.10"), gt=0, le=Decimal("0.5"), description="share of a broker's equity lost if all its stops are hit"
    )
    max_open_positions_binance: int = Field(
        2, ge=0, le=100, description="open positions and unfinished entries at Binance"
    )
    max_open_positions_oanda: int = Field(5, ge=0, le=100, description="open positions and unfinished entries at OANDA")
    max_open_positions_ig: int = Field(5, ge=0, le=100, description="open positions and unfinished entries at IG")
    max_positions_per_strategy: int = Field(
        12, ge=0, le=100, description="open positions and unfinished entries of one strategy, all brokers"
    )
    max_correlated_exposure: int = Field(
        3, ge=0, le=100, description="open positions of one correlation group and direction at one broker"
    )
    max_correlated_exposure_binance: int | None = Field(
        None, ge=0, le=100, description="the same at Binance; empty: max_correlated_exposure"
    )
    max_correlated_exposure_oanda: int | None = Field(
        None, ge=0, le=100, description="the same at OANDA; empty: max_correlated_exposure"
    )
    max_correlated_exposure_ig: int | None = Field(
        None, ge=0, le=100, description="the same at IG; empty: max_correlated_exposure"
    )
    max_correlated_everywhere: int = Field(
        6, ge=0, le=100, description="open positions of one correlation group and direction, all brokers together"
    )
    max_currency_exposure: Decimal = Field(
        Decimal(30),
        gt=0,
        le=100,
        description="net amount long or short in one currency other than the account's, all brokers, times all equity",
    )
    max_order_notional: Decimal = Field(
        Decimal(30),
        gt=0,
        le=50,
        description="value (price x quantity x contract size) of one entry, times equity; catches wrong sizes",
    )
    max_gross_leverage: Decimal = Field(
        Decimal(30), gt=0, le=50, description="value of all that is open or may open at one broker, times its equity"
    )
    max_leverage_forex: Decimal = Field(Decimal(30), ge=1, le=30, description="leverage used for forex")
    max_leverage_index: Decimal = Field(Decimal(20), ge=1, le=20, description="leverage used for indices")
    max_leverage_metal: Decimal = Field(Decimal(20), ge=1, le=20, description="leverage used for metals")
    max_leverage_commodity: Decimal = Field(Decimal(10), ge=1, le=10, description="leverage used for commodities")
    max_leverage_bond: Decimal = Field(Decimal(5), ge=1, le=5, description="leverage used for bonds")
    max_leverage_stock: Decimal = Field(Decimal(5), ge=1, le=5, description="leverage used for stocks")
    max_leverage_crypto: Decimal = Field(Decimal(2), ge=1, le=2, description="leverage used for crypto")
    max_entries_per_minute: int = Field(
        10, ge=1, le=600, description="entries approved at one broker within a minute of market time"
    )
    max_entries_per_minute_strategy: int = Field(
        12, ge=1, le=600, description="entries of one strategy approved within a minute of market time, all brokers"
    )
    max_turnover_hour: Decimal = Field(
        Decimal(60), gt=0, le=1_000, description="value of the entries approved at one broker in an hour, times equity"
    )
    max_turnover_day: Decimal = Field(
        Decimal(300), gt=0, le=10_000, description="value of the entries approved at one broker in 24 h, times equity"
    )
    max_price_deviation_ratio: Decimal = Field(
        Decimal("0.05"),
        gt=0,
        le=Decimal("0.5"),
        description="how far the price may be from the signal's and from the last close, as a share of those",
    )
    max_spread_to_stop_ratio: Decimal = Field(
        Decimal("0.5"), gt=0, le=1, description="greatest spread an entry may pay, as a share of its stop distance"
    )
    max_entry_slippage_ratio: Decimal = Field(
        Decimal("0.25"),
        gt=0,
        le=1,
        description="how much worse than decided an entry may fill, as a share of the way from that price to its stop",
    )
    daily_loss_limit_ratio: Ratio = Field(
        Decimal("0.03"),
        description="loss of the session day, as a share of balance, that pauses entries at a broker until the next",
    )
    session_day_start_hour: int = Field(
        0, ge=0, le=23, description="hour at which the day of the daily loss limit begins, in session_day_zone"
    )
    session_day_zone: ZoneName = Field(
        "UTC", description="time zone of that hour, as in America/New_York (with 17: the day of forex, also over DST)"
    )
    max_drawdown_ratio: Ratio = Field(
        Decimal("0.15"), description="fall from the equity peak that pauses entries until a person resumes"
    )
    max_quote_age_s: float = Field(
        900, gt=0, description="oldest quote an entry may be decided on, seconds of market time"
    )
    max_conversion_age_s: float = Field(
        900, gt=0, le=86_400, description="oldest price a conversion of currencies may use, seconds of market time"
    )
    protect_within_s: float = Field(
        10, ge=1, le=300, description="seconds a position may be without a stop for all of it before it is closed"
    )
    adopted_stop_ratio: Ratio = Field(
        Decimal("0.02"),
        description="distance of the stop of an adopted position that has none, as a share of the price at that moment",
    )
    entry_validity_s: float = Field(
        3_600, gt=0, description="seconds of market time after the candle's close in which an entry may still be sent"
    )

    def open_positions_at(self, broker_id: str) -> int:
        """Most open positions and unfinished entries at one broker. Raises ConfigError: no limit is no permission."""
        limits = {
            "binance": self.max_open_positions_binance,
            "oanda": self.max_open_positions_oanda,
            "ig": self.max_open_positions_ig,
        }
        if broker_id not in limits:
            raise ConfigError(
                f"broker {broker_id!r} has no limit of open positions; brokers with one: {', '.join(limits)}"
            )
        return limits[broker_id]

    def correlated_at(self, broker_id: str) -> int:
        """Most positions of one group and direction at one broker: its own setting, or the general one."""
        own = {
            "binance": self.max_correlated_exposure_binance,
            "oanda": self.max_correlated_exposure_oanda,
            "ig": self.max_correlated_exposure_ig,
        }.get(broker_id)
        return self.max_correlated_exposure if own is None else own

    def leverage_of(self, asset_class: str) -> Decimal:
        """Most leverage that is used for one kind of instrument, whatever the venue allows."""
        found: Decimal = getattr(self, f"max_leverage_{asset_class}")
        return found


class ExitSettings(Section):
    """How positions are managed."""

    tp1_close_pct: Decimal = Field(
        Decimal("0.5"), gt=0, le=1, description="share (0..1) of the position closed at target 1"
    )
    trail_start_r: Decimal = Field(Decimal("1.0"), ge=0, le=10, description="trailing distance at target 1, in R")
    trail_end_r: Decimal = Field(Decimal("0.25"), ge=0, le=10, description="trailing distance at target 2, in R")
    trail_step_r: Decimal = Field(
        Decimal("0.1"), ge=0, le=10, description="least improvement that moves the stop, in R"
    )


class OutcomeSettings(Section):
    """How long signals are followed."""

    outcome_horizon_candles: int = Field(
        100,
        ge=1,
        le=10_000,
        description="candles after which an undecided signal is closed as neither; at least 24 h are followed",
    )


class Settings(Section):
    """All sections."""

    run: RunSettings = RunSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    dev: DevSettings = DevSettings()
    venues: VenueSettings = VenueSettings()
    tasks: TaskSettings = TaskSettings()
    divergence: DivergenceSettings = DivergenceSettings()
    validation: ValidationSettings = ValidationSettings()
    risk: RiskSettings = RiskSettings()
    exits: ExitSettings = ExitSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    dashboard: DashboardSettings = DashboardSettings()
    analyst: AnalystSettings = AnalystSettings()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()

    def get_max_open_positions(self, broker_id: str) -> int:
        """Most open positions and unfinished entries at one broker. Raises ConfigError: no limit is no permission."""
        return self.risk.open_positions_at(broker_id)

    def get_min_confidence(self, broker_id: str) -> float:
        """Least confidence (0..1) of a signal for one broker: its own setting, or the general one."""
        own = {
            "binance": self.validation.min_confidence_binance,
            "oanda": self.validation.min_confidence_oanda,
            "ig": self.validation.min_confidence_ig,
        }.get(broker_id)
        return self.validation.min_confidence if own is None else own


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """A bound between settings. It is asked only when each of `names` (fields) is valid by itself."""

    names: tuple[str, ...]
    holds: Callable[[Settings], bool]
    says: str


def _environment_fits(environment: str) -> CrossCheck:
    """Keys of a venue belong to the mode: real money to live only, and live has nothing else."""

    def holds(settings: Settings) -> bool:
        real: bool = getattr(settings.venues, environment) == "live"
        return real == (settings.run.mode == "live")

    return CrossCheck(
        names=("mode", environment),
        holds=holds,
        says="real money (live) is for MODE=live only, and MODE=live for nothing else; use a demo key, or another mode",
    )


def _user_is_whole(number: int) -> CrossCheck:
    """Half a user would be nobody, or somebody without a password."""
    return CrossCheck(
        names=tuple(f"dashboard_user_{number}_{part}" for part in ("name", "password", "hash")),
        holds=lambda settings: settings.dashboard.user_is_whole(number),
        says="a user needs a name, and either a password or its hash; set these two, or leave all empty",
    )


CROSS_CHECKS: Final[tuple[CrossCheck, ...]] = (
    CrossCheck(
        names=("mode",),
        holds=lambda settings: settings.run.mode != "live",
        says="live is not available yet: real money needs an explicit arm that does not exist; use paper or dev",
    ),
    CrossCheck(
        names=("http_host", "trusted_proxies"),
        holds=lambda settings: is_own_machine(settings.run.http_host) or bool(settings.dashboard.proxies),
        says="others would reach the page without encryption: let HTTP_HOST be 127.0.0.1, or put a proxy that ends TLS "
        "in front and name its address in TRUSTED_PROXIES",
    ),
    *(_user_is_whole(number) for number in (1, 2, 3)),
    *(_environment_fits(each) for each in ("binance_environment", "oanda_environment", "ig_environment")),
    CrossCheck(
        names=("max_order_notional", "max_gross_leverage"),
        holds=lambda settings: settings.risk.max_order_notional <= settings.risk.max_gross_leverage,
        says="needs MAX_ORDER_NOTIONAL <= MAX_GROSS_LEVERAGE: one entry is part of all that is open",
    ),
    CrossCheck(
        names=("max_turnover_hour", "max_turnover_day"),
        holds=lambda settings: settings.risk.max_turnover_hour <= settings.risk.max_turnover_day,
        says="needs MAX_TURNOVER_HOUR <= MAX_TURNOVER_DAY",
    ),
    CrossCheck(
        names=("risk_per_trade_ratio", "max_open_risk_ratio"),
        holds=lambda settings: settings.risk.risk_per_trade_ratio <= settings.risk.max_open_risk_ratio,
        says="needs RISK_PER_TRADE_RATIO <= MAX_OPEN_RISK_RATIO: no entry would fit",
    ),
    CrossCheck(
        names=("analyst_budget_hour", "analyst_budget_day", "analyst_budget_month"),
        holds=lambda settings: (
            settings.analyst.analyst_budget_hour
            <= settings.analyst.analyst_budget_day
            <= settings.analyst.analyst_budget_month
        ),
        says="needs ANALYST_BUDGET_HOUR <= ANALYST_BUDGET_DAY <= ANALYST_BUDGET_MONTH",
    ),
    CrossCheck(
        names=("osc_win", "confirm", "right"),
        holds=lambda settings: settings.divergence.osc_win < settings.divergence.confirm <= settings.divergence.right,
        says="needs OSC_WIN < CONFIRM <= RIGHT",
    ),
    CrossCheck(
        names=("min_sep", "max_sep"),
        holds=lambda settings: settings.divergence.min_sep <= settings.divergence.max_sep,
        says="needs MIN_SEP <= MAX_SEP",
    ),
    CrossCheck(
        names=("target_one_r", "target_two_r"),
        holds=lambda settings: settings.divergence.target_one_r < settings.divergence.target_two_r,
        says="needs TARGET_ONE_R < TARGET_TWO_R",
    ),
    CrossCheck(
        names=("min_atr_multiple", "max_atr_multiple"),
        holds=lambda settings: settings.validation.min_atr_multiple < settings.validation.max_atr_multiple,
        says="needs MIN_ATR_MULTIPLE < MAX_ATR_MULTIPLE",
    ),
    CrossCheck(
        names=("rsi_oversold", "rsi_overbought"),
        holds=lambda settings: settings.validation.rsi_oversold < settings.validation.rsi_overbought,
        says="needs RSI_OVERSOLD < RSI_OVERBOUGHT",
    ),
    CrossCheck(
        names=("trail_start_r", "trail_end_r"),
        holds=lambda settings: settings.exits.trail_end_r <= settings.exits.trail_start_r,
        says="needs TRAIL_END_R <= TRAIL_START_R: the stop trails tighter, never looser",
    ),
)
