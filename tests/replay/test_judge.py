"""`botctl judge`: a hand-written signal gets the answer of the rules, whatever it holds, and junk is never accepted."""

import json
import math
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.config import Settings
from bot.errors import BotError, DataError
from bot.instruments import default_registry
from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.layer2_intelligence.validator import judge
from bot.models import CandleSeries, Endorsed, Quote, StrategyTask, Timeframe, Vetoed
from bot.replay.judging import answer, parse_question, snapshot, verdict_json
from tests.builders import series
from tests.replay.commands import EURO, as_file, settle_in

ROWS = 400
REGISTRY = default_registry()
CODES: Final = [*map(str, range(15)), *(f"E{number}" for number in range(1, 12)), "S"]
FIELDS: Final = (
    *("symbol", "timeframe", "direction", "kind", "oscillators", "p1_time", "p2_time", "p1_price", "p2_price"),
    *("entry", "stop_loss", "targets", "confidence"),
)


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_in(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def euro() -> CandleSeries:
    return next(load(each) for each in recordings() if each.symbol == "EUR_USD" and each.timeframe is Timeframe.H1)


class Accepted:
    """A detector's signal that passes all rules, written down as a person would."""

    def __init__(self, candles: CandleSeries) -> None:
        self.instrument = REGISTRY.get("EUR_USD")
        for until in range(ROWS - 1, len(candles)):
            verdict = self._verdict(candles, until)
            if isinstance(verdict, Endorsed):
                self.until, self.verdict = until, verdict
                break
        signal, claim = self.verdict.signal, self.verdict.signal.claim
        assert claim is not None
        assert signal.direction is not None
        self.file: dict[str, Any] = {
            "signal": {
                "symbol": signal.symbol,
                "timeframe": signal.timeframe.value,
                "direction": signal.direction.value,
                "kind": claim.kind.value,
                "oscillators": list(claim.oscillators),
                "p1_time": claim.p1_at.isoformat().replace("+00:00", "Z"),
                "p2_time": claim.p2_at.isoformat(),
                "p1_price": float(claim.p1_price),
                "p2_price": float(claim.p2_price),
                "entry": float(signal.entry or 0),
                "stop_loss": float(signal.stop_loss or 0),
                "targets": [float(each) for each in signal.targets],
                "confidence": signal.confidence,
            },
            "quote": [float(self.quote.bid), float(self.quote.ask)],
            "instrument": {"symbol": "EUR_USD", "asset_class": "forex", "tick": 0.00001, "has_volume": True},
            "settings": {},
        }

    def _verdict(self, candles: CandleSeries, until: int) -> Endorsed | Vetoed | None:
        shown = snapshot(candles, until, ROWS)
        defaults = Settings()
        if until % ROWS == ROWS - 1:  # a cheap look first: which candles of a wide stretch have a setup at all
            wide = BatchFeatures(candles.slice(0, until + 1 + ROWS), defaults.divergence, 100)
            self._worth_a_look = set(wide.setup_indices.tolist())
        if until not in self._worth_a_look:
            return None
        features = BatchFeatures(shown, defaults.divergence, 100).at(ROWS - 1)
        task = StrategyTask.of("divergence", self.instrument, Timeframe.H1)
        signals = DivergenceStrategy(defaults.divergence).signals(task, features, self.instrument)
        if not signals:
            return None
        close = Decimal(repr(float(shown.close[-1])))
        half = self.instrument.typical_spread.at(close) / 2
        self.quote = Quote(symbol=shown.symbol, bid=close - half, ask=close + half, at=features.closed_at)
        arguments = (features, self.quote, self.instrument, defaults.validation, defaults.divergence)
        return judge(signals[0], *arguments)


@pytest.fixture(scope="module")
def accepted(euro: CandleSeries) -> Accepted:
    return Accepted(euro)


def asked(content: object, accepted: Accepted, euro: CandleSeries) -> dict[str, Any]:
    """The answer to a file of this content."""
    text = content if isinstance(content, bytes) else orjson.dumps(content)
    question = parse_question(text, "signal.json", REGISTRY, Settings())
    return verdict_json(answer(question, snapshot(euro, accepted.until, ROWS)))


def called(content: object, tmp_path: Path, *words: str, candles: Path = EURO, timeframe: str = "1h") -> int:
    path = tmp_path / "signal.json"
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return main(
        ["judge", "--signal", str(path), "--candles", str(candles), "--timeframe", timeframe, *words],
    )


def test_a_detectors_signal_written_by_hand_gets_the_detectors_verdict(accepted: Accepted, euro: CandleSeries) -> None:
    given_back = asked(accepted.file, accepted, euro)
    assert given_back == verdict_json(accepted.verdict)
    assert (given_back["rejected_by"], given_back["left"]) == (None, accepted.file["signal"]["oscillators"])


def test_the_command_writes_all_27_rows_in_order(accepted: Accepted, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code = called(accepted.file, tmp_path, "--until", str(accepted.until), "--rows", "400", "--json", str(out))

    found = orjson.loads(out.read_bytes())
    assert code == 0
    assert [row[0] for row in found["rows"]] == CODES
    assert {row[1] for row in found["rows"]} <= {"pass", "fail", "off", "n/a"}
    assert set(found) == {"rows", "score", "rejected_by", "left"}


def test_without_a_file_to_write_a_person_sees_every_rule_and_the_claim_beside_the_candles(
    accepted: Accepted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = deepcopy(accepted.file)
    spoiled["signal"]["p1_price"] += 0.1

    assert called(spoiled, tmp_path, "--until", str(accepted.until)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("rejected by rule E3\n")
    assert "fail first" in shown
    assert f"{accepted.file['signal']['p1_price']:.10g}" in shown


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.text(max_size=8),
    st.sampled_from(["NaN", "long ", "LONG", "1h ", "2017-13-01", "9999-12-31T23:59:59-14:00", "rsi", ""]),
    st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def as_text(value: object) -> bytes:
    """JSON as Python and other careless writers write it: with NaN and Infinity."""
    return json.dumps(value).encode()


def may_be_meant(name: str, value: object) -> bool:
    """A confidence, or far away targets: such an answer is odd, but it can be judged."""
    if name == "confidence":
        return isinstance(value, int | float) and not isinstance(value, bool) and 0.7 <= value <= 1
    return name == "targets" and isinstance(value, list) and any(isinstance(each, float) and each > 0 for each in value)


@settings(deadline=None, max_examples=250)
@given(name=st.sampled_from(FIELDS), junk=JUNK)
def test_junk_in_a_field_is_judged_and_never_accepted(
    name: str, junk: object, accepted: Accepted, euro: CandleSeries
) -> None:
    spoiled = deepcopy(accepted.file)
    spoiled["signal"][name] = junk
    if may_be_meant(name, junk):
        return  # not junk

    found = asked(as_text(spoiled), accepted, euro)
    assert [row[0] for row in found["rows"]] == CODES
    assert found["rejected_by"] is not None


@settings(deadline=None, max_examples=60)
@given(quote=JUNK)
def test_a_quote_that_cannot_be_read_fails_the_rules_on_prices(
    quote: object, accepted: Accepted, euro: CandleSeries
) -> None:
    numbers = (
        [each for each in quote if isinstance(each, float) and math.isfinite(each)] if isinstance(quote, list) else []
    )
    assume(not (isinstance(quote, list) and len(quote) == len(numbers) == 2))
    found = asked(as_text({**accepted.file, "quote": quote}), accepted, euro)
    assert {code for code, status, _ in found["rows"] if status == "fail"} >= {"3", "4", "6"}


@settings(deadline=None, max_examples=60)
@given(signal=JUNK)
def test_a_signal_that_is_no_object_is_judged_as_an_empty_one(
    signal: object, accepted: Accepted, euro: CandleSeries
) -> None:
    found = asked(as_text({**accepted.file, "signal": signal}), accepted, euro)
    assert found["rejected_by"] == "0"
    assert next(row for row in found["rows"] if row[0] == "E1")[2] == (
        "symbol,timeframe,direction,entry,stop_loss,targets,confidence,kind,oscillators,p1_time,p2_time,p1_price,p2_price"
    )


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named_by_the_rule_on_shape(name: str, accepted: Accepted, euro: CandleSeries) -> None:
    spoiled = deepcopy(accepted.file)
    del spoiled["signal"][name]
    found = asked(spoiled, accepted, euro)
    assert next(row for row in found["rows"] if row[0] == "E1")[1:] == ["fail", name]


def test_no_direction_is_a_well_formed_no(accepted: Accepted, euro: CandleSeries) -> None:
    spoiled = deepcopy(accepted.file)
    spoiled["signal"]["direction"] = "none"
    found = asked(spoiled, accepted, euro)
    assert found["rejected_by"] == "0"
    assert next(row for row in found["rows"] if row[0] == "E1")[1] == "pass"


@pytest.mark.parametrize("digits", ["1e999999999999999999999", "-1e400", "1" * 5_000, "Infinity", "NaN"])
def test_a_monstrous_number_fails_rules_and_nothing_else(digits: str, accepted: Accepted, euro: CandleSeries) -> None:
    spoiled = deepcopy(accepted.file)
    spoiled["signal"]["entry"] = spoiled["signal"]["confidence"] = "HERE"
    found = asked(orjson.dumps(spoiled).replace(b'"HERE"', digits.encode()), accepted, euro)
    assert found["rejected_by"] == "1"


def test_times_may_be_written_as_in_candle_files(accepted: Accepted, euro: CandleSeries) -> None:
    stamped = deepcopy(accepted.file)
    claim = accepted.verdict.signal.claim
    assert claim is not None
    stamped["signal"]["p1_time"] = int(claim.p1_at.timestamp())
    stamped["signal"]["p2_time"] = int(claim.p2_at.timestamp()) * 1_000
    assert asked(stamped, accepted, euro) == verdict_json(accepted.verdict)


def test_settings_of_the_file_change_the_verdict(accepted: Accepted, euro: CandleSeries) -> None:
    strict = {**accepted.file, "settings": {"min_confidence": 1, "min_osc": {"cci": 10_000}}}
    found = asked(strict, accepted, euro)
    assert found["rejected_by"] == "1"
    assert "cci" not in found["left"]


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (b"{", 5, "is not readable JSON"),
        (b"\xff\xfe\x00", 5, "is not readable JSON"),
        (b"[" * 100_000, 5, "is not readable JSON"),
        ([], 5, "holds a list, not an object with the keys signal, quote, instrument, settings"),
        (b'{"signal": 1, "signal": 2}', 5, "key 'signal' stands twice"),
        ({"quote": 1, "instrument": 1, "settings": {}}, 5, "key 'signal' is missing"),
        ({"signal": {}, "instrument": 1, "settings": {}}, 5, "key 'quote' is missing"),
        ({"signal": {}, "quote": 1, "settings": {}}, 5, "key 'instrument' is missing"),
        ({"signal": {}, "quote": 1, "instrument": 1}, 5, "key 'settings' is missing"),
        ({"signal": {}, "quote": 1, "instrument": 1, "settings": {}}, 5, "instrument is a number, not an object"),
        ({"signal": {}, "quote": 1, "instrument": {}, "settings": {}}, 5, "key 'instrument.symbol' is missing"),
        ({"signal": {}, "quote": 1, "instrument": {}, "settings": []}, 3, "settings is a list, not an object"),
    ],
)
def test_a_file_that_asks_nothing_is_one_clear_error(
    content: object, code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert called(content, tmp_path, "--until", "500", "--json", str(out)) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("asset_class", "stonks", "instrument.asset_class is 'stonks'; use one of crypto, forex"),
        ("tick", 0, "instrument.tick is 0; it must be a number above 0"),
        ("tick", "0.01", "it must be a number above 0"),
        ("has_volume", "yes", "instrument.has_volume is 'yes'; it must be true or false"),
        ("symbol", 7, "instrument.symbol is a number, not a name"),
    ],
)
def test_an_instrument_that_is_none_is_an_error_that_names_the_field(
    key: str, value: object, told: str, accepted: Accepted, euro: CandleSeries
) -> None:
    content = {**accepted.file, "instrument": {**accepted.file["instrument"], key: value}}
    with pytest.raises(DataError, match=told.replace(".", r"\.")):
        asked(content, accepted, euro)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"min_confidenc": 0.5}, "settings.min_confidenc is not a setting of the rules or the detector; did you mean "),
        ({"min_confidence": 2}, "settings.min_confidence is 2"),
        ({"min_confidence": "much"}, "settings.min_confidence is 'much'"),
        ({"osc_win": 2, "confirm": 2}, "needs OSC_WIN < CONFIRM <= RIGHT"),
        ({"min_osc": 3}, "settings.min_osc is a number"),
        ({"min_osc": {"rs": 3}}, "did you mean min_osc_rsi"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(
    changes: dict[str, object], told: str, accepted: Accepted, euro: CandleSeries
) -> None:
    with pytest.raises(BotError) as caught:
        asked({**accepted.file, "settings": changes}, accepted, euro)
    assert told in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("words", "told"), [(["--until", "4000"], "0 to 3999"), (["--until", "5", "--rows", "0"], "1")]
)
def test_a_snapshot_that_is_not_in_the_file_is_refused(
    words: list[str], told: str, accepted: Accepted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(accepted.file, tmp_path, *words) == 2
    assert told in capsys.readouterr().err


def test_a_snapshot_shorter_than_asked_for_is_told_and_judged(
    accepted: Accepted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(accepted.file, tmp_path, "--until", "9") == 0
    assert "note: only 10 candles end with candle 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bid", "ask", "stop", "rule3", "rule4", "rule6"),
    [
        ("99.9", "100.1", "98.1", ["pass", 1.9], ["pass", 2.0], ["pass", 0.5]),
        ("99.9", "100.2", "98.1", ["pass", 1.9], ["fail", 3.9 / 2.1], ["pass", 0.525]),
        ("99.9", "100.1", "98.11", ["pass", 1.89], ["pass", 4.0 / 1.99], ["fail", 0.4975]),
        ("99.9", "100.1", "72.1", ["pass", 27.9], ["fail", 4.0 / 28.0], ["pass", 7.0]),
        ("99.9", "100.1", "72.09", ["pass", 27.91], ["fail", 4.0 / 28.01], ["fail", 28.01 / 4]),
        ("99.9", "98.1", "98.1", ["fail", 0.0], ["fail", None], ["fail", 0.0]),
    ],
)
def test_the_golden_prices_of_rules_3_4_and_6(
    bid: str, ask: str, stop: str, rule3: list[Any], rule4: list[Any], rule6: list[Any], tmp_path: Path
) -> None:
    flat = as_file(series([(100, 102, 98, 100)] * 300), tmp_path / "flat.csv")
    text = f"""{{"signal": {{"symbol": "TEST", "timeframe": "1h", "direction": "long", "kind": "regular",
        "oscillators": ["rsi"], "p1_time": "2024-01-02T00:00:00Z", "p2_time": "2024-01-02T09:00:00Z",
        "p1_price": 98, "p2_price": 98, "entry": 100, "stop_loss": {stop}, "targets": [104.1], "confidence": 0.8}},
        "quote": [{bid}, {ask}], "settings": {{}},
        "instrument": {{"symbol": "TEST", "asset_class": "forex", "tick": 0.01, "has_volume": false}}}}"""
    out = tmp_path / "out.json"

    code = called(text.encode(), tmp_path, "--until", "299", "--rows", "300", "--json", str(out), candles=flat)

    assert code == 0
    rows = {row[0]: row[1:] for row in orjson.loads(out.read_bytes())["rows"]}
    for number, (status, measured) in (("3", rule3), ("4", rule4), ("6", rule6)):
        assert rows[number][0] == status
        assert rows[number][1] == (measured if measured is None else pytest.approx(measured, rel=1e-12))
    assert rows["5"] == ["pass", 50.0]
    assert rows["7"] == ["n/a", 0.0]
    assert rows["8"][0] == "fail"
    assert rows["12"][0] == "n/a"
