import json
import shutil
import sys

import numpy as np
import pytest
import torch

from universal_style import CheckpointError, InputError, OptionError, OutputError, Stylizer
from universal_style.networks.feed_forward import TransformNet, save_net

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with photo-wct in float32."""
    folder = tmp_path_factory.mktemp("pretrained") / "photo"
    Stylizer("photo-wct", device="cpu", dtype="float32").save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_a_folder_gives_the_same_pictures(saved, cat, ducks):
    stylizer = Stylizer.from_pretrained(saved, device="cpu")
    plain = Stylizer("photo-wct", device="cpu", dtype="float32")
    options = {"smooth": "none", "levels": [2, 1]}
    result, report = stylizer.run(cat, ducks, **options)
    assert np.array_equal(result.pixels, plain.run(cat, ducks, **options)[0].pixels)
    assert report.stylizer["dtype"] == "float32"
    assert stylizer.loaded.folder == saved


def test_a_folder_holds_config_checkpoints_sums_and_card(saved):
    names = [f"decoder-index-relu{level}_1.safetensors" for level in (1, 2, 3, 4)]
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "SHA256SUMS", "config.json", *names]
    config = json.loads((saved / "config.json").read_text())
    assert (config["method"], config["dtype"]) == ("photo-wct", "float32")
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: universal-style\n")
    assert all(name in card for name in names)


def test_the_dtype_can_be_chosen_anew(saved):
    assert Stylizer.from_pretrained(saved, device="cpu", dtype="bfloat16").backend.dtype == torch.bfloat16


def test_a_trained_net_travels_in_a_folder(tmp_path, cat):
    save_net(tmp_path / "net.safetensors", TransformNet(), {})
    Stylizer(str(tmp_path / "net.safetensors"), device="cpu").save_pretrained(tmp_path / "folder")
    (tmp_path / "net.safetensors").unlink()
    stylizer = Stylizer.from_pretrained(tmp_path / "folder", device="cpu")
    assert stylizer.method.holds_style
    assert stylizer.transfer(cat).size == cat.size


def test_an_optimiser_needs_no_checkpoints(tmp_path):
    Stylizer("gatys", device="cpu").save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json"]
    assert Stylizer.from_pretrained(tmp_path, device="cpu").method.name == "gatys"


def test_a_file_where_the_folder_belongs_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="output folder .*file cannot be made"):
        Stylizer("gatys", device="cpu").save_pretrained(tmp_path / "file")


def swap(folder):
    shutil.copyfile(folder / "decoder-index-relu1_1.safetensors", folder / "decoder-index-relu2_1.safetensors")


def add_pickle_by_another_name(folder):
    torch.save({"weight": torch.zeros(1)}, folder / "extra.safetensors")


def rewrite(**facts):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | facts))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "cannot be read"),
        (lambda folder: (folder / "decoder-index-relu3_1.safetensors").unlink(), "is missing"),
        (swap, "damaged or swapped"),
        (add_pickle_by_another_name, "not listed"),
        (lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../secret\n"), "lies elsewhere"),
        (rewrite(kind="other"), "says other"),
        (rewrite(encoder="0" * 64), "another encoder"),
        (rewrite(method="../net.safetensors"), "neither a known method"),
        (rewrite(method=["wct"]), "neither a known method"),
    ],
)
def test_damaged_folders_end_with_one_line(copied, damage, words):
    damage(copied)
    with pytest.raises(CheckpointError, match=words) as error:
        Stylizer.from_pretrained(copied, device="cpu")
    assert "\n" not in str(error.value)


def test_a_damaged_decoder_is_not_handed_on(copied, tmp_path):
    swap(copied)
    with pytest.raises(CheckpointError, match="damaged or swapped"):
        Stylizer("photo-wct", device="cpu", decoders=copied).save_pretrained(tmp_path / "again")


def test_a_folder_without_the_methods_decoders_cannot_be_saved(saved, tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint of wct2"):
        Stylizer("wct2", device="cpu", decoders=saved).save_pretrained(tmp_path / "none")


@pytest.mark.parametrize("source", ["no-such-folder", "a/b/c", "./owner/name", "/owner/name"])
def test_what_is_no_folder_and_no_repository(source):
    with pytest.raises(InputError, match="is no folder; give one"):
        Stylizer.from_pretrained(source)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Forbid the hub to use the network; give its empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_repository_comes_from_the_cache_when_offline(saved, offline):
    repository = offline / "models--owner--photo"
    shutil.copytree(saved, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    stylizer = Stylizer.from_pretrained("owner/photo", device="cpu")
    assert stylizer.loaded.folder == repository / "snapshots" / COMMIT
    assert stylizer.method.name == "photo-wct"


def test_a_repository_that_cannot_be_fetched_ends_with_one_line(offline):
    with pytest.raises(InputError, match="owner/photo is no folder and cannot be fetched") as error:
        Stylizer.from_pretrained("owner/photo", device="cpu")
    assert "\n" not in str(error.value)


def test_without_the_hub_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(OptionError, match=r"universal-style\[hub\]"):
        Stylizer.from_pretrained("owner/photo")
