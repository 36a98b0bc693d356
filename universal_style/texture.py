"""Texture synthesis: noise carried onto a style again and again, until only the style is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from universal_style.errors import OptionError
from universal_style.images import Image
from universal_style.networks.vgg import LEVELS, reach_down, reach_up, stride_at
from universal_style.ranges import at_least, unsigned, whole_seed
from universal_style.report import Progress, silent
from universal_style.stylizer import Stylizer
from universal_style.subjects import StyleSource

ROUNDS = 3
TRANSFORM = "wct"
"""Transport moves noise no further than it must and leaves it noise; whitening takes its structure away."""
TILE_STRIDE = stride_at(LEVELS[-1])
NOISE_DEVIATION = 0.25


def synthesise(
    stylizer: Stylizer,
    style: StyleSource,
    height: int,
    width: int,
    *,
    rounds: int = ROUNDS,
    tileable: bool = False,
    levels: Sequence[int] = (4, 3, 2, 1),
    style_size: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Image:
    """Make a picture that has a style's statistics and nothing else.

    Source: Li et al. 2017 (universal style transfer), section 4.3: noise in the content's place, several rounds.
    Departs: the texture can be made to tile: every stage sees the picture continued around its edges.

    Args:
        stylizer: of the method wct.
        style: a picture or preset.
        height: of the texture, in pixels.
        width: of the texture, in pixels.
        rounds: how often the levels run, at least 1.
        tileable: whether opposite edges fit together; sizes are then multiples of 16.
        levels: those that run in each round, in order.
        style_size: long side at which the style is seen.
        seed: of the noise.
        progress: told of each stage.

    Raises:
        OptionError: a size, the number of rounds or the seed is out of range, or there are no levels.
    """
    if min(height, width) < 1:
        raise OptionError(f"size {height}x{width} is out of range; both sides are at least 1")
    at_least(1, rounds=rounds)
    if not levels:
        raise OptionError("no levels given; give one or more of 1 to 5")
    if tileable and (height % TILE_STRIDE or width % TILE_STRIDE):
        raise OptionError(f"size {height}x{width} cannot tile; both sides are multiples of {TILE_STRIDE}")
    noise = np.random.default_rng(unsigned(whole_seed(seed))).standard_normal((height, width, 3))
    picture = Image(np.clip(0.5 + NOISE_DEVIATION * noise, 0, 1).astype(np.float32))
    total = rounds * len(levels)
    for number in range(total):
        level = levels[number % len(levels)]
        progress(f"round {number // len(levels) + 1}, relu{level}_1", number, total)
        margin = reach(level) if tileable else 0
        picture, _ = stylizer.run(
            continued(picture, margin), style, levels=[level], transform=TRANSFORM, style_size=style_size
        )
        picture = Image(np.ascontiguousarray(picture.pixels[margin : margin + height, margin : margin + width]))
    progress("done", total, total)
    return picture


def continued(picture: Image, margin: int) -> Image:
    """Continue a picture around its edges by what lies at the opposite ones."""
    if margin == 0:
        return picture
    around: Float[np.ndarray, "h w 3"] = np.pad(
        picture.pixels, ((margin, margin), (margin, margin), (0, 0)), mode="wrap"
    )
    return Image(around)


def reach(level: int) -> int:
    """Say how far a pixel of a stage's result sees, in pixels, rounded up to a multiple of `TILE_STRIDE`."""
    return -(-reach_up(level, reach_down(level)) // TILE_STRIDE) * TILE_STRIDE
