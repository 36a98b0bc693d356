"""Which jobs are finished: a record beside the results for each, which says of what a result was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from universal_style.atomic import remove_leftovers, replacing
from universal_style.batch.jobs import Job
from universal_style.errors import InputError, OutputError
from universal_style.locks import claim
from universal_style.networks.checkpoints import sha256
from universal_style.outputs import make_folder

RECORDS = ".universal-style"
"""Folder of the records, in the folder of the results."""
REMEMBERED_FILES = 65536


class Ledger:
    """Keeps the records of a folder of results.

    A record holds the digests of content, style and setting, and the length of the result. A job is finished if its
    record says what would be said now. The record goes before a result is written and comes after, so whenever a run
    is cut off, no record stands for a result that was made of other things.

    Args:
        folder: of the results.
        setting: digest of how all jobs are done.
    """

    def __init__(self, folder: Path, setting: str) -> None:
        self.folder = folder
        self.setting = setting

    def __reduce__(self) -> tuple[type[Ledger], tuple[Path, str]]:
        return Ledger, (self.folder.absolute(), self.setting)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, keep other batches out of it, and remove what a killed one left half-written.

        Raises:
            OutputError: the folder cannot be made, or another batch works in it.
        """
        make_folder(self.folder / RECORDS)
        try:
            lock = (self.folder / RECORDS / "lock").open("w")
        except OSError as error:
            raise OutputError(f"{self.folder} is not writable ({error.strerror}); choose another folder") from error
        with lock:
            try:
                claim(lock)
            except BlockingIOError as error:
                raise OutputError(f"another batch writes to {self.folder}; let it end, or choose another") from error
            remove_leftovers(self.folder)
            yield

    def made_of(self, job: Job) -> dict[str, str]:
        """Say by digest what a job's result is made of, as its files are when they are first asked for.

        Raises:
            InputError: one of them cannot be read.
        """
        return {
            "setting": self.setting,
            "content": self._digest(job.content),
            "style": " ".join(self._digest(source) for source in job.look.sources),
        }

    def holds(self, job: Job) -> bool:
        """Say whether a job is finished."""
        try:
            record = json.loads(self._record(job).read_text(encoding="utf-8"))
            return bool(record == self._entry(job, self.made_of(job)))
        except (OSError, ValueError):  # no result, no record, none that can be read, or a file that is gone
            return False

    def strike(self, job: Job) -> None:
        """Take a job's record out.

        Raises:
            OutputError: it cannot be.
        """
        try:
            self._record(job).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self._record(job)} cannot be removed ({error.strerror}); remove it") from error

    def enter(self, job: Job, made_of: dict[str, str]) -> None:
        """Record a job as finished.

        Args:
            made_of: as it was before its files were read.

        Raises:
            OutputError: the record cannot be written.
        """
        record = self._record(job)
        make_folder(record.parent)
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(self._entry(job, made_of)), encoding="utf-8")

    def _entry(self, job: Job, made_of: dict[str, str]) -> dict[str, Any]:
        return {**made_of, "bytes": job.output.stat().st_size}

    def _record(self, job: Job) -> Path:
        place = job.output.relative_to(self.folder)
        return self.folder / RECORDS / place.with_name(f"{place.name}.json")

    @cached_property
    def _digest(self) -> Any:
        @lru_cache(maxsize=REMEMBERED_FILES)
        def digest(path: Path) -> str:
            try:
                return sha256(path)
            except OSError as error:
                raise InputError(f"{path} cannot be read ({error.strerror}); give a file that is there") from error

        return digest
