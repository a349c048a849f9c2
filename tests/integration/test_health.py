"""/health, /ready and /health/deep as a monitor sees them."""

import json
from collections.abc import Sequence

import pytest

from bot.clock import ManualClock
from bot.layer5_monitoring.checkup import Checkup, Finding, Question, Status
from tests.integration.test_dashboard import served


def checkup(*statuses: Status) -> Checkup:
    def question(name: str, status: Status) -> Question:
        async def ask() -> Sequence[Finding]:
            return [Finding(name=name, status=status, says=f"is {status}", next_step="do it")]

        return Question(name=name, ask=ask, within_s=1, next_step="")

    return Checkup([question(f"check {number}", status) for number, status in enumerate(statuses)], ManualClock())


@pytest.mark.parametrize(
    ("reason", "status"), [("", 200), ("starting: opening the market", 503), ("stopping", 503)], ids=str
)
async def test_ready_answers_a_stranger_with_the_reason_and_asks_nobody(reason: str, status: int) -> None:
    async with served(ready=lambda: reason) as daemon:
        code, text = await daemon.get("/ready")

    assert (code, json.loads(text)) == (status, {"ready": not reason, "reason": reason})


@pytest.mark.parametrize(
    ("statuses", "code", "worst"),
    [(("ok", "ok"), 200, "ok"), (("ok", "warn"), 200, "warn"), (("fail", "ok"), 503, "fail")],
)
async def test_deep_health_is_503_only_where_a_check_failed(
    statuses: tuple[Status, ...], code: int, worst: str
) -> None:
    async with served(checkup=checkup(*statuses)) as daemon:
        await daemon.enter()
        found, text = await daemon.get("/health/deep")

    answer = json.loads(text)
    assert (found, answer["status"]) == (code, worst)
    assert [each["status"] for each in answer["checks"]] == list(statuses)
    assert answer["checks"][0]["next_step"] == "do it"


async def test_deep_health_tells_a_stranger_nothing() -> None:
    async with served(checkup=checkup("fail")) as daemon:
        code, text = await daemon.get("/health/deep")

    assert code == 401
    assert "check 0" not in text
