"""Disks that are full, folders that go away and signals: what is there is whole, what is said is one line."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image as Pillow

from universal_style import canvas, cli
from universal_style.atomic import replacing, write_bytes
from universal_style.errors import OutputError
from universal_style.images import Image
from universal_style.moments import Moments
from universal_style.networks.checkpoints import write_checkpoint
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.styles import Style
from universal_style.training.states import write_state

QUICK = ["--levels", "1", "--device", "cpu", "--dtype", "float32", "-q"]
LIMIT = 20_000
"""Bytes that a file may have on the full disk."""


@contextmanager
def full_disk():
    """Let no file grow beyond LIMIT, as on a disk without room; for the call alone, since reports are files too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def run(monkeypatch, tmp_path, capfd, cat, ducks):
    """Run the command line beside two pictures; give its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    cat.resize((64, 48)).save("cat.png")
    ducks.resize((64, 48)).save("ducks.png")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["universal-style", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capfd.readouterr().err

    return call


def big():
    return torch.rand(64, 64, 3, 3)


WRITERS = {
    "png": lambda path: Image.of(np.random.default_rng(0).random((96, 96, 3))).write(path.with_suffix(".png")),
    "png16": lambda path: Image(np.random.default_rng(0).random((96, 96, 3), np.float32), bits=16).write(
        path.with_suffix(".png")
    ),
    "tiff16": lambda path: Image(np.random.default_rng(0).random((96, 96, 3), np.float32), bits=16).write(
        path.with_suffix(".tif")
    ),
    "webp": lambda path: Image.of(np.random.default_rng(0).random((256, 256, 3))).write(path.with_suffix(".webp")),
    "preset": lambda path: Style({"max/relu3_1": Moments.of(torch.rand(256, 300))}).save(path),
    "net": lambda path: save_net(path, TransformNet(), {}),
    "checkpoint": lambda path: write_checkpoint(path.parent, path.name, {"a": big()}, {}),
    "training state": lambda path: write_state(path, {"a": big()}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_nothing_and_is_told_of(kind, tmp_path):
    with pytest.raises(OutputError, match="cannot be written .*; choose another place") as error, full_disk():
        WRITERS[kind](tmp_path / "out")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_a_new_file_is_as_the_umask_says_and_an_old_one_as_it_was(kind, tmp_path):
    before = os.umask(0o077)
    try:
        WRITERS[kind](tmp_path / "out")
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        for path in tmp_path.iterdir():
            path.chmod(0o640)
        WRITERS[kind](tmp_path / "out")
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    finally:
        os.umask(before)


def test_a_large_picture_takes_its_room_before_it_is_written(monkeypatch):
    monkeypatch.setattr(canvas, "MAPPED_PIXELS", 10)
    with pytest.raises(OutputError, match="has no room for .* MiB .*; make room"), full_disk():
        canvas.blank(100, 100)


def test_a_full_disk_keeps_what_was_there(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with pytest.raises(OutputError, match="File too large"), full_disk():
        write_bytes(path, bytes(LIMIT + 1))
    assert path.read_bytes() == b"old"


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 64 KiB, where that is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_batch_on_a_disk_that_fills_up(small_disk, run, rng):
    Path("contents").mkdir()
    for number in range(8):
        noise = Pillow.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        noise.save(f"contents/{number}.png")
    code, said = run("batch", "contents", "ducks.png", "-o", small_disk / "out", *QUICK)
    assert code == 1
    assert "No space left on device" in said
    assert "Traceback" not in said
    made = [path for path in (small_disk / "out").glob("*.png") if path.stat().st_size]
    assert 0 < len(made) < 8
    for path in made:
        Image.of(path)
    assert not list(small_disk.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)  # room is made
    times = {path: path.stat().st_mtime_ns for path in made}
    assert run("batch", "contents", "ducks.png", "-o", small_disk / "out", *QUICK)[0] == 0
    assert len(list((small_disk / "out").glob("*.png"))) == 8
    kept = [path for path in made if path.stat().st_mtime_ns == times[path]]
    assert kept


def test_a_disk_that_cannot_be_written(small_disk, run):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for command in (
        ["transfer", "cat.png", "ducks.png", "-o", small_disk / "out.png"],
        ["batch", ".", "ducks.png", "-o", small_disk / "out"],
        ["batch", ".", "ducks.png", "-o", small_disk],
    ):
        code, said = run(*command, *QUICK)
        assert code == 1
        assert said.count("\n") == 1
        assert "Read-only" in said or "not writable" in said


def test_an_output_folder_that_goes_away_during_the_run(run, monkeypatch):
    from universal_style.stylizer import Stylizer

    Path("out").mkdir()
    usual = Stylizer.run

    def gone(self, *arguments, **options):
        shutil.rmtree("out", ignore_errors=True)
        return usual(self, *arguments, **options)

    monkeypatch.setattr(Stylizer, "run", gone)
    code, said = run("transfer", "cat.png", "ducks.png", "-o", "out/a.png", *QUICK)
    assert (code, said.count("\n")) == (1, 1)
    assert "No such file or directory" in said


def test_two_processes_may_write_one_file(tmp_path):
    """Each writes beside it under a name of its own, so that neither takes the other's half for the whole."""
    path = tmp_path / "a"
    with replacing(path) as temporary:
        temporary.write_bytes(b"mine")
        script = f"""
from pathlib import Path
from universal_style.atomic import write_bytes
write_bytes(Path({str(path)!r}), b"other")
"""
        subprocess.run([sys.executable, "-c", script], check=True, env=_environment())
        assert path.read_bytes() == b"other"
        assert temporary.read_bytes() == b"mine"
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_when_its_file_is_written_again(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from universal_style.atomic import replacing
with replacing(Path({str(tmp_path / "a")!r})) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], env=_environment()).returncode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    (tmp_path / ".a b.partial").write_bytes(b"somebody else's")
    write_bytes(tmp_path / "a", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a b.partial", "a"]


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_name_as_long_as_a_disk_takes_is_written(tmp_path, letter):
    names = [f"{letter * (250 // len(letter.encode()))}{end}.x" for end in "12"]
    with replacing(tmp_path / names[0]) as temporary:
        temporary.write_bytes(b"one")
        write_bytes(tmp_path / names[1], b"other")
    assert [(tmp_path / name).read_bytes() for name in names] == [b"one", b"other"]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_process_left_of_a_long_name_goes(tmp_path):
    path = tmp_path / ("a" * 250)
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        left = temporary.with_name(temporary.name.replace(f".{os.getpid()}.", f".{2**40}."))
        left.write_bytes(b"half")
    write_bytes(path, b"again")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("system", ["this", "Windows"])
def test_whether_a_process_lives_is_asked_of_the_system(system, tmp_path, monkeypatch):
    """On Windows, where psutil sends no signals, a signal 0 is Ctrl+C."""
    if system == "Windows":
        monkeypatch.setattr(psutil, "pid_exists", lambda process: process == os.getppid())
        monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    alive, dead, never = (tmp_path / f".a.{number}.partial" for number in (os.getppid(), 2**22 + 1, 10**30))
    for path in (alive, dead, never):
        path.write_bytes(b"half")
    write_bytes(tmp_path / "a", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "a"]


def test_a_leftover_that_cannot_be_removed_keeps_nobody_from_writing(tmp_path, monkeypatch):
    """As in a folder that all may write to, where somebody else's process was killed."""
    left = tmp_path / f".a.{2**40}.partial"
    left.write_bytes(b"half")
    unlink = Path.unlink

    def refused(path, missing_ok=False):
        if path == left:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def _environment():
    return os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_ends_a_command_with_one_line_and_nothing_half_written(run, monkeypatch, number, word):
    def stopped(self, stream, *arguments, **options):
        stream.write(b"half of it")
        signal.raise_signal(number)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    before = sorted(Path().iterdir())
    monkeypatch.setattr(Pillow.Image, "save", stopped)
    code, said = run("transfer", "cat.png", "ducks.png", "-o", "out.png", *QUICK)
    assert code == 128 + number
    assert said == f"universal-style: {word}; every file that is there is whole\n"
    assert sorted(Path().iterdir()) == before
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
