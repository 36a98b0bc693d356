"""Every option of `transfer` goes through its report and back, to the same picture bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image as Pillow
from torchvision.models import vgg19
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from universal_style import cli
from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.networks.checkpoints import bundled_folder
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.regions import Segmenter
from universal_style.repetition import differences, read_report, repeated
from universal_style.stylizer import Stylizer

CASES = {
    "closed form": "cat.png ducks.png --alpha 0.9,0.3 --levels 3,1 --transform cholesky --covariance-floor 0.3 "
    "--size 60 --style-size 70",
    "one alpha, precision": "cat.png ducks.png --method photo-wct --alpha 0.7 --levels 1 --dtype bfloat16 --device cpu",
    "sites": "cat.png ducks.png -m wct2 --levels 3,2 --sites skip,decoder --smooth guided",
    "weights": "cat.png ducks.png cat.png other.png --style-weights 3,5,1.7 --mix statistics --levels 1",
    "masks": "cat.png ducks.png --content-mask halves.png --style-mask ducks-mask.png --missing keep --levels 2",
    "masks of two": "cat.png ducks.png other.png --content-mask halves.png --style-mask ducks-mask.png "
    "--style-mask other-mask.png --levels 1",
    "style regions": "cat.png ducks.png other.png --content-mask halves.png --style-regions red,#0000ff --levels 1",
    "found regions": "cat.png ducks.png --auto-regions 3 --seed 4 --levels 1 --missing nearest",
    "semantic regions": "cat.png ducks.png --semantic-regions --levels 1",
    "windows": "cat.png ducks.png --tile 64 --observe-size 50 --levels 1",
    "workers": "cat.png ducks.png --workers 2 --address localhost:1 --levels 1",  # one window, so no worker is asked
    "memory": "cat.png ducks.png --memory 2GiB --levels 1",
    "colours": "cat.png ducks.png --keep-colors luminance-only --levels 1",
    "decoders": "cat.png ducks.png --decoders decoders --levels 1",
    "preset": "cat.png ducks.safetensors --levels 2 --keep-colors luminance",
    "net": "cat.png -m net.safetensors",
    "gatys": "cat.png ducks.png -m gatys --iterations 2 --optimizer adam --init style --style-layers relu1_1=3,relu2_1 "
    "--content-layers relu2_2 --content-weight 0.3 --tv-weight 0.1 --pooling average --scales 2 "
    "--preview look.png --preview-every 2 --size 48",
    "noise": "cat.png ducks.png -m gatys --iterations 2 --init noise --seed 5 --size 40 --encoder torchvision "
    "--scales 1",
    "deep-photo": "cat.png ducks.png -m deep-photo --iterations 2 --photorealism-weight 10 --scales 1 --size 48 "
    "--style-layers relu1_1=0.1,relu2_1=0.7,relu3_1=0.3 --content-layers relu2_2",
}
BESIDE_THE_PICTURE = {"most_megapixels", "output", "report", "explain", "lut", "quiet"}
"""Parameters that do not change the picture."""


def transfer_command():
    return typer.main.get_command(cli.app).commands["transfer"]


@pytest.fixture
def folder(tmp_path, monkeypatch, cat, ducks):
    """Work in a folder with all that the cases need."""
    monkeypatch.chdir(tmp_path)
    cat.resize((64, 48)).save("cat.png")
    ducks.resize((72, 48)).save("ducks.png")
    ducks.resize((48, 60)).rotate(180).save("other.png")
    for name, size in (("halves", (64, 48)), ("ducks-mask", (72, 48)), ("other-mask", (48, 60))):
        labels = np.zeros((size[1], size[0], 3), np.uint8)
        labels[:, : size[0] // 3, 0] = labels[:, size[0] // 3 :, 2] = 255
        Pillow.fromarray(labels).save(f"{name}.png")
    return tmp_path


@pytest.fixture
def _networks(folder, request, monkeypatch, stylizer):
    """Make what a case needs beside pictures; networks that would be fetched have random numbers."""
    case = request.node.callspec.params["case"]
    if case == "preset":
        stylizer.observe(folder / "ducks.png").save(folder / "ducks.safetensors")
    if case == "decoders":
        (folder / "decoders").mkdir()
        for path in (bundled_folder() / "SHA256SUMS", *bundled_folder().glob("decoder-nearest-relu1*")):
            (folder / "decoders" / path.name).symlink_to(path)
    if case == "net":
        save_net(folder / "net.safetensors", TransformNet(), {"style": "noise"})
    if case == "semantic regions":
        network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
        monkeypatch.setattr(Segmenter, "pretrained", lambda device: Segmenter(network))
    if case == "noise":
        network = vgg19(weights=None)
        monkeypatch.setattr("torchvision.models.vgg19", lambda **_: network)


def test_the_table_has_every_option():
    options = {name: option for option in transfer_command().params for name in option.opts}
    used = {options[word].name for case in CASES.values() for word in case.split() if word.startswith("-")}
    every = {option.name for option in transfer_command().params if option.param_type_name == "option"}
    assert used == every - BESIDE_THE_PICTURE


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize("case", CASES)
def test_an_option_goes_through_the_report(folder, command_line, case):
    code, _ = command_line("transfer", *CASES[case].split(), "-o", "one.png", "--json", "report.json", "-q")
    assert code == 0
    told = json.loads((folder / "report.json").read_text())
    again, report = Stylizer(**told["stylizer"]).run(
        told["content"],
        *told["styles"],
        content_mask=told["content_mask"],
        style_masks=told["style_masks"],
        **told["options"],
    )
    again.write("two.png")
    one, two = (np.asarray(Pillow.open(name)) for name in ("one.png", "two.png"))
    assert np.array_equal(one, two)
    assert report.options == told["options"]
    assert report.stylizer == told["stylizer"]
    assert not differences(told, report)


def test_a_picture_that_has_changed_is_told(command_line, folder, rng):
    Pillow.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(folder / "changing.png")
    transfer = ("transfer", "changing.png", "changing.png", "-o", "changed.png", "--levels", "1", "--json", "said.json")
    assert command_line(*transfer, "-q")[0] == 0
    assert "another file" not in command_line("repeat", "said.json", "-o", "same.png")[1].err
    Pillow.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(folder / "changing.png")
    assert "changing.png is another file than it was" in command_line("repeat", "said.json", "-o", "other.png")[1].err
    code, said = command_line("repeat", "said.json", "-o", "changing.png")
    assert (code, "changing.png is read, too" in said.err) == (2, True)


@pytest.mark.parametrize("weights", [(3, 5, 1.7), (0.1, 0.2, 0.7), (1, 1, 1), (1e-9, 3, 7)])
def test_weights_of_styles_sum_to_one_and_stay(stylizer, cat, ducks, weights):
    small = cat.resize((32, 32))
    _, report = stylizer.run(small, ducks, cat, ducks, style_weights=weights, levels=[1])
    assert sum(report.options["style_weights"]) == pytest.approx(1, abs=1e-12)
    _, again = stylizer.run(small, ducks, cat, ducks, style_weights=report.options["style_weights"], levels=[1])
    assert again.options["style_weights"] == report.options["style_weights"]


def test_the_command_repeats_a_report(folder, command_line):
    asked = "transfer cat.png ducks.png -o one.png --levels 1 --alpha 0.4 --json report.json"
    assert command_line(*asked.split())[0] == 0
    told = json.loads((folder / "report.json").read_text())
    told["versions"]["torch"] = "1.0"
    (folder / "report.json").write_text(json.dumps(told))
    code, output = command_line("repeat", "report.json", "-o", "two.png")
    assert code == 0
    assert np.array_equal(Image.of("one.png").pixels, Image.of("two.png").pixels)
    assert ", was 1.0\n" in output.err


def test_a_picture_in_memory_cannot_be_found_again(stylizer, cat, ducks, tmp_path):
    _, report = stylizer.run(cat, ducks, levels=[1])
    (tmp_path / "report.json").write_text(json.dumps(vars(report)))
    with pytest.raises(InputError, match="tells of a picture that was in no file"):
        read_report(tmp_path / "report.json")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "it lacks stylizer"), ('{"stylizer": {}}', "it lacks content")]
)
def test_what_is_no_report_is_refused(tmp_path, text, message):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_report(tmp_path / "report.json")
    with pytest.raises(InputError, match="does not exist"):
        read_report(tmp_path / "no.json")


def test_a_report_of_python_is_repeated_too(folder, stylizer):
    picture, report = stylizer.run("cat.png", "ducks.png", levels=[1])
    again, _ = repeated(json.loads(json.dumps(vars(report))))
    assert np.array_equal(picture.pixels, again.pixels)


def written(report):
    with open("report.json", "w") as file:
        json.dump(report, file)
    return read_report(Path("report.json"))


def test_a_report_is_in_touch_with_nobody(folder, stylizer, monkeypatch):
    options = {"levels": [1], "tile": 32}
    picture, report = stylizer.run("cat.png", "ducks.png", **options)
    told = json.loads(json.dumps(vars(report)))
    told["options"] |= {"workers": 2, "address": "stranger.example:6379"}
    asked = []
    monkeypatch.setattr("universal_style.drivers.ray_crew.session", lambda *given: asked.append(given))
    again, made = repeated(written(told))
    assert not asked
    assert np.array_equal(picture.pixels, again.pixels)
    assert made.options["address"] is None


def test_the_preview_of_a_report_need_not_be_writable(folder, stylizer):
    _, report = Stylizer("gatys", device="cpu").run("cat.png", "ducks.png", iterations=1, size=32)
    told = json.loads(json.dumps(vars(report)))
    told["options"] |= {"preview": "/nowhere/look.png"}
    repeated(written(told))


def test_a_mask_in_memory_cannot_be_found_again(folder, stylizer):
    mask = np.asarray(Pillow.open("halves.png"))
    _, report = stylizer.run("cat.png", "ducks.png", content_mask=mask, levels=[1])
    assert len(report.regions) > 1
    with pytest.raises(InputError, match="tells of 2 regions whose mask was in no file"):
        written(vars(report))
    for options in ({"content_mask": "halves.png", "style_masks": ["ducks-mask.png"]}, {"auto_regions": 2}):
        _, report = stylizer.run("cat.png", "ducks.png", levels=[1], **options)
        assert len(report.regions) > 1
        written(vars(report))
