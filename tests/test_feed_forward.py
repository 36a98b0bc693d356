import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

from universal_style.demo import PICTURES
from universal_style.devices import Backend
from universal_style.errors import CheckpointError, OptionError
from universal_style.networks.checkpoints import bundled_folder
from universal_style.networks.feed_forward import TransformNet, load_net, save_net
from universal_style.stylizer import Stylizer
from universal_style.training.feed_forward import FeedForwardPlan, train_feed_forward

CPU = torch.device("cpu")
OPTIONS = {
    "steps": 4,
    "batch": 2,
    "side": 64,
    "style_size": 96,
    "content_weight": 0.3,
    "tv_weight": 1.0,
    "learning_rate": 1e-3,
    "measure_every": 2,
    "workers": 0,
    "resume": True,
    "device": "cpu",
    "dtype": "float32",
    "seed": 0,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for path in PICTURES.glob("*.jpg"):
        Pillow.open(path).resize((120, 90)).save(folder / path.name)
    return folder


def plan(photos, output, **options):
    style = PICTURES / "kandinsky-composition-viii-1923.jpg"
    return FeedForwardPlan.of(style=style, photos=[photos], output=output, **(OPTIONS | options))


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    output = tmp_path_factory.mktemp("net") / "kandinsky.safetensors"
    return output, list(train_feed_forward(plan(photos, output)))


def test_training_reports_and_writes(trained):
    output, reports = trained
    assert [r.phase for r in reports] == ["train", "train", "measure"] * 2
    assert set(reports[-1].loss) == {"style", "content", "tv"}
    names = {path.name for path in output.parent.iterdir()}
    assert names == {"kandinsky.safetensors", "kandinsky.state", "kandinsky.sample.png", "kandinsky.curve.png"}
    _, checkpoint = load_net(output)
    assert checkpoint.metadata["style"] == "kandinsky-composition-viii-1923.jpg"
    assert checkpoint.metadata["steps"] == "4"
    with Pillow.open(output.with_suffix(".sample.png")) as sample:
        assert sample.size == (128, 64)


def test_a_stopped_training_goes_on_to_the_same_net(trained, photos, tmp_path):
    output = tmp_path / "net.safetensors"
    run = train_feed_forward(plan(photos, output))
    for _ in range(3):
        next(run)  # stopped after the first save
    run.close()
    assert not output.exists()
    reports = list(train_feed_forward(plan(photos, output)))
    assert reports[0].done == 3
    one, other = (load_file(path) for path in (trained[0], output))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_scale_of_the_loss_goes_on_where_it_was(trained, photos, tmp_path, monkeypatch):
    before = torch.load(trained[0].with_suffix(".state"), weights_only=True)
    assert before["scaler"] == {}  # none in float32
    scale = {"scale": 2.0**20, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000}
    torch.save(before | {"step": 3, "scaler": scale | {"_growth_tracker": 7}}, tmp_path / "net.state")
    monkeypatch.setattr("universal_style.training.feed_forward.backend_named", lambda *_: Backend(CPU, torch.float16))
    list(train_feed_forward(plan(photos, tmp_path / "net.safetensors")))
    after = torch.load(tmp_path / "net.state", weights_only=True)["scaler"]
    assert (after["scale"], after["_growth_tracker"]) in ((2.0**20, 8), (2.0**19, 0))  # one more step, or one skipped


def test_training_lowers_the_loss(photos, tmp_path):
    reports = list(train_feed_forward(plan(photos, tmp_path / "net.safetensors", steps=24, measure_every=12)))
    losses = [sum(r.loss.values()) for r in reports if r.phase == "train"]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("size", [(1, 1), (37, 22), (64, 48)])
def test_the_trained_file_is_a_method(trained, cat, size):
    stylizer = Stylizer(str(trained[0]), device="cpu")
    picture, report = stylizer.run(cat.resize(size))
    assert (picture.width, picture.height) == size
    assert report.method == "kandinsky.safetensors"
    assert set(report.checkpoints) == {"kandinsky.safetensors"}


def test_it_takes_neither_styles_nor_regions(trained, cat, ducks):
    stylizer = Stylizer(str(trained[0]), device="cpu")
    with pytest.raises(OptionError, match="holds its own style; give no style"):
        stylizer.transfer(cat, ducks)
    with pytest.raises(OptionError, match="give no regions"):
        stylizer.transfer(cat, content_mask=cat)
    with pytest.raises(OptionError, match=r"has no option alpha; its own are none"):
        stylizer.transfer(cat, alpha=0.5)


def bad_files(folder):
    net = TransformNet()
    (folder / "text.safetensors").write_text("no tensors")
    save_net(folder / "nan.safetensors", net, {})
    stored = load_file(folder / "nan.safetensors")
    save_file(
        stored | {"last.bias": torch.full((3,), float("nan"))},
        folder / "nan.safetensors",
        {"kind": "universal-style feed-forward", "version": "1"},
    )
    stored.pop("last.bias")
    save_file(stored, folder / "part.safetensors", {"kind": "universal-style feed-forward", "version": "1"})
    save_file(stored, folder / "old.safetensors", {"kind": "universal-style feed-forward", "version": "0"})
    return {
        "missing.safetensors": "does not exist",
        "text.safetensors": "is not a readable safetensors file",
        "nan.safetensors": "numbers that are not finite",
        "part.safetensors": "does not hold the parameters of a net",
        "old.safetensors": "needed is a net of this version",
    }


def test_bad_files_are_refused(cat, tmp_path):
    for name, message in bad_files(tmp_path).items():
        with pytest.raises(CheckpointError, match=message):
            Stylizer(str(tmp_path / name), device="cpu").transfer(cat)
    save_net(tmp_path / "net.safetensors", TransformNet(), {})
    with pytest.raises(OptionError, match="does not compute in bfloat16; use --dtype auto or float32"):
        Stylizer(str(tmp_path / "net.safetensors"), device="cpu", dtype="bfloat16")
    with pytest.raises(OptionError, match="give no regions with it"):
        Stylizer(str(tmp_path / "net.safetensors"), device="cpu").run(cat, style_masks=[cat])
    with pytest.raises(CheckpointError, match="holds decoder, needed is a net"):
        Stylizer(str(bundled_folder() / "decoder-nearest-relu1_1.safetensors"), device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps 0 is out of range"),
        ({"side": 70}, "side 70 does not do"),
        ({"content_weight": -1.0}, "content-weight -1 is out of range"),
        ({"learning_rate": 0.0}, "learning-rate 0 is out of range"),
        ({"style_size": -5}, "style-size -5 is out of range"),
        ({"style_size": 0}, "style-size 0 is out of range"),
        ({"seed": 1 << 64}, "seed 18446744073709551616 is out of range"),
    ],
)
def test_a_bad_option_is_refused(photos, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        plan(photos, tmp_path / "net.safetensors", **options)


def test_no_picture_that_is_learned_from_is_written_over(photos, tmp_path):
    for name in ("monet.png", "monet.sample.png", "monet.curve.png"):
        (tmp_path / name).write_bytes((PICTURES / "hashiguchi-ducks.jpg").read_bytes())
    output = tmp_path / "monet.safetensors"
    options = {"photos": [photos], "output": output, **OPTIONS, "steps": 1, "batch": 1, "measure_every": 1}
    for name in ("monet.sample.png", "monet.curve.png"):
        with pytest.raises(OptionError, match=f"output .*{name} is one of the pictures to learn from"):
            FeedForwardPlan.of(style=tmp_path / name, **options)
        (tmp_path / name).unlink()
    style = tmp_path / "monet.png"
    before = style.read_bytes()
    list(train_feed_forward(FeedForwardPlan.of(style=style, **options)))
    assert style.read_bytes() == before
    assert (tmp_path / "monet.sample.png").exists()
    with pytest.raises(OptionError, match="lies in .*, which is learned from"):
        plan(photos, photos / "net.safetensors")


def test_a_state_of_another_style_or_a_damaged_one_is_refused(trained, photos, tmp_path):
    output = tmp_path / "net.safetensors"
    saved = torch.load(trained[0].with_suffix(".state"), weights_only=True)
    torch.save(saved | {"style": "other.jpg"}, output.with_suffix(".state"))
    with pytest.raises(CheckpointError, match="trains other.jpg"):
        next(train_feed_forward(plan(photos, output)))
    output.with_suffix(".state").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is not a readable training state"):
        next(train_feed_forward(plan(photos, output)))


def test_a_state_of_other_options_is_refused(trained, photos, tmp_path):
    output, style = tmp_path / "net.safetensors", tmp_path / "kandinsky-composition-viii-1923.jpg"
    saved = torch.load(trained[0].with_suffix(".state"), weights_only=True)
    torch.save(saved, tmp_path / "net.state")
    with pytest.raises(CheckpointError, match=r"content-weight 0.3, not 1; seed 0, not 7; give the same, --no-resume"):
        next(train_feed_forward(plan(photos, output, content_weight=1.0, seed=7)))
    style.write_bytes((PICTURES / "hashiguchi-ducks.jpg").read_bytes())
    other = FeedForwardPlan.of(style=style, photos=[photos], output=output, **OPTIONS)
    with pytest.raises(CheckpointError, match=rf"style {style.name} of SHA-256 \w+, not {style.name} of SHA-256"):
        next(train_feed_forward(other))
    assert not output.exists()
    list(train_feed_forward(plan(photos, output, steps=5, measure_every=1)))  # these may change
    saved.pop("options")  # as states were once
    torch.save(saved, tmp_path / "net.state")
    list(train_feed_forward(plan(photos, output)))


def test_the_command_line(photos, tmp_path, monkeypatch, command_line, cat):
    monkeypatch.chdir(tmp_path)
    cat.save("cat.png")

    def call(*arguments):
        code, output = command_line(*arguments)
        return code, output.err

    style = PICTURES / "morisot-hollyhocks-1884.jpg"
    code, told = call(
        "train", "feed-forward", style, "-o", "net.safetensors", "--photos", photos, "--steps", 1, "--batch", 1,
        "--side", 64, "--style-size", 64, "--workers", 0, "--device", "cpu",
    )  # fmt: skip
    assert (code, told.splitlines()[-1][:15]) == (0, "net.safetensors")
    code, _ = call("transfer", "cat.png", "-o", "out.png", "-m", "net.safetensors", "--json", "report.json")
    assert code == 0
    with open("report.json") as file:
        assert json.load(file)["method"] == "net.safetensors"
    code, told = call("transfer", "cat.png", "-o", "out.png", "-m", "wct")
    assert (code, told) == (2, "universal-style: no style given; give at least one style picture or preset\n")
    code, told = call("transfer", "cat.png", style, "-o", "o.png", "-m", "gatys", "--iterations", 2, "--size", 40,
                      "--style-layers", "relu1_1,relu2_1=0.5", "--init", "noise", "--pooling", "average")  # fmt: skip
    assert code == 0
    code, told = call("compare", "cat.png", style, "-o", "compared", "-m", "wct,levels=1", "-m", "gatys,iterations=2",
                      "--size", 48, "--device", "cpu")  # fmt: skip
    assert code == 0
    names = {path.name for path in (tmp_path / "compared").iterdir()}
    assert names == {"wct,levels=1.png", "gatys,iterations=2.png", "sheet.png", "losses.png", "report.json"}
