"""The benchmarks start, and measure what they say."""

import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from universal_style.drivers.whole import carry

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "measuring")


@pytest.fixture
def opened(monkeypatch):
    """Open a script as a module, as Python does that runs it, without running it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def open_(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as error:
            pytest.skip(f"{name} needs {error.name}, which no extra of the package installs")
        return module

    yield open_
    for name in ("measuring", "memory"):
        sys.modules.pop(name, None)


@pytest.fixture
def pair(cat, ducks, tmp_path):
    paths = [tmp_path / "cat.png", tmp_path / "ducks.png"]
    for picture, path in zip((cat, ducks), paths, strict=True):
        picture.save(path)
    return paths


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_does(name, opened, monkeypatch, capsys):
    script = opened(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"usage: {name}.py")
    assert " ".join(script.__doc__.split()) in said


def test_steps_of_a_stage_make_up_its_time_and_its_picture(opened, pair):
    stages, measuring = opened("stages"), opened("measuring")
    fitted, task = measuring.ready("wct2", "float32", *pair)
    laps = measuring.Laps()
    with measuring.used() as usage:
        picture = stages.carried(fitted.stages[0], task.pixels, fitted.fit, task.regions, laps)
    assert list(laps.seconds) == ["encode", "moments", "fit", "roots", "maps", "decode"]
    assert sum(laps.seconds.values()) <= usage.seconds
    assert torch.equal(picture, carry(fitted.stages[0], task.pixels, fitted.fit, task.regions))


def test_stages_are_measured_one_after_the_other(opened, pair):
    rows = opened("stages").measure("wct", "float32", *pair, runs=1)
    assert [row["stage"] for row in rows] == ["relu5_1", "relu4_1", "relu3_1", "relu2_1", "relu1_1"]
    for row in rows:
        assert sum(row["shares"].values()) == pytest.approx(1, abs=0.01)
        assert row["shares"]["convolutions"] > 0


def test_operations_are_counted_from_shapes(opened):
    layer = torch.nn.Conv2d(4, 8, 3)
    features = torch.rand(1, 4, 12, 10)
    with torch.inference_mode():
        found = opened("roofline").counted(
            lambda: layer(features).relu_()[:, :2].permute(0, 2, 3, 1) @ torch.rand(2, 5)
        )
    conv, relu, product, _ = sorted(found, key=lambda key: -key[2])
    assert conv == ("float32", 2 * 8 * 10 * 8 * 4 * 9, 4 * (4 * 12 * 10 + 8 * 4 * 9 + 8 + 8 * 10 * 8))
    assert {relu, product} >= {("float32", 0, 4 * 2 * 8 * 10 * 8)}
    assert sum(work for _, work, _ in found) == conv[1] + 2 * 10 * 8 * 2 * 5
    batch = torch.rand(3, 4, 5)
    with torch.inference_mode():
        ((_, work, _),) = opened("roofline").counted(lambda: torch.bmm(batch, batch.mT))
    assert work == 3 * 2 * 4 * 5 * 4
    shapes = features, layer.weight
    fused = "cudnn_convolution_relu", "cudnn_convolution_add_relu"
    for name in ("conv2d", "cudnn_convolution", *fused, "_nnpack_spatial_convolution"):
        assert opened("roofline").operations(name, shapes, layer(features)) == conv[1]


def test_memory_of_a_walk_is_measured_by_its_pixels(opened, pair):
    opened("memory")
    memory, measuring = map(importlib.import_module, ("memory", "measuring"))  # by names that a fresh process finds
    fresh = Namespace(threads=1, freed="kept")
    row = measuring.apart(fresh, memory.walk, "wct", {"levels": [2]}, "float32", (255, 301), pair[1])
    assert (row["pooling"], row["stage"], row["size"]) == ("nearest", "relu2_1", "255x301")
    assert 0 < row["bytes_per_pixel"] < 20_000  # so small a walk fits into what was freed before, in part
    assert row["footprint_mib"] == round(3000 * 256 * 302 / 2**20)


def test_ways_are_read_as_options(opened):
    scaling = opened("scaling")
    assert scaling.options_of("off") == {"tile": "off"}
    assert scaling.options_of("512") == {"tile": "512"}
    assert scaling.options_of("2GiB/1024") == {"memory": "2GiB", "observe_size": 1024}


def test_results_carry_the_date_and_the_machine(opened, tmp_path, monkeypatch, capsys):
    smoothing = opened("smoothing")
    written = tmp_path / "smoothing.json"
    words = ["--megapixels", "0.01", "--kinds", "guided", "--threads", "1", "-o", str(written)]
    monkeypatch.setattr(sys, "argv", ["smoothing.py", *words])
    monkeypatch.setattr(smoothing.measuring, "apart", lambda options, work, *arguments: work(*arguments))
    smoothing.main()
    facts = json.loads(written.read_text())
    assert facts["machine"]["torch"] == torch.__version__
    assert facts["machine"]["threads"] == 1
    assert facts["guided"][0]["size"] == "87x116"
    assert "| guided | 0.01 | 87x116 |" in capsys.readouterr().out
