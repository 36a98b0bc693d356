"""What MkDocs is told beyond its configuration: which pages there are, and where links out of the folder lead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = Path(__file__).resolve().parent
BORROWED = {
    "decoders.md": "decoders/README.md",
    "training-curves.png": "decoders/training-curves.png",
    "gallery/bundled.md": "universal_style/pictures/SOURCES.md",
}
"""Pages and pictures of the site that lie elsewhere in the repository."""
COMMANDS = "commands.md"
COMMAND_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?")
"""A list of commands, cut short by its maker; their sections follow anyway."""
LAST = "Use"
"""Section in which pages come that the configuration does not name."""
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")

log = get_plugin_logger("hooks")


def on_config(config: Any) -> Any:
    """Leave out pages that are not there, and add those that are not named."""
    docs = Path(config.docs_dir)
    there = {path.name for path in docs.glob("*.md")} | {COMMANDS, *BORROWED}
    config.nav = [entry for entry in (_pruned(entry, there) for entry in config.nav) if entry]
    unnamed = sorted(there - set(_named(config.nav)) - {name for name in BORROWED if "/" in name or ".md" not in name})
    for entry in config.nav:
        if isinstance(entry, dict) and LAST in entry:
            entry[LAST] += unnamed
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the borrowed files and the reference of the command line."""
    for name, source in BORROWED.items():
        files.append(File.generated(config, name, abs_src_path=str(REPOSITORY / source)))
    files.append(File.generated(config, COMMANDS, content=_commands()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to borrowed files to their pages; of links to other files of the repository keep the text."""
    own = BORROWED.get(page.file.src_uri)
    here = REPOSITORY / own if own else Path(config.docs_dir) / page.file.src_uri
    pages = {REPOSITORY / source: name for name, source in BORROWED.items()}

    def led(link: re.Match[str]) -> str:
        if "://" in link["target"] or link["target"].startswith("mailto:"):
            return link[0]
        target = (here.parent / link["target"]).resolve()
        if target in pages:
            depth = page.file.src_uri.count("/")
            return f"[{link['text']}]({'../' * depth}{pages[target]}{link['anchor'] or ''})"
        if target.is_relative_to(config.docs_dir) and not target.is_relative_to(SITE) and not own:
            return link[0]
        if not target.exists():
            log.warning(f"{page.file.src_uri} links to {link['target']}, which is not there")
        return link["text"]

    return LINK.sub(led, markdown)


def _pruned(entry: Any, there: set[str]) -> Any:
    if isinstance(entry, str):
        return entry if entry in there else None
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return entry if value in there else None
    kept = [child for child in (_pruned(child, there) for child in value) if child]
    return {title: kept} if kept else None


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav
    return [name for child in children for name in _named(child)]


def _commands() -> str:
    """Describe every command, from the command line's own help."""
    describe = ["-m", "typer", "universal_style.cli", "utils", "docs"]
    named = ["--name", "universal-style", "--title", "Command line"]
    run = subprocess.run([sys.executable, *describe, *named], capture_output=True, text=True, check=True)
    return COMMAND_LIST.sub("", run.stdout)
