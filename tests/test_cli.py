import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Pillow

from universal_style import cli
from universal_style.batch import PAIRINGS
from universal_style.cli import names as choices
from universal_style.devices import DTYPES
from universal_style.errors import InputError
from universal_style.images import FORMATS
from universal_style.keep_colors import KEEP_COLORS
from universal_style.methods import descent
from universal_style.methods.beginnings import INITS
from universal_style.mixing import MIXINGS
from universal_style.networks import pooling
from universal_style.networks.checkpoints import bundled_folder
from universal_style.reference.descent import OPTIMIZERS
from universal_style.regions import MISSING
from universal_style.smoothing import SMOOTHINGS
from universal_style.transforms import TRANSFORMS


@pytest.fixture
def run(monkeypatch, tmp_path, command_line):
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return command_line


@pytest.fixture
def pictures(tmp_path, cat, ducks):
    cat.save(tmp_path / "cat.png")
    ducks.save(tmp_path / "ducks.jpg")
    return tmp_path


def test_transfer_writes_picture_and_report(run, pictures):
    code, output = run(
        "transfer", "cat.png", "ducks.jpg", "-o", "out.png", "--levels", "2,1", "--alpha", "0.8", "--transform", "ot",
        "--size", "64", "--style-size", "90", "--device", "cpu", "--dtype", "float32", "--seed", "3",
        "--json", "report.json",
    )  # fmt: skip
    assert code == 0
    assert output.err.startswith("out.png  64×48")
    with Pillow.open("out.png") as result:
        assert result.size == (64, 48)
    report = json.loads((pictures / "report.json").read_text())
    assert report["method"] == "wct"
    assert report["options"]["levels"] == [2, 1]
    assert report["options"]["seed"] == 3
    assert report["options"]["transform"] == "ot"
    assert report["content"] == "cat.png"
    assert report["seconds"]["relu2_1"] > 0
    assert report["versions"]["torch"]
    assert sorted(p.name for p in pictures.iterdir()) == ["cat.png", "ducks.jpg", "out.png", "report.json"]


def test_a_path_is_said_as_it_is(run, pictures):
    output = Path(f"a[/b] [van gogh] :cat: {'long ' * 20}.png")
    output.parent.mkdir()
    code, said = run("transfer", "cat.png", "ducks.jpg", "-o", output, "--levels", "1", "--size", "32")
    assert (code, said.err.count("\n")) == (0, 1)
    assert said.err.startswith(f"{output}  32×24  ")


def test_a_result_too_long_for_its_format_is_told_before_any_work(run, pictures):
    Pillow.new("RGB", (16384, 1)).save("long.png")
    for wrong in (
        ["transfer", "long.png", "ducks.jpg", "-o", "out.webp"],
        ["transfer", "cat.png", "ducks.jpg", "-o", "out.webp", "--size", "20000"],
        ["texture", "ducks.jpg", "-o", "out.webp", "--size", "20000x16"],
    ):
        code, output = run(*wrong, "--device", "cpu")
        assert code == 1
        assert output.err.startswith("universal-style: output out.webp would be")
        assert output.err.count("\n") == 1


def test_a_bound_on_memory_holds_while_pictures_are_read_and_written(run, pictures, cat, monkeypatch):
    monkeypatch.setattr("universal_style.canvas.MAPPED_PIXELS", 1000)
    cat.resize((6000, 4800)).save("large.jpg")
    bounded = ["ducks.jpg", "--memory", "1000MiB", "--device", "cpu", "--levels", "1", "-q"]
    code, output = run("transfer", "large.jpg", *bounded, "-o", "out.png", "--size", "80")
    assert code == 1
    assert "memory 1000MiB is too little for reading the picture, which takes" in output.err
    code, output = run("transfer", "cat.png", *bounded, "-o", "out.jpg", "--size", "6000")
    assert code == 1
    assert "memory 1000MiB is too little for writing out.jpg, which takes" in output.err
    assert "a .tif is read and written in parts" in output.err
    assert not list(pictures.glob("out*"))
    tifffile.imwrite("large.tif", np.asarray(cat.resize((6000, 4800))), photometric="rgb", rowsperstrip=100)
    assert run("transfer", "large.tif", *bounded, "-o", "out.png", "--size", "80")[0] == 0
    with Pillow.open("out.png") as result:
        assert result.size == (80, 64)


@pytest.mark.parametrize("command", ["transfer", "repeat"])
def test_a_picture_may_have_as_many_pixels_as_are_asked_for(run, pictures, monkeypatch, command):
    made = ["transfer", "cat.png", "ducks.jpg", "-o", "out.png", "--levels", "1", "--size", "64", "--json", "a.json"]
    assert run(*made, "--device", "cpu", "-q")[0] == 0
    words = made if command == "transfer" else ["repeat", "a.json", "-o", "again.png"]
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1000)
    code, output = run(*words, "-q")
    assert code == 1
    assert "allow more if it is no hostile file (--most-megapixels of transfer and repeat)" in output.err
    assert run(*words, "-q", "--most-megapixels", "1")[0] == 0
    code, output = run(*words, "-q", "--most-megapixels", "0")
    assert code == 2
    assert output.err.endswith("most-megapixels 0 is out of range; it lies above 0, up to 100000\n")


def test_a_saved_style_stands_for_a_picture(run, pictures):
    assert run("style", "save", "ducks.jpg", "-o", "ducks.safetensors", "--dtype", "float32")[0] == 0
    common = ("--levels", "1", "--dtype", "float32", "--quiet")
    code, output = run("transfer", "cat.png", "ducks.safetensors", "-o", "a.png", *common)
    assert (code, output.err) == (0, "")
    assert run("transfer", "cat.png", "ducks.jpg", "-o", "b.png", *common)[0] == 0
    a, b = (np.asarray(Pillow.open(name), dtype=float) for name in ("a.png", "b.png"))
    assert np.abs(a - b).max() <= 2


def test_a_folder_of_pictures_is_one_style(run, pictures):
    (pictures / "works").mkdir()
    for name in ("cat.png", "ducks.jpg"):
        shutil.copy(pictures / name, pictures / "works" / name)
    assert run("style", "save", "works", "-o", "works.safetensors", "--dtype", "float32", "-q")[0] == 0
    assert run("style", "save", "cat.png", "ducks.jpg", "-o", "both.safetensors", "--dtype", "float32", "-q")[0] == 0
    assert (pictures / "works.safetensors").stat().st_size == (pictures / "both.safetensors").stat().st_size
    code, output = run("style", "save", "cat.png", "-o", "point.safetensors", "--style-size", "-100")
    assert (code, "style-size -100 is out of range" in output.err) == (2, True)
    assert not (pictures / "point.safetensors").exists()
    (pictures / "empty").mkdir()
    code, output = run("style", "save", "empty", "-o", "empty.safetensors")
    assert (code, "no picture in empty" in output.err) == (1, True)


def test_two_styles_with_weights(run, pictures):
    code, _ = run("transfer", "cat.png", "ducks.jpg", "cat.png", "-o", "out.png", "--style-weights", "0.7,0.3",
                  "--levels", "1")  # fmt: skip
    assert code == 0


def test_info_lists_what_there_is(run):
    code, output = run("info", "--json")
    assert code == 0
    facts = json.loads(output.out)
    assert "wct" in facts["methods"]
    assert set(facts["checkpoints"]) >= {f"decoder-nearest-relu{k}_1" for k in range(1, 6)}
    code, output = run("info")
    assert code == 0
    assert "encoder-vgg19-normalised" in output.out


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("transfer cat.png ducks.jpg -o ducks.jpg", "ducks.jpg is read, too"),
        ("transfer cat.png ducks.jpg -o cat.png", "cat.png is read, too"),
        ("transfer cat.png ducks.jpg -o a.png --json ducks.jpg", "ducks.jpg is read, too"),
        ("transfer cat.png ducks.jpg -o a.png --json works/../a.png", "a.png is written twice"),
        ("transfer cat.png ducks.jpg -o a.png -m gatys --preview cat.png", "cat.png is read, too"),
        ("transfer cat.png ducks.jpg -o a.png --content-mask cat.png --json ./cat.png", "cat.png is read, too"),
        ("texture ducks.jpg -o ducks.jpg", "ducks.jpg is read, too"),
        ("grid cat.png ducks.jpg cat.png -o ducks.jpg", "ducks.jpg is read, too"),
        ("batch works ducks.jpg -o out --json ducks.jpg", "ducks.jpg is read, too"),
    ],
)
def test_no_picture_is_written_over(run, pictures, command, path):
    (pictures / "works").mkdir()
    shutil.copy("cat.png", "works")
    before = {file: file.read_bytes() for file in pictures.iterdir() if file.is_file()}
    code, output = run(*command.split())
    assert (code, path in " ".join(output.err.split())) == (2, True)
    assert {file: file.read_bytes() for file in pictures.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (choices.TransformName, TRANSFORMS),
        (choices.PoolingName, pooling.POOLINGS),
        (choices.OptimizerName, OPTIMIZERS),
        (choices.InitName, INITS),
        (choices.EncoderPoolingName, descent.POOLINGS),
        (choices.EncoderName, descent.ENCODERS),
        (choices.SmoothingName, SMOOTHINGS),
        (choices.MixName, MIXINGS),
        (choices.KeepColorsName, KEEP_COLORS),
        (choices.MissingName, MISSING),
        (choices.DtypeName, ("auto", *DTYPES)),
        (choices.PairsName, PAIRINGS),
        (choices.FormatName, {suffix.removeprefix(".") for suffix in FORMATS} - {"jpeg", "tif"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_command_line_knows_all_names_of_a_table(names, table):
    assert {name.value for name in names} == set(table)


PROGRAM = [sys.executable, "-m", "universal_style"]
"""What `universal-style` starts."""


def test_the_version_is_told():
    said = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"universal-style {version('universal-style')}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [(["info"], 0, "decoder"), (["transfer", "no.png", "no.png", "-o", "out.png"], 1, "no.png"), (["nothing"], 2, "")],
)
def test_the_program_ends_with_the_code_of_its_command(tmp_path, arguments, code, word):
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code
    assert word in (done.stderr if code else done.stdout)


def test_the_program_does_what_is_registered_for_the_end():
    script = """
import atexit, sys
from universal_style.cli import app, program
sys.argv[1:] = ["farewell"]
@app.command()
def farewell():
    atexit.register(print, "farewell")
program()
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "farewell\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are told in KiB on Linux alone")
def test_the_end_of_the_program_takes_no_memory(pictures):
    transfer = ["transfer", "cat.png", "ducks.jpg", "-o", "out.png", "-m", "wct2", "--size", "400", "--json", "r.json"]
    # A process of its own starts the program: what a parent holds counts into the peak of its child.
    script = """
import os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL).pid, 0)
print(status, used.ru_maxrss * 1024)
"""
    starter = [sys.executable, "-c", script]
    said = subprocess.run([*starter, *PROGRAM, *transfer], capture_output=True, text=True, cwd=pictures, check=True)
    status, peak = map(int, said.stdout.split())
    at_report = json.loads((pictures / "r.json").read_text())["peak_memory"]["process"]
    assert status == 0
    assert peak - at_report < 40 * 2**20


def test_help_does_not_wait_for_the_libraries_of_the_networks():
    ask = """
import sys
from universal_style.cli import main
for command in ("", "transfer", "style save", "train decoders", "batch", "evaluate", "info", "serve", "video"):
    sys.argv = ["universal-style", *command.split(), "--help"]
    try:
        main()
    except SystemExit as end:
        print(end.code, {"torch", "numpy", "scipy"} & set(sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.count("0 set()\n") == said.stdout.count("Usage:") == 9


def test_a_transfer_without_masks_does_not_wait_for_scipy(pictures):
    ask = """
import sys
from universal_style.cli import main
sys.argv = ["universal-style", "transfer", "cat.png", "ducks.jpg", "-o", "out.png", "--size", "32", "-q"]
try:
    main()
except SystemExit as end:
    print(end.code, {"scipy.ndimage", "scipy.sparse", "scipy.special", "scipy.optimize"} & set(sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=pictures)
    assert said.stdout == "0 set()\n"


def test_demo_writes_a_contact_sheet(run, tmp_path, monkeypatch):
    monkeypatch.setattr("universal_style.demo.LONG_SIDE", 64)
    code, output = run("demo")
    assert code == 0
    assert str(tmp_path / "universal-style-demo.png") in output.err
    with Pillow.open("universal-style-demo.png") as sheet:
        assert sheet.width > 200
        assert np.asarray(sheet.convert("L")).std() > 20


def truncated(path, source):
    data = source.read_bytes()
    path.write_bytes(data[: len(data) // 2])


BAD_INPUT = {
    "missing file": (["no.png", "ducks.jpg"], 1, "no.png does not exist"),
    "missing style": (["cat.png", "no.jpg"], 1, "no.jpg does not exist"),
    "a directory": (["folder", "ducks.jpg"], 1, "folder is a folder"),
    "text named .jpg": (["text.jpg", "ducks.jpg"], 1, "text.jpg is not a picture"),
    "truncated jpeg": (["cut.jpg", "ducks.jpg"], 1, "cut.jpg cannot be read as a picture"),
    "zero bytes": (["empty.png", "ducks.jpg"], 1, "empty.png is empty"),
    "alpha too large": (["cat.png", "ducks.jpg", "--alpha", "1.2"], 2, "alpha 1.2 is out of range"),
    "alpha no number": (["cat.png", "ducks.jpg", "--alpha", "much"], 2, "alpha 'much' is not a number"),
    "unknown level": (["cat.png", "ducks.jpg", "--levels", "7"], 2, "level 7 is unknown"),
    "weights": (["cat.png", "ducks.jpg", "--style-weights", "1,2"], 2, "2 style weights for 1 styles"),
    "unknown suffix": (["cat.png", "ducks.jpg", "-o", "out.xyz"], 2, "suffix '.xyz'"),
    "no suffix": (["cat.png", "ducks.jpg", "-o", "out"], 2, "no suffix"),
    "output folder missing": (["cat.png", "ducks.jpg", "-o", "no/out.png"], 1, "output folder no does not exist"),
    "output is a folder": (["cat.png", "ducks.jpg", "-o", "folder.png"], 1, "folder.png is a folder"),
    "report folder missing": (["cat.png", "ducks.jpg", "--json", "no/r.json"], 1, "output folder no does not exist"),
    "decoders missing": (["cat.png", "ducks.jpg", "--decoders", "folder"], 1, "decoder-nearest-relu4_1"),
    "size": (["cat.png", "ducks.jpg", "--size", "0"], 2, "size 0 is out of range"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_ends_with_one_clear_line(run, pictures, case):
    (pictures / "folder").mkdir()
    (pictures / "folder.png").mkdir()
    (pictures / "text.jpg").write_text("no picture at all\n" * 99)
    (pictures / "empty.png").write_bytes(b"")
    truncated(pictures / "cut.jpg", pictures / "ducks.jpg")
    before = sorted(p.name for p in pictures.iterdir())
    arguments, expected, message = BAD_INPUT[case]
    code, output = run("transfer", *arguments, *([] if "-o" in arguments else ["-o", "out.png"]))
    assert code == expected
    assert message in output.err
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.err
    assert sorted(p.name for p in pictures.iterdir()) == before


@pytest.mark.parametrize(
    "arguments", [["transfer"], ["transfer", "cat.png", "ducks.jpg"], ["paint"], ["transfer", "--method", "magic"]]
)
def test_wrong_usage_exits_with_two(run, arguments):
    code, output = run(*arguments)
    assert code == 2
    assert "Traceback" not in output.err


@pytest.mark.parametrize("size", ["512", "16x", "²x16", "-16x16"])
def test_a_size_that_is_no_pair_of_numbers_is_told(run, pictures, size):
    code, output = run("texture", "ducks.jpg", "-o", "out.png", "--size", size)
    assert (code, output.err) == (2, f"universal-style: size {size!r} is not HxW; write for example 512x768\n")


@pytest.mark.parametrize("harm", ["damaged", "swapped"])
def test_a_harmed_checkpoint_ends_with_one_line(run, pictures, harm):
    folder = pictures / "decoders"
    shutil.copytree(bundled_folder(), folder, ignore=shutil.ignore_patterns("encoder*", "*relu5*", "*relu4*"))
    target = folder / "decoder-nearest-relu2_1.safetensors"
    if harm == "damaged":
        data = bytearray(target.read_bytes())
        data[-1] ^= 1
        target.write_bytes(data)
    else:
        shutil.copy(folder / "decoder-nearest-relu3_1.safetensors", target)
    code, output = run("transfer", "cat.png", "ducks.jpg", "-o", "out.png", "--levels", "2", "--decoders", folder)
    assert code == 1
    assert "damaged or swapped" in output.err
    assert output.err.count("\n") == 1
    assert not (pictures / "out.png").exists()


def test_memory_that_ran_out_is_one_line(run, pictures, monkeypatch):
    def refused(*asked, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 GiB.")

    def too_large(*asked, **options):
        torch.empty(1 << 60, dtype=torch.uint8)

    for failing, said in ((refused, "CUDA out of memory. Tried"), (too_large, "can't allocate memory")):
        monkeypatch.setattr("universal_style.stylizer.Stylizer.run", failing)
        code, output = run("transfer", "cat.png", "ducks.jpg", "-o", "out.png")
        assert (code, output.err.count("\n")) == (1, 1)
        assert output.err.startswith("universal-style: memory ran out (")
        assert said in output.err


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("something\nelse"), "RuntimeError: something else"), (KeyError(7), "KeyError: 7")]
)
def test_what_nobody_foresaw_is_one_line_and_a_traceback_for_who_asks(run, pictures, monkeypatch, error, said):
    def broken(*asked, **options):
        raise error

    monkeypatch.setattr("universal_style.stylizer.Stylizer.run", broken)
    code, output = run("transfer", "cat.png", "ducks.jpg", "-o", "out.png")
    assert (code, output.err) == (1, f"universal-style: {said}; --debug shows more\n")
    with pytest.raises(type(error)):
        run("transfer", "cat.png", "ducks.jpg", "-o", "out.png", "--debug")


def test_decoders_need_a_folder_that_can_be_written_to(run, pictures, monkeypatch):
    (pictures / "photos").mkdir()
    shutil.copy(pictures / "ducks.jpg", pictures / "photos" / "ducks.jpg")
    asked = ("train", "decoders", "photos", "--levels", "1", "--steps", "0", "--device", "cpu", "-q", "-o")
    code, output = run(*asked, "cat.png")
    assert (code, output.err.count("\n")) == (1, 1)
    assert "output folder cat.png cannot be made" in output.err
    (pictures / "shut").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or Path(path).name != "shut")
    code, output = run(*asked, "shut")
    assert (code, output.err) == (1, "universal-style: output folder shut is not writable; choose another place or "
                                  "change its permissions\n")  # fmt: skip


def test_debug_shows_the_traceback(run, pictures, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["universal-style", "--debug", "transfer", "no.png", "ducks.jpg", "-o", "out.png"])
    with pytest.raises(InputError):
        cli.main()


INTERRUPTIBLE = """
import signal
from universal_style import cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background process ignores
cli.main()
"""


def test_an_interruption_is_one_line(pictures):
    asked = ["transfer", "cat.png", "ducks.jpg", "-o", "out.png", "-m", "gatys", "--iterations", "1000000"]
    seen = ["--size", "32", "--style-size", "32", "--preview", "look.png", "--preview-every", "1", "--device", "cpu"]
    command = [sys.executable, "-c", INTERRUPTIBLE, *asked, *seen]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    with subprocess.Popen(command, cwd=pictures, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (pictures / "look.png").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate()[1]
    assert (process.returncode, told) == (130, "universal-style: interrupted; every file that is there is whole\n")
    assert {path.name for path in pictures.iterdir()} == {"cat.png", "ducks.jpg", "look.png"}
