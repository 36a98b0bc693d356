"""Shapes in signatures are checked while the tests run; what is slow to make is made once."""

import os
import sys

if hands := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # processes that share the cores, with those that they start
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(hands))))

import pytest
from jaxtyping import install_import_hook

install_import_hook("universal_style", "typecheck.checked")

import numpy as np
import torch
from PIL import Image as Pillow

from universal_style import cli
from universal_style.demo import PICTURES
from universal_style.stylizer import Stylizer


@pytest.fixture(scope="session")
def stylizer():
    return Stylizer(device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def cat():
    """A small photograph, (96, 128)."""
    return Pillow.open(PICTURES / "chelsea-cat.jpg").convert("RGB").resize((128, 96))


@pytest.fixture(scope="session")
def ducks():
    """A small painting, (80, 120)."""
    return Pillow.open(PICTURES / "hashiguchi-ducks.jpg").convert("RGB").resize((120, 80))


@pytest.fixture(scope="session")
def web():
    """A server of the web page with narrow limits: its address, its folder and its sessions."""
    from universal_style.web.limits import Limits
    from universal_style.web.server import serving
    from universal_style.web.worker import Worker

    with serving(Worker("cpu", "float32"), Limits(megapixels=0.05, megabytes=16, queue=4), port=0) as server:
        yield server


@pytest.fixture
def command_line(monkeypatch, capfd):
    """Run the command line; give its exit code, and what it wrote on standard output and error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["universal-style", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capfd.readouterr()

    return call


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _threads():
    """Leave the number of threads as it was: sums of other numbers of threads are rounded otherwise."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
