"""Every command ends with an exit code that says how it went, and tells a person one clear line when it went wrong."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from bot.cli import COMMANDS, Command, main
from bot.commands.run import run
from bot.config import example_text
from bot.errors import DatabaseUnavailable
from bot.main import main as daemon

PROJECT = Path(__file__).resolve().parents[2]
CANARY = "c4n4ry-pw"


def interrupted() -> None:
    """A command during which Ctrl-C is pressed."""
    raise KeyboardInterrupt


def without_database() -> None:
    """A command that meets a foreseen fault."""
    raise DatabaseUnavailable(f"postgresql://bot:{CANARY}@host/db does not answer; start it")


def with_a_bug() -> None:
    """A command that meets an unforeseen fault."""
    raise ValueError(f"token={CANARY}")


def answers_seven() -> int:
    """A command with its own exit code."""
    return 7


OURS = {
    each.__name__: Command(f"{__name__}:{each.__name__}", "")
    for each in (interrupted, without_database, with_a_bug, answers_seven)
}


@pytest.fixture(autouse=True)
def data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an empty `.env`, and data of its own: neither the developer's nor another test's."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.delenv("BOT_DEBUG", raising=False)
    return tmp_path / "data"


# ------------------------------------------------------------------------------------------------- how a command ends


def test_the_exit_code_of_a_command_is_the_exit_code_of_the_program() -> None:
    assert main(["answers_seven"], OURS) == 7


def test_an_interrupted_command_exits_130_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interrupted"], OURS) == 130
    assert capsys.readouterr().err == ""


def test_a_foreseen_fault_is_one_line_with_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["without_database"], OURS) == 6
    assert capsys.readouterr().err == "error: postgresql://bot:***@host/db does not answer; start it\n"


def test_an_unforeseen_fault_is_one_line_and_its_details_are_in_a_file_of_the_owner(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    code = main(["with_a_bug"], OURS)

    told = capsys.readouterr().err
    kept = data_directory / "errors.log"
    assert code == 1
    assert told.startswith("error: unexpected ValueError: token=*** (details in ")
    assert told.count("\n") == 1
    assert str(kept) in told
    assert "in with_a_bug" in kept.read_text()
    assert CANARY not in kept.read_text() + told.replace(str(kept), "")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_an_unforeseen_fault_shows_its_traceback_only_when_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data_directory: Path
) -> None:
    main(["with_a_bug"], OURS)
    quiet = capsys.readouterr().err
    monkeypatch.setenv("BOT_DEBUG", "1")
    main(["with_a_bug"], OURS)
    debugging = capsys.readouterr().err

    assert "Traceback" not in quiet
    assert "Traceback" in debugging


def test_an_unforeseen_fault_is_told_although_its_file_cannot_be_written(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    data_directory.write_text("a file where the folder should be")

    assert main(["with_a_bug"], OURS) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statu"], "there is no command 'statu'; did you mean status?"),
        (["status", "--jsn"], "Unknown option: --jsn. Did you mean --json? (./botctl status --help)"),
        (["status", "surplus"], "(./botctl status --help)"),
        (["--nonsense"], "there is no command '--nonsense'; Commands: run, status"),
    ],
)
def test_a_wrong_call_exits_2_and_says_what_was_meant(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    error = capsys.readouterr().err
    assert told in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_the_help_lists_every_command_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = {name: Command("no.such.module:nothing", each.help) for name, each in COMMANDS.items()}

    assert main(["--help"], nowhere) == 0

    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"│ {name} " not in shown] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_leads_to_a_function(name: str) -> None:
    module, _, function = COMMANDS[name].path.partition(":")

    assert callable(getattr(import_module(module), function))


def test_version_names_the_program_and_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert re.fullmatch(r"trading-bot \d+\.\d+\.\d+, Python 3\.\d+\.\d+\n", capsys.readouterr().out)


# ---------------------------------------------------------------------------------------------------------------- run


def test_the_help_of_run_shows_the_options_that_the_daemon_reads(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        daemon(["--help"])
    of_daemon = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}

    main(["run", "--help"])

    shown = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {f"--{each}" for each in signature(run).parameters} == of_daemon
    assert of_daemon <= shown


def test_run_reaches_the_daemon_without_importing_the_command_line_library() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bot.cli", "run", "--no-such-option"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )

    imported = set(re.findall(r"^import time:.*\| +(\w+)\S*$", result.stderr, flags=re.MULTILINE))
    assert result.returncode == 2
    assert "unrecognized arguments: --no-such-option" in result.stderr
    assert "bot" in imported
    assert imported.isdisjoint({"cyclopts", "rich", "numpy", "talib", "aiohttp", "asyncpg", "apscheduler"})


# ------------------------------------------------------------------------------------------------------- check-config


def test_check_config_shows_every_value_with_its_origin_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("DASHBOARD_PASSWORD", CANARY)

    assert main(["check-config"]) == 0

    rows = [re.split(r"\s*│\s*", line) for line in capsys.readouterr().out.splitlines()]
    found = {row[2]: (row[3], row[4]) for row in rows if len(row) == 6}
    assert found["LOG_LEVEL"] == ("DEBUG", ".env line 2")
    assert found["DASHBOARD_PASSWORD"] == ("***", "environment")
    assert found["MIN_ADX"] == ("20", "default")


def test_check_config_exits_3_and_lists_all_faults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "live")
    monkeypatch.setenv("MIN_ADX", "-1")

    assert main(["check-config"]) == 3

    told = capsys.readouterr().err
    assert "MODE=live" in told
    assert "MIN_ADX='-1'" in told


def test_check_config_prints_the_example_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--example"]) == 0
    assert capsys.readouterr().out == example_text()


# ------------------------------------------------------------------------------------------------------------- status


@dataclass
class FakeDaemon:
    """A daemon's HTTP side; `answers` is what it says to `/api/status`."""

    answers: bytes = b"{}"
    status: int = 200
    url: str = ""
    authorizations: list[str] = field(default_factory=list)


@contextmanager
def running(daemon: FakeDaemon) -> Iterator[FakeDaemon]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            daemon.authorizations.append(f"{self.path} {self.headers['Authorization']}")
            self.send_response(daemon.status)
            self.end_headers()
            self.wfile.write(daemon.answers)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        daemon.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()


def write_run_file(directory: Path, **facts: object) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "run.json").write_text(json.dumps({"pid": os.getpid(), "token": CANARY, "mode": "dev", **facts}))


STATUS: Mapping[str, object] = {
    "mode": "dev",
    "url": "http://127.0.0.1:8080",
    "health": "ok",
    "equity": 10_012.498,
    "open_positions": 2,
    "closed_positions": 3,
    "signals": {"ordered": 5, "vetoed": 1},
    "orders": {},
    "last_analysis": "2025-01-01T00:00:00+00:00",
    "jobs": [{"name": "monitor", "runs": 9, "missed": 0, "failures": 0, "last_run_at": None, "last_error": ""}],
}


def test_status_as_json_has_what_the_daemon_said_and_every_promised_key(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    with running(FakeDaemon(answers=json.dumps(STATUS).encode())) as fake:
        write_run_file(data_directory, url=fake.url)
        code = main(["status", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == {**STATUS, "last_error": None, "kill": None, "kill_level": None}
    assert fake.authorizations == [f"/api/status Bearer {CANARY}"]


def test_status_as_a_table_shows_the_facts_and_the_jobs(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    with running(FakeDaemon(answers=json.dumps(STATUS).encode())) as fake:
        write_run_file(data_directory, url=fake.url)
        main(["status"])

    shown = capsys.readouterr().out
    assert "10,012.50" in shown
    assert "ordered 5, vetoed 1" in shown
    assert "monitor" in shown
    assert CANARY not in shown


def test_status_asks_the_daemon_directly_although_a_proxy_is_set(
    capsys: pytest.CaptureFixture[str], data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with running(FakeDaemon(answers=json.dumps(STATUS).encode())) as fake:
        write_run_file(data_directory, url=fake.url)

        assert main(["status", "--json"]) == 0


def test_status_of_another_data_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with running(FakeDaemon(answers=json.dumps(STATUS).encode())) as fake:
        write_run_file(tmp_path / "other", url=fake.url)

        assert main(["status", "--json", "--data", "other"]) == 0


def test_status_without_a_daemon_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    assert main(["status"]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: no daemon runs here ({data_directory}/run.json does not exist): start it with ./botctl run\n"
    )


def test_status_of_a_daemon_that_was_killed_says_so(capsys: pytest.CaptureFixture[str], data_directory: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_run_file(data_directory, pid=ended.pid, url="http://127.0.0.1:9")

    assert main(["status"]) == 1
    assert f"process {ended.pid} of {data_directory}/run.json has ended" in capsys.readouterr().err


@pytest.mark.parametrize("written", ["", "{}", "[]", '{"pid": "x", "url": "", "token": ""}', "\x00"])
def test_status_with_a_damaged_run_file_says_so(
    written: str, capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    data_directory.mkdir()
    (data_directory / "run.json").write_text(written)

    assert main(["status"]) == 1
    assert "run.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fake", "told"),
    [
        (FakeDaemon(status=503), "is starting"),
        (FakeDaemon(status=401), "answered 401"),
        (FakeDaemon(answers=b"<html>"), "does not answer (JSONDecodeError"),
        (FakeDaemon(answers=b"[1]"), "is another program on that port?"),
    ],
)
def test_status_of_a_daemon_that_does_not_answer_well_says_what_it_did(
    fake: FakeDaemon, told: str, capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    with running(fake):
        write_run_file(data_directory, url=fake.url)
        code = main(["status"])

    error = capsys.readouterr().err
    assert code == 1
    assert told in error
    assert error.count("\n") == 1
    assert CANARY not in error


def test_status_of_a_daemon_whose_port_is_shut_says_that_it_does_not_answer(
    capsys: pytest.CaptureFixture[str], data_directory: Path
) -> None:
    with running(FakeDaemon()) as fake:
        pass
    write_run_file(data_directory, url=fake.url)

    assert main(["status"]) == 1
    assert f"the daemon (process {os.getpid()}) at {fake.url} does not answer" in capsys.readouterr().err


def test_the_command_line_works_as_a_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bot.cli", "stats"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("error: there is no command 'stats'; did you mean status?")
