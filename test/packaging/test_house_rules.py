"""House rules of CONTRIBUTING: large files say why, a class name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from duml_tracker_ros import tracker

ROOT = Path(tracker.__file__).resolve().parents[1]
MOST = 400
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
}


def test_a_file_above_400_lines_says_why() -> None:
    silent = [
        name
        for name, tree in TREES.items()
        if len((ROOT / name).read_text("utf-8").splitlines()) > MOST
        and f"above {MOST} lines" not in (ast.get_docstring(tree) or "")
    ]
    assert not silent, f"split by idea, or write into the docstring why it is above {MOST} lines"


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice


def test_a_box_is_one_alias() -> None:
    made = [
        name
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Box"
    ]
    assert made == ["pixels.py"]
