"""People, sessions, tokens and the audit in memory: the twin of `postgres_users` and `postgres_access`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice
from operator import attrgetter
from typing import Any, Final

from bot.access import ApiToken, AuditEntry, Failures, Role, StoredSession, User
from bot.database.contract import unknown_user

_OPENED: Final = attrgetter("opened_at", "id")
_CREATED: Final = attrgetter("created_at", "id")
_MOST_SESSIONS: Final = 100
_MOST_USERS: Final = 1_000


class MemoryUsers:
    """`UserStore` in memory."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._steps: dict[str, int] = {}
        self._codes: dict[str, dict[bytes, datetime | None]] = {}
        self._failures: dict[str, Failures] = {}

    async def add(self, user: User) -> bool:
        """Store a new person; False if the name is taken."""
        return self._users.setdefault(user.name, user) is user

    async def get(self, name: str) -> User | None:
        """One person."""
        return self._users.get(name)

    async def all(self) -> Sequence[User]:
        """Everybody, by name; a thousand at most."""
        return [self._users[name] for name in sorted(self._users)][:_MOST_USERS]

    async def set_password(
        self, name: str, password_hash: str, *, at: datetime, must_change: bool, seeded_by: str
    ) -> None:
        """A new password, and whether it is only for the next login."""
        self._change(name, password_hash=password_hash, password_at=at, must_change=must_change, seeded_by=seeded_by)

    async def rehash(self, name: str, *, was: str, password_hash: str) -> None:
        """The same password hashed anew; nothing if it is another one by now."""
        if name in self._users and self._users[name].password_hash == was:
            self._change(name, password_hash=password_hash)

    async def set_role(self, name: str, role: Role) -> None:
        """What that person may do from now on."""
        self._change(name, role=role)

    async def set_disabled(self, name: str, at: datetime | None) -> None:
        """Shut out from `at` on; None lets in again."""
        self._change(name, disabled_at=at)

    async def set_second_factor(self, name: str, sealed_seed: bytes | None, codes: Collection[bytes]) -> None:
        """A new second factor with the digests of its recovery codes, or none; the old ones are void."""
        self._change(name, sealed_seed=sealed_seed)
        self._codes[name] = dict.fromkeys(codes)

    async def take_step(self, name: str, step: int) -> bool:
        """Use the code of one time step up; False if it, or a later one, was used."""
        if name not in self._users or step <= self._steps.get(name, 0):
            return False
        self._steps[name] = step
        return True

    async def take_recovery_code(self, name: str, digest: bytes, *, at: datetime) -> bool:
        """Use a recovery code up; False if it was used, or is none."""
        codes = self._codes.get(name, {})
        if digest not in codes or codes[digest] is not None:
            return False
        codes[digest] = at
        return True

    async def recovery_codes_left(self, name: str) -> int:
        """How many are not used up."""
        return sum(used is None for used in self._codes.get(name, {}).values())

    async def failures(self, keys: Collection[str]) -> Mapping[str, Failures]:
        """Wrong tries in a row, of those keys that have any."""
        return {each: self._failures[each] for each in keys if each in self._failures}

    async def fail(self, key: str, *, at: datetime, forget_before: datetime) -> None:
        """Count one more; what failed last before `forget_before`, of whatever key, is forgotten."""
        self._failures = {name: each for name, each in self._failures.items() if each.at >= forget_before}
        before = self._failures.get(key)
        self._failures[key] = Failures(count=1 + (before.count if before else 0), at=at)

    async def forgive(self, keys: Collection[str]) -> None:
        """Count from nothing again."""
        for each in keys:
            self._failures.pop(each, None)

    def require(self, name: str) -> None:
        """Raises NotFound unless that person is there."""
        if name not in self._users:
            raise unknown_user(name)

    def _change(self, name: str, **changes: Any) -> None:
        self.require(name)
        self._users[name] = replace(self._users[name], **changes)


class MemorySessions:
    """`SessionStore` in memory."""

    def __init__(self, users: MemoryUsers) -> None:
        self._users = users
        self._sessions: dict[bytes, StoredSession] = {}

    async def open(self, session: StoredSession, *, instead_of: bytes | None = None) -> None:
        """Store a new session, and end another one in the same moment."""
        self._users.require(session.user)
        if instead_of is not None:
            self._sessions.pop(instead_of, None)
        self._sessions[session.digest] = session

    async def get(self, digest: bytes) -> StoredSession | None:
        """One session, whether it still holds or not."""
        return self._sessions.get(digest)

    async def touch(self, digest: bytes, at: datetime) -> None:
        """It was used at `at`."""
        session = self._sessions.get(digest)
        if session is not None:
            self._sessions[digest] = replace(session, used_at=max(session.used_at, at))

    async def of(self, user: str) -> Sequence[StoredSession]:
        """All of one person, newest first; a hundred at most."""
        found = [each for each in self._sessions.values() if each.user == user]
        return sorted(found, key=_OPENED, reverse=True)[:_MOST_SESSIONS]

    async def close(self, digest: bytes) -> bool:
        """End one; False if it is not there."""
        return self._sessions.pop(digest, None) is not None

    async def close_all(self, user: str, *, but: bytes | None = None, only_id: str = "") -> int:
        """End those of one person, or of these the one with that id; how many ended."""
        return self._end(lambda each: each.user == user and each.digest != but and (not only_id or each.id == only_id))

    async def purge(self, *, opened_before: datetime, used_before: datetime) -> int:
        """Forget those that have run out; how many."""
        return self._end(lambda each: each.opened_at <= opened_before or each.used_at <= used_before)

    def _end(self, ends: Callable[[StoredSession], bool]) -> int:
        gone = [digest for digest, each in self._sessions.items() if ends(each)]
        for digest in gone:
            del self._sessions[digest]
        return len(gone)


class MemoryTokens:
    """`TokenStore` in memory."""

    def __init__(self, users: MemoryUsers) -> None:
        self._users = users
        self._tokens: dict[str, ApiToken] = {}

    async def add(self, token: ApiToken) -> None:
        """Store a new one."""
        self._users.require(token.user)
        self._tokens[token.id] = token

    async def get(self, token_id: str) -> ApiToken | None:
        """One token, whether it still holds or not."""
        return self._tokens.get(token_id)

    async def recent(self, limit: int, *, user: str = "") -> Sequence[ApiToken]:
        """Newest first, of everybody or of one person."""
        found = [each for each in self._tokens.values() if not user or each.user == user]
        return sorted(found, key=_CREATED, reverse=True)[:limit]

    async def revoke(self, token_id: str, at: datetime) -> bool:
        """End it; False if it had ended so before, or is not there."""
        token = self._tokens.get(token_id)
        if token is None or token.revoked_at is not None:
            return False
        self._tokens[token_id] = replace(token, revoked_at=at)
        return True

    async def touch(self, token_id: str, at: datetime) -> None:
        """It was used at `at`."""
        token = self._tokens.get(token_id)
        if token is not None:
            self._tokens[token_id] = replace(token, used_at=max(token.used_at or at, at))


class MemoryAudit:
    """`AuditStore` in memory."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []
        self._numbers = count(1)

    async def append(self, entry: AuditEntry) -> None:
        """Add one."""
        self._entries.append(replace(entry, number=next(self._numbers)))

    async def page(
        self, limit: int, *, before: int | None = None, who: str = "", what: str = ""
    ) -> Sequence[AuditEntry]:
        """Newest first: those with a number below `before`, of one person, of one kind of act."""
        found = (
            each
            for each in reversed(self._entries)
            if (before is None or each.number < before) and who in ("", each.who) and what in ("", each.what)
        )
        return list(islice(found, limit))
