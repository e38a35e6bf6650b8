"""Settings as data: groups of frozen fields whose types say what they may be.

A field's type is its whole declaration::

    @dataclass(frozen=True)
    class VotingConfig(Group, path="voting"):
        kind: Literal["mean", "median"] = "mean"
        sigma: Annotated[float, Range(1e-6, 1.0)] = 0.01
        scales: Annotated[tuple[Share, ...], Length(1, 8)] = (1.0,)

Making one turns texts into numbers and checks every value against that; what is wrong is named with
the whole name of the setting. Checks of several fields together go into ``__post_init__``, after
that of ``Group``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml

from ..media.plain_files import LARGEST_TEXT, read_bytes
from .errors import ConfigError

SHOWN = 80
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included."""

    low: float
    high: float

    def fault(self, value: Any) -> str:
        """What is wrong with the value, as the end of a sentence; empty when nothing is."""
        if self.low <= value <= self.high:
            return ""
        return f"must be from {self.low:.12g} to {self.high:.12g}"


@dataclass(frozen=True)
class Length:
    """A list of ``low`` to ``high`` values."""

    low: int
    high: int

    def fault(self, value: Any) -> str:
        if self.low <= len(value) <= self.high:
            return ""
        return f"must be a list of {self.low} to {self.high} values"


@dataclass(frozen=True)
class Match:
    """A text that a regular expression describes, and words that do."""

    pattern: str
    words: str

    def fault(self, value: Any) -> str:
        return "" if re.fullmatch(self.pattern, value) else f"must be {self.words}"


Share = Annotated[float, Range(0, 1)]
Name = Annotated[str, Match(r"\w[\w.+-]{0,99}", "a name of letters, digits, '_', '.', '+', '-'")]


class Group:
    """Base of settings that belong together; ``path`` is the name of the group in a file.

    ``former`` are settings that older files name and that are passed over.
    """

    path: ClassVar[str] = ""
    former: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, path: str = "", former: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.path, cls.former = path, former

    def __post_init__(self) -> None:
        for name, kind in kinds(type(self)).items():
            value = _fit(kind, getattr(self, name), full_name(type(self), name))
            object.__setattr__(self, name, value)


G = TypeVar("G", bound=Group)
_kinds: dict[type[Group], dict[str, Any]] = {}


def kinds(cls: type[Group]) -> dict[str, Any]:
    """The declared type of each field of a group."""
    if cls not in _kinds:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        _kinds[cls] = {f.name: hints[f.name] for f in fields}
    return _kinds[cls]


def groups(cls: type[Group]) -> dict[str, type[Group]]:
    """The groups within a group, by the names of their fields."""
    return {
        name: kind
        for name, kind in kinds(cls).items()
        if isinstance(kind, type) and issubclass(kind, Group)
    }


def full_name(cls: type[Group], name: str) -> str:
    """The whole name of a field: that of its group before its own."""
    return f"{cls.path}.{name}" if cls.path else name


def build(cls: type[G], values: Mapping[str, Any]) -> G:
    """Make a group from nested mappings. Raises ConfigError that names what is unknown or wrong."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{cls.path or 'settings'} = {shown(values)}: a mapping is expected")
    known = kinds(cls)
    values = {key: value for key, value in values.items() if key not in cls.former}
    for key in values:
        if key not in known:
            name = shown(full_name(cls, str(key)))
            raise ConfigError(f"unknown key {name}; known here: {', '.join(sorted(known))}")
    return cls(**values)


def check_setting(cls: type[Group], dotted: str, value: Any) -> None:
    """Check one setting by its dotted name, apart from the others. Raises ConfigError."""
    *parents, leaf = dotted.split(".")
    for parent in parents:
        inner = groups(cls).get(parent)
        if inner is None:
            break
        cls = inner
    else:
        if leaf in cls.former:
            return
        if leaf in kinds(cls):
            _fit(kinds(cls)[leaf], value, full_name(cls, leaf))
            return
    raise ConfigError(f"unknown key {shown(dotted)}; known here: {', '.join(sorted(kinds(cls)))}")


def shown(value: Any) -> str:
    """A value as an error repeats it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"{type(value).__name__} of very many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _fit(kind: Any, value: Any, name: str) -> Any:
    """The value as its declared type. Raises ConfigError that names the setting."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        value = _fit(arguments[0], value, name)
        for rule in arguments[1:]:
            if fault := rule.fault(value):
                raise ConfigError(f"{name} = {shown(value)}: {fault}")
        return value
    if origin is typing.Literal:
        for choice in arguments:
            if value == choice and type(value) is type(choice):
                return choice
            if isinstance(value, str) and value == str(choice):
                return choice
        choices = ", ".join(map(str, arguments))
        raise ConfigError(f"{name} = {shown(value)}: choose from {choices}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} = {shown(value)}: a list is expected")
        return tuple(_fit(arguments[0], v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} = {shown(value)}: a mapping is expected")
        return {
            _fit(arguments[0], k, f"a key of {name}"): _fit(arguments[1], v, f"{name}.{k}")
            for k, v in value.items()
        }
    if kind is Any:
        return value
    if issubclass(kind, Group):
        if isinstance(value, kind):
            return value
        return build(kind, value)
    return _plain(kind, value, name)


def _plain(kind: Any, value: Any, name: str) -> Any:
    """A number, a switch or a text; numbers and switches may be given as texts."""
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    number = kind in (int, float)
    if (number and isinstance(value, str)) or (kind is float and type(value) is int):
        with contextlib.suppress(ValueError, OverflowError):
            value = kind(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} = {shown(value)}: {kind.__name__} is expected")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{name} = {value}: a finite number is expected")
    if kind is str and re.search(r"[\x00-\x1f\x7f]", value):
        raise ConfigError(f"{name} = {shown(value)}: control characters are not allowed")
    return value


def merge(base: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Lay dotted keys ({"online.update": "never"}) over nested mappings.

    >>> merge({"online": {"memory": 30}}, {"online.update": "never"})
    {'online': {'memory': 30, 'update': 'never'}}
    """
    out: dict[str, Any] = {
        k: (merge(v, {}) if isinstance(v, Mapping) else v) for k, v in base.items()
    }
    for key, value in dotted.items():
        node = out
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"unknown key {key!r}: {parent!r} has no keys below it")
        node[leaf] = value
    return out


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys.

    >>> flat({"online": {"update": "never"}, "size": "lite"})
    {'online.update': 'never', 'size': 'lite'}
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


MOST_ALIASES = 16


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice: one of its values would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    text = f"{key.value[:60]!r} comes twice"
                    raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _words(error: yaml.YAMLError | ValueError) -> str:
    """What is wrong with a file, and where, in a line."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None)
    if mark is None or not problem:
        return str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _check_aliases(path: Path, text: str) -> None:
    """Refuse a few lines that would become gigabytes: what aliases repeat may hold aliases."""
    if text.count("*") > MOST_ALIASES:
        found = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        if found > MOST_ALIASES:
            raise ConfigError(
                f"{path} repeats values by {found} aliases (*name), and no more than "
                f"{MOST_ALIASES} are read: write them out"
            )


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises ConfigError that names the file."""
    try:
        text = read_bytes(path, LARGEST_TEXT).decode("utf-8")
        _check_aliases(path, text)
        data = yaml.load(text, _Loader)
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: a mapping of keys is expected")
        return merge(data, {})
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is not a configuration: nested too deep") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {_words(error)}") from error
