import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFilter

from universal_style.errors import InputError, OptionError
from universal_style.images import Image
from universal_style.lut import SIZE, Lut, check_lut, identity, interpolation


def graded(pixels):
    """A grade that no matrix makes: a curve, and saturation that depends on brightness."""
    luma = pixels.mean(axis=-1, keepdims=True)
    return np.clip(luma + (pixels**0.8 - luma) * (0.4 + 0.5 * luma), 0, 1).astype(np.float32)


@pytest.fixture
def content(rng):
    return Image(rng.random((120, 160, 3)).astype(np.float32))


def test_a_table_is_fitted_to_few_pixels(rng):
    content = Image.of(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    result = Image.of(content.pixels * np.float32(0.5) + np.float32(0.2))
    fitted = Lut.fit(content, result)
    assert fitted.mean_error < 1
    steps = np.linspace(0, 1, SIZE, dtype=np.float32)
    assert np.abs(np.diff(fitted.table[:, 16, 16, 0])).max() < 4 * (steps[1] - steps[0])


def test_interpolation_is_exact_at_the_entries():
    colours = identity(5).reshape(-1, 3)
    assert np.allclose(interpolation(colours, 5).toarray(), np.eye(125))


def test_a_map_of_colours_is_found(content):
    result = Image(graded(content.pixels))
    lut = Lut.fit(content, result, size=17)
    assert lut.mean_error < 1
    assert lut.mean_error <= lut.high_error < 3
    np.testing.assert_allclose(lut(content).pixels, result.pixels, atol=0.03)
    fresh = Image(np.random.default_rng(9).random((30, 40, 3)).astype(np.float32) * 0.9 + 0.05)
    assert np.abs(lut(fresh).pixels - graded(fresh.pixels)).mean() < 0.01


def test_colours_that_the_content_lacks_change_as_their_neighbours_do(rng):
    dark = Image((rng.random((60, 60, 3)) * 0.4).astype(np.float32))
    lut = Lut.fit(dark, Image(dark.pixels + np.float32(0.1)), size=9)
    assert np.abs(lut.table - np.clip(identity(9) + 0.1, 0, 1)).max() < 0.03


def test_nothing_changed_is_the_identity(content):
    lut = Lut.fit(content, content, size=9)
    np.testing.assert_allclose(lut.table, identity(9), atol=1e-6)
    assert lut.mean_error < 1e-3


def test_pictures_of_unlike_size_are_refused(content):
    with pytest.raises(InputError, match="fitted to pictures of one size"):
        Lut.fit(content, Image(content.pixels[:, :-1]))


def read_cube(path):
    lines = path.read_text().splitlines()
    size = int(next(line for line in lines if line.startswith("LUT_3D_SIZE")).split()[1])
    return size, [tuple(map(float, line.split())) for line in lines if line[0].isdigit()]


def test_the_file_means_the_same_to_another_library(content, tmp_path):
    lut = Lut.fit(content, Image(graded(content.pixels)), size=17)
    lut.write(tmp_path / "grade.cube", 'a "grade"')
    size, rows = read_cube(tmp_path / "grade.cube")
    assert (size, len(rows)) == (17, 17**3)
    picture = content.pillow()
    other = np.asarray(picture.filter(ImageFilter.Color3DLUT(size, rows)), dtype=float)
    own = np.asarray(lut(Image.of(picture)).pillow(), dtype=float)
    assert np.abs(other - own).max() <= 2
    assert (tmp_path / "grade.cube").read_text().startswith("TITLE \"a 'grade'\"\n")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
def test_the_file_means_the_same_to_ffmpeg(content, tmp_path):
    lut = Lut.fit(content, Image(graded(content.pixels)), size=17)
    lut.write(tmp_path / "grade.cube", "grade")
    content.write(tmp_path / "in.png")
    graph = f"lut3d=file={tmp_path / 'grade.cube'}:interp=trilinear"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "in.png", "-vf", graph, "-pix_fmt", "rgb24", tmp_path / "out.png"],
        check=True,
    )
    other = np.asarray(Pillow.open(tmp_path / "out.png"), dtype=float)
    own = np.asarray(lut(Image.of(tmp_path / "in.png")).pillow(), dtype=float)
    assert np.abs(other - own).max() <= 2


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"needs the suffix .cube"):
        check_lut(tmp_path / "grade.txt")


def test_the_command_line_writes_it(tmp_path, monkeypatch, command_line, cat, ducks):
    monkeypatch.chdir(tmp_path)
    cat.save("cat.png")
    ducks.save("ducks.png")
    command = ["transfer", "cat.png", "ducks.png", "-o", "out.png", "-m", "wct2", "--lut", "look.cube"]
    code, output = command_line(*command, "--size", "96", "--json", "report.json")
    assert code == 0
    assert "look.cube  mean error" in output.err
    size, rows = read_cube(tmp_path / "look.cube")
    assert (size, len(rows)) == (33, 33**3)
    facts = json.loads((tmp_path / "report.json").read_text())["lut"]
    applied = cat.resize((96, 72), Pillow.Resampling.LANCZOS).filter(ImageFilter.Color3DLUT(size, rows))
    gap = np.abs(np.asarray(applied, dtype=float) - np.asarray(Pillow.open("out.png"), dtype=float)).mean()
    assert gap == pytest.approx(facts["mean_error"], abs=1)
