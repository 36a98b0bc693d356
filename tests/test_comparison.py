import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from universal_style.comparison import USUAL, Pair, Point, as_json, compare, contact_sheet, draw_losses, ratios
from universal_style.contenders import Contender
from universal_style.errors import OptionError
from universal_style.methods import METHODS
from universal_style.networks.feed_forward import TransformNet, save_net


@pytest.fixture(scope="module")
def pair(cat, ducks):
    return Pair(cat, ducks, {"size": 96, "style_size": 96})


@pytest.fixture(scope="module")
def entries(pair):
    names = ("wct", "wct,levels=1,alpha=0", "gatys,iterations=12,scales=1")
    return list(compare(pair, [Contender.of(name) for name in names], "cpu", "float32"))


def test_every_method_is_measured_by_the_optimisers_losses(entries):
    styled, plain, gatys = entries
    assert styled.end.style < plain.end.style
    assert plain.end.content < 0.1
    assert (styled.way, plain.way) == ((), ())
    assert len(gatys.way) == 12
    assert gatys.way[-1].style < gatys.way[0].style
    assert gatys.way[0].style == pytest.approx(plain.end.style, rel=0.2)  # both have the content's pixels
    assert gatys.end.style == pytest.approx(gatys.way[-1].style, rel=0.3)
    assert gatys.end.content == pytest.approx(gatys.way[-1].content, rel=0.3)
    assert all(0 < entry.end.seconds < 60 for entry in entries)
    assert [point.seconds for point in gatys.way] == sorted(point.seconds for point in gatys.way)


def test_every_method_is_asked_where_none_is_named():
    usual = [Contender.of(text) for text in USUAL]
    assert [contender.method for contender in usual] == list(METHODS)
    for contender in usual:
        contender.check("cpu", "float32")


def test_the_time_to_an_equal_style_loss(entries):
    *_, gatys = entries
    middle = gatys.way[6]
    assert gatys.seconds_to(middle.style) == middle.seconds
    assert gatys.seconds_to(0) is None
    times = ratios(entries)["gatys,iterations=12,scales=1"]
    assert set(times) == {"wct", "wct,levels=1,alpha=0"}


def test_report_sheet_and_plot(entries, pair, tmp_path):
    facts = json.loads(as_json(entries))
    assert len(facts["methods"]["gatys,iterations=12,scales=1"]["way"]) == 12
    assert facts["methods"]["wct"]["style"] > 0
    sheet = contact_sheet(pair, entries)
    assert sheet.width > 4 * 96
    assert sheet.height > 2 * 72
    draw_losses(tmp_path / "losses.png", entries)
    with Pillow.open(tmp_path / "losses.png") as plot:
        assert np.asarray(plot).std() > 0


def test_a_preset_stands_for_the_style(pair, stylizer, tmp_path):
    path = tmp_path / "pond.safetensors"
    stylizer.observe(pair.style, style_size=96).save(path)
    same = replace(pair, style=path)
    (entry,) = compare(same, [Contender.of("wct,levels=1")], "cpu", "float32")
    (expected,) = compare(pair, [Contender.of("wct,levels=1")], "cpu", "float32")
    assert entry.end.style == pytest.approx(expected.end.style, rel=1e-3)
    assert contact_sheet(same, [entry]).width > 3 * 96


def test_what_was_not_measured_is_null():
    from universal_style.comparison import _finite

    assert _finite(Point(1.0, 0.5, float("nan"))) == {"seconds": 1.0, "style": 0.5, "content": None}


def test_a_folder_of_results_is_refused(pair, tmp_path):
    with pytest.raises(OptionError, match="is a folder; compare makes its results itself"):
        next(compare(pair, [Contender.of(f"old={tmp_path}")]))


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ("photowct", "method 'photowct' is unknown"),
        ("wct,alpha=2", "alpha 2 is out of range"),
        ("wct,size=64", "wct,size=64 has a size of its own, and all are judged at one; give --size instead"),
    ],
)
def test_a_late_mistake_is_told_before_anything_runs(pair, late, said):
    begun = []
    with pytest.raises(OptionError, match=said):
        list(compare(pair, [Contender.of(text) for text in ("wct,levels=1", late)], "cpu", progress=begun.append))
    assert not begun


def test_regions_are_not_found_where_there_are_masks(cat, ducks, tmp_path):
    save_net(tmp_path / "net.safetensors", TransformNet(), {"style": "noise"})
    mask = Pillow.new("RGB", cat.size, "black")
    masked = {"content_mask": mask, "style_masks": [mask]}
    for text in ("wct,auto-regions=3", "wct,semantic-regions=yes"):
        with pytest.raises(OptionError, match=f"{text} finds regions where there are masks; add masks=no"):
            Contender.of(text).check("cpu", "float32", **masked)
        Contender.of(f"{text},masks=no").check("cpu", "float32", **masked)
        Contender.of(text).check("cpu", "float32", content_mask=None, style_masks=[None])
    with pytest.raises(OptionError, match="holds one style for the whole picture"):
        Contender.of(f"{tmp_path / 'net.safetensors'},auto-regions=3").check("cpu", "float32")


def test_a_net_is_compared_without_masks(cat, ducks, tmp_path):
    save_net(tmp_path / "net.safetensors", TransformNet(), {"style": "noise"})
    mask = Pillow.new("RGB", cat.size, "black")
    mask.paste("white", (0, 0, 40, 96))
    options = {"size": 64, "style_size": 64, "content_mask": mask, "style_masks": [mask]}
    names = (str(tmp_path / "net.safetensors"), "wct,levels=1,masks=no")
    entries = list(compare(Pair(cat, ducks, options), [Contender.of(name) for name in names], "cpu", "float32"))
    assert [entry.name for entry in entries] == list(names)
