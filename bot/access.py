"""Who may do what: scopes, the roles made of them, and who stands behind an act.

A person has a role, a program a token with scopes. A route needs one scope; see `bot/dashboard/routes.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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

    def may(self, scope: Scope) -> bool:
        """Whether an act of that kind is open to it."""
        return scope in self.scopes
