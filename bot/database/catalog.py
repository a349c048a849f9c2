"""What of a database is ours: a server may hold tables of other programs beside them, which we never touch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.database.migrate import LEDGER, Migration
from bot.database.pool import Connection
from bot.errors import SchemaMismatch

_MADE: Final = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+)?(TABLE|VIEW|MATERIALIZED\s+VIEW|FUNCTION|TYPE)\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?([a-z_][a-z0-9_]*)",
    re.IGNORECASE,
)
_DROP_ORDER: Final = ("VIEW", "MATERIALIZED VIEW", "TABLE", "FUNCTION", "TYPE")

_TABLES: Final = """
    SELECT oid, relname AS name, greatest(reltuples, 0)::bigint AS estimate FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname = ANY ($1::text[])
    ORDER BY relname COLLATE "C"
"""
_COLUMNS: Final = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ORDER BY attnum
"""
_REFERENCES: Final = """
    SELECT conrelid::bigint AS referrer, confrelid::bigint AS referred FROM pg_constraint
    WHERE contype = 'f' AND conrelid <> confrelid AND conrelid = ANY ($1::oid[])
"""
_SEQUENCES: Final = """
    SELECT class.relname AS table, attname AS column, pg_get_serial_sequence(class.oid::regclass::text, attname) AS name
    FROM pg_attribute JOIN pg_class AS class ON class.oid = attrelid
    WHERE attrelid = ANY ($1::oid[]) AND NOT attisdropped
        AND pg_get_serial_sequence(class.oid::regclass::text, attname) IS NOT NULL
    ORDER BY class.relname COLLATE "C", attnum
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One of our tables as the database has it; generated columns are left out."""

    oid: int
    name: str
    columns: tuple[str, ...]
    estimated_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSource:
    """The sequence behind a column."""

    table: str
    column: str
    name: str


def made_by(migrations: Sequence[Migration]) -> dict[str, list[str]]:
    """Names of what these files make, by kind, in the order in which kinds can be dropped."""
    found: dict[str, list[str]] = {kind: [] for kind in _DROP_ORDER}
    found["TABLE"].append(LEDGER)
    for migration in migrations:
        text = re.sub(r"--.*", "", migration.sql)
        for kind, name in _MADE.findall(text):
            found[" ".join(kind.upper().split())].append(name.lower())
    return {kind: list(dict.fromkeys(names)) for kind, names in found.items()}


async def our_tables(connection: Connection, migrations: Sequence[Migration]) -> tuple[Table, ...]:
    """Those that are there, each after the ones that it refers to."""
    rows = await connection.fetch(_TABLES, made_by(migrations)["TABLE"])
    tables = {
        row["oid"]: Table(
            oid=row["oid"],
            name=row["name"],
            columns=tuple(each["attname"] for each in await connection.fetch(_COLUMNS, row["oid"])),
            estimated_rows=row["estimate"],
        )
        for row in rows
    }
    waits_for: dict[int, set[int]] = {oid: set() for oid in tables}
    for row in await connection.fetch(_REFERENCES, list(tables)):
        waits_for[row["referrer"]].add(row["referred"])
    ordered: list[Table] = []
    while waits_for:
        ready = [oid for oid, others in waits_for.items() if not others & waits_for.keys()]
        if not ready:
            names = ", ".join(tables[oid].name for oid in waits_for)
            raise SchemaMismatch(f"the tables {names} refer to each other in a circle, so none can be restored first")
        ordered += [tables[oid] for oid in ready]
        waits_for = {oid: others for oid, others in waits_for.items() if oid not in ready}
    return tuple(ordered)


async def our_sequences(connection: Connection, tables: Sequence[Table]) -> tuple[NumberSource, ...]:
    """The sequences behind identity and serial columns of these tables."""
    rows = await connection.fetch(_SEQUENCES, [each.oid for each in tables])
    return tuple(NumberSource(table=row["table"], column=row["column"], name=row["name"]) for row in rows)
