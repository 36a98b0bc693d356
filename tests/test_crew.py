"""Windows shared by several processes make the picture of one."""

import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from universal_style import cli
from universal_style.drivers import ray_crew
from universal_style.drivers.bounds import BASE_BYTES, LIBRARY_BYTES, Side, bound_of, footprint, held_by
from universal_style.drivers.crew import in_order
from universal_style.errors import InputError, OptionError
from universal_style.methods import METHODS, closed_form
from universal_style.regions import LabelMap
from universal_style.stylizer import Stylizer
from universal_style.windows import strip_area, windows

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two workers' room; the walks of this process are taken in one thread like theirs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(
        "local", num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=2**28, log_to_driver=False
    )  # fmt: skip
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def mask():
    """Two regions of a picture of (160, 200)."""
    labels = torch.zeros(3, 160, 200)
    labels[0, :, 90:], labels[1, 40:70] = 1, 1
    return labels


class Deadly(LabelMap):
    """Labels that take the process with them when a worker first asks for them, or whenever one does."""

    def __init__(self, labels, grave, always):
        super().__init__(labels.labels, labels.colours, matte=labels.matte)
        vars(self).update(grave=grave, always=always, mourner=os.getpid())

    def __reduce__(self):
        return _buried, (LabelMap(*super().__reduce__()[1]), self.grave, self.always, self.mourner)

    def coverage(self, *place):
        if os.getpid() != self.mourner and (self.always or not self.grave.exists()):
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().coverage(*place)


def _buried(labels, grave, always, mourner):
    deadly = Deadly(labels, grave, always)
    vars(deadly)["mourner"] = mourner
    return deadly


if ray is not None:
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def carried(method, content, style, labels=lambda regions: regions, **options):
    """Give the pixels of a picture carried through all stages."""
    stylizer = Stylizer(method, device="cpu", dtype="float32")
    _, request, task = stylizer.prepare(content, style, **options)
    vars(task)["regions"] = labels(task.regions)
    return request.recipe.carry(stylizer.loaded, task).pixels


def test_a_worker_that_dies_is_replaced_and_the_picture_is_that_of_one_process_bit_for_bit(tmp_path, cat, ducks, mask):
    content, grave = cat.resize((200, 160)), tmp_path / "died"
    options = {"levels": [2, 1], "tile": 120, "content_mask": mask, "style_masks": [mask]}
    assert len(windows(160, 200, 2, 12, 120**2)) > 2
    alone = carried("wct", content, ducks, **options)
    together = carried("wct", content, ducks, lambda labels: Deadly(labels, grave, False), workers=2, **options)
    assert grave.exists()
    assert torch.equal(alone, together)


def test_a_window_that_no_worker_survives_ends_in_one_line(tmp_path, monkeypatch, cat, ducks, mask):
    monkeypatch.setattr(ray_crew, "RETRIES", 0)
    with pytest.raises(InputError, match=r"a worker died over window \d of \d+, however often"):
        carried(
            "wct",
            cat.resize((200, 160)),
            ducks,
            lambda labels: Deadly(labels, tmp_path / "died", True),
            levels=[1],
            tile=100,
            workers=1,
            address="auto",
            content_mask=mask,
            style_masks=[mask],
        )  # fmt: skip


def test_the_command_shares_windows_and_says_so_in_its_report(tmp_path, monkeypatch, capfd, cat, ducks):
    monkeypatch.chdir(tmp_path)
    cat.resize((640, 48)).save("cat.png")
    ducks.save("ducks.png")
    for name, more in (("one", []), ("two", ["--workers", "2", "--json", "report.json"])):
        asked = ["transfer", "cat.png", "ducks.png", "-m", "wct2", "--tile", "100", "--smooth", "none", *more]
        assert run(monkeypatch, *asked, "--levels", "3,1", "-o", f"{name}.png") == 0
        assert "relu3_1 in 4 windows of at most " in capfd.readouterr().err
    assert np.array_equal(*(np.asarray(Pillow.open(f"{name}.png")) for name in ("one", "two")))
    told = json.loads(Path("report.json").read_text())
    assert (told["options"]["workers"], told["options"]["address"]) == (2, None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("-m gatys --workers 2", "method gatys has no option workers"),
        ("-m deep-photo --address auto", "method deep-photo has no option address"),
        ("--workers 0", "workers 0 is out of range"),
        ("--workers 2 --tile off", "tile off makes one window"),
    ],
)
def test_what_cannot_be_shared_is_refused(monkeypatch, capfd, asked, said):
    assert run(monkeypatch, "transfer", "no.png", "no.png", "-o", "out.png", *asked.split()) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line


def test_a_missing_ray_is_told_in_one_line(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(monkeypatch, "transfer", "no.png", "no.png", "-o", "out.png", "--workers", "2") == 1
    assert "pip install 'universal-style[distributed]'" in " ".join(capfd.readouterr().err.split())


def test_more_workers_than_there_is_room_for(cat, ducks):
    with pytest.raises(InputError, match="3 workers want 3 CPUs and there is 2; ask for fewer"):
        carried("wct", cat.resize((200, 160)), ducks, levels=[1], tile=100, workers=3)


def test_a_picture_is_divided_so_that_each_worker_has_a_window():
    for parts in (1, 2, 3, 8):
        area = strip_area(1000, 3000, 8, 64, parts)
        assert len(windows(1000, 3000, 8, 64, area)) >= parts


def test_memory_is_shared_among_workers(stylizer):
    (stage,), _ = METHODS["wct"].recipe(levels=[1]).stages_of(stylizer.loaded)
    bound = bound_of("auto", "8GiB")
    alone, shared = (bound.most(stage, LabelMap.uniform(1000, 1000), workers) for workers in (0, 2))
    of, left = footprint(stage).of, 2**33 - BASE_BYTES - held_by(10**6)
    assert of(alone + 1) > left >= of(alone)
    assert 2 * of(shared + 1) > left - 2 * BASE_BYTES >= 2 * of(shared)
    with pytest.raises(OptionError, match="too little"):
        bound.most(stage, LabelMap.uniform(256, 256), 100)


@dataclass(frozen=True)
class Witnessed(Side):
    """A bound that leaves a trace of each process that keeps to it."""

    folder: Path
    workers: int = 0

    def shared(self, workers):
        return replace(self, workers=workers)

    def keep(self):
        (self.folder / f"{os.getpid()} of {self.workers}").touch()


def test_each_worker_keeps_to_its_part_of_a_bound(tmp_path, monkeypatch, cat, ducks):
    monkeypatch.setattr(closed_form, "bound_of", lambda *_: Witnessed(100, tmp_path))
    carried("wct", cat.resize((200, 160)), ducks, levels=[1], workers=2)
    processes = [trace.name.split(" of ") for trace in tmp_path.iterdir()]
    assert [number for _, number in processes] == ["2", "2"]
    assert str(os.getpid()) not in dict(processes)
    whole = bound_of("auto", "3GiB")
    assert whole.shared(2) == bound_of("auto", 2**30 + LIBRARY_BYTES)
    assert whole.shared(0) == whole
    assert bound_of("64", None).shared(2) == bound_of("64", None)


def test_answers_are_put_in_order():
    assert list(in_order([(2, "c"), (0, "a"), (1, "b"), (3, "d")])) == ["a", "b", "c", "d"]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["universal-style", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
