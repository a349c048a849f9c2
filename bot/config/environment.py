"""Reads the settings: the environment, over `.env`, over the defaults. The only module that does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream
from pydantic import ValidationError

from bot.config.section import Section
from bot.config.sections import CROSS_CHECKS, CrossCheck, Settings
from bot.config.setting import Setting, all_settings, sections
from bot.errors import ConfigError

DEFAULT: Final = "default"
ENVIRONMENT: Final = "environment"
COMMAND_LINE: Final = "command line"
_LOOKS_LIKE_OURS: Final = 0.8  # difflib's similarity: RISK_PER_TRADE is one of ours misspelt, HTTP_PROXY is not
_LOOKS_LIKE_OURS_ANYWHERE: Final = 0.885  # among names of other programs: HTTP_PROT is 0.889, DATABASE_USER 0.88
_SHORT: Final = 6  # letters: a name like MODE or RIGHT resembles too many that are not ours
_MOST_OF_A_NAME: Final = 0.6  # RISK_PER_TRAD breaks off late enough, DATA_DIR and ANTHROPIC do not


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and where each came from: "default", "environment", ".env line N" or "command line", by its name."""

    settings: Settings
    origins: Mapping[str, str]

    @property
    def data_directory(self) -> Path:
        """`data_directory` as an absolute path: relative to the project, or to where we stand if typed just now.

        Paper and live have a default of their own each, because a database belongs to one set of accounts.
        """
        origin, run = self.origins["DATA_DIRECTORY"], self.settings.run
        base = Path.cwd() if origin == COMMAND_LINE else project_directory()
        suffix = f"-{run.mode}" if origin == DEFAULT and run.mode != "dev" else ""
        return (base / Path(run.data_directory + suffix).expanduser()).absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """A value somebody wrote, not yet parsed."""

    text: str
    origin: str


def project_directory() -> Path:
    """Where `botctl` and `.env.example` are."""
    return Path(__file__).resolve().parents[2]


def find_env_file(working_directory: Path) -> Path | None:
    """The `.env` of the working directory, else that of the project, else None."""
    candidates = (working_directory / ".env", project_directory() / ".env")
    return next((each for each in candidates if each.is_file()), None)


def load_settings(
    environ: Mapping[str, str], env_file: Path | None, *, command_line: Mapping[str, str] | None = None
) -> Loaded:
    """Settings from `command_line` (by environment name), `environ` and `env_file`, each winning over the next.

    An empty value means the default, and still wins. Raises ConfigError naming every fault at once.
    """
    written, problems = _read_env_file(env_file) if env_file else ({}, [])
    given = dict(written)
    for origin, values in ((ENVIRONMENT, environ), (COMMAND_LINE, command_line or {})):
        ours = {each.name: values[each.name] for each in all_settings() if each.name in values}
        given |= {name: _Given(text=text.strip(), origin=origin) for name, text in ours.items()}
    settings, wrong = _parsed(given)
    problems += wrong.values()
    problems += _between_settings(settings, given, wrong)
    if problems:
        raise ConfigError(_report(problems))
    origins = {each.name: given[each.name].origin if each.name in given else DEFAULT for each in all_settings()}
    return Loaded(settings=settings, origins=origins)


def misspelt_names(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each name in the environment that is nearly one of ours. Other programs have their names there
    too, so this is a doubt and no fault."""
    names = [each.name for each in all_settings()]
    long = [each for each in names if len(each) > _SHORT]
    told = (_misspelt(each, long, _LOOKS_LIKE_OURS_ANYWHERE) for each in environ if each not in names)
    return [each for each in told if each]


def _misspelt(name: str, names: Sequence[str], likeness: float) -> str:
    """Which of `names` was meant, if `name` resembles it or is most of it; else empty."""
    written = name.upper()
    near = get_close_matches(written, names, n=1, cutoff=likeness)
    if not near and "_" in written:
        near = [each for each in names if each.startswith(written) and len(written) >= _MOST_OF_A_NAME * len(each)]
    return f"{name} is not a setting; did you mean {near[0]}?" if near else ""


def _report(problems: list[str]) -> str:
    count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
    lines = "".join(f"\n  {each}" for each in problems)
    return f"{count} wrong; correct the environment or .env (.env.example describes each):{lines}"


def _read_env_file(path: Path) -> tuple[dict[str, _Given], list[str]]:
    """What `.env` gives to our settings (of a name written twice the last), and what in it cannot be meant."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); make it a readable UTF-8 file or remove it") from error
    names = [each.name for each in all_settings()]
    given: dict[str, _Given] = {}
    problems: list[str] = []
    for line, name, value in _bindings(text):
        if name is None:
            problems.append(f".env line {line} cannot be read; write NAME=value, with matching quotes")
        elif name in names and value is None:
            problems.append(f".env line {line}: {name} has no value; write {name}=value")
        elif name in names:
            given[name] = _Given(text=(value or "").strip(), origin=f".env line {line}")
        elif misspelt := _misspelt(name, names, _LOOKS_LIKE_OURS):
            problems.append(f".env line {line}: {misspelt}")
    return given, problems


def _bindings(text: str) -> Iterator[tuple[int, str | None, str | None]]:
    """(line, name, value) of each assignment; name None where the line cannot be read."""
    for binding in parse_stream(StringIO(text)):
        raw = binding.original.string
        blank_lines_before = raw[: len(raw) - len(raw.lstrip())].count("\n")
        if binding.error or binding.key is not None:
            yield binding.original.line + blank_lines_before, None if binding.error else binding.key, binding.value


def _parsed(given: Mapping[str, _Given]) -> tuple[Settings, dict[str, str]]:
    """Settings with every valid value in place, and a sentence for each wrong one, by its name."""
    chosen: dict[str, Section] = {}
    wrong: dict[str, str] = {}
    for section, kind in sections().items():
        members = [each for each in all_settings() if each.section == section]
        chosen[section] = _section(kind, members, given, wrong)
    return Settings.model_validate(chosen), wrong


def _section(
    kind: type[Section], members: Iterable[Setting], given: Mapping[str, _Given], wrong: dict[str, str]
) -> Section:
    """One section; wrong values are noted in `wrong` and left at their default, so that the others are still read."""
    by_field = {each.field: each for each in members if each.name in given and given[each.name].text}
    values = {field: given[setting.name].text for field, setting in by_field.items()}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            field = str(fault["loc"][0])
            setting = by_field[field]
            own = fault["msg"].removeprefix("Value error, ") if fault["type"] == "value_error" else ""
            wrong[setting.name] = _sentence(setting, given[setting.name], own or f"must be {setting.accepts}")
            values.pop(field, None)
    return kind.model_validate(values)


def _sentence(setting: Setting, given: _Given, bound: str) -> str:
    return f"{setting.name}={setting.masked(given.text)!r} ({given.origin}) {bound}; it means: {setting.meaning}"


def _between_settings(settings: Settings, given: Mapping[str, _Given], wrong: Mapping[str, str]) -> list[str]:
    """A sentence for each broken bound between settings that are valid by themselves."""
    return [
        _broken(check, settings, given)
        for check in CROSS_CHECKS
        if not any(name.upper() in wrong for name in check.names) and not check.holds(settings)
    ]


def _broken(check: CrossCheck, settings: Settings, given: Mapping[str, _Given]) -> str:
    shown = []
    for setting in all_settings():
        if setting.field in check.names:
            origin = given[setting.name].origin if setting.name in given else DEFAULT
            shown.append(f"{setting.name}={setting.masked(str(setting.value(settings)))} ({origin})")
    return f"{', '.join(shown)}: {check.says}"
