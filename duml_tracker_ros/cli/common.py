"""Arguments and errors that the commands share."""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import Whole, line, positive, shown
from ..outputs import STANDARD_OUTPUT, Outputs

if TYPE_CHECKING:
    from ..evaluation.participants import TrackerSpec
    from ..media.levels import Levels
    from ..media.source import FrameSource
    from ..pixels import Box

DEFAULT_TRACKER = "duml"
HALF = "half of the processors, at most 4"
"""Default of ``--threads`` as ``processors.tracker_threads`` makes it."""


PROCESSES = Whole(1, 1024)
"""argparse type of threads and processes."""
OUT_HELP = "(default: a folder below runs/ for each --root)"


class CliError(Exception):
    """A mistake in what was asked for: printed in one line, exit status 2."""


def parse_box(text: str) -> tuple[float, float, float, float]:
    """argparse type: ``x,y,w,h`` in pixels."""
    fields = text.replace(",", " ").split()
    try:
        values = [float(f) for f in fields]
    except ValueError:
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not x,y,w,h in pixels, for example 204,150,17,50"
        )
    if values[2] <= 0 or values[3] <= 0:
        raise argparse.ArgumentTypeError(f"{shown(text)} has no area: w and h must be above 0")
    return (values[0], values[1], values[2], values[3])


def parse_levels(text: str) -> Levels:
    """argparse type: ``low,high``, the numbers that become black and white."""
    from ..media.levels import Levels

    try:
        low, high = (float(field) for field in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not low,high with low below high, for example 7000,8200"
        )
    return Levels(low, high)


def add_levels(
    parser: argparse._ActionsContainer, otherwise: str = "chosen for the whole clip, and printed"
) -> None:
    """`--levels` of commands that read pictures."""
    parser.add_argument(
        "--levels",
        type=parse_levels,
        metavar="LOW,HIGH",
        help=f"what becomes black and white of pictures of more than 8 bits (default: {otherwise})",
    )


def tell_source(source: FrameSource) -> int:
    """Print what was done to a source's frames and what was wrong; the exit status."""
    for told in (*source.notes, *source.told()):
        print(line(f"{source.name}: {told}"), file=sys.stderr)
    return 1 if source.problems else 0


def check_box(box: Box, width: int, height: int) -> None:
    """Say how much of a target's box lies in the image; refuse one of which hardly any does."""
    from ..tracker import BoxError, selected_box

    try:
        _, share = selected_box(box, width, height)
    except BoxError as error:
        raise CliError(f"--box: {error}") from None
    if share < 1.0:
        print(f"--box: {share:.0%} of it lies in the image of {width}x{height}", file=sys.stderr)


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """``key=value`` arguments as a dictionary; values are read as YAML (numbers, true, lists)."""
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise CliError(f"--set {pair!r} is not key=value, for example online.interval=10")
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise CliError(
                f"--set {shown(key)}: {shown(value)} is not a number, word or [list]"
            ) from None
    return settings


def add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEV",
        help="auto (CUDA where there is one), cpu, cuda or cuda:N (default: auto)",
    )


def add_repeated(
    to: argparse._ActionsContainer, option: str, metavar: str, help: str, dest: str | None = None
) -> None:
    """An option that may be given several times."""
    told = f"{help}; may be repeated"
    to.add_argument(option, dest=dest, action="append", default=[], metavar=metavar, help=told)


def add_weights(parser: argparse._ActionsContainer) -> None:
    """`--weights` and `--size` of one network."""
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="a .safetensors file (default: the weights in the package)",
    )
    parser.add_argument(
        "--size",
        metavar="NAME",
        help="network size: lite, compact, r50, ... (default: that of the "
        "weights; of the package's, the best)",
    )


def add_own_tracker(parser: argparse._ActionsContainer) -> None:
    """Options that say how a tracker of this package is made."""
    add_device(parser)
    add_weights(parser)
    text = "change a tracker setting, e.g. online.update=every_frame"
    add_repeated(parser, "--set", "KEY=VALUE", text, "settings")


def add_tracker_options(parser: argparse._ActionsContainer) -> None:
    """Options that say how trackers are made, OpenCV's included."""
    add_own_tracker(parser)
    text = "model files of an OpenCV baseline, e.g. opencv_vit=vit.onnx"
    add_repeated(parser, "--model", "NAME=FILE[,FILE]", text, "models")


def add_span(parser: argparse._ActionsContainer) -> None:
    """`--start` and `--frames`: the part of a clip that is followed."""
    parser.add_argument(
        "--start", type=Whole(0), default=0, metavar="N", help="begin with this frame, from 0"
    )
    parser.add_argument("--frames", type=positive, metavar="N", help="stop after that many frames")


def add_threads(parser: argparse._ActionsContainer, otherwise: str = "processors / jobs") -> None:
    parser.add_argument(
        "--threads",
        type=PROCESSES,
        metavar="N",
        help=f"threads of torch and OpenCV in each process (default: {otherwise})",
    )


def add_clips(parser: argparse._ActionsContainer, needed: bool = True) -> None:
    """Options of commands that run trackers over clips: which clips, and how."""
    parser.add_argument("--dataset", default="folder", metavar="KIND", help="as in eval (folder)")
    parser.add_argument("--root", required=needed, metavar="DIR", help="folder of the clips")
    parser.add_argument("--sequences", metavar="GLOB", help="only these; commas between several")
    parser.add_argument("--jobs", type=PROCESSES, default=1, metavar="N", help="clips at a time")
    add_threads(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_starts(parser: argparse._ActionsContainer) -> None:
    """`--starts`: more runs of each clip than one."""
    parser.add_argument(
        "--starts",
        type=Whole(1, 1000),
        default=1,
        metavar="N",
        help="runs of each sequence, from different frames, every other one backwards: one pass "
        "from the first frame is a small sample (default: 1)",
    )


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `evaluation.runner.evaluate` that `add_clips` asks for."""
    return {"jobs": args.jobs, "threads": args.threads, "progress": not args.quiet}


def add_own_weights(parser: argparse._ActionsContainer) -> None:
    """`--weights` of commands that run several trackers; `parse_files` reads it."""
    text = "weights of your own"
    add_repeated(parser, "--weights", "NAME[:SIZE]=FILE", text)


def tracker_specs(args: argparse.Namespace, names: Sequence[str]) -> list[TrackerSpec]:
    """Specs of the named trackers with the options of `add_tracker_options`.

    Raises CliError for a name nobody knows, a name given twice, an option that none of them takes,
    or a device that is not there.
    """
    from ..evaluation.baselines import BASELINES, baseline_models
    from ..evaluation.participants import TrackerSpec, known_trackers

    settings = parse_settings(args.settings)
    models = baseline_models(args.models)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise CliError(f"--tracker names {name} twice")
        if name not in BASELINES and name not in known_trackers():
            raise CliError(f"unknown tracker {name!r}; known: {', '.join(known_trackers())}")
    if set(names) <= set(BASELINES):
        given = {
            "--set": args.settings,
            "--size": args.size,
            "--weights": args.weights != "default",
            "--switch": getattr(args, "switch", None),
        }
        for option in (option for option, value in given.items() if value):
            raise CliError(
                f"{option} is for this package's trackers, and --tracker names OpenCV's alone: "
                "leave it out"
            )
    check_device(args.device)
    return [
        TrackerSpec(
            name,
            device=args.device,
            size=args.size,
            weights=args.weights,
            overrides=settings,
            models=models.get(name, ()),
        )
        for name in names
    ]


def check_device(name: str) -> None:
    """Raise CliError when torch does not know the device or it is not there."""
    import torch

    if name == "auto":
        return
    try:
        device = torch.device(name)
    except RuntimeError:
        raise CliError(f"--device {name!r} is not auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise CliError(f"--device {name}: torch sees no CUDA device here; use --device cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise CliError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices")


def open_outputs(args: argparse.Namespace) -> Outputs:
    """Return the checks on what a command writes: never over what its arguments say it reads."""
    outputs = Outputs()
    for name in ("root", "truth", "train", "config"):
        outputs.reads(f"--{name}", getattr(args, name, None))
    weights = getattr(args, "weights", [])
    for text in [weights] if isinstance(weights, str) else weights:
        outputs.reads("--weights", text.rpartition("=")[2])
    for pair in getattr(args, "models", []):
        for file in pair.partition("=")[2].split(","):
            outputs.reads("--model", file or None)
    return outputs


def json_and_report(args: argparse.Namespace) -> tuple[Path | None, Callable[..., None]]:
    """Where ``--json`` goes, checked as ``--report`` is, and what prints beside it."""
    outputs = open_outputs(args)
    json_file = outputs.file("--json", args.json, stream=True) if args.json else None
    if args.report:
        outputs.file("--report", Path(args.report, "index.html"))
    return json_file, printer(json_file)


def printer(*paths: Path | None) -> Callable[..., None]:
    """`print`, to standard error where one of the outputs goes to standard output."""
    taken = any(str(path) == STANDARD_OUTPUT for path in paths)
    return functools.partial(print, file=sys.stderr if taken else sys.stdout)


def runs_folder(command: str, root: str | Path) -> Path:
    """Where a command keeps its results by default: one place for each folder of clips.

    Folders of one name lie apart by the first digits of the checksum of their paths.
    """
    place = Path(root).expanduser().resolve()
    mark = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    return Path("runs") / command / f"{place.name or 'root'}-{mark}"


def out_folder(given: str | None, command: str, root: str | Path) -> Path:
    """Where a command keeps its results: what ``--out`` names, or its `runs_folder`.

    Raises CliError when no folder can be there, which is to be told before hours of work.
    """
    return usable_folder("--out", given) if given else runs_folder(command, root)


def usable_folder(option: str, given: str) -> Path:
    """A folder that an option names, where there is one or can be. Raises CliError elsewhere."""
    folder = Path(given).expanduser()
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(folder)
        place = next(p for p in (folder, *folder.resolve().parents) if os.path.lexists(p))
    except OSError as error:
        raise CliError(f"{option} {shown(given)}: {error.strerror}") from None
    if not place.is_dir():
        raise CliError(f"{option} {given}: {place} is no folder; name another one")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CliError(f"{option} {given}: {place} cannot be written to; name another folder")
    return folder


def parse_files(pairs: Sequence[str], otherwise: str = "") -> dict[tuple[str, str], str]:
    """``NAME[:SIZE]=FILE`` arguments by tracker and size; where none is named ``otherwise``, or the
    usual one."""
    from ..tracker import TRACKERS
    from ..tracker.checkpoint import usual_size
    from ..tracker.config import sizes

    files = {}
    for pair in pairs:
        what, _, file = pair.partition("=")
        name, _, size = what.partition(":")
        if name in TRACKERS:
            size = size or otherwise or usual_size(name)
        if not file or name not in TRACKERS or size not in sizes(name):
            raise CliError(
                f"--weights {pair!r} is not NAME[:SIZE]=FILE, for example duml=my.safetensors or "
                "drol_rpn:pysot=siamrpn.safetensors"
            )
        files[name, size] = file
    return files


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned Markdown table: first column to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]

    def show(cells: Sequence[str]) -> str:
        parts = [
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(parts)} |"

    rule = [f":{'-' * (w - 1)}" if i == 0 else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return "\n".join([show(header), show(rule), *map(show, rows)])


def ros_parameters(settings: Mapping[str, Any]) -> list[str]:
    """ROS arguments that set parameters of a node; None: not set."""
    arguments = ["--ros-args"]
    for name, value in settings.items():
        if value is None:
            continue
        # Quoted, a name that looks like a number stays a text.
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        shown = shown.lower() if isinstance(value, bool) else shown
        arguments += ["-p", f"{name}:={shown}"]
    return arguments


@contextlib.contextmanager
def ros_package(what: str) -> Iterator[None]:
    """Say what to install where an import fails inside: pip install leaves out what needs ROS."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CliError(
            f"{what} is part of the ROS 2 package, which is not installed here ({error}): "
            "use a ROS 2 workspace, or run make setup"
        ) from None
