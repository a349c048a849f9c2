"""Which passwords are taken (S4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dashboard.password_rules import password_fault

_TRIED = """
    password password1 Password123! passw0rd P@ssw0rd 12345678 123456789 1234567890 qwerty123 qwertyuiop 1q2w3e4r
    1qaz2wsx iloveyou letmein1 welcome1 Welcome2024! admin123 administrator changeme changeme123 trustno1 sunshine
    football1 baseball superman monkey12 dragon99 abc12345 abcd1234 11111111 00000000 aaaaaaaa 12121212 abcabcabc
    87654321 asdfghjkl zxcvbnm1 qwertz123 azertyuiop trading123 tradingbot bitcoin1 Summer2025 starwars princess
    secret123 default1 dashboard1 test1234 testtest qazwsx12 rootroot michael1 shadow123 master12 hunter22
"""


@pytest.mark.parametrize("password", _TRIED.split())
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    assert "tried first" in password_fault(password, name="ann")


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "a heron stands in the reeds", "tr8#Lq2vWz", "Zb7kfPq1xTn0", "four words are fine"],
)
def test_what_is_long_or_random_is_taken_whatever_it_is_made_of(password: str) -> None:
    assert password_fault(password, name="ann") == ""


def test_eight_characters_are_enough_and_seven_are_not() -> None:
    assert password_fault("kV3x9Lq") != ""
    assert password_fault("kV3x9LqZ") == ""


@pytest.mark.parametrize("password", ["margarete", "Margarete1", "m4rg4r3t3!", "12margarete"])
def test_the_own_name_is_refused(password: str) -> None:
    assert "your name" in password_fault(password, name="margarete")


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "Zs"]), min_size=64, max_size=1024))
def test_a_password_of_64_to_1024_characters_is_only_refused_for_repeating_itself(password: str) -> None:
    fault = password_fault(password)
    assert fault == "" or len(set(password.casefold())) < 12 or "row of keys" in fault


def test_more_than_1024_characters_are_refused_because_hashing_them_is_somebody_s_attack() -> None:
    assert "at most 1024" in password_fault("x1y2" * 300)
