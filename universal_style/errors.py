"""Everything this package raises on purpose.

UniversalStyleError
├── InputError       a picture, mask, preset or folder that cannot be used (also a ValueError)
│   └── OptionError  an option or argument outside its range
├── CheckpointError  network parameters that are missing, damaged or of another kind
└── OutputError      a result that cannot be written

Every message is one line: what was found, what was needed, what to do.
"""

from __future__ import annotations


class UniversalStyleError(Exception):
    """Base of all errors of this package."""


class InputError(UniversalStyleError, ValueError):
    """A picture, mask, preset or folder cannot be used."""


class OptionError(InputError):
    """An option is outside its range or contradicts another."""


class CheckpointError(UniversalStyleError):
    """Network parameters are missing, damaged or of another kind."""


class OutputError(UniversalStyleError):
    """A result cannot be written."""


def memory_ran_out(error: BaseException) -> bool:
    """Say whether an error tells of memory: Python's own, or torch's of a graphics card or of the machine.

    torch's are known by name and text, since whoever asks may not have loaded it.
    """
    of_card = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    of_machine = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or of_card or of_machine
