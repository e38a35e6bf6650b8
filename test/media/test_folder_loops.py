"""Folders and files that have no end."""

import os

import pytest

from duml_tracker_ros.datasets.folder import load_folder
from duml_tracker_ros.datasets.text import read_text


def test_links_that_lead_back_are_not_followed_again(tmp_path, monkeypatch):
    root = tmp_path / "root"
    (root / "a" / "clip" / "img").mkdir(parents=True)
    (root / "a" / "back").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    walked = []
    inner = os.walk

    def walk(*arguments, **options):
        for step in inner(*arguments, **options):
            walked.append(step[0])
            yield step

    monkeypatch.setattr(os, "walk", walk)
    data = load_folder(root)
    # The clip has no truth: it is told once, by its own path.
    assert [problem.name for problem in data.problems] == ["a/clip"]
    assert len(walked) < 8


def test_links_to_other_folders_are_followed(tmp_path):
    (tmp_path / "elsewhere" / "clip" / "img").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert [p.name for p in load_folder(tmp_path / "root").problems] == ["link/clip"]


def test_a_pipe_is_no_file_of_labels(tmp_path):
    os.mkfifo(tmp_path / "groundtruth_rect.txt")
    with pytest.raises(OSError, match="is no file"):
        read_text(tmp_path / "groundtruth_rect.txt")
