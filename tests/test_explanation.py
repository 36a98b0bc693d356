import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from universal_style.explanation import Explainer, explanation_of, write_explanation
from universal_style.explanation.page import tinted
from universal_style.images import Image
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.regions import LabelMap
from universal_style.stylizer import Stylizer

OPTIONS = {
    "wct": {"levels": [3, 1]},
    "photo-wct": {"levels": [2, 1], "smooth": "guided"},
    "wct2": {"levels": [2, 1], "sites": ["encoder", "skip", "decoder"]},
    "gatys": {"iterations": 5, "scales": 2, "style_layers": ["relu1_1", "relu2_1"]},
}


def explained(stylizer, *pictures, **options):
    seen = Explainer()
    image, report = stylizer.run(*pictures, witness=seen, **options)
    return image, explanation_of(seen, stylizer.loaded, report)


def halves(picture):
    labels = np.zeros((picture.height, picture.width, 3), np.uint8)
    labels[: picture.height // 2, :, 0] = labels[picture.height // 2 :, :, 2] = 255
    return Pillow.fromarray(labels)


@pytest.mark.parametrize("method", OPTIONS)
def test_every_method_is_explained_and_not_changed(cat, ducks, tmp_path, method):
    stylizer, options = Stylizer(method, device="cpu", dtype="float32"), OPTIONS[method]
    image, explanation = explained(stylizer, cat, ducks, **options)
    plain, _ = stylizer.run(cat, ducks, **options)
    assert np.array_equal(image.pixels, plain.pixels)
    assert torch.equal(explanation.steps[-1][1], image.tensor())
    before, *_, after = explanation.distances.values()
    assert set(before) == set(explanation.sites)
    first = next(key for key in before if key.endswith("/relu1_1"))
    assert after[first] < before[first]
    page = write_explanation(tmp_path / "why", explanation).read_text()
    files = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert files | {"index.html", "explain.json"} == {path.name for path in (tmp_path / "why").iterdir()}


def test_the_way_of_a_cascade(stylizer, cat, ducks):
    _, explanation = explained(stylizer, cat, ducks, levels=[3, 2, 1], keep_colors="luminance")
    assert [name for name, _ in explanation.steps] == ["content", "relu3_1", "relu2_1", "relu1_1", "keep colours"]
    assert explanation.sites == ["max/relu3_1", "max/relu2_1", "max/relu1_1"]
    reached = explanation.distances["relu3_1"]["max/relu3_1"], explanation.distances["content"]["max/relu3_1"]
    assert reached[0] < reached[1]


def test_what_equals_its_style_has_no_distance(stylizer, cat):
    _, explanation = explained(stylizer, cat, cat, levels=[2])
    assert explanation.distances["content"]["max/relu2_1"] < 1e-6


def test_spectra_belong_to_regions(stylizer, cat, ducks):
    style = Image.of(ducks)
    masks = {"content_mask": halves(Image.of(cat)), "style_masks": [halves(style)]}
    _, explanation = explained(stylizer, cat, ducks, levels=[2, 1], **masks)
    assert set(explanation.spectra) == {"#ff0000", "#0000ff"}
    curves = explanation.spectra["#ff0000"]["max/relu2_1"]
    assert list(curves) == ["content", "style", "result"]
    upper = Image(style.pixels[: style.height // 2])
    expected = stylizer.observe(upper.pillow()).moments["max/relu2_1"].covariance.trace()
    for values in curves.values():
        assert (np.diff(values) <= 1e-9 * values[0]).all()
    assert curves["style"].sum() == pytest.approx(float(expected), rel=0.15)  # the border's features see both halves
    told = explanation.as_dict()["spectra"]["#ff0000"]["max/relu2_1"]["result"]
    assert told["rank"][0] == 1
    assert told["rank"][-1] == 128
    assert told["eigenvalue"][0] == pytest.approx(curves["result"][0], rel=1e-3)


def test_several_styles_have_a_curve_each(stylizer, cat, ducks):
    _, explanation = explained(stylizer, cat, ducks, cat, levels=[1])
    assert list(explanation.spectra["whole picture"]["max/relu1_1"]) == ["content", "style 1", "style 2", "result"]


def test_a_preset_and_a_flat_picture_are_explained(stylizer, ducks, tmp_path):
    flat = np.full((40, 40, 3), 128, np.uint8)
    _, explanation = explained(stylizer, flat, stylizer.observe(ducks), levels=[1])
    page = write_explanation(tmp_path, explanation)
    assert "distances.png" in page.read_text()
    assert not (tmp_path / "regions-style-1.png").exists()


def test_a_net_has_steps_alone(cat, tmp_path):
    save_net(tmp_path / "net.safetensors", TransformNet(), {})
    _, explanation = explained(Stylizer(str(tmp_path / "net.safetensors"), device="cpu"), cat)
    assert [name for name, _ in explanation.steps] == ["content", "feed forward"]
    page = write_explanation(tmp_path / "why", explanation).read_text()
    assert "Spectra" not in page


def test_regions_are_tinted(cat):
    picture = Image.of(cat)
    labels = LabelMap(
        (np.arange(cat.width) < 20).astype(np.uint8)[None].repeat(cat.height, 0), ((255, 0, 0), (0, 0, 255))
    )
    shown = tinted(picture, labels).pixels
    assert (shown[:, :20, 2] > shown[:, :20, 0]).all()
    assert (shown[:, 20:, 0] > shown[:, 20:, 2]).all()
    assert tinted(picture, LabelMap.uniform(cat.height, cat.width)) is picture


@pytest.fixture
def run(monkeypatch, tmp_path, command_line, cat, ducks):
    monkeypatch.chdir(tmp_path)
    cat.save("cat.png")
    ducks.save("ducks.png")

    def call(*arguments):
        code, output = command_line("transfer", "cat.png", "ducks.png", *arguments)
        return code, output.err

    return call


def test_the_command_explains(run, tmp_path):
    code, told = run("-o", "out.png", "--levels", "1", "--auto-regions", "2", "--explain", "why")
    assert code == 0
    assert "why/index.html" in told
    facts = json.loads((tmp_path / "why" / "explain.json").read_text())
    assert facts["steps"] == ["content", "relu1_1"]
    assert len(facts["regions"]) == 2
    assert facts["options"]["auto_regions"] == 2


def test_without_matplotlib_one_line_says_so(run, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "universal_style.explanation"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, told = run("-o", "out.png", "--explain", "why")
    assert code == 1
    assert "pip install 'universal-style[plots]'" in told
    assert not (tmp_path / "why").exists()
