"""Who gets an analyst: whoever has a key, and in dev mode only where the question stays on this machine."""

from collections.abc import Mapping

import pytest

from bot.clock import ManualClock
from bot.config import AnalystSettings, RunSettings, Settings
from bot.database.memory import MemoryStores
from bot.layer2_intelligence.analyst.desk import AnalystDesk
from bot.models import TaskId
from bot.wiring.analyst_desk import analyst_seat
from tests.builders import START

FAKE = "http://127.0.0.1:9"


async def desk_of(mode: str, key: str, url: str = "") -> AnalystDesk | None:
    settings = Settings(
        run=RunSettings.model_validate({"mode": mode}),
        analyst=AnalystSettings(anthropic_api_key=key, anthropic_url=url),
    )
    stores = MemoryStores()

    async def record(kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        """The journal is not what this is about."""

    async with analyst_seat(settings, stores) as seat:
        return seat.desk(settings, stores, ManualClock(START), record=record, on_problem=lambda text: None)


@pytest.mark.parametrize(
    ("mode", "key", "url", "asked"),
    [
        ("paper", "", "", False),
        ("paper", "sk-ant-1", "", True),
        ("dev", "", FAKE, False),
        ("dev", "sk-ant-1", "", False),
        ("dev", "sk-ant-1", FAKE, True),
    ],
)
async def test_a_model_is_asked_only_with_a_key_and_never_outside_in_dev_mode(
    mode: str, key: str, url: str, asked: bool
) -> None:
    assert (await desk_of(mode, key, url) is not None) == asked
