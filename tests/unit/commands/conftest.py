"""What the tests of the commands share: fakes of all venues, and the settings of paper mode that lead to them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.clock import SystemClock
from tests.fakes.street import Street


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    """Open while a test runs, in an empty working directory that is the data directory too."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    opened = await Street(SystemClock()).open()
    for name, value in {**opened.settings, "MODE": "paper", "DATA_DIRECTORY": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    yield opened
    await opened.close()
