"""The settings as they may be shown: every one with its origin, and no secret in any of them."""

from pathlib import Path

from bot.config import Secrecy, all_settings, load_settings, settings_in_force
from bot.wiring.dev_market import dev_settings

CANARY = "CANARY"


def secret_of(name: str) -> str:
    """A value that each kind of secret takes, with a word that must never be shown."""
    if name == "DATABASE_URL":
        return f"postgresql://bot:{CANARY}-{name}@db.example/bot"
    if name == "HEARTBEAT_URL":
        return f"https://watch.example/{CANARY}-{name}"
    if name.endswith("_HASH"):
        return f"$argon2id$v=19$m=65536,t=3,p=4${CANARY}c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"
    return f"{CANARY}-{name}-0123456789abcdef0123456789abcdef"


def test_no_secret_is_shown_whichever_it_is_and_each_that_is_set_is_seen_to_be() -> None:
    secret = {each.name: each.secrecy for each in all_settings() if each.secrecy is not None}
    names = {f"DASHBOARD_USER_{number}_NAME": f"user{number}" for number in (1, 2, 3)}
    given = {name: secret_of(name) for name in secret if not name.endswith("_HASH")}
    hashes = {name: secret_of(name) for name in secret if name.endswith("_HASH")}
    passwords = {name: given.pop(name) for name in list(given) if name.startswith("DASHBOARD_USER_")}

    for each in (passwords, hashes):  # a user has one of the two
        shown = settings_in_force(load_settings({**given, **names, **each}, None))
        assert CANARY not in repr(shown)
        masked = {one.name: one.value for one in shown if one.name in {**given, **each}}
        whole = {name for name, secrecy in secret.items() if secrecy is Secrecy.WHOLE}
        assert {masked[name] for name in masked if name in whole} == {"***"}
        assert masked["DATABASE_URL"] == "postgresql://bot:***@db.example/bot"
    assert len(secret) >= 10


def test_each_setting_says_who_set_it_and_what_it_accepts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\nLOG_LEVEL=DEBUG\n")
    loaded = load_settings({"HTTP_PORT": "9000"}, tmp_path / ".env", command_line={"MODE": "paper"})

    shown = {each.name: each for each in settings_in_force(loaded)}

    assert len(shown) == len(all_settings())
    assert [shown[name].origin for name in ("MODE", "HTTP_PORT", "LOG_LEVEL", "LOG_FORMAT")] == [
        "command line",
        "environment",
        ".env line 2",
        "default",
    ]
    port = shown["HTTP_PORT"]
    assert (port.section, port.value, port.default, port.is_default) == ("run", "9000", "8080", False)
    assert port.accepts == "a whole number from 0 to 65535"
    assert port.about == "Where and how the daemon runs."
    assert shown["LOG_FORMAT"].is_default


def test_what_the_mode_has_changed_is_shown_as_it_is_in_force() -> None:
    loaded = load_settings({"MAX_QUOTE_AGE_S": "3"}, None)
    in_force = dev_settings(loaded.settings)

    shown = {each.name: each for each in settings_in_force(loaded, in_force)}["MAX_QUOTE_AGE_S"]

    assert float(shown.value) == in_force.risk.max_quote_age_s > 3
    assert shown.origin == "MODE=dev, instead of 3 (environment)"
