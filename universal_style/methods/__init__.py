"""The table of methods: what a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path

from universal_style.errors import OptionError
from universal_style.methods.closed_form import CLOSED_FORMS
from universal_style.methods.feed_forward import FeedForward
from universal_style.methods.kinds import BLIND, Blind, Carried, Carrier, Lasting, Method, Recipe, Task, Witness
from universal_style.methods.optimisers import OPTIMISERS
from universal_style.names import looked_up
from universal_style.tensor_files import is_tensor_file

METHODS: dict[str, Method] = {**CLOSED_FORMS, **OPTIMISERS}


def method_named(name: str) -> Method:
    """Look a method up, or open the file of a trained net.

    Raises:
        OptionError: no method has this name.
        CheckpointError: the file is no net.
    """
    if not isinstance(name, str):
        raise OptionError(f"method {name!r} does not do; it is a name, one of {', '.join(METHODS)}")
    if is_tensor_file(Path(name)):
        return FeedForward.of(Path(name))
    return looked_up("method", name, METHODS)


__all__ = [
    "BLIND",
    "CLOSED_FORMS",
    "METHODS",
    "Blind",
    "Carried",
    "Carrier",
    "Lasting",
    "Method",
    "Recipe",
    "Task",
    "Witness",
    "method_named",
]
