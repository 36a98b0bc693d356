"""Universal style transfer with zero training: any photograph, any style picture.

>>> import universal_style
>>> universal_style.transfer("photo.jpg", "painting.jpg").save("out.png")  # doctest: +SKIP

Importing the package loads no torch; the first use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from universal_style.errors import CheckpointError, InputError, OptionError, OutputError, UniversalStyleError
    from universal_style.images import Image
    from universal_style.styles import Style
    from universal_style.stylizer import Stylizer, transfer

_HOMES = {
    "CheckpointError": "errors",
    "Image": "images",
    "InputError": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "Style": "styles",
    "Stylizer": "stylizer",
    "UniversalStyleError": "errors",
    "transfer": "stylizer",
}

__all__ = [
    "CheckpointError",
    "Image",
    "InputError",
    "OptionError",
    "OutputError",
    "Style",
    "Stylizer",
    "UniversalStyleError",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
