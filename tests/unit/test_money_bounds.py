"""Typing errors that would cost money are refused at the start, with the bound (fault O4)."""

from pathlib import Path

import pytest

from bot.config import RiskSettings, load_settings
from bot.errors import ConfigError
from bot.instruments import AssetClass, default_registry


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RISK_PER_TRADE_RATIO", "0.2"),
        ("RISK_PER_TRADE_RATIO", "20"),
        ("RISK_PER_TRADE_RATIO", "0"),
        ("DAILY_LOSS_LIMIT_RATIO", "3"),
        ("MAX_DRAWDOWN_RATIO", "15"),
        ("MAX_OPEN_POSITIONS_OANDA", "1000"),
        ("SESSION_DAY_START_HOUR", "24"),
        ("SESSION_DAY_START_HOUR", "-1"),
        ("SESSION_DAY_START_HOUR", "21.5"),
        ("SESSION_DAY_ZONE", "New York"),
        ("MAX_LEVERAGE_FOREX", "100"),
        ("MAX_LEVERAGE_CRYPTO", "100"),
        ("MAX_GROSS_LEVERAGE", "100"),
        ("MAX_ORDER_NOTIONAL", "100"),
        ("MAX_OPEN_RISK_RATIO", "5"),
        ("MAX_PRICE_DEVIATION_RATIO", "1"),
        ("MAX_SPREAD_TO_STOP_RATIO", "2"),
        ("MAX_ENTRY_SLIPPAGE_RATIO", "0"),
        ("MAX_ENTRY_SLIPPAGE_RATIO", "1.1"),
        ("MAX_ENTRIES_PER_MINUTE", "0"),
        ("MODE", "live"),
    ],
)
def test_a_value_beyond_its_bound_is_refused_by_name(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    with pytest.raises(ConfigError, match=name):
        load_settings({name: text}, tmp_path / ".env")


@pytest.mark.parametrize("kind", list(AssetClass))
def test_leverage_100_is_refused_for_every_kind_of_instrument_with_the_bound_named(
    kind: AssetClass, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("")
    name, most = f"MAX_LEVERAGE_{kind.upper()}", RiskSettings().leverage_of(kind)
    with pytest.raises(ConfigError, match=f"{name}='100' .* must be a number from 1 to {most};"):
        load_settings({name: "100"}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("name", "environment"), [("BINANCE", "demo"), ("BINANCE", "testnet"), ("OANDA", "practice"), ("IG", "demo")]
)
def test_keys_for_real_money_in_a_demo_profile_are_refused_and_named(
    name: str, environment: str, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("")
    setting = f"{name}_ENVIRONMENT"
    load_settings({"MODE": "paper", setting: environment}, tmp_path / ".env")
    with pytest.raises(ConfigError, match=rf"MODE=paper \(environment\), {setting}=live \(environment\): real money"):
        load_settings({"MODE": "paper", setting: "live"}, tmp_path / ".env")


def test_keys_of_a_demo_account_in_live_mode_are_refused_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    with pytest.raises(ConfigError, match=r"OANDA_ENVIRONMENT=practice \(default\): real money"):
        load_settings({"MODE": "live"}, tmp_path / ".env")


def test_names_that_are_not_ours_raise_no_leverage(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    load_settings(
        {"MAX_LEVERAGE": "100", "LEVERAGE": "100"}, tmp_path / ".env"
    )  # not ours: the environment has others'
    assert max(each.max_leverage for each in default_registry()) <= 50
