"""What visitors and programs are told: how the work goes, what came of it, and in one line what went wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from universal_style.errors import CheckpointError, UniversalStyleError, memory_ran_out
from universal_style.images import Image
from universal_style.report import Progress, Report
from universal_style.web.limits import without_paths
from universal_style.web.sessions import Session

SHOWN = 1600
"""Long side in pixels at which content and result are compared on the page."""

TOLD = ("method", "options", "size", "seconds", "regions", "notes", "versions")
"""Of a report, what programs are told; the rest is the server's own."""

LEVEL = re.compile(r"^relu(\d)_1\b")

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def telling(action: Callable[P, R]) -> Callable[P, R]:
    """Let an action tell the visitor in one line what went wrong, without a word on the server's files."""

    @wraps(action)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return action(*args, **kwargs)
        except gr.Error:
            raise
        except CheckpointError as error:
            logger.exception("a checkpoint cannot be used")
            raise _line("the server's networks cannot be loaded; tell its keeper") from error
        except UniversalStyleError as error:
            raise _line(without_paths(str(error))) from error
        except Exception as error:
            if memory_ran_out(error):
                raise _line("the server's memory is too small for this; give a smaller picture") from error
            logger.exception("a request failed")
            raise _line("the server failed at this; try other pictures or settings") from error

    return told


def _line(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)


def stoppable(session: Session, bar: gr.Progress) -> Progress:
    """Show steps to the visitor, who may stop the work at each."""

    def told(step: str, done: int, total: int) -> None:
        session.check()
        bar((done, total), desc=LEVEL.sub(r"level \1", step))

    return told


def shown(picture: Image, path: Path) -> str:
    """Write a picture as the page shows it; the full size is for the download."""
    small = picture.scaled_to(min(SHOWN, max(picture.height, picture.width)))
    small.write(path)
    return str(path)


def said(report: Report) -> str:
    """Say what was done."""
    height, width = report.size
    lines = [f"{width} × {height} pixels in {sum(report.seconds.values()):.1f} seconds, by {report.method}."]
    return "\n".join([*lines, *(f"- {without_paths(note)}" for note in report.notes)])


def facts_of(report: Report) -> dict[str, Any]:
    """Give what programs are told of a report."""
    return {name: value for name, value in asdict(report).items() if name in TOLD}
