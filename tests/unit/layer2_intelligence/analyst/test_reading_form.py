"""The form of an answer: what has it is read, whatever has not is refused in our own words."""

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.layer2_intelligence.analyst.tools import TOOL, Reading, ReadingFault, parse_reading

BARS = 72
GOOD: dict[str, Any] = {
    "divergence": {
        "direction": "long",
        "kind": "regular",
        "first_bar": 40,
        "second_bar": 66,
        "first_price": 120,
        "second_price": 80,
        "oscillators": [{"oscillator": "rsi", "first": 280, "second": 350}],
    },
    "confidence": 75,
}


def test_an_answer_of_the_form_is_read() -> None:
    read = parse_reading(GOOD, BARS)

    assert isinstance(read, Reading)
    assert read.divergence is not None
    assert (read.divergence.direction, read.divergence.first_bar, read.confidence) == ("long", 40, 75)


def test_nothing_to_trade_is_an_answer() -> None:
    read = parse_reading({"divergence": None, "confidence": 90}, BARS)

    assert isinstance(read, Reading)
    assert read.divergence is None


def test_the_server_may_change_the_case_of_a_word() -> None:
    answer = _with("divergence", "direction", value="LONG")

    assert isinstance(parse_reading(answer, BARS), Reading)


@pytest.mark.parametrize(
    "answer",
    [
        None, [], "text", 7, {}, {"confidence": 50}, {"divergence": None}, {**GOOD, "size": 1_000_000_000},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(answer: object) -> None:
    assert isinstance(parse_reading(answer, BARS), ReadingFault)


WRONG: list[tuple[str, object]] = [
    ("confidence", value)
    for value in (-1, 101, 0.7, 70.0, "75", None, True, [75], {"percent": 75}, 10**30)
] + [
    (f"divergence.{name}", value)
    for name in ("first_bar", "second_bar", "first_price", "second_price")
    for value in (None, "40", 40.0, 1.5, True, [40], 10**12, float("nan"), float("inf"))
] + [
    ("divergence.direction", "up"), ("divergence.direction", ""), ("divergence.direction", None),
    ("divergence.direction", 1), ("divergence.direction", ["long"]), ("divergence.kind", "exaggerated"),
    ("divergence.kind", 0), ("divergence.oscillators", []), ("divergence.oscillators", None),
    ("divergence.oscillators", {}), ("divergence.oscillators", ["rsi"]), ("divergence.oscillators", [None]),
    ("divergence.first_bar", 0), ("divergence.first_bar", -5), ("divergence.first_bar", 66),
    ("divergence.first_bar", 70), ("divergence.second_bar", 73), ("divergence.second_bar", 40),
    ("divergence.stop_loss", 1), ("divergence.quantity", 10**9), ("divergence.symbol", "EUR_USD"),
    ("divergence", []), ("divergence", "none"), ("divergence", {}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_one_wrong_field_is_enough_to_be_refused(path: str, value: object) -> None:
    assert isinstance(parse_reading(_with(*path.split("."), value=value), BARS), ReadingFault)


@pytest.mark.parametrize("value", ["adx", "RSI14", "", None, 3, "rsi ", "r\u200bsi"])
def test_an_oscillator_that_is_not_one_of_the_six_is_refused(value: object) -> None:
    answer = _with("divergence", "oscillators", value=[{"oscillator": value, "first": 1, "second": 2}])

    assert isinstance(parse_reading(answer, BARS), ReadingFault)


def test_an_oscillator_named_twice_is_refused() -> None:
    answer = _with("divergence", "oscillators", value=GOOD["divergence"]["oscillators"] * 2)

    assert isinstance(parse_reading(answer, BARS), ReadingFault)


def test_a_thousand_spoiled_answers_are_all_refused() -> None:
    dice, accepted = random.Random(20_240_102), []
    for _ in range(1_000):
        answer = copy.deepcopy(GOOD)
        _spoil(answer, dice)
        if isinstance(parse_reading(answer, BARS), Reading):
            accepted.append(answer)

    assert accepted == []


def test_deep_nesting_is_refused_and_does_not_raise() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    read = parse_reading(_with("divergence", value=deep), BARS)

    assert isinstance(read, ReadingFault)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_no_answer_whatever_makes_it_raise(answer: object) -> None:
    read = parse_reading(answer, BARS)

    assert isinstance(read, Reading | ReadingFault)


def test_the_servers_schema_uses_no_keyword_that_strict_tools_refuse() -> None:
    text = json.dumps(TOOL.schema)

    for keyword in ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "$ref"):
        assert f'"{keyword}"' not in text
    for each in _objects(TOOL.schema):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])


def _objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for each in schema for found in _objects(each)]
    if not isinstance(schema, dict):
        return []
    found = [each for value in schema.values() for each in _objects(value)]
    return [*found, schema] if schema.get("type") == "object" else found


def _with(*path: str, value: object) -> dict[str, Any]:
    answer = copy.deepcopy(GOOD)
    place: Any = answer
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return answer


def _spoil(answer: dict[str, Any], dice: random.Random) -> None:
    """One field goes, comes, or gets a value of a wrong type."""
    place = dice.choice([answer, answer["divergence"], answer["divergence"]["oscillators"][0]])
    name = dice.choice(list(place))
    match dice.randrange(4):
        case 0:
            del place[name]
        case 1:
            place[dice.choice(["size", "stop", "note", "__proto__", name + " "])] = dice.choice([1, "x", None])
        case 2:
            place[name] = dice.choice([2.5, "17", True, [], {}, "\x00", "ignore the rules", -(10**9), 10**9])
        case _:
            place[name] = [place[name], place[name]]
