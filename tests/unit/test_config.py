"""Settings are read once, from named places, with every fault told at once and no secret shown."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config import (
    Secrecy,
    Settings,
    all_settings,
    example_text,
    find_env_file,
    load_settings,
    misspelt_names,
    project_directory,
    secret_values,
)
from bot.config.sections import CROSS_CHECKS, TIMEFRAMES
from bot.errors import ConfigError
from bot.models import Timeframe

PROJECT = Path(__file__).resolve().parents[2]
FOREIGN = """
    PATH HOME USER LOGNAME SHELL PWD TERM LANG LC_ALL TZ EDITOR TMPDIR COLUMNS HOST HOSTNAME PORT DEBUG CONFIG CODE
    NODE MODEL MODES LIGHT NIGHT RIGHTS LEFTS USERNAME USERPROFILE COMPUTERNAME APPDATA VIRTUAL_ENV PIP_INDEX_URL
    PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONUNBUFFERED PYTHONHASHSEED HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy
    PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE POSTGRES_PASSWORD DATABASE_HOST DATABASE_PORT DATABASE_USER REDIS_URL
    DATA_DIR STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY RUNTIME_DIRECTORY NOTIFY_SOCKET JOURNAL_STREAM
    API_KEY SECRET_KEY OPENAI_API_KEY ANTHROPIC_BASE_URL ANTHROPIC_AUTH_TOKEN ANTHROPIC_MODEL GITHUB_TOKEN SMS_TOKEN
    AWS_REGION FLY_APP_NAME FLY_REGION PRIMARY_REGION KUBERNETES_SERVICE_HOST METRICS_PATH LOG_DIR LOG_FILE BOT_DEBUG
"""
ENVIRONMENTS = ("BINANCE_ENVIRONMENT", "OANDA_ENVIRONMENT", "IG_ENVIRONMENT")


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def faults(environ: dict[str, str], env_file: Path | None = None) -> list[str]:
    """The lines of the ConfigError that `environ` leads to, without the heading."""
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, env_file)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_environment_names_are_unique_over_all_sections() -> None:
    names = [each.name for each in all_settings()]

    assert sorted(set(names)) == sorted(names)


def test_every_setting_says_what_it_means() -> None:
    assert [each.name for each in all_settings() if not each.meaning] == []


def test_the_example_file_equals_the_settings_model() -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")

    assert example == example_text(), "run: ./botctl check-config --example > .env.example"


def test_the_example_file_with_every_line_switched_on_gives_the_defaults(env_file: Path) -> None:
    names = [each.name for each in all_settings()]
    lines = [line.removeprefix("# ") for line in example_text().splitlines()]
    env_file.write_text("\n".join(line for line in lines if line.partition("=")[0] in names))

    loaded = load_settings({}, env_file)

    assert loaded.settings == Settings()
    assert all(each.startswith(".env line ") for each in loaded.origins.values())


def test_nothing_given_is_the_defaults() -> None:
    loaded = load_settings({}, None)

    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_every_default_written_out_is_within_its_own_bounds_and_read_as_itself() -> None:
    written = [each for each in all_settings() if each.default]

    read = {each.name: each.value(load_settings({each.name: each.default}, None).settings) for each in written}

    assert read == {each.name: each.value(Settings()) for each in written}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(env_file: Path) -> None:
    env_file.write_text("# a comment\n\nLOG_LEVEL=DEBUG\nDEV_SEED=1\n\nexport HTTP_PORT='9000' # quoted\n")

    loaded = load_settings({"DEV_SEED": "2", "LOG_LEVEL": "ERROR"}, env_file, command_line={"LOG_LEVEL": "WARNING"})

    assert loaded.settings.run.http_port == 9000
    assert loaded.settings.dev.dev_seed == 2
    assert loaded.settings.run.log_level == "WARNING"
    assert loaded.origins["HTTP_PORT"] == ".env line 6"
    assert loaded.origins["DEV_SEED"] == "environment"
    assert loaded.origins["LOG_LEVEL"] == "command line"
    assert loaded.origins["MODE"] == "default"


def test_an_empty_value_means_the_default_and_still_wins(env_file: Path) -> None:
    env_file.write_text("HTTP_PORT=9000\n")

    loaded = load_settings({"HTTP_PORT": ""}, env_file)

    assert loaded.settings.run.http_port == 8080
    assert loaded.origins["HTTP_PORT"] == "environment"


def test_values_get_their_types() -> None:
    loaded = load_settings({"RISK_PER_TRADE_RATIO": "0.02", "REQUIRE_CANDLE_PATTERN": "yes", "MIN_ADX": "25"}, None)

    assert loaded.settings.risk.risk_per_trade_ratio == Decimal("0.02")
    assert loaded.settings.validation.require_candle_pattern is True
    assert loaded.settings.validation.min_adx == 25.0


def test_all_faults_are_told_at_once_each_with_name_value_origin_bound_and_meaning(env_file: Path) -> None:
    env_file.write_text("MIN_CONFIDENCE=1.5\n")

    told = faults({"HTTP_PORT": "http", "RR_TARGET": "third"}, env_file)

    assert told == [
        "HTTP_PORT='http' (environment) must be a whole number from 0 to 65535; "
        "it means: TCP port of the page and /health; if taken, the next free one is used; 0: any",
        "MIN_CONFIDENCE='1.5' (.env line 1) must be a number from 0 to 1; it means: rule 1: least confidence, 0..1",
        "RR_TARGET='third' (environment) must be one of first, second, weighted; "
        "it means: rule 4: the target that counts",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", ["MIN_OSC_RSI", "STARTING_BALANCE", "MAX_QUOTE_AGE_S"])
def test_numbers_that_are_not_finite_are_refused(name: str, text: str) -> None:
    assert faults({name: text})[0].startswith(f"{name}='{text}'")


def test_a_misspelt_name_in_the_file_is_a_fault_with_a_suggestion(env_file: Path) -> None:
    env_file.write_text("RISK_PER_TRADE=0.01\nmax_drawdown_ratio=0.1\n")

    assert faults({}, env_file) == [
        ".env line 1: RISK_PER_TRADE is not a setting; did you mean RISK_PER_TRADE_RATIO?",
        ".env line 2: max_drawdown_ratio is not a setting; did you mean MAX_DRAWDOWN_RATIO?",
    ]


@pytest.mark.parametrize("line", ["HTTP_PROXY=http://proxy:3128", "EDITOR=vi", "PYTHONUTF8=1", "AWS_REGION=eu-west-1"])
def test_a_name_that_is_not_like_ours_is_ignored(env_file: Path, line: str) -> None:
    env_file.write_text(line + "\n")

    assert load_settings({}, env_file).settings == Settings()


def test_a_name_that_breaks_off_in_the_file_is_a_fault_with_a_suggestion(env_file: Path) -> None:
    env_file.write_text("RISK_PER_TRAD=1\n")

    assert faults({}, env_file) == [
        ".env line 1: RISK_PER_TRAD is not a setting; did you mean RISK_PER_TRADE_RATIO?",
    ]


def test_names_like_ours_in_the_environment_are_left_to_whom_they_belong() -> None:
    assert load_settings({"RISK_PER_TRADE": "7", "PATH": "/bin"}, None).settings == Settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RISK_PER_TRAD", "RISK_PER_TRADE_RATIO"),
        ("RISK_PER_TRADE", "RISK_PER_TRADE_RATIO"),
        ("MAX_DRAWDOWN", "MAX_DRAWDOWN_RATIO"),
        ("max_drawdown_ratio", "MAX_DRAWDOWN_RATIO"),
        ("HTTP_PROT", "HTTP_PORT"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("BROKER", "BROKERS"),
        ("DASHBOARD_USER_4_ROLE", "DASHBOARD_USER_3_ROLE"),
    ],
)
def test_a_misspelt_name_in_the_environment_is_told_with_a_suggestion_and_without_its_value(
    name: str, meant: str
) -> None:
    assert misspelt_names({name: "s3cret!", "MODE": "dev"}) == [f"{name} is not a setting; did you mean {meant}?"]


def test_no_name_of_other_programs_is_taken_for_one_of_ours() -> None:
    assert misspelt_names(dict.fromkeys(FOREIGN.split(), "1")) == []
    assert misspelt_names({each.name: each.default for each in all_settings()}) == []


def test_lines_that_cannot_be_read_are_faults_with_their_number(env_file: Path) -> None:
    env_file.write_text("\n# fine\nMODE='dev\nHTTP_PORT\n")

    assert faults({}, env_file) == [
        ".env line 3 cannot be read; write NAME=value, with matching quotes",
        ".env line 4: HTTP_PORT has no value; write HTTP_PORT=value",
    ]


def test_a_file_that_is_not_text_is_a_config_error(env_file: Path) -> None:
    env_file.write_bytes(b"MODE=\xff\xfe")

    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings({}, env_file)


def test_a_file_that_is_not_there_is_a_config_error(env_file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings({}, env_file)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MODE": "paper", "OANDA_ENVIRONMENT": "live"}, "real money (live) is for MODE=live only"),
        ({"MODE": "dev", "BINANCE_ENVIRONMENT": "live"}, "real money (live) is for MODE=live only"),
        ({"MAX_ORDER_NOTIONAL": "31"}, "needs MAX_ORDER_NOTIONAL <= MAX_GROSS_LEVERAGE"),
        ({"MAX_TURNOVER_HOUR": "301"}, "needs MAX_TURNOVER_HOUR <= MAX_TURNOVER_DAY"),
        ({"MAX_OPEN_RISK_RATIO": "0.009"}, "needs RISK_PER_TRADE_RATIO <= MAX_OPEN_RISK_RATIO"),
        ({"CONFIRM": "6"}, "needs OSC_WIN < CONFIRM <= RIGHT"),
        ({"OSC_WIN": "2"}, "needs OSC_WIN < CONFIRM <= RIGHT"),
        ({"MIN_SEP": "61"}, "needs MIN_SEP <= MAX_SEP"),
        ({"TARGET_TWO_R": "2.2"}, "needs TARGET_ONE_R < TARGET_TWO_R"),
        ({"MIN_ATR_MULTIPLE": "7"}, "needs MIN_ATR_MULTIPLE < MAX_ATR_MULTIPLE"),
        ({"RSI_OVERSOLD": "50", "RSI_OVERBOUGHT": "50"}, "needs RSI_OVERSOLD < RSI_OVERBOUGHT"),
        ({"TRAIL_END_R": "1.5"}, "needs TRAIL_END_R <= TRAIL_START_R"),
    ],
)
def test_a_broken_bound_between_settings_names_them_all(environ: dict[str, str], says: str) -> None:
    (told,) = faults(environ)

    assert says in told
    for name, text in environ.items():
        assert f"{name}={text}" in told.replace(".0 ", " ")


def test_live_is_refused_also_with_keys_for_real_money() -> None:
    (told,) = faults({"MODE": "live", **dict.fromkeys(ENVIRONMENTS, "live")})

    assert told.startswith("MODE=live (environment): live is not available yet")


def test_every_bound_between_settings_names_fields_that_exist() -> None:
    fields = {each.field for each in all_settings()}

    assert {name for check in CROSS_CHECKS for name in check.names} <= fields


def test_a_wrong_value_is_not_told_again_as_a_broken_bound_between_settings() -> None:
    assert len(faults({"CONFIRM": "none", "RIGHT": "1"})) == 1


@pytest.mark.parametrize("text", ["1h,4h", " 4H , 1h", "1d"])
def test_timeframes_are_read_as_a_list(text: str) -> None:
    tasks = load_settings({"TIMEFRAMES": text}, None).settings.tasks

    assert tasks.timeframe_names == tuple(each.strip().lower() for each in text.split(","))


@pytest.mark.parametrize("text", ["1h,", "2h", "1h,1h", "1h;4h"])
def test_a_timeframe_that_is_unknown_or_named_twice_is_refused(text: str) -> None:
    (told,) = faults({"TIMEFRAMES": text})

    assert "each at most once, of 1m, 5m" in told


def test_the_known_timeframes_are_those_of_the_models() -> None:
    assert tuple(each.value for each in Timeframe) == TIMEFRAMES


@pytest.mark.parametrize(
    ("name", "secret", "shown"),
    [
        ("DASHBOARD_PASSWORD", "s3cret!", "'***'"),
        ("DATABASE_URL", "mysql://bot:s3cret!@host/db", "'mysql://bot:***@host/db'"),
        ("DATABASE_URL", "bot:s3cret!@host/db", "'***'"),
    ],
)
def test_a_secret_is_masked_in_its_own_fault(name: str, secret: str, shown: str) -> None:
    (told,) = faults({name: secret})

    assert f"{name}={shown}" in told
    assert "s3cret!" not in told


def test_a_secret_is_neither_in_the_repr_nor_in_the_text_of_the_settings() -> None:
    loaded = load_settings(
        {"DASHBOARD_PASSWORD": "canary-one", "DATABASE_URL": "postgresql://bot:canary-two@host/db"}, None
    )

    assert "canary" not in repr(loaded) + str(loaded.settings)


def test_secrets_are_listed_for_the_redactor_and_masked_for_the_eye() -> None:
    loaded = load_settings(
        {"DASHBOARD_PASSWORD": "canary-one", "DATABASE_URL": "postgresql://bot:c@nary/two@host/db"}, None
    )
    given = [each for each in all_settings() if each.secrecy and each.value(loaded.settings)]
    masked = {each.name: each.masked(str(each.value(loaded.settings))) for each in given}

    assert secret_values(loaded.settings) == ("c@nary/two", "canary-one")
    assert masked == {"DASHBOARD_PASSWORD": "***", "DATABASE_URL": "postgresql://bot:***@host/db"}


def test_a_setting_named_like_a_secret_is_marked_as_one() -> None:
    words = ("PASSWORD", "TOKEN", "SECRET", "API_KEY", "DATABASE_URL")

    assert [each.name for each in all_settings() if any(w in each.name for w in words) and not each.secrecy] == []
    assert Secrecy.WHOLE in {each.secrecy for each in all_settings()}


def test_each_broker_has_its_own_limit_of_open_positions() -> None:
    loaded = load_settings({"MAX_OPEN_POSITIONS_IG": "1"}, None).settings

    assert [loaded.get_max_open_positions(each) for each in ("binance", "oanda", "ig")] == [2, 5, 1]


def test_a_broker_has_its_own_limit_of_correlated_positions_or_the_general_one() -> None:
    risk = load_settings({"MAX_CORRELATED_EXPOSURE": "4", "MAX_CORRELATED_EXPOSURE_IG": "0"}, None).settings.risk

    assert [risk.correlated_at(each) for each in ("binance", "oanda", "ig")] == [4, 4, 0]


def test_a_broker_without_a_limit_may_not_open_anything_by_accident() -> None:
    with pytest.raises(ConfigError, match="'tradier' has no limit"):
        Settings().get_max_open_positions("tradier")


def test_a_broker_without_its_own_confidence_takes_the_general_one() -> None:
    loaded = load_settings({"MIN_CONFIDENCE": "0.6", "MIN_CONFIDENCE_OANDA": "0.9"}, None).settings

    assert [loaded.get_min_confidence(each) for each in ("oanda", "binance", "tradier")] == [0.9, 0.6, 0.6]


def test_the_working_directory_has_the_first_word_on_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")

    assert find_env_file(tmp_path) == tmp_path / ".env"


def test_a_relative_data_directory_is_relative_to_the_project(tmp_path: Path) -> None:
    relative = load_settings({"DATA_DIRECTORY": "data"}, None)
    absolute = load_settings({"DATA_DIRECTORY": str(tmp_path)}, None)

    assert relative.data_directory == project_directory() / "data" == PROJECT / "data"
    assert absolute.data_directory == tmp_path


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([each.name for each in all_settings()]), st.text(max_size=12), max_size=5))
def test_any_text_gives_settings_or_a_config_error_naming_what_was_given(environ: dict[str, str]) -> None:
    told = ""
    try:
        load_settings(environ, None)
    except ConfigError as error:
        told = str(error)

    assert not told or any(name in told for name in environ)


@pytest.mark.parametrize("url", ["https://127.0.0.1:9000", "http://10.0.0.1:9000", "http://venue.example", "127.0.0.1"])
def test_keys_are_never_sent_to_an_address_outside_this_machine(url: str) -> None:
    with pytest.raises(ConfigError, match=r"BINANCE_URL=.* must be empty or an http address of this machine"):
        load_settings({"BINANCE_URL": url}, None)


def test_an_unknown_venue_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"BROKERS='kraken' .* of binance, oanda, ig"):
        load_settings({"BROKERS": "kraken"}, None)


def test_each_mode_has_a_data_directory_of_its_own_unless_one_is_named() -> None:
    dev, paper = (load_settings({"MODE": mode}, None).data_directory.name for mode in ("dev", "paper"))
    named = load_settings({"MODE": "paper", "DATA_DIRECTORY": "mine"}, None).data_directory.name

    assert (dev, paper, named) == (".botdata", ".botdata-paper", "mine")
