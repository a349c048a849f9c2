"""An exam as one HTML file that needs nothing beside it, and as JSON."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.layer2_intelligence.analyst.evaluation.charts import Rung
from bot.layer2_intelligence.analyst.evaluation.figures import Figures
from bot.layer2_intelligence.analyst.evaluation.gates import GateState, gate_states
from bot.layer2_intelligence.analyst.evaluation.paper import ExamItem
from bot.layer2_intelligence.analyst.evaluation.statistics import Calibration, Share
from bot.replay.analyst.pictures import SHARES, colours_of, question_picture, reliability_picture, shares_picture

_FEW: Final = 20  # outcomes below which a curve is a cloud
_DIGITS: Final = 6
_QUESTIONS: Final[Mapping[Rung, str]] = {
    Rung.PLANTED: "A planted divergence: the second fall makes a new extreme without force.",
    Rung.ABSENT: "The same movement with all its force: there is nothing to find.",
    Rung.NULL: "A random walk, shown up to any candle.",
    Rung.RECORDED: "Real candles.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamReport:
    """All that is reported. The subject is the analyst whose gates are at stake; None where only baselines sat it."""

    at: datetime
    seed: int
    items: Sequence[ExamItem] = field(repr=False)  # asyncio writes out what a task returns: seconds for these
    ranking: Sequence[Figures]
    subject: str | None
    candles: Sequence[str]

    @property
    def gates(self) -> tuple[GateState, ...]:
        """The subject's gates."""
        return next((gate_states(each) for each in self.ranking if each.analyst == self.subject), ())


def report_of(
    *,
    at: datetime,
    seed: int,
    items: Sequence[ExamItem],
    known: Sequence[Figures],
    subject: str | None,
    candles: Sequence[str],
) -> ExamReport:
    """The report, the best analyst first."""
    ranking = sorted(known, key=lambda each: (-each.score, each.analyst))
    return ExamReport(at=at, seed=seed, items=items, ranking=ranking, subject=subject, candles=candles)


def report_html(report: ExamReport) -> str:
    """One file: style and pictures are in it, and no script."""
    environment = Environment(
        loader=PackageLoader("bot.replay.analyst"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"percent": _percent, "interval": _interval, "number": _number}
    kinds = {rung: sum(each.chart.rung is rung for each in report.items) for rung in Rung}
    return environment.get_template("exam.html").render(
        report=report,
        kinds={rung.value: count for rung, count in kinds.items() if count},
        shares=SHARES,
        pictures=_pictures(report),
        questions=_question_pictures(report.items),
    )


def report_json(report: ExamReport) -> dict[str, Any]:
    """The same as JSON types."""
    return {
        "at": report.at.isoformat(),
        "seed": report.seed,
        "questions": len(report.items),
        "candles": list(report.candles),
        "subject": report.subject,
        "gates": [
            {
                "gate": state.gate.value,
                "open": state.is_open,
                "conditions": [asdict(each) for each in state.conditions],
            }
            for state in report.gates
        ],
        "ranking": [figures_json(each) for each in report.ranking],
    }


def figures_json(figures: Figures) -> dict[str, Any]:
    """All figures of one analyst as JSON types."""
    plain = {name: _plain(getattr(figures, name)) for name in Figures.__dataclass_fields__}
    return {"analyst": figures.analyst, "score": round(figures.score, 2), **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        return {
            "hits": value.hits,
            "of": value.of,
            "low": round(value.low, _DIGITS),
            "high": round(value.high, _DIGITS),
        }
    if isinstance(value, Calibration):
        return {name: _plain(getattr(value, name)) for name in Calibration.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Decimal):
        return str(value)
    return round(value, _DIGITS) if isinstance(value, float) else value


def _pictures(report: ExamReport) -> list[tuple[str, str]]:
    colours = colours_of([each.analyst for each in report.ranking])
    shares = shares_picture(report.ranking, colours)
    pictures = [("What each analyst can do: shares with their 95 % intervals.", shares)]
    says = "Confidence against the nearest target being hit before the stop, on {}."
    made = {each.analyst: each.made for each in report.ranking}
    real = {each.analyst: each.recorded for each in report.ranking}
    for where, known in (("made charts", made), ("real candles: this is what the gate asks for", real)):
        drawn = {name: each for name, each in known.items() if each.count >= _FEW}
        if drawn:
            pictures.append((says.format(where), reliability_picture(drawn, colours)))
    return [(text, _data_url(picture)) for text, picture in pictures]


def _question_pictures(items: Sequence[ExamItem]) -> list[tuple[str, str]]:
    """The first question of each kind that has a picture."""
    first = {each.chart.rung: each for each in reversed(items)}
    return [(says, _data_url(question_picture(first[rung]))) for rung, says in _QUESTIONS.items() if rung in first]


def _data_url(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(share: Share) -> str:
    return f"{share.hits} of {share.of}; {share.low:.0%} to {share.high:.0%}"


def _number(value: float | Decimal | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
