"""Starts camera, tracker node and recorder as processes, and tells how it went."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ament_index_python.packages import get_package_share_directory

from ..arguments import NOT_FOR_OPENCV, Parser, for_opencv, line
from ..outputs import OutputError, Outputs
from .footage import RATE, FootageError, add_source_options, open_source, source_arguments
from .recorder import NOT_CONNECTED, UNTRACKED
from .summary import table

STATION = "ground_station.json"
RESULTS = (STATION, "summary.json", "track.mp4", "track.avi", "contact_sheet.png", "heatmap.png")
TIED = "duml_tracker_ros.demo.tied"
PROCESSES = ("tracker_node", "camera", "recorder", "mavlink_node", "ground_station")


class DemoError(Exception):
    """The demo cannot run; one line that says why."""


def environment() -> dict[str, str]:
    """Environment of the processes: large images, a domain of their own."""
    variables = dict(os.environ, PYTHONUNBUFFERED="1")
    # The default transport of Fast DDS drops camera images; that of the user stays.
    if "FASTDDS_BUILTIN_TRANSPORTS" not in variables:
        share = Path(get_package_share_directory("duml_tracker_ros"))
        profile = share / "config" / "fastdds_large_images.xml"
        variables.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(profile))
    # Two demos on one machine, or in one network, must not hear each other. Not by
    # ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST: Fast DDS then loses a third of the images.
    variables.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 101)))
    variables.setdefault("RCUTILS_LOGGING_USE_STDOUT", "1")
    return variables


class Processes:
    """Processes that end with this one, whatever happens to it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._folder, self._variables = folder, variables
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, module: str, arguments: Sequence[str], quiet: bool = True) -> None:
        """Run a module, or a script, of this Python; a quiet process writes to <name>.log."""
        with contextlib.ExitStack() as stack:
            output = None
            if quiet:
                output = stack.enter_context(open(self.log(name), "wb"))
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", TIED, module, *arguments],
                # Nothing is written to it: its end tells that this process is no more.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT if quiet else None,
                env=self._variables,
                # A group of its own: an interrupt at the terminal is passed on in order, and
                # what a process has started itself ends with it.
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    @property
    def names(self) -> list[str]:
        return list(self._running)

    def status(self, name: str) -> int | None:
        """Exit status; None while it runs."""
        return self._running[name].poll()

    def stop(self) -> None:
        """Ask all to end, then make them."""
        for number, patience in (
            (signal.SIGINT, 4.0),
            (signal.SIGTERM, 2.0),
            (signal.SIGKILL, 2.0),
        ):
            waiting = [p for p in self._running.values() if p.poll() is None]
            for process in waiting:
                _signal_group(process, number)
            end = time.monotonic() + patience
            for process in waiting:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
        for process in self._running.values():
            # Whatever it has left behind.
            _signal_group(process, signal.SIGKILL)
            if process.stdin is not None:
                process.stdin.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def watch(processes: Processes, name: str = "recorder", done: Sequence[str] = ()) -> int:
    """Wait for a process; DemoError when another one, whose work is not done, dies on it."""
    while True:
        status = processes.status(name)
        if status is not None:
            return status
        for other in processes.names:
            if other in done:
                continue
            ended = processes.status(other)
            if ended is not None and (ended != 0 or other in ("tracker_node", "mavlink_node")):
                raise DemoError(
                    f"the {other} ended with status {ended}: {last_words(processes, other)}"
                )
        time.sleep(0.1)


def last_words(processes: Processes, name: str) -> str:
    """The most telling line of a log: the last error, else the last line."""
    try:
        lines = processes.log(name).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    errors = [line for line in lines if "[ERROR]" in line or "rror:" in line]
    return (errors or lines or ["it said nothing"])[-1].strip()


def build_parser() -> Parser:
    """The options of the demo."""
    parser = Parser(
        prog="python -m duml_tracker_ros.demo",
        description="Runs a camera, the tracker node and a recorder as processes over DDS.",
    )
    add_source_options(parser)
    parser.add_argument("--tracker", metavar="NAME", help="tracking system (parameter tracker)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the tracker node, also as name:=value; may be repeated",
    )
    parser.add_argument(
        "--mavlink",
        action="store_true",
        help="a ground station, MAVSDK, selects the target over MAVLink and stops it",
    )
    parser.add_argument("--rate", type=RATE, default=30.0, help="images per second (30)")
    parser.add_argument("--out", default="demo_out", help="results (demo_out)")
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    return build_parser().parse_args(arguments)


def node_arguments(options: argparse.Namespace) -> list[str]:
    """ROS arguments of the tracker node."""
    settings = [f"tracker:={options.tracker}"] if options.tracker else []
    for text in options.set:
        name, separator, value = text.partition(":=" if ":=" in text else "=")
        if not separator or not name.strip() or not value:
            raise DemoError(f"--set {text!r} is not name=value, for example --set num_threads=2")
        settings.append(f"{name.strip()}:={value}")
    return ["--ros-args", *(part for setting in settings for part in ("-p", setting))]


def prepare(options: argparse.Namespace) -> Path:
    """The folder of the results, without those of an earlier run."""
    folder = Path(options.out)
    if not for_opencv(folder.resolve()):
        raise DemoError(f"--out {folder} cannot be used: {NOT_FOR_OPENCV}")
    outputs = Outputs()
    for option in ("video", "seq"):
        outputs.reads(f"--{option}", getattr(options, option))
    try:
        for name in (*RESULTS, *(f"{process}.log" for process in PROCESSES)):
            outputs.file("--out", folder / name)
        for name in RESULTS:
            (folder / name).unlink(missing_ok=True)
    except OutputError as error:
        raise DemoError(str(error)) from None
    except OSError as error:
        raise DemoError(f"--out {folder} cannot be used: {error.strerror}") from None
    return folder


def run(options: argparse.Namespace) -> int:
    """One run; returns the exit status. Raises FootageError, DemoError."""
    ros_arguments = node_arguments(options)
    if options.mavlink:
        check_mavlink()
    folder = prepare(options)
    # A source that cannot be used must be told before anything is started.
    open_source(options)
    status = record(options, folder, ros_arguments)
    if status == NOT_CONNECTED:
        # Fast DDS over TCP leaves two processes apart now and then, for good.
        print("demo: DDS did not connect the processes; starting them again", file=sys.stderr)
        status = record(options, folder, ros_arguments)
    return report(folder) if status in (0, UNTRACKED) else status


def check_mavlink() -> None:
    """Raise DemoError when a library for --mavlink is missing."""
    for name in ("pymavlink", "mavsdk"):
        if importlib.util.find_spec(name) is None:
            raise DemoError(f"--mavlink needs {name}: pip install {name}")


def free_port() -> int:
    """A UDP port of loopback that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def record(options: argparse.Namespace, folder: Path, ros_arguments: Sequence[str]) -> int:
    """Run the processes; returns the recorder's exit status."""
    source = source_arguments(options)
    variables = environment()
    with tempfile.TemporaryDirectory(prefix="duml_demo_") as scratch:
        log, keep = Path(scratch) / "sent.json", Path(scratch) / "shown.avi"
        live = ["--keep", str(keep)] if _is_live(options) else []
        by_mavlink = ["--mavlink"] if options.mavlink else []
        with Processes(folder, variables) as processes:
            print(f"demo: processes start in ROS domain {variables['ROS_DOMAIN_ID']}", flush=True)
            processes.start("tracker_node", "duml_tracker_ros.node", ros_arguments)
            processes.start(
                "camera",
                "duml_tracker_ros.demo.camera",
                [*source, "--rate", str(options.rate), "--log", str(log), *live],
            )
            processes.start(
                "recorder",
                "duml_tracker_ros.demo.recorder",
                [*source, "--out", str(folder), "--log", str(log), *live, *by_mavlink],
                quiet=False,
            )
            if options.mavlink:
                port, station = free_port(), folder / STATION
                connection = ["-p", f"connection:=udp:127.0.0.1:{port}"]
                processes.start(
                    "mavlink_node", "duml_tracker_ros.mavlink", ["--ros-args", *connection]
                )
                processes.start(
                    "ground_station",
                    "duml_tracker_ros.demo.ground_station",
                    [*source, f"--port={port}", f"--log={log}", f"--out={station}"],
                )
            status = watch(processes)
            if options.mavlink and status in (0, UNTRACKED):
                unheard = watch(processes, "ground_station", done=["recorder"])
                if unheard and status == 0:
                    raise DemoError(last_words(processes, "ground_station"))
            if status not in (0, UNTRACKED):
                print(
                    f"demo: the tracker node says: {last_words(processes, 'tracker_node')}",
                    file=sys.stderr,
                )
            return status if status >= 0 else 1


def _is_live(options: argparse.Namespace) -> bool:
    return bool(options.video) and open_source(options).live


def report(folder: Path) -> int:
    """Print the table; exit status 0 when tracked, 1 when tracked though frames could not
    be read, else 3."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    print(table(summary))
    station = folder / STATION
    if station.exists():
        told = json.loads(station.read_text(encoding="utf-8"))
        print(f"  {'MAVLink':<9} {station_line(told)}")
        if not (told["active"] and told["stopped"]):
            summary["failures"].append(
                "the ground station got no status with the target, or none without it"
            )
    print(f"  {'results':<9} {', '.join(str(folder / f) for f in summary['files'].values())}")
    if summary["failures"]:
        print(
            f"demo: the target was NOT tracked: {'; '.join(summary['failures'])}", file=sys.stderr
        )
        return UNTRACKED
    if summary["unreadable"]:
        print(
            f"demo: the target was tracked, but {len(summary['unreadable'])} frames cannot be read",
            file=sys.stderr,
        )
        return 1
    print("demo: the target was tracked")
    return 0


def station_line(told: dict[str, Any]) -> str:
    """What the ground station saw, in a line."""
    every = f"{told['interval_p50']:.3f}" if told["interval_p50"] else "-"
    stopped = "stopped" if told["stopped"] else "NOT stopped"
    return (
        f"{told['statuses']} statuses, {told['active']} with the target, one in {every} s "
        f"(asked: {told['interval']:g}), then {stopped}"
    )


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """A polite kill must also take the processes along."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status.

    0 tracked, 1 broke off, 2 bad input, 3 not tracked, 130 interrupted.
    """
    options = parse(arguments)
    # It prints addresses in full.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        with _termination_as_interrupt():
            return run(options)
    except FootageError as error:
        print(line(f"demo: {error}"), file=sys.stderr)
        return 2
    except DemoError as error:
        print(line(f"demo: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
