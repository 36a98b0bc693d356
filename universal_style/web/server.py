"""The server: the page on a port, its files in a folder that is removed with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio import routes
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from universal_style.errors import OptionError
from universal_style.web.actions import Actions
from universal_style.web.limits import Limits
from universal_style.web.page import build
from universal_style.web.sessions import Sessions, private_folder
from universal_style.web.shelf import Shelf
from universal_style.web.theme import CSS, THEME
from universal_style.web.worker import Worker

GALLERY = "gallery"
"""Folder of what all visitors see, beside what they bring."""
LAST_PORT = 65535


class NoRelay:
    """Refuses what would make the server fetch an address for a client."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).lower()
        if scope["type"] == "http" and any(mark in path for mark in ("file=http", "proxy=", "file=//")):
            await PlainTextResponse("addresses are not fetched", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        address: of the page.
        sessions: of its visitors.
    """

    address: str
    sessions: Sessions

    @property
    def folder(self) -> Path:
        """All files of visitors lie under this folder."""
        return self.sessions.folder


@contextmanager
def serving(
    worker: Worker,
    limits: Limits,
    presets: Sequence[Path] = (),
    host: str = "127.0.0.1",
    port: int = 7860,
) -> Iterator[Server]:
    """Serve the page until the end of the block.

    Args:
        worker: that does the work; it has one device and does one thing at a time.
        limits: of what visitors may bring.
        presets: folders of styles on offer beside the bundled ones.
        host: address to listen at.
        port: to listen at; 0 takes any that is free.

    Raises:
        InputError: a folder of presets, or a picture in it, cannot be used.
        OptionError: host or port cannot be listened at.
    """
    if not 0 <= port <= LAST_PORT:
        raise OptionError(f"port {port} is out of range; it lies between 0, for any that is free, and {LAST_PORT}")
    shelf = Shelf.of(presets)
    with private_folder() as folder, _settings(folder):
        sessions = Sessions(folder)
        actions = Actions(worker, sessions, shelf, limits)
        page = build(actions, limits, folder / GALLERY)
        page.queue(max_size=limits.queue, default_concurrency_limit=1)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port or _free_port(host),
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                inbrowser=False,
                show_error=False,
                ssr_mode=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                footer_links=["api"],
                state_session_capacity=256,  # visits that Gradio remembers what they saw of
                max_file_size=limits.megabytes * 2**20,
                theme=THEME,
                css=CSS,
                app_kwargs={
                    "middleware": [Middleware(NoRelay)],
                    "docs_url": None,
                    "redoc_url": None,
                    "openapi_url": None,
                },
            )
        except OSError as error:
            raise OptionError(f"{host}, port {port} cannot be listened at; choose another --host or --port") from error
        try:
            yield Server(address, sessions)
        finally:
            sessions.end()  # a process lives until its threads end, and a descent takes hours
            page.close(verbose=False)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _settings(folder: Path) -> Iterator[None]:
    """Tell Gradio, which reads the environment, to keep files in a folder and to send nothing anywhere.

    One place it reads when it is imported, and makes a folder there for every page.
    """
    wanted = {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    read_once: Any = routes
    imported = read_once.DEFAULT_TEMP_DIR
    os.environ.update(wanted)
    read_once.DEFAULT_TEMP_DIR = str(folder)
    try:
        yield
    finally:
        read_once.DEFAULT_TEMP_DIR = imported
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
