"""The work on one job, in three steps: read, restyle, write."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from universal_style.batch.jobs import Job, Look
from universal_style.batch.ledger import Ledger
from universal_style.errors import CheckpointError, OptionError, UniversalStyleError, memory_ran_out
from universal_style.images import Image
from universal_style.networks.checkpoints import SUMS, bundled_folder, sha256
from universal_style.outputs import make_folder
from universal_style.stylizer import Stylizer
from universal_style.subjects import Subject, subject_of

Status = Literal["open", "done", "skipped", "failed"]
EVERY_JOB_FAILS = (OptionError, CheckpointError)
"""What is wrong with the setting, not with a picture: it ends the batch."""


@dataclass(frozen=True)
class Setting:
    """How all jobs are done.

    Attributes:
        method: a name of the methods table, or a net's file.
        options: of `Stylizer.run`.
        device: auto, cpu, cuda or mps.
        dtype: auto, float32, bfloat16 or float16.
        decoders: folder of checkpoints; None for the bundled ones.
        threads: of the CPU that one picture is computed on. On another number sums are rounded in another order, which
            is why engines that are to give the same bits are given the same number.
    """

    method: str
    options: Mapping[str, Any]
    device: str
    dtype: str
    decoders: Path | None
    threads: int

    def stylizer(self) -> Stylizer:
        """Make what carries pictures."""
        return Stylizer(self.method, device=self.device, dtype=self.dtype, decoders=self.decoders)

    def digest(self) -> str:
        """Say by a SHA-256 what a result is made of beside content and style; rounding makes no other result."""
        sums, net = (self.decoders or bundled_folder()) / SUMS, Path(self.method)
        facts = {
            "version": version("universal-style"),
            "method": sha256(net) if net.is_file() else self.method,
            "options": {name: value for name, value in self.options.items() if value is not None},
            "device": self.device,
            "dtype": self.dtype,
            "decoders": sha256(sums) if sums.is_file() else "",
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: done, skipped (it was finished before) or failed.
        seconds: that it was worked on.
        error: one line; empty unless it failed.
        worker: the process that worked on it, HOST:ID; empty where none did.
    """

    job: Job
    status: Status
    seconds: float = 0.0
    error: str = ""
    worker: str = ""


@dataclass
class Piece:
    """A job on its way over the bench; what is settled passes the remaining steps untouched."""

    job: Job
    status: Status = "open"
    seconds: float = 0.0
    error: str = ""
    made_of: dict[str, str] = field(default_factory=dict)
    subjects: tuple[Subject, ...] = ()
    picture: Image | None = None

    def outcome(self) -> Outcome:
        """Say what became of it."""
        return Outcome(
            self.job, self.status, round(self.seconds, 4), self.error, f"{socket.gethostname()}:{os.getpid()}"
        )


def one_line(job: Job, error: Exception) -> str:
    """Say what went wrong with a job."""
    if isinstance(error, UniversalStyleError):
        text = str(error)
    elif memory_ran_out(error):
        text = f"{job.content}: memory ran out ({error}); use a smaller --size"
    else:
        text = f"{job.content}: {type(error).__name__}: {error}"
    return " ".join(text.split())


def step(work: Callable[[Bench, Piece], None]) -> Callable[[Bench, Piece], Piece]:
    """Time a step, and let what goes wrong with one job settle that job alone."""

    @wraps(work)
    def timed(bench: Bench, piece: Piece) -> Piece:
        if piece.status != "open":
            return piece
        started = time.perf_counter()
        try:
            work(bench, piece)
        except EVERY_JOB_FAILS:
            raise
        except Exception as error:  # whatever a single picture brings about, the others go on
            piece.status, piece.error = "failed", one_line(piece.job, error)
        piece.seconds += time.perf_counter() - started
        return piece

    return timed


class Bench:
    """Does jobs, one after the other; networks are loaded once and each style is read and observed once in a row.

    One thread may read while another restyles and several write.

    Args:
        setting: of all jobs.
        ledger: where finished jobs are recorded.
    """

    def __init__(self, setting: Setting, ledger: Ledger) -> None:
        self.setting = setting
        self.ledger = ledger
        self._held: tuple[Look, tuple[Subject, ...]] = (Look("", ()), ())

    @cached_property
    def stylizer(self) -> Stylizer:
        """What carries pictures."""
        return self.setting.stylizer()

    @step
    def read(self, piece: Piece) -> None:
        """Read content and style; a job that is finished (by a worker that died before it could say so) is done."""
        job = piece.job
        if self.ledger.holds(job):
            piece.status = "done"
            return
        piece.made_of = self.ledger.made_of(
            job
        )  # before they are read: a file that changes now is told by the next run
        piece.subjects = self._subjects(job.look)
        piece.picture = Image.of(job.content)

    @step
    def restyle(self, piece: Piece) -> None:
        """Give the content the style."""
        assert piece.picture is not None
        piece.picture, _ = self.stylizer.run(piece.picture, *piece.subjects, **self.setting.options)

    @step
    def write(self, piece: Piece) -> None:
        """Write the result, then its record."""
        assert piece.picture is not None
        self.ledger.strike(piece.job)
        make_folder(piece.job.output.parent)
        piece.picture.write(piece.job.output)
        self.ledger.enter(piece.job, piece.made_of)
        piece.status = "done"

    def do(self, job: Job) -> Outcome:
        """Do a job from beginning to end."""
        return self.write(self.restyle(self.read(Piece(job)))).outcome()

    def _subjects(self, look: Look) -> tuple[Subject, ...]:
        held, subjects = self._held
        if held != look:
            style_size = self.setting.options.get("style_size")
            subjects = tuple(subject_of(source, style_size) for source in look.sources)
            self._held = look, subjects
        return subjects
