"""Doing again what a report tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from universal_style.errors import InputError, UniversalStyleError
from universal_style.images import Image
from universal_style.methods import method_named
from universal_style.report import Progress, Report, silent
from universal_style.request import Request
from universal_style.stylizer import Stylizer

Shape = Mapping[str, type | tuple[type, ...]]
PATH = (str, type(None))
NEEDED: Shape = {
    "stylizer": dict,
    "content": PATH,
    "styles": list,
    "content_mask": PATH,
    "style_masks": list,
    "options": dict,
    "checkpoints": dict,
    "versions": dict,
}
"""What a report must hold, and as what."""
STYLIZER: Shape = {"method": str, "device": str, "dtype": str, "decoders": PATH}
"""The same of what it says of the `Stylizer`."""
ASIDE = {"preview": None, "workers": None, "address": None}
"""Options that change no picture and are left aside: a stranger's report writes no file but the one that is asked for,
and is in touch with nobody's cluster."""


def read_report(path: Path) -> dict[str, Any]:
    """Read the report of a transfer.

    Raises:
        InputError: the file is missing or no such report, or a picture or mask had no file.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a report that transfer --json wrote")
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is not JSON ({error}); give a report that transfer --json wrote") from error
    _hold(path, told, NEEDED)
    _hold(path, told["stylizer"], STYLIZER)
    unknown = told["stylizer"].keys() - STYLIZER.keys()
    if unknown or not all(isinstance(name, PATH) for name in (*told["styles"], *told["style_masks"])):
        what = f"knows of {min(unknown)!r}" if unknown else "names a style that is no path"
        raise InputError(f"{path} is no report of a transfer, it {what}; write one anew by transfer --json")
    if None in (told["content"], *told["styles"]):
        raise InputError(f"{path} tells of a picture that was in no file; give files to make a report that can be used")
    try:
        Request.of(method_named(told["stylizer"]["method"]), styles=len(told["styles"]), **told["options"] | ASIDE)
    except UniversalStyleError:
        raise
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:  # whatever JSON can put in their place
        reason = " ".join(str(error).split())
        raise InputError(f"{path} holds options that are none of a transfer ({reason}); write one anew") from error
    _hold_masks(path, told)
    return told


def _hold_masks(path: Path, told: Mapping[str, Any]) -> None:
    """Make sure that regions can be had again, where there were any."""
    regions, options = told.get("regions"), told["options"]
    found = options.get("auto_regions") or options.get("semantic_regions")
    if isinstance(regions, list) and len(regions) > 1 and told["content_mask"] is None and not found:
        raise InputError(
            f"{path} tells of {len(regions)} regions whose mask was in no file; "
            "give files to make a report that can be used"
        )


def _hold(path: Path, told: Any, shape: Shape) -> None:
    for key, kind in shape.items():
        if not isinstance(told, dict) or key not in told:
            raise InputError(f"{path} is no report of a transfer, it lacks {key}; write one anew by transfer --json")
        if not isinstance(told[key], kind):
            raise InputError(f"{path} is no report of a transfer, its {key} is {told[key]!r:.40}; write one anew")


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
        **told["options"] | ASIDE,
    )


def differences(told: Mapping[str, Any], report: Report) -> list[str]:
    """Say in a line each which versions, checkpoints and pictures are other than those that a report tells of."""
    lines = [
        f"{name} is {here}, was {told['versions'].get(name, 'not there')}"
        for name, here in report.versions.items()
        if told["versions"].get(name) != here
    ]
    was, now = dict(told["checkpoints"]), dict(report.checkpoints)
    if isinstance(files := told.get("files"), dict):  # reports had none once
        was |= files
        now |= report.digests()
    return lines + [f"{name} is another file than it was" for name, digest in now.items() if was.get(name) != digest]
