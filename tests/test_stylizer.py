import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import universal_style
from universal_style.dividing import clustered
from universal_style.errors import InputError, OptionError, OutputError
from universal_style.images import Image
from universal_style.methods import method_named
from universal_style.metrics import edge_ssim, psnr
from universal_style.moments import Moments
from universal_style.networks.pooling import NearestPooling
from universal_style.request import Request
from universal_style.smoothing import debanded
from universal_style.styles import Style
from universal_style.stylizer import Stylizer
from universal_style.subjects import subject_of
from universal_style.transforms import TRANSFORMS


def solid(colour, height=40, width=56):
    return Pillow.new("RGB", (width, height), colour)


def assert_a_picture(result, size):
    assert isinstance(result, Pillow.Image)
    assert result.size == size
    assert result.mode in ("RGB", "RGBA")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 5), (33, 47), (64, 64)])
def test_output_has_exactly_the_size_of_the_content(stylizer, cat, ducks, size):
    assert_a_picture(stylizer.transfer(cat.resize(size), ducks), size)


def test_a_long_strip(stylizer, cat, ducks):
    assert_a_picture(stylizer.transfer(cat.resize((2000, 17)), ducks), (2000, 17))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_degenerate_pictures_give_a_defined_result(stylizer, cat, ducks, transform):
    grey, red, tiny = solid("grey"), solid((200, 20, 30)), ducks.resize((5, 4))
    for content, style in ((grey, ducks), (cat, red), (grey, red), (cat, tiny), (cat.resize((1, 1)), tiny)):
        result = stylizer.transfer(content, style, transform=transform)  # pixels that are not finite raise
        assert_a_picture(result, content.size)


def test_a_one_colour_style_colours_the_picture(stylizer, cat):
    result = np.asarray(stylizer.transfer(cat, solid((200, 20, 30))), dtype=float).mean(axis=(0, 1))
    assert np.abs(result - (200, 20, 30)).max() < 40


def sky_in_steps(height=64, width=176):
    slope = np.linspace(0, 9, width) + np.linspace(0, 5, height)[:, None]
    return Pillow.fromarray(
        (np.stack((slope + 80, slope * 0.9 + 120, slope * 0.7 + 170), axis=2) + 0.5).astype("uint8")
    )


def test_steps_of_a_calm_sky_are_not_amplified(ducks, monkeypatch):
    stylizer, sky = Stylizer("wct2", device="cpu", dtype="float32"), sky_in_steps()

    def largest_step(**options):
        result, _ = stylizer.run(sky, ducks, smooth="none", **options)
        planes = result.pixels.astype(float)[8:-8, 8:-8]
        return np.abs(np.diff(planes, axis=1)).mean(axis=(0, 2)).max()

    even, kept = largest_step(), largest_step(alpha=0)
    for room in ("methods.walks", "styles"):
        monkeypatch.setattr(f"universal_style.{room}.debanded", lambda pixels, strength=1.0: pixels)
    assert even < 0.7 * largest_step()
    assert kept == largest_step(alpha=0)  # where nothing is edited, nothing is evened out


def test_alpha_zero_reconstructs(stylizer, cat, ducks):
    array = np.asarray(cat, dtype=float)
    for level, most in ((1, 4), (2, 9), (3, 16)):
        result = np.asarray(stylizer.transfer(cat, ducks, alpha=0, levels=[level]), dtype=float)
        assert np.sqrt(((result - array) ** 2).mean()) < most


def test_alpha_zero_does_not_depend_on_the_style(stylizer, cat, ducks):
    one = stylizer.transfer(cat, ducks, alpha=0, levels=[2])
    other = stylizer.transfer(cat, solid("blue"), alpha=0, levels=[2])
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_the_style_comes_nearer(stylizer, cat, ducks):
    result = stylizer.transfer(cat, ducks, style_size=120)
    style, before, after = (stylizer.observe(p).moments for p in (ducks, cat, result))
    for site in ("max/relu1_1", "max/relu2_1", "max/relu3_1"):

        def distance(moments, site=site):
            return float(torch.linalg.matrix_norm(moments[site].covariance - style[site].covariance))

        assert distance(after) < 0.7 * distance(before), site


def test_a_style_can_be_weighed(stylizer, cat, ducks):
    red, blue = solid("red"), solid("blue")
    mean = [
        np.asarray(stylizer.transfer(cat, red, blue, style_weights=w, levels=[1]), dtype=float).mean(axis=(0, 1))
        for w in ((1, 0), (0.5, 0.5), (0, 1))
    ]
    assert mean[0][0] > mean[1][0] > mean[2][0]
    assert mean[0][2] < mean[1][2] < mean[2][2]
    assert np.allclose(mean[1], (mean[0] + mean[2]) / 2, atol=8)


def test_levels_run_in_the_given_order(stylizer, cat, ducks):
    down = stylizer.transfer(cat, ducks, levels=[3, 1])
    up = stylizer.transfer(cat, ducks, levels=[1, 3])
    assert not np.array_equal(np.asarray(down), np.asarray(up))


def test_same_call_same_picture(stylizer, cat, ducks):
    one, other = (np.asarray(stylizer.transfer(cat, ducks, levels=[2, 1])) for _ in range(2))
    assert np.array_equal(one, other)


def test_alpha_mask_of_the_content_is_kept(stylizer, cat, ducks):
    content = cat.copy()
    content.putalpha(Pillow.linear_gradient("L").resize(cat.size))
    result = stylizer.transfer(content, ducks, levels=[1])
    assert np.array_equal(np.asarray(result)[:, :, 3], np.asarray(content)[:, :, 3])


def cut_out(picture, ground):
    """Leave an ellipse of a picture, all else transparent over a colour that nobody sees."""
    rows, columns = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    shown = rows**2 + columns**2 < 0.6
    array = np.where(shown[:, :, None], np.asarray(picture.convert("RGB")), np.uint8(ground)).astype(np.uint8)
    return Pillow.fromarray(np.dstack([array, shown.astype(np.uint8) * 255]), "RGBA"), shown


@pytest.mark.parametrize("options", [{}, {"method": "gatys", "iterations": 2}, {"tile": 80}], ids=str)
def test_what_nobody_sees_of_a_picture_changes_nothing(stylizer, cat, ducks, options):
    method = options.get("method", "wct")
    given = {name: value for name, value in options.items() if name != "method"}
    carrier = stylizer if method == "wct" else universal_style.Stylizer(method, device="cpu")
    pictures = []
    for ground in ((255, 0, 0), (0, 0, 0)):
        content, shown = cut_out(cat, ground)
        style, _ = cut_out(ducks, ground)
        result = np.asarray(carrier.transfer(content, style, **given))
        assert np.array_equal(result[:, :, 3] > 0, shown)
        pictures.append(result[shown][:, :3].astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_a_cut_out_style_is_what_is_left_of_it(stylizer, ducks):
    """The moments are near those of the ellipse, far from those of a picture that is mostly one colour."""
    style, shown = cut_out(ducks, (255, 0, 0))
    whole, seen = (stylizer.observe(picture).moments["max/relu1_1"] for picture in (ducks, style))
    assert seen.count == pytest.approx(shown.sum(), rel=0.01)
    assert (seen.mean - whole.mean).norm() < 0.25 * whole.mean.norm()


def test_a_picture_that_shows_nothing_is_carried_all_the_same(stylizer, cat, ducks):
    clear = cat.convert("RGBA")
    clear.putalpha(0)
    result = np.asarray(stylizer.transfer(clear, ducks, levels=[1]))
    assert not result[:, :, 3].any()


def test_size_is_the_long_side_of_the_result(stylizer, cat, ducks):
    assert stylizer.transfer(cat, ducks, levels=[1], size=50).size == (50, 38)


def test_a_preset_stands_for_its_picture(stylizer, cat, ducks, tmp_path):
    path = tmp_path / "ducks.safetensors"
    stylizer.observe(ducks).save(path)
    for style in (path, str(path), Style.load(path)):
        result = np.asarray(stylizer.transfer(cat, style, levels=[3, 1]), dtype=float)
        expected = np.asarray(stylizer.transfer(cat, ducks, levels=[3, 1]), dtype=float)
        assert np.abs(result - expected).max() <= 2


def test_a_preset_keeps_every_bit(stylizer, ducks, tmp_path):
    seen = stylizer.observe(ducks)
    seen.save(tmp_path / "ducks.safetensors")
    read = Style.load(tmp_path / "ducks.safetensors")
    assert read.moments.keys() == seen.moments.keys()
    for key, moments in seen.moments.items():
        assert torch.equal(read.moments[key].mean, moments.mean)
        assert torch.equal(read.moments[key].scatter, moments.scatter)
        assert torch.equal(read.moments[key].count, moments.count)
    assert (tmp_path / "ducks.safetensors").stat().st_size < 8 * 2**20


def test_a_preset_of_another_encoder_is_refused(stylizer, ducks, tmp_path, monkeypatch):
    stylizer.observe(ducks).save(tmp_path / "ducks.safetensors")
    monkeypatch.setattr("universal_style.styles.encoder_digest", lambda: "other")
    with pytest.raises(InputError, match="was made with another encoder"):
        Style.load(tmp_path / "ducks.safetensors")


def test_pictures_observed_together_are_one_style(stylizer, cat, ducks):
    ducks = ducks.resize((112, 80))  # multiples of the stride, so that nothing is grown
    together = stylizer.observe(cat, ducks).moments["max/relu2_1"]
    even = [debanded(Image.of(p).tensor()) for p in (cat, ducks)]
    columns = [dict(stylizer.loaded.encoder.ascend(p, stylizer.method.pooling, 2))[2][0].flatten(1) for p in even]
    expected = Moments.of(torch.cat(columns, dim=1))
    torch.testing.assert_close(together.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.covariance, expected.covariance, rtol=1e-4, atol=1e-4)


def test_merged_presets_are_the_moments_of_all_columns(stylizer, cat, ducks, tmp_path):
    pictures = [cat, ducks.resize((112, 80)), cat.rotate(90, expand=True)]  # multiples of the stride: nothing is grown
    for number, picture in enumerate(pictures):
        stylizer.observe(picture).save(tmp_path / f"{number}.safetensors")
    files = [tmp_path / f"{number}.safetensors" for number in range(len(pictures))]
    merged, turned = stylizer.observe(*files), stylizer.observe(*reversed(files))
    together = stylizer.observe(*pictures)
    assert merged.moments.keys() == together.moments.keys()
    for key, moments in merged.moments.items():
        assert torch.equal(moments.scatter, together.moments[key].scatter)
        torch.testing.assert_close(moments.scatter, turned.moments[key].scatter, rtol=1e-9, atol=1e-9)
    even = [debanded(Image.of(p).tensor()) for p in pictures]
    levels = [dict(stylizer.loaded.encoder.ascend(p, NearestPooling(), 4)) for p in even]
    for level in (1, 4):
        expected = Moments.of(torch.cat([features[level][0].flatten(1) for features in levels], dim=1))
        found = merged.moments[f"max/relu{level}_1"]
        assert found.count == expected.count
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-4, atol=1e-4)


def test_a_style_is_observed_in_one_pass_of_each_kind_and_remembered(stylizer, ducks, tmp_path):
    path = tmp_path / "ducks.png"
    ducks.save(path)
    passes = []
    handle = stylizer.loaded.encoder.blocks[0].conv1_1.register_forward_hook(lambda *_: passes.append(1))
    try:
        style = stylizer.observe(path)
        again = stylizer.observe(path)
    finally:
        handle.remove()
    assert len(passes) == 2  # one by maxima, one by Haar averages
    assert {key for key in style.moments if key.startswith("max/")} == {f"max/relu{k}_1" for k in range(1, 6)}
    assert sum(key.startswith("haar/") for key in style.moments) == 4 + 9
    assert again.moments["max/relu5_1"] is style.moments["max/relu5_1"]


def test_a_style_made_smaller_twice_is_not_taken_for_one_made_smaller_once(tmp_path, rng):
    path = tmp_path / "noise.png"
    Pillow.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(path)
    once, twice = subject_of(path, 32), subject_of(path, 64).scaled(0.5)
    assert once.picture.pixels.shape == twice.picture.pixels.shape
    assert once.file != twice.file
    assert subject_of(path, 32).file == once.file


def test_a_transfer_leaves_the_random_numbers_of_others_alone(stylizer, cat, ducks):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    stylizer.transfer(cat, ducks, levels=[1], seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_gives_nearly_the_same_picture(cat, ducks, stylizer):
    narrow = universal_style.Stylizer(device="cpu", dtype="bfloat16")
    one, other = (np.asarray(s.transfer(cat, ducks, levels=[3, 2, 1]), dtype=float) for s in (stylizer, narrow))
    assert np.sqrt(((one - other) ** 2).mean()) < 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_nearly_the_same_picture(cat, ducks, stylizer):
    graphics = universal_style.Stylizer(device="cuda", dtype="float32")
    one, other = (np.asarray(s.transfer(cat, ducks), dtype=float) for s in (stylizer, graphics))
    assert np.sqrt(((one - other) ** 2).mean()) < 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", ["wct", "wct2", "wct2-sum", "photo-wct"])
def test_half_precision_on_a_card_gives_nearly_the_same_picture(method, cat, ducks):
    options = {"levels": [3, 2, 1], "smooth": "none"}
    one, other = (
        np.asarray(universal_style.Stylizer(method, device="cuda", dtype=dtype).transfer(cat, ducks, **options))
        for dtype in ("float16", "float32")
    )
    assert np.sqrt(((one.astype(float) - other) ** 2).mean()) < 4


def test_the_report_says_what_was_done(stylizer, cat, ducks):
    _, report = stylizer.run(cat, ducks, alpha=0.5, levels=[2, 1], style_weights=[3])
    assert report.method == "wct"
    assert report.size == (96, 128)
    assert report.options["alpha"] == [0.5, 0.5]
    assert report.options["style_weights"] == [1]
    assert {"read", "observe styles", "relu2_1", "relu1_1"} <= set(report.seconds)
    assert report.peak_memory["process"] > 10**8
    assert set(report.checkpoints) == {
        "encoder-vgg19-normalised.safetensors",
        "decoder-nearest-relu2_1.safetensors",
        "decoder-nearest-relu1_1.safetensors",
    }
    assert all(len(digest) == 64 for digest in report.checkpoints.values())


def test_progress_is_told(stylizer, cat, ducks):
    told = []
    stylizer.run(cat, ducks, levels=[2, 1], progress=lambda *event: told.append(event))
    steps = [
        "read",
        "find regions",
        "load decoders",
        "observing style 1",
        "deband",
        "relu2_1",
        "relu1_1",
        "smooth",
        "done",
    ]
    assert [step for step, _, _ in told] == steps
    assert [done for _, done, _ in told] == list(range(len(steps)))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha 1.5 is out of range"),
        ({"alpha": -0.1}, "alpha -0.1 is out of range"),
        ({"alpha": float("nan")}, "alpha nan is out of range"),
        ({"alpha": [0.5, 0.5]}, "2 alphas for 4 levels"),
        ({"method": "gatys", "alpha": 0.5}, "method gatys has no option alpha"),
        ({"method": "gatys", "tile": "off"}, "method gatys has no option tile"),
        ({"levels": [6]}, "level 6 is unknown"),
        ({"levels": []}, "no level given"),
        ({"levels": [2, 2]}, "name a level twice"),
        ({"style_weights": [1, 2]}, "2 style weights for 1 styles"),
        ({"style_weights": [0]}, "not all 0"),
        ({"style_weights": [-1]}, "must be at least 0"),
        ({"style_weights": [float("inf")]}, "must be at least 0"),
        ({"size": 0}, "size 0 is out of range"),
        ({"style_size": -3}, "style-size -3 is out of range"),
        ({"transform": "pca"}, "transform 'pca' is unknown"),
        ({"method": "wct3"}, "method 'wct3' is unknown"),
        ({"styles": 0}, "no style given"),
        ({"sites": ["roof"]}, "site .roof. is unknown"),
        ({"sites": ["skip"]}, "method wct has no site skip"),
        ({"sites": []}, "no site given"),
        ({"method": "wct2", "levels": [3], "sites": ["skip"]}, "method wct2 has no site skip at level 3; add encoder"),
        ({"method": "wct2", "levels": [3], "sites": ["skip", "decoder"]}, "no site skip or decoder at level 3"),
        ({"missing": "guess"}, "missing .guess. is unknown"),
        ({"auto_regions": 3, "semantic_regions": True}, "exclude each other"),
        ({"auto_regions": 1}, "auto-regions 1 is out of range"),
        ({"smooth": "sanding"}, "smooth"),
        ({"alhpa": 1.0}, "method wct has no option alhpa; its own are alpha, levels"),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Request.of(method_named(options.pop("method", "wct")), **options)


def test_options_that_ask_for_nothing_are_taken_by_every_method():
    for method in ("wct", "gatys"):
        Request.of(method_named(method), alpha=1.0, tile="auto")
        Request.of(method_named(method), alpha=[1.0])


def test_options_of_a_wrong_kind_are_refused_in_one_line():
    """In a process of its own, where annotations are not checked as they are here."""
    wrong = {
        "alpha": ["0.5", [None]], "levels": ["4,3", 1], "style_weights": ["1", [None]], "size": ["64", 64.5],
        "style_size": [1.5], "auto_regions": [2.5], "style_masks": [None, "mask.png"], "method": [None, 5],
    }  # fmt: skip
    program = f"""
import numpy, universal_style
for name, values in {wrong!r}.items():
    for value in values:
        try:
            universal_style.transfer(*[numpy.zeros((8, 8, 3), "uint8")] * 2, device="cpu", **{{name: value}})
        except universal_style.OptionError as error:
            print(error)
try:
    universal_style.transfer(numpy.zeros((8, 8, 3), "uint8"), ["a.png", "b.png"], device="cpu")
except universal_style.OptionError as error:
    print(error)
    """
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    *lines, last = said.splitlines()
    assert last.startswith("a list is no style; give styles one after the other")
    assert len(lines) == sum(map(len, wrong.values()))
    for name, line in zip([name for name, values in wrong.items() for _ in values], lines, strict=True):
        assert line.startswith((name.replace("_", "-"), name.replace("_", " ")))


def test_the_style_may_be_named(stylizer, cat, ducks):
    expected = np.asarray(stylizer.transfer(cat, ducks, levels=[1]))
    assert np.array_equal(np.asarray(stylizer.transfer(content=cat, style=ducks, levels=[1])), expected)
    named = universal_style.transfer(cat, style=ducks, levels=[1], device="cpu", dtype="float32")
    assert np.array_equal(np.asarray(named), expected)
    with pytest.raises(OptionError, match="no style given"):
        stylizer.transfer(cat)


@pytest.mark.parametrize(("device", "dtype"), [("tpu", "auto"), ("cpu", "int8"), ("cpu", "float16")])
def test_an_unknown_device_or_dtype_is_refused(device, dtype):
    with pytest.raises(OptionError):
        universal_style.Stylizer(device=device, dtype=dtype)


def test_a_bad_preset_is_refused(stylizer, ducks, tmp_path):
    path = tmp_path / "style.safetensors"
    with pytest.raises(InputError, match="does not exist"):
        Style.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable preset"):
        Style.load(path)
    path.write_bytes(stylizer.loaded.encoder_checkpoint.path.read_bytes())
    with pytest.raises(InputError, match="not a preset of this version"):
        Style.load(path)


def test_transfer_in_one_call(cat, ducks):
    result = universal_style.transfer(cat, ducks, levels=[1], device="cpu", dtype="float32")
    assert_a_picture(result, cat.size)


def halves(picture, left="black", right="white"):
    mask = Pillow.new("RGB", picture.size, right)
    mask.paste(left, (0, 0, picture.width // 2, picture.height))
    return mask


def array(picture):
    return np.asarray(picture.convert("RGB"), dtype=float)


def test_regions_take_the_style_of_their_counterpart(stylizer, cat, ducks):
    red_and_blue = solid("red", 60, 80)
    red_and_blue.paste("blue", (40, 0, 80, 60))
    masks = {"content_mask": halves(cat), "style_masks": [halves(red_and_blue)]}
    result = array(stylizer.transfer(cat.resize((512, 384)), red_and_blue, levels=[1], **masks))
    left, right = result[:, :240].mean(axis=(0, 1)), result[:, 272:].mean(axis=(0, 1))
    assert left[0] > left[2] + 100
    assert right[2] > right[0] + 100
    assert np.abs(np.diff(result, axis=1)).max() < 100  # the border is soft


def test_a_preset_that_is_given_a_size_says_that_it_has_none(stylizer, cat, ducks):
    preset = stylizer.observe(ducks)
    small = cat.resize((32, 24))
    _, report = stylizer.run(small, preset, levels=[1], style_size=64)
    assert report.notes == ["style-size 64 changes nothing of style: a preset was observed before"]
    for styles, size in (([preset], None), ([ducks], 64)):
        assert stylizer.run(small, *styles, levels=[1], style_size=size)[1].notes == []


def test_a_mask_of_one_colour_is_no_mask(stylizer, cat, ducks):
    masks = {"content_mask": solid("green", 30, 30), "style_masks": [solid("green", 7, 9)]}
    masked = array(stylizer.transfer(cat, ducks, levels=[2, 1], **masks))
    assert np.abs(masked - array(stylizer.transfer(cat, ducks, levels=[2, 1]))).max() <= 1


def test_content_equal_to_style_stays_as_it_is(stylizer, cat):
    masks = {"content_mask": halves(cat), "style_masks": [halves(cat)]}
    masked = array(stylizer.transfer(cat, cat, levels=[1], style_size=128, **masks))
    assert np.sqrt(((masked - array(cat)) ** 2).mean()) < 4


@pytest.mark.parametrize("missing", ["global", "nearest", "keep"])
def test_a_region_without_counterpart_falls_back_and_says_so(stylizer, cat, ducks, missing):
    masks = {"content_mask": halves(cat), "style_masks": [solid("white", 80, 120)]}
    result, report = stylizer.run(cat, ducks, levels=[1], missing=missing, **masks)
    assert len(report.regions) == len(report.notes) == 2
    source = next(region for region in report.regions if region["colour"] == [0, 0, 0])["sources"][0]
    assert "lacks it" in source["reason"]
    assert source["style"] == {"global": "whole", "nearest": report.regions[1]["label"], "keep": "keep"}[missing] or (
        missing == "nearest" and source["style"] not in ("whole", "keep")
    )
    left = (result.pixels * 255)[:, :52]
    changed = np.abs(left - array(cat)[:, :52]).mean()
    assert changed < 3 if missing == "keep" else changed > 5


def test_a_region_of_one_pixel_falls_back(stylizer, cat, ducks):
    dot = solid("white", 96, 128)
    dot.putpixel((5, 5), (0, 0, 0))
    result, report = stylizer.run(cat, ducks, levels=[2, 1], content_mask=dot, style_masks=[halves(ducks)])
    small = report.regions[-1]
    assert small["pixels"] == 1
    assert "only 1 pixels" in small["sources"][0]["reason"]
    assert np.isfinite(result.pixels).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_masks_of_any_mode_and_size(stylizer, cat, ducks, mode):
    def shaped(picture):
        mask = halves(picture).resize((33, 21), Pillow.Resampling.NEAREST)
        return (
            Pillow.fromarray(np.array(mask.convert("L")).astype(np.uint16) * 257)
            if mode == "I;16"
            else mask.convert(mode)
        )

    expected = stylizer.transfer(cat, ducks, levels=[1], content_mask=shaped(cat), style_masks=[shaped(ducks)])
    again, report = stylizer.run(cat, ducks, levels=[1], content_mask=shaped(cat), style_masks=[shaped(ducks)])
    assert len(report.regions) == 2
    assert_a_picture(expected, cat.size)
    assert np.array_equal(array(expected), array(again.pillow()))


@pytest.mark.parametrize("style_size", [-100, 0, 100_001])
def test_a_style_is_observed_at_a_size_that_there_is(stylizer, ducks, style_size):
    said = f"style-size {style_size} is out of range; it is the long side in pixels, 1 to 100000"
    with pytest.raises(OptionError, match=said):
        stylizer.observe(ducks, style_size=style_size)
    with pytest.raises(OptionError, match=said):
        Style.from_images(ducks, style_size=style_size, device="cpu")


def test_regions_are_found_with_a_seed_of_any_sign(stylizer, cat, ducks):
    one, other = (stylizer.run(cat, ducks, auto_regions=2, levels=[1], seed=seed)[0] for seed in (-1, -1))
    assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("height", [65, 40])
def test_regions_are_found_in_their_place(stylizer, ducks, height):
    content = np.zeros((height, 256, 3), np.uint8)
    content[: height // 2] = (30, 60, 200)
    content[height // 2 :] = np.random.default_rng(0).integers(0, 256, (height - height // 2, 256, 1))
    content[height // 2 :, :, 2] = 0
    (regions, _) = clustered(stylizer.loaded, [Image.of(content), Image.of(ducks)], 2, 0)
    upper = regions.labels == regions.labels[0, 128]
    assert abs(float(upper.sum(axis=0).mean()) - height // 2) < 3


def test_features_that_are_not_finite_end_a_transfer(stylizer, ducks):
    style = stylizer.observe(ducks)
    overflown = {key: replace(moments, scatter=moments.scatter * 1e300) for key, moments in style.moments.items()}
    with pytest.raises(OutputError, match="not finite"):
        stylizer.run(ducks, replace(style, moments=overflown), levels=[2, 1])


def test_a_style_is_made_of_something(stylizer):
    with pytest.raises(InputError, match="no style given; give one or more pictures or presets"):
        stylizer.observe()


def test_regions_are_found_without_masks(stylizer, cat, ducks):
    result, report = stylizer.run(cat, ducks, levels=[1], auto_regions=3)
    assert 2 <= len(report.regions) <= 3
    assert sum(region["pixels"] for region in report.regions) == 96 * 128
    assert np.isfinite(result.pixels).all()


def test_a_preset_tells_how_many_pixels_it_was_observed_from(stylizer, cat, ducks):
    preset = stylizer.observe(ducks)
    _, report = stylizer.run(cat, preset, levels=[1], auto_regions=3)
    assert {source["pixels"] for region in report.regions for source in region["sources"]} == {
        ducks.width * ducks.height
    }


def test_masks_that_cannot_be_used_are_refused(stylizer, cat, ducks):
    preset = stylizer.observe(ducks)
    with pytest.raises(InputError, match="is a preset, which has no regions"):
        stylizer.transfer(cat, preset, content_mask=halves(cat), style_masks=[halves(ducks)])
    with pytest.raises(OptionError, match="exclude each other"):
        stylizer.transfer(cat, ducks, content_mask=halves(cat), auto_regions=3)
    with pytest.raises(OptionError, match="2 style masks for 1 styles"):
        stylizer.transfer(cat, ducks, content_mask=halves(cat), style_masks=[halves(ducks)] * 2)
    with pytest.raises(InputError, match="the content has none"):
        stylizer.transfer(cat, ducks, style_masks=[halves(ducks)])


@pytest.fixture(scope="module", params=["photo-wct", "wct2", "wct2-sum"])
def photographer(request):
    return universal_style.Stylizer(request.param, device="cpu", dtype="float32")


def test_photographic_methods_keep_the_structure_and_take_the_colours(photographer, cat, ducks):
    result, report = photographer.run(cat, ducks)
    assert report.size == (96, 128)
    kept, painted = (
        edge_ssim(p, Image.of(cat).pixels) for p in (result.pixels, Image.of(ducks.resize(cat.size)).pixels)
    )
    assert kept > 0.5 > painted
    means = [p.reshape(-1, 3).mean(0) for p in (result.pixels, Image.of(cat).pixels, Image.of(ducks).pixels)]
    assert np.abs(means[0] - means[2]).mean() < 0.6 * np.abs(means[1] - means[2]).mean()


def test_photographic_methods_reconstruct(photographer, cat):
    result, _ = photographer.run(cat, cat, alpha=0, smooth="none")
    floors = {"photo-wct": 14, "wct2": 30, "wct2-sum": 22}
    assert psnr(result.pixels, Image.of(cat).pixels) > floors[photographer.method.name]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 5), (300, 9)])
def test_photographic_methods_take_any_size(photographer, cat, ducks, size):
    assert_a_picture(photographer.transfer(cat.resize(size), ducks), size)


def test_a_preset_serves_every_method(photographer, stylizer, cat, ducks, tmp_path):
    stylizer.observe(ducks).save(tmp_path / "ducks.safetensors")
    result = array(photographer.transfer(cat, tmp_path / "ducks.safetensors"))
    assert np.abs(result - array(photographer.transfer(cat, ducks))).max() <= 3


@pytest.mark.parametrize("method", ["wct2", "wct2-sum"])
def test_the_shallow_levels_of_wct2_can_be_had_alone(cat, ducks, method):
    stylizer = universal_style.Stylizer(method, device="cpu", dtype="float32")
    one, two = (stylizer.run(cat, ducks, levels=levels)[0].pixels for levels in ([1], [2, 1]))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("method", "levels", "edited", "depth"),
    [
        ("wct2", None, {2, 1}, 2),
        ("wct2", [1], {1}, 2),
        ("wct2", [3, 2, 1], {3, 2, 1}, 3),
        ("wct2-sum", None, {3, 2, 1}, 4),
        ("wct2-sum", [4, 1], {4, 1}, 4),
    ],
)
def test_wct2_walks_as_deep_as_it_says(method, levels, edited, depth):
    (plan,) = method_named(method).recipe(levels=levels).stages
    assert plan.level == depth
    assert {site.level for site in plan.sites if site.name.startswith("relu")} == edited


def test_the_third_level_of_wct2_is_little_seen(cat, ducks):
    stylizer = universal_style.Stylizer("wct2", device="cpu", dtype="float32")
    usual, deep = (stylizer.run(cat, ducks, smooth="none", levels=levels)[0].pixels for levels in (None, [3, 2, 1]))
    assert 30 < psnr(usual, deep) < 70


def test_wct2_sum_gives_back_what_should_stay_more_exactly_than_its_decoder_does(cat, ducks):
    stylizer = universal_style.Stylizer("wct2-sum", device="cpu", dtype="float32")
    options = {"alpha": 0, "smooth": "none", "style_size": 64}
    refined, report = stylizer.run(cat, ducks, **options)
    assert "refine" in report.seconds
    _, request, task = stylizer.prepare(cat, ducks, **options)
    once = replace(request.recipe, refined=False).carry(stylizer.loaded, task).pixels
    decoded, picture = once.clamp(0, 1)[0].permute(1, 2, 0).numpy(), Image.of(cat).pixels
    assert psnr(refined.pixels, picture) > psnr(decoded, picture) + 3 > 36
    assert "refine" in stylizer.run(cat, ducks, alpha=[1, 1, 0.9])[1].seconds
    assert "refine" not in stylizer.run(cat, ducks)[1].seconds
    assert "refine" not in universal_style.Stylizer("wct2", device="cpu").run(cat, ducks, alpha=0.5)[1].seconds


def test_decoder_sites_need_the_picture_of_the_style(stylizer, cat, ducks):
    photographer = universal_style.Stylizer("wct2", device="cpu", dtype="float32")
    everywhere = array(photographer.transfer(cat, ducks, sites=["encoder", "skip", "decoder"]))
    encoder_alone = array(photographer.transfer(cat, ducks, sites=["encoder"]))
    assert np.abs(everywhere - encoder_alone).mean() > 0.5
    with pytest.raises(InputError, match="holds no moments of haar-cat5/decoder_relu"):
        photographer.transfer(cat, stylizer.observe(ducks), sites=["decoder"])


def test_what_is_usual_for_a_photographic_method_keeps_more_structure(photographer, cat, ducks):
    raw, _ = photographer.run(cat, ducks, smooth="none")
    usual, report = photographer.run(cat, ducks)
    assert report.options["smooth"] == ("closed-form" if photographer.method.name == "photo-wct" else "bilateral")
    assert report.options["covariance_floor"] == (1 if photographer.method.name == "photo-wct" else 0)
    assert edge_ssim(usual.pixels, Image.of(cat).pixels) > edge_ssim(raw.pixels, Image.of(cat).pixels) + 0.01


def test_photo_wct_walks_once_as_deep_as_asked_and_keeps_more_than_a_walk_for_each_level(cat, ducks):
    stylizer = universal_style.Stylizer("photo-wct", device="cpu", dtype="float32")
    for levels, sites in (([2, 1], {"relu1_1", "relu2_1"}), ([3], {"relu3_1"}), ([1, 4], {"relu1_1", "relu4_1"})):
        (plan,) = stylizer.method.recipe(levels=levels).stages
        assert (plan.level, {site.name for site in plan.sites}) == (max(levels), sites)
    (plan,) = stylizer.method.recipe(sites=["encoder", "decoder"]).stages
    assert {site.name for site in plan.sites} >= {"relu3_1", "decoder_relu2_1", "decoder_relu1_1"}
    with pytest.raises(OptionError, match="no site decoder at level 3"):
        stylizer.method.recipe(levels=[3], sites=["decoder"])

    once = stylizer.run(cat, ducks, smooth="none")[0].pixels
    cascade = cat
    for level in (3, 2, 1):
        cascade = stylizer.transfer(cascade, ducks, levels=[level], smooth="none")
    own = Image.of(cat).pixels
    assert edge_ssim(once, own) > edge_ssim(Image.of(cascade).pixels, own) + 0.05


def test_a_usual_floor_is_for_symmetric_maps_alone():
    recipe = universal_style.Stylizer("photo-wct", device="cpu", dtype="float32").method.recipe
    floors = [
        recipe(transform=name).as_options()["covariance_floor"] for name in (None, "ot", "adain", "wct", "cholesky")
    ]
    assert floors == [1, 1, 1, 0, 0]
    assert recipe(transform="wct", covariance_floor=3).as_options()["covariance_floor"] == 3
    assert recipe(covariance_floor=0).as_options()["covariance_floor"] == 0


@pytest.mark.parametrize("method", ["wct", "photo-wct"])
def test_what_lies_between_a_mask_and_an_outline_takes_its_own_sides_colour(method, ducks):
    """A light sky beside a dark house whose mask is four pixels too wide: the sky's map is for all of the sky."""
    content = torch.full((3, 128, 192), 0.9)
    content[:, :, 96:] = 0.25
    content += 0.02 * torch.rand(3, 128, 192, generator=torch.Generator().manual_seed(3))
    style, mask = torch.full((3, 128, 192), 0.15), torch.zeros(3, 128, 192)
    style[:, :, 96:] = torch.tensor([0.6, 0.5, 0.3])[:, None, None]
    style += 0.02 * torch.rand(3, 128, 192, generator=torch.Generator().manual_seed(4))
    mask[:, :, 92:] = 1
    exact = torch.zeros(3, 128, 192)
    exact[:, :, 96:] = 1
    painter = universal_style.Stylizer(method, device="cpu", dtype="float32")
    result, _ = painter.run(content, style, content_mask=mask, style_masks=[exact], levels=[1], smooth="none")
    of_sky = result.pixels[:, 40:60].mean()
    between = result.pixels[:, 92:94].mean()
    assert of_sky < 0.25
    assert between < of_sky + 0.2


@pytest.mark.parametrize("smooth", ["none", "closed-form", "bilateral", "guided"])
def test_every_smoothing_works_with_every_method(photographer, cat, ducks, smooth):
    _, report = photographer.run(cat, ducks, smooth=smooth)
    assert report.options["smooth"] == smooth


def test_style_from_images(stylizer, cat, ducks):
    style = universal_style.Style.from_images(ducks, device="cpu", dtype="float32")
    seen = stylizer.observe(ducks)
    assert style.moments.keys() == seen.moments.keys()
    torch.testing.assert_close(style.moments["haar/relu2_1"].scatter, seen.moments["haar/relu2_1"].scatter)
    both = universal_style.Style.from_images(cat, ducks, device="cpu", dtype="float32")
    assert both.moments["max/relu1_1"].count == 96 * 128 + 80 * 120
    with pytest.raises(InputError, match="no picture given"):
        universal_style.Style.from_images()


def test_every_region_takes_its_own_style(stylizer):
    grey = np.random.default_rng(0).integers(100, 156, (48, 64, 3)).astype(np.uint8)
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:, :32], mask[:, 32:] = (255, 0, 0), (0, 0, 255)
    options = {"content_mask": mask, "style_regions": ["blue", "red"], "levels": [1]}
    result = np.asarray(stylizer.transfer(grey, solid("yellow"), solid("purple"), **options), dtype=float)
    assert np.abs(result[:, :24].mean(axis=(0, 1)) - (128, 0, 128)).max() < 30
    assert np.abs(result[:, 40:].mean(axis=(0, 1)) - (255, 255, 0)).max() < 30
    with pytest.raises(OptionError, match="give that mask and no style masks"):
        stylizer.transfer(grey, solid("yellow"), style_regions=["red"])
    with pytest.raises(OptionError, match="1 style regions for 2 styles"):
        stylizer.transfer(grey, solid("yellow"), solid("purple"), content_mask=mask, style_regions=["red"])
