"""The broker contract against every adapter, as a table: `python -m tests.contract.conformance_table`.

`yes`: it holds; `-`: it does not apply there, with the reason below; `NO`: it fails.
"""

import re
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

import pytest

_NAME: Final = re.compile(r"test_(\d+[a-z]?)_(\w+)\[(\w+?)(?:-.*)?\]$")
_CASES: Final = Path(__file__).with_name("test_broker_contract.py")
_WORDS: Final = {"passed": "yes", "skipped": "-", "failed": "NO"}
_WORST: Final = ("NO", "yes", "-", "")


class Table:
    """A plugin that keeps what became of each case on each stand."""

    def __init__(self) -> None:
        self.cases: dict[str, str] = {}
        self.stands: dict[str, None] = {}
        self.found: dict[tuple[str, str], str] = defaultdict(str)
        self.reasons: dict[tuple[str, str], list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for set-up, call and tear-down of each case."""
        match = _NAME.search(report.nodeid)
        if match is None or (report.when != "call" and report.passed):
            return
        number, title, stand = match.groups()
        self.cases[number] = title.replace("_", " ")
        self.stands[stand] = None
        both = (self.found[number, stand], _WORDS[report.outcome])
        self.found[number, stand] = min(both, key=_WORST.index)
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if stand not in self.reasons[number, reason]:
                self.reasons[number, reason].append(stand)

    def __str__(self) -> str:
        heads = [each.removesuffix("Stand") for each in self.stands]
        lines = [f"| case | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
        for number, title in sorted(self.cases.items(), key=lambda each: (int(each[0][:2]), each[0])):
            cells = " | ".join(self.found[number, stand] for stand in self.stands)
            lines.append(f"| {number} {title} | {cells} |")
        lines += ["", "Where a case does not apply:", ""]
        for (number, reason), stands in self.reasons.items():
            lines.append(f"- {number}: {reason} ({', '.join(each.removesuffix('Stand') for each in stands)})")
        return "\n".join(lines)


def main() -> int:
    """Run the cases and print the table."""
    table = Table()
    with redirect_stdout(StringIO()):  # pytest's own
        code = pytest.main(["--no-header", "-k", "not Like", str(_CASES)], plugins=[table])
    sys.stdout.write(f"{table}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
