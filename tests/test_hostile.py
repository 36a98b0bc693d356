"""Files that want to do harm: each is read, or refused in one line."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutants import TARGETS, deep_tiffs, mutant
from PIL import Image as Pillow
from safetensors.torch import save

from universal_style.errors import CheckpointError, InputError, OptionError, UniversalStyleError
from universal_style.images import Image
from universal_style.networks import feed_forward
from universal_style.networks.checkpoints import encoder_digest, read_checkpoint, sha256, write_checkpoint
from universal_style.pretrained import KIND, VERSION
from universal_style.repetition import read_report, repeated
from universal_style.styles import PRESET_KIND, PRESET_VERSION, Style
from universal_style.stylizer import Stylizer

HOSTILE = Path(__file__).parent / "data" / "hostile"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr(feed_forward, "WIDTHS", (2, 3, 4))
    monkeypatch.setattr(feed_forward, "RESIDUALS", 1)
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1_000_000)  # so that what unpacks to much is quick to refuse


def read_or_refused(target, data, folder):
    refused = []
    try:
        return target.read(data, folder)
    except UniversalStyleError as error:
        refused.append(error)
    assert "\n" not in str(refused[0])
    return refused[0]


@pytest.mark.parametrize("path", sorted(HOSTILE.iterdir()), ids=lambda path: path.name)
def test_what_once_did_harm(path, tmp_path):
    target = TARGETS[path.name.split("-")[0]]
    came = read_or_refused(target, path.read_bytes(), tmp_path)
    assert isinstance(came, UniversalStyleError | Image)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.randoms(use_true_random=False), number=st.integers(0, 20))
def test_a_spoilt_file_is_read_or_refused_in_one_line(name, tmp_path, chance, number):
    target, seeds = TARGETS[name], TARGETS[name].seeds()
    read_or_refused(target, target.mend(mutant(chance, seeds[number % len(seeds)], seeds)), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_a_sound_file_is_read(name, tmp_path):
    target = TARGETS[name]
    assert not isinstance(read_or_refused(target, target.seeds()[0], tmp_path), UniversalStyleError)


@pytest.mark.parametrize("name", TARGETS)
def test_a_file_that_is_cut_off_anywhere(name, tmp_path):
    target = TARGETS[name]
    data = target.seeds()[0]
    for length in range(1, len(data), max(1, len(data) // 12)):
        read_or_refused(target, target.mend(data[:length]), tmp_path)


def test_a_tiff_whose_tiles_are_huge_is_refused_before_they_are_made(tmp_path):
    data = bytearray(deep_tiffs()[4])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name in ("TileWidth", "TileLength"):
            tag = file.pages[0].tags[name]
            assert tag.value == 16
            data[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", 65520)
    (tmp_path / "tiles.tif").write_bytes(data)
    with pytest.raises(InputError, match="unpacks to more than|cannot be read"):
        Image.of(tmp_path / "tiles.tif")


def test_of_several_deep_pages_the_first_is_read(tmp_path):
    pages = np.stack([np.full((6, 8), value, np.uint16) for value in (10_000, 20_000, 30_000)])
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    image = Image.of(tmp_path / "pages.tif")
    assert image.pixels.shape == (6, 8, 3)
    np.testing.assert_allclose(image.pixels * 65535, 10_000, rtol=1e-5)


@pytest.mark.parametrize("scales", [torch.ones(7), torch.ones(64, 2)], ids=["too few", "too many"])
def test_a_network_with_other_scales_than_channels_is_refused(tmp_path, scales):
    stored = {"conv1_1.weight": torch.zeros(64, 3, 3, 3, dtype=torch.int8), "conv1_1.weight.scale": scales}
    write_checkpoint(tmp_path, "net", stored, {})
    with pytest.raises(CheckpointError, match="scales for conv1_1.weight, needed is one per channel"):
        read_checkpoint(tmp_path, "net")


def test_a_picture_that_is_a_program_is_not_run(tmp_path):
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(InputError, match="not a picture in a known format"):
        Image.of(tmp_path / "a.eps")


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(InputError, match="File name too long"):
        Image.of(tmp_path / ("a" * 300))
    with pytest.raises(InputError):
        Image.of(str(tmp_path / "a\0b"))


def test_a_lazy_picture_of_pillow_that_is_damaged(tmp_path):
    whole = io.BytesIO()
    Pillow.effect_noise((64, 64), 90).save(whole, "PNG")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        Image.of(Pillow.open(io.BytesIO(whole.getvalue()[:600])))


@pytest.mark.parametrize(
    "tensors",
    [
        {"max/relu1_1.mean": torch.zeros(200_000, dtype=torch.uint8)},
        {"max/relu1_1.mean": torch.zeros(3)},
        {"max/relu9_1.mean": torch.zeros(64)},
        {"max/relu1_1.scatter": torch.zeros(1)},
        {"max/relu1_1.count": torch.tensor(-1.0)},
        {"max/relu1_1.mean": torch.zeros(64, dtype=torch.complex64)},
        {"max/relu1_1.mean": torch.full((64,), torch.inf)},
        {"max/relu1_1.scatter": torch.full((64 * 65 // 2,), 1e300, dtype=torch.float64)},
        {"": torch.zeros(64)},
    ],
    ids=lambda tensors: " ".join(tensors),
)
def test_a_preset_of_another_shape_is_refused_before_anything_is_made_of_it(tensors, tmp_path):
    whole = {"count": torch.tensor(5.0), "mean": torch.zeros(64), "scatter": torch.zeros(64 * 65 // 2)}
    site = next(iter(tensors)).partition(".")[0]
    facts = {"kind": PRESET_KIND, "version": PRESET_VERSION, "encoder": encoder_digest()}
    stored = {f"{site}.{part}": value for part, value in whole.items()} | tensors
    (tmp_path / "a.safetensors").write_bytes(save(stored, facts))
    with pytest.raises(InputError, match="does not hold the moments|not finite, or none of a picture's"):
        Style.load(tmp_path / "a.safetensors")


@pytest.fixture
def told(stylizer, cat, ducks, tmp_path):
    cat.save(tmp_path / "cat.png")
    ducks.save(tmp_path / "ducks.png")
    _, report = stylizer.run(tmp_path / "cat.png", tmp_path / "ducks.png", levels=[1], size=32)
    return json.loads(json.dumps(vars(report)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("stylizer",), []), (("stylizer", "method"), 3), (("stylizer", "witness"), "x"), (("styles",), "ducks.png"),
        (("styles",), [3]), (("content",), {}), (("options",), None), (("options", "method"), "wct"),
        (("options", "alpha"), "x"), (("options", "levels"), 3), (("options", "smooth"), []),
        (("options", "seed"), 2**70), (("options", "seed"), "0"), (("options", "size"), "big"),
        (("options", "style_weights"), ["a"]), (("versions",), 0), (("checkpoints",), ["a"]),
    ],
)  # fmt: skip
def test_a_report_with_something_else_in_a_place_is_refused(told, place, value, tmp_path):
    *way, last = place
    inner = told
    for step in way:
        inner = inner[step]
    inner[last] = value
    (tmp_path / "report.json").write_text(json.dumps(told))
    with pytest.raises(InputError):
        read_report(tmp_path / "report.json")


def test_a_report_that_is_nested_without_end(tmp_path):
    (tmp_path / "report.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        read_report(tmp_path / "report.json")


def test_what_is_repeated_writes_no_preview(told, tmp_path):
    told["stylizer"]["method"] = "gatys"
    told["options"] = {
        "iterations": 2,
        "size": 32,
        "scales": 1,
        "preview": str(tmp_path / "cat.png"),
        "preview_every": 1,
    }
    before = (tmp_path / "cat.png").read_bytes()
    repeated(told)
    assert (tmp_path / "cat.png").read_bytes() == before


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_that_is_none(stylizer, cat, ducks, seed):
    with pytest.raises(OptionError, match="is out of range"):
        stylizer.run(cat, ducks, seed=seed)


GIVEN = {
    "method": lambda path, cat, ducks: Stylizer(str(path)).transfer(cat),
    "style": lambda path, cat, ducks: Stylizer().transfer(cat, path),
    "decoders": lambda path, cat, ducks: Stylizer(decoders=path.parent).transfer(cat, ducks, levels=[1]),
    "pretrained": lambda path, cat, ducks: Stylizer.from_pretrained(path.parent),
}


@pytest.mark.parametrize("file", ["a.pth", "a.safetensors", "decoder-nearest-relu1_1.safetensors"])
@pytest.mark.parametrize("place", GIVEN)
def test_a_pickle_is_refused_wherever_it_is_given(place, file, tmp_path, cat, ducks):
    """A pickle may run any program when it is loaded: one that would leave a file tells whether it was."""

    class Program:
        def __reduce__(self):
            return open, (str(tmp_path / "it ran"), "w")

    path = tmp_path / file
    torch.save(Program(), path)
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(path)}  {file}\n")
    config = {"method": file, "dtype": "auto", "encoder": encoder_digest(), "versions": {}}
    (tmp_path / "config.json").write_text(json.dumps(config | {"kind": KIND, "version": VERSION}))
    with pytest.raises(UniversalStyleError) as error:
        GIVEN[place](path, cat, ducks)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "it ran").exists()
    torch.load(path.rename(tmp_path / "it.pth"), weights_only=False).close()
    assert (tmp_path / "it ran").exists()  # as it would have
