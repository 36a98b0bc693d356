import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from universal_style import canvas, devices, transfer
from universal_style.drivers import bounds, edits
from universal_style.drivers.bounds import bound_of, bytes_of
from universal_style.drivers.whole import carry
from universal_style.errors import InputError, OptionError, OutputError
from universal_style.images import Image
from universal_style.methods import METHODS, Blind
from universal_style.methods.walks import walks_over
from universal_style.networks.layers import Layers
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.vgg import reach_down, reach_up
from universal_style.reference.losses import relative_error
from universal_style.regions import LabelMap, read_masks
from universal_style.smoothing import BilateralFit, ClosedForm, GuidedFilter, smoothed
from universal_style.styles import Style
from universal_style.stylizer import Stylizer
from universal_style.transforms import AffineMap
from universal_style.windows import grown_length, windows

WAYS = {
    "wct": {"levels": [3, 1]},
    "photo-wct": {"levels": [2, 1], "sites": ["encoder", "decoder"], "smooth": "none"},
    "wct2": {},
    "wct2-sum": {"sites": ["encoder", "skip", "decoder"]},
}


def both(method, content, style, side, **options):
    """Give a picture carried whole, and the same in windows of a side."""
    stylizer = Stylizer(method, device="cpu", dtype="float32")
    pictures = []
    for tile in ("off", side):
        _, request, task = stylizer.prepare(content, style, tile=tile, **options)
        pictures.append(request.recipe.carry(stylizer.loaded, task).pixels)
    return pictures


@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("size", [(180, 150), (333, 97)])
def test_windows_give_the_same_picture_as_the_whole(method, size, cat, ducks):
    content = cat.resize(size[::-1])
    whole, tiled = both(method, content, ducks, 160, **WAYS[method])
    assert whole.shape == tiled.shape == (1, 3, *size)
    assert len(windows(*size, 8, 64, 160 * 160)) > 1
    assert (whole - tiled).abs().max() < 1 / 255


def test_a_refined_picture_in_windows_is_that_of_the_whole(cat, ducks):
    whole, tiled = both("wct2-sum", cat.resize((180, 150)), ducks, 160, alpha=0.5)
    assert (whole - tiled).abs().max() < 1 / 255


def test_windows_of_any_size_do(cat, ducks):
    content = cat.resize((50, 36))
    for side in (1, 40):
        whole, tiled = both("wct", content, ducks, side, levels=[2])
        assert (whole - tiled).abs().max() < 1e-3


def test_regions_are_carried_in_windows_too(cat, ducks):
    content = cat.resize((160, 64))
    mask = torch.zeros(3, 64, 160)
    mask[0, :, 70:], mask[1, 16:30] = 1, 1
    whole, tiled = both("wct2", content, ducks, 90, content_mask=mask, style_masks=[mask])
    plain = Image.of(transfer(content, ducks, method="wct2", device="cpu", dtype="float32")).tensor()
    assert (whole - plain).abs().max() > 0.1
    assert (whole - tiled).abs().max() < 1 / 255


def test_shares_of_many_regions_are_asked_for_in_bands(cat, ducks, monkeypatch):
    """A hundred regions' shares of every pixel are as large as a hundred pictures."""
    content = cat.resize((150, 101))
    colours = torch.randint(0, 6, (3, 8, 8)).repeat_interleave(19, dim=2).repeat_interleave(13, dim=1) / 5
    options = {"content_mask": colours[:, :101, :150], "levels": [3, 1]}
    asked = []
    monkeypatch.setattr("universal_style.regions.matte.CELLS", 2)  # as few as those of a large picture

    def seen(self, *place, coverage=LabelMap.coverage):
        shares = coverage(self, *place)
        asked.append(shares.numel())
        return shares

    monkeypatch.setattr(LabelMap, "coverage", seen)
    whole, _ = both("wct", content, ducks, 4000, **options)
    largest = max(asked)
    asked.clear()
    monkeypatch.setattr(edits, "SHARES", largest // 10)
    banded, tiled = both("wct", content, ducks, 100, **options)
    assert max(asked) < largest / 4
    assert (whole - banded).abs().max() < 1e-3
    assert (whole - tiled).abs().max() < 1 / 255


def test_borders_of_windows_are_no_seams(cat, ducks):
    content = cat.resize((400, 300))
    whole, tiled = both("wct", content, ducks, 200, levels=[3])
    error = (whole - tiled).abs().amax(dim=(0, 1))
    tiles = windows(300, 400, 4, 32, 200 * 200)
    rows = {w.rows.first for w in tiles if w.rows.first} | {w.columns.first for w in tiles if w.columns.first}
    assert rows
    near = max(float(error[:, w.columns.first - 1 : w.columns.first + 1].mean()) for w in tiles if w.columns.first)
    assert near <= 3 * float(error.mean()) + 1e-6


def test_a_reduced_copy_gives_nearly_the_same_maps(cat, ducks):
    content = cat.resize((400, 300))
    exact, quick = both("wct", content, ducks, 200, observe_size=200, levels=[2])
    error = (exact - quick).square().mean()
    assert 0 < error < 10 ** (-20 / 10), -10 * error.log10()
    same, whole = both("wct", content, ducks, 200, observe_size=4000, levels=[2])
    assert (same - whole).abs().max() < 1 / 255


def test_a_region_that_vanishes_in_a_reduced_copy_is_carried_as_the_whole(cat, ducks, monkeypatch):
    monkeypatch.setattr(LabelMap, "following", lambda self, pixels, reach: self)  # a matte would reach beyond it
    content = cat.resize((400, 300))
    mask = torch.zeros(3, 300, 400)
    mask[0, :, 197:204] = 1
    options = {"content_mask": mask, "levels": [1], "observe_size": 50}
    _, vanishing = both("wct", content, ducks, 200, **options)
    regions, _ = read_masks(mask, (None,), (300, 400), [(80, 120)])
    assert 0 in regions.scaled(38, 50).pixels
    line = vanishing[0, :, :, 200]
    assert line.std(dim=1).min() > 0.05  # not one colour
    _, whole = both("wct", content, ducks, 200, levels=[1], observe_size=50)
    assert (line - whole[0, :, :, 200]).abs().mean() < 0.05


@pytest.mark.parametrize("method", ["wct", "wct2-sum", "gatys"])
def test_a_large_style_is_surveyed_in_windows(method, ducks):
    loaded = Stylizer("wct", device="cpu", dtype="float32").loaded
    if method == "gatys":
        walk = Layers(loaded.encoder, NearestPooling(), frozenset({"relu2_2", "relu4_2"}))
    else:
        stages, _ = METHODS[method].recipe(**WAYS[method]).stages_of(loaded)
        (walk,) = walks_over(stages)
    pixels = Image.of(ducks.resize((330, 100))).tensor()
    labels = np.zeros((100, 330), np.uint8)
    labels[:, 150:] = 1
    seen = []
    halves = LabelMap(labels, ((0, 0, 0), (255, 255, 255)))
    for most in (10**6, 30_000):
        seen.append(Style.of_regions(pixels, [walk], halves, torch.device("cpu"), most=most))
    for whole, parts in zip(*seen, strict=True):
        assert whole.moments.keys() == parts.moments.keys()
        for key, moments in whole.moments.items():
            assert torch.isclose(moments.count, parts.moments[key].count)
            assert relative_error(parts.moments[key].covariance, moments.covariance) < 1e-6
            assert relative_error(parts.moments[key].mean, moments.mean) < 1e-6


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 2000), (513, 511), (64, 64)])
@pytest.mark.parametrize("most", [1, 200**2, 10**9])
def test_windows_cover_each_pixel_once_with_their_halo(height, width, most):
    stride, halo = 8, 64
    seen = torch.zeros(grown_length(height, stride), grown_length(width, stride))
    tiles = windows(height, width, stride, halo, most)
    assert len({window.area for window in tiles}) == 1
    for window in tiles:
        for span, length in ((window.rows, seen.shape[0]), (window.columns, seen.shape[1])):
            assert 0 <= span.start <= max(0, span.first - halo)
            assert length >= span.stop >= min(length, span.last + halo)
            assert not any(end % stride for end in (span.start, span.stop, span.first, span.last))
        seen[window.rows.first : window.rows.last, window.columns.first : window.columns.last] += 1
    assert bool((seen == 1).all())


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_halo_is_as_wide_as_it_must_be_and_no_wider(level, cat, monkeypatch):
    """A pixel beyond the reach changes nothing, one within it does; of tiles with fewer products, how others round."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    stylizer = Stylizer("wct", device="cpu", dtype="float32")
    recipe = METHODS["wct"].recipe(levels=[level], alpha=0)
    reach = reach_up(level, reach_down(level))
    (stage,), _ = recipe.stages_of(stylizer.loaded)
    before = Image.of(cat.resize((256, 32))).tensor()

    def decoded(pixels):
        return carry(
            stage, pixels, lambda site, m: [AffineMap.identity(m[0].channels)], LabelMap.uniform(*pixels.shape[2:])
        )

    changed = []
    for distance in (reach + stage.stride, reach // 2):
        after = before.clone()
        after[..., 128 + distance] = 1 - after[..., 128 + distance]
        changed.append(bool(((decoded(after) - decoded(before))[..., 128 - stage.stride : 129]).abs().max() > 0))
    assert changed == [False, True]


@pytest.mark.parametrize(("text", "amount"), [("4GiB", 2**32), ("800M", 800 * 2**20), ("1.5 gb", 3 * 2**29), (77, 77)])
def test_amounts_of_memory_are_read(text, amount):
    assert bytes_of(text) == amount


@pytest.mark.parametrize(
    ("tile", "memory", "said"),
    [
        ("big", None, "tile 'big' is unknown"),
        (0, None, "tile 0 is unknown"),
        ("²", None, "tile '²' is unknown"),
        ("auto", "much", "memory 'much' is not an amount"),
        (512, "4GiB", "exclude each other"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(tile, memory, said):
    with pytest.raises(OptionError, match=said):
        bound_of(tile, memory)


def test_what_a_group_caches_of_files_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "GROUP", tmp_path)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**40))
    cpu = torch.device("cpu")
    assert devices.free_memory(cpu) == 2**40  # no group
    (tmp_path / "memory.max").write_text("8000\n")
    (tmp_path / "memory.current").write_text("7000\n")
    assert devices.free_memory(cpu) == 1000
    parts = {"anon": 2000, "file": 4500, "shmem": 700, "inactive_file": 3000, "active_file": 800}
    (tmp_path / "memory.stat").write_text("".join(f"{name} {number}\n" for name, number in parts.items()))
    assert devices.free_memory(cpu) == 4800
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.free_memory(cpu) == 2**40


def test_a_bound_on_memory_makes_windows_or_says_what_is_needed(cat, ducks):
    stylizer = Stylizer("wct2", device="cpu", dtype="float32")
    content = cat.resize((500, 400))
    spoken = []

    class Listening(Blind):
        def plans(self, step, windows):
            spoken.append((step, windows))

    free = stylizer.run(content, ducks, witness=Listening())[0]
    assert not spoken
    bound = stylizer.run(content, ducks, memory="1300MiB", witness=Listening())[0]
    assert [step for step, _ in spoken] == ["relu2_1"]
    assert abs(free.pixels - bound.pixels).max() < 1 / 255
    too_little = r"memory 300MiB is too little for 0.2 megapixels; this picture needs (\d+)MiB"
    with pytest.raises(OptionError, match=too_little) as alone:
        stylizer.run(content, ducks, memory="300MiB")
    mask = (torch.arange(100).repeat_interleave(5) / 99).expand(3, 400, -1)
    matte = 3 * 500 * 400
    needed = int(re.search(too_little, str(alone.value))[1]) + -(-(99 * bounds.REGION_BYTES + matte) // 2**20)
    with pytest.raises(InputError, match=f"in 100 regions; this picture needs {needed}MiB"):
        stylizer.run(content, ducks, content_mask=mask, memory="1400MiB")


def test_windows_of_deep_levels_are_worth_their_halo(cat, ducks, monkeypatch):
    """What leaves room for nearly nothing but halo is refused, or taken for more where it was not asked for."""
    stylizer = Stylizer("wct", device="cpu", dtype="float32")
    content = cat.resize((1024, 768))
    deep = r"this picture needs (\d+)MiB"
    with pytest.raises(OptionError, match=deep) as refused:
        stylizer.run(content, ducks, levels=[5], memory="1000MiB")
    spoken = []

    class Listening(Blind):
        def plans(self, step, windows):
            spoken.append(windows)
            raise StopAsyncIteration  # before hundreds of walks

    needed = f"{re.search(deep, str(refused.value))[1]}MiB"
    monkeypatch.setattr(bounds, "free_memory", lambda device: 2**20)
    for memory in (needed, None):
        with pytest.raises(StopAsyncIteration):
            stylizer.run(content, ducks, levels=[5], memory=memory, witness=Listening())
    assert all(int(words.split()[0]) < 40 for words in spoken)
    assert len(spoken) == 2
    stylizer.run(content.resize((200, 150)), ducks, levels=[5], memory="1000MiB")  # small pictures have small walks


def test_freed_memory_goes_back_before_each_stage(cat, ducks, monkeypatch):
    given_back = []
    monkeypatch.setattr(bounds, "give_freed_memory_back", lambda: given_back.append(True))
    monkeypatch.setattr(bounds, "NEARLY", 100)  # never between two windows
    Stylizer("wct", device="cpu", dtype="float32").run(cat.resize((600, 500)), ducks, levels=[2, 1], memory="1100MiB")
    assert len(given_back) == 2


@pytest.mark.parametrize("size", [(100, 77), (301, 257), (1, 1)])
def test_a_large_picture_is_reduced_as_a_small_one_is(monkeypatch, size):
    pixels = torch.rand(1, 3, 301, 257).contiguous(memory_format=torch.channels_last)
    whole = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    monkeypatch.setattr(canvas, "BAND_PIXELS", 3000)
    torch.testing.assert_close(canvas.reduced(pixels, size), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [*({"keep_colors": way} for way in ("luminance", "luminance-only", "coral")), {"smooth": "guided", "size": 150}],
)
def test_a_picture_in_a_file_is_no_other(options, stylizer, cat, ducks, monkeypatch):
    kept = stylizer.run(cat, ducks, levels=[2], tile=100, **options)[0].pixels
    monkeypatch.setattr(canvas, "MAPPED_PIXELS", 1000)
    mapped = stylizer.run(cat, ducks, levels=[2], tile=100, **options)[0].pixels
    assert isinstance(torch.from_numpy(mapped).untyped_storage().data_ptr(), int)
    assert torch.from_numpy(mapped).untyped_storage().data_ptr() in canvas._mappings
    assert (kept == mapped).all()


def test_a_file_is_gone_with_its_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(canvas, "MAPPED_PIXELS", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = canvas.blank(30, 40)
    pixels[:] = 0.5
    canvas.rest(pixels)
    assert bool((pixels == 0.5).all())
    assert not list(tmp_path.iterdir())  # it never had a name


def test_a_full_disk_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(canvas, "MAPPED_PIXELS", 10)
    with pytest.raises(OutputError, match=r"needs \d+ MiB in .*, which has \d+ MiB left; make room, or set TMPDIR"):
        canvas.blank(10**6, 10**7)


@pytest.mark.parametrize(
    "smoothing", [BilateralFit(), GuidedFilter(), ClosedForm()], ids=["bilateral", "guided", "closed form"]
)
def test_smoothing_in_windows_is_that_of_the_whole(smoothing, cat, ducks):
    size = (700, 90)
    guide, result = (Image.of(picture.resize(size)).tensor() for picture in (cat, ducks))
    whole = smoothing(result, guide)
    parts = smoothed(smoothing, result, guide, most=60_000)
    assert len(windows(90, 700, smoothing.stride, smoothing.reach, 60_000)) > 1
    assert (whole - parts).abs().max() < 1 / 255


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc keeps memory so on Linux alone")
def test_freed_memory_is_kept_until_a_bound_is_near():
    script = """
import psutil, torch
from universal_style.allocator import keep_freed_memory
from universal_style.drivers.bounds import bound_of
held = lambda: psutil.Process().memory_info().rss >> 20
keep_freed_memory()
before = held()
parts = [torch.ones(2**21) for _ in range(40)]
last = torch.ones(1)
del parts
bound_of("auto", "1TiB").keep()
kept = held()
bound_of("auto", f"{kept}MiB").keep()
print(before, kept, held())
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    before, kept, left = map(int, done.stdout.split())
    assert kept - before > 300
    assert left - before < 100


def test_a_bound_is_kept_to_between_windows(monkeypatch, cat, ducks):
    kept = []
    monkeypatch.setattr(bounds.Side, "keep", lambda bound: kept.append(bound))
    Stylizer("wct", device="cpu").transfer(cat.resize((400, 90)), ducks, levels=[2], tile=150)
    tiles = windows(90, 400, 2, reach_up(2, reach_down(2)), 150**2)
    assert len(tiles) > 1
    assert kept == [bounds.Side(150)] * 2 * len(tiles)  # as they are observed, and as they are carried
