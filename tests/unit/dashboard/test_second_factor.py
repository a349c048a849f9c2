"""Codes, recovery codes, and the key that keeps second factors (S5, S23)."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.dashboard.second_factor import (
    KEY_FILE,
    Vault,
    code_matches,
    code_of,
    new_recovery_codes,
    new_seed,
    picture_of,
    recovery_digest,
    step_of,
    vault_of,
)
from bot.errors import ConfigError, DataError

_RFC_SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"


@pytest.mark.parametrize(
    ("second", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(second: int, code: str) -> None:
    now = datetime.fromtimestamp(second, UTC)

    assert code_of(_RFC_SEED, step_of(now)) == code
    assert code_matches(_RFC_SEED, f" {code[:3]} {code[3:]} ", now)


@pytest.mark.parametrize("code", ["", "94287082", "\ud800", "٢٨٧٠٨٢", "287083"])
def test_anything_else_is_no_code(code: str) -> None:
    assert not code_matches(_RFC_SEED, code, datetime.fromtimestamp(59, UTC))


def test_a_sealed_seed_opens_with_its_key_for_its_person_only() -> None:
    vault = Vault(b"k" * 32)
    sealed = vault.seal("ann", "SEED")

    assert vault.open("ann", sealed) == "SEED"
    assert b"SEED" not in sealed
    with pytest.raises(DataError, match="botctl users totp bob"):
        vault.open("bob", sealed)
    with pytest.raises(DataError, match="another key"):
        Vault(b"x" * 32).open("ann", sealed)
    with pytest.raises(DataError):
        vault.open("ann", b"rubbish")


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    sealed = vault_of("", tmp_path).seal("ann", "SEED")

    assert vault_of("", tmp_path).open("ann", sealed) == "SEED"
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_file_that_others_can_read_or_that_is_cut_short_stops_the_start(tmp_path: Path) -> None:
    vault_of("", tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        vault_of("", tmp_path)
    (tmp_path / KEY_FILE).chmod(0o600)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes, needs 32"):
        vault_of("", tmp_path)


def test_a_key_in_the_settings_needs_no_file(tmp_path: Path) -> None:
    vault_of("s" * 32, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_recovery_codes_are_ten_different_ones_of_120_bits_however_they_are_typed() -> None:
    codes = new_recovery_codes()

    assert len(set(codes)) == 10
    assert all(len(each.replace("-", "")) == 24 for each in codes)
    assert recovery_digest(codes[0]) == recovery_digest(f" {codes[0].lower().replace('-', ' ')}\n")


def test_a_seed_has_160_bits_and_its_picture_needs_no_style() -> None:
    seed = new_seed()

    assert len(seed) == 32
    assert "style" not in picture_of(seed, "ann")
