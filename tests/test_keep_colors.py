import numpy as np
import pytest
import torch

from universal_style.errors import InputError, OptionError
from universal_style.images import Image
from universal_style.keep_colors import KEEP_COLORS, Coral, Histogram, Luminance
from universal_style.metrics import LUMA, luma
from universal_style.styles import Style
from universal_style.stylizer import Stylizer


def chroma(pixels):
    return pixels - (pixels @ np.array(LUMA))[:, :, None]


@pytest.mark.parametrize("name", ["luminance", "luminance-only"])
def test_luminance_keeps_chroma_within_rounding(stylizer, cat, ducks, name):
    result = np.asarray(stylizer.transfer(cat, ducks, keep_colors=name), dtype=float)
    content = np.asarray(cat, dtype=float)
    assert np.abs(chroma(result) - chroma(content)).max() <= 1.001  # half a step of each of two roundings
    assert np.abs(result - content).mean() > 5


def test_luminance_takes_the_results_luma_where_the_colour_allows_it():
    content, result = torch.rand(1, 3, 8, 9) * 0.2 + 0.4, torch.rand(1, 3, 8, 9) * 0.2 + 0.4
    weights = torch.tensor(LUMA)[None, :, None, None]
    kept = Luminance().after(result, content)
    torch.testing.assert_close((kept * weights).sum(1), (result * weights).sum(1))
    wild = Luminance().after(torch.randn(1, 3, 8, 9) * 5, torch.rand(1, 3, 8, 9).round())
    assert float(wild.min()) >= -1e-6
    assert float(wild.max()) <= 1 + 1e-6


@pytest.mark.parametrize("method", ["wct", "photo-wct", "wct2"])
def test_luminance_only_sees_no_colour_of_the_style(cat, ducks, method):
    stylizer, style = Stylizer(method, device="cpu", dtype="float32"), Image.of(ducks)
    grey = Image(np.repeat(luma(style.pixels).astype(np.float32)[:, :, None], 3, axis=2))
    one, other = (stylizer.run(cat, s, keep_colors="luminance-only", levels=[2, 1])[0].pixels for s in (style, grey))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_luminance_only_keeps_light_and_contrast(stylizer, cat, ducks):
    dark = Image(Image.of(cat).pixels * 0.3)
    means = {}
    for name in ("luminance", "luminance-only"):
        plane = luma(stylizer.run(dark, ducks, keep_colors=name)[0].pixels)
        means[name] = plane.mean() - luma(dark.pixels).mean()
    assert abs(means["luminance-only"]) < 0.03
    assert means["luminance"] > 0.1


def test_a_flat_style_has_no_luma_to_carry(stylizer, cat):
    result = stylizer.run(cat, np.full((40, 40, 3), 200, np.uint8), keep_colors="luminance-only", levels=[1])[0]
    assert np.isfinite(result.pixels).all()


def test_a_histogram_is_matched(cat, ducks):
    style, content = Image.of(ducks), Image.of(cat)
    recoloured = Histogram().before(style, content)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        given, wanted = (np.quantile(i.pixels, share, axis=(0, 1)) for i in (recoloured, content))
        assert np.abs(given - wanted).max() < 0.02
    order = np.argsort(style.pixels[:, :, 0].ravel(), kind="stable")
    assert (np.diff(recoloured.pixels[:, :, 0].ravel()[order]) >= 0).all()
    np.testing.assert_allclose(Histogram().before(content, content).pixels, content.pixels, atol=1e-6)


def test_coral_matches_mean_and_covariance(rng):
    style, content = (
        Image((0.5 + 0.05 * rng.standard_normal((40, 50, 3)) @ mix).astype(np.float32)) for mix in rng.random((2, 3, 3))
    )
    recoloured = Coral().before(style, content)
    for statistic in (lambda p: p.mean(axis=0), lambda p: np.cov(p.T)):
        given, wanted = (statistic(image.pixels.reshape(-1, 3).astype(float)) for image in (recoloured, content))
        np.testing.assert_allclose(given, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in KEEP_COLORS if name != "none"])
def test_every_way_keeps_the_colours(stylizer, cat, ducks, name):
    content = np.asarray(cat, dtype=float)
    plain, kept = (np.asarray(stylizer.transfer(cat, ducks, keep_colors=way), dtype=float) for way in ("none", name))
    means = [chroma(p).mean(axis=(0, 1)) for p in (content, plain, kept)]
    assert np.abs(means[2] - means[0]).max() < 0.5 * np.abs(means[1] - means[0]).max()
    _, report = stylizer.run(cat, ducks, keep_colors=name)
    assert report.options["keep_colors"] == name


def test_the_optimiser_keeps_colours_too(cat, ducks):
    gatys = Stylizer("gatys", device="cpu")
    small = cat.resize((48, 36))
    result = np.asarray(gatys.transfer(small, ducks, iterations=3, keep_colors="luminance"), dtype=float)
    assert np.abs(chroma(result) - chroma(np.asarray(small, dtype=float))).max() <= 1.001


def test_a_preset_cannot_be_recoloured(stylizer, cat, ducks, tmp_path):
    Style.from_images(ducks, device="cpu", dtype="float32").save(tmp_path / "ducks.safetensors")
    for name in ("histogram", "coral", "luminance-only"):
        with pytest.raises(InputError, match="is a preset, whose colours are fixed"):
            stylizer.transfer(cat, tmp_path / "ducks.safetensors", keep_colors=name)
    assert stylizer.transfer(cat, tmp_path / "ducks.safetensors", keep_colors="luminance").size == cat.size


def test_an_unknown_way_is_refused(stylizer, cat, ducks):
    with pytest.raises(OptionError, match="keep-colors 'sepia' is unknown"):
        stylizer.transfer(cat, ducks, keep_colors="sepia")
