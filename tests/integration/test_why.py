"""`botctl why` reads the database that a daemon writes, and changes nothing in it."""

import asyncio
from pathlib import Path

import pytest

from bot.cli import main
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.models import Finding, FindingStatus, SignalRecord
from tests.builders import at, signal
from tests.postgres import Databases


async def test_a_stored_signal_is_explained_from_the_database_of_the_setting(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arrange
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    finding = Finding("8", "ranging market", FindingStatus.FAIL, 0.25, ">= 0.5 of its median")
    judged = SignalRecord(
        signal=signal(),
        findings=(finding,),
        score=6.25,
        status="vetoed",
        rejected_by="8",
        reason=finding.says,
        decided_at=at(),
    )
    async with databases.fresh() as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        stores = PostgresStores(await open_pool(dsn))
        await stores.signals.record(judged)
        await stores.close()

        # Act
        codes = [await asyncio.to_thread(main, ["why", *words]) for words in ([judged.signal.id], [], ["nonsense"])]

    # Assert
    told = capsys.readouterr()
    assert codes == [0, 0, 1]
    assert "failed first: rule 8 ranging market: 0.25" in told.out
    assert f"{judged.signal.id}  vetoed" in told.out
    assert "there is no signal 'nonsense'" in told.err
