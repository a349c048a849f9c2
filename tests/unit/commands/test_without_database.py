"""`botctl status`, `risk` and `reconcile` while the daemon is without its database: what is true, and what helps."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main

AWAY: Mapping[str, Any] = {
    "mode": "paper",
    "status": "degraded",
    "database": "elsewhere",
    "writer_lock": "away",
    "writer_lock_away_since": "2025-03-04T14:00:05+00:00",
    "kill": "halt",
    "entries_blocked": ["oanda: the writer lock is away, nothing is sent"],
    "unprotected_s": {"now": 0, "worst": 0},
    "last_analysis": None,
}
COMPARED: Mapping[str, Any] = {
    "brokers": [
        {
            "broker_id": "oanda",
            "compared_at": None,
            "complete": False,
            "error": "reconciliation failed, see the log",
            "matched": 0,
            "classes": {},
            "differences": [],
        }
    ]
}
Serve = Callable[[Mapping[str, Any]], None]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A daemon that answers what needs no database, and 503 to all else, as the real one does."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    said: dict[str, Any] = {"/api/differences": COMPARED}
    with _serving(said) as url:
        run_file = {"pid": os.getpid(), "token": "canary", "url": url}
        (tmp_path / "run.json").write_text(json.dumps(run_file))
        yield lambda health: said.update({"/health": health})


@contextmanager
def _serving(said: Mapping[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in said
            self.send_response(200 if known else 503)
            self.send_header("Content-Type", "application/json" if known else "application/problem+json")
            self.end_headers()
            self.wfile.write(json.dumps(said.get(self.path, {})).encode())

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("command", ["status", "risk", "reconcile"])
def test_a_database_that_is_away_is_told_with_its_age_what_protects_and_what_helps(
    command: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(AWAY)

    assert main([command, "--data", "."]) == 6

    told = capsys.readouterr().err
    assert (
        f"the database of the daemon (process {os.getpid()}) does not answer, since 2025-03-04 14:00:05 UTC, for "
        in told
    )
    for each in ("Entries are blocked", "Stops that rest at the venues protect", "restart of the daemon does not help"):
        assert each in told
    assert "Traceback" not in told
    assert "no stop" not in told


def test_status_still_shows_what_the_daemon_knows_without_it(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve(AWAY)
    main(["status", "--json", "--data", "."])
    known = json.loads(capsys.readouterr().out)
    assert (known["mode"], known["health"], known["kill_level"]) == ("paper", "degraded", "halt")
    assert known["entries_blocked"] == ["oanda: the writer lock is away, nothing is sent"]
    assert known["equity"] is None


def test_a_venue_that_is_not_compared_meanwhile_is_not_said_to_be_silent(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(AWAY)
    main(["reconcile", "--data", "."])
    assert "oanda: not compared; 0 matched" in capsys.readouterr().out


def test_no_answer_to_a_difference_is_taken_meanwhile(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve(AWAY)
    assert main(["reconcile", "--ignore", "k3xq7n", "--data", "."]) == 6
    assert "no answer was stored: the database of the daemon" in capsys.readouterr().err


def test_a_position_without_its_stop_is_told_too(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve({**AWAY, "unprotected_s": {"now": 12.4, "worst": 12.4}})
    main(["status", "--data", "."])
    assert "A position has had no stop for all of it for 12 s" in capsys.readouterr().err


def test_a_server_of_the_daemons_own_is_started_again_with_it(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve({**AWAY, "database": "embedded"})
    main(["status", "--data", "."])
    told = capsys.readouterr().err
    assert "a restart of the daemon starts it again" in told
    assert "does not help" not in told


def test_a_question_that_the_database_has_not_answered_once_is_not_called_a_start(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve({**AWAY, "writer_lock": "held", "writer_lock_away_since": None})
    assert main(["risk", "--data", "."]) == 6
    assert "got no answer of its database; ask again" in capsys.readouterr().err
