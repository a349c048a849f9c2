"""The schema as one readable file, `schema.sql`, made from the catalog of a migrated database.

It is for reading and for reviewing a migration's effect as a diff; databases are made by the migrations.
"""

import asyncio
from pathlib import Path
from typing import Final

from bot.database.access import Database
from bot.database.pool import Pool

SCHEMA: Final = Path(__file__).parent / "schema.sql"

_HEADING: Final = """\
-- Made from the migrations by bot.database.schema.write_schema: do not edit.
-- A test compares it with a migrated database.
"""

_TABLES: Final = """
    SELECT class.oid, class.relname AS name FROM pg_class AS class
    WHERE class.relkind = 'r' AND class.relnamespace = 'public'::regnamespace
    ORDER BY class.relname COLLATE "C"
"""

_COLUMNS: Final = """
    SELECT quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
        || CASE WHEN attcollation NOT IN (0, 100) THEN ' COLLATE ' || quote_ident(collname) ELSE '' END
        || CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
        || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
        || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_collation ON pg_collation.oid = attcollation
    WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""

# PostgreSQL 18 lists NOT NULL ('n') among the constraints; the columns tell it already, in every version.
_CONSTRAINTS: Final = """
    SELECT 'CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = $1::oid AND contype::text = ANY ($2::text[])
    ORDER BY contype, conname COLLATE "C"
"""

_INDEXES: Final = """
    SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = $1::oid AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
    ORDER BY relname COLLATE "C"
"""

_TRIGGERS: Final = """
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal
    ORDER BY tgname COLLATE "C"
"""

_FUNCTIONS: Final = """
    SELECT pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    ORDER BY proname COLLATE "C"
"""

_TABLE_PARTS: Final = ["p", "u", "c"]  # primary key, unique, check
_FOREIGN_KEY: Final = ["f"]


async def schema_of(pool: Pool) -> str:
    """Tables, indexes, functions and triggers of schema `public`, as SQL in a stable order."""
    database = Database(pool)
    tables = await database.rows(_TABLES)
    parts = [await _table(database, table["oid"], table["name"]) for table in tables]
    for table in tables:
        # After all tables, so that the file can be run as it stands.
        foreign_keys = await _texts(database, _CONSTRAINTS, table["oid"], _FOREIGN_KEY)
        parts.append("".join(f"ALTER TABLE {table['name']} ADD {each};\n" for each in foreign_keys))
    parts += [f"{each.strip()};\n" for each in await _texts(database, _FUNCTIONS)]
    for table in tables:
        parts.append("".join(f"{each};\n" for each in await _texts(database, _TRIGGERS, table["oid"])))
    return "\n".join([_HEADING, *(each for each in parts if each)])


async def write_schema(pool: Pool, path: Path = SCHEMA) -> None:
    """Write `schema_of` a migrated database to `path`; run it after a new migration."""
    text = await schema_of(pool)
    await asyncio.to_thread(path.write_text, text, encoding="utf-8")


async def _table(database: Database, oid: int, name: str) -> str:
    columns = await _texts(database, _COLUMNS, oid)
    constraints = await _texts(database, _CONSTRAINTS, oid, _TABLE_PARTS)
    body = ",\n".join(f"    {each}" for each in [*columns, *constraints])
    indexes = "".join(f"{each};\n" for each in await _texts(database, _INDEXES, oid))
    return f"CREATE TABLE {name} (\n{body}\n);\n{indexes}"


async def _texts(database: Database, query: str, *values: object) -> list[str]:
    return [row[0] for row in await database.rows(query, *values)]
