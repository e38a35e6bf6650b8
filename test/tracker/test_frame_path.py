"""What every frame goes through: packed convolutions, and no wait for the host but one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generated_sequence import render
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from duml_tracker_ros.tracker import TRACKERS, create_tracker
from duml_tracker_ros.tracker.compute.transfer import numbers, to_device
from duml_tracker_ros.tracker.network.neck import resize
from duml_tracker_ros.tracker.network.packed import (
    PackedConv,
    can_pack,
    convolve,
    pack_convolutions,
)
from duml_tracker_ros.tracker.online import memory
from duml_tracker_ros.tracker.systems import frame_loop
from duml_tracker_ros.tracker.systems.siamese import SiameseTracker

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique2"}
"""Operations whose result the host needs before it can go on: on CUDA each of them waits."""


class Watch(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count[name] = self.count.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", TRACKERS)
def test_a_frame_neither_waits_nor_sends_numbers_one_by_one(name: str, monkeypatch) -> None:
    sent, crops = [], []
    for module in (frame_loop, memory):
        monkeypatch.setattr(
            module, "numbers", lambda v, device: (sent.append(len(v)), numbers(v, device))[1]
        )
    monkeypatch.setattr(
        frame_loop, "to_device", lambda v, device: (crops.append(len(v)), to_device(v, device))[1]
    )
    images, boxes = render(6, size=(320, 240), seed=2)
    images = [np.ascontiguousarray(i[..., ::-1]) for i in images]
    # Random weights find nothing; that they always "see" lets every part run.
    rules = dict.fromkeys(("localize.lost_below", "localize.accurate_below"), -9.0)
    rules |= dict.fromkeys(("online.learn_above", "online.first_above"), -9.0)
    rules |= {"localize.lost_share": -9.0, "localize.found_above": -9.0}
    rules |= {"localize.unsure_share": -9.0, "online.update": "every_frame"}
    # Operations of another thread are not seen.
    rules |= {"online.asynchronous": "never"}
    rules |= {"online.init_iterations": 1, "classifier.first_steps": 1}
    tracker = create_tracker(name, weights="random", device="cpu", **rules)
    if isinstance(tracker, SiameseTracker):
        tracker.on_host = False  # as on a device
    tracker.init(images[0], tuple(boxes[0]))
    tracker.update(images[1])
    sent.clear()
    crops.clear()
    with Watch() as watch:
        for image in images[2:]:
            tracker.update(image)
    # A mask and its cell are copied, too.
    allowed = {"_local_scalar_dense"} if name == "drol_mask" else set()
    assert not (WAITS - allowed) & set(watch.count), watch.count
    # Tensors made of what the host has: only those that ``transfer`` sends.
    assert watch.count.get("lift_fresh", 0) == len(sent) + len(crops)
    learns = name != "siamrcr"
    assert bool(sent) == learns
    assert len(sent) <= 8 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (1, 1, 1), (3, 1, 2)]
)
def test_packed_convolution_is_the_plain_one(dtype, kernel, stride, dilation) -> None:
    if not can_pack(dtype):
        pytest.skip("no such operators here")
    torch.manual_seed(0)
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(12, 20, kernel, stride, padding, dilation).to(dtype).requires_grad_(False)
    x = torch.randn(2, 12, 13, 17).to(dtype).contiguous(memory_format=torch.channels_last)
    packed, wanted = PackedConv(conv), conv(x)
    other = torch.randn_like(wanted)
    tolerance = 1e-5 if dtype is torch.float32 else 0.04
    with torch.inference_mode():
        for relu in (False, True):
            plain = convolve(conv, nn.Identity(), x, relu)
            assert (packed(x, relu) - plain).abs().max() <= tolerance
            summed = convolve(conv, nn.Identity(), x, relu, other)
            assert (packed(x, relu, other.clone()) - summed).abs().max() <= tolerance


def test_packing_reaches_every_convolution() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ModuleDict({"a": nn.Conv2d(4, 4, 3)}), nn.Linear(4, 4)
    )
    pack_convolutions(net)
    assert not any(isinstance(m, nn.Conv2d) for m in net.modules()) or not can_pack(torch.float32)
    assert isinstance(net[2], nn.Linear)


@pytest.mark.parametrize(("cells", "wanted"), [(13, 25), (9, 33), (17, 33)])
def test_interpolation_as_products(cells: int, wanted: int) -> None:
    x = torch.randn(2, 6, cells, cells).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = resize(x, wanted).float()
    exact = F.interpolate(x.float(), (wanted, wanted), mode="bilinear", align_corners=True)
    assert (found - exact).abs().max() < 0.03
    # Cells of the coarse map stay what they are.
    step = (wanted - 1) // (cells - 1)
    assert torch.equal(found[..., ::step, ::step], x.float())
