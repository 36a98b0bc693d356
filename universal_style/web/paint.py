"""Painted regions: a visitor's brush strokes become a mask."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pillow

from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.web.limits import Limits, check_picture

BRUSHES = ("#d55e00", "#0072b2", "#009e73", "#f0e442", "#cc79a7")
"""Colours of regions, told apart by colour-blind eyes too (Okabe and Ito 2008)."""
UNPAINTED = (0, 0, 0)
CANVAS = 640
"""Long side in pixels at which pictures are painted on; regions have soft borders anyway."""

MOST_BLOBS = 64
"""Paintings that are kept until they are asked for."""

Stroke = Path | bytes
"""A layer of the editor: an uploaded file or what it holds."""


class Blobs(OrderedDict[str, Any]):
    """What editors have sent for a request to come, by the name under which it will be asked for.

    Those that nobody asked for are forgotten, the oldest first: a page that sends without end fills no memory.
    """

    def __setitem__(self, name: str, blobs: Any) -> None:
        super().__setitem__(name, blobs)
        while len(self) > MOST_BLOBS:
            self.popitem(last=False)

    def layers(self, name: object) -> list[Stroke]:
        """Take the painted layers that were sent under a name; none where nothing was."""
        blobs = self.pop(str(name), None)
        return [] if blobs is None else [layer for layer in blobs.layers if layer]


def canvas(picture: Image) -> Pillow.Image:
    """Give a copy to paint on."""
    return picture.scaled_to(min(CANVAS, max(picture.height, picture.width))).pillow().convert("RGB")


def painted(layers: Sequence[Stroke], limits: Limits) -> UInt8[np.ndarray, "h w 3"] | None:
    """Join layers into a mask; None where nothing is painted.

    A pixel that a brush covers by at least half belongs to the brush whose colour is nearest, so that soft brushes give
    hard borders, which the masks' reader takes at their word.

    Raises:
        InputError: a layer is no picture, too large, or not of the size of the others.
    """
    brushes = np.array([[int(brush[start : start + 2], 16) for start in (1, 3, 5)] for brush in BRUSHES])
    mask = None
    for layer in layers:
        strokes = _strokes(layer, limits)
        if mask is None:
            mask = np.zeros((*strokes.shape[:2], 3), np.uint8)
            mask[:] = UNPAINTED
        if strokes.shape[:2] != mask.shape[:2]:
            raise InputError("the painted layers differ in size; paint anew")
        covered = strokes[:, :, 3] >= 128
        colours = strokes[:, :, :3][covered].astype(int)  # (h, w, 3) -> (n, 3)
        nearest = np.stack([np.abs(colours - brush).sum(axis=1) for brush in brushes]).argmin(axis=0)
        mask[covered] = brushes[nearest]
    return mask if mask is not None and mask.any() else None


def _strokes(layer: Stroke, limits: Limits) -> UInt8[np.ndarray, "h w 4"]:
    if isinstance(layer, Path):
        check_picture(layer, limits)
    try:
        with Pillow.open(layer if isinstance(layer, Path) else io.BytesIO(layer), formats=["PNG", "WEBP"]) as picture:
            limits.check(*picture.size, "the painted layer")
            strokes: UInt8[np.ndarray, "h w 4"] = np.asarray(picture.convert("RGBA"))
            return strokes
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the painted layer cannot be read; paint anew") from error
