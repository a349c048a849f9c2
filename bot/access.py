"""Who may do what: scopes, the roles made of them, people, sessions, tokens, and the record of what was done.

A person has a role, a program a token with scopes. A route needs one scope; see `bot/dashboard/routes.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """One kind of act."""

    READ = "read"
    KILL = "kill"  # press the kill switch: never resume, never trade
    TRADE = "trade"  # close, cancel, answer, resume, run tasks
    ADMIN = "admin"  # people, tokens, what raises a limit


class Role(StrEnum):
    """What a person may do, each role all that the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        """The acts that are open to this role."""
        return _SCOPES[self]

    def may(self, scope: Scope) -> bool:
        """Whether an act of that kind is open to this role."""
        return scope in self.scopes


_SCOPES: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.KILL, Scope.TRADE}),
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a person in a session, or a program with a token (`is_token`). `name` is what the audit shows."""

    name: str
    scopes: frozenset[Scope]
    is_token: bool = False
    how: str = ""  # "session", or "token" and its id

    def may(self, scope: Scope) -> bool:
        """Whether an act of that kind is open to it."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One person. `name` is in lower case; nobody is ever removed, because the audit names people.

    `sealed_seed` is the second factor, encrypted; None if there is none. `seeded_by` is the argon2 hash of the settings
    that made this user or changed it last; empty if people did.
    """

    name: str
    role: Role
    password_hash: str = field(repr=False)
    must_change: bool = False
    created_at: datetime
    password_at: datetime
    disabled_at: datetime | None = None
    sealed_seed: bytes | None = field(default=None, repr=False)
    seeded_by: str = field(default="", repr=False)

    @property
    def is_enabled(self) -> bool:
        """Whether it may come in."""
        return self.disabled_at is None

    @property
    def has_second_factor(self) -> bool:
        """Whether a code is asked for."""
        return self.sealed_seed is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """One browser that logged in: `digest` is that of its token, `id` names it to people.

    `stepped_up_at` is when the password (and code) were given last; None after a printed link, which asks for neither.
    """

    digest: bytes = field(repr=False)
    id: str
    user: str
    opened_at: datetime
    used_at: datetime
    stepped_up_at: datetime | None
    address: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A program's way in, in the name of `user`: never more than its user may at that moment."""

    id: str
    digest: bytes = field(repr=False)
    user: str
    label: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    used_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Tries in a row that were wrong, and when the last one was."""

    count: int
    at: datetime


class AuditResult(StrEnum):
    """How an act ended."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act: who did what, in which way, from where, when, and how it ended. `number` rises; 0 until stored."""

    at: datetime
    who: str
    how: str
    address: str
    what: str
    detail: str
    result: AuditResult
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that a person or program asked for under a `key` of its own, so that asking twice is asking once.

    `fingerprint` is that of all that was asked; `status` and `answer` are what was answered, None until it has ended.
    """

    who: str
    key: str
    fingerprint: str
    at: datetime
    status: int | None = None
    answer: str = ""
