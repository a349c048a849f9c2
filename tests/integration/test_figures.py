"""What the pages add up is kept by triggers in the transactions of trading: none of them may hold trading up."""

import asyncio
from dataclasses import replace

import pytest

from bot.database.pool import Pool
from bot.database.postgres import PostgresStores
from bot.models import OutcomeVerdict, SignalId
from tests.contract.store_builders import outcome, signal_record

ANSWER_WITHIN_S = 5.0


@pytest.fixture
async def followed(pool: Pool) -> PostgresStores:
    """One signal with an outcome that is still open."""
    stores = PostgresStores(pool)
    await stores.signals.record(signal_record("s1"))
    await stores.outcomes.save(outcome("s1", r=0.1))
    return stores


async def test_a_signal_goes_on_while_open_outcomes_take_in_a_candle(pool: Pool, followed: PostgresStores) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE outcomes SET r = 0.2")

        async with asyncio.timeout(ANSWER_WITHIN_S):
            await followed.signals.update_status(SignalId("s1"), "ordered", "buy 1")

    assert await followed.signals.counts() == {"ordered": 1}


@pytest.mark.parametrize("again", [OutcomeVerdict.OPEN, OutcomeVerdict.NEITHER])
async def test_an_outcome_that_is_decided_and_changes_again_is_counted_as_it_is(
    pool: Pool, followed: PostgresStores, again: OutcomeVerdict
) -> None:
    decided = replace(outcome("s1"), verdict=OutcomeVerdict.STOP_HIT, r=-1.0, done=True)
    await followed.outcomes.save(decided)

    await followed.outcomes.save(replace(decided, verdict=again, r=0.5))

    row = await pool.fetchrow("SELECT signals, decided, stops, measured, r_sum::float8 AS r_sum FROM signal_counts")
    is_decided = again is not OutcomeVerdict.OPEN
    assert row is not None
    assert dict(row) == {
        "signals": 1,
        "decided": int(is_decided),
        "stops": 0,
        "measured": int(is_decided),
        "r_sum": 0.5 if is_decided else 0.0,
    }
