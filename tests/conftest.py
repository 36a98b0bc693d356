"""Shapes in signatures are checked while the tests run; what is slow to make is made once."""

import pytest
from jaxtyping import install_import_hook

install_import_hook("universal_style", "typecheck.checked")

import numpy as np
import torch
from PIL import Image as Pillow

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


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)
