"""Long trials of the node under load and abuse; prints a Markdown table of the figures.

    python test/stress.py                    # all, about ten minutes
    python test/stress.py --minutes 60 soak  # some, and a longer soak

Exit status 1 when a figure is beyond its limit. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys

import stress_trials

TRIALS = {
    "transitions": lambda options: stress_trials.transitions(200),
    "flood": lambda options: stress_trials.load(640, 480, 200.0, 30.0),
    "hd": lambda options: stress_trials.load(1920, 1080, 30.0, 60.0),
    "malformed": lambda options: stress_trials.malformed(2500, 2500),
    "loop": lambda options: stress_trials.closed_loop(400, 20.0),
    "soak": lambda options: stress_trials.soak(60.0 * options.minutes),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}; all")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the soak (5)")
    options = parser.parse_args()
    unknown = [name for name in options.trials if name not in TRIALS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: the trials are {', '.join(TRIALS)}")
    findings = []
    for name in options.trials or TRIALS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        findings += TRIALS[name](options)
    print(f"On {os.cpu_count()} CPU cores ({platform.machine()}):\n")
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
