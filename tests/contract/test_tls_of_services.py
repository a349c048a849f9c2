"""S27: nor does anything go to a service that cannot prove who it is, and nowhere is the proof switched off."""

import ast
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.errors import AlertFailed, AlertNotSent
from bot.layer2_intelligence.analyst.claude_client import ClaudeClient, Failed
from bot.layer5_monitoring.heartbeat import JOBS, Heartbeat, Progress
from bot.layer5_monitoring.sms import ClickSend
from bot.layer5_monitoring.telegram import open_telegram
from bot.models import JobHealth
from tests.fakes.tls import TlsDoor, self_signed

BOT: Final = Path(__file__).parents[2] / "bot"
NOBODY_INSIDE: Final = "http://127.0.0.1:1"
# What libraries call it when the certificate, or the name in it, is not looked at.
_OFF: Final = frozenset({"verify", "verify_ssl", "ssl", "ssl_verify", "check_hostname", "validateServerSsl"})
_WORDS: Final = re.compile(r"CERT_NONE|_create_unverified_context|disable_warnings|sslmode=(?:disable|allow|prefer)")


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[TlsDoor]:
    """A server with a certificate that nobody vouches for."""
    async with TlsDoor(NOBODY_INSIDE, self_signed(tmp_path)) as opened:
        yield opened


async def test_the_analyst_is_told_nothing(door: TlsDoor) -> None:
    client = ClaudeClient(key="a key", url=door.url)
    answer = await client.send({"model": "any", "messages": []}, timeout_s=5)
    await client.close()

    assert isinstance(answer, Failed)
    assert (answer.is_free, door.entered) == (True, 0)


async def test_no_text_message_is_sent_and_that_is_known_for_sure(door: TlsDoor) -> None:
    async with ClickSend(username="user", api_key="key", url=door.url) as texts:
        with pytest.raises(AlertNotSent):
            await texts.send("+15550100", "CRITICAL", "reference")

    assert door.entered == 0


async def test_no_chat_is_written_to_and_the_token_is_not_shown(door: TlsDoor) -> None:
    async with open_telegram("1:secret", url=door.url, redact=lambda text: text.replace("1:secret", "***")) as chats:
        with pytest.raises(AlertFailed) as told:
            await chats.send(1, "hello")

    assert ("secret" in str(told.value), door.entered) == (False, 0)


async def test_no_heartbeat_is_given(door: TlsDoor) -> None:
    clock = ManualClock()
    jobs = [JobHealth(name=each, interval_s=60, runs=1) for each in JOBS]
    progress = Progress(lambda: jobs, clock, patience_s=90)
    beat = Heartbeat(f"{door.url}/secret", progress, clock, interval_s=60)
    async with aiohttp.ClientSession() as session:
        given = await beat.beat(session)

    assert (given, progress.stalled(), door.entered) == (False, (), 0)


def test_nothing_in_our_source_switches_the_verification_of_certificates_off() -> None:
    found = [
        f"{path.relative_to(BOT)}:{line}"
        for path in sorted(BOT.rglob("*.py"))
        for line in switched_off(path.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "session.get(url, verify=False)",
        "aiohttp.TCPConnector(ssl=False)",
        "session.verify = False",
        "context.verify_mode = ssl.CERT_NONE",
        "options = {'verify': False}",
        "context = ssl._create_unverified_context()",
    ],
)
def test_the_search_finds_every_way_that_it_is_switched_off(source: str) -> None:
    assert list(switched_off(source)) == [1]


def switched_off(source: str) -> Iterator[int]:
    """Lines that switch it off, in whatever form: an argument, an attribute, a key, or a name of the library."""
    lines = {number for number, line in enumerate(source.splitlines(), 1) if _WORDS.search(line)}
    for node in ast.walk(ast.parse(source)):
        given: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.keyword):
            given = [(node.arg or "", node.value)]
        elif isinstance(node, ast.Assign):
            given = [(each.attr, node.value) for each in node.targets if isinstance(each, ast.Attribute)]
        elif isinstance(node, ast.Dict):
            keys = [str(each.value) if isinstance(each, ast.Constant) else "" for each in node.keys]
            given = list(zip(keys, node.values, strict=True))
        lines |= {value.lineno for name, value in given if name in _OFF and _is_false(value)}
    yield from sorted(lines)


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
