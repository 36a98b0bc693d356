import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from universal_style import cluster as clusters
from universal_style.batch import PAIRINGS, Bench, Ledger, Local, OnRay, Setting, contents_in, looks_in, planned
from universal_style.batch.on_ray import OBJECT_STORE_BYTES
from universal_style.errors import OptionError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")

SETTING = Setting(
    "wct", {"levels": [2, 1], "style_size": 64}, device="cpu", dtype="float32", decoders=None, threads=1
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two workers' room."""
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _as_many_threads_as_workers_have():
    torch.set_num_threads(SETTING.threads)


@pytest.fixture
def jobs(tmp_path, cat, ducks):
    """Make twelve jobs, to be written to a folder."""
    for number in range(6):
        path = tmp_path / "contents" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cat.rotate(30 * number).resize((64, 48)).save(path)
    (tmp_path / "styles").mkdir()
    ducks.resize((64, 48)).save(tmp_path / "styles" / "ducks.png")
    ducks.rotate(180).resize((48, 64)).save(tmp_path / "styles" / "skcud.png")

    def into(output):
        contents, looks = contents_in(tmp_path / "contents", output), looks_in([tmp_path / "styles"], output)
        return planned(tmp_path / "contents", contents, looks, output, PAIRINGS["product"])

    return into


def done(engine, jobs):
    return list(engine.outcomes(jobs))


def ledger_of(folder):
    return Ledger(folder, SETTING.digest())


def test_a_killed_worker_loses_nothing_repeats_nothing_and_all_bits_are_those_of_one_process(jobs, tmp_path):
    mine, theirs = jobs(tmp_path / "local"), jobs(tmp_path / "ray")
    assert all(o.status == "done" for o in done(Local(Bench(SETTING, ledger_of(tmp_path / "local"))), mine))
    outcomes, written = [], {}
    for outcome in OnRay(SETTING, ledger_of(tmp_path / "ray")).outcomes(theirs):
        outcomes.append(outcome)
        if len(outcomes) == 3:
            written = {path: path.stat().st_mtime_ns for path in (o.job.output for o in outcomes)}
            os.kill(int(outcome.worker.rpartition(":")[2]), signal.SIGKILL)
    assert [o.status for o in outcomes] == ["done"] * 12
    assert {o.job for o in outcomes} == set(theirs)
    assert f"{socket.gethostname()}:{os.getpid()}" not in {o.worker for o in outcomes}
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert [job.output.read_bytes() for job in theirs] == [job.output.read_bytes() for job in mine]
    assert all(ledger_of(tmp_path / "ray").holds(job) for job in theirs)
    assert not list((tmp_path / "ray").rglob("*.partial"))


def test_a_job_that_no_worker_survives_fails_alone(jobs, tmp_path):
    first, second = jobs(tmp_path / "out")[:2]

    class Deadly(Ledger):
        """Takes its process with it when it is to record the first job."""

        def __reduce__(self):
            return Deadly, (self.folder, self.setting)

        def enter(self, job, made_of):
            if job.output.name == "0--ducks.png":
                os.kill(os.getpid(), signal.SIGKILL)
            super().enter(job, made_of)

    assert first.output.name == "0--ducks.png"
    engine = OnRay(SETTING, Deadly(tmp_path / "out", SETTING.digest()), workers=1, retries=0)
    outcomes = {o.job: o for o in engine.outcomes([first, second])}
    assert (outcomes[first].status, outcomes[second].status) == ("failed", "done")
    assert "0.png: its worker died" in outcomes[first].error
    assert not ledger_of(tmp_path / "out").holds(first)


TERMINATED = f"""
import signal
from universal_style.cli.stops import Stopped, stoppable
from universal_style.cluster import session

try:
    with stoppable(), session("", 1, {OBJECT_STORE_BYTES}):
        signal.raise_signal(signal.SIGTERM)
except Stopped as error:
    print(error.code)
"""


def test_sigterm_does_with_a_cluster_what_it_does_without():
    environment = os.environ | {"PYTHONPATH": str(Path(clusters.__file__).parents[1])}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-W", "ignore", "-c", TERMINATED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "143\n"), done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [({"workers": -1}, "workers -1 is out"), ({"gpu_share": 0.0}, "gpu-share 0 is"), ({"gpu_share": 1.5}, "gpu-share")],
)
def test_a_number_out_of_range(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        OnRay(SETTING, ledger_of(tmp_path), **options)
