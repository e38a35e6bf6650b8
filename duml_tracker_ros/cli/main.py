"""Parser, dispatch and the way errors are told."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

from ..arguments import Parser, line, positive
from ..media.addresses import without_passwords
from ..media.claims import ENVIRONMENT, MOST_PIXELS
from ..needs import missing
from . import (
    ablation,
    bag,
    bench,
    calibrate,
    compare,
    console,
    evaluate,
    explain,
    export,
    import_weights,
    info,
    mavlink,
    study,
    track,
    train,
    tune,
)
from .common import CliError

COMMANDS = {
    "track": track,
    "bag": bag,
    "explain": explain,
    "console": console,
    "mavlink": mavlink,
    "eval": evaluate,
    "compare": compare,
    "ablation": ablation,
    "study": study,
    "bench": bench,
    "train": train,
    "tune": tune,
    "calibrate": calibrate,
    "export": export,
    "import": import_weights,
    "info": info,
}
EXAMPLES = """\
# follow the car at x,y,w,h through a video
duml-tracker track in.mp4 --box 310,150,40,28
# score the tracker beside OpenCV's on labelled sequences
duml-tracker eval --root sequences --tracker duml opencv_csrt --report report
# what is installed, and which weights
duml-tracker info
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `duml-tracker` with all commands."""
    parser = Parser(
        prog="duml-tracker",
        description="Follow one target through video: track, measure, train.",
        epilog=epilog(EXAMPLES) + "\n\nduml-tracker COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    common.add_argument(
        "--max-pixels",
        type=positive,
        metavar="N",
        help=f"refuse pictures and videos that claim more pixels a frame (default: {MOST_PIXELS})",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        command = subparsers.add_parser(
            name,
            parents=[common],
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=epilog(module.EXAMPLES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser


def epilog(examples: str) -> str:
    """Examples for ``--help``, each after a comment that says what it does."""
    lines = [f"  {line}" for line in examples.splitlines()]
    return "examples:\n" + "\n".join(lines).replace("\n  #", "\n\n  #")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    0 done; 1 done in part or failed unexpectedly; 2 a mistake in what was asked for;
    130 interrupted.
    """
    # Before torch is loaded: threads that spin while they wait crawl on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What OpenCV and FFmpeg print on their own says less than the errors, and addresses in full.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does it: names may be of bytes that no text has.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    args = parser.parse_args(argv)
    limit = os.environ.get(ENVIRONMENT, "")
    if limit and not (limit.isdecimal() and int(limit[:20])):
        parser.error(f"{ENVIRONMENT}={limit} is not a whole number above 0: change or unset it")
    if getattr(args, "max_pixels", None):
        os.environ[ENVIRONMENT] = str(args.max_pixels)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `duml-tracker ... | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        try:
            if isinstance(error, ImportError):
                raise error
            expected = isinstance(error, expected_errors())
        except ImportError as lacking:
            print(f"duml-tracker {args.command}: error: {missing(lacking)}", file=sys.stderr)
            return 1
        text = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            text = f"{error.filename}: {error.strerror}"
        text = line(" ".join(without_passwords(text).split())) or type(error).__name__
        if not expected:
            text = f"{type(error).__name__}: {text} (--debug shows where)"
        print(f"duml-tracker {args.command}: error: {text}", file=sys.stderr)
        return 2 if expected else 1


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors whose text is meant for the user."""
    from ..datasets import DatasetError, SequenceError
    from ..evaluation.baselines import BaselineError
    from ..evaluation.sections import SectionError
    from ..explain.trace import TraceError
    from ..messages.bag_images import BagError
    from ..outputs import OutputError
    from ..tracker.errors import TrackerError

    given = (CliError, BagError, DatasetError, SequenceError, BaselineError, SectionError)
    return (*given, OutputError, TraceError, TrackerError, OSError)
