"""Long trials of the node under load and abuse; prints a Markdown table of the figures.

Exit status 1 when a figure is beyond its limit. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys

import console_trials
import stress_trials

from duml_tracker_ros.evaluation.environment import processor_name, usable_processors

# name -> (what is done, the trial)
TRIALS = {
    "transitions": (
        "200 random lifecycle transitions, wrong ones and selections in between",
        lambda options: stress_trials.transitions(200),
    ),
    "flood": (
        "640x480 at 200 Hz for a minute while services are asked",
        lambda options: stress_trials.load(640, 480, 200.0, 60.0),
    ),
    "hd": (
        "1920x1080 at 30 Hz for a minute while services are asked",
        lambda options: stress_trials.load(1920, 1080, 30.0, 60.0),
    ),
    "malformed": (
        "2,500 wrong init requests and 2,500 broken images",
        lambda options: stress_trials.malformed(2500, 2500),
    ),
    "targets": (
        "one target, then four, at 640x480 and 30 Hz",
        lambda options: stress_trials.several(4, 20.0),
    ),
    "console": (
        "the web console with ten browsers that do not keep up",
        lambda options: console_trials.slow_browsers(640, 480, 30.0, 10.0),
    ),
    "loop": (
        "the gimbal example, through an occlusion, for 20 s",
        lambda options: stress_trials.closed_loop(400, 20.0),
    ),
    "soak": (
        "ordinary work for --minutes: selections, viewers that come and go",
        lambda options: stress_trials.soak(60.0 * options.minutes),
    ),
}

EXAMPLES = """
examples, from the repository's root after make setup:
  make stress                                            all, about ten minutes
  make stress TRIALS='flood hd'                          some
  .venv/bin/python test/stress.py soak --minutes 120     a longer soak
"""


def main():
    listed = "".join(f"\n  {name:<14}{text}" for name, (text, _) in TRIALS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"trials:{listed}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help="which; all without any")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the soak (5)")
    options = parser.parse_args()
    unknown = [name for name in options.trials if name not in TRIALS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: the trials are {', '.join(TRIALS)}")
    findings = []
    for name in options.trials or TRIALS:
        print(f"{name}: {TRIALS[name][0]} ...", file=sys.stderr, flush=True)
        findings += TRIALS[name][1](options)
    print(f"On {usable_processors()} cores of {processor_name()}:\n")
    print("| trial | figure | value | limit | |")
    print("|---|---|---|---|---|")
    for finding in findings:
        verdict = "ok" if finding.ok else "**beyond**"
        if not finding.limit:
            verdict = ""
        print(
            f"| {finding.trial} | {finding.what} | {finding.value} | {finding.limit} | {verdict} |"
        )
    return 0 if all(finding.ok for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
