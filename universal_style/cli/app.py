"""The command line's root: one line and an exit code for whatever goes wrong."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from universal_style.errors import OptionError, UniversalStyleError


class InterruptionError(UniversalStyleError):
    """Ctrl-C, with a line that says how matters stand."""


class Commands(TyperGroup):
    """The commands, whose interruption typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptionError("interrupted; every file that is there is whole") from error


app = typer.Typer(
    cls=Commands,
    name="universal-style",
    help="Universal style transfer with zero training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
style_app = typer.Typer(help="Make style presets.", no_args_is_help=True)
train_app = typer.Typer(help="Train networks.", no_args_is_help=True)
app.add_typer(style_app, name="style")
app.add_typer(train_app, name="train")


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where a command fails.")] = False,
) -> None:
    """Carry the style of any picture onto any other."""


def main() -> NoReturn:
    """Run the command line: exit 0 on success; one line and 2 for wrong usage, 130 for Ctrl-C, 1 for all else."""
    from universal_style.devices import keep_freed_memory

    debug = "--debug" in sys.argv[1:]  # taken out here, so that it may stand anywhere
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    keep_freed_memory()
    try:
        app(arguments)
    except OptionError as error:
        _fail(error, debug, 2)
    except InterruptionError as error:
        _fail(error, debug, 130)
    except UniversalStyleError as error:
        _fail(error, debug, 1)
    except MemoryError as error:
        _fail(UniversalStyleError(f"memory ran out ({error}); use a smaller --size"), debug, 1)
    sys.exit(0)


def _fail(error: Exception, debug: bool, code: int) -> NoReturn:
    if debug:
        raise error
    message = " ".join(str(error).split())
    sys.stderr.write(f"universal-style: {message}\n")
    sys.exit(code)
