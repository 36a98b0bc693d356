"""Doing again what a report tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.report import Progress, Report, silent
from universal_style.stylizer import Stylizer

NEEDED = ("stylizer", "content", "styles", "content_mask", "style_masks", "options", "checkpoints", "versions")


def read_report(path: Path) -> dict[str, Any]:
    """Read the report of a transfer.

    Raises:
        InputError: the file is missing or no such report, or a picture had no file.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a report that transfer --json wrote")
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); give a report that transfer --json wrote") from error
    lacking = [key for key in NEEDED if not isinstance(told, dict) or key not in told]
    if lacking:
        raise InputError(f"{path} is no report of a transfer, it lacks {lacking[0]}; write one anew by transfer --json")
    if None in (told["content"], *told["styles"]):
        raise InputError(f"{path} tells of a picture that was in no file; give files to make a report that can be used")
    return told


def repeated(told: Mapping[str, Any], progress: Progress = silent) -> tuple[Image, Report]:
    """Make the picture of a report again; paths mean what they meant where it was made.

    Args:
        told: a report as JSON holds it.
        progress: told of each step.
    """
    return Stylizer(**told["stylizer"]).run(
        told["content"],
        *told["styles"],
        content_mask=told["content_mask"],
        style_masks=told["style_masks"],
        progress=progress,
        **told["options"],
    )


def differences(told: Mapping[str, Any], report: Report) -> list[str]:
    """Say in a line each which versions and checkpoints are other than those that a report tells of."""
    lines = [
        f"{name} is {here}, was {told['versions'].get(name, 'not there')}"
        for name, here in report.versions.items()
        if told["versions"].get(name) != here
    ]
    return lines + [
        f"{name} is another file than it was"
        for name, digest in report.checkpoints.items()
        if told["checkpoints"].get(name) != digest
    ]
