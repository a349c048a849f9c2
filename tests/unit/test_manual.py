"""README and manual speak of things that exist: pages, pictures, headings, commands, options and settings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bot.cli import COMMANDS, main
from bot.config import example_text, project_directory

_PROJECT: Final = project_directory()
_PAGES: Final = (_PROJECT / "README.md", *sorted((_PROJECT / "docs").rglob("*.md")))
_OF_THE_SHELL: Final = {"test", "check", "fmt", "lock"}  # botctl itself does these
_OF_OTHERS: Final = {"BOT_PYTHON", "BOT_VENV", "BOT_DEBUG", "BOT_SCREENSHOTS", "PIP_INDEX_URL"}

_LINK: Final = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')
_CODE: Final = re.compile(r"^(?: {4}|\t).*$|`[^`\n]+`", re.MULTILINE)
_CALL: Final = re.compile(r"\./botctl ([a-z][^#|&>`]*)")
_NAME: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `./botctl` as a page shows it."""

    page: str
    words: tuple[str, ...]

    @property
    def options(self) -> frozenset[str]:
        return frozenset(
            each.partition("=")[0].strip("[],;:.)") for each in self.words if each.strip("[").startswith("--")
        )


def test_every_link_and_picture_leads_somewhere() -> None:
    dead = [f"{_name(page)}: {target}" for page in _PAGES for target in _targets(page) if not _leads(page, target)]

    assert dead == []


def test_every_page_of_the_manual_is_named_in_its_index() -> None:
    index = (_PROJECT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [each.name for each in (_PROJECT / "docs").glob("*.md") if f"({each.name})" not in index]

    assert missing == ["README.md"]


def test_every_picture_is_shown_somewhere() -> None:
    shown = {Path(target).name for page in _PAGES for target in _targets(page)}
    kept = {each.name for folder in ("images", "figures") for each in (_PROJECT / "docs" / folder).iterdir()}

    assert kept <= shown


def test_every_command_that_is_named_exists() -> None:
    unknown = {f"{each.page}: {each.words[0]}" for each in _calls() if each.words[0] not in {*COMMANDS, *_OF_THE_SHELL}}

    assert unknown == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_and_part_of_a_command_that_is_named_is_in_its_help(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    own = _help((command,), capsys)
    calls = [(each, _path(each, own)) for each in _calls() if each.words[0] == command]
    help_of = {path: own if path == (command,) else _help(path, capsys) for path in {path for _, path in calls}}

    unknown = {
        f"{each.page}: {' '.join(each.words)}: {option}"
        for each, path in calls
        for option in each.options - {"--help"}
        if option not in help_of[path]
    }
    nameless = {f"{each.page}: {' '.join(each.words)}" for each, path in calls if _is_nameless(each, path, own)}

    assert (unknown, nameless) == (set(), set())


def test_every_setting_that_is_named_exists() -> None:
    """Other words in capitals are words of the code: refusals, symbols, reasons, constants."""
    settings = set(re.findall(r"^# ([A-Z][A-Z0-9_]*)=", example_text(), re.MULTILINE))
    code = "\n".join(each.read_text(encoding="utf-8") for each in (_PROJECT / "bot").rglob("*.py"))
    said = set(_NAME.findall(code))

    unknown = {
        f"{_name(page)}: {word}"
        for page in _PAGES
        for line in _CODE.findall(page.read_text(encoding="utf-8"))
        for word in _NAME.findall(line)
        if word not in settings | said | _OF_OTHERS
    }

    assert unknown == set()


def _name(page: Path) -> str:
    return str(page.relative_to(_PROJECT))


def _targets(page: Path) -> Sequence[str]:
    """Links within the project."""
    found = (link or source for link, source in _LINK.findall(page.read_text(encoding="utf-8")))
    return [each for each in found if "://" not in each and not each.startswith("mailto:")]


def _leads(page: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.exists() and (not heading or heading in _headings(file))


def _headings(page: Path) -> set[str]:
    """As the links of a repository's page call them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


def _calls() -> Iterator[Call]:
    for page in _PAGES:
        for line in _CODE.findall(page.read_text(encoding="utf-8")):
            for text in _CALL.findall(line):
                yield Call(_name(page), tuple(text.split()))


def _path(call: Call, help_of_command: str) -> tuple[str, ...]:
    """The command, and what of it is called where it has several: `users`, `add`."""
    command, *more = call.words
    if more and re.fullmatch(r"[a-z-]+", more[0]) and f"\n│ {more[0]} " in help_of_command:
        return command, more[0]
    return (command,)


def _is_nameless(call: Call, path: tuple[str, ...], help_of_command: str) -> bool:
    """It names a part of a command that has parts, and that one is not among them."""
    actions = re.search(r"│ ACTION .*?\[choices: ([^\]]+)\]", help_of_command)
    if len(path) > 1 or len(call.words) < 2 or not call.words[1].isalpha():
        return False
    return "─ Commands ─" in help_of_command or (actions is not None and call.words[1] not in actions[1].split(", "))


def _help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main([*path, "--help"]) == 0
    return capsys.readouterr().out
