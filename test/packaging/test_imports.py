"""Imports go one way: no circle between modules or folders, as docs/design.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from duml_tracker_ros import tracker

ROOT = Path(tracker.__file__).resolve().parents[1]
PACKAGE = ROOT.name
LAYERS = (
    ("cli", "demo"),
    ("console", "mavlink"),
    ("node",),
    ("explain", "training"),
    ("evaluation", "messages", "scene", "viz"),
    ("estimation",),
    ("datasets", "tracker"),
    ("media",),
)
"""Folders from the top down, as docs/design.md has them; single files lie below all."""

Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(tree: ast.AST, name: str, is_package: bool) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it; types alone do not count."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (a.name for a in tree.names if a.name in MODULES)
    if isinstance(tree, ast.ImportFrom):
        parts = name.split(".") if is_package else name.split(".")[:-1]
        here = parts[: len(parts) - tree.level + 1] if tree.level else []
        base = ".".join((*here, *filter(None, [tree.module])))
        for alias in tree.names:
            found = f"{base}.{alias.name}"
            if found in MODULES:
                yield found
            elif base in MODULES:
                yield base
    for child in ast.iter_child_nodes(tree):
        yield from imported(child, name, is_package)


def graph() -> dict[str, set[str]]:
    out = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text("utf-8"))
        out[name] = set(imported(tree, name, path.name == "__init__.py")) - {name}
    return out


def circle(edges: Graph) -> list[str]:
    """A circle in a graph, if there is one: its nodes in order."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for other in sorted(edges[node]):
            if found := walk(other, [*path, node]):
                return found
        done.add(node)
        return []

    for node in edges:
        if found := walk(node, []):
            return found
    return []


def folders(edges: Graph, depth: int) -> dict[str, set[str]]:
    """The graph of the folders at a depth; a file that lies above them is a node of its own."""

    def folder(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    out: dict[str, set[str]] = {}
    for name, others in edges.items():
        own = out.setdefault(folder(name), set())
        own |= {folder(o) for o in others} - {folder(name)}
    return out


EDGES = graph()


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    text = "def f():\n    from ..geometry import Box\n"
    name = f"{PACKAGE}.tracker.systems.drol"
    assert list(imported(ast.parse(text), name, False)) == [f"{PACKAGE}.tracker.geometry"]


def test_no_circle_between_modules() -> None:
    assert circle(EDGES) == []


@pytest.mark.parametrize("depth", [2, 3])
def test_no_circle_between_folders(depth: int) -> None:
    assert circle(folders(EDGES, depth)) == []


def test_folders_import_only_what_is_below_them() -> None:
    rank = {name: -i for i, level in enumerate(LAYERS) for name in level}
    assert set(rank) == {path.parent.name for path in ROOT.glob("*/__init__.py")}

    def level(name: str) -> int:
        return rank.get(name.split(".")[1], -len(LAYERS)) if "." in name else -len(LAYERS)

    upward = [
        f"{name} imports {other}"
        for name, others in EDGES.items()
        for other in others
        if level(name) < level(other)
    ]
    assert upward == []
