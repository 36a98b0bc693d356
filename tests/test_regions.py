import io
import json
import pickle

import numpy as np
import png
import pytest
import torch
from PIL import Image as Pillow
from scipy import ndimage
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from universal_style.errors import InputError, OptionError
from universal_style.regions import (
    KEEP,
    MAX_RATIO,
    MIN_PIXELS,
    WHOLE,
    LabelMap,
    Match,
    Region,
    Segmenter,
    Source,
    assign,
    automatic_regions,
    cluster,
    colour_named,
    match,
    moment_weights,
    read_masks,
    stacked,
)

SIZE = (90, 120)
CUBE = np.array([(0, 0, 0), (255, 0, 0), (255, 255, 255), (0, 0, 255), (255, 255, 0)], np.uint8)
CITY = np.array([(70, 70, 70), (102, 102, 156), (153, 153, 153), (190, 153, 153), (107, 142, 35)], np.uint8)
GREYS = np.array([(0, 0, 0), (128, 128, 128), (255, 255, 255)], np.uint8)


def blobs(kinds, seed=0, size=SIZE, scale=10):
    """Smooth patches of so many kinds."""
    rng = np.random.default_rng(seed)
    return np.stack([ndimage.gaussian_filter(rng.standard_normal(size), scale) for _ in range(kinds)]).argmax(axis=0)


def jpeg(array, quality=75, subsampling=2):
    stream = io.BytesIO()
    Pillow.fromarray(array).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return Pillow.open(stream)


def read(mask, size=SIZE):
    return read_masks(mask, [], size, [])[0]


def inner(labels, width=4):
    """Where there is no border nearby."""
    window = 2 * width + 1
    return ndimage.maximum_filter(labels, window) == ndimage.minimum_filter(labels, window)


def same_parts(one, other):
    """Whether two label arrays cut alike, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


# Reading


@pytest.mark.parametrize("palette", [CUBE, CITY, GREYS], ids=["cube", "city", "greys"])
@pytest.mark.parametrize("quality", [95, 75, 50])
def test_a_noisy_mask_means_what_the_clean_one_does(palette, quality):
    labels = blobs(len(palette))
    clean, noisy = palette[labels], jpeg(palette[labels], quality)
    content, (style,) = read_masks(noisy, [clean], SIZE, [SIZE])
    assert len(content.colours) == len(palette)
    wrong = content.labels != style.labels
    assert wrong.mean() < 0.04
    assert wrong[inner(labels)].mean() < 1e-3
    assert len(read(noisy).colours) == len(palette)  # and by itself


def test_masks_of_different_compression_agree():
    labels = blobs(5)
    content, styles = read_masks(jpeg(CUBE[labels], 40), [jpeg(CUBE[labels], 90, 0), CUBE[labels]], SIZE, [SIZE, SIZE])
    for style in styles:
        assert style.colours == content.colours
        assert (style.labels != content.labels)[inner(labels)].mean() < 1e-3


def test_hard_masks_a_few_steps_apart_agree():
    labels = blobs(5)
    content, (style,) = read_masks(CUBE[labels], [np.clip(CUBE, 3, 251)[labels]], SIZE, [SIZE])
    assert len(content.colours) == 5
    assert np.array_equal(content.labels, style.labels)


@pytest.mark.parametrize("factor", [2, 5])
def test_a_blended_border_is_no_third_region(factor):
    y, x = np.mgrid[: 90 * factor, : 120 * factor]
    disc = ((y - 40.3 * factor) ** 2 + (x - 60.7 * factor) ** 2 < (30 * factor) ** 2).astype(np.uint8) * 255
    smooth = Pillow.fromarray(disc).resize((120, 90), Pillow.Resampling.BICUBIC)
    assert len(np.unique(np.asarray(smooth))) > 5
    regions = read(smooth)
    assert sorted(regions.colours) == [(0, 0, 0), (255, 255, 255)]
    assert (
        same_parts(regions.labels, (np.asarray(smooth) >= 128).astype(int))
        or ((regions.labels != regions.labels[0, 0]) != (np.asarray(smooth) >= 128)).mean() < 0.01
    )


def test_an_enlarged_mask_has_no_more_regions():
    labels = blobs(5)
    large = Pillow.fromarray(CUBE[labels]).resize((1800, 1350), Pillow.Resampling.BICUBIC)
    content, (style,) = read_masks(jpeg(np.asarray(large)), [CUBE[labels]], SIZE, [SIZE])
    assert len(content.colours) == 5
    assert (content.labels != style.labels).mean() < 0.02


def test_between_black_and_white_lies_no_grey_though_grey_is_a_region():
    mask = np.zeros((3 * 60, 3 * 90), np.uint8)
    mask[:, 100:] = 255
    mask[130:, :80] = 128
    smooth = Pillow.fromarray(mask).resize((90, 60), Pillow.Resampling.BICUBIC)
    regions = read(smooth, (60, 90))
    assert len(regions.colours) == 3
    grey = regions.colours.index((128, 128, 128))
    assert not (regions.labels[:, 29:] == grey).any()
    assert (regions.labels[45:, :25] == grey).all()


def test_a_thin_structure_of_its_own_colour_stays():
    mask = np.full((60, 90, 3), 255, np.uint8)
    mask[:, 45:] = (0, 0, 255)
    mask[10:12] = (255, 0, 0)  # only ever thin
    mask[30:32, :40] = (0, 0, 255)  # thin here, flat elsewhere
    noise = np.random.default_rng(0).integers(0, 4, mask.shape, dtype=np.uint8)
    regions = read(np.where(mask == 255, 255 - (noise // 3), mask), (60, 90))
    names = [regions.colours[label] for label in (regions.labels[11, 20], regions.labels[31, 20])]
    assert names[1] == (0, 0, 255)
    exact = read(mask, (60, 90))
    assert len(exact.colours) == 3
    assert exact.colours[exact.labels[10, 20]] == (255, 0, 0)


def test_a_shade_that_drifts_is_one_region():
    ramp = np.linspace(0, 30, 120)[None, :].repeat(90, axis=0)
    mask = np.stack([ramp, ramp, ramp], axis=-1).astype(np.uint8)
    mask[45:] = (255, 255, 0)
    regions = read(jpeg(mask, 90))
    assert len(regions.colours) == 2
    yellow = regions.labels == regions.labels[80, 60]
    assert (yellow == (np.arange(90) >= 45)[:, None]).mean() > 0.98


INDICES = np.repeat(np.arange(6, dtype=np.uint8), 15)[:, None].repeat(120, axis=1)
"""Stripes 0 … 5, (90, 120)."""


def deep_png(array):
    stream = io.BytesIO()
    png.Writer(array.shape[1], array.shape[0], greyscale=True, bitdepth=16).write(stream, array.tolist())
    return stream.getvalue()


def palette_mask():
    picture = Pillow.new("P", (120, 90))
    picture.putdata(INDICES.ravel().tolist())
    picture.putpalette(list(range(18)))
    return picture


KINDS = {
    "L": lambda: Pillow.fromarray(INDICES),
    "P": palette_mask,
    "RGB": lambda: Pillow.fromarray(np.stack([INDICES * 40, 255 - INDICES, INDICES], axis=-1)),
    "RGBA": lambda: Pillow.fromarray(np.stack([INDICES * 40, INDICES, INDICES, 255 - INDICES * 9], axis=-1)),
    "LA": lambda: Pillow.fromarray(INDICES).convert("LA"),
    "CMYK": lambda: Pillow.fromarray(np.stack([INDICES * 40, INDICES, INDICES], axis=-1)).convert("CMYK"),
    "I;16": lambda: Pillow.fromarray(INDICES.astype(np.uint16)),
    "instances": lambda: Pillow.fromarray(INDICES.astype(np.uint16) + 24_000),
    "float": lambda: INDICES / 255,
}


@pytest.mark.parametrize("kind", KINDS)
def test_indices_one_step_apart_are_regions_in_any_mode(kind):
    regions = read(KINDS[kind]())
    assert len(regions.colours) == 6
    assert same_parts(regions.labels, INDICES)


def test_an_index_of_sixteen_bits_is_that_of_eight(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(deep_png(INDICES.astype(int)))
    content, (style,) = read_masks(path, [INDICES], SIZE, [SIZE])
    assert np.array_equal(content.labels, style.labels)
    assert sorted(content.colours) == [(i, i, i) for i in range(6)]


def test_indices_of_sixteen_bits_beyond_255_keep_their_meaning(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(deep_png(INDICES.astype(int)))
    wide = np.where(INDICES == 5, 300, INDICES.astype(np.uint16))
    content, (style,) = read_masks(path, [wide], SIZE, [SIZE])
    assert len(content.colours) == 7
    assert np.array_equal(content.labels == style.labels, INDICES < 5)


def test_one_bit():
    regions = read(Pillow.fromarray(blobs(2) == 0))
    assert sorted(regions.colours) == [(0, 0, 0), (255, 255, 255)]
    assert same_parts(regions.labels, blobs(2))


def test_what_is_transparent_is_black():
    mask = np.zeros((*SIZE, 4), np.uint8)
    mask[:, :, :3] = np.random.default_rng(0).integers(0, 256, (*SIZE, 3))  # hidden
    mask[20:60, 20:60] = (0, 200, 0, 255)
    mask[20:60, 60:80] = (0, 200, 0, 90)
    regions = read(mask)
    assert sorted(regions.colours) == [(0, 0, 0), (0, 200, 0)]
    assert regions.pixels[regions.colours.index((0, 200, 0))] == 40 * 60


def test_a_mask_of_another_size_gets_no_new_colours():
    labels = blobs(5, size=(45, 60), scale=5)
    regions = read(CUBE[labels])
    assert regions.labels.shape == SIZE
    assert same_parts(regions.labels, labels.repeat(2, axis=0).repeat(2, axis=1))
    assert read(CUBE[blobs(5)], (31, 17)).labels.shape == (31, 17)


def test_a_map_of_single_cells():
    cells = np.array([[0, 1, 2], [2, 0, 1]])
    regions = read(CUBE[cells], (20, 30))
    assert same_parts(regions.labels, cells.repeat(10, axis=0).repeat(10, axis=1))


def test_a_mask_of_one_colour():
    regions = read(np.full((5, 7, 3), 77, np.uint8))
    assert regions.colours == ((77, 77, 77),)
    assert not regions.labels.any()
    assert not regions.is_uniform


def test_a_mask_is_turned_upright(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Pillow.fromarray(CUBE[blobs(3)]).save(path, exif=exif)
    regions = read(path, (120, 90))
    assert same_parts(regions.labels, np.rot90(blobs(3), -1))


def test_labels_are_joint_and_sorted_by_area_in_the_content():
    content_mask, style_mask = np.zeros((2, *SIZE, 3), np.uint8)
    content_mask[:, 90:] = (0, 0, 255)
    style_mask[:] = (0, 0, 255)
    style_mask[:30] = (255, 0, 0)
    content, (style,) = read_masks(content_mask, [style_mask], SIZE, [SIZE])
    assert content.colours == style.colours == ((0, 0, 0), (0, 0, 255), (255, 0, 0))
    assert content.pixels == (8100, 2700, 0)
    assert style.pixels == (0, 7200, 3600)


def test_pictures_without_masks_are_uniform():
    content, styles = read_masks(None, [], SIZE, [(3, 4), (5, 6)])
    assert content.is_uniform
    assert [style.labels.shape for style in styles] == [(3, 4), (5, 6)]
    _, (masked, bare) = read_masks(CUBE[blobs(2)], [CUBE[blobs(2)], None], SIZE, [SIZE, (5, 6)])
    assert (masked.is_uniform, bare.is_uniform) == (False, True)


def test_too_many_colours_are_refused():
    many = (np.arange(1000) * 16_777 % (1 << 24)).reshape(25, 40).repeat(8, axis=0).repeat(8, axis=1)
    mask = np.stack([many >> 16, many >> 8 & 255, many & 255], axis=-1).astype(np.uint8)
    with pytest.raises(InputError, match="hold 1000 colours, 255 is the most") as error:
        read(mask, (200, 320))
    assert "\n" not in str(error.value)


def test_noise_is_no_mask(rng):
    with pytest.raises(InputError, match="no flat area"):
        read(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))


def test_masks_must_fit_the_pictures():
    mask = CUBE[blobs(2)]
    with pytest.raises(OptionError, match="1 style masks for 2 styles"):
        read_masks(mask, [mask], SIZE, [SIZE, SIZE])
    with pytest.raises(InputError, match="the content has none"):
        read_masks(None, [mask], SIZE, [SIZE])


# Matching


def regions_of(*areas, colours=5, width=100):
    """A map whose labels 0, 1, … have so many pixels, in rows from the top."""
    labels = np.repeat(np.arange(len(areas), dtype=np.uint8), areas).reshape(-1, width)
    return LabelMap(labels, tuple((i, i, i) for i in range(colours)))


def test_equal_labels_are_matched():
    matched = match(regions_of(500, 2500), [regions_of(2900, 100), regions_of(100, 900)], weights=[3, 1])
    assert [region.label for region in matched.regions] == [1, 0]  # the largest first
    assert matched.sources == {0: (0, 0), 1: (1, 1)}
    assert matched.weights == {0: (0.75, 0.25), 1: (0.75, 0.25)}
    assert [source.pixels for source in matched.regions[0].sources] == [100, 900]
    assert not any(source.reason for region in matched.regions for source in region.sources)


@pytest.mark.parametrize(("missing", "taken"), [("global", (WHOLE, WHOLE)), ("nearest", (1, 1)), ("keep", (2, KEEP))])
def test_a_region_that_a_style_lacks_falls_back(missing, taken):
    matched = match(regions_of(1000, 900, 600), [regions_of(1000, 800)], missing)
    region = next(region for region in matched.regions if region.label == 2)
    (source,) = region.sources
    assert (source.content, source.style) == taken
    assert source.pixels == {WHOLE: 1800, 1: 800, KEEP: 0}[taken[1]]
    assert source.reason.startswith("the style's mask lacks it")
    assert matched.sources[0] == (0,)
    if missing == "nearest":
        assert region.line().endswith("another region, 800 pixels (the style's mask lacks it; joins #010101)")


def test_a_style_may_have_fewer_labels():
    assert match(regions_of(600, 400), [regions_of(500, colours=1)]).sources == {0: (0,), 1: (WHOLE,)}


def test_each_style_falls_back_by_itself():
    matched = match(regions_of(600, 400), [regions_of(1000), regions_of(500, 500)])
    assert matched.sources == {0: (0, 0), 1: (WHOLE, 1)}


@pytest.mark.parametrize("pixels", [1, MIN_PIXELS, MIN_PIXELS + 1])
@pytest.mark.parametrize("side", ["content", "style"])
def test_a_region_of_few_pixels_falls_back(pixels, side):
    small, large = regions_of(600 - pixels, pixels), regions_of(300, 300)
    matched = match(small, [large]) if side == "content" else match(large, [small])
    assert matched.sources[1] == ((1,) if pixels > MIN_PIXELS else (WHOLE,))
    assert matched.sources[0] == (0,)
    if pixels <= MIN_PIXELS:
        assert f"only {pixels} pixels in the {side}" in "\n".join(matched.lines())


def test_shares_may_differ_up_to_a_ratio():
    small = regions_of(100, 19_900)
    for share, partner in ((49, 0), (int(MAX_RATIO / 2), WHOLE)):
        large = regions_of(share * 400, (100 - share) * 400)  # twice the picture, so that pixels would say otherwise
        for content, style in ((small, large), (large, small)):
            assert match(content, [style]).sources[0] == (partner,)


def test_nearest_is_what_surrounds_a_region():
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    labels[10:14, 40:44] = 2  # in 1
    labels[30:34, 28:31] = 3  # mostly in 0
    content = LabelMap(labels, ((0, 0, 0), (9, 9, 9), (1, 1, 1), (8, 8, 8)))
    style = LabelMap(labels.clip(max=1), content.colours)
    assert match(content, [style], "nearest").sources == {0: (0,), 1: (1,), 2: (1,), 3: (0,)}
    nothing = LabelMap(np.full_like(labels, 3), content.colours)
    nothing.labels[0] = 2
    assert set(match(LabelMap(labels.clip(max=1), content.colours), [nothing], "nearest").sources.values()) == {
        (WHOLE,)
    }


def test_nearest_without_a_common_border():
    labels = np.zeros((10, 90), np.uint8)
    labels[:, 30:50], labels[:, 50:60], labels[:, 60:] = 1, 2, 3
    colours = tuple((i, 0, 0) for i in range(4))
    style = LabelMap(np.where(labels == 3, 3, 0).astype(np.uint8), colours)
    matched = match(LabelMap(labels, colours), [style], "nearest")
    assert matched.sources == {0: (0,), 1: (0,), 2: (3,), 3: (3,)}


def test_a_style_without_a_mask_gives_its_whole():
    matched = match(regions_of(595, 5), [LabelMap.uniform(20, 30), regions_of(300, 300)])
    assert matched.sources == {0: (WHOLE, 0), 1: (WHOLE, WHOLE)}
    assert [region.sources[0].content for region in matched.regions] == [0, WHOLE]  # 5 pixels have no moments
    assert all(region.sources[0].reason == "the style has no mask" for region in matched.regions)
    assert matched.regions[0].sources[0].pixels == 600


def test_without_masks_there_is_one_region():
    matched = match(LabelMap.uniform(20, 30), [LabelMap.uniform(5, 5)] * 2)
    assert matched.sources == {0: (WHOLE, WHOLE)}
    assert matched.lines() == [
        "region whole picture, 600 pixels: style 1: whole picture, 25 pixels; style 2: whole picture, 25 pixels"
    ]


def test_a_match_tells_itself():
    content = LabelMap(regions_of(800, 200).labels, ((255, 0, 0), (0, 0, 255)))
    style = LabelMap(regions_of(500).labels, content.colours)
    for missing, said in (("global", "whole picture, 500 pixels"), ("keep", "stays unstylised")):
        matched = match(content, [style], missing)
        assert matched.lines() == [
            "region #ff0000, 800 pixels: style 1: same region, 500 pixels",
            f"region #0000ff, 200 pixels: style 1: {said} (the style's mask lacks it)",
        ]
        told = json.loads(json.dumps(matched.as_dict()))["regions"]
        assert [region["colour"] for region in told] == [[255, 0, 0], [0, 0, 255]]
        assert told[1]["sources"][0]["style"] == ("whole" if missing == "global" else "keep")


def test_one_style_per_region_can_be_said():
    content = regions_of(600, 400)
    regions = tuple(
        Region(i, None, pixels, tuple(Source(i, WHOLE, 9, float(i == style)) for style in range(2)))
        for i, pixels in enumerate(content.pixels[:2])
    )
    assert Match(regions).weights == {0: (1.0, 0.0), 1: (0.0, 1.0)}


def thirds():
    """Red over a third, green over two thirds, a few pixels of blue."""
    labels = np.zeros((30, 30), np.uint8)
    labels[:, 10:] = 1
    labels[:2, 28:] = 2
    return LabelMap(labels, ((255, 0, 0), (0, 128, 0), (0, 0, 255)))


def test_styles_are_assigned_to_regions_by_colour():
    wholes = [LabelMap.uniform(20, 30), LabelMap.uniform(7, 9)]
    matched = assign(thirds(), wholes, [colour_named("#f01010"), colour_named("green")], "global", [0.25, 0.75])
    assert [region.label for region in matched.regions] == [1, 0, 2]
    assert matched.weights == {1: (0, 1), 0: (1, 0), 2: (0.25, 0.75)}
    assert matched.sources[0] == (WHOLE, KEEP)
    assert [source.pixels for source in matched.regions[1].sources] == [600, 0]
    assert matched.regions[0].line().endswith("style 2: whole picture, 63 pixels")
    assert "no style names it" in matched.regions[2].line()
    assert matched.regions[2].sources[0].content == WHOLE  # too few pixels to say anything


def test_regions_that_no_style_names():
    wholes = [LabelMap.uniform(20, 30), LabelMap.uniform(7, 9)]
    colours = [(255, 0, 0), (0, 128, 0)]
    kept = assign(thirds(), wholes, colours, "keep", [0.5, 0.5])
    assert kept.sources[2] == (KEEP, KEEP)
    joined = assign(thirds(), wholes, colours, "nearest", [0.5, 0.5])
    assert joined.weights[2] == joined.weights[1]
    assert joined.regions[2].sources[1].content == 1
    onto_a_speck = assign(thirds(), wholes[:1], [(0, 0, 255)], "nearest", [1.0])
    assert onto_a_speck.regions[0].sources[0].content == WHOLE  # a speck's moments say nothing of who joins it
    mixed = assign(thirds(), wholes, [(255, 0, 0)] * 2, "keep", [0.25, 0.5])
    assert mixed.weights[0] == pytest.approx((1 / 3, 2 / 3))


def test_a_colour_of_no_region_is_refused():
    wholes = [LabelMap.uniform(20, 30), LabelMap.uniform(7, 9)]
    with pytest.raises(OptionError, match=r"no region of the content's mask has the colour #ffffff; it has #008000, "):
        assign(thirds(), wholes[:1], [(255, 255, 255)], "global", [1.0])
    with pytest.raises(OptionError, match="'rad' is not a colour"):
        colour_named("rad")
    with pytest.raises(OptionError, match="weigh nothing"):
        assign(thirds(), wholes, [(255, 0, 0), (0, 128, 0)], "global", [0.0, 1.0])


def test_wrong_options_are_refused():
    one = regions_of(600)
    with pytest.raises(OptionError, match="use one of global, nearest, keep"):
        match(one, [one], "drop")
    for weights in ([1], [1, -1], [0, 0], [1, float("nan")]):
        with pytest.raises(OptionError, match="weights"):
            match(one, [one, one], weights=weights)
    with pytest.raises(OptionError, match="no style"):
        match(one, [])


# Coverage


def some_map(height=53, width=71, kinds=4):
    return LabelMap(blobs(kinds, 3, (height, width), 5).astype(np.uint8), tuple((i, i, i) for i in range(kinds)))


@pytest.mark.parametrize("stride", [1, 2, 8, 16, 100])
def test_coverage_is_the_mean_over_each_cell(stride, monkeypatch):
    monkeypatch.setattr("universal_style.regions.label_map.BAND_PIXELS", 500)  # several bands
    regions = some_map()
    rows, columns = -(-53 // stride), -(-71 // stride)
    shares = regions.coverage(stride, rows, columns)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(rows, columns))
    for label in range(4):
        for row in range(rows):
            for column in range(columns):
                cell = regions.labels[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
                assert abs(float(shares[label, row, column]) - (cell == label).mean()) < 1e-6


def picture(height, width, seed=0):
    """Smooth colours, as a picture in [0, 1]."""
    coarse = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def halves(height, width, border):
    """Two regions, the second from a column on."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, border:] = 1
    return LabelMap(labels, ((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("stride", [1, 4, 16])
@pytest.mark.parametrize("cells", [8, 3])
def test_shares_of_a_matte_sum_to_one_and_windows_agree(stride, cells, monkeypatch):
    monkeypatch.setattr("universal_style.regions.matte.CELLS", cells)
    regions = some_map().following(picture(53, 71))
    rows, columns = -(-53 // stride), -(-71 // stride)
    whole = regions.coverage(stride, rows, columns)
    torch.testing.assert_close(whole.sum(dim=0), torch.ones(rows, columns))
    assert whole.min() >= 0
    top, left = rows // 3, columns // 2
    window = regions.coverage(stride, rows - top, columns - left, top, left)
    assert torch.equal(window, whole[:, top:, left:])
    inside = regions.coverage(stride, 1, 1, top, left)
    assert torch.equal(inside, whole[:, top : top + 1, left : left + 1])


def test_a_matte_is_made_in_bands(monkeypatch):
    monkeypatch.setattr("universal_style.regions.matte.CELLS", 4)
    regions, pixels = some_map(), picture(53, 71)
    whole = regions.following(pixels).matte
    monkeypatch.setattr("universal_style.regions.matte.BAND_NUMBERS", 1000)
    for one, other in zip(whole.planes, regions.following(pixels).matte.planes, strict=True):
        assert np.array_equal(one, other)
    assert (whole.share >= 127).all()
    assert (whole.first != whole.second).all()


@pytest.mark.parametrize("height", [240, 700])
def test_regions_end_where_the_picture_has_its_edge(height):
    """At 700 pixels the matte is fitted on cells of two."""
    edge, width = height * 2 // 3, height * 4 // 3
    pixels = torch.full((1, 3, height, width), 0.9)
    pixels[..., edge:] = torch.tensor([0.2, 0.1, 0.1])[:, None, None]
    drawn = halves(height, width, edge - 3)  # three pixels of the left side were drawn into the right
    followed = drawn.following(pixels).coverage(1, height, width)[1]
    assert followed[:, :edge].max() < 0.5
    assert followed[:, : edge - 8].max() < 0.15
    assert followed[:, edge + 1 :].min() > 0.98
    assert drawn.coverage(1, height, width)[1, :, edge - 3 :].min() == 1


def test_what_was_found_roughly_looks_further_for_its_edge():
    pixels = torch.full((1, 3, 160, 320), 0.9)
    pixels[..., 160:] = torch.tensor([0.2, 0.1, 0.1])[:, None, None]
    rough = halves(160, 320, 148)
    near, far = (rough.following(pixels, reach).coverage(1, 160, 320)[1] for reach in (1 / 64, 1 / 16))
    assert far[:, 148:158].mean() < 0.5 < 0.65 < near[:, 148:158].mean()
    assert far[:, 162:].min() > 0.95


def test_regions_meet_softly_where_the_picture_has_no_edge():
    regions = halves(160, 320, 160)
    followed = regions.following(torch.full((1, 3, 160, 320), 0.5))
    assert followed.labels is regions.labels
    assert followed.pixels == regions.pixels
    fine = followed.coverage(1, 160, 320)[1, 80]
    assert (fine[1:] >= fine[:-1]).all()
    assert abs(float(fine[159:161].mean()) - 0.5) < 0.01
    radius = 8
    assert 0 < fine[160 - radius] < 0.2 < 0.8 < fine[160 + radius] < 1
    assert fine[: 160 - 2 * radius - 1].max() == 0
    for stride in (2, 4, 8, 16):
        site = followed.coverage(stride, 160 // stride, 320 // stride)[1, 0]
        torch.testing.assert_close(site, fine.reshape(-1, stride).mean(dim=1))


def test_a_matte_goes_along():
    followed = some_map().following(picture(53, 71))
    assert torch.equal(pickle.loads(pickle.dumps(followed)).coverage(4, 14, 18), followed.coverage(4, 14, 18))
    half = followed.scaled(27, 36)
    assert half.matte.share.shape == (27, 36)
    assert (half.coverage(4, 7, 9) - followed.coverage(8, 7, 9)).abs().mean() < 0.05


def test_a_uniform_map_is_exactly_one():
    regions = LabelMap.uniform(30, 50)
    assert regions.count == 1
    assert regions.following(picture(30, 50)) is regions
    shares = regions.coverage(8, 4, 7)
    assert torch.equal(shares, torch.ones(1, 4, 7))
    assert torch.equal(moment_weights(shares), shares)
    one = LabelMap(regions.labels, ((5, 5, 5),))
    assert torch.equal(one.following(picture(30, 50)).coverage(8, 4, 7), torch.ones(1, 4, 7))


def test_weights_favour_pure_cells_and_keep_the_area():
    shares = some_map().coverage(8, 7, 9)
    weights = moment_weights(shares)
    torch.testing.assert_close(weights.sum(dim=(1, 2)), shares.sum(dim=(1, 2)))
    assert torch.equal(weights == 0, shares == 0)
    mixed = (shares > 0) & (shares < 0.5)
    assert (weights[mixed] < shares[mixed]).float().mean() > 0.9
    assert not moment_weights(torch.zeros(1, 2, 2)).any()


# Automatic regions


def textured(seed, rows=24, columns=32):
    """Features of two kinds, the second in a rectangle, with noise; and where it lies."""
    rng = np.random.default_rng(seed)
    where = np.zeros((rows, columns), bool)
    where[4 + seed : 16 + seed, 6 : 16 + 2 * seed] = True
    kinds = np.random.default_rng(9).standard_normal((2, 12))
    features = kinds[where.astype(int)] + 0.3 * rng.standard_normal((rows, columns, 12))
    return torch.from_numpy(features).float().permute(2, 0, 1), where


def test_textures_are_told_apart_jointly():
    (one, where_one), (other, where_other) = textured(0), textured(4, 30, 28)
    first, second = cluster([one, other], 2)
    inside = first[8, 10]
    assert ((first == inside) == where_one).mean() > 0.97
    assert ((second == inside) == where_other).mean() > 0.97
    again = cluster([one, other], 2)
    assert np.array_equal(again[0], first)


def test_automatic_regions_have_the_size_of_the_pictures():
    (one, where), (other, _) = textured(0), textured(4, 30, 28)
    content, style = automatic_regions([one, other], [(95, 128), (60, 56)], 2)
    assert content.labels.shape == (95, 128)
    assert style.labels.shape == (60, 56)
    assert len(content.colours) == 2
    assert content.colours == style.colours
    large = where.repeat(4, axis=0).repeat(4, axis=1)[:95]
    assert ((content.labels == content.labels[40, 40]) == large).mean() > 0.95
    assert match(content, [style]).sources == {0: (0,), 1: (1,)}


@pytest.mark.parametrize("n", [2, 8])
@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 1, 1), (1, 3, 2)])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_pictures_are_cut_up_somehow(n, shape, value):
    features = [torch.full(shape, value), torch.full((shape[0], 5, 4), value)]
    for labels in cluster(features, n):
        assert labels.max() < n
    for regions in automatic_regions(features, [(16, 16), (1, 1)], n):
        assert regions.coverage(16, 1, 1).sum() == 1


def test_fewer_kinds_than_clusters():
    plane = torch.zeros(3, 10, 10)
    plane[:, :, 5:] = 1.0
    (labels,) = cluster([plane], 6)
    assert labels[0, 0] != labels[0, 9]


def test_sites_are_stacked_with_balanced_energy(rng):
    fine = torch.from_numpy(rng.standard_normal((4, 20, 30))).float() * 100
    coarse = torch.from_numpy(rng.standard_normal((16, 10, 15))).float()
    joint = stacked([fine, coarse, torch.full((2, 5, 5), 0.7)], 10, 15)
    assert joint.shape == (22, 10, 15)
    energies = [float(part.square().sum(dim=0).mean()) for part in (joint[:4], joint[4:20], joint[20:])]
    assert energies == pytest.approx([4**0.4, 16**0.4, 0], rel=1e-3)


@pytest.mark.parametrize("n", [-1, 0, 1, 9])
def test_the_number_of_automatic_regions_is_checked(n):
    with pytest.raises(OptionError, match="use 2 to 8"):
        cluster([torch.zeros(3, 4, 4)], n)


def test_a_segmentation_network_labels_pictures_jointly():
    """The real network with random weights: what it says means nothing, but it is said in one numbering."""
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    pictures = [torch.rand(1, 3, 70, 90), torch.rand(1, 3, 40, 130)]
    content, style = Segmenter(network)(pictures)
    assert content.labels.shape == (70, 90)
    assert style.labels.shape == (40, 130)
    assert content.colours == style.colours
    assert max(content.labels.max(), style.labels.max()) < content.count
    assert content.pixels[0] == max(content.pixels)  # numbered by area in the content


def test_scores_become_labels_by_what_they_show():
    class TwoHalves(torch.nn.Module):
        def forward(self, pixels):
            scores = torch.zeros(1, 21, *pixels.shape[2:])
            scores[:, 15, :, : pixels.shape[3] // 2] = 5
            scores[:, 8, :, pixels.shape[3] // 2 :] = 5
            return {"out": scores}

    content, style = Segmenter(TwoHalves())([torch.rand(1, 3, 64, 80), torch.rand(1, 3, 1200, 100)])
    assert set(content.colours) == {(192, 128, 128), (64, 0, 0)}  # person and cat, as Pascal VOC draws them
    assert (content.labels[:, :38] == content.labels[0, 0]).all()
    assert (content.labels[:, 42:] == content.labels[0, -1]).all()
    assert content.labels[0, 0] != content.labels[0, -1]
    assert style.labels[600, 10] == content.labels[0, 0]


def test_a_segmentation_network_that_cannot_be_fetched_is_one_line(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models.segmentation.lraspp_mobilenet_v3_large", offline)
    with pytest.raises(InputError, match=r"cannot be fetched \(no network\); connect"):
        Segmenter.pretrained(torch.device("cpu"))
