"""The house rules that can be read off the sources."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import universal_style
from universal_style import errors

PACKAGE = Path(universal_style.__file__).resolve().parent
ROOMS = [
    {"errors"},
    {
        "allocator",
        "atomic",
        "canvas",
        "cluster",
        "folders",
        "locks",
        "names",
        "outputs",
        "plots",
        "ranges",
        "tensor_files",
        "windows",
    },
    {"images", "moments", "mixing", "networks", "roots", "transforms", "smoothing", "regions", "devices", "recordings"},
    {"drivers"},
    {"styles", "metrics", "report", "reference", "keep_colors", "lut"},
    {"subjects"},
    {"methods"},
    {"request", "pretrained"},
    {"dividing"},
    {"stylizer", "training"},
    {"contenders", "repetition", "sheets"},
    {"demo", "evaluation", "comparison", "explanation", "texture", "grids", "batch", "video"},
    {"cli", "integrations", "web"},
    {"__main__"},
]
"""Imports point to an earlier line, or stay within a line where one of its rooms serves another."""
STRANGERS = [("networks", "transforms"), ("networks", "moments"), ("images", "networks"), ("transforms", "networks")]


def sources():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("universal_style."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    height = {name: line for line, names in enumerate(ROOMS) for name in names}
    assert room(path) in height, "a new room: give it a place in ROOMS"
    for other in imported_rooms(path):
        assert height[other] <= height[room(path)], f"{room(path)} imports {other}"
        assert (room(path), other) not in STRANGERS


def test_the_order_of_rooms_is_the_documented_one():
    documented = (Path(__file__).parents[1] / "docs" / "design.md").read_text().split("```")[1]
    lines = [line.replace("\n", " ").split(",") for line in documented.split("→")]
    rooms = [{name.strip() for name in line} for line in lines]
    named = [name for line in rooms for name in line]
    assert sorted(named) == sorted(name for line in ROOMS for name in line)
    height = {name: number for number, line in enumerate(reversed(ROOMS)) for name in line}
    assert [height[name] for name in named] == sorted(height[name] for name in named)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path):
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "print" not in calls


def test_the_package_is_imported_where_there_are_no_modules_of_unix():
    """As on Windows; psutil comes first, whose half for this system needs them."""
    modules = sorted(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in [*PACKAGE.glob("*.py"), *(PACKAGE / "batch").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]
    )
    program = (
        "import importlib, sys, psutil\n"
        "sys.modules['resource'] = sys.modules['fcntl'] = None\n"
        f"for name in {modules}: importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr


def test_the_public_names():
    assert sorted(universal_style.__all__) == [
        "CheckpointError", "Image", "InputError", "OptionError", "OutputError", "Style", "Stylizer",
        "UniversalStyleError", "transfer",
    ]  # fmt: skip
    for name in universal_style.__all__:
        assert getattr(universal_style, name) is not None
    with pytest.raises(AttributeError):
        _ = universal_style.no_such_name


def test_one_error_tree():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, errors.UniversalStyleError) for kind in kinds)
    assert all(kind.__name__ in errors.__doc__ for kind in kinds)


def test_importing_the_package_loads_no_torch():
    script = "import sys, universal_style; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
