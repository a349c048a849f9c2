"""The schema that the migrations give: as a file, and what it refuses."""

import re
from pathlib import Path

import asyncpg
import pytest

from bot.database.migrate import read_migrations
from bot.database.pool import Pool
from bot.database.schema import SCHEMA, schema_of, write_schema


async def test_schema_sql_is_what_the_migrations_give(pool: Pool) -> None:
    assert SCHEMA.read_text() == await schema_of(pool), "a migration changed the schema: run write_schema and commit it"


async def test_schema_sql_can_be_run_and_gives_the_same_schema(empty_pool: Pool, tmp_path: Path) -> None:
    # Act
    await empty_pool.execute(SCHEMA.read_text())
    await write_schema(empty_pool, tmp_path / "again.sql")

    # Assert
    assert (tmp_path / "again.sql").read_text() == SCHEMA.read_text()


def test_no_migration_asks_the_database_for_the_time() -> None:
    clocks = r"\b(now|current_timestamp|localtimestamp|clock_timestamp|statement_timestamp|transaction_timestamp)\b"
    for migration in read_migrations():
        statements = re.sub(r"--.*", "", migration.sql)
        assert not re.search(clocks, statements, re.IGNORECASE), migration.name


@pytest.mark.parametrize("table", ["order_events", "fills", "journal", "kill_events", "audit_log"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET {column} = {column}"])
async def test_facts_cannot_be_changed(pool: Pool, table: str, change: str) -> None:
    column = "at" if table != "fills" else "filled_at"
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await pool.execute(change.format(table, column=column))


async def test_every_query_of_a_page_or_of_the_order_path_has_its_index(pool: Pool) -> None:
    # Arrange: an empty table is always scanned whole, so ask what would be done if scanning were dear
    queries = {
        "orders_unfinished": "SELECT 1 FROM orders WHERE state IN ('INTENT', 'SENDING', 'UNKNOWN', 'WORKING',"
        " 'TRIGGERED', 'PARTIAL', 'REPLACE_PENDING', 'CANCEL_PENDING') ORDER BY created_at, client_order_id",
        "orders_of_position": "SELECT 1 FROM orders WHERE position_id = 'p' ORDER BY created_at, client_order_id",
        "orders_newest": "SELECT 1 FROM orders ORDER BY created_at DESC, client_order_id DESC LIMIT 9",
        "positions_open": "SELECT 1 FROM positions WHERE closed_at IS NULL ORDER BY opened_at, id",
        "positions_closed": "SELECT 1 FROM positions WHERE closed_at IS NOT NULL AND first_quantity > 0"
        " ORDER BY closed_at DESC, id DESC LIMIT 9",
        "signals_newest": "SELECT 1 FROM signals ORDER BY decided_at DESC, id DESC LIMIT 9",
        "outcomes_unfinished": "SELECT 1 FROM outcomes WHERE NOT done ORDER BY started_at, signal_id",
        "analyst_opinions_newest": "SELECT 1 FROM analyst_opinions ORDER BY at DESC, task_id DESC LIMIT 9",
        "analyst_opinions_entered": "SELECT count(*) FROM analyst_opinions WHERE lets_enter AND at >= '2024-01-01'",
        "analyst_gates_newest": "SELECT 1 FROM analyst_gates WHERE model = 'm' ORDER BY number DESC LIMIT 1",
        "alerts_lasting": "SELECT 1 FROM alerts WHERE lasts AND resolved_at IS NULL ORDER BY raised_at DESC",
        "alerts_waiting": "SELECT 1 FROM alerts WHERE severity = 'critical' AND resolved_at IS NULL"
        " AND acked_at IS NULL ORDER BY raised_at DESC",
        "alerts_by_time": "SELECT 1 FROM alerts WHERE raised_at < '2024-01-01' ORDER BY raised_at DESC LIMIT 9",
        "alerts_by_use": "SELECT 1 FROM alerts WHERE last_at >= '2024-01-01'",
        "user_sessions_of_user": "SELECT 1 FROM user_sessions WHERE user_name = 'u' ORDER BY opened_at DESC LIMIT 9",
        "api_tokens_newest": "SELECT 1 FROM api_tokens ORDER BY created_at DESC, id DESC LIMIT 9",
        "audit_log_by_who": "SELECT 1 FROM audit_log WHERE who = 'w' AND number < 9 ORDER BY number DESC LIMIT 9",
        "audit_log_by_what": "SELECT 1 FROM audit_log WHERE what = 'w' ORDER BY number DESC LIMIT 9",
        "order_events_of_order": "SELECT at FROM order_events WHERE client_order_id = 'o' ORDER BY sequence",
    }

    # Act
    async with pool.acquire() as connection:
        await connection.execute("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off")
        plans = {
            index: "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}"))
            for index, query in queries.items()
        }

    # Assert
    assert {index for index, plan in plans.items() if f"using {index}" not in plan} == set()
