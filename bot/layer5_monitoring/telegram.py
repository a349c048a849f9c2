"""Telegram through python-telegram-bot: messages out, commands in, its errors as ours.

The library's own loops are not used: they install signal handlers, and act on an update before it is remembered. The
token is in every address, so that no error text of the library or of httpx is shown unredacted (`redact`).
Source: Bot API 10.0, python-telegram-bot 22.8.
"""

import asyncio
import html
import importlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent
from bot.layer5_monitoring.alert_text import LONGEST_CAPTION, cut

if TYPE_CHECKING:
    from telegram import Bot

_POLL_S: Final = 10
_PATIENCE_S: Final = 8.0
_AGAIN_S: Final = 5.0
_NO_TOKEN_S: Final = 60.0
_WANTED: Final = ("message", "callback_query")
_PHOTO: Final = "photo:"  # names a message whose text stands under a picture: it is changed in another way


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One update, in our words. `press` is the id of a pressed button, whose data is the text then.

    `plain` is False for what a person did not write here just now: edited, forwarded, by a bot, from a group.
    """

    update: int
    user: int
    chat: int
    text: str
    at: datetime | None
    plain: bool
    press: str = ""


class Telegram:
    """One bot. Made by `open_telegram`."""

    def __init__(self, bot: "Bot", redact: Callable[[str], str]) -> None:
        self._bot = bot
        self._redact = redact
        self._moved: dict[int, int] = {}

    async def send(self, chat: int, text: str, *, silent: bool = False, buttons: Sequence[tuple[str, str]] = ()) -> str:
        """Send plain text, its first line bold; the service's name of the message. `buttons`: (label, data).

        Raises AlertFailed (blocked, no such chat), AlertNotSent, AlertFateUnknown.
        """
        markup = _keyboard(buttons) if buttons else None

        async def send_as(words: str, mode: str | None) -> str:
            message = await self._bot.send_message(
                self._moved.get(chat, chat), words, parse_mode=mode, disable_notification=silent, reply_markup=markup
            )
            return str(message.message_id)

        return await self._formatted(chat, text, send_as)

    async def edit(self, chat: int, reference: str, text: str) -> None:
        """Replace the text of a message; the same text again is no error."""

        number = int(reference.removeprefix(_PHOTO))

        async def edit_as(words: str, mode: str | None) -> str:
            where = self._moved.get(chat, chat)
            if reference.startswith(_PHOTO):
                await self._bot.edit_message_caption(where, number, caption=words, parse_mode=mode)
            else:
                await self._bot.edit_message_text(words, chat_id=where, message_id=number, parse_mode=mode)
            return reference

        shown = _caption(self._redact(text)) if reference.startswith(_PHOTO) else text
        try:
            await self._formatted(chat, shown, edit_as)
        except AlertFailed as error:
            if "message is not modified" not in str(error).lower():
                raise

    async def send_photo(self, chat: int, picture: bytes, caption: str, *, silent: bool = False) -> str:
        """Send a PNG under a short text (1024 characters at most); the service's name of it. Raises as `send` does."""

        async def send_as(words: str, mode: str | None) -> str:
            message = await self._bot.send_photo(
                self._moved.get(chat, chat), picture, caption=words, parse_mode=mode, disable_notification=silent
            )
            return f"{_PHOTO}{message.message_id}"

        return await self._formatted(chat, _caption(self._redact(caption)), send_as)

    async def end_press(self, press: str, text: str) -> None:
        """Tell the service that a button was heard; it spins until then. A press that is too old is no error."""
        try:
            with _translated(self, 0):
                await self._bot.answer_callback_query(press, text=self._redact(text)[:200])
        except AlertFailed as error:
            logger.debug("telegram: {}", error)

    async def name(self) -> str:
        """What the bot is called; proves the token. Raises as `send` does."""
        with _translated(self, 0):
            return f"@{(await self._bot.get_me()).username}"

    async def reach(self, chat: int) -> None:
        """Prove that `chat` can be written to, without a message: it shows "typing" for a moment. Raises as `send`."""
        with _translated(self, chat):
            await self._bot.send_chat_action(self._moved.get(chat, chat), "typing")

    async def publish(self, commands: Sequence[tuple[str, str]]) -> None:
        """Set what the client offers: (name, meaning). Also proves the token. Raises as `send` does."""
        with _translated(self, 0):
            await self._bot.delete_webhook()
            await self._bot.set_my_commands(list(commands))

    async def updates(self, after: int) -> Sequence[Incoming]:
        """Waits up to some seconds for updates newer than `after`, and confirms all up to it. Raises as `send` does."""
        with _translated(self, 0):
            found = await self._bot.get_updates(offset=after + 1, timeout=_POLL_S, allowed_updates=list(_WANTED))
        return [_incoming(each) for each in found]

    async def _formatted(self, chat: int, text: str, act: Callable[[str, str | None], Any]) -> str:
        """HTML, or without any marks where the service cannot read it: no alert is lost by its looks."""
        shown = self._redact(text)
        try:
            with _translated(self, chat):
                return str(await act(_html(shown), "HTML"))
        except AlertFailed as error:
            if "can't parse entities" not in str(error).lower():
                raise
        with _translated(self, chat):
            return str(await act(shown, None))

    def fault(self, chat: int, error: Exception) -> AlertFailed:
        """A library's error as ours."""
        from telegram import error as errors

        said = self._redact(str(error))
        if isinstance(error, errors.RetryAfter):
            pause = error.retry_after
            wait_s = pause.total_seconds() if isinstance(pause, timedelta) else float(pause)
            return AlertNotSent(f"telegram: too many messages, again in {wait_s:.0f} s", retry_after_s=wait_s)
        if isinstance(error, errors.ChatMigrated):
            self._moved[chat] = error.new_chat_id
            told = f"telegram: group {chat} is now {error.new_chat_id}; put that into TELEGRAM_GROUP"
            return AlertNotSent(told, retry_after_s=0)
        if isinstance(error, errors.Conflict):
            told = f"telegram: {said}; another program polls with this token, stop it"
            return AlertNotSent(told, retry_after_s=_AGAIN_S)
        if isinstance(error, errors.InvalidToken):
            return AlertNotSent("telegram refuses the token; correct TELEGRAM_TOKEN", retry_after_s=_NO_TOKEN_S)
        if isinstance(error, errors.BadRequest | errors.Forbidden):
            return AlertFailed(f"telegram refuses a message to {chat}: {said}")
        return AlertFateUnknown(f"telegram gave no usable answer: {type(error).__name__} {said}")


@asynccontextmanager
async def open_telegram(
    token: str, *, url: str, redact: Callable[[str], str], patience_s: float = _PATIENCE_S
) -> AsyncIterator[Telegram]:
    """A bot; nothing is asked yet. `patience_s` is how long an answer may take.

    The library imports for half a second, so that happens in a thread.
    """
    os.environ["PTB_TIMEDELTA"] = "true"  # its own switch: without it each answer of a flood warns
    library = await asyncio.to_thread(importlib.import_module, "telegram")
    requests = importlib.import_module("telegram.request")  # came with it
    direct = {"trust_env": False} if url else {}  # a proxy of the environment would be asked for a fake, too
    base = url.rstrip("/") or "https://api.telegram.org"
    sending = requests.HTTPXRequest(connection_pool_size=16, read_timeout=patience_s, httpx_kwargs=direct)
    polling = requests.HTTPXRequest(connection_pool_size=1, httpx_kwargs=direct)
    bot = library.Bot(
        token,
        base_url=f"{base}/bot",
        base_file_url=f"{base}/file/bot",
        request=sending,
        get_updates_request=polling,
    )
    try:
        yield Telegram(bot, redact)
    finally:  # the bot's own shutdown() does nothing before its initialize(), which asks the service
        await sending.shutdown()
        await polling.shutdown()


class _translated:  # noqa: N801 used as a statement
    """Turns the library's errors, raised in the block, into ours."""

    def __init__(self, telegram: Telegram, chat: int) -> None:
        self._telegram = telegram
        self._chat = chat

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from telegram.error import TelegramError

        if isinstance(error, TelegramError):
            raise self._telegram.fault(self._chat, error) from None  # its cause names the address, with the token


def _caption(text: str) -> str:
    return cut(text, LONGEST_CAPTION)


def _html(text: str) -> str:
    first, newline, rest = text.partition("\n")
    return f"<b>{html.escape(first, quote=False)}</b>{newline}{html.escape(rest, quote=False)}"


def _keyboard(buttons: Sequence[tuple[str, str]]) -> Any:
    from telegram import InlineKeyboardButton, InlineKeyboardMarkup

    return InlineKeyboardMarkup([[InlineKeyboardButton(label, callback_data=data) for label, data in buttons]])


def _incoming(update: Any) -> Incoming:
    query, message = update.callback_query, update.message
    if query is not None:
        chat = query.message.chat if query.message is not None else None
        return Incoming(
            update=update.update_id,
            user=query.from_user.id,
            chat=chat.id if chat is not None else 0,
            text=query.data or "",
            at=None,
            plain=chat is not None and chat.type == "private" and not query.from_user.is_bot,
            press=query.id,
        )
    sender = message.from_user if message is not None else None
    if message is None or sender is None:
        return Incoming(update=update.update_id, user=0, chat=0, text="", at=None, plain=False)
    strange = message.forward_origin or message.sender_chat or message.via_bot or sender.is_bot or message.edit_date
    return Incoming(
        update=update.update_id,
        user=sender.id,
        chat=message.chat.id,
        text=message.text or "",
        at=message.date,
        plain=message.chat.type == "private" and not strange,
    )
