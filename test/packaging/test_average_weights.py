"""tools/average_weights.py: the mean of trainings."""

from __future__ import annotations

import average_weights
import pytest
import torch

from duml_tracker_ros.tracker.checkpoint.store import load_checkpoint, save_state, shipped


@pytest.fixture
def two(tmp_path):
    """A shipped file, and one in which every number is larger by 2."""
    first = load_checkpoint(shipped("duml_lite"))
    later = {name: tensor + 2 for name, tensor in first.state.items()}
    save_state(tmp_path / "later.safetensors", later, first.network, {"recipe": "later"})
    return [str(first.path), str(tmp_path / "later.safetensors")]


def test_a_file_holds_the_mean_and_names_what_it_is_of(two, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    assert average_weights.main([*two, "--out", str(out)]) == 0
    first, later, mean = (load_checkpoint(path) for path in (*two, out))
    for name, tensor in first.state.items():
        torch.testing.assert_close(mean.state[name], tensor + 1, rtol=1e-3, atol=1e-3)
    assert mean.notes["average_of"] == f"{first.sha256} {later.sha256}"
    assert mean.notes["recipe"] == "later"
    assert mean.sha256 in capsys.readouterr().out


def test_what_cannot_be_averaged_is_refused(two, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    for files, words in (
        (two[:1], "is alone: name two files or more"),
        ([two[0], str(shipped("siamrcr_lite"))], "holds another network than"),
    ):
        assert average_weights.main([*files, "--out", str(out)]) == 2
        assert words in capsys.readouterr().err
        assert not out.exists()
    out.write_bytes(b"mine")
    assert average_weights.main([*two, "--out", str(out)]) == 2
    assert "is there already: name a new file" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
