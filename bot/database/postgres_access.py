"""Sessions, tokens and the audit in PostgreSQL. People are in `postgres_users`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.access import ApiToken, AuditEntry, AuditResult, Scope, StoredSession
from bot.database.access import Database
from bot.database.codec import storable
from bot.database.pool import Record

_SESSION: Final = "digest, id, user_name, opened_at, used_at, stepped_up_at, address, agent"
_INSERT_SESSION: Final = f"INSERT INTO user_sessions ({_SESSION}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608
_SELECT_SESSION: Final = f"SELECT {_SESSION} FROM user_sessions WHERE digest = $1"  # noqa: S608 - made of constants
_SELECT_SESSIONS: Final = f"""
    SELECT {_SESSION} FROM user_sessions WHERE user_name = $1 ORDER BY opened_at DESC, id DESC LIMIT 100
"""  # noqa: S608 - made of constants
_TOUCH_SESSION: Final = "UPDATE user_sessions SET used_at = greatest(used_at, $2) WHERE digest = $1"
_CLOSE: Final = "DELETE FROM user_sessions WHERE digest = $1 RETURNING true"
_CLOSE_ALL: Final = """
    WITH gone AS (
        DELETE FROM user_sessions
        WHERE user_name = $1 AND ($2::bytea IS NULL OR digest <> $2) AND ($3 = '' OR id = $3) RETURNING 1
    )
    SELECT count(*) FROM gone
"""
_PURGE: Final = """
    WITH gone AS (DELETE FROM user_sessions WHERE opened_at <= $1 OR used_at <= $2 RETURNING 1)
    SELECT count(*) FROM gone
"""

_TOKEN: Final = "id, digest, user_name, label, scopes, created_at, expires_at, revoked_at, used_at"  # noqa: S105
_INSERT_TOKEN: Final = f"INSERT INTO api_tokens ({_TOKEN}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608
_SELECT_TOKEN: Final = f"SELECT {_TOKEN} FROM api_tokens WHERE id = $1"  # noqa: S608 - made of constants
_SELECT_TOKENS: Final = f"""
    SELECT {_TOKEN} FROM api_tokens WHERE $2 = '' OR user_name = $2 ORDER BY created_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - made of constants
_REVOKE: Final = "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING true"
_TOUCH_TOKEN: Final = "UPDATE api_tokens SET used_at = greatest(used_at, $2) WHERE id = $1"  # noqa: S105

_ENTRY: Final = "at, who, how, address, what, detail, result"
_INSERT_ENTRY: Final = f"INSERT INTO audit_log ({_ENTRY}) VALUES ($1, $2, $3, $4, $5, $6, $7)"  # noqa: S608
# One plan for each set of filters, so that each has its index.
_CONDITIONS: Final = (("before", "number < ${}"), ("who", "who = ${}"), ("what", "what = ${}"))


class PostgresSessions:
    """`SessionStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, session: StoredSession, *, instead_of: bytes | None = None) -> None:
        """Store a new session, and end another one in the same moment."""
        values = (
            session.digest,
            session.id,
            storable(session.user),
            session.opened_at,
            session.used_at,
            session.stepped_up_at,
            session.address,
            storable(session.agent),
        )
        async with self._database.transaction() as connection:
            if instead_of is not None:
                await connection.execute(_CLOSE, instead_of)
            await connection.execute(_INSERT_SESSION, *values)

    async def get(self, digest: bytes) -> StoredSession | None:
        """One session, whether it still holds or not."""
        row = await self._database.row(_SELECT_SESSION, digest)
        return None if row is None else _session_of(row)

    async def touch(self, digest: bytes, at: datetime) -> None:
        """It was used at `at`."""
        await self._database.write(_TOUCH_SESSION, digest, at)

    async def of(self, user: str) -> Sequence[StoredSession]:
        """All of one person, newest first; a hundred at most."""
        return [_session_of(row) for row in await self._database.rows(_SELECT_SESSIONS, storable(user))]

    async def close(self, digest: bytes) -> bool:
        """End one; False if it is not there."""
        return await self._database.write(_CLOSE, digest) is True

    async def close_all(self, user: str, *, but: bytes | None = None, only_id: str = "") -> int:
        """End those of one person, or of these the one with that id; how many ended."""
        return int(await self._database.write(_CLOSE_ALL, storable(user), but, storable(only_id)))

    async def purge(self, *, opened_before: datetime, used_before: datetime) -> int:
        """Forget those that have run out; how many."""
        return int(await self._database.write(_PURGE, opened_before, used_before))


class PostgresTokens:
    """`TokenStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: ApiToken) -> None:
        """Store a new one."""
        await self._database.write(
            _INSERT_TOKEN,
            token.id,
            token.digest,
            storable(token.user),
            storable(token.label),
            sorted(token.scopes),
            token.created_at,
            token.expires_at,
            token.revoked_at,
            token.used_at,
        )

    async def get(self, token_id: str) -> ApiToken | None:
        """One token, whether it still holds or not."""
        row = await self._database.row(_SELECT_TOKEN, storable(token_id))
        return None if row is None else _token_of(row)

    async def recent(self, limit: int, *, user: str = "") -> Sequence[ApiToken]:
        """Newest first, of everybody or of one person."""
        return [_token_of(row) for row in await self._database.rows(_SELECT_TOKENS, limit, storable(user))]

    async def revoke(self, token_id: str, at: datetime) -> bool:
        """End it; False if it had ended so before, or is not there."""
        return await self._database.write(_REVOKE, storable(token_id), at) is True

    async def touch(self, token_id: str, at: datetime) -> None:
        """It was used at `at`."""
        await self._database.write(_TOUCH_TOKEN, storable(token_id), at)


class PostgresAudit:
    """`AuditStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Add one."""
        texts = (entry.who, entry.how, entry.address, entry.what, entry.detail)
        await self._database.write(_INSERT_ENTRY, entry.at, *(storable(each) for each in texts), entry.result.value)

    async def page(
        self, limit: int, *, before: int | None = None, who: str = "", what: str = ""
    ) -> Sequence[AuditEntry]:
        """Newest first: those with a number below `before`, of one person, of one kind of act."""
        asked = {"before": before, "who": storable(who) or None, "what": storable(what) or None}
        given = [(text, asked[name]) for name, text in _CONDITIONS if asked[name] is not None]
        where = " AND ".join(text.format(place) for place, (text, _) in enumerate(given, start=2))
        query = (
            f"SELECT number, {_ENTRY} FROM audit_log {'WHERE ' if where else ''}{where} ORDER BY number DESC LIMIT $1"  # noqa: S608 - made of constants
        )
        return [_entry_of(row) for row in await self._database.rows(query, limit, *(value for _, value in given))]


def _session_of(row: Record) -> StoredSession:
    return StoredSession(
        digest=row["digest"],
        id=row["id"],
        user=row["user_name"],
        opened_at=row["opened_at"],
        used_at=row["used_at"],
        stepped_up_at=row["stepped_up_at"],
        address=row["address"],
        agent=row["agent"],
    )


def _token_of(row: Record) -> ApiToken:
    return ApiToken(
        id=row["id"],
        digest=row["digest"],
        user=row["user_name"],
        label=row["label"],
        scopes=frozenset(map(Scope, row["scopes"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        used_at=row["used_at"],
    )


def _entry_of(row: Record) -> AuditEntry:
    return AuditEntry(
        number=row["number"],
        at=row["at"],
        who=row["who"],
        how=row["how"],
        address=row["address"],
        what=row["what"],
        detail=row["detail"],
        result=AuditResult(row["result"]),
    )
