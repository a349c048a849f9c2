"""What a command writes is whole or as it was before, and what it cannot write it refuses before the work."""

from pathlib import Path

import orjson
import pytest

from bot.commands.output import ProgressBar, check_writable, write_json, write_whole
from bot.errors import StorageError, UsageError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    (tmp_path / "out.partial").mkdir()  # stands where the new one would be written first
    with pytest.raises(StorageError, match=r"out cannot be written \(Is a directory\)"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("indented", [True, False])
def test_json_has_null_for_what_json_lacks(tmp_path: Path, indented: bool) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"a": float("nan"), "b": [1.5]}, indented=indented)
    assert orjson.loads(path.read_bytes()) == {"a": None, "b": [1.5]}
    assert path.read_bytes().endswith(b"}\n")


def test_a_folder_or_a_name_in_no_folder_is_refused_beforehand(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "new")
    with pytest.raises(UsageError, match="is a directory"):
        check_writable(tmp_path)
    with pytest.raises(UsageError, match="does not exist; make it first"):
        check_writable(tmp_path / "no" / "out")


def test_a_progress_bar_says_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("work", "pieces", 3) as bar:
        bar.done(2)
    assert capsys.readouterr() == ("", "")
