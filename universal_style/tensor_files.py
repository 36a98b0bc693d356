"""Files of tensors (safetensors): written whole or not at all, read with one error for all that can be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from universal_style.atomic import write_bytes
from universal_style.errors import CheckpointError, OptionError

SUFFIX = ".safetensors"


def is_tensor_file(path: Path) -> bool:
    """Say by its name whether a path is one of a file of tensors."""
    return path.suffix.lower() == SUFFIX


def check_tensor_file(path: Path, what: str) -> None:
    """Make sure that a file that is to be written has the name of one of tensors.

    Raises:
        OptionError: it has not.
    """
    if not is_tensor_file(path):
        raise OptionError(f"{what} {path.name} needs the suffix {SUFFIX}")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors, and what the file says of itself.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, dict(facts)))


def read_facts(path: Path) -> dict[str, str]:
    """Read what a file says of itself, without its tensors.

    Raises:
        CheckpointError: it is no file of tensors.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def read_tensors(path: Path, what: str = "safetensors file") -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read what a file says of itself, and its tensors by name.

    Args:
        what: it should be, for the message.

    Raises:
        CheckpointError: it is no file of tensors.
    """
    with _opened(path, what) as file:
        return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path, what: str = "safetensors file") -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:  # whatever a damaged one raises
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} is not a readable {what} ({reason}); make or fetch it anew") from error
