"""Training in parts and in several processes: the same weights as in one go."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_harness import resumes_exactly, settings, write_data

from duml_tracker_ros.tracker import ConfigError
from duml_tracker_ros.training.data.sampler import Part
from duml_tracker_ros.training.loop import train_from_config
from duml_tracker_ros.training.recipes import load_train_config


def test_parts_of_a_step_are_shared_out_without_gap_or_overlap() -> None:
    """Two processes with two parts each make what one with four makes, in the same order."""
    alone = [Part(0, 4, 4).number(k) for k in range(12)]
    assert alone == list(range(12))
    first, second = ([Part(r, 2, 4).number(k) for k in range(6)] for r in (0, 2))
    assert first == [0, 1, 4, 5, 8, 9]
    assert second == [2, 3, 6, 7, 10, 11]


def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    """torchrun with gloo on the CPU: gradients and batch norms are means over all parts."""
    data = write_data(tmp_path / "data")
    options = {**settings(data, tmp_path / "cache"), "batch": 4, "steps": 3, "threads": 1}
    options |= {"checkpoint_every": 100, "optimiser": "sgd", "lr": 0.05, "ema": 0.0}
    alone = train_from_config(
        "duml_compact", out=tmp_path / "one", overrides={**options, "accumulate": 2}
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(20000 + os.getpid() % 20000)]
    command += ["-m", "duml_tracker_ros.cli", "train", "duml_compact"]
    command += ["--out", str(tmp_path / "two")]
    for key, value in options.items():
        command += ["--set", f"{key}={value}".replace("'", "")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.count("weights:") == 1
    one, two = load_file(str(alone)), load_file(str(tmp_path / "two" / "duml_compact.safetensors"))
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.allclose(value.float(), two[key].float(), rtol=2e-3, atol=2e-5), key
    # And it has learned something.
    start = train_from_config(
        "duml_compact", out=tmp_path / "less", overrides={**options, "steps": 1, "lr": 1e-9}
    )
    moved = {k for k, v in load_file(str(start)).items() if not torch.equal(v, one[k])}
    assert any(k.startswith("neck") for k in moved)
    assert any("running_var" in k for k in moved)
    with (tmp_path / "two" / "log.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["0", "2"]


def test_parts_resume_exactly_and_must_be_equal(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    options = {**settings(data, tmp_path / "cache"), "batch": 4, "steps": 4, "accumulate": 2}
    options |= {"optimiser": "sgd", "lr": 0.05}
    resumes_exactly("duml_compact", tmp_path, options)
    with pytest.raises(ConfigError, match=r"batch = 4: must be a multiple of 3.*accumulate = 3"):
        train_from_config(
            "duml_compact", out=tmp_path / "x", overrides={**options, "accumulate": 3}
        )


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_optimisers_take_the_share_of_the_backbone(optimiser: str) -> None:
    from duml_tracker_ros.tracker.factory import system
    from duml_tracker_ros.training.networks import make_network
    from duml_tracker_ros.training.schedule import make_optimiser

    config = load_train_config("duml_compact", {"optimiser": optimiser, "backbone_rate": 0.1})
    net, _ = make_network(config)
    assert isinstance(net, system("duml").network)
    made = make_optimiser(net, config)
    assert type(made).__name__.lower() == optimiser
    shares = {id(p): group["share"] for group in made.param_groups for p in group["params"]}
    for name, parameter in net.named_parameters():
        assert shares[id(parameter)] == (0.1 if name.startswith("backbone.") else 1.0)
