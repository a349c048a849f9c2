"""What all files of columns have in common: their name, how they are opened, their header and their cells."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from bot.errors import DataError, UsageError

T = TypeVar("T")


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """While a file is read: DataError gets its name, and what else may be wrong with it becomes one of ours."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not a whole gzip file ({error}); copy or download it again") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text (byte {error.object[error.start]:#04x}); save it as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error


def suffix_of(path: Path, known: Sequence[str]) -> str:
    """By which of the known suffixes to read the file. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name one file in it")
    suffix = next((each for each in known if path.name.lower().endswith(each)), "")
    if not suffix:
        raise UsageError(f"{path}: the name ends in none of {', '.join(known)}; rename or convert the file")
    if not path.exists():
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        raise UsageError(f"{path}: no such file{f'; did you mean {near[0]}?' if near else '; check the path'}")
    return suffix


def header_of(line: str) -> list[str]:
    """The cells of the first line. Raises DataError."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise DataError(f"line 1: {error}; end lines with a line feed") from error


def layout_of(
    header: Sequence[str], columns: Sequence[str], *, row: str, advice: str = "add or rename it"
) -> tuple[int, ...]:
    """Where each of our columns stands. Raises DataError if the line is no header that names all of them once.

    `row` is what a line holds, `advice` what to do about a column that is missing.
    """
    names = [each.strip().lower() for each in header]
    if not any(names):
        raise DataError(f"is empty; it needs a first line {','.join(columns)}, then one line per {row}")
    if not set(names) & set(columns):
        raise DataError(f"line 1 is {','.join(header)!r}, not a header; add a first line {','.join(columns)}")
    if missing := [each for each in columns if each not in names]:
        raise DataError(f"column {missing[0]} is missing; the header names {', '.join(header)}; {advice}")
    if twice := [each for each in columns if names.count(each) > 1]:
        raise DataError(f"column {twice[0]} is named twice in the header; rename or remove one")
    return tuple(names.index(each) for each in columns)


def parsed_rows(
    text: str, parsed: Callable[[Sequence[str]], T], *, width: int, first_line: int
) -> Iterator[tuple[int, T]]:
    """Each row that is not blank, with the line where it begins; quotes are understood.

    Raises DataError naming the line, also for the ValueError by which `parsed` refuses its cells.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    line = first_line
    try:
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                if len(cells) != width:
                    raise ValueError(f"has {len(cells)} cells where the header names {width}; correct the line")
                yield line, parsed(cells)
            line = first_line + reader.line_num
    except csv.Error as error:
        raise DataError(f"line {line}: {error}; correct the line or its quotes") from error
    except ValueError as error:
        raise DataError(f"line {line}: {error}") from error


def number_of(name: str, text: str) -> float:
    """One cell. Raises ValueError for what only Python would read as a number, too (1_000)."""
    try:
        if "_" not in text and text.isascii():
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"{name} is {text!r}, not a number; write digits with a decimal point, or remove the line")
