"""A fake Bot API on a loopback port, as awkward as the service: long polls, redelivery, strict markup, flood limits.

Checked against python-telegram-bot 22.8; the service's answers are those of Bot API 10.0.
"""

import asyncio
import json
import re
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.interfaces import Clock

TOKEN = "123456:AAfaketokenfaketokenfaketokenfaketo"
BOT = {"id": 99, "is_bot": True, "first_name": "bot", "username": "x_bot"}
MOST_PHOTO_BYTES = 10_000_000
TAGS = re.compile(r"<(/?)([a-zA-Z][\w-]*)[^>]*>")
KNOWN_TAGS = ("b", "i", "u", "s", "code", "pre", "a", "blockquote")
ESCAPES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&amp;": "&"}


class No(Exception):
    """An answer that is an error; `parameters` as the service gives them."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass(slots=True, kw_only=True)
class Message:
    """What a chat shows."""

    chat: int
    number: int
    text: str
    buttons: list[dict[str, str]] = field(default_factory=list)
    edits: int = 0
    silent: bool = False
    picture: bytes = b""


class FakeTelegram:
    """One bot with its chats. `faults`: what happens to the next calls of a method, in order.

    `html 502`, `hang after` (it has its effect and the answer never comes), `flood`, `no` (500 in JSON).
    """

    def __init__(self, clock: Clock, *, chats: dict[int, str]) -> None:
        self.messages: list[Message] = []
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.faults: dict[str, deque[str]] = {}
        self.blocked: set[int] = set()
        self.ended_presses: list[str] = []
        self._clock = clock
        self._chats = chats
        self._updates: list[dict[str, Any]] = []
        self._newest_update = 10_000
        self._sent: dict[int, list[float]] = {}
        self._news = asyncio.Event()
        self._polls = 0
        self._files: dict[str, bytes] = {}  # of the call that is answered now; its method reads them before it waits
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # ------------------------------------------------------------------------------------------------------ a person

    def says(self, user: int, text: str, *, age_s: float = 0, chat: int | None = None, **message: Any) -> int:
        """A message of a person, with the entity that makes a command of it; its update id."""
        where = user if chat is None else chat
        entities = []
        if text.startswith("/"):
            length = len(text.split()[0].encode("utf-16-le")) // 2
            entities = [{"type": "bot_command", "offset": 0, "length": length}]
        body = {
            "message_id": 5_000 + self._newest_update,
            "date": int(self._clock.now().timestamp() - age_s),
            "from": _person(user),
            "chat": {"id": where, "type": self._chats.get(where, "private")},
            "text": text,
            "entities": entities,
            **message,
        }
        return self.brings(message=body)

    def presses(self, user: int, message: Message, label: str, *, chat: int | None = None) -> int:
        """A press of a button; also of one that was shown to somebody else, as a forged client can do it."""
        (data,) = [each["callback_data"] for each in message.buttons if each["text"].startswith(label)]
        where = message.chat if chat is None else chat
        shown = {
            "message_id": message.number,
            "date": 1,
            "chat": {"id": where, "type": self._chats.get(where, "private")},
        }
        query = {"id": f"press{self._newest_update}", "from": _person(user), "chat_instance": "1", "data": data}
        return self.brings(callback_query={**query, "message": {**shown, "text": message.text}})

    def brings(self, **update: Any) -> int:
        """Any update; its id."""
        self._newest_update += 1
        self._updates.append({"update_id": self._newest_update, **update})
        self._news.set()
        return self._newest_update

    def shown(self, chat: int) -> list[str]:
        """The texts of a chat, oldest first."""
        return [each.text for each in self.messages if each.chat == chat]

    # -------------------------------------------------------------------------------------------------------- server

    async def start(self) -> str:
        """Serve; the address."""
        app = web.Application(client_max_size=2 * MOST_PHOTO_BYTES)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End, also polls and hung answers."""
        self._closing.set()
        self._news.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"].lower()
        if request.match_info["token"] != TOKEN:
            return _error(No(401, "Unauthorized"))
        posted = await request.post()
        form = {name: value for name, value in posted.items() if isinstance(value, str)}
        self._files = {name: value.file.read() for name, value in posted.items() if isinstance(value, web.FileField)}
        self.calls.append((method, form))
        faults = self.faults.get(method)
        fault = faults.popleft() if faults else ""
        try:
            if fault == "html 502":
                return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
            if fault == "no":
                raise No(500, "Internal Server Error")
            if fault == "flood":
                raise No(429, "Too Many Requests: retry after 7", retry_after=7)
            result = await getattr(self, f"_{method}")(form)
        except No as error:
            return _error(error)
        if fault == "hang after":
            await self._closing.wait()
        return web.json_response({"ok": True, "result": result})

    async def _getme(self, form: dict[str, str]) -> Any:
        return BOT

    async def _sendchataction(self, form: dict[str, str]) -> Any:
        if form.get("action") != "typing":
            raise No(400, "Bad Request: wrong parameter action in request")
        self._chat(form)
        return True

    async def _deletewebhook(self, form: dict[str, str]) -> Any:
        return True

    async def _setmycommands(self, form: dict[str, str]) -> Any:
        for each in json.loads(form["commands"]):
            if not re.fullmatch("[a-z0-9_]{1,32}", each["command"]) or not 1 <= len(each["description"]) <= 256:
                raise No(400, "Bad Request: BOT_COMMAND_INVALID")
        return True

    async def _getupdates(self, form: dict[str, str]) -> Any:
        """Holds until something comes; what is not confirmed by a larger offset comes again."""
        self._polls += 1
        mine = self._polls
        offset = int(form.get("offset", 0))
        self._updates = [each for each in self._updates if each["update_id"] >= offset]
        while not self._updates and int(form.get("timeout", 0)) and not self._closing.is_set():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), int(form["timeout"]))
            except TimeoutError:
                return []
            if mine != self._polls:
                raise No(409, "Conflict: terminated by other getUpdates request; make sure that only one runs")
        return self._updates[: int(form.get("limit", 100))]

    async def _sendmessage(self, form: dict[str, str]) -> Any:
        chat = self._chat(form)
        text = _parsed(form)
        buttons = json.loads(form.get("reply_markup", "{}")).get("inline_keyboard", [[]])[0]
        if any(not 1 <= len(each["callback_data"].encode()) <= 64 for each in buttons):
            raise No(400, "Bad Request: BUTTON_DATA_INVALID")
        self._count(chat)
        message = Message(
            chat=chat,
            number=len(self.messages) + 1,
            text=text,
            buttons=buttons,
            silent=form.get("disable_notification", "").lower() == "true",
        )
        self.messages.append(message)
        return self._as_json(message)

    async def _sendphoto(self, form: dict[str, str]) -> Any:
        """A file of its own part; the service looks into it, and counts the caption after parsing."""
        chat, caption = self._chat(form), _parsed_caption(form)
        picture = self._files.get("photo")
        if picture is None:
            raise No(400, "Bad Request: there is no photo in the request")
        if len(picture) > MOST_PHOTO_BYTES:
            raise No(413, "Request Entity Too Large")
        size = _png_size(picture)
        if size is None or sum(size) > 10_000 or max(size) > 20 * min(size):
            raise No(400, "Bad Request: PHOTO_INVALID_DIMENSIONS" if size else "Bad Request: IMAGE_PROCESS_FAILED")
        self._count(chat)
        message = Message(
            chat=chat,
            number=len(self.messages) + 1,
            text=caption,
            silent=form.get("disable_notification", "").lower() == "true",
            picture=picture,
        )
        self.messages.append(message)
        return self._as_json(message)

    async def _editmessagecaption(self, form: dict[str, str]) -> Any:
        return self._edited(form, _parsed_caption(form), has_picture=True)

    async def _editmessagetext(self, form: dict[str, str]) -> Any:
        return self._edited(form, _parsed(form), has_picture=False)

    def _edited(self, form: dict[str, str], text: str, *, has_picture: bool) -> Any:
        chat = self._chat(form)
        found = [each for each in self.messages if (each.chat, each.number) == (chat, int(form["message_id"]))]
        if not found:
            raise No(400, "Bad Request: message to edit not found")
        if bool(found[0].picture) != has_picture:
            missing = "caption" if has_picture else "text"
            raise No(400, f"Bad Request: there is no {missing} in the message to edit")
        if found[0].text == text:
            raise No(400, "Bad Request: message is not modified: specified new message content is exactly the same")
        self._count(chat)
        found[0].text = text
        found[0].edits += 1
        return self._as_json(found[0])

    async def _answercallbackquery(self, form: dict[str, str]) -> Any:
        if form["callback_query_id"] in self.ended_presses:
            raise No(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.ended_presses.append(form["callback_query_id"])
        return True

    def _chat(self, form: dict[str, str]) -> int:
        chat = int(form["chat_id"])
        if chat in self.blocked:
            raise No(403, "Forbidden: bot was blocked by the user")
        if chat not in self._chats:
            raise No(400, "Bad Request: chat not found")
        return chat

    def _count(self, chat: int) -> None:
        """20 a minute for a group, about 1 a second for a person; edits count too."""
        now_s = self._clock.monotonic()
        span_s, most = (60, 20) if chat < 0 else (3, 3)
        recent = [each for each in self._sent.get(chat, []) if each > now_s - span_s]
        if len(recent) >= most:
            raise No(429, f"Too Many Requests: retry after {span_s}", retry_after=span_s)
        self._sent[chat] = [*recent, now_s]

    def _as_json(self, message: Message) -> dict[str, Any]:
        chat = {"id": message.chat, "type": self._chats[message.chat]}
        head = {"message_id": message.number, "from": BOT, "chat": chat, "date": 1_765_000_000}
        size = _png_size(message.picture)
        if size is None:
            return {**head, "text": message.text}
        photo = {"file_id": f"f{message.number}", "file_unique_id": f"u{message.number}", "file_size": 1}
        return {**head, "caption": message.text, "photo": [{**photo, "width": size[0], "height": size[1]}]}


def _person(user: int) -> dict[str, Any]:
    return {"id": user, "is_bot": False, "first_name": "A", "username": "ada"}


def _parsed(form: dict[str, str]) -> str:
    text = form.get("text", "")
    if form.get("parse_mode") == "HTML":
        text = _without_markup(text)
    if not text.strip():
        raise No(400, "Bad Request: message text is empty")
    if len(text) > 4096:
        raise No(400, "Bad Request: message is too long")
    return text


def _parsed_caption(form: dict[str, str]) -> str:
    """May be empty."""
    text = form.get("caption", "")
    if form.get("parse_mode") == "HTML":
        text = _without_markup(text)
    if len(text) > 1024:
        raise No(400, "Bad Request: message caption is too long")
    return text


def _png_size(picture: bytes) -> tuple[int, int] | None:
    """Width and height, of the first chunk; None for what is no PNG."""
    if picture[:8] != b"\x89PNG\r\n\x1a\n" or picture[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def _without_markup(text: str) -> str:
    """Strict, as the service: unknown tags, tags left open and stray signs are refused, with their byte."""
    opened: list[str] = []
    for match in TAGS.finditer(text):
        at = len(text[: match.start()].encode())
        closes, tag = match[1] == "/", match[2]
        if tag not in KNOWN_TAGS:
            raise No(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}" at byte offset {at}')
        if not closes:
            opened.append(tag)
        elif not opened or opened.pop() != tag:
            raise No(400, f"Bad Request: can't parse entities: Unmatched end tag at byte offset {at}")
    plain = TAGS.sub("", text)
    if opened or "<" in plain:
        raise No(400, "Bad Request: can't parse entities: Can't find end tag at byte offset 0")
    for escape, sign in ESCAPES.items():
        plain = plain.replace(escape, sign)
    return plain


def _error(error: No) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.code)
