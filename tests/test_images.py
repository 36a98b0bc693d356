import io
import os
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import png
import pytest
import tifffile
import torch
from mutants import lzw_tiff
from PIL import ExifTags, ImageCms, ImageOps
from PIL import Image as Pillow

from universal_style.errors import InputError, OptionError, OutputError
from universal_style.images import (
    Image,
    allow_megapixels,
    bytes_to_read,
    bytes_to_write,
    check_fits,
    output_format,
    size_of,
)
from universal_style.images.parts import has_parts
from universal_style.images.profiles import to_srgb
from universal_style.images.shapers import shaper_of, srgb
from universal_style.outputs import check_writable


def gradient(height=12, width=20):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 12, y * 20, (x + y) * 7], axis=-1).astype(np.uint8)


def saved(tmp_path, picture, name, **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def swapped_profile():
    """An RGB profile that is not sRGB: a linear tone curve on sRGB's colours, made by hand."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(count):
        start = 132 + 12 * entry
        if profile[start : start + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            offset = int.from_bytes(profile[start + 4 : start + 8], "big")
            profile[offset : offset + 16] = b"curv\0\0\0\0\0\0\0\1\1\0\0\0"  # gamma 1.0 as u8Fixed8
            profile[start + 8 : start + 12] = (14).to_bytes(4, "big")
    return bytes(profile)


WIDE = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
"""Red, green and blue of Adobe RGB, about D50."""


def formula(kind, *values):
    return (
        b"para\0\0\0\0"
        + struct.pack(">HH", kind, 0)
        + struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))
    )


def table(*values):
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


CURVES = {
    "line": table(),
    "power": table(0x0233),
    "table": table(*(round(65535 * (i / 1023) ** 1.8) for i in range(1024))),
    "formula 0": formula(0, 1.8),
    "formula 1": formula(1, 2.2, 1.1, -0.1),
    "formula 2": formula(2, 2.2, 1.1, -0.1, 0),
    "formula 3": formula(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "formula 4": formula(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0),
}


def wide_profile(curve, **others):
    """An RGB profile of wide colours with one curve for all, made by hand; others are tags to be added."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)}
    for letter, colour in zip("rgb", WIDE, strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in colour))
        tags[f"{letter}TRC".encode()] = curve
    tags |= {name.encode(): tag for name, tag in others.items()}
    return profile_with(tags)


def scanner_profile():
    """An RGB profile with a table to Lab and none back, as scanners have, made by hand."""
    ramps = bytes(range(256)) * 3
    corners = [(85 * (r + g + b), 128 + 60 * (r - g), 128 + 60 * (g - b)) for r, g, b in np.ndindex(2, 2, 2)]
    unit = struct.pack(">9i", *np.eye(3, dtype=int).flatten() * 65536)
    white = struct.pack(">3i", 63190, 65536, 54061)
    table = b"mft1\0\0\0\0\3\3\2\0" + unit + ramps + np.uint8(corners).tobytes() + ramps
    return profile_with({b"wtpt": b"XYZ \0\0\0\0" + white, b"A2B0": table}, "Lab ")


def profile_with(tags, space="XYZ "):
    directory, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        directory += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(tag))
        body += tag.ljust(-(-len(tag) // 4) * 4, b"\0")
    kind = struct.pack(">I", 0x02400000) + f"scnrRGB {space}".encode().ljust(24, b"\0") + b"acsp"
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4x", 128 + len(directory) + len(body)) + kind.ljust(60, b"\0") + white
    return header.ljust(128, b"\0") + directory + body


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    array = gradient()
    path = saved(tmp_path, Pillow.fromarray(array), "a.png")
    planes = torch.from_numpy(array).permute(2, 0, 1)
    for source in (path, str(path), Pillow.fromarray(array), array, planes, array / 255, planes / 255, Image.of(array)):
        np.testing.assert_allclose(Image.of(source).pixels * 255, array, atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA", "YCbCr", "HSV", "LAB", "I;16", "I", "F", "PA"])
def test_any_mode_becomes_rgb(mode):
    base = Pillow.fromarray(gradient())
    if mode in ("I;16", "I"):
        picture = Pillow.fromarray(gradient()[:, :, 0].astype(np.uint16) * 257)
        picture = picture.convert(mode) if mode == "I" else picture
    elif mode == "F":
        picture = Pillow.fromarray((gradient()[:, :, 0] / 255).astype(np.float32))
    elif mode == "PA":
        picture = base.convert("P").convert("PA")
    elif mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(base, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    else:
        picture = base.convert(mode)
    image = Image.of(picture)
    assert image.pixels.shape == (12, 20, 3)
    assert image.pixels.dtype == np.float32
    assert 0.2 < image.pixels.mean() < 0.8
    assert (image.alpha is not None) == (mode in ("LA", "RGBA", "PA"))


def test_alpha_is_carried_over(tmp_path):
    picture = Pillow.fromarray(gradient())
    alpha = Pillow.linear_gradient("L").resize(picture.size)
    picture.putalpha(alpha)
    image = Image.of(saved(tmp_path, picture, "a.png"))
    image.write(tmp_path / "b.png")
    with Pillow.open(tmp_path / "b.png") as back:
        assert np.array_equal(np.asarray(back), np.asarray(picture))


def test_alpha_is_laid_on_white_where_the_format_has_none(tmp_path):
    picture = Pillow.new("RGBA", (8, 8), (10, 20, 30, 0))
    Image.of(picture).write(tmp_path / "b.jpg")
    with Pillow.open(tmp_path / "b.jpg") as back:
        assert np.asarray(back).min() >= 250


def test_palette_with_transparency(tmp_path):
    picture = Pillow.fromarray(gradient()).convert("P")
    path = saved(tmp_path, picture, "p.png", transparency=0)
    assert Image.of(path).alpha is not None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_png_may_name_one_colour_as_transparent(tmp_path, rng, channels):
    array = rng.integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    clear = tuple(int(value) for value in array[2, 3])
    with (tmp_path / "key.png").open("wb") as file:
        writer = png.Writer(
            9, 6, greyscale=channels == 1, bitdepth=16, transparent=clear if channels == 3 else clear[0]
        )
        writer.write(file, array.reshape(6, -1))
    image = Image.of(tmp_path / "key.png")
    expected = np.ones((6, 9))
    expected[2, 3] = 0
    np.testing.assert_array_equal(image.alpha, expected)
    assert image.bits == 16
    np.testing.assert_allclose(image.pixels * 65535, np.broadcast_to(array, (6, 9, 3)), atol=0.01)


def test_a_bound_that_is_lowered_holds_for_deep_files_too(tmp_path, rng, monkeypatch):
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, rng.integers(0, 65536, (6, 9, 3), dtype=np.uint16), tile=(256, 256), photometric="rgb")
    assert Image.of(path).width == 9
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)  # its one tile unpacks to 65536
    with pytest.raises(InputError, match=r"unpacks to more than 0\.0002 megapixels"):
        Image.of(path)


def described():
    exif = Pillow.Exif()
    exif[ExifTags.Base.Artist], exif[ExifTags.Base.Copyright] = "A. Photographer", b"\xa9 free for all"
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Software] = 6, "another"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.DateTimeOriginal: "2026:11:26 20:00:00", ExifTags.Base.ExifImageWidth: 20}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({ExifTags.GPS.GPSLatitudeRef: "N"})
    return exif


@pytest.mark.parametrize("read", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("written", ["b.jpg", "b.png", "b.webp", "b.tif", "b.bmp"])
def test_who_took_a_picture_is_kept(tmp_path, read, written, bits):
    image = replace(Image.of(saved(tmp_path, Pillow.fromarray(gradient()), read, exif=described())), bits=bits)
    assert (image.height, image.width) == (20, 12)
    image.scaled_to(10).with_pixels(image.scaled_to(10).tensor()).write(tmp_path / written)
    with Pillow.open(tmp_path / written) as back:
        exif = back.getexif()
        if written == "b.bmp":
            assert not exif
            return
        assert (exif[ExifTags.Base.Artist], exif[ExifTags.Base.Copyright]) == ("A. Photographer", "© free for all")
        assert exif.get(ExifTags.Base.Orientation, 1) == 1
        assert exif.get(ExifTags.Base.Software) is None
        if "tif" in read + written:  # Pillow writes no parts of EXIF data there
            return
        taken = exif.get_ifd(ExifTags.IFD.Exif)
        assert taken[ExifTags.Base.DateTimeOriginal] == "2026:11:26 20:00:00"
        assert ExifTags.Base.ExifImageWidth not in taken
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_a_picture_that_says_nothing_of_itself_is_written_so(tmp_path):
    Image.of(saved(tmp_path, Pillow.fromarray(gradient()), "a.jpg")).write(tmp_path / "b.jpg")
    with Pillow.open(tmp_path / "b.jpg") as back:
        assert "exif" not in back.info


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_dropped(tmp_path, orientation):
    picture = Pillow.fromarray(gradient())
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    image = Image.of(saved(tmp_path, picture, "o.png", exif=exif))
    assert (image.height, image.width) == ((12, 20) if orientation < 5 else (20, 12))
    image.write(tmp_path / "back.png")
    with Pillow.open(tmp_path / "back.png") as back:
        assert back.getexif().get(0x0112, 1) == 1
        assert back.size == (image.width, image.height)


def test_a_colour_profile_is_converted_from_and_back_to(tmp_path):
    profile = swapped_profile()
    picture = Pillow.fromarray(gradient())
    path = saved(tmp_path, picture, "linear.png", icc_profile=profile)
    image = Image.of(path)
    assert image.profile == profile
    assert image.pixels.mean() > np.asarray(picture).mean() / 255 + 0.1  # linear light is brighter in sRGB
    image.write(tmp_path / "back.png")
    with Pillow.open(tmp_path / "back.png") as back:
        assert back.info["icc_profile"] == profile
        gap = np.abs(np.asarray(back).astype(int) - np.asarray(picture))
        assert gap.mean() < 1.5


@pytest.mark.parametrize("curve", CURVES)
def test_deep_colours_are_read_by_their_profile(curve):
    profile = wide_profile(CURVES[curve])
    numbers = np.random.default_rng(1).integers(64, 192, (40, 40, 3)).astype(np.uint8)
    expected, kept = to_srgb(Pillow.fromarray(numbers), profile)
    assert kept == profile
    read = shaper_of(profile).to(srgb(), numbers / 255)
    assert np.abs(read * 255 - np.asarray(expected)).max() < 1.6


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_sixteen_bits_with_a_profile_stay_sixteen_bits(tmp_path, rng, suffix, with_alpha):
    profile = wide_profile(CURVES["power"])
    array = rng.integers(26000, 34000, (6, 9, 3 + with_alpha), dtype=np.uint16)  # nothing outside sRGB
    extra = {"extrasamples": ["unassalpha"]} if with_alpha else {}
    tifffile.imwrite(tmp_path / "wide.tif", array, photometric="rgb", iccprofile=profile, **extra)
    image = Image.of(tmp_path / "wide.tif")
    assert (image.bits, image.profile) == (16, profile)
    assert np.abs(image.pixels - array[:, :, :3] / 65535).max() > 0.01
    image.write(tmp_path / f"back.{suffix}")
    again = Image.of(tmp_path / f"back.{suffix}")
    assert (again.bits, again.profile) == (16, profile)
    own = shaper_of(profile)
    for seen in (image, again):
        np.testing.assert_allclose(srgb().to(own, seen.pixels) * 65535, array[:, :, :3], atol=1)
    with Pillow.open(tmp_path / f"back.{suffix}") as back:
        assert back.info["icc_profile"] == profile


@pytest.mark.parametrize(
    "profile",
    [
        wide_profile(table(65535, 0, 65535)),
        wide_profile(b"curv\0\0\0\0\0\0\xff\xff\0\0"),
        wide_profile(formula(7)),
        wide_profile(formula(1, 2.2, 0, 0.1)),
        wide_profile(CURVES["power"], A2B0=b"mft1\0\0\0\0\3\3\2\0"),
        wide_profile(CURVES["power"])[:150],
        b"no profile",
    ],
)
def test_a_profile_that_is_no_three_curves_and_a_matrix_leaves_eight_bits(tmp_path, rng, profile):
    assert shaper_of(profile) is None
    array = rng.integers(20000, 40000, (6, 9, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", array, photometric="rgb", iccprofile=profile)
    assert Image.of(tmp_path / "deep.tif").bits == 8


def test_a_profile_that_leads_only_one_way_gives_srgb(tmp_path):
    profile = scanner_profile()
    image = Image.of(saved(tmp_path, Pillow.fromarray(gradient()), "scan.png", icc_profile=profile))
    assert np.abs(image.pixels * 255 - gradient()).mean() > 5  # it is read by its profile
    assert image.profile == b""
    assert image.pillow().size == (20, 12)
    image.write(tmp_path / "back.png")
    with Pillow.open(tmp_path / "back.png") as back:
        assert "icc_profile" not in back.info


def test_a_damaged_profile_is_ignored(tmp_path):
    path = saved(tmp_path, Pillow.fromarray(gradient()), "x.png", icc_profile=b"not a profile at all")
    assert np.array_equal(np.rint(Image.of(path).pixels * 255), gradient())


@pytest.mark.parametrize(
    ("suffix", "channels"), [("png", 1), ("png", 2), ("png", 3), ("png", 4), ("tif", 1), ("tif", 3), ("tif", 4)]
)
def test_sixteen_bits_stay_sixteen_bits(tmp_path, rng, suffix, channels):
    array = rng.integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    path = tmp_path / f"deep.{suffix}"
    if suffix == "png":
        with path.open("wb") as stream:
            writer = png.Writer(9, 6, greyscale=channels < 3, alpha=channels % 2 == 0, bitdepth=16)
            writer.write(stream, array.reshape(6, -1))
    else:
        extra = ["unassalpha"] if channels % 2 == 0 else []
        kind = "minisblack" if channels < 3 else "rgb"
        tifffile.imwrite(path, array if channels > 1 else array[:, :, 0], photometric=kind, extrasamples=extra)
    image = Image.of(path)
    assert image.bits == 16
    np.testing.assert_allclose(
        image.pixels * 65535, np.broadcast_to(array[:, :, : 1 if channels < 3 else 3], (6, 9, 3)), atol=0.01
    )
    for out in ("out.png", "out.tiff"):
        image.write(tmp_path / out)
        again = Image.of(tmp_path / out)
        assert again.bits == 16
        assert np.array_equal(again.pixels, image.pixels)
        assert (again.alpha is None) == (channels % 2 == 1)


def test_a_deep_tiff_says_nothing_of_itself(tmp_path, rng):
    deep = Image.of(rng.integers(0, 65536, (6, 9, 3), dtype=np.uint16))
    deep.write(tmp_path / "deep.tif")
    with tifffile.TiffFile(tmp_path / "deep.tif") as file:
        assert {"ImageDescription", "Software"}.isdisjoint(tag.name for tag in file.pages[0].tags)


@pytest.mark.parametrize("profile", [None, b"of grey"])
def test_a_deep_tiff_of_grey_may_begin_at_white(tmp_path, rng, profile):
    array = rng.integers(0, 65536, (6, 9), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "white.tif", array, photometric="miniswhite", iccprofile=profile)
    image = Image.of(tmp_path / "white.tif")
    assert image.bits == 16
    np.testing.assert_allclose(image.pixels[:, :, 0] * 65535, 65535 - array.astype(float), atol=0.01)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_alpha_is_divided_out_of_a_deep_tiff(tmp_path, rng, planar):
    plain = rng.integers(0, 65536, (6, 4, 4), dtype=np.uint16)
    plain[0, :, 3] = 0
    plain[1:, :, 3] |= 0x4000
    array = plain.copy()
    array[:, :, :3] = np.rint(plain[:, :, :3] * (plain[:, :, 3:] / 65535))
    planes = np.moveaxis(array, -1, 0) if planar == "separate" else array
    kind = {"photometric": "rgb", "extrasamples": ["assocalpha"], "planarconfig": planar}
    tifffile.imwrite(tmp_path / "premultiplied.tif", planes, **kind)
    image = Image.of(tmp_path / "premultiplied.tif")
    assert image.bits == 16
    np.testing.assert_allclose(image.alpha * 65535, plain[:, :, 3], atol=0.01)
    np.testing.assert_allclose(image.pixels[1:] * 65535, plain[1:, :, :3], atol=4)
    assert image.pixels[0].max() == 0


def test_what_is_not_alpha_in_a_deep_tiff_is_left_out(tmp_path, rng):
    array = rng.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "infrared.tif", array, photometric="rgb", extrasamples=["unspecified"])
    image = Image.of(tmp_path / "infrared.tif")
    assert (image.bits, image.alpha) == (16, None)
    np.testing.assert_allclose(image.pixels * 65535, array[:, :, :3], atol=0.01)


def test_a_deep_tiff_of_cmyk_is_read_as_ink(tmp_path):
    ink = np.zeros((6, 9, 4), np.uint16)
    ink[:, :, 0] = 65535
    ink[3:, :, 3] = 32768
    tifffile.imwrite(tmp_path / "ink.tif", ink, photometric="separated")
    image = Image.of(tmp_path / "ink.tif")
    eight_bits = Image.of(Pillow.fromarray((ink >> 8).astype(np.uint8), "CMYK"))
    assert image.alpha is None
    assert np.array_equal(image.pixels, eight_bits.pixels)
    assert image.pixels[0, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize(("channels", "extra"), [(1, None), (3, None), (4, 0), (4, 2)])
def test_a_deep_tiff_may_be_packed_by_lzw(tmp_path, rng, channels, extra, predictor):
    if predictor == 2 and channels == 4:
        pytest.skip("its tags have no room for a predictor")
    array = rng.integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    (tmp_path / "packed.tif").write_bytes(lzw_tiff(array, extra, predictor))
    image = Image.of(tmp_path / "packed.tif")
    assert image.bits == 16
    np.testing.assert_allclose(image.pixels * 65535, np.broadcast_to(array[:, :, :3], (6, 9, 3)), atol=0.01)
    assert (image.alpha is None) == (extra != 2)
    if image.alpha is not None:
        np.testing.assert_allclose(image.alpha * 65535, array[:, :, 3], atol=0.01)


def test_alpha_is_divided_out_of_what_lzw_packed(tmp_path, rng):
    array = rng.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
    array[:, :, :3] = array[:, :, :3] * (array[:, :, 3:] / 65535)
    array[0] = 0
    (tmp_path / "packed.tif").write_bytes(lzw_tiff(array, 1))
    tifffile.imwrite(tmp_path / "plain.tif", array, photometric="rgb", extrasamples=["assocalpha"])
    packed, plain = (Image.of(tmp_path / name) for name in ("packed.tif", "plain.tif"))
    assert np.array_equal(packed.pixels, plain.pixels)
    assert np.array_equal(packed.alpha, plain.alpha)


KINDS_OF_PARTS = {
    "tiles": {"tile": (64, 64), "compression": "zlib"},
    "strips": {"rowsperstrip": 16, "compression": "zlib", "predictor": 2},
    "planes": {"planarconfig": "separate", "rowsperstrip": 32, "compression": "lzma"},
    "plain": {"rowsperstrip": 16},
    "plain planes": {"planarconfig": "separate"},
    "big": {"bigtiff": True, "tile": (128, 32)},
    "other order": {"byteorder": ">"},
    "packed in other order": {"byteorder": ">", "compression": "lzma"},
}


@pytest.mark.parametrize("turn", [1, 3, 6, 7, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [*KINDS_OF_PARTS, "grey", "white"])
@pytest.mark.parametrize("profile", [None, "wide"])
def test_a_large_tiff_in_parts_is_what_it_is_as_a_whole(tmp_path, rng, monkeypatch, kind, dtype, turn, profile):
    options = KINDS_OF_PARTS.get(kind, {"tile": (64, 64), "compression": "zlib"})
    grey = kind in ("grey", "white")
    array = rng.integers(0, np.iinfo(dtype).max, (100, 71) if grey else (100, 71, 3), endpoint=True).astype(dtype)
    path = tmp_path / "large.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(array, -1, 0) if "planarconfig" in options else array,
        photometric="miniswhite" if kind == "white" else "minisblack" if grey else "rgb",
        extratags=[(274, "H", 1, turn, False), (315, "s", 8, "A. Body", True)],
        iccprofile=wide_profile(CURVES["power"]) if profile else None,
        **options,
    )
    whole = Image.of(path)
    assert not has_parts(path)
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    monkeypatch.setattr("universal_style.canvas.BAND_PIXELS", 1000)
    assert has_parts(path) == (not (grey and profile))
    parts = Image.of(path)
    assert np.array_equal(parts.pixels, whole.pixels)
    assert (parts.bits, parts.profile, parts.facts) == (whole.bits, whole.profile, whole.facts)
    assert parts.facts
    assert size_of(path) in (parts.pixels.shape[:2], parts.pixels.shape[1::-1])


def test_of_a_large_tiff_only_parts_are_held(tmp_path, rng, monkeypatch):
    array = rng.integers(0, 256, (3500, 3000, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "large.tif", array, photometric="rgb", tile=(256, 256), compression="zlib")
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    monkeypatch.setattr("universal_style.canvas.BAND_PIXELS", 100_000)
    tracemalloc.start()
    try:
        image = Image.of(tmp_path / "large.tif")
        image.write(tmp_path / "back.png")
        image.scaled_to(100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes
    with Pillow.open(tmp_path / "back.png") as back:
        assert np.array_equal(np.asarray(back), array)
    assert bytes_to_read(tmp_path / "large.tif") == 0
    assert bytes_to_read(tmp_path / "back.png") > array.nbytes
    assert bytes_to_write(tmp_path / "out.png", 3500, 3000) == bytes_to_write(tmp_path / "out.tif", 3500, 3000) == 0
    assert bytes_to_write(tmp_path / "out.jpg", 3500, 3000) > array.nbytes
    assert bytes_to_read(array) == 0


def test_tiles_that_a_file_leaves_out_are_black(tmp_path, monkeypatch):
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    tiles = [np.full((64, 64, 3), 255, np.uint8), None, None, np.full((64, 64, 3), 51, np.uint8)]
    options = {"shape": (128, 128, 3), "dtype": np.uint8, "tile": (64, 64), "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "sparse.tif", iter(tiles), compression="zlib", **options)
    assert has_parts(tmp_path / "sparse.tif")
    corners = Image.of(tmp_path / "sparse.tif").pixels[::127, ::127, 0]
    np.testing.assert_allclose(corners, [[1, 0], [0, 0.2]], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (64, 64)}])
def test_a_large_tiff_that_is_cut_off_is_told_in_one_line(tmp_path, rng, monkeypatch, options):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, rng.integers(0, 256, (200, 150, 3), dtype=np.uint8), photometric="rgb", **options)
    path.write_bytes(path.read_bytes()[:-20_000])
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    with pytest.raises(InputError, match=r"large\.tif cannot be read as a picture \(.*\); it may be damaged"):
        Image.of(path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"extrasamples": ["unassalpha"], "photometric": "rgb"}, "alpha"),
        ({"photometric": "separated"}, "ink"),
    ],
)
def test_what_has_no_parts_is_read_whole(tmp_path, rng, monkeypatch, options, why):
    array = rng.integers(0, 256, (40, 50, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / f"{why}.tif", array, tile=(16, 16), **options)
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    assert not has_parts(tmp_path / f"{why}.tif")
    assert Image.of(tmp_path / f"{why}.tif").width == 50


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_large_png_is_the_same_as_a_small_one(tmp_path, rng, monkeypatch, bits, with_alpha):
    pixels = rng.random((60, 50, 3), np.float32)
    alpha = rng.random((60, 50), np.float32) if with_alpha else None
    exif = described().tobytes()
    picture = Image(pixels, alpha, profile=wide_profile(CURVES["power"]), bits=bits, facts=exif)
    picture.write(tmp_path / "small.png")
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    monkeypatch.setattr("universal_style.canvas.BAND_PIXELS", 1000)
    picture.write(tmp_path / "large.png")
    small, large = (Image.of(tmp_path / f"{name}.png") for name in ("small", "large"))
    assert np.array_equal(small.pixels, large.pixels)
    assert np.array_equal(small.alpha, large.alpha) if with_alpha else large.alpha is None
    assert (small.bits, small.profile, small.facts) == (large.bits, large.profile, large.facts)


@pytest.mark.parametrize("long_side", [1, 37, 200, 301])
def test_a_large_picture_is_scaled_as_a_small_one_is(rng, monkeypatch, long_side):
    picture = Image(rng.random((200, 113, 3), np.float32), rng.random((200, 113), np.float32))
    small = picture.scaled_to(long_side)
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    monkeypatch.setattr("universal_style.canvas.BAND_PIXELS", 1000)
    large = picture.scaled_to(long_side)
    assert np.array_equal(small.pixels, large.pixels)
    assert np.array_equal(small.alpha, large.alpha)


def test_more_megapixels_are_read_where_they_are_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)
    path = saved(tmp_path, Pillow.fromarray(gradient()), "a.png")
    with pytest.raises(InputError, match=r"unpacks to more than 0\.0002 megapixels; .* \(--most-megapixels of"):
        Image.of(path)
    allow_megapixels(0.001)
    assert Image.of(path).width == 20
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="most-megapixels .* is out of range"):
            allow_megapixels(wrong)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_turned_upright(tmp_path, rng, orientation, suffix):
    array = rng.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"deep.{suffix}"
    if suffix == "png":
        whole = io.BytesIO()
        png.Writer(9, 6, greyscale=False, bitdepth=16).write(whole, array.reshape(6, -1))
        chunks = list(png.Reader(bytes=whole.getvalue()).chunks())
        with path.open("wb") as stream:
            png.write_chunks(stream, [chunks[0], (b"eXIf", exif.tobytes()[6:]), *chunks[1:]])
    else:
        tifffile.imwrite(path, array, photometric="rgb", extratags=[(274, "H", 1, orientation, False)])
    image = Image.of(path)
    with Pillow.open(path) as picture:
        eight_bits = np.asarray(ImageOps.exif_transpose(picture), dtype=float)
    assert image.bits == 16
    assert len(np.unique(image.pixels)) > 150  # of the 162 numbers put in
    np.testing.assert_allclose(image.pixels * 255, eight_bits, atol=1.01)
    image.write(tmp_path / "back.png")
    assert np.array_equal(Image.of(tmp_path / "back.png").pixels, image.pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".PNG"])
def test_every_output_format_keeps_the_size(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    Image.of(gradient(7, 13)).write(path)
    with Pillow.open(path) as back:
        assert back.size == (13, 7)
        assert np.abs(np.asarray(back.convert("RGB")).astype(int) - gradient(7, 13)).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("size", "long_side", "expected"), [((30, 20), 15, (15, 10)), ((1, 400), 10, (1, 10))])
def test_scaling_keeps_the_aspect(size, long_side, expected):
    image = Image.of(np.zeros((*size, 3), np.uint8)).scaled_to(long_side)
    assert (image.height, image.width) == expected


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")

    def fail(self, *args, **options):
        args[0].write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Pillow.Image, "save", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        Image.of(gradient()).write(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def cut(tmp_path):
    picture = Pillow.effect_noise((256, 256), 90).convert("RGB")
    whole = io.BytesIO()
    picture.save(whole, "JPEG")
    return _bytes(tmp_path / "cut.jpg", whole.getvalue()[: len(whole.getvalue()) // 2])


def _bytes(path, data):
    path.write_bytes(data)
    return path


def raw(tmp_path, name, **options):
    """A TIFF as cameras write it: a preview first, the picture after it."""
    path = tmp_path / name
    with tifffile.TiffWriter(path) as file:
        file.write(gradient(), photometric="rgb", **options)
        file.write(np.zeros((64, 64), np.uint16), photometric="minisblack")
    return path


def cr2(tmp_path):
    """The same, with Canon's mark after the header; the directory that was there follows the picture."""
    picture = io.BytesIO()
    Pillow.fromarray(gradient()).save(picture, "TIFF")
    data = picture.getvalue()
    assert data[4:8] == b"\x08\0\0\0"
    directory = data[8 : 8 + 2 + 12 * data[8] + 4]
    header = data[:4] + len(data).to_bytes(4, "little") + b"CR\2\0"
    return _bytes(tmp_path / "photo.cr2", header + data[12:] + directory)


def floats(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", gradient().astype(np.float32) / 255, photometric="rgb")
    return tmp_path / "f.tif"


BAD_FILES = {
    "missing": (lambda tmp: tmp / "no.jpg", "does not exist"),
    "folder": (lambda tmp: tmp, "is a folder"),
    "text": (lambda tmp: _bytes(tmp / "t.jpg", b"hello, I am a text\n" * 50), "not a picture in a known format"),
    "cut off": (cut, "damaged or cut off"),
    "empty": (lambda tmp: _bytes(tmp / "e.png", b""), "is empty"),
    "raw": (lambda tmp: raw(tmp, "photo.nef", subfiletype=1), "photo.nef is a camera's raw file"),
    "DNG": (lambda tmp: raw(tmp, "photo.dng", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]), "a camera's raw file"),
    "CR2": (cr2, "a camera's raw file"),
    "floats": (floats, "f.tif is a TIFF of a kind that is not read, or damaged; save it with 8 or 16 bits"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_in_one_line(tmp_path, kind):
    make, message = BAD_FILES[kind]
    with pytest.raises(InputError, match=message) as error:
        Image.of(make(tmp_path))
    assert "\n" not in str(error.value)


def test_a_decompression_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Pillow.new("1", (20_000, 20_000)).save(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to more than 178 megapixels"):
        Image.of(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 5)),
        np.zeros((0, 4, 3)),
        np.zeros((4,)),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), 1.5),
        np.full((4, 4, 3), -0.5),
        np.zeros((4, 4, 3), dtype=np.int64),
        np.zeros((4, 4, 3), dtype=complex),
    ],
)
def test_a_bad_array_is_refused(array):
    with pytest.raises(InputError):
        Image.of(array)


def test_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # whose checks would come first
    with pytest.raises(InputError, match="dict is not a picture"):
        Image.of({})


def test_a_result_that_is_not_finite_is_refused():
    with pytest.raises(OutputError, match="not finite"):
        Image.of(gradient()).with_pixels(torch.full((1, 3, 4, 4), float("nan")))


def test_an_unknown_suffix_is_wrong_usage(tmp_path):
    for name in ("out.xyz", "out"):
        with pytest.raises(OptionError, match="use one of"):
            output_format(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "size", "others"),
    [
        ("out.webp", (1, 16384), ".png, .jpg, .jpeg, .tif, .tiff, .bmp"),
        ("out.jpg", (65501, 1), ".png, .tif, .tiff, .bmp"),
    ],
)
def test_a_picture_too_long_for_its_format_is_refused_in_one_line(tmp_path, name, size, others):
    picture = Image(np.zeros((*size, 3), np.float32))
    with pytest.raises(OutputError, match=rf"has at most \d+ a side; use one of {others}$"):
        picture.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    check_fits(tmp_path / name, max(size) - 1)
    for suffix in others.split(", "):
        check_fits(tmp_path / f"out{suffix}", max(size))


def test_the_size_is_read_from_the_header(tmp_path):
    path = saved(tmp_path, Pillow.fromarray(gradient(9, 31)), "a.png")
    path.write_bytes(path.read_bytes()[:60])
    assert size_of(path) == (9, 31)
    with pytest.raises(InputError, match="does not exist"):
        size_of(tmp_path / "b.png")


def test_a_name_too_long_for_the_disk_is_told_in_one_line(tmp_path):
    path = tmp_path / f"{'a' * 300}.png"
    for write in (check_writable, Image.of(gradient()).write):
        with pytest.raises(OutputError, match="cannot be written"):
            write(path)


def test_an_unwritable_output_is_found_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputError, match="not writable"):
        check_writable(tmp_path / "out.png")


def test_an_output_that_is_no_file_is_found_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        check_writable(tmp_path / "no" / "out.png")
    os.mkfifo(tmp_path / "pipe.png")
    for device in (Path(os.devnull), tmp_path / "pipe.png"):
        with pytest.raises(OutputError, match="is a device or a pipe, which a file would replace; name a file"):
            check_writable(device)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_large_tiff_is_a_pyramid(bits, with_alpha, tmp_path, monkeypatch):
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    y, x = np.mgrid[0:1301, 0:1207].astype(np.float32)
    pixels = np.stack([y / 1301, x / 1207, (x + y) / 2600], axis=-1)
    picture = Image(pixels, (x / 1300).astype(np.float32) if with_alpha else None, bits=bits)
    picture.write(tmp_path / "large.tif")
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        assert file.is_bigtiff
        levels = file.series[0].levels
        assert [level.shape[:2] for level in levels] == [(1301, 1207), (651, 604)]
        assert levels[0].pages[0].is_tiled
        small = levels[1].asarray().astype(np.float64) / (2**bits - 1)
    assert abs(small[10, 20, 0] - pixels[20:22, 40:42, 0].mean()) < 1 / 255
    again = Image.of(tmp_path / "large.tif")
    assert again.bits == bits
    assert abs(again.pixels - pixels).max() <= 0.5 / (2**bits - 1) + 1e-6
    assert (again.alpha is not None) == with_alpha
