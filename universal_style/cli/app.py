"""The command line's root: one line and an exit code for whatever goes wrong."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, NoReturn

import typer

from universal_style.allocator import keep_freed_memory
from universal_style.cli.stops import Stopped, stoppable
from universal_style.errors import OptionError, UniversalStyleError, memory_ran_out

app = typer.Typer(
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


def _say_version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"universal-style {version('universal-style')}\n")
        raise typer.Exit
    return asked


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where a command fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Carry the style of any picture onto any other."""


def main() -> NoReturn:
    """Run the command line: exit 0, or with one line and 2 for wrong usage, 130 or 143 for signals, 1 for all else."""
    debug = "--debug" in sys.argv[1:]  # taken out here, so that it may stand anywhere
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with stoppable():
            keep_freed_memory()
            app(arguments)
    except OptionError as error:
        _fail(error, debug, 2)
    except UniversalStyleError as error:
        _fail(error, debug, 1)
    except Stopped as error:
        _fail(error, debug, error.code)
    except Exception as error:
        if memory_ran_out(error):
            _fail(UniversalStyleError(f"memory ran out ({error}); use a smaller --size"), debug, 1)
        if debug:
            raise
        told = "".join(traceback.format_exception_only(error)).strip()
        _fail(UniversalStyleError(f"{told}; --debug shows more"), debug, 1)
    sys.exit(0)


def _fail(error: BaseException, debug: bool, code: int) -> NoReturn:
    if debug:
        raise error
    message = " ".join(str(error).split())
    sys.stderr.write(f"universal-style: {message}\n")
    sys.exit(code)
