"""People, tokens and sessions of a daemon that runs as a process of its own, over a restart."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.integration.daemons import PROJECT, RunningDaemon, Start
from tests.integration.test_kill_switch import botctl

_PASSWORD = "a heron stands in the reeds"


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def asked(daemon: RunningDaemon, path: str, headers: Mapping[str, str]) -> tuple[int, list[str]]:
    """Status and cookies; a redirect is an answer."""
    request = urllib.request.Request(daemon.url + path, headers=dict(headers))
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=5) as answer:
            return answer.status, answer.headers.get_all("Set-Cookie", [])
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get_all("Set-Cookie", [])


def bearer(printed: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {printed.splitlines()[0]}"}


def test_a_token_of_the_command_line_opens_the_api_until_it_is_revoked(data: Path, start: Start) -> None:
    """S20: at once, from another process."""
    daemon = start()
    made = botctl(data, "tokens", "create", "a screen", "--scope", "read", "--days", "7")
    before = asked(daemon, "/api/status", bearer(made.stdout))[0]
    token_id = made.stdout.split("_")[1]
    listed = botctl(data, "tokens").stdout
    revoked = botctl(data, "tokens", "revoke", token_id)
    after = asked(daemon, "/api/status", bearer(made.stdout))[0]

    assert (before, revoked.returncode, after) == (200, 0, 401)
    assert token_id in listed
    assert made.stdout.split()[0] not in listed
    assert daemon.stop() == 0


def test_a_restart_keeps_people_logged_in_and_tells_no_password_twice(data: Path, start: Start) -> None:
    """S8, and the very first minute without any key."""
    # Arrange
    first = start()
    told = first.errors.read_text()
    link = re.search(r"page +(\S+)(/login\?token=\S+)", told)
    password = re.search(r"login +admin / (\S+) +\(shown once", told)
    assert link
    assert password
    status, cookies = asked(first, link[2], {})
    session = next(each for each in cookies if "session" in each)
    token = session.split(";")[0].split("=", 1)[1]
    assert status == 303
    first.stop(signal.SIGINT)

    # Act
    again = start()
    port = again.url.rsplit(":", 1)[1]
    cookie = {"Cookie": f"bot-session-{port}={token}"}
    status, _ = asked(again, "/", cookie)

    # Assert
    assert status == 200, "the printed link opened the page at once, and its session goes on"
    assert password[1] not in again.errors.read_text()
    assert "shown once" not in again.errors.read_text()
    botctl(data, "users", "disable", "admin")
    botctl(data, "users", "add", "bob", "--role", "admin")
    botctl(data, "users", "disable", "admin")
    assert asked(again, "/", cookie)[0] == 303, "shut out at once, from another process"
    assert again.stop() == 0


def test_people_are_added_changed_and_listed_and_a_weak_password_is_refused(data: Path, start: Start) -> None:
    daemon = start()
    weak, right = data / "weak", data / "right"
    weak.write_text("password1")
    right.write_text(_PASSWORD)

    added = botctl(data, "users", "add", "carla", "--role", "operator")
    refused = botctl(data, "users", "passwd", "carla", "--password-file", str(weak))
    changed = botctl(data, "users", "passwd", "carla", "--password-file", str(right))
    last = botctl(data, "users", "disable", "admin")
    listed = botctl(data, "users")

    assert re.search(r"first login, shown once: [\w-]{16}$", added.stdout.strip())
    assert (refused.returncode, "tried first" in refused.stderr) == (2, True)
    assert changed.returncode == 0
    assert (last.returncode, "only admin" in last.stderr) == (2, True)
    assert re.search(r"^carla +operator +password only$", listed.stdout, re.MULTILINE)
    assert _PASSWORD not in changed.stdout + changed.stderr
    assert daemon.stop() == 0


def test_a_weak_password_in_the_settings_stops_the_start_by_name(data: Path) -> None:
    """S1."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(data), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "DASHBOARD_PASSWORD": "admin1234"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
    )

    assert ended.returncode == 3
    assert "DASHBOARD_PASSWORD of user admin is refused" in ended.stderr
    assert not (data / "postgres").exists(), "before anything is begun"
    assert "admin1234" not in ended.stdout + ended.stderr
