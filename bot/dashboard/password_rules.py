"""Which passwords are taken (S4): long enough, and none of those that everybody tries first.

The list is our own and short: words and keyboard runs from which the usual passwords are made. A password counts as one
of them in whatever case, with digits for letters, and with digits and signs around it.
"""

import re
from typing import Final

from bot.config import MIN_PASSWORD_LENGTH
from bot.dashboard.passwords import MAX_PASSWORD_LENGTH

_TRIED_FIRST: Final = """
    abc abcd access account admin administrator angel asdf azerty baseball basketball batman bitcoin boss bot
    botctl broker buster cash change changeit changeme charlie cheese chocolate computer cookie daemon daniel
    dashboard database default demo dragon eagle enter ethereum flower football forex freedom friend fuck george
    ginger guest hallo hello hockey hunter iloveyou internet jessica jordan killer letmein live login love lovely
    manager market master matrix merlin michael michelle monday money monkey mustang naruto nicole ninja operator
    oracle orange paper pass passw passwd password passwort pepper phoenix pokemon postgres princess private
    profit purple qazwsx qwert qwerty qwertz root samsung secret security server service shadow silver soccer
    starwars strategy summer sunshine superman support system temp tempo test testing thomas tigger time trade
    trader trading tradingbot trustno user viewer wallet welcome whatever winter wizard yellow zaq zxcv
"""
_WORDS: Final = frozenset(_TRIED_FIRST.split())
_RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn",
    "1q2w3e4r5t6y7u8i9o0p",
)
_FOR_LETTERS: Final = str.maketrans("013457@$!", "oieastasi")
_AROUND: Final = r"[\W\d_]*"


def password_fault(password: str, *, name: str = "") -> str:
    """What is wrong with `password` for the person `name`; empty if it is taken."""
    if len(password) < MIN_PASSWORD_LENGTH:
        return f"A password needs at least {MIN_PASSWORD_LENGTH} characters; 15 or more are better, such as four words."
    if len(password) > MAX_PASSWORD_LENGTH:
        return f"A password has at most {MAX_PASSWORD_LENGTH} characters."
    plain = password.casefold()
    if len(set(plain)) <= 2 or _is_run(plain):
        return "A password of one or two characters, or of a row of keys, is tried first. Take another one."
    if _is_made_of(plain, _WORDS | ({name.casefold()} if name else set())):
        return "A common word, or your name, with digits or signs is tried first. Take another one."
    return ""


def _is_run(text: str) -> bool:
    """Whether it is one row of keys, forwards or backwards, or the same few again and again."""
    unit = re.fullmatch(r"(.{1,4}?)\1+.{0,3}", text)
    return unit is not None or any(text in row * 2 or text[::-1] in row * 2 for row in _RUNS)


def _is_made_of(text: str, words: frozenset[str] | set[str]) -> bool:
    """Whether one or two of `words`, or a row of keys, are all the letters that it has."""
    without_signs = re.sub(r"^[\W_]*|[\W_]*$", "", text)
    for spelled in (text, without_signs.translate(_FOR_LETTERS)):
        letters = re.sub(rf"^{_AROUND}|{_AROUND}$", "", spelled)
        parts = {letters, re.sub(r"[\W\d_]+", "", letters)} - {""}
        if any(part in words or _is_run(part) or _is_two(part, words) for part in parts):
            return True
    return False


def _is_two(text: str, words: frozenset[str] | set[str]) -> bool:
    return any(text[:at] in words and text[at:] in words for at in range(2, len(text) - 1))
