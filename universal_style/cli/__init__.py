"""The command line. Only this package prints and exits.

Each module beside `app`, `options`, `names`, `show` and `stops` is a command, there once it is imported.
"""

from universal_style.cli import (
    batch,
    compare,
    demo,
    evaluate,
    grid,
    info,
    repeat,
    serve,
    style,
    texture,
    train,
    transfer,
    video,
)
from universal_style.cli.app import app, main
from universal_style.cli.program import program

__all__ = [
    "app",
    "batch",
    "compare",
    "demo",
    "evaluate",
    "grid",
    "info",
    "main",
    "program",
    "repeat",
    "serve",
    "style",
    "texture",
    "train",
    "transfer",
    "video",
]
