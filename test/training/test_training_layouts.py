"""Public data sets: tiny generated trees of their published layouts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from duml_tracker_ros.datasets import TRAINING, load_dataset
from duml_tracker_ros.datasets.annotated import picture_size
from duml_tracker_ros.datasets.got10k import forbidden_by_vot
from duml_tracker_ros.tracker import ConfigError
from duml_tracker_ros.tracker.checkpoint import load_checkpoint
from duml_tracker_ros.training.config import DataConfig
from duml_tracker_ros.training.data import (
    Bank,
    Batches,
    DataError,
    SampleKind,
    Shape,
    Synthesis,
    load_bank,
    make_loader,
)
from duml_tracker_ros.training.data.layouts import read_layout
from duml_tracker_ros.training.loop import train_from_config

WIDTH, HEIGHT = 160, 96
COUNT = 6


def load_layout(name: str, root: Path, **options) -> Bank:
    records = read_layout(name, root, progress=False, **options)
    return Bank(records, [None] * len(records))


def box(t: int) -> tuple[int, int, int, int]:
    """The target of frame t (0-based): off-centre and off-diagonal."""
    return 90 + 4 * t, 12 + t, 30, 20


def draw(path: Path, t: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((HEIGHT, WIDTH, 3), (120, 100, 60), np.uint8)
    image[::7] = (60, 160, 90)
    x, y, w, h = box(t)
    image[y : y + h, x : x + w] = (0, 0, 255)  # red, stored as BGR
    assert cv2.imwrite(str(path), image, (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111))


def lines(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def make_got10k(root: Path) -> None:
    for k in (1, 2):
        folder = root / "train" / f"GOT-10k_Train_00000{k}"
        for t in range(COUNT):
            draw(folder / f"{t + 1:08d}.jpg", t)
        rows = [",".join(f"{v:.4f}" for v in box(t)) for t in range(COUNT)]
        lines(folder / "groundtruth.txt", rows)
        lines(folder / "absence.label", ["0", "1", "0", "0", "0", "0"])
        lines(folder / "meta_info.ini", ["[METAINFO]", "object_class: car"])


def make_lasot(root: Path) -> None:
    for folder in (root / "car" / "car-1", root / "car" / "car-2"):
        for t in range(COUNT):
            draw(folder / "img" / f"{t + 1:08d}.jpg", t)
        rows = []
        for t in range(COUNT):
            x, y, w, h = box(t)
            rows.append(f"{x + 1},{y + 1},{w},{h}")
        lines(folder / "groundtruth.txt", rows)
        lines(folder / "full_occlusion.txt", ["0,1,0,0,0,0"])
        lines(folder / "out_of_view.txt", ["0,0,0,0,0,0"])
    lines(root / "testing_set.txt", ["cat-7"])


def make_trackingnet(root: Path) -> None:
    for video in ("abc_0", "def_1"):
        for t in range(COUNT):
            draw(root / "TRAIN_0" / "frames" / video / f"{t}.jpg", t)
        rows = [",".join(map(str, box(t))) for t in range(COUNT)]
        lines(root / "TRAIN_0" / "anno" / f"{video}.txt", rows)
    lines(root / "TRAIN_0" / "anno" / "not_fetched.txt", ["1,2,3,4"])


def make_coco(root: Path) -> None:
    images, notes = [], []
    for t in range(COUNT):
        draw(root / "train2017" / f"{t:012d}.jpg", t)
        images.append({"id": t, "file_name": f"{t:012d}.jpg", "width": WIDTH, "height": HEIGHT})
        x, y, w, h = box(t)
        ring = [x, y, x + w, y, x + w, y + h, x, y + h]
        common = {"image_id": t, "category_id": 3}
        notes.append({**common, "bbox": [x, y, w, h], "segmentation": [ring], "iscrowd": 0})
        crowd = {"counts": [1], "size": [1, 1]}
        notes.append({**common, "bbox": [0, 0, 90, 90], "segmentation": crowd, "iscrowd": 1})
    data = {"images": images, "annotations": notes, "categories": [{"id": 3, "name": "car"}]}
    lines(root / "annotations" / "instances_train2017.json", [json.dumps(data)])
    empty = {"images": images, "annotations": notes, "categories": []}
    lines(root / "annotations" / "instances_val2017.json", [json.dumps(empty)])


def make_imagenet(root: Path, tail: Path, track: str) -> None:
    for t in range(COUNT):
        draw(root / "Data" / tail / f"{t:06d}.JPEG", t)
        x, y, w, h = box(t)
        sides = {"xmax": x + w - 1, "xmin": x, "ymax": y + h - 1, "ymin": y}
        bounds = "".join(f"<{k}>{v}</{k}>" for k, v in sides.items())
        text = (
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object>"
            f"{track}<name>n02958343</name><bndbox>{bounds}</bndbox>"
            "</object></annotation>"
        )
        lines(root / "Annotations" / tail / f"{t:06d}.xml", [text])


def make_imagenet_vid(root: Path) -> None:
    tail = Path("VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000")
    make_imagenet(root, tail, "<trackid>0</trackid>")


def make_imagenet_det(root: Path) -> None:
    make_imagenet(root, Path("DET/train/ILSVRC2013_train/n02958343"), "")
    gone = root / "Annotations/DET/train/ILSVRC2013_train/n02958343/not_fetched.xml"
    lines(gone, ["<annotation></annotation>"])


def make_youtube_bb(root: Path) -> None:
    rows = []
    for t in range(COUNT):
        name = f"AbC-_1_{1000 * t}_23_0.jpg"
        draw(root / "yt_bb_detection_train" / "23" / name, t)
        x, y, w, h = box(t)
        sides = (x / WIDTH, (x + w) / WIDTH, y / HEIGHT, (y + h) / HEIGHT)
        rows.append(f"AbC-_1,{1000 * t},23,car,0,present," + ",".join(f"{v:.6f}" for v in sides))
    rows.append("AbC-_1,9000,23,car,0,absent,-1,-1,-1,-1")
    rows.append("gone,1000,23,car,0,present,0.1,0.2,0.1,0.2")
    lines(root / "yt_bb_detection_train.csv", rows)


MAKERS = {
    "got10k": make_got10k,
    "lasot": make_lasot,
    "trackingnet": make_trackingnet,
    "coco": make_coco,
    "imagenet_vid": make_imagenet_vid,
    "imagenet_det": make_imagenet_det,
    "youtube_bb": make_youtube_bb,
}


@pytest.mark.parametrize("name", MAKERS)
def test_boxes_lie_on_the_target(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    bank = load_layout(name, tmp_path, stride=1)
    hidden = 1 if name in ("got10k", "lasot") else 0
    videos = 2 if name in ("got10k", "lasot", "trackingnet") else 1
    assert len(bank) == videos * (COUNT - hidden)
    for i, record in enumerate(bank.records):
        image = bank.image(i)
        assert bank.images[i] is None  # nothing is held in memory
        assert image.shape == (record.height, record.width, 3) == (HEIGHT, WIDTH, 3)
        (target,) = record.targets
        red = (image[:, :, 0] > 180) & (image[:, :, 2] < 80)
        assert target.box == pytest.approx(cv2.boundingRect(red.astype(np.uint8)), abs=0.01)
        assert record.source == name
        assert target.label in ("car", "n02958343", "")
    if name == "coco":
        assert bank.records[0].targets[0].polygon[0].shape == (4, 2)
    if name in ("coco", "imagenet_det"):
        assert not bank.tracks
    else:
        assert [len(track) for track in bank.tracks] == [COUNT - hidden] * videos


@pytest.mark.parametrize("name", ["got10k", "lasot", "trackingnet", "imagenet_vid"])
def test_stride_thins_videos(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    bank = load_layout(name, tmp_path, stride=3)
    assert {record.frame for record in bank.records} == {0, 3}


def test_samples_from_pictures_on_disk(tmp_path: Path) -> None:
    make_got10k(tmp_path)
    bank = load_layout("got10k", tmp_path, stride=1)
    synthesis = Synthesis(bank, (), Shape(65, 129), {"video": 1, "still": 1, "patch": 1})
    kinds = {synthesis.sample(random.Random(i)).kind for i in range(30)}
    assert kinds == {SampleKind.VIDEO, SampleKind.STILL, SampleKind.PATCH}


def test_one_lost_picture_does_not_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_trackingnet(tmp_path)
    bank = load_layout("trackingnet", tmp_path, stride=1)
    lost = tmp_path / "TRAIN_0" / "frames" / "abc_0" / "2.jpg"
    lost.write_bytes(b"")
    synthesis = Synthesis(bank, (), Shape(65, 129), {"still": 1})
    rng = random.Random(0)
    for _ in range(40):
        synthesis.sample(rng)
    assert str(lost) in caplog.text
    for path in lost.parent.parent.glob("*/*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match="check the data root"):
        synthesis.sample(rng)


def test_loader_joins_layouts_and_index(tmp_path: Path) -> None:
    root = tmp_path / "pack"
    draw(root / "a.jpg", 0)
    row = {"image": "a.jpg", "width": WIDTH, "height": HEIGHT, "source": "own", "objects": []}
    lines(root / "index.jsonl", [json.dumps(row)])
    make_lasot(tmp_path / "lasot")
    assert len(load_bank(root, progress=False)) == 1
    layouts = {"lasot": str(tmp_path / "lasot")}
    data = DataConfig(str(root), workers=0, grabcut_limit=0, mix={"video": 1.0}, layouts=layouts)
    loader = make_loader(data, Batches(size=6), progress=False)
    assert set(next(iter(loader))["kind"].tolist()) == {int(SampleKind.VIDEO)}


def test_errors_name_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'got11k': unknown"):
        load_layout("got11k", tmp_path)
    with pytest.raises(DataError, match=r"lasot root .*nowhere: no such folder"):
        load_layout("lasot", tmp_path / "nowhere")
    for name in TRAINING:
        with pytest.raises(
            DataError, match=f"{name} root .*(no annotated picture|no LaSOT sequence)"
        ):
            load_layout(name, tmp_path)
    with pytest.raises(DataError, match="stride 0"):
        load_layout("lasot", tmp_path, stride=0)


def test_broken_annotations_are_named(tmp_path: Path) -> None:
    make_got10k(tmp_path / "got10k")
    (folder, _) = sorted((tmp_path / "got10k" / "train").iterdir())
    (folder / "00000003.jpg").unlink()
    with pytest.raises(DataError, match=r"GOT-10k_Train_000001: 5 images but 6 .*after 00000002"):
        load_layout("got10k", tmp_path / "got10k")
    (folder / "groundtruth.txt").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"groundtruth\.txt line 1 is not 'x,y,w,h'"):
        load_layout("got10k", tmp_path / "got10k")
    (folder / "groundtruth.txt").write_text("1,2,3,car\n")
    with pytest.raises(DataError, match="car"):
        load_layout("got10k", tmp_path / "got10k")
    make_imagenet_vid(tmp_path / "vid")
    path = next((tmp_path / "vid").rglob("000002.xml"))
    path.write_text("<annotation>")
    with pytest.raises(DataError, match=r"000002\.xml"):
        load_layout("imagenet_vid", tmp_path / "vid", stride=1)
    make_youtube_bb(tmp_path / "bb")
    with (tmp_path / "bb" / "yt_bb_detection_train.csv").open("a") as file:
        file.write("AbC-_1,1000,23\n")
    with pytest.raises(DataError, match="line 9"):
        load_layout("youtube_bb", tmp_path / "bb")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_size_from_header(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.zeros((33, 71, 3), np.uint8))
    assert picture_size(path) == (71, 33)
    path.write_bytes(b"\xff\xd8nothing")
    with pytest.raises(OSError, match=r"a\..*: no kind of picture"):
        picture_size(path)


def test_lasot_is_parsed_once_and_test_sequences_are_never_trained_on(tmp_path: Path) -> None:
    """The published split, origin and absence flags, of evaluation and training alike."""
    make_lasot(tmp_path)
    (tmp_path / "testing_set.txt").write_text("car-2\n")
    bank = load_layout("lasot", tmp_path, stride=1)
    assert {record.video for record in bank.records} == {"car-1"}
    (sequence,) = load_dataset("lasot", tmp_path)
    assert sequence.name == "car-2"
    # Both are of the same boxes: pixel 1 of the file is pixel 0, the occluded frame is absent.
    assert sequence.truth[0].tolist() == list(box(0))
    assert np.isnan(sequence.truth[1]).all()
    assert bank.records[0].targets[0].box == box(0)
    assert [record.frame for record in bank.records] == [0, 2, 3, 4, 5]
    (tmp_path / "testing_set.txt").rename(tmp_path / "elsewhere.txt")
    with pytest.raises(DataError, match=r"neither testing_set\.txt nor training_set\.txt"):
        load_layout("lasot", tmp_path)
    (tmp_path / "training_set.txt").write_text("car-2\n")
    assert {r.video for r in load_layout("lasot", tmp_path).records} == {"car-2"}


def test_what_vot_forbids_is_left_out_of_got10k(tmp_path: Path) -> None:
    make_got10k(tmp_path)
    top = tmp_path / "train"
    (top / "GOT-10k_Train_000002").rename(top / "GOT-10k_Train_000004")
    assert len(forbidden_by_vot()) == 1000
    assert {"GOT-10k_Train_000004", "GOT-10k_Train_009334"} <= forbidden_by_vot()
    videos = {r.video for r in load_layout("got10k", tmp_path).records}
    assert videos == {"GOT-10k_Train_000001", "GOT-10k_Train_000004"}
    videos = {r.video for r in load_layout("got10k_vot", tmp_path).records}
    assert videos == {"GOT-10k_Train_000001"}
    # A part for validation or test beside it is not taken for the training part.
    (top / "GOT-10k_Train_000001").rename(top / "GOT-10k_Val_000001")
    with pytest.raises(DataError, match="no annotated picture"):
        load_layout("got10k_vot", tmp_path)


def test_videos_are_held_out_of_public_data_sets_too(tmp_path: Path) -> None:
    make_got10k(tmp_path / "got10k")
    make_lasot(tmp_path / "lasot")
    layouts = {"got10k": tmp_path / "got10k", "lasot": tmp_path / "lasot"}
    held = ("got10k/GOT-10k_Train_000001", "car-2")
    bank = load_bank(None, layouts=layouts, exclude_videos=held, progress=False)
    assert {r.video for r in bank.records} == {"GOT-10k_Train_000002", "car-1"}
    with pytest.raises(DataError, match="car-3"):
        load_bank(None, layouts=layouts, exclude_videos=["car-3"], progress=False)
    with pytest.raises(DataError, match="no data"):
        load_bank("", progress=False)


TINY = {"backbone": {"widths": [8, 8, 16, 16], "blocks": [1, 1, 1]}, "neck": 16, "hidden": 16}


def recipe(layouts: dict[str, Path], **changes: object) -> dict[str, object]:
    settings = {f"data.{k}": 0 for k in ("workers", "scene_clips", "grabcut_limit")}
    settings |= {"data.layouts": {k: str(v) for k, v in layouts.items()}, "network": TINY}
    settings |= {"network.online_channels": 16, "steps": 2, "batch": 2, "device": "cpu"}
    return settings | {"precision": "fp32"} | changes


def test_recipes_of_public_data_sets_alone_take_two_steps(tmp_path: Path) -> None:
    """GOT-10k alone by its protocol, and two sets in shares; the weights say what they saw."""
    make_got10k(tmp_path / "got10k")
    make_coco(tmp_path / "coco")
    got10k = {"got10k": tmp_path / "got10k"}
    entry = {"data.protocol": "got10k", "data.shares": {"got10k": 1}}
    weights = train_from_config(
        "duml_compact", out=tmp_path / "a", overrides=recipe(got10k, **entry)
    )
    assert load_checkpoint(weights).notes["data"] == "got10k"
    assert load_checkpoint(weights).notes["steps"] == "2"
    both = {**got10k, "coco": tmp_path / "coco"}
    shares = {"data.shares": {"got10k": 3, "coco": 1}}
    weights = train_from_config(
        "duml_compact", out=tmp_path / "b", overrides=recipe(both, **shares)
    )
    assert load_checkpoint(weights).notes["data"] == "coco + got10k"
    for broken, words in (
        (recipe(both, **entry), "coco"),
        (recipe(got10k, **entry, warm_from="duml_compact"), "unknown data"),
        (recipe(got10k, **entry, init_from=str(weights)), "coco"),
        (recipe(got10k, **{**entry, "data.root": str(tmp_path)}), "own pictures"),
    ):
        with pytest.raises(ConfigError, match=f"trained on its training part.*{words}"):
            train_from_config("duml_compact", out=tmp_path / "c", overrides=broken)


def test_shares_say_how_often_a_data_set_is_drawn_from(tmp_path: Path) -> None:
    make_got10k(tmp_path / "got10k")
    make_coco(tmp_path / "coco")
    layouts = {name: tmp_path / name for name in ("got10k", "coco")}
    bank = load_bank(None, layouts=layouts, progress=False)
    synthesis = Synthesis(bank, (), Shape(65, 129), shares={"got10k": 3, "coco": 1})
    kinds = [synthesis.sample(random.Random(i)).kind for i in range(200)]
    assert set(kinds) == {SampleKind.VIDEO, SampleKind.STILL}
    assert 0.65 < kinds.count(SampleKind.VIDEO) / 200 < 0.85
    alone = Synthesis(bank, (), Shape(65, 129), shares={"coco": 1})
    assert {alone.sample(random.Random(i)).kind for i in range(20)} == {SampleKind.STILL}
    with pytest.raises(DataError, match="nothing to draw from lasot"):
        Synthesis(bank, (), Shape(65, 129), shares={"coco": 1, "lasot": 1})
