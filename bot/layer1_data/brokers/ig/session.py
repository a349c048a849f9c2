"""The login: made when needed, renewed once when a token has ended, and never tried again after IG said no to it."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from bot.errors import BrokerUnavailable, KeyRefused
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import LastWord, nothing_against
from bot.layer1_data.brokers.ig import to_ig
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.errors import Fate, Reply, readable, unanswered
from bot.layer1_data.brokers.ig.to_ig import Call
from bot.layer1_data.brokers.ig.wire import Answer, Wire
from bot.layer1_data.brokers.limiter import Priority

_REFRESH_RATIO: Final = Decimal("0.75")  # of a token's life, after which it is renewed before it is used
_PROOF_LASTS_S: Final = 600.0
_LOGIN_PAUSE_S: Final = 30.0


class Session:
    """Questions and orders of one account."""

    def __init__(self, access: Access, wire: Wire, clock: Clock) -> None:
        self._access = access
        self._wire = wire
        self._clock = clock
        self._headers: dict[str, str] = {}
        self._refresh_token = ""
        self._refresh_at = float("inf")
        self._account = access.account
        self._may_deal = True
        self._refused = ""
        self._no_login_before = 0.0
        self._proved_at = float("-inf")
        self._logging_in = asyncio.Lock()

    @property
    def account(self) -> str:
        """The account in use; empty before the first login if none was named."""
        return self._account

    @property
    def may_deal(self) -> bool:
        """What the login said of it."""
        return self._may_deal

    async def ask(self, call: Call, priority: Priority = Priority.READ) -> Any:
        """The answer to a question. Raises BrokerUnavailable with the venue's words for anything else."""
        reply = await self.look(call, priority)
        if reply.fate is not Fate.ACK:
            raise unanswered(f"{call.path.partition('?')[0]} was not answered", reply)
        return reply.data

    async def look(self, call: Call, priority: Priority = Priority.READ) -> Reply:
        """A question, asked again once after a new login if the token had ended."""
        headers = await self._open()
        reply = self._noted((await self._wire.send(call, headers, priority=priority)).reply)
        if reply.fate is not Fate.TOKEN:
            return reply
        self._forget(headers)
        reply = self._noted((await self._wire.send(call, await self._open(), priority=priority)).reply)
        if reply.fate is Fate.TOKEN:  # fresh, and refused all the same: logging in for each question would not mend it
            self._no_login_before = self._clock.monotonic() + _LOGIN_PAUSE_S
        return reply

    async def send(self, call: Call, priority: Priority, last_word: LastWord = nothing_against) -> Reply:
        """An order: exactly one request. The token is proved before, so that an order does not meet its end."""
        if self._clock.monotonic() - self._proved_at > _PROOF_LASTS_S:
            await self.ask(to_ig.SESSION, priority)
        headers = await self._open()
        answer = await self._wire.send(call, headers, priority=priority, last_word=last_word)
        reply = self._noted(answer.reply)
        if reply.fate is Fate.TOKEN:
            self._forget(headers)
        return reply

    # -------------------------------------------------------------------------------------------------------- inside

    def _noted(self, reply: Reply) -> Reply:
        if reply.fate is Fate.ACK:
            self._proved_at = self._clock.monotonic()
        elif reply.fate is Fate.LOCKED_OUT:
            self._refused = reply.says
        return reply

    def _forget(self, headers: Mapping[str, str]) -> None:
        if headers == self._headers:  # somebody else may have logged in meanwhile
            self._headers = {}
            self._proved_at = float("-inf")

    async def _open(self) -> dict[str, str]:
        async with self._logging_in:
            if self._refused:
                raise KeyRefused(
                    f"ig: the login was refused: {self._refused}; correct key, user name or password and start again "
                    "(it is not tried again, since IG suspends those who do)"
                )
            if self._headers and self._clock.monotonic() >= self._refresh_at:
                await self._refresh()
            if not self._headers:
                await self._log_in()
            return self._headers

    async def _refresh(self) -> None:
        answer = await self._wire.send(to_ig.refresh(self._refresh_token), {}, priority=Priority.EXIT)
        self._headers = {}
        if answer.reply.fate is Fate.ACK:
            with readable("the renewed token"):
                self._take_oauth(_mapping(answer.reply.data))

    async def _log_in(self) -> None:
        now = self._clock.monotonic()
        if now < self._no_login_before:
            raise BrokerUnavailable(
                f"ig: the last login failed or was not worth anything; the next one is tried in "
                f"{self._no_login_before - now:.0f} s"
            )
        call = to_ig.log_in(self._access.username, self._access.password, oauth=self._access.oauth)
        answer = await self._wire.send(call, {}, priority=Priority.EXIT)
        if self._noted(answer.reply).fate is not Fate.ACK:
            self._no_login_before = now + _LOGIN_PAUSE_S
            raise unanswered("the login failed", answer.reply)
        with readable("the login"):
            data = _mapping(answer.reply.data)
            if self._access.oauth:
                self._account = self._account or str(data["accountId"])
                self._take_oauth(_mapping(data["oauthToken"]))
            else:
                await self._take_tokens(answer, data)

    def _take_oauth(self, token: Mapping[str, Any]) -> None:
        self._refresh_token = str(token["refresh_token"])
        lasts_s = Decimal(str(token["expires_in"])) * _REFRESH_RATIO
        self._refresh_at = self._clock.monotonic() + float(lasts_s)
        self._headers = {"Authorization": f"Bearer {token['access_token']}", "IG-ACCOUNT-ID": self._account}

    async def _take_tokens(self, answer: Answer, data: Mapping[str, Any]) -> None:
        headers = {"CST": answer.headers["cst"], "X-SECURITY-TOKEN": answer.headers["x-security-token"]}
        current = str(data["currentAccountId"])
        self._may_deal = data.get("dealingEnabled") is True
        self._account = self._account or current
        if self._account != current:
            known = [str(each["accountId"]) for each in data["accounts"]]
            if self._account not in known:
                self._refused = "IG_ACCOUNT_ID is not an account of this login"
                raise KeyRefused(f"ig: {self._refused}; it has {len(known)} others")
            headers = await self._switched(headers)
        self._headers = headers

    async def _switched(self, headers: dict[str, str]) -> dict[str, str]:
        answer = await self._wire.send(to_ig.switch(self._account), headers, priority=Priority.EXIT)
        if answer.reply.fate is not Fate.ACK:
            raise BrokerUnavailable(f"ig: the login is for another account and was not switched: {answer.reply.says}")
        self._may_deal = _mapping(answer.reply.data).get("dealingEnabled") is True
        return {**headers, "X-SECURITY-TOKEN": answer.headers["x-security-token"]}


def _mapping(data: object) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"an object was expected, not {type(data).__name__}")
    return data
