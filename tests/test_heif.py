"""Pictures of phones: HEIF, by the plugin of the extra."""

import sys

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from universal_style.errors import InputError
from universal_style.images import Image, size_of
from universal_style.images.formats import known_formats
from universal_style.training.pictures import read_rgb


@pytest.fixture(autouse=True)
def _registered():
    assert "HEIF" in known_formats()


def smooth(height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], axis=-1).astype(np.uint8)


def saved(path, picture, **options):
    picture.save(path, "HEIF", quality=95, **options)
    return path


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_of_a_phone_is_read_upright_with_its_profile_and_facts(tmp_path, orientation):
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = orientation, "A phone"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = Pillow.fromarray(smooth())
    path = saved(tmp_path / "photo.heic", lying, exif=exif.tobytes(), icc_profile=profile)
    upright = {1: lying, 3: lying.rotate(180), 6: lying.rotate(-90, expand=True), 8: lying.rotate(90, expand=True)}
    expected = np.asarray(upright[orientation])
    image = Image.of(path)
    assert size_of(path) == expected.shape[:2] == (image.height, image.width)
    assert np.abs(image.pixels * 255 - expected).mean() < 2
    image.write(tmp_path / "out.jpg")
    with Pillow.open(tmp_path / "out.jpg") as out:
        assert out.getexif()[ExifTags.Base.Make] == "A phone"
        assert out.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert out.info["icc_profile"] == profile


def test_alpha_is_carried_over(tmp_path):
    picture = Pillow.fromarray(smooth()).convert("RGBA")
    picture.putalpha(Pillow.linear_gradient("L").resize(picture.size))
    image = Image.of(saved(tmp_path / "clear.heic", picture))
    assert image.alpha is not None
    assert np.abs(image.alpha * 255 - np.asarray(picture.getchannel("A"))).mean() < 2


def test_ten_bits_are_read(tmp_path):
    deep = smooth().astype(np.uint16) * 257
    path = tmp_path / "deep.hif"
    pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes()).save(path, quality=95)
    assert np.abs(Image.of(path).pixels * 255 - smooth()).mean() < 2


@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG")])
def test_colours_brighter_than_white_are_refused_in_one_line(tmp_path, number, name):
    path = tmp_path / "bright.hif"
    deep = smooth().astype(np.uint16) * 257
    bright = pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes())
    bright.save(path, color_primaries=9, transfer_characteristics=number, matrix_coefficients=9)
    with pytest.raises(InputError, match=rf"bright\.hif has HDR colours \({name}\), which are not read; export it as"):
        Image.of(path)


def test_what_is_cut_off_is_told_in_one_line(tmp_path):
    path = saved(tmp_path / "half.heic", Pillow.fromarray(smooth()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"half\.heic .*(cannot be read|not a picture)"):
        Image.of(path)


def test_what_is_larger_than_its_header_says_is_refused(tmp_path):
    path = saved(tmp_path / "bomb.heic", Pillow.new("RGB", (2048, 2048)))
    data = path.read_bytes()
    assert data.count(b"ispe") == 1
    place = data.index(b"ispe") + 8
    path.write_bytes(data[:place] + (64).to_bytes(4, "big") * 2 + data[place + 8 :])
    assert size_of(path) == (64, 64)
    with pytest.raises(InputError, match="exceeds the maximum image size"):
        Image.of(path)


@pytest.mark.parametrize("read", [Image.of, size_of, read_rgb])
def test_without_the_extra_it_is_named(tmp_path, monkeypatch, read):
    path = saved(tmp_path / "photo.heic", Pillow.fromarray(smooth()))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Pillow.OPEN, "HEIF")
    known_formats.cache_clear()
    try:
        with pytest.raises(InputError, match=r"photo\.heic is a HEIF picture, which needs pillow-heif: pip install"):
            read(path)
    finally:
        monkeypatch.undo()
        known_formats.cache_clear()


def test_a_training_may_learn_from_it(tmp_path):
    path = saved(tmp_path / "photo.heic", Pillow.fromarray(smooth()))
    assert np.abs(np.asarray(read_rgb(path)).astype(int) - smooth()).mean() < 2
