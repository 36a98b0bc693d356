import numpy as np
import pytest

from universal_style.errors import OptionError
from universal_style.texture import reach, synthesise


def seam(pixels):
    """How much opposite edges differ, over how much neighbours inside do."""
    across = np.abs(pixels[:, 0] - pixels[:, -1]).mean() + np.abs(pixels[0] - pixels[-1]).mean()
    inside = np.abs(np.diff(pixels, axis=1)).mean() + np.abs(np.diff(pixels, axis=0)).mean()
    return across / inside


def test_a_texture_has_the_size_and_the_colours_asked_for(stylizer, ducks):
    texture = synthesise(stylizer, ducks, 50, 71, rounds=1)
    assert (texture.height, texture.width) == (50, 71)
    style = np.asarray(ducks, dtype=float) / 255
    assert np.abs(texture.pixels.mean(axis=(0, 1)) - style.mean(axis=(0, 1))).max() < 0.1


def test_the_seed_decides(stylizer, ducks):
    one, same, other = (synthesise(stylizer, ducks, 32, 32, rounds=1, levels=[2, 1], seed=s).pixels for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_seed_has_any_sign(stylizer, ducks):
    one, other = (synthesise(stylizer, ducks, 16, 16, rounds=1, levels=[1], seed=s).pixels for s in (-1, 2**62))
    assert np.abs(one - other).max() > 0
    with pytest.raises(OptionError, match="is out of range; it is a whole number of 64 bits"):
        synthesise(stylizer, ducks, 16, 16, seed=2**64)


def test_a_tileable_texture_has_no_seam(stylizer, ducks):
    plain, tileable = (
        seam(synthesise(stylizer, ducks, 64, 80, rounds=1, levels=[3, 2, 1], tileable=t).pixels) for t in (False, True)
    )
    assert tileable < 1.3
    assert plain > 1.5 * tileable


def test_a_tileable_texture_shifted_around_its_edges_is_the_same_work(stylizer, ducks):
    """What lies at an edge is made as if it lay inside."""
    texture = synthesise(stylizer, ducks, 64, 64, rounds=1, levels=[1], tileable=True, seed=5).pixels
    rolled = np.roll(texture, (32, 32), axis=(0, 1))
    assert seam(rolled) == pytest.approx(seam(texture), rel=0.25)


def test_rounds_come_nearer_to_the_style(stylizer, ducks):
    style = stylizer.observe(ducks).moments["max/relu3_1"].second
    distances = [
        float(((stylizer.observe(t.pillow()).moments["max/relu3_1"].second - style) ** 2).sum())
        for t in (synthesise(stylizer, ducks, 80, 112, rounds=rounds) for rounds in (1, 3))
    ]
    assert distances[1] < distances[0]


def test_the_reach_grows_with_the_level():
    assert [reach(level) for level in (1, 2, 3)] == [16, 16, 32]
    assert reach(5) > reach(4) > reach(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "size 0x32 is out of range"),
        ({"levels": ()}, "no levels given"),
        ({"rounds": 0}, "rounds 0 is out of range"),
        ({"height": 40, "tileable": True}, "size 40x32 cannot tile"),
    ],
)
def test_a_bad_option_is_refused(stylizer, ducks, options, message):
    with pytest.raises(OptionError, match=message):
        synthesise(stylizer, ducks, **({"height": 32, "width": 32} | options))
