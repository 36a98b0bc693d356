"""universal-style batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from universal_style.atomic import write_text
from universal_style.cli.app import app
from universal_style.cli.names import EngineName, FormatName, PairsName
from universal_style.cli.options import Descending, Running, Styling, grouped
from universal_style.cli.show import console, counting_bar, extra
from universal_style.cli.stops import Stopped
from universal_style.errors import OptionError

if TYPE_CHECKING:
    from universal_style.batch import Engine, Ledger, Setting

RAY = "Engine ray"


@app.command()
@grouped
def batch(
    contents: Annotated[Path, typer.Argument(help="Folder of pictures to restyle.", metavar="CONTENT_DIR")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    styles: Annotated[
        list[Path] | None, typer.Argument(help="Style pictures, presets, or folders of them.", metavar="STYLE...")
    ] = None,
    pairs: Annotated[
        PairsName, typer.Option(help="Every content with every style, or the n-th content with the n-th style.")
    ] = PairsName.PRODUCT,
    file_format: Annotated[
        FormatName | None, typer.Option("--format", help="Of the results.", show_default="each content's own")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Skip what is finished, or do all anew.")] = True,
    *,
    styling: Styling,
    summary: Annotated[Path | None, typer.Option("--json", help="Write a summary here.", metavar="SUMMARY")] = None,
    running: Running,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads for one picture.", show_default="the machine's cores")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="One process, or many workers.", rich_help_panel=RAY)
    ] = EngineName.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster.", show_default="one of its own", rich_help_panel=RAY)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many.", show_default="as many as fit", rich_help_panel=RAY)
    ] = None,
    gpu_share: Annotated[
        float | None,
        typer.Option(help="Of a GPU for each worker, where there are GPUs.", show_default="0.5", rich_help_panel=RAY),
    ] = None,
    descending: Descending,
) -> None:
    """Give many pictures many styles; what is finished is skipped, so a batch that was stopped goes on."""
    from universal_style.batch import PAIRINGS, Ledger, Summary, contents_in, looks_in, outcomes, planned
    from universal_style.batch.jobs import held_look
    from universal_style.methods import method_named
    from universal_style.outputs import check_spared, check_writable, make_folder
    from universal_style.request import Request

    options = styling.options | descending.options
    given = styles or []
    sharing = _sharing(engine, address=address, workers=workers, gpu_share=gpu_share)
    method = method_named(styling.method)
    Request.of(method, styles=min(1, len(given)), **options)
    if styling.style_regions is not None:
        raise OptionError("style-regions name regions of a content's mask, which a batch does not have; use transfer")
    if method.holds_style and pairs is PairsName.ZIP:
        raise OptionError(f"pairs zip wants a style for each content, and {method.name} holds its own; leave it out")
    found = contents_in(contents, output)
    looks = [held_look(styling.method)] if method.holds_style else looks_in(given, output)
    jobs = planned(contents, found, looks, output, PAIRINGS[pairs.value], f".{file_format}" if file_format else "")
    check_spared([summary], [*found, *(source for look in looks for source in look.sources)])
    make_folder(output)
    if summary is not None:
        check_writable(summary)
    setting = _setting(styling, running, options, threads)
    ledger = Ledger(output, setting.digest())
    doing = _engine(engine, setting, ledger, sharing)
    so_far, said = Summary(jobs), set[str]()
    try:
        with ledger.opened(), counting_bar(running.quiet, len(jobs)) as show:
            for job in () if resume else jobs:
                ledger.strike(job)
            for outcome in outcomes(jobs, ledger, doing):
                so_far.add(outcome)
                show(so_far.ended, so_far.rate)
                if outcome.error and outcome.error not in said:  # a bad style fails with every content
                    said.add(outcome.error)
                    console.print(f"universal-style: {outcome.error}")
    except Stopped as error:
        error.left = f"{so_far.ended} of {len(jobs)} jobs are done, and the same command goes on from there"
        raise
    finally:
        if summary is not None:
            facts = {"contents": contents, "output": output, "pairs": pairs.value, "engine": engine.value}
            write_text(summary, so_far.as_json(facts | {"method": styling.method, "options": options}))
    counts = so_far.counts()
    if not running.quiet:
        totals = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed"))
        console.print(f"{output}  {totals}  {so_far.seconds:.1f} s, {so_far.rate:.1f} a second")
    if counts["failed"]:
        raise typer.Exit(1)


def _setting(styling: Styling, running: Running, options: dict[str, Any], threads: int | None) -> Setting:
    import torch

    from universal_style.batch import Setting
    from universal_style.methods import method_named
    from universal_style.ranges import at_least

    if threads is not None:
        at_least(1, threads=threads)
        torch.set_num_threads(threads)
    return Setting(
        method=str(Path(styling.method).absolute()) if method_named(styling.method).holds_style else styling.method,
        options=options,
        decoders=None if styling.decoders is None else styling.decoders.absolute(),
        threads=torch.get_num_threads(),
        **running.backend,
    )


def _sharing(engine: EngineName, **options: Any) -> dict[str, Any]:
    """Give the options of workers that were given, which one process has no use for."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and engine is EngineName.LOCAL:
        names = ", ".join(name.replace("_", "-") for name in given)
        raise OptionError(f"{names} given for an engine of one process; add --engine ray, or leave it out")
    return given


def _engine(engine: EngineName, setting: Setting, ledger: Ledger, sharing: dict[str, Any]) -> Engine:
    from universal_style.batch import Bench, Local, OnRay

    if engine is EngineName.LOCAL:
        return Local(Bench(setting, ledger))
    with extra("distributed"):
        import ray  # noqa: F401 (asked for before anything is read)
    return OnRay(setting, ledger, **sharing)
