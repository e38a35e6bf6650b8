"""What a release and a machine without Docker need: the tools give what others read."""

import re
import subprocess
from pathlib import Path

import pytest
from catkin_pkg.changelog import get_changelog_from_path
from changelog_rst import convert
from dockerfile_steps import DOCKERFILE, build_script, read_steps, run_script

ROOT = Path(__file__).resolve().parents[2]


def test_bloom_reads_every_line_of_the_changelog(tmp_path):
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # As it will be released: what is to come is not read.
    released = text.replace("## [Unreleased]", "## [99.0.0] - 2026-11-26")
    (tmp_path / "CHANGELOG.rst").write_text(convert(released, "duml_tracker_ros"), encoding="utf-8")
    changelog = get_changelog_from_path(str(tmp_path), "duml_tracker_ros")
    assert changelog is not None
    assert changelog.package_name == "duml_tracker_ros"
    heads = re.findall(r"^## \[(.+?)\] - (.+)$", released, re.MULTILINE)
    days = {name: f"{date:%Y-%m-%d}" for name, date, _ in changelog.foreach_version()}
    assert days == dict(heads)
    parts = (part for name, _ in heads for part in changelog.get_content_of_version(name))
    told = "\n".join(map(str, parts))
    assert told.count("\n    * ") == len(re.findall(r"^- ", text, re.MULTILINE))
    lines = text.partition("## [Unreleased]")[2].splitlines()
    words = re.findall(r"\w{3,}", "\n".join(x for x in lines if not x.startswith("## ")))
    assert re.findall(r"\w{3,}", told.replace("\\", "")) == words


def test_script_of_a_dockerfile_does_what_it_says(tmp_path):
    context = tmp_path / "context"
    (context / "part").mkdir(parents=True)
    (context / "part" / "file").write_text("copied\n")
    root, work = tmp_path / "root", tmp_path / "work"
    steps = read_steps(
        f"""
# A comment.
ARG BASE=debian
FROM ${{BASE}}
ARG WORD="one two"
COPY part/file {root}/deep/file
RUN cat {root}/deep/file \\
    > {root}/ran && echo "${{WORD}}" >> {root}/ran
COPY . {root}/all
ENV MARK="set by it" \\
    OTHER=more
WORKDIR {work}
CMD ["sh", "-c", "echo default $OTHER"]
"""
    )
    script = tmp_path / "build.sh"
    for arguments, word in (({}, "one two"), ({"WORD": "other; $(words)"}, "other; $(words)")):
        script.write_text(build_script(steps, arguments))
        subprocess.run(["sh", script, context], check=True, timeout=240)
        assert (root / "ran").read_text() == f"copied\n{word}\n"
    assert (root / "all" / "part" / "file").read_text() == "copied\n"
    script.write_text(run_script(steps))
    for command, expected in (([], "default more"), (["sh", "-c", 'echo "$MARK"; pwd'], work)):
        told = subprocess.run(["sh", script, *command], check=True, capture_output=True, text=True)
        assert told.stdout.split("\n")[-2] == str(expected)
    with pytest.raises(ValueError, match=r"HEALTHCHECK .* does not know"):
        build_script(read_steps("HEALTHCHECK CMD true"), {})


def test_script_of_our_dockerfile_has_all_its_steps():
    steps = read_steps(DOCKERFILE.read_text(encoding="utf-8"))
    script = build_script(steps, {"TORCH": "torch==9"})
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
    ran = [line for line in script.splitlines() if line.startswith("duml-steps")]
    assert ran == ["duml-steps system", 'duml-steps build /opt/duml_tracker_ros "${TORCH}"']
    assert "\nTORCH=torch==9\n" in script
