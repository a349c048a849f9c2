"""Dockerfile, fly.toml and the systemd units: what they promise is checked against the program and the platform."""

import configparser
import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import tomllib
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bot.cli import COMMANDS
from bot.commands.db import db
from bot.config import all_settings, load_settings
from bot.errors import ConfigError, UsageError
from bot.layer5_monitoring.health import HealthPort, HealthState
from bot.wiring.watchdog import HANGS_AFTER_S

PROJECT = Path(__file__).resolve().parents[2]
UNITS = PROJECT / "ops" / "systemd"
SECRETS = {each.name for each in all_settings() if each.secrecy is not None}
STOPS_WITHIN_S = 10


class Line(NamedTuple):
    """One instruction of a Dockerfile."""

    word: str
    rest: str


def dockerfile() -> list[Line]:
    text = re.sub(r"^\s*#.*\n", "", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [Line(*each.split(maxsplit=1)) for each in text.splitlines() if each.strip()]


def stages() -> dict[str, list[Line]]:
    """Instructions by the name of their stage; what comes before the first one is under the empty name."""
    found: dict[str, list[Line]] = {"": []}
    for line in dockerfile():
        if line.word == "FROM":
            found[line.rest.split()[-1]] = []
        list(found.values())[-1].append(line)
    return found


def in_context(path: str) -> bool:
    """As Docker reads .dockerignore: the last pattern that fits the path, or a directory above it, decides."""
    is_in = True
    for pattern in (PROJECT / ".dockerignore").read_text().splitlines():
        if not pattern or pattern.startswith("#"):
            continue
        plain = pattern.removeprefix("!").removeprefix("**/")
        parts = [path, *map(str, Path(path).parents)]
        names = [Path(each).name for each in parts] if "**/" in pattern else []
        if any(fnmatch.fnmatch(each, plain) for each in [*parts, *names] if each != "."):
            is_in = pattern.startswith("!")
    return is_in


def copied_files() -> list[str]:
    """Sources of COPY that come from the project."""
    lines = [line.rest.split() for line in dockerfile() if line.word == "COPY" and "--from" not in line.rest]
    return [source for words in lines for source in words[:-1]]


# ----------------------------------------------------------------------------------------------------- Dockerfile


def test_the_default_image_is_never_root_and_stands_on_an_exact_base_without_a_registry_host() -> None:
    last = list(stages().values())[-1]
    base = next(line.rest for line in stages()[""] if line.word == "ARG")

    assert [line.rest for line in last if line.word == "USER"] == ["bot"]
    assert re.fullmatch(r"BASE=python:3\.1[123]\.\d+-slim-[a-z]+", base)
    assert all(line.rest.split()[0] in {"${BASE}", *stages()} for line in dockerfile() if line.word == "FROM")


def test_all_that_is_copied_exists_and_nothing_else_goes_into_the_build() -> None:
    for source in copied_files():
        assert (PROJECT / source).exists(), source
        assert in_context(source), source
    for needed in ("bot/cli.py", "bot/database/migrations/0001_initial.sql", "bot/dashboard/static/site.css"):
        assert in_context(needed), needed
    for kept_out in (".env", ".git/config", ".botdata/run.json", "tests/builders.py", "bot/__pycache__/cli.pyc"):
        assert not in_context(kept_out), kept_out


def test_what_the_program_reads_beside_its_package_is_in_the_image() -> None:
    assert {"botctl", "pyproject.toml", "requirements.lock", "bot"} <= set(copied_files())


def test_the_image_starts_the_program_itself_and_asks_health() -> None:
    lines = stages()["runtime"]
    said = {line.word: line.rest for line in lines}

    assert json.loads(said["ENTRYPOINT"]) == ["/app/botctl"]
    assert json.loads(said["CMD"]) == ["run"]
    assert "/health" in said["HEALTHCHECK"]
    assert {line.word for line in dockerfile()} <= {
        *("ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "USER"),
        "VOLUME",
    }


def test_packages_are_installed_by_their_hashes_and_no_secret_is_in_the_file() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    botctl = (PROJECT / "botctl").read_text()

    assert "make-environment-with-lock-held requirements.lock" in text
    assert botctl.count("--require-hashes") == 2  # pip's way and uv's
    assert not SECRETS & set(re.findall(r"\b[A-Z_]{4,}\b", text))
    for name in ("requirements.lock", "requirements-build.lock", "requirements-installer.lock"):
        pinned = re.findall(r"^[a-z0-9][^=\n]*==\S+.*?(?=^[a-z0-9]|\Z)", (PROJECT / name).read_text(), re.M | re.S)
        assert pinned
        assert all("--hash=sha256:" in each for each in pinned), name


def test_the_image_keeps_all_that_it_writes_under_data() -> None:
    words = shlex.split(next(line.rest for line in stages()["runtime"] if line.word == "ENV"))
    environment = dict(each.split("=", 1) for each in words)

    assert {environment[name] for name in ("DATA_DIRECTORY", "HOME", "TMPDIR")} == {"/data"}
    assert load_settings(environment, None).data_directory == Path("/data")


def test_the_stage_for_fly_gives_up_root_before_anything_else_runs() -> None:
    (entrypoint,) = (json.loads(line.rest)[0] for line in stages()["fly"] if line.word == "ENTRYPOINT")
    script = PROJECT / Path(entrypoint).relative_to("/app")

    last = script.read_text().replace("\\\n", " ").splitlines()[-1]
    assert script.stat().st_mode & stat.S_IXOTH
    assert last.startswith("exec setpriv --reuid=bot --regid=bot --clear-groups --no-new-privs")
    assert last.endswith('-- /app/botctl "$@"')


# --------------------------------------------------------------------------------------------------------- fly.toml


@pytest.fixture
def fly() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "fly.toml").read_text())


def test_fly_keeps_one_machine_always_on_and_never_two_at_a_time(fly: dict[str, Any]) -> None:
    service = fly["http_service"]

    assert (service["auto_stop_machines"], service["auto_start_machines"]) == ("off", False)
    assert fly["deploy"]["strategy"] == "rolling"
    assert "processes" not in fly
    assert [each["destination"] for each in fly["mounts"]] == ["/data"]
    assert all(re.fullmatch(r"[a-z0-9_]+", each["source"]) for each in fly["mounts"])
    assert [each["policy"] for each in fly["restart"]] == ["always"]


def test_fly_stops_it_by_the_signal_it_obeys_and_waits_longer_than_it_takes(fly: dict[str, Any]) -> None:
    assert fly["kill_signal"] == "SIGTERM"
    assert STOPS_WITHIN_S < fly["kill_timeout"] <= 300


def test_flys_environment_is_text_is_valid_and_holds_no_secret(fly: dict[str, Any]) -> None:
    environment = fly["env"]

    assert all(isinstance(value, str) for value in environment.values())
    assert not [name for name in environment if name.startswith("FLY_")]
    assert set(environment) <= {each.name for each in all_settings()}
    assert not SECRETS & set(environment)
    settings = load_settings(environment, None).settings
    assert settings.run.mode == "paper"


def test_fly_asks_where_the_program_answers(fly: dict[str, Any]) -> None:
    service, settings = fly["http_service"], load_settings(fly["env"], None).settings

    assert service["internal_port"] == settings.run.http_port == load_settings({}, None).settings.run.http_port
    assert ip_address(settings.run.http_host).is_unspecified
    assert [each["path"] for each in service["checks"]] == ["/health", "/ready"]
    assert fly["metrics"] == {"port": settings.metrics.metrics_port, "path": "/metrics"}
    assert ip_address(settings.metrics.metrics_host).is_unspecified


def test_flys_release_command_is_one_of_ours_after_the_entrypoint(fly: dict[str, Any]) -> None:
    command, word = fly["deploy"]["release_command"].split()

    assert command in COMMANDS
    assert db[word].default_command is not None
    assert fly["build"]["build-target"] in stages()
    assert fly["build"]["dockerfile"] == "Dockerfile"


def test_an_address_of_all_is_reached_over_ipv4_and_ipv6(fly: dict[str, Any]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    port = HealthPort(HealthState())
    with port.bind(fly["env"]["HTTP_HOST"], 0) as listener:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as client:
                client.settimeout(5)
                client.connect((address, listener.getsockname()[1]))


# ---------------------------------------------------------------------------------------------------------- systemd


class Unit(configparser.RawConfigParser):
    """A unit file; a name that is given several times keeps all its values, one a line."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        seen: dict[str, int] = {}
        lines = []
        for line in path.read_text().splitlines():
            name = line.split("=", 1)[0]
            if "=" in line and not line.startswith("#"):
                seen[name] = seen.get(name, 0) + 1
                line = line if seen[name] == 1 else line.replace("=", f".{seen[name]}=", 1)
            lines.append(line)
        self.read_string("\n".join(lines))

    def environment(self) -> dict[str, str]:
        """Of all lines `Environment=`."""
        service = self["Service"]
        texts = [value for name, value in service.items() if name.split(".")[0] == "Environment"]
        return dict(each.split("=", 1) for text in texts for each in shlex.split(text))


def test_the_unit_waits_for_ready_watches_and_gives_it_time_to_stop() -> None:
    service = Unit(UNITS / "trading-bot.service")["Service"]

    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert float(service["WatchdogSec"]) == HANGS_AFTER_S
    assert int(service["TimeoutStopSec"]) > STOPS_WITHIN_S
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"].split() == [str(UsageError.exit_code), str(ConfigError.exit_code)]


def test_the_unit_is_hardened_and_bounded_and_writes_to_its_data_only() -> None:
    unit = Unit(UNITS / "trading-bot.service")
    service = unit["Service"]

    wanted = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": ""}
    assert {name: service[name] for name in wanted} == wanted
    assert service["User"] != "root"
    assert service["MemoryMax"]
    assert int(service["LimitNOFILE"]) >= 1024
    assert service["ReadWritePaths"] == f"/var/lib/{service['StateDirectory']}" == unit.environment()["DATA_DIRECTORY"]
    for name in (each for each in unit.environment() if each in {setting.name for setting in all_settings()}):
        assert name not in SECRETS
    assert load_settings(unit.environment(), None).data_directory == Path(service["ReadWritePaths"])


def test_the_nightly_backup_is_a_call_that_the_program_understands() -> None:
    words = shlex.split(Unit(UNITS / "trading-bot-backup.service")["Service"]["ExecStart"])

    assert words[:3] == ["/opt/trading-bot/botctl", "db", "backup"]
    command, bound, _ = db.parse_args(words[2:])
    assert command.__name__ == "backup"
    assert bound.arguments["keep"] >= 7


def test_systemd_itself_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    for path in UNITS.iterdir():  # the paths of an installed system are not there
        text = path.read_text().replace("/opt/trading-bot/botctl", "/bin/true")
        (tmp_path / path.name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))

    checked = run_offline("systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir())))

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def run_offline(*words: str) -> "subprocess.CompletedProcess[str]":
    environment: dict[str, str] = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_every_unit_is_known_to_the_guide() -> None:
    guide = (PROJECT / "docs" / "deploy.md").read_text()
    names: Sequence[str] = [each.name for each in UNITS.iterdir()]

    assert names
    assert [name for name in names if name.removesuffix(".service") not in guide] == []
