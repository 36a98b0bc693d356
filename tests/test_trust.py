"""What the package never does: run what a file holds, or ask the network without being asked to."""

import ast
import socket
import sys
from pathlib import Path

import pytest

import universal_style
from universal_style import cli

PACKAGE = Path(universal_style.__file__).resolve().parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
UNPICKLING = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNPICKLING_CALLS = {"eval", "exec", "compile", "__import__"}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_nothing_is_unpickled():
    loading = set()
    for path in SOURCES:
        assert not UNPICKLING & set(imported(path)), path
        for name, words in calls(path):
            assert name not in UNPICKLING_CALLS, path
            assert name not in ("np.load", "numpy.load", "torch.jit.load", "torch.hub.load"), path
            if name == "torch.load":
                loading.add(str(path.relative_to(PACKAGE)))
                assert words.get("weights_only") == "True", path
    assert loading == {"training/states.py", "networks/convert.py"}  # states of trainings; one file of a known SHA-256


def test_no_shell_is_started():
    for path in SOURCES:
        for name, words in calls(path):
            assert name not in ("os.system", "os.popen"), path
            assert words.get("shell", "False") == "False", path


@pytest.fixture
def no_network(monkeypatch):
    asked = []

    def refuse(self, address):
        asked.append(address)
        raise OSError(f"no network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **how: refuse(None, where))
    return asked


@pytest.mark.parametrize(
    "command",
    [
        "transfer cat.png ducks.png -o out.png --levels 2,1 --auto-regions 2 --json report.json",
        "transfer cat.png ducks.png -o out.png -m wct2 --levels 1",
        "demo",
        "info",
        "info --json",
        "style save ducks.png -o ducks.safetensors",
        "batch . ducks.png -o out --levels 1",
    ],
)
def test_the_network_is_not_used_without_being_asked(command, no_network, monkeypatch, tmp_path, cat, ducks):
    monkeypatch.chdir(tmp_path)
    cat.resize((48, 40)).save("cat.png")
    ducks.resize((48, 40)).save("ducks.png")
    if command == "demo":
        monkeypatch.setattr("universal_style.demo.LONG_SIDE", 48)
    monkeypatch.setattr(sys, "argv", ["universal-style", *command.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert no_network == []
