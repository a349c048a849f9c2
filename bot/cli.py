"""The command line. Commands are imported when they are called, so that each starts as fast as it can.

`run` is called before anything of the command-line library is imported: the health port must not wait for it.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.errors import BotError, UsageError

if TYPE_CHECKING:
    from bot.layer5_monitoring.logger import Redactor

EXIT_UNEXPECTED: Final = 1
EXIT_INTERRUPTED: Final = 130
_OWN_OPTIONS: Final = ("-h", "--help", "--version")


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command's function is ("module:function"), and what it does."""

    path: str
    help: str


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command("bot.commands.run:run", "Start the daemon; Ctrl-C stops it cleanly."),
    "status": Command("bot.commands.status:status", "Show what the running daemon does."),
    "risk": Command("bot.commands.risk:risk", "Show limits used and exposure."),
    "pause": Command("bot.commands.kill:pause", "Stop new entries."),
    "flatten": Command("bot.commands.kill:flatten", "Close every position at market and stop new entries."),
    "halt": Command("bot.commands.kill:halt", "Send nothing that increases risk; keep positions and stops."),
    "resume": Command("bot.commands.kill:resume", "Let entries go on after pause, flatten or halt."),
    "users": Command("bot.commands.users:users", "Add and change the people who may see the page."),
    "tokens": Command("bot.commands.tokens:tokens", "Make and revoke the tokens of programs."),
    "reconcile": Command("bot.commands.reconcile:reconcile", "Compare our book with the venues; answer differences."),
    "replay": Command("bot.commands.replay:replay", "Run recorded candles through the pipeline and report."),
    "detect": Command("bot.commands.detect:detect_command", "Find every event in candles: table, JSON or chart."),
    "judge": Command("bot.commands.judge:judge_command", "Judge a hand-written signal by all 27 rules."),
    "why": Command("bot.commands.why:why", "Explain what was decided about a signal, rule by rule."),
    "rules": Command("bot.commands.rules:rules", "Report what each rule rejects, saves and costs."),
    "alerts": Command("bot.commands.alerts:alerts", "Show alerts, take note of one, or test the ways to people."),
    "simulate": Command(
        "bot.commands.simulate:simulate", "Try to break the order path with seeded faults and crashes."
    ),
    "lookahead": Command("bot.commands.lookahead:lookahead", "Prove that a strategy never looks ahead."),
    "exits": Command("bot.commands.exits:exits", "Try an exit plan on recorded candles or quotes."),
    "doctor": Command("bot.commands.doctor:doctor", "Check keys, venues, database and disk; say what to do."),
    "candles": Command("bot.commands.venues:candles", "Fetch closed candles from the venue of a symbol."),
    "quote": Command("bot.commands.venues:quote", "Show best bid and ask of symbols, now."),
    "orders": Command("bot.commands.venues:orders", "Show working orders and stops as the venues have them."),
    "positions": Command("bot.commands.venues:positions", "Show open positions as the venues have them."),
    "account": Command("bot.commands.venues:account", "Show balance and equity as the venues have them."),
    "analyst": Command(
        "bot.commands.analyst:analyst", "Show what models cost, which there are, and what they are worth."
    ),
    "db": Command("bot.commands.db:db", "Back up, restore, migrate or check the database."),
    "openapi": Command("bot.commands.openapi:openapi", "Print the OpenAPI document of the API."),
    "check-config": Command("bot.commands.check_config:check_config", "Show every setting and where it comes from."),
    "bench": Command("bot.commands.bench:bench", "Measure the speed of the pipeline on this machine."),
    "version": Command("bot.commands.version:version", "Show the version."),
}


def main(arguments: Sequence[str] | None = None, commands: Mapping[str, Command] = COMMANDS) -> int:
    """Run one command; the exit code says how it ended (bot/errors.py). `arguments` default to those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words, commands)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BotError as error:
        return _told(error)
    except Exception as error:  # the edge: below it nobody catches what we did not foresee
        return _unexpected(error)


def _dispatch(words: list[str], commands: Mapping[str, Command]) -> int:
    if words[:1] == ["run"] and {"-h", "--help"}.isdisjoint(words):
        signal.signal(signal.SIGTERM, _leave)  # until the daemon's event loop takes it over
        run: Callable[[Sequence[str]], int] = import_module("bot.main").main
        return run(words[1:])
    if words and words[0] not in commands and words[0] not in _OWN_OPTIONS:  # the library would import every command
        near = get_close_matches(words[0], commands, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no command {words[0]!r}; {hint}Commands: {', '.join(commands)}")
    return _parsed(words, commands)


def _leave(*_: object) -> None:
    """Told to stop before anything has begun."""
    sys.exit(0)


def _parsed(words: list[str], commands: Mapping[str, Command]) -> int:
    """Let the command-line library read `words` and call the command."""
    from cyclopts import App, CycloptsError

    app = App(
        name="botctl",
        help="The trading daemon and what belongs to it. Start with: ./botctl run",
        version=_program_version,
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for position, (name, command) in enumerate(commands.items()):
        app.command(command.path, name=name, help=command.help, sort_key=position)
    try:
        return int(app(words) or 0)
    except CycloptsError as error:
        of_command = f" {words[0]}" if words and words[0] in commands else ""
        raise UsageError(f"{error} (./botctl{of_command} --help)") from error


def _program_version() -> str:
    version: str = import_module("bot.config.version").program_version()
    return version


def _told(error: BotError) -> int:
    """One clear line: the person can do something about it."""
    _to_person(f"error: {_redactor().redact(str(error))}")
    if _debugging():
        _to_person(_redactor().redact("".join(traceback.format_exception(error))))
    return error.exit_code


def _unexpected(error: Exception) -> int:
    """A short line; the details go to a file, for whoever mends it."""
    redactor = _redactor()
    details = redactor.redact("".join(traceback.format_exception(error)))
    summary = redactor.redact(f"unexpected {type(error).__name__}: {error}")
    if _debugging():
        _to_person(details)
        where = "details above"
    else:
        where = f"details in {_kept(details)}; BOT_DEBUG=1 shows them here"
    _to_person(f"error: {summary} ({where})")
    return EXIT_UNEXPECTED


def _kept(details: str) -> str:
    """Append to the error file; where it is, or why it could not be written."""
    from bot.clock import SystemClock

    path = _data_directory() / "errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # a traceback may hold what the redactor does not know
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{SystemClock().now().isoformat()} {sys.argv[1:2]}\n{details}\n")
    except OSError as error:
        return f"no file, {path} cannot be written ({error.strerror})"
    return str(path)


def _data_directory() -> Path:
    from bot.config import find_env_file, load_settings, project_directory

    try:
        return load_settings(os.environ, find_env_file(Path.cwd())).data_directory
    except BotError:
        return project_directory() / ".botdata"


def _redactor() -> "Redactor":
    from bot.config import find_env_file, load_settings, secret_values
    from bot.layer5_monitoring.logger import Redactor

    try:
        return Redactor(secret_values(load_settings(os.environ, find_env_file(Path.cwd())).settings))
    except BotError:
        return Redactor()  # wrong settings are masked already; what looks like a credential is hidden anyway


def _debugging() -> bool:
    return os.environ.get("BOT_DEBUG") == "1"


def _to_person(text: str) -> None:
    print(text.rstrip(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
