"""After a restore the venue's truth wins: what happened between the backup and the loss is found again (D7)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from bot.clock import ManualClock
from bot.database.archive import new_archive, open_archive
from bot.database.backup import back_up, restore
from bot.database.pool import Pool
from bot.database.postgres import PostgresStores
from bot.differences import DifferenceKind
from bot.models import OrderState
from tests.builders import approved_order
from tests.integration.test_backup import EMPTY
from tests.postgres import START, Databases
from tests.unit.layer3_execution.desk import BROKER, Desk

CLOCK = ManualClock(START)


async def desk_on(pool: Pool, *, venue_of: Desk | None = None) -> Desk:
    """The order path over PostgreSQL; with `venue_of`, a new process at the same venue."""
    desk = venue_of or Desk()
    desk.stores = PostgresStores(pool)  # type: ignore[assignment]
    await desk.restart()
    return desk


@asynccontextmanager
async def from_backup(databases: Databases, path: Path, desk: Desk) -> AsyncIterator[Desk]:
    """The machine is lost; the backup is restored into a new database, and a new daemon starts on it."""
    async with databases.pool(template=EMPTY) as pool:
        with open_archive(path) as archive:
            await restore(pool, archive, CLOCK)
        yield await desk_on(pool, venue_of=desk)


async def test_a_stop_that_was_filled_after_the_backup_is_found_again(
    databases: Databases, pool: Pool, tmp_path: Path
) -> None:
    # Arrange: a position, the backup, then its stop is filled and known to the old database only
    desk = await desk_on(pool)
    await desk.bought()
    await desk.tracker.collect(BROKER)
    with new_archive(tmp_path / "before.zip") as archive:
        await back_up(pool, archive, CLOCK)
    await desk.price(97)
    lost = await desk.position()
    assert lost.exit_reason == "STOP"

    async with from_backup(databases, tmp_path / "before.zip", desk) as recovered:
        assert (await recovered.position()).is_open

        # Act
        report = await recovered.reconciler.run(BROKER)

        # Assert
        found = await recovered.position()
        assert (found.exit_reason, found.realised, found.closed_quantity) == (
            lost.exit_reason,
            lost.realised,
            lost.closed_quantity,
        )
        assert (await recovered.states())["stop"] is OrderState.FILLED
        assert report.clean


async def test_a_position_that_was_opened_after_the_backup_is_told_and_never_closed_unasked(
    databases: Databases, pool: Pool, tmp_path: Path
) -> None:
    # Arrange
    desk = await desk_on(pool)
    with new_archive(tmp_path / "before.zip") as archive:
        await back_up(pool, archive, CLOCK)
    await desk.bought()

    async with from_backup(databases, tmp_path / "before.zip", desk) as recovered:
        # Act
        report = await recovered.reconciler.run(BROKER)

        # Assert
        assert not report.clean
        assert DifferenceKind.UNKNOWN_POSITION in {each.kind for each in report.differences}
        held = await recovered.at_venue()
        assert held is not None
        assert held.quantity == approved_order().quantity > Decimal(0)
