"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path

import psutil

from universal_style.errors import OutputError

PARTIAL = ".partial"
"""Suffix of a file that is being written."""
MOST_BYTES = 200
"""Of a file's name that its temporary name begins with; with what is added, a name may have 255 on most disks."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside a file, which takes the file's place at the end or vanishes on an error.

    Raises:
        OutputError: writing or replacing failed.
    """
    _remove_dead(path)
    temporary = path.with_name(f".{_stem(path)}.{os.getpid()}{PARTIAL}")  # two processes may write one file
    try:
        yield temporary
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        with suppress(OSError):  # what went wrong has been told
            temporary.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one piece; libraries that write files themselves tell of a full disk in errors of their own.

    Raises:
        OutputError: writing or replacing failed.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all; a line's end follows it.

    Raises:
        OutputError: writing or replacing failed.
    """
    write_bytes(path, f"{text}\n".encode())


def _stem(path: Path) -> str:
    """Give a file's name, a long one cut and told apart from others that begin alike."""
    name = os.fsencode(path.name)
    if len(name) <= MOST_BYTES:
        return path.name
    return f"{name[:MOST_BYTES].decode(errors='ignore')}.{sha256(name).hexdigest()[:16]}"


def _remove_dead(path: Path) -> None:
    """Remove what killed processes left of earlier attempts at a file."""
    for leftover in path.parent.glob(f".{escape(_stem(path))}.*{PARTIAL}"):
        process = leftover.name.removesuffix(PARTIAL).rpartition(".")[2]
        if process.isdecimal() and not _lives(int(process)):
            with suppress(OSError):  # another user's, in a folder that all write to
                leftover.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Say whether a process is there; a signal 0, which on Unix only asks, would end it on Windows."""
    try:
        return psutil.pid_exists(process)
    except OverflowError:
        return False


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
