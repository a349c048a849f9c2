"""The connection pool: bounded in size and in time, JSON by orjson, and a clear word when the server is down."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import parse_qsl, urlsplit

import orjson

from bot.errors import ConfigError, DatabaseUnavailable

# Importing asyncpg takes 0.06 s that the health port need not wait for: it is imported where it is first needed.
if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Record: TypeAlias = "asyncpg.Record"

_MIN_CONNECTIONS: Final = 1
_MAX_CONNECTIONS: Final = 6
# An intent that a power cut can undo is no intent, whatever the server's default says.
DURABLE: Final[Mapping[str, str]] = {"application_name": "trading-bot", "synchronous_commit": "on"}
_SESSION: Final[Mapping[str, str]] = {
    **DURABLE,
    "timezone": "UTC",
    "statement_timeout": "10000",  # milliseconds, as the next two
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",  # our statements are small; compiling one takes longer than running it
}
_JSONB_VERSION: Final = b"\x01"


async def open_pool(
    dsn: str,
    *,
    timeout_s: float | None = 15.0,
    most: int = _MAX_CONNECTIONS,
    connection_class: "type[asyncpg.Connection[asyncpg.Record]] | None" = None,
) -> Pool:
    """A pool of 1 to `most` connections to the PostgreSQL at `dsn` (postgresql://user:password@host:port/name).

    `timeout_s` bounds each connect and each answer, in seconds of the event loop's clock; None where that clock jumps.
    `connection_class` is asyncpg's own if None.
    Raises DatabaseUnavailable when the server does not let us in, ConfigError when `dsn` is not an address.
    """
    import asyncpg

    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=_MIN_CONNECTIONS,
            max_size=most,
            max_inactive_connection_lifetime=0,  # 0: keep them; its timer misfires on a loop whose clock jumps
            max_cached_statement_lifetime=0,
            timeout=cast(float, timeout_s),  # None is allowed, whatever the types say
            command_timeout=timeout_s,
            server_settings=dict(_SESSION),
            init=_prepare,
            connection_class=connection_class or asyncpg.Connection,
        )
    except ValueError as error:  # asyncpg's ClientConfigurationError, and urllib's complaints
        raise ConfigError(
            "DATABASE_URL does not read as postgresql://user:password@host:port/name; correct it, or leave it empty "
            "for the embedded database"
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(
            f"{place_of(dsn)} does not let us in: {_said(error)}; "
            "start the server or correct DATABASE_URL (empty: the embedded one)"
        ) from error


def place_of(dsn: str) -> str:
    """Which database `dsn` means, for a message: host, port, name and user, never the password."""
    try:
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
        host, port = parts.hostname or query.get("host", "localhost"), parts.port or query.get("port", "5432")
        user = parts.username or query.get("user", "")
    except ValueError:
        return "PostgreSQL at DATABASE_URL"
    name = parts.path.lstrip("/") or user
    return f"PostgreSQL at {host}:{port}, database {name!r}" + (f", user {user!r}" if user else "")


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record] | Connection") -> None:
    await connection.set_type_codec(
        "jsonb", encoder=_jsonb_bytes, decoder=_jsonb_value, schema="pg_catalog", format="binary"
    )


def _jsonb_bytes(value: object) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value, default=str)  # a Decimal in the journal is a string, not a lost entry


def _jsonb_value(data: bytes) -> object:
    return orjson.loads(memoryview(data)[1:])


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
