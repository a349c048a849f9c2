"""`botctl bench`: the benchmarks in bench/, as a table and as JSON."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.config import project_directory
from bot.errors import UsageError


def bench(
    name: Annotated[str | None, Parameter(help="one benchmark, such as replay; all if left out")] = None,
    /,
    *,
    json: Annotated[Path | None, Parameter(help="write the figures to this file")] = None,
) -> None:
    """Measure this machine: each figure beside a reference of the same run. Not a test: nothing fails by being slow."""
    found = {each.stem.removeprefix("bench_"): each for each in sorted(_folder().glob("bench_*.py"))}
    if name is not None and name not in found:
        raise UsageError(f"there is no benchmark {name!r}; use one of: {', '.join(found) or 'none is installed'}")
    figures = {}
    for each in [name] if name else list(found):
        Console(stderr=True).print(f"measuring {each} ...")
        figures[each] = dict(_loaded(found[each])())
        _show(each, figures[each])
    if json is not None:
        json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _folder() -> Path:
    return project_directory() / "bench"


def _loaded(path: Path) -> Callable[[], Mapping[str, float]]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as a benchmark")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    run: Callable[[], Mapping[str, float]] = module.run
    return run


def _show(name: str, figures: Mapping[str, float]) -> None:
    table = Table(title=name, box=None, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,}")
    Console().print(table)
