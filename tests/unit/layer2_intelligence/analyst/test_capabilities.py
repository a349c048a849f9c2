"""The table of models: prices, retirement, and that the defaults will be there."""

from datetime import date, timedelta
from decimal import Decimal

import orjson
import pytest

from bot.config import AnalystSettings
from bot.layer2_intelligence.analyst.capabilities import CHECKED_ON, MODELS, ModelTraits, traits_of
from bot.layer2_intelligence.analyst.model_report import WARN_BEFORE, ModelLine, model_lines
from bot.layer2_intelligence.analyst.wire import wire_body, worst_cost
from tests.fakes.messages_api import model_row
from tests.fakes.messages_rules import refusal
from tests.unit.layer2_intelligence.analyst.gateway_stand import question

HAIKU = MODELS["claude-haiku-5-5"]
OLD_SONNET = "claude-sonnet-4-5-20250929"


def known(model: str) -> ModelTraits:
    found = traits_of(model)
    assert found is not None
    return found


def test_the_default_models_are_priced_and_live_on() -> None:
    settings = AnalystSettings()

    for model in (settings.analyst_model, settings.analyst_fallback_model):
        retires_on = known(model).retires_on
        assert retires_on is None or retires_on > CHECKED_ON + WARN_BEFORE


def test_a_price_is_exact() -> None:
    cost = HAIKU.price.cost(
        input_tokens=1_000,
        output_tokens=100,
        cache_write_tokens=2_000,
        cache_write_hour_tokens=500,
        cache_read_tokens=3_000,
    )

    assert cost == (Decimal(1_000 + 2_500 + 1_000 + 300) * Decimal("0.10") + Decimal(100) * Decimal("0.50")) / 1_000_000


def test_a_long_prompt_costs_the_long_price_for_all_of_it() -> None:
    short = HAIKU.price.cost(input_tokens=100_000, output_tokens=0)
    long = HAIKU.price.cost(input_tokens=60_000, cache_read_tokens=40_001, output_tokens=0)

    assert short == Decimal("0.01")
    assert long == (60_000 + Decimal("4000.1")) * Decimal("0.5") / 1_000_000


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_worst_cost_bounds_any_answer_to_the_bytes_that_are_sent(model: str) -> None:
    traits = known(model)
    asked = question(model=model, user_text="日本語 " * 500)
    body = wire_body(asked, traits)
    most_tokens = len(orjson.dumps(body)) + 500  # a token is a byte at least; the server adds the tool's own words

    worst = worst_cost(body, traits, None)

    for written in (0, most_tokens):
        assert worst >= traits.price.cost(
            input_tokens=most_tokens - written, cache_write_tokens=written, output_tokens=body["max_tokens"]
        )


def test_an_image_is_bounded_by_its_tokens_and_not_by_its_bytes() -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(300_000)
    body = wire_body(question(image=image), HAIKU)

    worst = worst_cost(body, HAIKU, image)

    assert worst < HAIKU.price.cost(input_tokens=20_000, output_tokens=500)


@pytest.mark.parametrize("model", sorted(set(MODELS) - {OLD_SONNET}))
def test_the_server_takes_what_each_model_is_sent(model: str) -> None:
    assert refusal(wire_body(question(model=model), known(model)), "2026-10-21") is None


def test_the_same_question_has_the_same_key_for_every_model_and_another_for_other_words() -> None:
    keys = {question(model=model).key for model in MODELS}

    assert len(keys) == 1
    assert question(user_text="closes 1 2 4").key not in keys
    assert question(image=b"x").key not in keys


def line(settings: AnalystSettings, today: date, served: list[dict[str, object]] | None = None) -> ModelLine:
    return model_lines(settings, today, served)[0]


@pytest.mark.parametrize(("days", "says"), [(61, None), (60, "in 60 days"), (1, "in 1 days"), (0, "retired on")])
def test_a_model_that_is_set_is_warned_of_sixty_days_before_it_ends(days: int, says: str | None) -> None:
    settings = AnalystSettings(analyst_model=OLD_SONNET)

    found = line(settings, date(2026, 11, 30) - timedelta(days=days))

    assert bool(found.warnings) == (says is not None)
    assert says is None or says in found.warnings[0]


def test_the_servers_word_about_the_end_wins() -> None:
    served = [model_row("claude-haiku-5-5", lifecycle="deprecated", retires_at="2026-12-31T00:00:00Z")]

    found = line(AnalystSettings(), date(2026, 11, 21), served)

    assert found.retires_on == date(2026, 12, 31)
    assert "in 40 days" in found.warnings[0]


def test_a_model_that_the_key_cannot_use_is_said() -> None:
    found = line(AnalystSettings(), date(2026, 11, 21), [model_row("claude-opus-5-5")])

    assert found.reachable is False
    assert "ANALYST_MODEL=claude-haiku-5-5 is not among" in found.warnings[0]


def test_a_model_without_a_price_is_said() -> None:
    found = line(AnalystSettings(analyst_model="claude-next"), date(2026, 11, 21))

    assert "its price is unknown" in found.warnings[0]


def test_models_that_are_not_set_are_listed_without_warnings() -> None:
    others = model_lines(AnalystSettings(), date(2026, 11, 29), None)[2:]

    assert {each.model for each in others} >= {OLD_SONNET, "claude-opus-5-5"}
    assert all(each.warnings == () and each.reachable is None for each in others)
