"""Numbers on command lines: whatever is no number, or beyond all bounds, is refused in one line."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duml_tracker_ros.arguments import Number, Parser, Whole
from duml_tracker_ros.cli.main import build_parser
from duml_tracker_ros.evaluation import trax_adapter

ABSURD = ("nan", "-nan", "inf", "-inf", "Infinity", "-1e-9", "1e99", "-1e99", "9" * 40, "9" * 5000)
ABSURD += ("", " ", "abc", "0x10", "1,5,x", "1;2", "\u221e", "1e400", "-99999999999")
METAVARS = {"N", "HZ", "S", "PX", "Q", "AUC", "PORT"}
DEMO = ("main", "camera", "steered_camera", "ground_station", "recorder")
ROS = importlib.util.find_spec("rclpy") is not None


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from commands(inner)


def parsers() -> list[argparse.ArgumentParser]:
    found = [*commands(build_parser()), trax_adapter.build_parser()]
    if ROS:
        for name in DEMO:
            found.append(importlib.import_module(f"duml_tracker_ros.demo.{name}").build_parser())
    return found


def typed(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Options whose text is turned into something else than a path."""
    return [a for a in parser._actions if a.type not in (None, Path)]


@pytest.mark.parametrize("parser", parsers(), ids=lambda p: p.prog)
def test_absurd_numbers_are_refused_in_one_line(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(parser, Parser)
    for action in typed(parser):
        option = action.option_strings[-1]
        for text in ABSURD:
            with pytest.raises(SystemExit) as stop:
                parser.parse_args([f"{option}={text}"])
            said = capsys.readouterr()
            assert stop.value.code == 2, (option, text)
            line = said.err.removesuffix("\n")
            assert "\n" not in line
            assert not said.out
            start = f"{parser.prog}: error: argument {'/'.join(action.option_strings)}: "
            assert line.startswith(f"{start}{text[:60]!r}"[:-1]), line
            assert re.search(r" is not .*(from \S+ to \S+|for example|of 64 to|low below)", line)
            assert len(line) < 300
        # What begins with a minus is no other option.
        if isinstance(action.type, (Whole, Number)):
            for text in ("-inf", "-nan", "-1e99", "-5", "-.5"):
                with pytest.raises(SystemExit):
                    parser.parse_args([option, text])
                assert f"{text!r} is not a" in capsys.readouterr().err


@pytest.mark.parametrize("parser", parsers(), ids=lambda p: p.prog)
def test_every_number_has_a_type_with_bounds(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        assert action.type not in (int, float, complex), action.option_strings
        if action.metavar in METAVARS or isinstance(action.default, (int, float)):
            flag = isinstance(action.default, bool)
            assert flag or isinstance(action.type, (Whole, Number)), action.option_strings
        if isinstance(action.type, (Whole, Number)):
            low, high = action.type.least, action.type.most
            if action.default is not None and action.default is not argparse.SUPPRESS:
                assert action.default == 0 or low <= action.default <= high
            for bound in (low, high):
                assert action.type(repr(bound)) == bound


@pytest.mark.skipif(not ROS, reason="needs ROS 2")
@pytest.mark.parametrize("command", ["console", "mavlink"])
def test_options_of_nodes_have_the_bounds_of_their_parameters(command: str) -> None:
    table = importlib.import_module(f"duml_tracker_ros.{command}.settings").TABLE
    (parser,) = (p for p in commands(build_parser()) if p.prog.endswith(command))
    checked = 0
    for action in parser._actions:
        if isinstance(action.type, (Whole, Number)) and action.dest in table.specs:
            span = table.specs[action.dest].span
            assert (action.type.least, action.type.most) == (span.low, span.high)
            checked += 1
    assert checked == 4


def test_a_program_ends_with_2_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "duml_tracker_ros.cli", "track", "x.mp4", "--fps", "-inf"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "duml-tracker track: error: argument --fps: '-inf' is not a number from 0.01 to 1000 "
        "(duml-tracker track --help)\n"
    )
