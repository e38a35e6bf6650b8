"""`duml-tracker bench`: milliseconds per frame, part by part, and what they depend on."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import Whole, positive, shown
from ..outputs import together, write_text
from ..vector_units import RESTRICTIONS, missing_for
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..evaluation.bench import BenchResult
    from ..evaluation.participants import TrackerSpec

HELP = "measure speed and memory"
DESCRIPTION = """\
Measure a tracker on frames in memory: median milliseconds per update with the 5 to 95 % range, the
parts of an update, init time and memory. A sweep changes one thing: the image, the number of
targets followed together, the search region, the online memory, the update rule, the engine (with
an update on every frame, in both sizes), or the r50 backbone (original strides or dilated).
`baselines` runs OpenCV's trackers on the same frames, NanoTrack among them where --model gives its
files; `long` shows whether time and memory stay flat. `vectors` are the vector units that the
libraries could use; --isa shows what a lesser processor would do.

Every case runs in a process of its own. Leave the machine alone meanwhile. `stolen` is the share of
its processors' time that the host of a virtual machine gave to others.
"""
EXAMPLES = """\
# the usual sweeps, printed
duml-tracker bench --device cpu
# everything, with plots
duml-tracker bench --sweep all --report speed
# only one configuration
duml-tracker bench --sweep none --image 1280x720
# what further targets cost
duml-tracker bench --sweep targets
# where the time of an update goes
duml-tracker bench --profile --set online.update=every_frame
# all there is to know of a GPU
duml-tracker bench --device cuda --sweep engine backbone
# original strides against dilation
duml-tracker bench --sweep backbone
# beside CSRT and NanoTrack on a processor without AVX512, and on this one
duml-tracker bench --threads 1 --sweep baselines --isa avx2 all --model \
opencv_nano=BACKBONE.onnx,NECKHEAD.onnx
"""
QUICK = ("image", "memory", "update", "baselines")


def image_size(text: str) -> tuple[int, int]:
    """argparse type: ``WIDTHxHEIGHT``."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < 64 or max(size) > 16384:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not WIDTHxHEIGHT of 64 to 16384 pixels")
    return size


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    common.add_tracker_options(parser)
    parser.add_argument(
        "--sweep",
        nargs="+",
        default=list(QUICK),
        metavar="WHAT",
        help="image targets search memory update engine backbone baselines long, all or none "
        f"(default: {' '.join(QUICK)})",
    )
    parser.add_argument(
        "--image", type=image_size, default=(640, 480), metavar="WxH", help="default: 640x480"
    )
    parser.add_argument(
        "--frames", type=positive, default=100, metavar="N", help="updates per case (default: 100)"
    )
    parser.add_argument(
        "--long-frames",
        type=positive,
        default=10000,
        metavar="N",
        help="of `long` (default: 10000)",
    )
    common.add_threads(parser, common.HALF)
    parser.add_argument(
        "--isa",
        nargs="+",
        default=[],
        metavar="SET",
        help=f"instruction sets that torch, OpenVINO and OpenCV keep to, one after the other: "
        f"{' '.join(RESTRICTIONS)}, or all of the processor's (all, the default)",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="instead of sweeps: stages against what the processor could do, and operators",
    )
    parser.add_argument(
        "--repeats",
        type=Whole(1, 1000),
        default=3,
        metavar="N",
        help="runs of a case at most, while the host of a virtual machine takes more than 1 %% of "
        "its processors away; the least disturbed one counts (default: 3)",
    )
    parser.add_argument("--json", metavar="FILE", help="all numbers")
    parser.add_argument("--report", metavar="DIR", help="write DIR/index.html: tables and plots")


def run(args: argparse.Namespace) -> int:
    from ..evaluation.baselines import BASELINES, BaselineError, baseline_models, create_baseline
    from ..evaluation.bench import bench
    from ..evaluation.bench_page import bench_table, further_targets, render_bench
    from ..evaluation.bench_plan import BASELINES_MEASURED, SWEEPS, plan
    from ..evaluation.environment import describe_environment
    from ..evaluation.participants import TrackerSpec, create_participant
    from ..processors import tracker_threads

    args.threads = args.threads or tracker_threads()
    # The former name is understood.
    args.sweep = ["baselines" if name == "peers" else name for name in args.sweep]
    sweeps = [] if args.sweep == ["none"] else list(SWEEPS if args.sweep == ["all"] else args.sweep)
    unknown = [s for s in sweeps if s not in SWEEPS]
    if unknown:
        raise CliError(f"--sweep {unknown[0]!r}: choose from {' '.join(SWEEPS)}, all or none")
    json_file, say = common.json_and_report(args)
    (spec,) = common.tracker_specs(args, [args.tracker])
    if spec.name in BASELINES and set(sweeps) - {"image", "baselines", "long"}:
        sweeps = [s for s in sweeps if s in ("image", "baselines", "long")]
    _check_isas(args.isa, spec)
    models = baseline_models(args.models)
    if unused := set(models) - {spec.name, *(BASELINES if "baselines" in sweeps else ())}:
        raise CliError(f"--model {min(unused)}=...: add --sweep baselines, or it is not measured")
    create_participant(spec)
    if args.profile:
        if args.isa:
            raise CliError("--profile measures in this process; --isa is for sweeps")
        return _profile(spec, args)
    baselines = []
    for name in dict.fromkeys((*BASELINES_MEASURED, *models)) if "baselines" in sweeps else ():
        try:
            create_baseline(name, models.get(name, ()))
        except BaselineError as error:
            if name in models:
                raise
            print(f"left out: {error}", file=sys.stderr)
        else:
            baselines.append(TrackerSpec(name, models=models.get(name, ())))
    cases = plan(
        spec,
        sweeps,
        image=args.image,
        frames=args.frames,
        long_frames=args.long_frames,
        threads=args.threads,
        baselines=baselines,
        isas=[None if isa == "all" else isa for isa in args.isa],
    )
    done = 0

    def tell(result: BenchResult | str) -> None:
        nonlocal done
        done += 1
        text = (
            f"{result.case.group} {result.case.label}: {result.median:.2f} ms"
            if not isinstance(result, str)
            else f"{result}: failed"
        )
        print(f"[{done}/{len(cases)}] {text}", file=sys.stderr)

    results, problems = bench(cases, tell, args.repeats)
    environment = {**describe_environment(args.device), "threads": args.threads}
    page = Path(args.report).expanduser() / "index.html" if args.report else None
    with together():
        if page is not None:
            page.parent.mkdir(parents=True, exist_ok=True)
            write_text(page, render_bench(results, problems, environment))
        if json_file is not None:
            document = {
                "results": [r.as_dict() for r in results],
                "problems": problems,
                "environment": environment,
            }
            write_text(json_file, json.dumps(document, indent=1, default=str) + "\n")
    if results:
        say(f"{environment['processor']}: {' '.join(environment['vector_units'])}\n")
        say(common.table(*bench_table(results, results)))
    if further := further_targets(results):
        say(f"\n{further}")
    for r in results:
        if r.case.group == "long":
            tenth = max(1, len(r.curve) // 10)
            say(
                f"\n{r.case.frames} frames: first tenth {_mean(r.curve[:tenth]):.2f} ms, "
                f"last tenth {_mean(r.curve[-tenth:]):.2f} ms, memory {r.growth:+.1f} MiB"
            )
    if page is not None:
        say(f"report: {page}")
    for name, reason in problems.items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)
    return 1 if problems else 0


def _check_isas(isas: list[str], spec: TrackerSpec) -> None:
    """Raise CliError for an instruction set that is unknown, not there, or would be ignored."""
    for isa in isas:
        if isa == "all":
            continue
        if isa not in RESTRICTIONS:
            raise CliError(f"--isa {isa!r}: choose from {' '.join(RESTRICTIONS)} or all")
        if unit := missing_for(isa):
            raise CliError(f"--isa {isa}: this processor has no {unit}")
        if spec.overrides.get("engine") == "onnxruntime":
            raise CliError(f"--isa {isa}: ONNX Runtime cannot be restricted; take --isa all")


def _profile(spec: TrackerSpec, args: argparse.Namespace) -> int:
    from ..evaluation.baselines import BASELINES
    from ..evaluation.profile import profile_tables, profile_update

    if spec.name in BASELINES:
        raise CliError(f"--profile: {spec.name} is OpenCV's; it tells nothing of its parts")
    if args.device not in ("auto", "cpu"):
        raise CliError(f"--profile is for CPUs; --device {args.device} takes --sweep")
    found = profile_update(spec, args.image, args.frames, args.threads)
    print("\n\n".join(common.table(*rows) for rows in profile_tables(found)))
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in found.flop_rates.items())
    print(f"\nmatrix products {rates}; reads {found.byte_rate:.0f} GB/s")
    return 0


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
