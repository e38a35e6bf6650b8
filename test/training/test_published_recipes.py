"""The r50 recipes are those of the papers: schedules, data, memory, and a step of each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from train_harness import settings, write_data

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.tracker import ConfigError, WeightsError, create_tracker
from duml_tracker_ros.training import loop
from duml_tracker_ros.training.ema import Ema
from duml_tracker_ros.training.freeze import Frozen
from duml_tracker_ros.training.networks import make_network
from duml_tracker_ros.training.recipes import CONFIG_DIR, load_train_config
from duml_tracker_ros.training.schedule import learning_rate

R50 = sorted(p.stem for p in CONFIG_DIR.glob("*_r50*.yaml"))


def test_siamrcr_has_the_schedule_of_its_paper() -> None:
    """From 1e-6 to 0.1 in 5 of 20 epochs, a cosine to 1e-4; backbone frozen for 10, then x 0.1."""
    recipe = load_train_config("siamrcr_r50")
    epoch = recipe.steps / 20
    rates = [learning_rate(s, recipe) for s in range(recipe.steps)]
    assert rates[0] == pytest.approx(1e-6)
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == pytest.approx(5 * epoch, abs=1)
    assert rates[-1] == pytest.approx(1e-4, rel=1e-3)
    # Linear on the way up, half-way down in the middle of the cosine.
    assert rates[int(2.5 * epoch)] == pytest.approx(0.05, rel=1e-3)
    assert rates[int(12.5 * epoch)] == pytest.approx((0.1 + 1e-4) / 2, rel=1e-3)
    assert recipe.thaw_at == pytest.approx(10 * epoch, abs=1)
    assert (recipe.optimiser, recipe.momentum, recipe.batch) == ("sgd", 0.9, 128)
    assert recipe.backbone_rate == 0.1
    tiny = dataclasses.replace(recipe, size="compact")
    net, _ = make_network(tiny)
    frozen = Frozen(net, (), recipe.thaw_at, norms=True)
    for step, learns in ((0, False), (recipe.thaw_at - 1, False), (recipe.thaw_at, True)):
        frozen.train(step)
        assert {p.requires_grad for p in net.backbone.parameters()} == {learns}


def test_other_schedules_are_those_of_their_papers() -> None:
    def rates(name: str, *epochs: float) -> list[float]:
        recipe = load_train_config(name)
        return [learning_rate(int(e * recipe.steps), recipe) for e in epochs]

    # SiamRPN++, to which DuML refers, and SiamMask: 0.001, 0.005, 0.0005 of 20 epochs.
    for name in ("duml_r50", "drol_mask_r50"):
        expected = [0.001, 0.005, (0.005 * 0.0005) ** 0.5, 0.0005]
        assert rates(name, 0, 0.25, 0.625, 0.99999) == pytest.approx(expected, rel=2e-3)
    fcot = [2e-4, 2e-4, 4e-5, 4e-5, 8e-6, 8e-6]
    assert rates("fcot_r50", 0, 0.249, 0.25, 0.449, 0.45, 0.99) == pytest.approx(fcot)
    tlpg = [2e-4, 4e-5, 8e-6, 1.6e-6]
    assert rates("tlpg_r50", 0.24, 0.25, 0.5, 0.75) == pytest.approx(tlpg)
    assert load_train_config("fcot_r50").freeze == ("box_model",)


def test_regulariser_of_fcot_learns_alone_in_the_second_stage() -> None:
    recipe = load_train_config("fcot_r50_regulariser")
    net, _ = make_network(dataclasses.replace(recipe, size="compact"))
    Frozen(net, recipe.freeze)
    learning = [n for n, p in net.named_parameters() if p.requires_grad]
    assert learning == ["box_model.regularisation_root"]


def test_fcot_fits_into_70_gib(capsys) -> None:
    """Counted without computing anything, in fp32; all at once it would not."""
    assert main(["train", "fcot_r50", "--estimate", "--set", "precision=fp32"]) == 0
    text = capsys.readouterr().out
    assert "for 10 samples at a time" in text
    assert 20 < float(text.split("memory of each device: ")[1].split()[0]) < 70
    samples = float(text.split("at a time ")[1].split()[0])
    assert samples * 40 / 10 > 100


class OneStepDone(Exception):  # noqa: N818
    """Ends a training before anything is written."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("published") / "data")


@pytest.mark.parametrize("name", R50)
def test_every_r50_recipe_takes_a_step(name: str, data: Path, tmp_path: Path, monkeypatch) -> None:
    """The whole network by the recipe's optimiser, rates and parts, on small crops."""
    given = load_train_config(name)
    own = settings(data, tmp_path / "cache")
    changed = {k: own[k] for k in own if k.startswith("data.") or k in ("precision", "device")}
    changed |= {"data.shares": {}, "batch": min(given.accumulate, 2), "support": 1, "query": 1}
    changed |= {"accumulate": min(given.accumulate, 2), "thaw_at": 0}
    changed |= {"network": {"template_size": 65, "search_size": 97}}
    taken: list[int] = []
    # It follows the weights only after a step with finite gradients.
    monkeypatch.setattr(Ema, "__init__", lambda *args: None)
    monkeypatch.setattr(Ema, "update", lambda self, net, step: taken.append(step))

    def stop(step: int) -> None:
        raise OneStepDone

    with pytest.raises(OneStepDone):
        loop.train(load_train_config(name, changed), tmp_path / "out", on_step=stop)
    assert taken == [0]


def test_a_frozen_backbone_needs_weights(data: Path, tmp_path: Path) -> None:
    changed = settings(data, tmp_path / "cache") | {"network": {}, "data.shares": {}}
    with pytest.raises(ConfigError, match=r"thaw_at = 46875.*backbone_from=FILE"):
        loop.train(
            load_train_config("siamrcr_r50", {**changed, "thaw_at": 46875}), tmp_path / "out"
        )


def test_a_torchvision_file_as_weights_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(4)}
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048)}, path)
    with pytest.raises(WeightsError, match=r"train duml_r50 --set backbone_from="):
        create_tracker("duml", weights=str(path), device="cpu", size="r50")
    torch.save({"anything": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"file of torch.save.*duml-tracker import"):
        create_tracker("duml", weights=str(path), device="cpu", size="r50")
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        create_tracker("duml", weights=str(path), device="cpu", size="r50")
