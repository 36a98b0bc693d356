"""The table of methods: what a name on the command line stands for."""

from __future__ import annotations

from universal_style.methods.closed_form import CLOSED_FORMS
from universal_style.methods.kinds import Carried, Method, Recipe, Task
from universal_style.names import looked_up

METHODS: dict[str, Method] = {**CLOSED_FORMS}


def method_named(name: str) -> Method:
    """Look a method up.

    Raises:
        OptionError: no method has this name.
    """
    return looked_up("method", name, METHODS)


__all__ = ["CLOSED_FORMS", "METHODS", "Carried", "Method", "Recipe", "Task", "method_named"]
