"""What the documentation says of files and commands is so."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from PIL import Image as Pillow

from universal_style.cli import app

REPOSITORY = Path(__file__).resolve().parents[1]
GENERATED = {"commands.md", "decoders.md"}
"""Pages that exist in the built site only."""
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def pages():
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def commands(page):
    """Give the command lines of a page, as lists of words."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("universal-style "):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_and_pictures_are_there(page):
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if target not in GENERATED and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_are_known_to_the_command_line(page):
    before = Pillow.MAX_IMAGE_PIXELS
    for words in commands(page):
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with command.make_context(command.name, words):  # parsed, not run: a wrong option or value raises
            pass
    assert before == Pillow.MAX_IMAGE_PIXELS  # large-pictures.md asks for more; that is for commands that run


def test_the_readme_shows_commands():
    assert len(list(commands(REPOSITORY / "README.md"))) > 5
