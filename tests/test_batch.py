import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from universal_style import cli
from universal_style.batch import PAIRINGS, Job, Ledger, Look, contents_in, looks_in, planned
from universal_style.batch.labels import MOST_BYTES, label, names_of, told_apart
from universal_style.batch.ledger import RECORDS
from universal_style.drivers.bounds import BASE_BYTES
from universal_style.errors import InputError, OutputError
from universal_style.networks.feed_forward import TransformNet, save_net
from universal_style.styles import Style
from universal_style.subjects import REMEMBERED_STYLES

COMMON = ("--levels", "1", "--device", "cpu", "--dtype", "float32", "--style-size", "64")


@pytest.fixture
def run(monkeypatch, tmp_path, command_line):
    """Run `batch` in an empty folder; give its exit code, what it wrote on standard error, and its summary."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, command="batch", common=COMMON):
        own = ("--json", "summary.json") if command == "batch" else ()
        code, output = command_line(command, *arguments, *common, *own)
        summary = Path("summary.json")
        return code, output.err, json.loads(summary.read_text()) if summary.exists() else {}

    return call


@pytest.fixture
def folders(tmp_path, cat, ducks):
    """Contents cat.png, cat.jpg and sub/cat.png, all unlike; styles ducks.jpg and works/ducks.png."""
    for number, name in enumerate(("cat.png", "cat.jpg", "sub/cat.png")):
        path = tmp_path / "contents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cat.rotate(90 * number, expand=True).resize((48 + 8 * number, 40)).save(path)
    (tmp_path / "works").mkdir()
    ducks.resize((64, 48)).save(tmp_path / "ducks.jpg")
    ducks.rotate(180).resize((56, 64)).save(tmp_path / "works" / "ducks.png")
    return tmp_path


def results(folder):
    """Give the files of a folder of results and what is in them, records left out."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and RECORDS not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def empty(folder, *names):
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(contents, styles, output="out", pairing="product", suffix=""):
    looks = looks_in([Path(style) for style in styles], Path(output))
    found = contents_in(Path(contents), Path(output))
    jobs = planned(Path(contents), found, looks, Path(output), PAIRINGS[pairing], suffix)
    return [job.output.relative_to(output).as_posix() for job in jobs]


def test_every_format_that_is_read_is_found_in_folders(tmp_path, monkeypatch):
    """Those that are not written come out as PNG."""
    monkeypatch.chdir(tmp_path)
    empty("c", "a.avif", "a.GIF", "b.heic", "c.jp2", "d.webp")
    empty("s", "wave.jpg")
    assert names("c", ["s"]) == [
        "a.GIF--wave.png", "a.avif--wave.png", "b--wave.png", "c--wave.png", "d--wave.webp"
    ]  # fmt: skip


def test_names_keep_folders_and_are_readable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty("c", "a.jpg", "a.png", "sub/a.jpg", "sub/deep/b.TIF")
    empty("s", "wave.jpg", "sky.safetensors", "notes.txt")
    for hidden in ("._a.jpg", ".a.png.9.partial.png", "sub/.thumbnails/a.jpg", "s.jpg/._.png"):
        empty("c", hidden)
        empty("s", hidden)
    assert names("c", ["s"]) == [
        "a--sky.jpg", "a--sky.png", "sub/a--sky.jpg", "sub/deep/b--sky.TIF",
        "a--wave.jpg", "a--wave.png", "sub/a--wave.jpg", "sub/deep/b--wave.TIF",
    ]  # fmt: skip
    assert names("c", ["s/wave.jpg"], suffix=".png") == [
        "a.jpg--wave.png", "a.png--wave.png", "sub/a--wave.png", "sub/deep/b--wave.png",
    ]  # fmt: skip


def test_names_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = "é" * 120
    contents = ["a.png", "A.png", "a--b.png", "a-b.png", "a-.png", "-a.png", "--.png", "a.png.png", "x/a.png",
                "café.png", "cafe\u0301.png", f"{long}1.png", f"{long}2.png"]  # fmt: skip
    styles = ["m/b.jpg", "n/b.jpg", "n/b.png", "m/c--b.jpg", "m-b.jpg", "c/b--c.jpg", f"{long}.jpg", f"n/{long}.jpg"]
    empty("c", *contents)
    empty("s", *styles)
    for suffix in ("", ".png"):
        found = names("c", ["s"], suffix=suffix)
        assert len({name.casefold() for name in found}) == len(found) == len(contents) * len(styles)
        assert found == names("c", ["s"], suffix=suffix)
        assert all(len(os.fsencode(Path(name).name)) < 230 for name in found)
    assert set(names("c", ["s/m/b.jpg", "s/n/b.jpg"])) == set(names("c", ["s/n/b.jpg", "s/m/b.jpg", "s/m/b.jpg"]))


def test_labels():
    assert label("--a---b-") == "a-b"
    assert label("---") == "picture"
    assert all(len(os.fsencode(name)) <= MOST_BYTES for name in names_of(Path("é" * 200 + ".jpg")))
    assert told_apart([["a", "a1"], ["A", "a2"], ["a"]], ["", "", "x"]) == ["a1", "a2", "a"]
    assert told_apart([["a", "b"], ["a", "c"], ["b", "d"]], [""] * 3) == ["b", "c", "d"]
    with pytest.raises(InputError, match="two files would both be named a"):
        told_apart([["a"], ["a"]], ["", ""])


def test_zip_takes_the_nth_with_the_nth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty("c", "b.png", "a.png")
    empty("s", "y.jpg", "x.jpg")
    assert names("c", ["s"], pairing="zip") == ["a--x.png", "b--y.png"]
    assert names("c", ["s/y.jpg", "s/x.jpg"], pairing="zip") == ["a--y.png", "b--x.png"]


def test_results_are_no_contents_and_no_styles(run, folders):
    assert run("contents", "contents", "-o", "contents/out", "-q")[0] == 0
    first = results("contents/out")
    code, _, summary = run("contents", "contents", "-o", "contents/out", "-q")
    assert (code, summary["skipped"], summary["done"]) == (0, 9, 0)
    assert results("contents/out") == first


def test_a_batch_gives_what_transfer_gives(run, folders):
    code, error, summary = run("contents", "ducks.jpg", "works", "-o", "out")
    assert code == 0
    assert "6 done, 0 skipped, 0 failed" in error
    assert sorted(results("out")) == [
        "cat--ducks.jpg.jpg", "cat--ducks.jpg.png", "cat--ducks.png.jpg", "cat--ducks.png.png",
        "sub/cat--ducks.jpg.png", "sub/cat--ducks.png.png",
    ]  # fmt: skip
    for job in summary["jobs"]:
        alone = Path("alone").with_suffix(Path(job["output"]).suffix)
        assert run(job["content"], job["style"], "-o", alone, "-q", command="transfer")[0] == 0
        assert alone.read_bytes() == Path(job["output"]).read_bytes()


def test_the_summary(run, folders):
    (folders / "contents" / "bad.jpg").write_text("no picture\n")
    (folders / "works" / "cut.png").write_bytes((folders / "works" / "ducks.png").read_bytes()[:200])
    code, error, summary = run("contents", "works", "-o", "out", "--pairs", "product", "--format", "webp")
    assert code == 1
    assert {key: summary[key] for key in ("done", "skipped", "failed", "open")} == {
        "done": 3, "skipped": 0, "failed": 5, "open": 0,
    }  # fmt: skip
    assert summary["engine"] == "local"
    assert summary["options"]["levels"] == [1]
    assert summary["seconds"] > 0
    assert summary["jobs_per_second"] > 0
    done = [job for job in summary["jobs"] if job["status"] == "done"]
    failed = [job for job in summary["jobs"] if job["status"] == "failed"]
    assert all(Path(job["output"]).is_file() and job["seconds"] > 0 and job["error"] == "" for job in done)
    assert not any(Path(job["output"]).exists() for job in failed)
    assert len({job["output"] for job in summary["jobs"]}) == 8
    assert sum("bad.jpg is not a picture" in job["error"] for job in failed) == 1
    assert sum("cut.png cannot be read" in job["error"] for job in failed) == 4
    assert error.count("\n") == 3  # a line for each bad file, and the totals
    assert "3 done, 0 skipped, 5 failed" in error
    assert "Traceback" not in error


def test_a_picture_too_large_for_the_memory_fails_alone(run, folders, cat):
    cat.resize((1500, 1000)).save(folders / "contents" / "large.png")
    memory = f"{(BASE_BYTES >> 20) + 200}MiB"
    code, error, summary = run("contents", "ducks.jpg", "-o", "out", "-q", "--memory", memory)
    assert (code, summary["done"], summary["failed"]) == (1, 3, 1)
    assert f"memory {memory} is too little for 1.5 megapixels; this picture needs" in error
    code, error, _ = run("contents", "ducks.jpg", "-o", "none", "-q", "--memory", "900MiB")
    assert (code, error.count("\n"), results("none")) == (2, 1, {})


def test_a_failed_job_is_tried_again(run, folders, cat):
    bad = folders / "contents" / "bad.png"
    bad.write_text("no picture\n")
    assert run("contents", "ducks.jpg", "-o", "out", "-q")[0] == 1
    cat.resize((40, 40)).save(bad)
    code, error, summary = run("contents", "ducks.jpg", "-o", "out", "-q")
    assert (code, error, summary["done"], summary["skipped"]) == (0, "", 1, 3)


def statuses(summary):
    return {job["output"]: job["status"] for job in summary["jobs"]}


CHANGES = {
    "an option": (lambda: None, ("--alpha", "0.5"), {"done": 3}),
    "another seed": (lambda: None, ("--seed", "1"), {"done": 3}),
    "nothing": (lambda: None, (), {"skipped": 3}),
    "a content": (lambda: Pillow.new("RGB", (40, 40), "red").save("contents/cat.png"), (), {"done": 1, "skipped": 2}),
    "the style": (lambda: Pillow.radial_gradient("L").save("ducks.jpg"), (), {"done": 3}),
    "a result cut off": (lambda: os.truncate("out/cat--ducks.png", 100), (), {"done": 1, "skipped": 2}),
    "a result gone": (lambda: os.remove("out/cat--ducks.png"), (), {"done": 1, "skipped": 2}),
    "a record cut off": (
        lambda: os.truncate(f"out/{RECORDS}/cat--ducks.png.json", 9), (), {"done": 1, "skipped": 2},
    ),
    "times alone": (lambda: os.utime("contents/cat.png", (0, 0)), (), {"skipped": 3}),
    "asked for anew": (lambda: None, ("--no-resume",), {"done": 3}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_finished(run, folders, change):
    do, arguments, expected = CHANGES[change]
    assert run("contents", "ducks.jpg", "-o", "out", "-q")[0] == 0
    do()
    code, error, summary = run("contents", "ducks.jpg", "-o", "out", "-q", *arguments)
    assert (code, error) == (0, "")
    assert {status: summary[status] for status in ("done", "skipped") if summary[status]} == expected
    after = results("out")
    assert run("contents", "ducks.jpg", "-o", "fresh", "-q", *arguments)[0] == 0
    assert results("fresh") == after


def test_going_back_to_former_options_does_not_take_the_new_results_for_the_old(run, folders):
    assert run("contents", "ducks.jpg", "-o", "out", "-q")[0] == 0
    first = results("out")
    assert run("contents", "ducks.jpg", "-o", "out", "-q", "--alpha", "0")[0] == 0
    assert results("out") != first
    code, _, summary = run("contents", "ducks.jpg", "-o", "out", "-q")
    assert (code, summary["done"]) == (0, 3)
    assert results("out") == first


def test_no_record_stands_while_a_result_is_being_written(tmp_path):
    empty(tmp_path, "a.png", "s.png", "out/r.png")
    job = Job(tmp_path / "a.png", Look("s", (tmp_path / "s.png",)), tmp_path / "out" / "r.png")
    ledger = Ledger(tmp_path / "out", "one")
    with ledger.opened():
        assert not ledger.holds(job)
        ledger.enter(job, ledger.made_of(job))
        assert ledger.holds(job)
        assert not Ledger(tmp_path / "out", "two").holds(job)
        with pytest.raises(OutputError, match="another batch writes to"), Ledger(tmp_path / "out", "two").opened():
            pass
        ledger.strike(job)
        assert not ledger.holds(job)
        ledger.strike(job)


def test_a_killed_batch_goes_on(run, folders, cat):
    for number in range(20):
        cat.rotate(number).resize((64, 48)).save(folders / "contents" / f"more{number}.png")
    command = [sys.executable, "-m", "universal_style", "batch", "contents", "ducks.jpg", "-o", "out", *COMMON]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    with subprocess.Popen(command, cwd=folders, env=environment, stderr=subprocess.PIPE) as process:
        while len(list(Path("out").rglob("*.json"))) < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finished = len(list(Path("out").rglob("*.json")))
    assert 3 <= finished < 23
    leftover = Path("out/sub/.cat--ducks.png.partial")
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    code, error, summary = run("contents", "ducks.jpg", "-o", "out", "-q")
    assert (code, error) == (0, "")
    assert (summary["skipped"], summary["done"]) == (finished, 23 - finished)
    assert run("contents", "ducks.jpg", "-o", "whole", "-q")[0] == 0
    assert results("out") == results("whole")


def test_one_style_at_a_time_is_remembered(stylizer, cat, tmp_path, rng):
    for number in range(REMEMBERED_STYLES + 3):
        path = tmp_path / f"{number}.png"
        Pillow.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
        stylizer.transfer(cat, path, levels=[1], size=32)
        stylizer.transfer(cat, tmp_path / "0.png", levels=[1], size=32)
    kept = [key[0][0] for key in stylizer.loaded._styles]
    assert len(kept) == REMEMBERED_STYLES
    assert kept[-2:] == [str(tmp_path / f"{number}.png") for number in (number, 0)]


BAD = {
    "no such folder": (["no", "ducks.jpg", "-o", "out"], 1, "no is not a folder"),
    "an empty folder": (["void", "ducks.jpg", "-o", "out"], 1, "no picture in void"),
    "no style": (["contents", "-o", "out"], 2, "no style given"),
    "a folder without styles": (["contents", "void", "-o", "out"], 1, "no style in void"),
    "unequal numbers": (["contents", "ducks.jpg", "-o", "out", "--pairs", "zip"], 1, "3 contents and 1 styles make no"),
    "an option": (["contents", "ducks.jpg", "-o", "out", "--alpha", "2"], 2, "alpha 2 is out of range"),
    "regions": (["contents", "ducks.jpg", "-o", "out", "--style-regions", "red"], 2, "which a batch does not have"),
    "results among contents": (["contents", "ducks.jpg", "-o", "."], 1, "holds the contents' folder"),
    "threads": (["contents", "ducks.jpg", "-o", "out", "--threads", "0"], 2, "threads 0 is out of range"),
    "checkpoints": (["contents", "ducks.jpg", "-o", "out", "--decoders", "void"], 1, "decoder-nearest-relu1_1"),
    "a file in the way": (["contents", "ducks.jpg", "-o", "ducks.jpg"], 1, "ducks.jpg cannot be made"),
    "workers": (["contents", "ducks.jpg", "-o", "out", "--workers", "-3"], 2, "workers given for an engine of one"),
    "a cluster": (
        ["contents", "ducks.jpg", "-o", "out", "--address", "a:1", "--gpu-share", "1"], 2, "address, gpu-share given",
    ),
    "too few": (["contents", "ducks.jpg", "-o", "out", "--engine", "ray", "--workers", "-3"], 2, "workers -3 is out"),
    "summary": (["contents", "ducks.jpg", "-o", "out", "--json", "no/s.json"], 1, "output folder no does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_all_jobs_ends_with_one_line(folders, case, monkeypatch, command_line):
    monkeypatch.chdir(folders)
    (folders / "void").mkdir()
    arguments, expected, message = BAD[case]
    code, output = command_line("batch", *arguments, "--levels", "1", "--device", "cpu")
    assert (code, output.err.count("\n")) == (expected, 1)
    assert message in output.err
    assert not results("out")


def test_a_net_brings_its_style(run, folders):
    save_net(folders / "waves.safetensors", TransformNet(), {})
    plain = ("-m", "waves.safetensors", "--device", "cpu")
    code, error, summary = run("contents", "-o", "out", "-q", common=plain)
    assert (code, error) == (0, "")
    assert sorted(results("out")) == ["cat--waves.jpg", "cat--waves.png", "sub/cat--waves.png"]
    assert {job["style"] for job in summary["jobs"]} == {"waves"}
    code, error, _ = run("contents", "ducks.jpg", "-o", "out", common=plain)
    assert (code, "holds its own style" in error) == (2, True)
    code, error, _ = run("contents", "-o", "out", "--pairs", "zip", common=plain)
    assert (code, "pairs zip wants a style for each content" in error) == (2, True)
    torch.manual_seed(1)
    save_net(folders / "waves.safetensors", TransformNet(), {})
    assert run("contents", "-o", "out", "-q", common=plain)[2]["done"] == 3


def test_a_preset_is_a_style(run, folders, ducks):
    Style.from_images(ducks, style_size=64, device="cpu", dtype="float32").save(folders / "works" / "pond.safetensors")
    code, _, summary = run("contents", "works", "-o", "out", "-q")
    assert (code, summary["done"]) == (0, 6)
    assert "sub/cat--pond.png" in results("out")


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_an_interrupted_batch_says_that_it_can_go_on(run, folders, monkeypatch, number, word):
    def stopped(*arguments, **options):
        signal.raise_signal(number)

    monkeypatch.setattr("universal_style.stylizer.Stylizer.run", stopped)
    code, error, summary = run("contents", "ducks.jpg", "-o", "out")
    assert code == 128 + number
    assert f"{word}; 0 of 3 jobs are done, and the same command goes on from there" in error
    assert summary["open"] == 3
