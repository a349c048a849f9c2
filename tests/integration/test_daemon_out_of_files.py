"""A daemon that can open no file and no connection for seconds (RELIABILITY P7): it goes on, and mends by itself."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.wiring.simulate_c_mishaps import no_file_left
from tests.integration.daemons import RunningDaemon, Start, until
from tests.integration.test_daemon_kills import broken, unprotected

STARVED_S = 6  # the market of dev mode is saved once a second, which needs a file
PROTECT_WITHIN_S = 10.0  # the setting's default
NOT_SAVED = "market.json was not saved (Too many open files)"
NOT_ACCEPTED = "socket.accept() out of system resource"


class KeptConnection:
    """One that was open before: it needs no new file."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._line = http.client.HTTPConnection(urlsplit(daemon.url).netloc, timeout=5)
        self._token = daemon.token

    def api(self, path: str) -> Any:
        self._line.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        return json.loads(self._line.getresponse().read())

    def close(self) -> None:
        self._line.close()


def counted(daemon: RunningDaemon, words: str) -> int:
    return daemon.log.read_text().count(words)


def agrees(daemon: RunningDaemon) -> bool:
    """Every venue was compared, and has what our record has."""
    brokers = daemon.api("/api/differences")["brokers"]
    return len(brokers) == 3 and all(each["complete"] and not each["differences"] for each in brokers)


async def test_a_daemon_without_files_keeps_its_positions_protected_and_is_well_again_by_itself(
    data: Path, start: Start
) -> None:
    # Arrange
    daemon = start()
    until(lambda: daemon.api("/health")["status"] == "ok" and daemon.api("/api/status")["open_positions"] >= 1)
    kept = KeptConnection(daemon)
    kept.api("/health")

    # Act
    with no_file_left(daemon.process.pid):
        knocking = [http.client.HTTPConnection(urlsplit(daemon.url).netloc) for _ in range(3)]
        for each in knocking:
            each.connect()  # the kernel takes them; the daemon cannot
        until(lambda: counted(daemon, NOT_SAVED) >= STARVED_S, lambda: daemon.log.read_text()[-2000:])
        starved = kept.api("/health")
    for each in knocking:
        each.close()
    until(lambda: daemon.api("/health")["status"] == "ok", lambda: daemon.log.read_text()[-2000:])
    until(lambda: agrees(daemon), lambda: str(daemon.api("/api/differences")))
    after = daemon.api("/health")
    refused = counted(daemon, NOT_ACCEPTED)
    ended = daemon.stop()
    kept.close()
    successor = start()
    until(lambda: successor.api("/health")["status"] == "ok" and agrees(successor))
    successor.stop()

    # Assert
    worst_s = [each["unprotected_s"]["worst"] for each in (starved, after)]
    assert max(worst_s) < PROTECT_WITHIN_S, worst_s
    assert after["entries_blocked"] == []
    assert 1 <= refused <= 3 * STARVED_S, "it tries once a second, and does its work meanwhile"
    assert ended == 0
    assert await broken(data) == {}, "what was under way at the stop is settled by the next start"
    assert unprotected(data) == []
