"""Typing errors that would cost money are refused at the start, with the bound (fault O4)."""

from pathlib import Path

import pytest

from bot.config import load_settings
from bot.errors import ConfigError
from bot.instruments import default_registry


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RISK_PER_TRADE_RATIO", "0.2"),
        ("RISK_PER_TRADE_RATIO", "20"),
        ("RISK_PER_TRADE_RATIO", "0"),
        ("DAILY_LOSS_LIMIT_RATIO", "3"),
        ("MAX_DRAWDOWN_RATIO", "15"),
        ("MAX_OPEN_POSITIONS_OANDA", "1000"),
        ("SESSION_DAY_START_UTC", "24"),
        ("SESSION_DAY_START_UTC", "-1"),
        ("SESSION_DAY_START_UTC", "21.5"),
        ("MODE", "live"),
    ],
)
def test_a_value_beyond_its_bound_is_refused_by_name(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    with pytest.raises(ConfigError, match=name):
        load_settings({name: text}, tmp_path / ".env")


def test_no_setting_raises_the_leverage_of_an_instrument(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    load_settings(
        {"MAX_LEVERAGE": "100", "LEVERAGE": "100"}, tmp_path / ".env"
    )  # not ours: the environment has others'
    assert max(each.max_leverage for each in default_registry()) <= 50
