"""Parameters of a process beside the tracker's: a dataclass, all read at start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from .beside import BesideError
from .parameters import START, Spec, check_value, make_descriptor

T = TypeVar("T")


def parameter(default: Any, text: str, **details: Any) -> Any:
    """A field of such a dataclass; `details` are those of `Spec`."""
    return dataclasses.field(default=default, metadata={"spec": Spec(START, text, **details)})


class Table(Generic[T]):
    """The parameters that a dataclass declares.

    Args:
        kind: a frozen dataclass whose fields are made by `parameter`.
        error: raised for wrong values.
    """

    def __init__(self, kind: type[T], error: type[BesideError]) -> None:
        self._kind, self._error = kind, error
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self.specs: dict[str, Spec] = {field.name: field.metadata["spec"] for field in fields}
        self.defaults = {field.name: field.default for field in fields}

    def declare(self, node: Any) -> T:
        """Declare all of them; their values. Raises the error that names each wrong one."""
        for name, spec in self.specs.items():
            default = self.defaults[name]
            node.declare_parameter(name, default, make_descriptor(name, default, spec))
        return self.read({name: node.get_parameter(name).value for name in self.specs})

    def read(self, values: Mapping[str, Any]) -> T:
        """Settings from ROS values. Raises the error that names each wrong one and the remedy."""
        reasons = [
            reason
            for name, value in values.items()
            if (reason := check_value(name, value, self.defaults[name], self.specs[name]))
        ]
        if reasons:
            raise self._error("; ".join(reasons))
        return self._kind(**values)

    def to_markdown(self) -> str:
        """Table for the documentation."""
        lines = ["| parameter | default | range | text |", "|---|---|---|---|"]
        for name, spec in self.specs.items():
            default = self.defaults[name]
            allowed = ", ".join(spec.choices)
            if spec.low is not None and spec.high is not None:
                allowed = f"{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()
            shown = f'"{default}"' if isinstance(default, str) else default
            shown = str(shown).lower() if isinstance(default, bool) else shown
            lines.append(f"| `{name}` | `{shown}` | {allowed} | {spec.text} |")
        return "\n".join(lines) + "\n"
