"""Writes what docker/Dockerfile does as a shell script, for machines without Docker.

    python3 tools/dockerfile_steps.py build > build.sh     # its ARG, COPY, ENV, RUN and WORKDIR
    python3 tools/dockerfile_steps.py run > run.sh         # what a container of the image starts
    chroot ROOT sh /build.sh CONTEXT                       # in an empty Debian root
    chroot ROOT sh /run.sh [COMMAND ...]                   # without a command: the Dockerfile's CMD

CONTEXT is a copy of this repository within the root, made by `git archive` say, which leaves out
what .dockerignore does.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parent.parent / "docker" / "Dockerfile"
DONE_ELSEWHERE = ("FROM",)  # by whoever makes the root


def read_steps(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments, in order; continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    steps = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in steps]


def build_script(steps: list[tuple[str, str]], arguments: dict[str, str]) -> str:
    """The script that makes the root what the image is. Raises ValueError for what it cannot do."""
    lines = ["set -eu", 'context=${1:?"usage: sh build.sh CONTEXT"}']
    for word, rest in steps:
        if word == "ARG":
            name, _, default = rest.partition("=")
            value = arguments.get(name, default.strip('"'))
            lines.append(f"{name}={shlex.quote(value)}")
        elif word == "COPY":
            source, target = rest.split()
            lines.append(f'mkdir -p "$(dirname {target})"')
            copied = '"$context"/.' if source == "." else f'"$context"/{source}'
            lines.append(f"cp -a {copied} {target}")
        elif word == "RUN":
            lines += [f"echo {shlex.quote('+ ' + rest)}", rest]
        elif word == "ENV":
            lines.append(f"export {rest}")
        elif word == "WORKDIR":
            lines.append(f"mkdir -p {rest} && cd {rest}")
        elif word not in ("CMD", *DONE_ELSEWHERE):
            raise ValueError(f"{word} {rest}: this tool does not know what to do for it")
    return "\n".join(lines) + "\n"


def run_script(steps: list[tuple[str, str]]) -> str:
    """The script that starts a command, or that of the image, as a container of it would."""
    lines = ["set -eu"]
    for word, rest in steps:
        if word == "ENV":
            lines.append(f"export {rest}")
        elif word == "WORKDIR":
            lines.append(f"cd {rest}")
        elif word == "CMD":
            lines.append(f"[ $# -gt 0 ] || set -- {shlex.join(json.loads(rest))}")
    return "\n".join([*lines, 'exec "$@"']) + "\n"


def main() -> int:
    """Parse the command line and print the script; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("build", "run"))
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    steps = read_steps(DOCKERFILE.read_text(encoding="utf-8"))
    if args.what == "run":
        sys.stdout.write(run_script(steps))
    else:
        given = dict(text.partition("=")[::2] for text in args.build_arg)
        sys.stdout.write(build_script(steps, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
