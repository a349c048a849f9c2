import errno
from itertools import permutations
from pathlib import Path

import pytest

from bot.errors import StorageError
from bot.layer4_risk.kill_file import KillFile
from bot.models import KillLevel


def level_of(text: str, directory: Path) -> KillLevel:
    (directory / "KILL").write_text(text)
    (press,) = KillFile(directory).read()
    return press.level


def test_no_file_presses_nothing(tmp_path: Path) -> None:
    assert KillFile(tmp_path).read() == ()


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("pause", KillLevel.PAUSE),
        ("flatten", KillLevel.FLATTEN),
        ("halt", KillLevel.HALT),
        ("  FLATTEN\r\n", KillLevel.FLATTEN),
    ],
)
def test_the_file_says_a_level_in_one_word(tmp_path: Path, text: str, level: KillLevel) -> None:
    assert level_of(text, tmp_path) is level


@pytest.mark.parametrize("text", ["", "stop!!", "none", "pause flatten", "flatten\nnow", "\x00" * 100, "x" * 10_000])
def test_a_file_that_says_anything_else_is_a_halt(tmp_path: Path, text: str) -> None:
    assert level_of(text, tmp_path) is KillLevel.HALT


def test_a_file_that_cannot_be_read_is_a_halt(tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    (press,) = KillFile(tmp_path).read()
    assert press.level is KillLevel.HALT
    assert "cannot be read" in press.reason


@pytest.mark.parametrize("order", list(permutations((KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT))))
def test_each_level_that_is_written_is_read_back_whatever_was_written_before(
    tmp_path: Path, order: tuple[KillLevel, ...]
) -> None:
    file = KillFile(tmp_path)
    for each in (*order, *order):
        file.write(each)
    assert [each.level for each in file.read()] == list(order)
    assert [each.name for each in tmp_path.iterdir()] == ["KILL"]


def test_removing_it_twice_is_well(tmp_path: Path) -> None:
    file = KillFile(tmp_path)
    file.write(KillLevel.PAUSE)
    file.remove()
    file.remove()
    assert file.read() == ()


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"KILL cannot be written .*resting stops stay"):
        KillFile(tmp_path / "gone").write(KillLevel.PAUSE)


def test_a_file_that_cannot_be_removed_says_that_nothing_was_resumed(tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    with pytest.raises(StorageError, match="nothing was resumed"):
        KillFile(tmp_path).remove()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_where_no_file_at_all_can_be_opened_nothing_is_pressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(number, "Too many open files")

    monkeypatch.setattr(Path, "open", none_left)

    assert KillFile(tmp_path).read() == ()
