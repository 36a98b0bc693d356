"""Files of stopped trainings: the only ones that torch itself writes and reads here, tensors and plain values alone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from universal_style.atomic import write_bytes
from universal_style.errors import CheckpointError, UniversalStyleError


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    write_bytes(path, stream.getvalue())


def restore_scaler(scaler: torch.amp.GradScaler, saved: Mapping[str, Any]) -> None:
    """Let a scaler of the loss go on where it was; one that is new stays so where none was in use."""
    facts = saved.get("scaler")
    if facts:
        scaler.load_state_dict(facts)


@contextmanager
def reading_state(path: Path) -> Iterator[dict[str, Any]]:
    """Read a state, to be taken over while this is open.

    Raises:
        CheckpointError: the file is damaged, or what it holds does not fit.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        yield saved
    except UniversalStyleError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"{path} is not a readable training state; delete it to start anew") from error
