"""Visitors: what each has brought and made, and whether their work is to stop. Nothing outlives the visit."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from universal_style.errors import InputError, UniversalStyleError

UPLOADED = re.compile(r"[0-9a-f]{64}")
"""Name of the folder in which Gradio puts an upload: its SHA-256, with a seed that no visitor knows."""


Mark = tuple[int, int]
"""Inode and time of change in nanoseconds: each upload is a new file."""


class StoppedError(UniversalStyleError):
    """The visitor stopped the work."""


@dataclass(frozen=True)
class Session:
    """A visit.

    Attributes:
        room: folder of what was made for it.
        uploads: files that it brought.
        laid_out: pictures that are painted on, the content first.
        stop: set when its work is to stop.
    """

    room: Path
    uploads: set[Path] = field(default_factory=set)
    laid_out: list[Path] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Make sure that the work is to go on.

        Raises:
            StoppedError: it is not.
        """
        if self.stop.is_set():
            raise StoppedError("stopped; nothing was kept")

    def emptied(self, name: str) -> Path:
        """Give a folder of the room, without what was made in it before."""
        folder = self.room / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


class Sessions:
    """All visits, by the name that the browser or client gave itself.

    Args:
        folder: under which all files of visitors lie, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._sessions: dict[str, Session] = {}
        self._marks: dict[Path, Mark | None] = {}
        self._lock = threading.Lock()
        self._over = False

    def of(self, name: str | None) -> Session:
        """Give a visit, begun where it is new."""
        with self._lock:
            key = name or ""
            if key not in self._sessions:
                room = self.folder / secrets.token_hex(16)  # not to be guessed by other visitors
                room.mkdir()
                self._sessions[key] = Session(room)
            return self._sessions[key]

    def begun(self, name: str | None) -> Session:
        """Give a visit whose work begins: what was stopped before no longer counts.

        Raises:
            StoppedError: the server ends.
        """
        session = self.of(name)
        with self._lock:
            if self._over:
                raise StoppedError("the server ends; come back later")
            session.stop.clear()
        return session

    def brought(self, session: Session, upload: Any) -> Path:
        """Give the path of an uploaded file, which from now on belongs to the visit.

        What was made for the visit may come back too; what lies elsewhere in the folder is the server's or of others.

        Args:
            upload: what the client says of it: a mapping with its path.

        Raises:
            InputError: it is no uploaded file.
        """
        given = upload.get("path") if isinstance(upload, dict) else None
        if not isinstance(given, str):
            raise InputError("a file is needed here; upload one")
        path = Path(given)
        uploaded = path.parent.parent == self.folder and UPLOADED.fullmatch(path.parent.name)
        allowed = uploaded or path.is_relative_to(session.room)
        if not allowed or path.resolve() != path or path.is_dir():
            raise InputError(f"{path.name} was not uploaded; upload it, paths are not taken")
        with self._lock:
            session.uploads.add(path)
            self._marks[path] = _mark(path)
        return path

    def uploads(self) -> set[Path]:
        """Give the files that all visits have brought."""
        with self._lock:
            return self._held()

    def stop(self, name: str | None) -> None:
        """Stop the work that is done for a visit."""
        with self._lock:
            session = self._sessions.get(name or "")
        if session is not None:
            session.stop.set()

    def end(self) -> None:
        """Stop the work that is done for all visits, and let none begin."""
        with self._lock:
            self._over = True
            for session in self._sessions.values():
                session.stop.set()

    def leave(self, name: str | None) -> None:
        """End a visit: stop its work and remove its files, but for uploads that another visit holds too.

        The same bytes lie at the same path, whoever uploads them: what was uploaded since a visit last named it is
        another's, who has not named it yet.
        """
        with self._lock:
            session = self._sessions.pop(name or "", None)
            if session is None:
                return
            for path in session.uploads - self._held():
                if self._marks.pop(path) == _mark(path):
                    path.unlink(missing_ok=True)
        session.stop.set()
        shutil.rmtree(session.room, ignore_errors=True)

    def _held(self) -> set[Path]:
        return {path for session in self._sessions.values() for path in session.uploads}


def _mark(path: Path) -> Mark | None:
    """Tell an upload from the next one at the same path."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give a folder that only this user can look into, and remove it with all that is in it."""
    with TemporaryDirectory(prefix="universal-style-web-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()
