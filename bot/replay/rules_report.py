"""What each rule rejects, and what that was worth: from the journal of a replay or of a running daemon.

Ablation: were one rule switched off alone, only the signals that it alone rejects would pass. What the market did with
those, followed with their own stop and nearest target, is what the rule saved (their mean R is below 0) or cost. Other
effects of a rule, such as the next signal that the limits of risk would then refuse, are not in this figure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import orjson

from bot.errors import DataError
from bot.layer2_intelligence.rule_names import RULE_NAMES
from bot.layer5_monitoring.performance import student
from bot.models import JournalEntry


@dataclass(slots=True)
class FollowedSignal:
    """One judged signal: the rules that failed (none: it was accepted), and its hypothetical result, if known yet."""

    failed: tuple[str, ...]
    r: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Results of some signals in R: how many, their sum and mean, and the 95 % interval of the mean.

    `low` and `high` are None where Student's interval says nothing: fewer than two results, or all of them equal.
    """

    n: int
    total: float
    mean: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Worth":
        """From results in R."""
        count = len(values)
        if not count:
            return cls(n=0, total=0.0, mean=None, low=None, high=None)
        mean, spread = fmean(values), stdev(values) if count > 1 else 0.0
        if not spread > 0.0:
            return cls(n=count, total=math.fsum(values), mean=mean, low=None, high=None)
        half = student(count - 1) * spread / math.sqrt(count)
        return cls(n=count, total=math.fsum(values), mean=mean, low=mean - half, high=mean + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule: how often it failed first, at all, and alone; and what the signals it alone rejected came to."""

    code: str
    name: str
    first: int
    any: int
    alone: int
    worth: Worth

    @property
    def verdict(self) -> str:
        """What the interval proves: "saved", "cost", or "unclear"; empty where nothing was rejected alone."""
        worth = self.worth
        if worth.high is not None and worth.high < 0:
            return "saved"
        if worth.low is not None and worth.low > 0:
            return "cost"
        return "unclear" if worth.n else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesReport:
    """All rules that failed at least once, in rule order, beside the signals that passed."""

    signals: int
    accepted: Worth
    accepted_count: int
    rejected: Worth
    rejected_count: int
    rules: tuple[RuleRow, ...]


@dataclass(slots=True)
class SignalCollector:
    """A journal that keeps what the report needs of each signal."""

    signals: dict[str, FollowedSignal] = field(default_factory=dict)

    async def record(self, entry: JournalEntry) -> None:
        """Take in one entry."""
        self.add({"kind": entry.kind, **entry.data})

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one row of a journal. Raises KeyError, TypeError or ValueError where it is not one of ours."""
        if row["kind"] == "signal":
            failed = tuple(map(str, row["failed"]))
            if not failed and row["status"] == "vetoed":
                failed = (str(row["code"]),)
            self.signals[str(row["signal"])] = FollowedSignal(failed)
        elif row["kind"] == "outcome" and row["signal"] in self.signals and row["r"] is not None:
            self.signals[row["signal"]].r = float(row["r"])


def read_journal(lines: Iterable[bytes], name: str) -> list[FollowedSignal]:
    """The signals of a journal file, one JSON object a line. Raises DataError naming the line."""
    collector = SignalCollector()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            collector.add(orjson.loads(line))
        except KeyError as error:
            raise DataError(
                f"{name}: line {number} has no {error}; is it a journal of `replay --journal` by this version? "
                "write it again"
            ) from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{name}: line {number} is not a line of a journal ({error}); write it again") from error
    return list(collector.signals.values())


def rules_report(signals: Iterable[FollowedSignal]) -> RulesReport:
    """Count rejections and their worth."""
    known = list(signals)
    accepted = [each for each in known if not each.failed]
    rejected = [each for each in known if each.failed]
    codes = sorted({code for each in rejected for code in each.failed}, key=_position)
    return RulesReport(
        signals=len(known),
        accepted=_worth(accepted),
        accepted_count=len(accepted),
        rejected=_worth(rejected),
        rejected_count=len(rejected),
        rules=tuple(_row(code, rejected) for code in codes),
    )


def _position(code: str) -> tuple[int, str]:
    codes = list(RULE_NAMES)
    return (codes.index(code) if code in RULE_NAMES else len(codes), code)


def _row(code: str, rejected: Sequence[FollowedSignal]) -> RuleRow:
    alone = [each for each in rejected if each.failed == (code,)]
    return RuleRow(
        code=code,
        name=RULE_NAMES.get(code, ""),
        first=sum(each.failed[0] == code for each in rejected),
        any=sum(code in each.failed for each in rejected),
        alone=len(alone),
        worth=_worth(alone),
    )


def _worth(signals: Sequence[FollowedSignal]) -> Worth:
    return Worth.of([each.r for each in signals if each.r is not None])


def report_json(report: RulesReport) -> dict[str, Any]:
    """The report as JSON types; results in R, six decimals."""
    return {
        "signals": report.signals,
        "accepted": {"signals": report.accepted_count, **_worth_json(report.accepted)},
        "rejected": {"signals": report.rejected_count, **_worth_json(report.rejected)},
        "rules": [
            {
                "code": row.code,
                "name": row.name,
                "first_failure": row.first,
                "any_failure": row.any,
                "only_failure": row.alone,
                **_worth_json(row.worth),
                "verdict": row.verdict,
            }
            for row in report.rules
        ],
    }


def _worth_json(worth: Worth) -> dict[str, Any]:
    numbers = {"total_r": worth.total, "mean_r": worth.mean, "low_r": worth.low, "high_r": worth.high}
    rounded = {name: None if value is None else round(value, 6) for name, value in numbers.items()}
    return {"followed": worth.n, **rounded}
