"""Where the networks run and in which precision; how much memory there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from universal_style.errors import OptionError

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GROUP = Path("/sys/fs/cgroup")
"""Where Linux tells of the group of processes that this one belongs to, such as a container's (cgroup v2)."""
SHARE = 0.5
"""Of the memory that is free, how much windows may take when nothing is said."""


@dataclass(frozen=True)
class Backend:
    """A device and the precision of the networks on it; moments and maps are in float64 whatever it is."""

    device: torch.device
    dtype: torch.dtype


def backend_named(device: str = "auto", dtype: str = "auto") -> Backend:
    """Choose device and precision.

    `auto` takes CUDA, else MPS, else the CPU; and bfloat16 on a CPU that computes in it, float32 otherwise.

    Raises:
        OptionError: a name is unknown or the device is not there.
    """
    if device not in DEVICES:
        raise OptionError(f"device {device!r} is unknown; use one of {', '.join(DEVICES)}")
    if dtype != "auto" and dtype not in DTYPES:
        raise OptionError(f"dtype {dtype!r} is unknown; use one of auto, {', '.join(DTYPES)}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, there in present.items() if there)
    if not present[device]:
        raise OptionError(f"device {device} is not available here; use --device auto or cpu")
    if device == "cpu" and dtype == "float16":
        raise OptionError("float16 is too slow and too narrow on a CPU; use float32 or bfloat16")
    if dtype == "auto":
        dtype = "bfloat16" if device == "cpu" and cpu_computes_bfloat16() else "float32"
    return Backend(torch.device(device), DTYPES[dtype])


def exact_device(device: torch.device) -> torch.device:
    """Say where float64 is computed for what lies on a device: there, but for MPS, which has none, on the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


def cpu_computes_bfloat16() -> bool:
    """Say whether the CPU multiplies bfloat16 in hardware."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def multiplies_halves(values: torch.Tensor) -> bool:
    """Say whether products of numbers in half precision are quickest as they are, their sums kept in float32."""
    halves = values.dtype in (torch.float16, torch.bfloat16)
    return halves and values.device.type == "cuda" and "dtype" in torch.ops.aten.bmm.overloads()


def free_memory(device: torch.device) -> int:
    """Say how many bytes are free on a device: of the graphics card, or of the machine and the group it runs us in."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for its next tensor
        return int(free) + kept
    free = int(psutil.virtual_memory().available)
    limit = GROUP / "memory.max"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - _used_by_group())
    return max(0, free)


def _used_by_group() -> int:
    """Say how many bytes a group's processes hold, without the files that Linux caches and gives up when asked."""
    used, parts = int((GROUP / "memory.current").read_text()), GROUP / "memory.stat"
    lines = parts.read_text().splitlines() if parts.is_file() else []
    told = {name: int(number) for name, number in map(str.split, lines)}
    return used - told.get("inactive_file", 0) - told.get("active_file", 0)  # `file` has shared memory in it too


def peak_memory(device: torch.device) -> dict[str, int]:
    """Give the process's peak memory so far and the device's, in bytes."""
    peaks = {"process": _process_peak()}
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device)
    return peaks


def _process_peak() -> int:
    """Give the most memory that this process had resident.

    Linux counts into `ru_maxrss` what a parent held when it started the process; the status file does not. Windows
    knows no such count, and has one of its own.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # of Unix alone

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
