"""Checkpoints: safetensors files that describe themselves, listed with their SHA-256 beside them.

A folder of checkpoints holds one file per network and `SHA256SUMS` in the format of the `sha256sum` tool. Decoders are
stored as int8 with one scale per output channel, the encoder as float16.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from universal_style.atomic import replacing, write_text
from universal_style.errors import CheckpointError
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Pooling
from universal_style.networks.vgg import LEVELS, Encoder
from universal_style.tensor_files import SUFFIX, read_tensors, write_tensors

Network = TypeVar("Network", bound=nn.Module)
SUMS = "SHA256SUMS"
ENCODER = "encoder-vgg19-normalised"
LONGEST_NAME = 255
"""Bytes of a file's name, as file systems have it."""
SCALE = ".scale"
"""Suffix of the entry that holds the scales of an int8 weight, one per output channel."""


def decoder_name(pooling: str, level: int) -> str:
    """Name the checkpoint of a decoder, without its suffix."""
    return f"decoder-{pooling}-relu{level}_1"


def bundled_folder() -> Path:
    """Find the checkpoints that come with the package: inside it when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "decoders"
    return inside if inside.is_dir() else package.parent / "decoders"


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def encoder_digest() -> str:
    """Give the SHA-256 of the bundled encoder as it is listed: what names the features that a preset holds.

    Raises:
        CheckpointError: it is not listed.
    """
    listed = _read_sums(bundled_folder()).get(f"{ENCODER}{SUFFIX}")
    if listed is None:
        raise CheckpointError(f"{ENCODER} is not listed in {bundled_folder() / SUMS}; reinstall the package")
    return listed


def listed_names(folder: Path) -> list[str]:
    """Name the checkpoints that a folder lists in `SHA256SUMS`, without their suffix."""
    return sorted(file.removesuffix(SUFFIX) for file in _read_sums(folder))


@dataclass(frozen=True)
class Checkpoint:
    """One verified file.

    Attributes:
        path: where it lies.
        digest: its SHA-256.
        metadata: what it says of itself (kind, level, pooling, training, held-out PSNR).
        tensors: parameters by name, float32, scales already applied.
    """

    path: Path
    digest: str
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Read a network's file after checking it against `SHA256SUMS`.

    Raises:
        CheckpointError: the file or its entry is missing, its hash differs, or it is no safetensors file.
    """
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; reinstall the package or train it (universal-style train decoders)")
    listed = _read_sums(folder).get(path.name)
    if listed is None:
        raise CheckpointError(f"{path.name} is not listed in {folder / SUMS}; reinstall the package")
    digest = sha256(path)
    _compare(path, digest, listed)
    metadata, stored = read_tensors(path)
    return Checkpoint(path, digest, metadata, _dequantised(path, stored))


def write_checkpoint(folder: Path, name: str, stored: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write a network's file and its line in `SHA256SUMS`, both atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{SUFFIX}"
    write_tensors(path, stored, metadata)
    _list(folder, path.name, sha256(path))
    return path


def copy_checkpoint(path: Path, folder: Path) -> Path:
    """Copy a network's file into a folder of checkpoints, and list it there.

    Raises:
        CheckpointError: the file is not what is listed beside it.
    """
    digest = sha256(path)
    listed = _read_sums(path.parent).get(path.name, digest)  # a net stands alone; nothing is listed beside it
    _compare(path, digest, listed)
    copy = folder / path.name
    if not (copy.exists() and copy.samefile(path)):
        with replacing(copy) as temporary:
            shutil.copyfile(path, temporary)
    _list(folder, path.name, digest)
    return copy


def verify(folder: Path) -> None:
    """Check every file that a folder lists, and that it lists every safetensors file.

    Raises:
        CheckpointError: one is missing, damaged or not listed.
    """
    sums = _read_sums(folder)
    for file in sorted({*sums, *(path.name for path in folder.glob(f"*{SUFFIX}"))}):
        path = folder / file
        if Path(file).name != file or len(file.encode()) > LONGEST_NAME:
            raise CheckpointError(f"{folder / SUMS} lists {file!r}, which lies elsewhere; fetch the folder anew")
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, though {SUMS} lists it; save or fetch the folder anew")
        if file not in sums:
            raise CheckpointError(f"{file} is not listed in {folder / SUMS}; save or fetch the folder anew")
        _compare(path, sha256(path), sums[file])


def load_encoder(folder: Path, level: int = LEVELS[-1]) -> tuple[Encoder, Checkpoint]:
    """Load the encoder up to a level."""
    checkpoint = read_checkpoint(folder, ENCODER)
    encoder = _unfilled(lambda: Encoder(level))
    try:
        encoder.load_plain(dict(checkpoint.tensors))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint.path} does not hold a VGG-19 encoder; reinstall the package") from error
    return encoder.eval(), replace(checkpoint, tensors={})  # the encoder has them now


def load_decoder(folder: Path, pooling: Pooling, level: int) -> tuple[Decoder, Checkpoint]:
    """Load the mirror decoder of a level."""
    checkpoint = read_checkpoint(folder, decoder_name(pooling.name, level))
    found = checkpoint.metadata.get("pooling"), checkpoint.metadata.get("level")
    if found != (pooling.name, str(level)):
        raise CheckpointError(
            f"{checkpoint.path} says pooling {found[0]}, level {found[1]}, "
            f"needed is {pooling.name}, {level}; reinstall it"
        )
    decoder = _unfilled(lambda: Decoder(level, pooling.widening))
    try:
        decoder.load_plain(dict(checkpoint.tensors))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint.path} does not hold a relu{level}_1 decoder; reinstall it") from error
    return decoder.eval().requires_grad_(False), replace(checkpoint, tensors={})


def _unfilled(make: Callable[[], Network]) -> Network:
    """Make a network without drawing the random numbers that a file's are to replace."""
    with torch.device("meta"):
        network = make()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    # What `to_empty` does, without the half second in which it imports a library for symbolic shapes.
    network.load_state_dict({name: torch.empty(shape) for name, shape in shapes.items()}, assign=True)
    return network


def _read_sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.exists():
        return {}
    try:
        lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        return {name.strip(): digest for digest, name in lines}
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is no list of SHA-256 sums ({error}); fetch the folder anew") from error


def _list(folder: Path, file: str, digest: str) -> None:
    """Put a file's line into `SHA256SUMS`, in place of an older one."""
    sums = _read_sums(folder) | {file: digest}
    write_text(folder / SUMS, "\n".join(f"{digest}  {name}" for name, digest in sorted(sums.items())))


def _compare(path: Path, digest: str, listed: str) -> None:
    if digest != listed:
        raise CheckpointError(
            f"{path} has SHA-256 {digest[:12]}…, {SUMS} says {listed[:12]}…: damaged or swapped; install it anew"
        )


def _dequantised(path: Path, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, value in stored.items():
        if name.endswith(SCALE):
            continue
        scale = stored.get(name + SCALE)
        plain = value.float()
        if scale is not None and (not plain.dim() or scale.numel() != len(plain)):
            raise CheckpointError(
                f"{path} has {scale.numel()} scales for {name}, needed is one per channel; reinstall it"
            )
        tensors[name] = plain if scale is None else plain * scale.reshape(-1, *[1] * (plain.dim() - 1))
    return tensors
