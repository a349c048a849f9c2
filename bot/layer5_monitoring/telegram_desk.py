"""Commands by Telegram: who may, what is too old, what must be confirmed. Nothing here resumes or loosens anything."""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from loguru import logger

from bot.errors import AlertFailed, AlertNotSent, BotError, UsageError
from bot.interfaces import AlertStore, Clock
from bot.layer5_monitoring.alert_text import cut
from bot.layer5_monitoring.telegram import Incoming

CONFIRM_WITHIN_S: Final = 30.0
_OLDEST_S: Final = 60.0
_MOST_PER_MINUTE: Final = 20
_MOST_TRIES: Final = 3
_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_YES, _NO = "yes", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a command is about to do, in words, with its exact parameters: those are confirmed, and no others."""

    says: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. `act` takes (words, by) and answers in text. With a `plan` it is asked about first.

    `kills` is never counted against the flood limit.
    """

    help: str
    act: Callable[[Sequence[str], str], Awaitable[str]]
    plan: Callable[[Sequence[str]], Awaitable[Plan]] | None = None
    operator: bool = False
    kills: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question that waits for its button: good once, for one person, for a while."""

    user: int
    name: str
    plan: Plan
    until_s: float


class Messenger(Protocol):
    """What is needed of Telegram. Raises AlertFailed and its kinds."""

    async def send(self, chat: int, text: str, *, silent: bool = False, buttons: Sequence[tuple[str, str]] = ()) -> str:
        """Send one message."""

    async def end_press(self, press: str, text: str) -> None:
        """Tell that a button was heard."""

    async def publish(self, commands: Sequence[tuple[str, str]]) -> None:
        """What the client offers."""

    async def updates(self, after: int) -> Sequence[Incoming]:
        """Those newer than `after`."""


class TelegramDesk:
    """Takes commands of those who are allowed, each at most once, also over restarts."""

    def __init__(
        self,
        messenger: Messenger,
        store: AlertStore,
        commands: Mapping[str, Command],
        clock: Clock,
        *,
        operators: frozenset[int],
        viewers: frozenset[int],
    ) -> None:
        self._messenger = messenger
        self._store = store
        self._commands = commands
        self._clock = clock
        self._operators = operators
        self._viewers = viewers
        self._newest = 0
        self._asked: dict[str, _Asked] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._heard: dict[int, deque[float]] = {}

    async def run(self) -> None:
        """Until cancelled. Whatever fails is tried again, later and later; trading does not wait for it."""
        try:
            await self._run()
        finally:
            for each in self._answering:
                each.cancel()

    async def _run(self) -> None:
        offered = [(name, each.help) for name, each in self._commands.items()]
        failures = 0
        is_published = False
        while True:
            wait_s = 0.0
            try:
                if not is_published:
                    self._newest = max(self._newest, await self._store.newest_update())
                    await self._messenger.publish(offered)
                    is_published = True
                await self.turn()
                failures = 0
            except Exception as error:  # the edge: commands must come back whatever happened
                wait_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                wait_s = max(wait_s, error.retry_after_s) if isinstance(error, AlertNotSent) else wait_s
                failures += 1
                text = str(error) if isinstance(error, BotError) else type(error).__name__
                logger.log("WARNING" if failures == 1 else "DEBUG", "telegram: {}; again in {:.0f} s", text, wait_s)
            if wait_s:
                await self._clock.sleep(wait_s)

    async def turn(self) -> None:
        """Wait for updates, and act on each that is new."""
        for incoming in await self._messenger.updates(self._newest):
            if await self._is_new(incoming.update):
                await self._act(incoming)

    # -------------------------------------------------------------------------------------------------------- inside

    async def _is_new(self, update: int) -> bool:
        """Remembered before it is acted on: a crash between the two loses a command, and never doubles one."""
        if update <= self._newest:
            return False
        self._newest = update
        try:
            return await self._store.take_update(update)
        except BotError as error:  # a kill must work without the database; pressing twice changes nothing
            logger.warning("telegram: update {} is acted on, but not remembered: {}", update, error)
            return True

    async def _act(self, incoming: Incoming) -> None:
        """Strangers, groups, forwarded and edited messages get no answer at all."""
        user = incoming.user
        known = user in self._operators or user in self._viewers
        if not known or not incoming.plain or incoming.chat != user:
            logger.warning("telegram: a message of user {} in chat {} is ignored", user, incoming.chat)
            return
        try:
            if incoming.press:
                await self._pressed(incoming)
            elif incoming.text.startswith("/"):
                await self._commanded(incoming)
        except AlertFailed as error:
            logger.warning("telegram: an answer to {} was not sent: {}", user, error)

    async def _commanded(self, incoming: Incoming) -> None:
        words = incoming.text.split()
        name = words[0].removeprefix("/").split("@", 1)[0].lower()
        command = self._commands.get(name)
        age_s = (self._clock.now() - incoming.at).total_seconds() if incoming.at is not None else _OLDEST_S
        is_old = age_s >= _OLDEST_S
        if self._is_flood(incoming.user, None if is_old else command):
            logger.warning("telegram: too many commands of user {}", incoming.user)
        elif is_old:
            told = f"/{name} was not done: it is {age_s:.0f} s old. Send it again if you still want it."
            await self._say(incoming, told)
        elif command is None:
            await self._say(incoming, f"There is no /{name}.\n{self._help(incoming.user)}")
        elif command.operator and incoming.user not in self._operators:
            await self._say(incoming, f"/{name} is for operators (TELEGRAM_OPERATORS); you may read.")
        elif command.plan is None:
            await self._do(incoming, name, words[1:])
        else:
            await self._ask(incoming, name, command.plan, words[1:])

    async def _ask(
        self, incoming: Incoming, name: str, plan_of: Callable[[Sequence[str]], Awaitable[Plan]], words: Sequence[str]
    ) -> None:
        try:
            plan = await plan_of(words)
        except Exception as error:  # the edge
            await self._say(incoming, _failure(name, error))
            return
        now_s = self._clock.monotonic()
        self._asked = {nonce: each for nonce, each in self._asked.items() if each.until_s > now_s}
        nonce = secrets.token_urlsafe(16)
        self._asked[nonce] = _Asked(user=incoming.user, name=name, plan=plan, until_s=now_s + CONFIRM_WITHIN_S)
        buttons = ((f"Yes, {name}", f"{_YES}:{nonce}"), ("No", f"{_NO}:{nonce}"))
        asked = f"{plan.says}\nSure? The buttons work once, for {CONFIRM_WITHIN_S:.0f} s."
        await self._say(incoming, asked, buttons)

    async def _pressed(self, incoming: Incoming) -> None:
        word, _, nonce = incoming.text.partition(":")
        asked = self._asked.get(nonce)
        if asked is None or asked.user != incoming.user or asked.until_s <= self._clock.monotonic():
            await self._messenger.end_press(incoming.press, "Too late, or done already. Send the command again.")
            return
        del self._asked[nonce]
        await self._messenger.end_press(incoming.press, "Heard." if word == _YES else "Dropped.")
        if word == _YES:
            await self._do(incoming, asked.name, asked.plan.words)

    async def _do(self, incoming: Incoming, name: str, words: Sequence[str]) -> None:
        command = self._commands[name]
        if command.operator:
            logger.warning("telegram: /{} {} by user {}", name, " ".join(words), incoming.user)
        try:
            answer = await command.act(words, f"telegram {incoming.user}")
        except Exception as error:  # the edge: a failing command must not end the others
            if not isinstance(error, BotError):
                logger.opt(exception=error).error("telegram: /{} failed", name)
            answer = _failure(name, error)
        await self._say(incoming, answer)

    async def _say(self, incoming: Incoming, text: str, buttons: Sequence[tuple[str, str]] = ()) -> None:
        """Answer now; what the service takes only later is sent then, and holds up no other command."""
        try:
            await self._messenger.send(incoming.chat, cut(text), buttons=buttons)
        except AlertNotSent as error:
            later = asyncio.create_task(self._say_later(incoming, text, buttons, error.retry_after_s))
            self._answering.add(later)
            later.add_done_callback(self._answering.discard)

    async def _say_later(
        self, incoming: Incoming, text: str, buttons: Sequence[tuple[str, str]], retry_after_s: float
    ) -> None:
        for _ in range(_MOST_TRIES):
            await self._clock.sleep(retry_after_s)
            try:
                await self._messenger.send(incoming.chat, cut(text), buttons=buttons)
                return
            except AlertNotSent as error:
                retry_after_s = error.retry_after_s
            except AlertFailed as error:
                logger.warning("telegram: an answer to {} was not sent: {}", incoming.user, error)
                return

    def _is_flood(self, user: int, command: Command | None) -> bool:
        if command is not None and command.kills:
            return False
        heard, now_s = self._heard.setdefault(user, deque()), self._clock.monotonic()
        while heard and heard[0] <= now_s - 60:
            heard.popleft()
        heard.append(now_s)
        return len(heard) > _MOST_PER_MINUTE

    def _help(self, user: int) -> str:
        able = {name: each for name, each in self._commands.items() if user in self._operators or not each.operator}
        return "\n".join(f"/{name}: {each.help}" for name, each in able.items())


def _failure(name: str, error: Exception) -> str:
    if isinstance(error, UsageError):
        return str(error)
    return f"/{name} failed: {error if isinstance(error, BotError) else type(error).__name__ + ', see the log'}"
