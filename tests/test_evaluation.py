import json
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from universal_style.contenders import Contender
from universal_style.errors import InputError, OptionError
from universal_style.evaluation import (
    Score,
    Summary,
    as_json,
    as_table,
    draw_scatter,
    evaluate,
    pairs_in,
)


@pytest.fixture
def folder(tmp_path, cat, ducks):
    for part in ("content", "style", "content_seg", "style_seg", "ready"):
        (tmp_path / part).mkdir()
    cat.save(tmp_path / "content" / "1.png")
    ducks.save(tmp_path / "style" / "1.png")
    cat.transpose(Pillow.Transpose.ROTATE_90).save(tmp_path / "content" / "2.png")
    ducks.save(tmp_path / "style" / "2.jpg")
    ducks.save(tmp_path / "style" / "3.jpg")  # no content: not a pair
    for part, picture in (("content_seg", cat), ("style_seg", ducks)):
        mask = Pillow.new("RGB", picture.size, "black")
        mask.paste("white", (0, 0, picture.width // 2, picture.height))
        mask.save(tmp_path / part / "1.png")
    shutil.copy(tmp_path / "content" / "1.png", tmp_path / "ready" / "1.png")
    return tmp_path


def test_pairs_are_matched_by_name(folder):
    one, two = pairs_in(folder)
    assert (one.name, two.name) == ("1", "2")
    assert two.style.name == "2.jpg"
    assert one.content_mask is not None
    assert one.style_mask is not None
    assert two.content_mask is None
    with pytest.raises(InputError, match="holds no pairs"):
        pairs_in(folder / "content")


def test_a_contender_is_read(folder):
    given = Contender.of("wct,levels=2+1,smooth=none,alpha=0.5,masks=no")
    assert given.method == "wct"
    assert given.options == {"levels": [2, 1], "smooth": "none", "alpha": [0.5]}
    assert not given.masks
    ready = Contender.of(f"ready={folder / 'ready'}")
    assert (ready.name, ready.results) == ("ready", folder / "ready")
    with pytest.raises(OptionError, match="is not a folder"):
        Contender.of("old=nowhere")
    with pytest.raises(OptionError, match="is not key=value"):
        Contender.of("wct,levels")


def test_a_method_and_ready_results_go_through_the_same_judge(folder):
    contenders = [Contender.of("wct,levels=1,smooth=none"), Contender.of(f"untouched={folder / 'ready'}")]
    events = list(evaluate(contenders, pairs_in(folder), folder / "out", "cpu", "float32"))
    scores = [event for event in events if isinstance(event, Score)]
    summaries = [event for event in events if isinstance(event, Summary)]
    assert [(s.contender.split(",")[0], s.pair) for s in scores] == [("wct", "1"), ("wct", "2"), ("untouched", "1")]
    made, ready = summaries
    assert ready.edge_ssim == pytest.approx(1)
    assert ready.content == pytest.approx(0, abs=1e-3)
    assert ready.seconds is None
    assert made.count == 2
    assert made.seconds > 0
    assert made.peak_memory > 10**8
    assert scores[0].style < scores[2].style  # nearer to the style than the untouched content …
    assert scores[0].edge_ssim < 1  # … and further from the content
    with Pillow.open(folder / "out" / "results" / "wct,levels=1,smooth=none" / "1.png") as result:
        assert result.size == (128, 96)
    facts = json.loads(as_json(scores, summaries))
    assert len(facts["pairs"]) == 3
    assert facts["summary"][0]["count"] == 2
    assert as_table(summaries).count("\n") == 3
    draw_scatter(folder / "plot.png", scores, summaries)
    with Pillow.open(folder / "plot.png") as plot:
        assert np.asarray(plot).std() > 0


def test_results_of_another_shape_are_refused(folder):
    Pillow.new("RGB", (50, 50)).save(folder / "ready" / "1.png")
    with pytest.raises(InputError, match="results need the shape of their content"):
        list(evaluate([Contender.of(f"ready={folder / 'ready'}")], pairs_in(folder), folder / "out"))
