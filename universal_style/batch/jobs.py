"""From folders to jobs: which content goes with which style, and what the result is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from universal_style.batch.labels import SEPARATOR, label, names_of, told_apart
from universal_style.errors import InputError
from universal_style.folders import SUFFIXES, files_in, pictures_in
from universal_style.images import FORMATS
from universal_style.tensor_files import SUFFIX


@dataclass(frozen=True)
class Look:
    """A style as the jobs have it.

    Attributes:
        name: as results are named after it.
        sources: its file, picture or preset; empty where the method holds its style.
    """

    name: str
    sources: tuple[Path, ...]


@dataclass(frozen=True)
class Job:
    """One content in one style.

    Attributes:
        content: the picture's file.
        look: the style.
        output: the file that becomes of it.
    """

    content: Path
    look: Look
    output: Path

    def absolute(self) -> Job:
        """Give the same, whatever folder a process works in."""
        sources = tuple(source.absolute() for source in self.look.sources)
        return Job(self.content.absolute(), Look(self.look.name, sources), self.output.absolute())


def contents_in(folder: Path, output: Path) -> list[Path]:
    """List the pictures of a folder, those of a folder for results in it left out.

    Raises:
        InputError: there is none, or results would lie among contents.
    """
    if folder.is_dir() and folder.resolve().is_relative_to(output.resolve()):
        raise InputError(f"output folder {output} holds the contents' folder {folder}; choose one outside it, or in it")
    return _outside(pictures_in(folder), output, f"no picture in {folder} but results; give a folder of contents")


def looks_in(styles: Sequence[Path], output: Path) -> list[Look]:
    """List styles: pictures, presets and what folders hold of them, each once, in the order given, folders sorted.

    Args:
        output: folder for results, whose pictures are no styles.

    Raises:
        InputError: a folder holds none.
    """
    files: dict[Path, Path] = {}
    for style in styles:
        found = [style]
        if style.is_dir():
            listed = files_in(style, SUFFIXES | {SUFFIX})
            found = _outside(listed, output, f"no style in {style}; needed are pictures such as .jpg, or presets")
        for file in found:
            files.setdefault(file.resolve(), file)
    names = told_apart([names_of(path) for path in files], [""] * len(files))
    return [Look(name, (file,)) for name, file in zip(names, files.values(), strict=True)]


def held_look(method: str) -> Look:
    """Give the style of a method that holds it."""
    return Look(label(Path(method).stem), ())


Pairing = Callable[[Sequence[Path], Sequence[Look]], list[tuple[Path, Look]]]


def product(contents: Sequence[Path], looks: Sequence[Look]) -> list[tuple[Path, Look]]:
    """Pair every content with every style; style by style, so that one style at a time need be in memory."""
    return [(content, look) for look in looks for content in contents]


def zipped(contents: Sequence[Path], looks: Sequence[Look]) -> list[tuple[Path, Look]]:
    """Pair the n-th content with the n-th style.

    Raises:
        InputError: there are more of the ones than of the others.
    """
    if len(contents) != len(looks):
        raise InputError(
            f"{len(contents)} contents and {len(looks)} styles make no pairs; "
            "give as many of each, or --pairs product for every content with every style"
        )
    return list(zip(contents, looks, strict=True))


PAIRINGS: Mapping[str, Pairing] = {"product": product, "zip": zipped}


def planned(
    folder: Path, contents: Sequence[Path], looks: Sequence[Look], output: Path, pairing: Pairing, suffix: str = ""
) -> list[Job]:
    """Make jobs. A result lies in the output folder where its content lies in its own, as `content--style.suffix`.

    Args:
        folder: of the contents.
        suffix: of all results, such as .png; empty keeps each content's own where it can be written, else .png.

    Raises:
        InputError: the pairing takes no such numbers of contents and styles.
    """
    pairs = pairing(contents, looks)
    kept = [path.relative_to(folder) for path in contents]
    suffixes = [suffix or (path.suffix if path.suffix.lower() in FORMATS else ".png") for path in kept]
    places = [f"{path.parent.as_posix()}/{ending}" for path, ending in zip(kept, suffixes, strict=True)]
    names = told_apart([names_of(path) for path in kept], places)
    targets = {
        content: (output / path.parent, name, ending)
        for content, path, name, ending in zip(contents, kept, names, suffixes, strict=True)
    }
    jobs = []
    for content, look in pairs:
        place, name, ending = targets[content]
        jobs.append(Job(content, look, place / f"{name}{SEPARATOR}{look.name}{ending}"))
    return jobs


def _outside(files: Sequence[Path], output: Path, none_left: str) -> list[Path]:
    home = output.resolve()
    kept = [file for file in files if not file.resolve().is_relative_to(home)]
    if not kept:
        raise InputError(none_left)
    return kept
