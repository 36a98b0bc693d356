import numpy as np
import pytest

from universal_style.errors import OptionError
from universal_style.grids import corner_weights, interpolation_grid
from universal_style.sheets import GAP
from universal_style.stylizer import Stylizer


def test_weights_sum_to_one_and_corners_are_pure():
    for corners in (2, 4):
        rows = corner_weights(corners, 5)
        assert all(sum(mix) == pytest.approx(1) for row in rows for mix in row)
        found = [rows[0][0], rows[0][-1], rows[-1][0], rows[-1][-1]]
        assert {mix.index(1.0) for mix in found} == set(range(corners))
    assert corner_weights(4, 3)[1][1] == (0.25, 0.25, 0.25, 0.25)
    assert corner_weights(2, 3) == [[(1, 0), (0.5, 0.5), (0, 1)]]


def test_a_grid_holds_every_mix(stylizer, cat, ducks):
    cells = []
    grid = interpolation_grid(
        stylizer, cat, [ducks, cat.rotate(180)], steps=3, levels=[1], progress=lambda *event: cells.append(event)
    )
    assert (grid.height, grid.width) == (96 + 2 * GAP, 3 * 128 + 4 * GAP)
    assert [(done, total) for _, done, total in cells] == [(0, 3), (1, 3), (2, 3)]
    first = grid.pixels[GAP : GAP + 96, GAP : GAP + 128]
    alone = stylizer.run(cat, ducks, levels=[1])[0].pixels
    np.testing.assert_allclose(first, alone, atol=1e-5)


def test_an_optimiser_makes_no_grid(cat, ducks):
    with pytest.raises(OptionError, match="method gatys makes no grid; use wct, photo-wct"):
        interpolation_grid(Stylizer("gatys", device="cpu"), cat, [ducks, ducks], steps=2)


@pytest.mark.parametrize(
    ("count", "steps", "message"), [(3, 5, "3 styles do not make a grid"), (2, 1, "steps 1 is out")]
)
def test_a_bad_grid_is_refused(stylizer, cat, ducks, count, steps, message):
    with pytest.raises(OptionError, match=message):
        interpolation_grid(stylizer, cat, [ducks] * count, steps=steps)
