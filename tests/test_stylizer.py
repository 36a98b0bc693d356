import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import universal_style
from universal_style.errors import InputError, OptionError
from universal_style.images import Image
from universal_style.moments import Moments
from universal_style.request import Request
from universal_style.styles import Style
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
    for site in ("relu1_1", "relu2_1", "relu3_1"):

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


def test_size_is_the_long_side_of_the_result(stylizer, cat, ducks):
    assert stylizer.transfer(cat, ducks, levels=[1], size=50).size == (50, 38)


def test_a_preset_stands_for_its_picture(stylizer, cat, ducks, tmp_path):
    path = tmp_path / "ducks.safetensors"
    stylizer.observe(ducks).save(path)
    for style in (path, str(path), Style.load(path)):
        result = np.asarray(stylizer.transfer(cat, style, levels=[3, 1]), dtype=float)
        expected = np.asarray(stylizer.transfer(cat, ducks, levels=[3, 1]), dtype=float)
        assert np.abs(result - expected).max() <= 2


def test_pictures_observed_together_are_one_style(stylizer, cat, ducks):
    ducks = ducks.resize((112, 80))  # multiples of the stride, so that nothing is grown
    together = stylizer.observe(cat, ducks).moments["relu2_1"]
    columns = [
        dict(stylizer.encoder.ascend(Image.of(p).tensor(), stylizer.method.pooling, 2))[2][0].flatten(1)
        for p in (cat, ducks)
    ]
    expected = Moments.of(torch.cat(columns, dim=1))
    torch.testing.assert_close(together.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.covariance, expected.covariance, rtol=1e-4, atol=1e-4)


def test_a_style_is_observed_in_one_pass_and_remembered(stylizer, ducks, tmp_path):
    path = tmp_path / "ducks.png"
    ducks.save(path)
    passes = []
    handle = stylizer.encoder.blocks[0].conv1_1.register_forward_hook(lambda *_: passes.append(1))
    try:
        style = stylizer.observe(path)
        again = stylizer.observe(path)
    finally:
        handle.remove()
    assert len(passes) == 1
    assert sorted(style.moments) == [f"relu{k}_1" for k in range(1, 6)]
    assert again.moments["relu5_1"] is style.moments["relu5_1"] or torch.equal(
        again.moments["relu5_1"].scatter, style.moments["relu5_1"].scatter
    )


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


def test_the_report_says_what_was_done(stylizer, cat, ducks):
    _, report = stylizer.run(cat, ducks, alpha=0.5, levels=[2, 1], style_weights=[3])
    assert report.method == "wct"
    assert report.size == (96, 128)
    assert report.options["alpha"] == pytest.approx({"relu2_1": 0.5, "relu1_1": 0.5})
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
    assert [step for step, _, _ in told] == ["reading", "observing style 1", "relu2_1", "relu1_1", "done"]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha 1.5 is out of range"),
        ({"alpha": -0.1}, "alpha -0.1 is out of range"),
        ({"alpha": float("nan")}, "alpha nan is out of range"),
        ({"alpha": [0.5, 0.5]}, "2 alphas for 4 levels"),
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
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Request.of(**options)


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
    path.write_bytes(next(iter(stylizer.checkpoints.values())).path.read_bytes())
    with pytest.raises(InputError, match="not a preset of this version"):
        Style.load(path)


def test_transfer_in_one_call(cat, ducks):
    result = universal_style.transfer(cat, ducks, levels=[1], device="cpu", dtype="float32")
    assert_a_picture(result, cat.size)
