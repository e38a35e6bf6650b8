"""Training data on small generated pictures: geometry, repeatability, clear errors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from duml_tracker_ros.datasets import Annotation, Record
from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker.geometry import context_side
from duml_tracker_ros.training.config import DataConfig
from duml_tracker_ros.training.data import (
    Batches,
    BatchStream,
    DataError,
    SampleKind,
    Shape,
    Synthesis,
    load_bank,
    loader_of,
    make_loader,
    warp,
)
from duml_tracker_ros.training.data.appearance import deform, mirrored, recolour
from duml_tracker_ros.training.data.bank import Bank
from duml_tracker_ros.training.data.cutouts import (
    Cutout,
    grabcut,
    hull_of,
    load_cutouts,
    make_cutout,
    polygon_alpha,
)
from duml_tracker_ros.training.data.photometric import Photometric, PhotometricConfig
from duml_tracker_ros.training.data.scenes import FIRST_SEED, MIN_VISIBILITY, load_scenes

SHAPE = Shape(template=65, search=129, n_search=3)


def dull(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A textured grey-blue picture without any red in it."""
    coarse = rng.integers(40, 200, (height // 12 + 1, width // 12 + 1), dtype=np.uint8)
    grey = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.merge([np.zeros_like(grey), grey, np.maximum(grey, 60)])


def red_box(image: np.ndarray) -> tuple[float, float, float, float]:
    """Sub-pixel box of the solid red region: its moments are those of a rectangle."""
    red = np.clip(image[:, :, 0].astype(np.float64) - image[:, :, 1:].max(2), 0, None)
    red[red < 20] = 0
    total = red.sum()
    out = []
    for profile in (red.sum(0), red.sum(1)):
        at = np.arange(len(profile)) + 0.5
        centre = (profile * at).sum() / total
        # A pixel's own spread (1/12) is part of the measured variance of a sampled box.
        side = np.sqrt(12 * (profile * (at - centre) ** 2).sum() / total)
        out.append((centre - side / 2, side))
    return out[0][0], out[1][0], out[0][1], out[1][1]


def bank_with_red(kind: str, seed: int = 0) -> Bank:
    """Pictures with one solid red rectangle each, off-centre and off-diagonal."""
    rng = np.random.default_rng(seed)
    records, images = [], []
    for i in range(6):
        width, height = 320, 200
        image = dull(rng, width, height)
        targets: tuple[Annotation, ...] = ()
        if kind != "plain":
            w, h = int(rng.integers(20, 60)), int(rng.integers(20, 60))
            x, y = int(rng.integers(130, 240)), int(rng.integers(10, 100))
            image[y : y + h, x : x + w] = (255, 0, 0)
            corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
            targets = (Annotation((x, y, w, h), "red", 1, (corners,)),)
        video = ("clip", i) if kind == "video" else (None, None)
        records.append(Record(f"{i}.png", "made", width, height, *video, targets))
        images.append(image)
    return Bank(records, images)


def write_root(root: Path, bank: Bank) -> Path:
    """The bank as an index.jsonl with PNG files."""
    root.mkdir(exist_ok=True)
    rows = []
    for i, record in enumerate(bank.records):
        cv2.imwrite(str(root / f"{i}.png"), cv2.cvtColor(bank.image(i), cv2.COLOR_RGB2BGR))
        objects = [
            {
                "id": t.track,
                "box": list(t.box),
                "class": t.label,
                "polygon": [ring.reshape(-1).tolist() for ring in t.polygon],
            }
            for t in record.targets
        ]
        video = None if record.video is None else f"{record.video}{i // 3}"
        rows.append(
            {
                "image": f"{i}.png",
                "width": record.width,
                "height": record.height,
                "source": record.source,
                "video": video,
                "frame": record.frame,
                "objects": objects,
            }
        )
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


# Warps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.23, 0.4, 0.8, 1.0, 1.7])
def test_sampling_keeps_continuous_coordinates(scale: float) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    box = np.array([380.0, 40.0, 60.0, 90.0])
    image[40:130, 380:440] = (255, 0, 0)
    matrix = warp.place(warp.linear(scale), (410.0, 85.0), (120.3, 80.7))
    crop = warp.sample(image, matrix, (180, 170))
    x, y = warp.apply(matrix, box[None, :2])[0]
    assert red_box(crop) == pytest.approx((x, y, 60 * scale, 90 * scale), abs=0.15)


def test_outside_keeps_what_lies_beneath() -> None:
    image = np.full((50, 50, 3), 200, np.uint8)
    out = np.full((100, 100, 3), 7, np.uint8)
    matrix = warp.affine(1, 0, 30, 0, 1, 20)
    got = warp.sample(image, matrix, (100, 100), border=cv2.BORDER_TRANSPARENT, out=out)
    assert (got[20:70, 30:80] >= 7).all()
    assert (got[22:68, 32:78] == 200).all()
    assert (got[:19] == 7).all()
    assert (got[:, 82:] == 7).all()


def test_inverse_and_singular() -> None:
    matrix = warp.place(warp.linear(1.3, 0.4, 1.5, 0.2), (3.0, 4.0), (50.0, 60.0))
    points = np.array([[1.0, 2.0], [30.0, -4.0]])
    assert warp.apply(warp.invert(matrix), warp.apply(matrix, points)) == pytest.approx(points)
    with pytest.raises(ValueError, match="singular"):
        warp.invert(warp.affine(1, 1, 0, 1, 1, 0))


def test_paste_composites_by_alpha() -> None:
    canvas = np.full((60, 80, 3), 100, np.uint8)
    layer = np.zeros((12, 12, 4), np.uint8)
    layer[1:-1, 1:-1] = (128, 0, 0, 128)
    warp.paste(canvas, layer, warp.affine(1, 0, 60, 0, 1, 5))
    assert canvas[10, 65].tolist() == pytest.approx([178, 50, 50], abs=1)
    assert (canvas[:, :60] == 100).all()
    warp.paste(canvas, layer, warp.affine(1, 0, 900, 0, 1, 5))  # wholly outside: nothing happens


# Cut-outs ---------------------------------------------------------------------------------------


def red_cutout(width: int = 40, height: int = 26) -> Cutout:
    rgb = np.full((height + 8, width + 8, 3), (255, 0, 0), np.uint8)
    alpha = np.zeros((height + 8, width + 8), np.uint8)
    alpha[4:-4, 4:-4] = 255
    cutout = make_cutout(rgb, alpha, "red", "made")
    assert cutout is not None
    return cutout


def test_cutout_hull_is_tight() -> None:
    cutout = red_cutout(40, 26)
    assert warp.bounds(cutout.hull) == (1, 1, 40, 26)
    assert hull_of(np.zeros((5, 5), np.uint8)) is None


def test_polygon_alpha_is_centred() -> None:
    ring = np.array([[10.5, 3.25], [30.5, 3.25], [30.5, 12.25], [10.5, 12.25]], np.float32)
    alpha = polygon_alpha([ring], 50, 20).astype(np.float64)
    assert alpha.sum() / 255 == pytest.approx(180, rel=0.06)
    columns = (alpha.sum(0) * (np.arange(50) + 0.5)).sum() / alpha.sum()
    rows = (alpha.sum(1) * (np.arange(20) + 0.5)).sum() / alpha.sum()
    assert (columns, rows) == pytest.approx((20.5, 7.75), abs=0.15)


def test_grabcut_finds_a_disc_and_refuses_a_plain_picture() -> None:
    cv2.setRNGSeed(0)
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (100, 140, 3), dtype=np.uint8)
    assert grabcut(np.full((100, 140, 3), 90, np.uint8)) is None
    cv2.circle(image, (70, 50), 28, (230, 40, 30), -1)
    alpha = grabcut(image)
    assert alpha is not None
    truth = np.zeros((100, 140), np.uint8)
    cv2.circle(truth, (70, 50), 28, 1, -1)
    found = alpha >= 128
    overlap = (found & (truth > 0)).sum() / (found | (truth > 0)).sum()
    assert overlap > 0.85


def test_changes_keep_hull_and_pixels_together() -> None:
    rng = random.Random(3)
    base = red_cutout(50, 30)
    for cutout in (mirrored(base), *(deform(base, rng, 0.3) for _ in range(10))):
        x, y, w, h = cv2.boundingRect((cutout.rgba[:, :, 3] >= 128).astype(np.uint8))
        assert warp.bounds(cutout.hull) == (x, y, w, h)
        area = (cutout.rgba[:, :, 3] >= 128).sum()
        assert area == pytest.approx(50 * 30, rel=0.35)  # bent, but all there
    for _ in range(10):
        coloured = recolour(base, rng, 1.0).rgba
        assert (coloured[:, :, :3] <= coloured[:, :, 3:]).all()
        assert (coloured[:, :, 3] == base.rgba[:, :, 3]).all()


def test_cutouts_are_cached_and_survive_a_broken_cache(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    records, images = [], []
    for i in range(3):
        image = rng.integers(90, 110, (100, 140, 3), dtype=np.uint8)
        cv2.circle(image, (70, 50), 28, (230, 40, 30 * i), -1)
        records.append(Record(f"photos/disc_{i}.jpg", "photos", 140, 100))
        images.append(image)
    bank = Bank(records, images)
    made = load_cutouts(bank, cache_dir=tmp_path, grabcut_source="photos", progress=False)
    (path,) = tmp_path.glob("cutouts-*.npz")
    again = load_cutouts(bank, cache_dir=tmp_path, grabcut_source="photos", progress=False)
    assert [c.label for c in made] == ["disc"] * 3
    for a, b in zip(made, again, strict=True):
        assert (a.rgba == b.rgba).all()
        assert (a.hull == b.hull).all()
        assert (a.label, a.source) == (b.label, b.source)
    path.write_bytes(b"broken")
    repaired = load_cutouts(bank, cache_dir=tmp_path, grabcut_source="photos", progress=False)
    assert len(repaired) == 3


# Samples ----------------------------------------------------------------------------------------


def clean(synthesis: Synthesis, kind: SampleKind, count: int, seed: int) -> list[float]:
    """IoU of the box with the red pixels, over all visible crops of `count` samples."""
    rng = random.Random(seed)
    scores = []
    for _ in range(count):
        sample = synthesis.make(kind, rng)
        pairs = [(sample.template, sample.template_box)]
        pairs += [(i, b) for i, b in zip(sample.search, sample.boxes, strict=True) if b]
        if kind is SampleKind.PASTE:  # the queries may be occluded
            pairs = pairs[:2]
        for image, box in pairs:
            size = image.shape[0]
            x, y, w, h = box
            if x < 1 or y < 1 or x + w > size - 1 or y + h > size - 1:
                continue
            red = image[:, :, 0].astype(int) - image[:, :, 1:].max(2).astype(int)
            if kind is SampleKind.PASTE:  # recoloured, on black
                red = image.max(2).astype(int)
            elif np.ptp(image.astype(int), axis=2).max() < 60:
                continue  # a grey sample has no red to look for
            # Reflected or replicated borders may show more of the target: look around the box only.
            mask = np.zeros(red.shape, np.uint8)
            near = np.s_[max(0, int(y - 5)) : int(y + h + 6), max(0, int(x - 5)) : int(x + w + 6)]
            mask[near] = red[near] > red[near].max() / 2
            u, v, p, q = cv2.boundingRect(mask)
            inter = max(0, min(x + w, u + p) - max(x, u)) * max(0, min(y + h, v + q) - max(y, v))
            scores.append(inter / (w * h + p * q - inter))
    return scores


@pytest.mark.parametrize("kind", [SampleKind.PASTE, SampleKind.STILL, SampleKind.VIDEO])
def test_boxes_are_tight(kind: SampleKind) -> None:
    if kind is SampleKind.PASTE:
        bank = bank_with_red("plain")
        bank.images = [np.zeros_like(bank.image(i)) for i in range(len(bank))]
        synthesis = Synthesis(bank, [red_cutout()], SHAPE, distractors=0)
    else:
        synthesis = Synthesis(
            bank_with_red("video" if kind is SampleKind.VIDEO else "still"), (), SHAPE
        )
    scores = clean(synthesis, kind, 60, seed=1)
    assert len(scores) > 80
    # One pixel of quantisation on 32 px and blurred edges cost up to a tenth.
    assert np.median(scores) > 0.9
    assert np.percentile(scores, 5) > 0.7


def test_template_shows_the_context_of_the_box() -> None:
    rng = random.Random(0)
    synthesis = Synthesis(bank_with_red("video"), [red_cutout()], SHAPE)
    for kind in (SampleKind.PASTE, SampleKind.STILL, SampleKind.VIDEO, SampleKind.PATCH):
        for _ in range(20):
            x, y, w, h = synthesis.make(kind, rng).template_box
            assert context_side(w, h) == pytest.approx(SHAPE.template, rel=1e-6)
            assert (x + w / 2, y + h / 2) == pytest.approx((SHAPE.template / 2,) * 2)


def test_search_covers_shifts_and_scales() -> None:
    rng = random.Random(0)
    synthesis = Synthesis(bank_with_red("still"), (), SHAPE)
    centres, sides = [], []
    for _ in range(300):
        x, y, w, h = synthesis.make(SampleKind.STILL, rng).boxes[0] or (0, 0, 0, 0)
        centres.append([x + w / 2, y + h / 2])
        sides.append(context_side(w, h) / SHAPE.template)
    shift = (np.array(centres) - SHAPE.search / 2) / SHAPE.search
    assert np.abs(shift.mean(0)).max() < 0.03
    assert np.abs(shift).max() > 0.3
    assert np.median(np.abs(shift)) < 0.12
    assert min(sides) < 0.7
    assert max(sides) > 1.4
    assert np.median(sides) == pytest.approx(1.0, abs=0.05)


def test_absent_targets_are_nan_and_only_in_queries() -> None:
    synthesis = Synthesis(bank_with_red("video"), [red_cutout()], SHAPE)
    batch = BatchStream(synthesis, 120, seed=2).batch(0)
    assert batch["visible"][:, 0].all()
    assert 0.01 < 1 - batch["visible"][:, 1:].float().mean() < 0.2
    assert (batch["box"].isfinite().all(-1) == batch["visible"]).all()
    assert batch["box"][~batch["visible"]].isnan().all()
    assert (batch["box"][batch["visible"]][:, 2:] > 0).all()
    learn = Synthesis(bank_with_red("video"), [red_cutout()], Shape(65, 129, 5, n_support=3))
    visible = BatchStream(learn, 60, seed=2).batch(0)["visible"]
    assert visible.shape == (60, 5)
    assert visible[:, :3].all()
    assert not visible[:, 3:].all()


def test_interface_of_a_batch() -> None:
    synthesis = Synthesis(bank_with_red("video"), [red_cutout()], SHAPE)
    batch = BatchStream(synthesis, 5).batch(3)
    assert batch["template"].shape == (5, 3, 65, 65)
    assert batch["search"].shape == (5, 3, 3, 129, 129)
    assert batch["template_box"].shape == (5, 4)
    assert batch["box"].shape == (5, 3, 4)
    assert {k: v.dtype for k, v in batch.items()} == {
        "template": torch.uint8,
        "search": torch.uint8,
        "template_box": torch.float32,
        "box": torch.float32,
        "visible": torch.bool,
        "kind": torch.int64,
    }


def test_batches_depend_on_seed_and_index_alone() -> None:
    synthesis = Synthesis(bank_with_red("video"), [red_cutout()], SHAPE)

    def take(count: int, workers: int, **options: int) -> list[dict[str, torch.Tensor]]:
        stream = iter(loader_of(synthesis, Batches(size=4, **options), workers))
        return [next(stream) for _ in range(count)]

    here = take(5, workers=0, seed=9)
    there = take(5, workers=2, seed=9)
    resumed = take(2, workers=2, seed=9, start=3)
    other = take(1, workers=0, seed=10)
    for a, b in zip(here + here[3:], there + resumed, strict=True):
        for name in a:
            assert torch.equal(a[name].nan_to_num(-1), b[name].nan_to_num(-1))
    assert not torch.equal(here[0]["search"], other[0]["search"])


# Data roots -------------------------------------------------------------------------------------


def test_loader_from_disk(tmp_path: Path) -> None:
    root = write_root(tmp_path / "data", bank_with_red("video"))
    data = DataConfig(str(root), str(tmp_path / "cache"), workers=0, scene_clips=1)
    loader = make_loader(data, Batches(65, 129, size=3), progress=False)
    batch = next(iter(loader))
    assert batch["search"].shape == (3, 2, 3, 129, 129)
    assert set(batch["kind"].tolist()) <= {int(k) for k in SampleKind}


def test_held_out_videos_leave_no_frame(tmp_path: Path) -> None:
    root = write_root(tmp_path, bank_with_red("video"))
    for name in ("clip1", "made/clip1"):
        bank = load_bank(root, exclude_videos=[name], progress=False)
        assert {record.video for record in bank.records} == {"clip0"}
        assert len(bank.tracks) == 1
    with pytest.raises(DataError, match=r"clip7.*check the spelling"):
        load_bank(root, exclude_videos=["clip7"], progress=False)


def test_broken_pictures_are_named_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_root(tmp_path, bank_with_red("still"))
    (root / "1.png").write_bytes(b"not a picture")
    (root / "2.png").unlink()
    (root / "3.png").write_bytes(b"")
    cv2.imwrite(str(root / "4.png"), np.zeros((10, 10, 3), np.uint8))
    with caplog.at_level("WARNING"):
        bank = load_bank(root, progress=False)
    assert len(bank) == 2
    assert len(bank.skipped) == 4
    assert "4 of 6 images skipped" in caplog.text
    for name in ("1.png", "2.png", "3.png", "4.png"):
        assert any(name in text for text in bank.skipped)
    (root / "0.png").unlink()
    (root / "5.png").unlink()
    with pytest.raises(DataError, match="no usable image"):
        load_bank(root, progress=False)


def test_errors_name_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*no such folder"):
        load_bank(tmp_path / "nowhere", progress=False)
    with pytest.raises(DataError, match=r"no index\.jsonl"):
        load_bank(tmp_path, progress=False)
    (tmp_path / "index.jsonl").write_text('{"image": "a.png", "width": 10}\n')
    with pytest.raises(DataError, match=r"line 1.*height"):
        load_bank(tmp_path, progress=False)


def test_bad_settings_are_refused() -> None:
    bank = bank_with_red("still")
    with pytest.raises(DataError, match="unknown kind 'pasted'"):
        Synthesis(bank, (), SHAPE, {"pasted": 1.0})
    with pytest.raises(DataError, match="weights must be"):
        Synthesis(bank, (), SHAPE, {"still": -1.0})
    with pytest.raises(DataError, match="nothing for any"):
        Synthesis(bank, (), SHAPE, {"video": 1.0, "paste": 1.0})
    with pytest.raises(DataError, match="template_size 97, search_size 65"):
        Shape(97, 65)
    with pytest.raises(DataError, match="n_search 0, n_support 1"):
        Shape(n_search=0)
    with pytest.raises(DataError, match="n_search 2, n_support 3"):
        Shape(n_support=3)
    with pytest.raises(DataError, match="batch_size 0"):
        BatchStream(Synthesis(bank, (), SHAPE), 0)
    with pytest.raises(DataError, match="workers -1"):
        loader_of(Synthesis(bank, (), SHAPE), Batches(size=1), workers=-1)


# Photometric ------------------------------------------------------------------------------------


def images(count: int) -> torch.Tensor:
    bank = bank_with_red("still")
    return torch.stack([torch.from_numpy(bank.image(i % 6)).permute(2, 0, 1) for i in range(count)])


def test_photometric_range_repeatability_and_independence() -> None:
    batch = images(1).expand(12, -1, -1, -1)
    before = batch.clone()
    first = Photometric(generator=torch.Generator().manual_seed(4))(batch)
    second = Photometric(generator=torch.Generator().manual_seed(4))(batch)
    assert torch.equal(batch, before)
    assert torch.equal(first, second)
    assert first.dtype == torch.float32
    assert first.shape == batch.shape
    assert first.min() >= 0
    assert first.max() <= 255
    means = first.mean((1, 2, 3))
    assert means.std() > 3  # equal pictures are changed each in its own way
    assert torch.equal(
        Photometric(generator=torch.Generator().manual_seed(4))(batch.float()), first
    )


def test_photometric_without_chances_changes_nothing() -> None:
    names = [name for name in vars(PhotometricConfig()) if name.endswith("_chance")]
    still = Photometric(PhotometricConfig(**dict.fromkeys(names, 0.0)))
    batch = images(6)
    assert torch.allclose(still(batch), batch.float(), atol=1e-3)


@pytest.mark.parametrize("name", ["blur_chance", "coarse_chance"])
def test_photometric_moves_nothing(name: str) -> None:
    names = [n for n in vars(PhotometricConfig()) if n.endswith("_chance")]
    config = PhotometricConfig(**{**dict.fromkeys(names, 0.0), name: 1.0})
    batch = torch.zeros(4, 3, 97, 97, dtype=torch.uint8)
    batch[:, :, 20:41, 50:81] = 200
    out = Photometric(config, torch.Generator().manual_seed(0))(batch).mean(1)
    assert not torch.allclose(out, batch.float().mean(1), atol=1.0)
    at = torch.arange(97) + 0.5
    total = out.sum((1, 2))
    assert torch.allclose((out.sum(1) * at).sum(1) / total, torch.tensor(65.5), atol=0.1)
    assert torch.allclose((out.sum(2) * at).sum(1) / total, torch.tensor(30.5), atol=0.1)


def test_photometric_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="expected"):
        Photometric()(torch.zeros(3, 20, 20))
    with pytest.raises(ValueError, match=r"noise_chance = 1\.5"):
        PhotometricConfig(noise_chance=1.5)


# Generated scenes -------------------------------------------------------------------------------


def test_scene_clips_carry_boxes_and_are_cached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = load_scenes(3, 4, width=160, height=120, cache_dir=tmp_path, progress=False)
    assert len(bank) == 12
    assert len(bank.tracks) >= 2
    again = load_scenes(3, 4, width=160, height=120, cache_dir=tmp_path, progress=False)
    assert bank.records == again.records
    assert all((bank.image(i) == again.image(i)).all() for i in range(12))
    (path,) = tmp_path.glob("scenes-*.npz")
    path.write_bytes(b"broken")
    with caplog.at_level("WARNING"):
        repaired = load_scenes(3, 4, width=160, height=120, cache_dir=tmp_path, progress=False)
    assert "unreadable" in caplog.text
    assert repaired.records == bank.records
    # The box is where the scene says the target is, within what a re-encoded picture can show.
    scene = AerialScene.random(FIRST_SEED, 160, 120, 60)
    for record in bank.records[:4]:
        truth = scene.render(record.frame)
        if record.targets:
            assert record.targets[0].visibility == pytest.approx(truth.visibility, abs=1e-6)
            assert record.targets[0].box == pytest.approx(truth.box, abs=1e-4)
            assert truth.visibility >= MIN_VISIBILITY
        else:
            assert truth.box is None or truth.visibility < MIN_VISIBILITY
    synthesis = Synthesis(bank, (), SHAPE, {"scene": 1.0}, scenes=bank)
    assert synthesis.sample(random.Random(0)).kind is SampleKind.SCENE
