"""Every row of every table of the papers: which setting or network makes it, or why none does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..tracker.settings import load_yaml

TABLE = Path(__file__).parent / "paper_tables.yaml"
KINDS = ("set", "train", "not")
OTHERS = "another project's tracker, whose code and weights are not in this package"


@dataclass(frozen=True)
class PaperRow:
    """One row of a table as the paper prints it.

    Attributes:
        kind: ``set`` (a setting of the size's own weights), ``train`` (a network has to be trained
            first: ``recipe`` with ``training`` laid over it) or ``not`` (why: ``reason``).
        settings: dotted keys under which the tracker runs.
        datasets: on which, as ``--dataset`` takes them.
    """

    name: str
    kind: str
    tracker: str = ""
    size: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    reason: str = ""

    def text(self) -> str:
        """Return the commands that make the row, or why there are none."""
        if self.kind == "not":
            return f"not reproduced: {self.reason}"
        run = f"eval --tracker {self.tracker} --size {self.size}{_set(self.settings)}"
        if self.kind == "set":
            return f"`{run}`"
        return f"`train {self.recipe}{_set(self.training)}`, `{run} --weights FILE`"


def _set(settings: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return "".join(f" --set {shlex.quote(f'{k}={shown(v)}')}" for k, v in settings.items())


def paper_rows() -> dict[str, dict[str, list[PaperRow]]]:
    """Rows by paper and table, in the order of the papers' tables."""
    papers: dict[str, dict[str, list[PaperRow]]] = {}
    for paper, content in load_yaml(TABLE).items():
        defaults = content.pop("defaults")
        papers[paper] = {
            table: list(_rows(found, defaults, tuple(found["data"])))
            for table, found in content.items()
        }
    return papers


def _rows(
    table: dict[str, Any], defaults: dict[str, str], datasets: tuple[str, ...]
) -> Iterator[PaperRow]:
    for name in table.get("others", ()):
        yield PaperRow(name, "not", datasets=datasets, reason=OTHERS)
    for entry in table["rows"]:
        if "not" in entry:
            yield PaperRow(entry["row"], "not", datasets=datasets, reason=entry["not"])
            continue
        training = entry.get("with", {})
        network = {k: v for k, v in training.items() if k.startswith("network.")}
        yield PaperRow(
            entry["row"],
            "train" if training else "set",
            entry.get("tracker", defaults["tracker"]),
            entry.get("size", defaults["size"]),
            {**network, **entry.get("set", {})},
            entry.get("train", defaults.get("train", "")) if training else "",
            training,
            datasets,
        )
