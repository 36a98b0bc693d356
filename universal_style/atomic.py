"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from universal_style.errors import OutputError

PARTIAL = ".partial"
"""Suffix of a file that is being written."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside a file, which takes the file's place at the end or vanishes on an error.

    Raises:
        OutputError: writing or replacing failed.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        yield temporary
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove, from a folder and those below it, what a killed process left half-written.

    Args:
        folder: in which nothing is being written now.

    Raises:
        OutputError: a file cannot be removed.
    """
    for leftover in folder.rglob(f".*{PARTIAL}"):
        try:
            leftover.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{leftover} cannot be removed ({error.strerror}); remove it") from error
