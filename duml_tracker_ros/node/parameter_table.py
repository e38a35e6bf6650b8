"""Parameters of a node as a table: a frozen dataclass whose fields are parameters.

A field's type and default are the parameter's; the rest (span, unit, when a change applies, text)
is its metadata. Declaration, checks, the YAML file and the documentation are made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .texts import cut

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor

START = "start"
CONFIGURE = "configure"
ACTIVATE = "activate"
ANY_TIME = "any time"

T = TypeVar("T")


class Span(NamedTuple):
    """Lowest and highest value, both allowed, and their unit."""

    low: float
    high: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{_number(self.low)} to {_number(self.high)} {self.unit}".rstrip()


@dataclasses.dataclass(frozen=True)
class Spec:
    """What the table says about one parameter besides its default."""

    text: str
    span: Span | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    remedy: str = ""
    when: str = START

    @property
    def allowed(self) -> str:
        """The values that it may have, in words; empty where no more is said than its type."""
        return ", ".join(self.choices) or (str(self.span) if self.span else "")


def parameter(default: Any, text: str, span: Span | None = None, **details: Any) -> Any:
    """A field of such a dataclass; `details` are those of `Spec`."""
    spec = Spec(text, span, **details)
    return dataclasses.field(default=default, metadata={"spec": spec})


class Table(Generic[T]):
    """The parameters that a dataclass declares.

    Args:
        kind: a frozen dataclass whose fields are made by `parameter`.
        error: raised for wrong values.
    """

    def __init__(self, kind: type[T], error: type[Exception] = ValueError) -> None:
        self._kind, self._error = kind, error
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self.specs: dict[str, Spec] = {field.name: field.metadata["spec"] for field in fields}
        self.defaults: dict[str, Any] = {field.name: field.default for field in fields}

    def check(self, name: str, value: Any) -> str:
        """Reason why `value` is no value of the parameter `name`; empty when it is one."""
        spec, kind = self.specs[name], type(self.defaults[name])
        told = f"{name} = {cut(repr(value), 100)}"
        if type(value) is not kind:
            return f"{told}: must be of type {kind.__name__}"
        if spec.choices and value not in spec.choices:
            return f"{told}: use one of {spec.allowed}"
        if kind is str and any(ord(letter) < 32 for letter in value):
            return f"{told}: leave out control characters"
        if spec.pattern and re.fullmatch(spec.pattern, value) is None:
            return f"{told}: {spec.remedy}"
        if spec.span and not spec.span.low <= value <= spec.span.high:
            return f"{told}: must be from {spec.span}"
        return ""

    def declare(self, node: Any) -> T:
        """Declare all of them; their values. Raises the error that names each wrong one."""
        for name, default in self.defaults.items():
            node.declare_parameter(name, default, self.descriptor(name))
        # A file may be for several nodes; a name that is nearly one of ours is a slip.
        for given in sorted(getattr(node, "_parameter_overrides", {})):
            near = difflib.get_close_matches(given, self.specs, 1, 0.8)
            if near and given not in self.specs:
                node.get_logger().warning(
                    f"parameter {cut(given)} has no effect: this node has none of that name, but "
                    f"{near[0]}"
                )
        return self.read_from(node)

    def read_from(self, node: Any) -> T:
        """Values that a node has now. Raises the error that names each wrong one."""
        return self.read({name: node.get_parameter(name).value for name in self.specs})

    def read(self, values: Mapping[str, Any]) -> T:
        """Settings from ROS values. Raises the error that names each wrong one and the remedy."""
        reasons = [reason for item in values.items() if (reason := self.check(*item))]
        if reasons:
            raise self._error("; ".join(reasons))
        return self._kind(**values)

    def descriptor(self, name: str) -> ParameterDescriptor:
        """ROS descriptor of a parameter."""
        from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

        spec = self.specs[name]
        message = ParameterDescriptor(name=name, read_only=spec.when == START)
        unit = f" [{spec.span.unit}]" if spec.span and spec.span.unit else ""
        message.description = f"{spec.text}{unit}"
        message.additional_constraints = f"applies on: {spec.when}"
        if spec.choices:
            message.additional_constraints += f"; one of: {spec.allowed}"
        elif spec.remedy:
            message.additional_constraints += f"; {spec.remedy}"
        if spec.span and isinstance(self.defaults[name], float):
            low, high = spec.span[:2]
            message.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif spec.span:
            low, high = map(int, spec.span[:2])
            message.integer_range = [IntegerRange(from_value=low, to_value=high)]
        return message

    def to_yaml(self) -> list[str]:
        """Lines of a parameter file: every parameter with its text, indented, and its default."""
        lines = []
        for name, spec in self.specs.items():
            applies = "read at any time" if spec.when == ANY_TIME else f"read on {spec.when}"
            text = "; ".join(filter(None, (spec.text, spec.allowed, applies)))
            indent = "    # "
            lines += textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)
            lines.append(f"    {name}: {_yaml_value(self.defaults[name])}")
        return lines

    def to_markdown(self) -> str:
        """Table for the documentation."""
        # Where all are read at start no column says so.
        timed = any(spec.when != START for spec in self.specs.values())
        rows = [["parameter", "default", "range", *(["applies on"] if timed else []), "text"]]
        for name, spec in self.specs.items():
            shown = f"`{_yaml_value(self.defaults[name])}`"
            when = [spec.when] if timed else []
            rows.append([f"`{name}`", shown, spec.allowed, *when, spec.text])
        head, *lines = (f"| {' | '.join(row)} |\n" for row in rows)
        return "".join((head, f"{'|---' * len(rows[0])}|\n", *lines))


def _yaml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)
