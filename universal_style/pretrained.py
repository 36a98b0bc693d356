"""Pretrained folders: a method with its checkpoints, to be kept, handed on, or fetched from a model hub.

Such a folder holds `config.json`, safetensors files, `SHA256SUMS` and a model card. Nothing in it is ever executed or
unpickled. The encoder is not in it: the package brings it, and `config.json` names the one that the decoders mirror.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from universal_style.atomic import write_text
from universal_style.errors import CheckpointError, InputError, OptionError
from universal_style.methods import METHODS, Method
from universal_style.networks.checkpoints import (
    SUMS,
    copy_checkpoint,
    encoder_digest,
    listed_names,
    verify,
)
from universal_style.outputs import make_folder
from universal_style.tensor_files import SUFFIX, read_facts

CONFIG = "config.json"
CARD = "README.md"
KIND = "universal-style pretrained"
VERSION = 1
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
"""What may name a repository of a hub: OWNER/NAME."""


@dataclass(frozen=True)
class Pretrained:
    """What `config.json` says.

    Attributes:
        method: name in the methods table, or that of a trained net's file in the folder.
        dtype: of the networks, auto included.
        encoder: SHA-256 of the encoder that the decoders mirror.
        versions: of the packages that wrote it, for the reader.
        kind: `KIND`.
        version: of the format.
    """

    method: str
    dtype: str
    encoder: str
    versions: Mapping[str, str]
    kind: str = KIND
    version: int = VERSION

    @classmethod
    def of(cls, method: Method, dtype: str) -> Pretrained:
        """Describe a method as it is here."""
        versions = {name: version(name) for name in ("universal-style", "torch", "safetensors")}
        return cls(method.name, dtype, encoder_digest(), versions)

    @classmethod
    def read(cls, folder: Path) -> Pretrained:
        """Read a folder's `config.json` and check its files against `SHA256SUMS`.

        Raises:
            CheckpointError: it is no pretrained folder of this version, or a file is missing, damaged or swapped.
        """
        path = folder / CONFIG
        if not path.is_file():
            raise CheckpointError(f"{folder} holds no {CONFIG}; give a folder that save_pretrained wrote")
        try:
            facts: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
            method, dtype, encoder = (str(facts[name]) for name in ("method", "dtype", "encoder"))
            config = cls(method, dtype, encoder, dict(facts["versions"]), facts["kind"], facts["version"])
        except (OSError, RecursionError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); save the folder anew") from error
        if (config.kind, config.version) != (KIND, VERSION):
            raise CheckpointError(f"{path} says {config.kind}, version {config.version}; needed is {KIND}, {VERSION}")
        if config.encoder != encoder_digest():
            raise CheckpointError(f"{folder} was made for another encoder; install the version that wrote it")
        verify(folder)
        if config.method not in METHODS and config.method.removesuffix(SUFFIX) not in listed_names(folder):
            raise CheckpointError(f"{path} names {config.method!r}, neither a known method nor a net of the folder")
        return config

    def place(self, folder: Path) -> str:
        """Give what names the method: its name, or the path of the net in the folder."""
        return self.method if self.method in METHODS else str(folder / self.method)


def save(folder: Path, method: Method, dtype: str, decoders: Path) -> None:
    """Write a pretrained folder.

    Args:
        folder: made if it is not there.
        method: whose checkpoints are copied.
        dtype: of the networks, auto included.
        decoders: folder of the checkpoints in use.

    Raises:
        CheckpointError: a checkpoint is damaged, or the method has none here.
        OutputError: the folder cannot be written.
    """
    wanted = method.checkpoints(decoders)
    present = [path for path in wanted if path.is_file()]
    if wanted and not present:
        raise CheckpointError(f"{decoders} holds no checkpoint of {method.name}; give the folder of its decoders")
    make_folder(folder)
    copies = [copy_checkpoint(path, folder) for path in present]
    config = Pretrained.of(method, dtype)
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2))
    write_text(folder / CARD, _card(config, copies))


def folder_of(source: str | Path, revision: str | None) -> Path:
    """Find a pretrained folder: one that is there, or a repository of a model hub, which is fetched or in its cache.

    The hub is asked only where `source` is no folder and has the form OWNER/NAME. With HF_HUB_OFFLINE set only the
    cache is looked at. Only the kinds of files that `save` writes are fetched.

    Raises:
        InputError: there is no such folder, and it cannot be fetched.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if not isinstance(source, str) or not REPOSITORY.fullmatch(source):
        raise InputError(f"{source} is no folder; give one that save_pretrained wrote, or OWNER/NAME of a repository")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise OptionError(
            f"{source} is no folder, and to fetch it needs {error.name}: pip install 'universal-style[hub]'"
        ) from error
    try:
        found = snapshot_download(source, revision=revision, allow_patterns=[CONFIG, CARD, SUMS, f"*{SUFFIX}"])
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{source} is no folder and cannot be fetched ({reason})") from error
    return Path(str(found))


def _card(config: Pretrained, copies: Sequence[Path]) -> str:
    """Write the model card: what it is, how it is used, what lies in it."""
    rows = []
    for path in copies:
        facts = read_facts(path)
        psnr = facts.get("held_out_psnr")
        rows.append(f"| `{path.name}` | {f'{psnr} dB' if psnr else ''} | {facts.get('licence', '')} |")
    table = ["| file | held-out PSNR | licence |", "|---|---|---|", *rows] if rows else ["It needs no decoder."]
    return "\n".join(
        [
            "---",
            "library_name: universal-style",
            "pipeline_tag: image-to-image",
            "tags: [style-transfer]",
            "---",
            "",
            f"# {config.method}",
            "",
            "A method of universal_style with its networks, for:",
            "",
            "```python",
            "from universal_style import Stylizer",
            "",
            "stylizer = Stylizer.from_pretrained(FOLDER)",
            "```",
            "",
            *table,
            "",
            f"The encoder comes with the package (SHA-256 {config.encoder}).",
        ]
    )
