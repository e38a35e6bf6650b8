"""Weight files that are damaged, foreign or made to harm are refused with one line of words."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from train_harness import TINY

from duml_tracker_ros.tracker.checkpoint import load_checkpoint, load_imagenet, save_checkpoint
from duml_tracker_ros.tracker.errors import WeightsError
from duml_tracker_ros.tracker.network.backbone import ResNet50
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network_config import BackboneConfig, NetworkConfig
from duml_tracker_ros.tracker.settings import build


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Content of a small weight file of two kinds of numbers."""
    config = build(NetworkConfig, TINY)
    path = tmp_path_factory.mktemp("sound") / "w.safetensors"
    save_checkpoint(path, DualModalNet(config), config, dtype=torch.float16)
    return path.read_bytes()


def changed(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A safetensors file with another header: 8 bytes of its length, JSON, numbers."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header = change(header) or header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def described(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["__metadata__"].update(network=text)


def retyped(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        for entry in header.values():
            if entry.get("dtype") == old:
                entry["dtype"] = new

    return change


NESTED = '{"backbone":' * 20000 + "1" + "}" * 20000

CHANGES = {
    "list": (described("[1]"), "network = [1]: a mapping is expected"),
    "null": (described("null"), "network = None: a mapping is expected"),
    "number": (described("1"), "network = 1: a mapping is expected"),
    "text": (described("{"), "unusable network description"),
    "nested": (described(NESTED), "nested too deep"),
    "unknown": (described('{"neckk": 3}'), "unknown key 'network.neckk'"),
    "nan": (described('{"anchor_size": NaN}'), "network.anchor_size = nan: a finite number"),
    "large": (described('{"neck": 1000000000}'), "network.neck = 1000000000: must be from 1"),
    "digits": (described('{"neck": ' + "9" * 4000 + "}"), "network.neck"),
    "value": (described('{"backbone": 7}'), "network.backbone = 7: a mapping is expected"),
    "none": (lambda header: header["__metadata__"].pop("network") and None, "no network descr"),
    "no metadata": (lambda header: header.pop("__metadata__") and None, "not a weight file of"),
    "format": (lambda h: h["__metadata__"].update(format="x"), "not a weight file of"),
    "metadata of numbers": (lambda h: h.update(__metadata__={"format": 1}), "not a readable"),
    "bf16": (retyped("F16", "BF16"), "is bfloat16; weights of this package are float32 or"),
    "int16": (retyped("F16", "I16"), "is int16; weights of this package are float32 or"),
    "int32": (retyped("F32", "I32"), "is int32; weights of this package are float32 or"),
    "unknown type": (retyped("F32", "Q7"), "not a readable safetensors file"),
    "no JSON": (lambda header: b"\xff\xfe{", "not a readable safetensors file"),
    "list header": (lambda header: b"[1]", "not a readable safetensors file"),
    "deep header": (lambda header: b'{"a":' * 20000, "not a readable safetensors file"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_odd_files_are_refused(sound: bytes, tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(changed(sound, change))
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 500


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\xff\xfe\x00binary", b"not a digest", b"\x00" * 100000, b"0" * 63 + b" w"],
)
def test_odd_checksum_files_are_refused(sound: bytes, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(sound)
    path.with_suffix(".sha256").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.sha256 holds no SHA-256 checksum.*delete it"):
        load_checkpoint(path)


def test_a_checksum_that_is_no_file_is_not_passed_over(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(sound)
    beside = path.with_suffix(".sha256")
    for make in (os.mkfifo, os.mkdir, lambda place: os.symlink("nowhere", place)):
        make(beside)
        with pytest.raises(WeightsError, match=r"w\.sha256 is no file: delete it"):
            load_checkpoint(path)
        beside.rmdir() if beside.is_dir() else beside.unlink()


def test_any_changed_bit_is_refused_or_read_the_same(sound: bytes, tmp_path: Path) -> None:
    """Of the header, without a checksum file beside: never a raw error."""
    path = tmp_path / "w.safetensors"
    (length,) = struct.unpack("<Q", sound[:8])
    for at in range(0, 8 + length, 97):
        data = bytearray(sound)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with contextlib.suppress(WeightsError):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no named tensors but list"),
        (torch.zeros(3), "holds no named tensors but Tensor"),
        ({"conv1.weight": 5}, "'conv1.weight' is a int, not a tensor"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int32)}, "int32, not floating"),
        ({"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, "not finite"),
    ],
)
def test_odd_backbones_are_refused(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(content, path)
    backbone = ResNet50(BackboneConfig("resnet50", strides=(8,)))
    with pytest.raises(WeightsError, match=words):
        load_imagenet(backbone, path)
