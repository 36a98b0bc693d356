"""In touch with Ray, which runs workers on one machine or many: the extra `distributed`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from universal_style.errors import InputError

KNOCK_SECONDS = 10


@contextmanager
def session(address: str, cores: int, store: int) -> Iterator[None]:
    """Be in touch with a cluster: the one that the process is in touch with already, one asked for, or our own.

    Args:
        address: of the cluster; empty starts one on this machine, which ends with the session.
        cores: that our own has to offer.
        store: bytes that workers of our own can be handed through shared memory.

    Raises:
        InputError: no cluster answers at the address.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        try:
            _knock(address)
            with _own_handler():
                ray.init(address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster answers at {address} ({' '.join(str(error).split())}); "
                "start one with ray start --head, or leave the address out"
            ) from error
    else:
        with _own_handler():
            ray.init("local", num_cpus=cores, include_dashboard=False, object_store_memory=store, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def resources() -> list[dict[str, float]]:
    """Say what each node has to offer: CPU, GPU and more."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep what SIGTERM does in this process: Ray puts a handler in its place that exits without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """Fail at once where nothing listens, which Ray itself finds out after minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
