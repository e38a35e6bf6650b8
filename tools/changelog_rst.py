"""Writes CHANGELOG.rst from CHANGELOG.md, which bloom and catkin_prepare_release read.

    python tools/changelog_rst.py > CHANGELOG.rst

It is made when a release is made and is not kept beside its source, so the two cannot differ.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def convert(text: str, package: str) -> str:
    """Changelog of a package in the form of REP-132, from one after Keep a Changelog."""
    title = f"Changelog for package {package}"
    rule = "^" * len(title)
    lines = [rule, title, rule]
    begun = False
    for line in text.splitlines():
        if version := re.fullmatch(r"## \[?([^\]]+?)\]?(?: - (\S+))?", line):
            name, date = version.groups()
            head = "Forthcoming" if name == "Unreleased" else f"{name} ({date})"
            lines += ["", head, "-" * len(head)]
            begun = True
        elif not begun:
            continue  # what is said to readers of the Markdown
        elif line.startswith("### "):
            lines += ["", f"* {line[4:]}", ""]
        elif line.strip():
            lines.append(f"  {marked(line)}")
    return "\n".join(lines) + "\n"


def marked(line: str) -> str:
    """A line with the marks of reStructuredText for code and links, and `*` for list items."""
    line = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (\2)", line)
    # Outside of code a backslash keeps these from being marks.
    pieces = re.split(r"(`[^`]*`)", line)
    for index, piece in enumerate(pieces):
        pieces[index] = f"`{piece}`" if index % 2 else re.sub(r"([\\*|_])", r"\\\1", piece)
    return re.sub(r"^(\s*)- ", r"\1* ", "".join(pieces))


def main() -> int:
    """Print the changelog; returns the exit status."""
    name = ElementTree.parse(ROOT / "package.xml").findtext("name") or ""
    sys.stdout.write(convert((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
