import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from inspect import signature
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from universal_style import cli
from universal_style.contenders import OPTION_KINDS, Contender
from universal_style.errors import InputError, OptionError, UniversalStyleError
from universal_style.evaluation import (
    Judge,
    Score,
    Summary,
    as_json,
    as_table,
    draw_scatter,
    evaluate,
    pairs_in,
    unpaired,
)
from universal_style.images import Image
from universal_style.methods import METHODS
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.request import Request


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
    with pytest.raises(OptionError, match=r"wct,levels=2\+1 for a list"):
        Contender.of("wct,levels=2,1")
    assert [contender.name for contender in Contender.all_of(["wct", "wct,levels=1"])] == ["wct", "wct,levels=1"]
    with pytest.raises(OptionError, match="wct is given twice"):
        Contender.all_of(["wct", "gatys", "wct"])


def test_pictures_without_a_counterpart_are_named(folder):
    assert unpaired(folder) == ["3"]
    Pillow.new("RGB", (8, 8)).save(folder / "content" / "alone.png")
    assert unpaired(folder) == ["3", "alone"]


def test_what_programs_hide_in_folders_is_no_pair(folder):
    for part in ("content", "style", "ready"):
        for name in (".DS_Store", "._1.png", "Thumbs.db"):
            (folder / part / name).write_bytes(b"hidden")
    assert [pair.name for pair in pairs_in(folder)] == ["1", "2"]
    ready = [Contender.of(f"ready={folder / 'ready'}")]
    assert [event.pair for event in evaluate(ready, pairs_in(folder), folder / "out") if isinstance(event, Score)] == [
        "1"
    ]


def test_every_option_of_a_method_can_be_written_in_a_word():
    takers = [Request.of, *(method.recipe for method in METHODS.values())]
    options = {name for taker in takers for name in signature(taker).parameters} - {"method", "styles", "own"}
    assert set(OPTION_KINDS) == options | {"masks", "decoders"}


def test_options_are_read_as_what_they_are():
    given = Contender.of("wct,observe-size=512,workers=2,keep-colors=luminance,semantic_regions=no")
    assert given.options == {
        "observe_size": 512,
        "workers": 2,
        "keep_colors": "luminance",
        "semantic_regions": False,
    }
    assert Contender.of("gatys,preview_every=10").options == {"preview_every": 10}
    with pytest.raises(OptionError, match="'maybe' in .* is no value for semantic-regions"):
        Contender.of("wct,semantic-regions=maybe")
    with pytest.raises(OptionError, match="'styles' in .* is no option; use one of alpha, .*observe-size"):
        Contender.of("wct,styles=2")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "wct,levels=1", "-m", "photowct"], "method 'photowct' is unknown; use one of wct, "),
        (["-m", "wct", "--dtype", "float16", "--device", "cpu"], "float16 is too slow and too narrow on a CPU"),
        (["-m", "wct,levels=1", "-m", "gatys,levels=1"], "method gatys has no option levels"),
        (["-m", "wct,levels=1", "-m", "wct,alpha=2"], "alpha 2 is out of range"),
        (["-m", "wct,levels=1", "-m", "wct,auto-regions=3"], "wct,auto-regions=3 finds regions where there are masks"),
        (["-m", "wct,decoders=nowhere"], "decoders nowhere in wct,decoders=nowhere is not a folder"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_runs(folder, command_line, arguments, said):
    code, output = command_line("evaluate", folder, "-o", folder / "out", "-q", *arguments)
    assert (code, output.err.count("\n")) == (2, 1)
    assert output.err.startswith(f"universal-style: {said}")
    assert not (folder / "out" / "results").exists()


def test_a_file_where_results_belong_is_told(folder, command_line):
    (folder / "out").mkdir()
    (folder / "out" / "results").touch()
    code, output = command_line("evaluate", folder, "-o", folder / "out", "-q", "-m", "wct,levels=1")
    assert (code, output.err.count("\n")) == (1, 1)
    assert f"output folder {folder / 'out' / 'results' / 'wct,levels=1'} cannot be made" in output.err


def test_a_net_brings_its_style_and_takes_no_masks(folder):
    save_net(folder / "net.safetensors", TransformNet(), {"style": "noise"})
    events = list(evaluate([Contender.of(str(folder / "net.safetensors"))], pairs_in(folder), folder / "out", "cpu"))
    assert [event.pair for event in events if isinstance(event, Score)] == ["1", "2"]


def test_what_a_judge_remembers_is_bound(cat, ducks):
    few, many = Judge(most=3 * 2**20), Judge()
    content, style = Image.of(cat), Image.of(ducks)
    result = Image.of(cat.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT))
    scores = [[judge.score("c", name, content, style, result, None) for name in "aba"] for judge in (few, many)]
    assert scores[0] == scores[1]
    assert (set(few._styles), set(many._styles)) == ({"a"}, {"a", "b"})
    assert len(many._contents) == 2
    held = [part.scatter for moments in few._styles.values() for part in moments]
    assert sum(t.nbytes for t in held) + sum(c.nbytes for c in few._contents.values()) <= 3 * 2**20


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


def test_a_killed_process_is_told_of(folder):
    pair, _ = pairs_in(folder)
    done = threading.Event()

    def kill():
        while not done.wait(0.05):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):  # it may be dead already
                    if any("spawn_main" in word for word in child.cmdline()):
                        child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(UniversalStyleError, match=f"carried {pair.name} by wct was killed"):
            list(evaluate([Contender.of("wct")], [pair], folder / "out"))
    finally:
        done.set()
        killer.join()


def test_an_interruption_is_for_the_parent_to_tell(folder):
    events = evaluate([Contender.of("wct,levels=1")], pairs_in(folder), folder / "out", "cpu", "float32")
    next(events)
    (worker,) = (c for c in psutil.Process().children() if any("spawn_main" in word for word in c.cmdline()))
    worker.send_signal(signal.SIGINT)
    assert [event.pair for event in events if isinstance(event, Score)] == ["2"]


def test_a_signal_ends_the_process_of_a_method_too(folder):
    asked = ["-m", "gatys,scales=1,iterations=1000000,preview=look.png,preview-every=1", "--device", "cpu"]
    command = [sys.executable, "-m", "universal_style", "evaluate", ".", "-o", "out"]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    with subprocess.Popen(
        [*command, *asked], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not (folder / "look.png").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=60)[1]
    assert (process.returncode, told) == (143, "universal-style: terminated; every file that is there is whole\n")
    assert not list(folder.rglob("*.partial"))


def test_a_folder_without_a_result_of_the_pairs_is_told_before_anything_runs(folder, command_line):
    (folder / "ready" / "1.png").rename(folder / "ready" / "one.png")
    code, output = command_line("evaluate", folder, "-o", folder / "out", "-q", "-m", "wct", "-m", f"b={folder}/ready")
    assert (code, output.err.count("\n")) == (1, 1)
    assert "ready holds no result of the pairs; give a folder with results named like their pairs" in output.err
    assert not (folder / "out" / "results").exists()


def test_results_of_another_shape_are_refused(folder):
    Pillow.new("RGB", (50, 50)).save(folder / "ready" / "1.png")
    with pytest.raises(InputError, match="results need the shape of their content"):
        list(evaluate([Contender.of(f"ready={folder / 'ready'}")], pairs_in(folder), folder / "out"))
