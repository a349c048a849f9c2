"""`botctl analyst evaluate`: an exam whose truth is known, for models and for analysts of known skill beside them."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import ProgressBar, check_writable, write_json, write_whole
from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.config import Loaded, Settings
    from bot.layer2_intelligence.analyst.evaluation.figures import Figures
    from bot.layer2_intelligence.analyst.evaluation.paper import ExamItem
    from bot.layer2_intelligence.analyst.evaluation.statistics import Share
    from bot.layer2_intelligence.analyst.nouns import AnalystGateway
    from bot.replay.analyst.report import ExamReport
    from bot.wiring.analyst_exam import ExamOrder

Baseline = Literal["perfect", "detector", "random", "always-long", "fabricating"]


def evaluate(
    *,
    recordings: Annotated[Path | None, Parameter(help="examine the models whose answers are recorded here")] = None,
    live: Annotated[bool, Parameter(negative="", help="examine a model that is asked now; needs a key")] = False,
    model: Annotated[
        str | None, Parameter(help="which model; default: ANALYST_MODEL, or all that are recorded")
    ] = None,
    budget: Annotated[Decimal | None, Parameter(help="most dollars that --live may spend")] = None,
    record: Annotated[Path | None, Parameter(help="write the live answers to this directory")] = None,
    analyst: Annotated[
        list[Baseline] | None, Parameter(help="only these analysts of known skill; default: all", negative="")
    ] = None,
    candles: Annotated[
        list[str] | None,
        Parameter(help="real candles as SYMBOL:TIMEFRAME:FILE; may be repeated", negative="", consume_multiple=True),
    ] = None,
    questions: Annotated[int, Parameter(help="how many questions on real candles, over all files")] = 200,
    seed: Annotated[int, Parameter(help="which paper is asked; recordings answer the paper they were made with")] = 1,
    open_gates: Annotated[
        bool, Parameter(negative="", help="let the running daemon give the model the say that its figures have earned")
    ] = False,
    out: Annotated[Path | None, Parameter(help="write an HTML report with pictures to this file")] = None,
    json: Annotated[Path | None, Parameter(help="write all figures to this file")] = None,
) -> None:
    """Examine analysts on charts whose truth is known, and on real candles; say which gates a model has earned."""
    from bot.config import find_env_file, load_settings
    from bot.layer2_intelligence.analyst.evaluation.baselines import BASELINES
    from bot.layer2_intelligence.analyst.evaluation.paper import PaperSize
    from bot.replay.analyst.report import report_html, report_json
    from bot.wiring.analyst_exam import ExamOrder, candles_of, check_model, exam_items, recordings_of

    for path in (out, json):
        check_writable(path)
    _check_source(recordings, live, budget, record)
    loaded = load_settings(os.environ, find_env_file(Path.cwd()))
    settings = loaded.settings
    recorded = recordings_of(recordings) if recordings is not None else None
    models = [model] if model else list(recorded.models) if recorded else [settings.analyst.analyst_model]
    for each in models if live else ():
        check_model(each)
    order = ExamOrder(
        baselines=[each for each in BASELINES if analyst is None or each in analyst],
        models=models if live or recorded else [],
        candles=[candles_of(each) for each in candles or ()],
        size=PaperSize(recorded=questions),
        seed=seed,
        budget=budget,
    )
    items = exam_items(settings, order)
    report = asyncio.run(_examined(settings, order, items, _gateway(settings, recorded, live, budget, record)))
    if out is not None:
        write_whole(out, report_html(report).encode())
    if json is not None:
        write_json(json, report_json(report))
    show(report)
    if recorded is not None:
        print(f"recorded answers by origin: {', '.join(f'{name} {n}' for name, n in recorded.origins.items())}")
    if report.subject is not None:
        print(_store(loaded, report, live=live, open_gates=open_gates))


def _check_source(recordings: Path | None, live: bool, budget: Decimal | None, record: Path | None) -> None:
    if live and recordings is not None:
        raise UsageError("name either --live or --recordings DIR, not both")
    if live and (budget is None or not budget > 0):
        raise UsageError("--live spends money: say how much with --budget, in dollars, such as --budget 0.50")
    if not live and (budget is not None or record is not None):
        raise UsageError("--budget and --record belong to --live; nothing else spends or records anything")


def _gateway(
    settings: "Settings", recorded: object, live: bool, budget: Decimal | None, record: Path | None
) -> "AbstractAsyncContextManager[AnalystGateway | None]":
    from bot.wiring.analyst_exam import Recordings, live_gateway

    if live and budget is not None:
        return live_gateway(settings, budget, record)
    return nullcontext(recorded.gateway if isinstance(recorded, Recordings) else None)


async def _examined(
    settings: "Settings",
    order: "ExamOrder",
    items: "Sequence[ExamItem]",
    gateway: "AbstractAsyncContextManager[AnalystGateway | None]",
) -> "ExamReport":
    from bot.wiring.analyst_exam import run_exam

    asked = len(items) * (len(order.baselines) + len(order.models))
    with ProgressBar("exam", "answers", asked) as bar:
        names: list[str] = []

        def progress(name: str) -> Callable[[int], None]:
            names.append(name)
            before = len(items) * (len(names) - 1)
            return lambda count: bar.done(before + count)

        async with gateway as answers:
            return await run_exam(settings, order, items, answers, progress)


def _store(loaded: "Loaded", report: "ExamReport", *, live: bool, open_gates: bool) -> str:
    """Keep the gate where the daemon reads it; what was done, for a person.

    A live exam closes a gate that its figures do not bear; old answers touch it only if they are told to.
    """
    from bot.commands.status import NoDaemon, find_daemon
    from bot.wiring.analyst_exam import store_gate

    if not (live or open_gates):
        return "recorded answers leave the daemon's gates as they are; --open-gates stores what they come to"
    figures = next(each for each in report.ranking if each.analyst == report.subject)
    try:
        find_daemon(loaded.data_directory)
    except NoDaemon:
        return "no daemon runs here, so its gates are as they were"
    gate = asyncio.run(store_gate(loaded, figures, may_open=open_gates))
    decides, counts = (("may not", "may")[each] for each in (gate.may_decide, gate.confidence_counts))
    return f"the daemon knows: {gate.model} {decides} decide, its confidence {counts} count"


def show(report: "ExamReport") -> None:
    """The ranking and the gates, on a terminal."""
    console = Console(file=sys.stdout)
    title = f"{len(report.items):,} questions, seed {report.seed}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("analyst", no_wrap=True)
    for heading in (
        "score",
        "true claims",
        "found",
        "silent",
        "false alarm",
        "mirror",
        "scale",
        "again",
        "Brier",
        "real",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.ranking:
        table.add_row(
            each.analyst, f"{each.score:.1f}", *_shares(each), _number(each.made.brier), _number(each.recorded.brier)
        )
    console.print(table)
    console.print(
        "found: planted divergences; silent: where there is none; false alarm: in random walks, without the detector; "
        "mirror, scale, again: the same answer upside down, at another price, asked again; Brier: of the confidence "
        "that the target comes before the stop, on made charts and on real candles (0 is perfect, 0.25 a coin).",
        style="dim",
    )
    for state in report.gates:
        console.print(state.says, style="green" if state.is_open else "yellow", markup=False)


def _shares(figures: "Figures") -> list[str]:
    shares = (
        figures.true_claims,
        figures.planted_found,
        figures.absent_quiet,
        figures.null_false,
        figures.mirrored,
        figures.rescaled,
        figures.repeated,
    )
    return [_percent(each) for each in shares]


def _percent(share: "Share") -> str:
    return "-" if share.value is None else f"{share.value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
