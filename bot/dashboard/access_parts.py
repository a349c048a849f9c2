"""What an application needs to know people and programs, and to write down what they do."""

from aiohttp import web

from bot.dashboard.audit import AUDIT_LOG, AuditLog
from bot.dashboard.factors import FACTORS, FactorDesk
from bot.dashboard.login_desk import LOGIN_DESK, LoginDesk
from bot.dashboard.parts import DashboardParts
from bot.dashboard.passwords import Hasher
from bot.dashboard.people import PEOPLE, PeopleDesk
from bot.dashboard.sessions import SESSIONS, Sessions
from bot.dashboard.tokens import TOKEN_DESK, TokenDesk


def add_access(app: web.Application, parts: DashboardParts) -> None:
    """Give the application its desks."""
    stores, clock, hasher = parts.stores, parts.clock, Hasher()
    app[SESSIONS] = Sessions(stores.sessions, stores.users, clock, second_factor_required=parts.second_factor_required)
    app[LOGIN_DESK] = LoginDesk(users=stores.users, hasher=hasher, vault=parts.vault, clock=clock)
    app[TOKEN_DESK] = TokenDesk(stores.tokens, stores.users, clock)
    app[PEOPLE] = PeopleDesk(stores=stores, hasher=hasher, clock=clock)
    app[FACTORS] = FactorDesk(users=stores.users, vault=parts.vault, clock=clock)
    app[AUDIT_LOG] = AuditLog(stores.audit, clock)
    app.on_cleanup.append(app[AUDIT_LOG].end)
