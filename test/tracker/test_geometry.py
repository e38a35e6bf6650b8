"""Crop geometry, boxes and anchors: off-centre and off the diagonal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from duml_tracker_ros.tracker import BoxError, validate_box
from duml_tracker_ros.tracker.errors import ImageError
from duml_tracker_ros.tracker.frame.crop import check_image, crop_array, mean_colour
from duml_tracker_ros.tracker.geometry import (
    Window,
    box_cells,
    cell_centres,
    cells_to_crop,
    context_side,
    cxcywh_to_xyxy,
    giou,
    iou,
    map_region,
    overlap,
    search_window,
    template_window,
)
from duml_tracker_ros.tracker.network.anchors import anchor_grid, anchor_shapes, decode, encode
from duml_tracker_ros.tracker.results import ScoreMaps


def test_context_side_of_a_square_is_twice_its_side() -> None:
    assert context_side(40, 40) == pytest.approx(80)
    assert context_side(20, 60) == pytest.approx(math.sqrt(60 * 100))


def test_boxes_in_cells_are_boxes_in_crop_pixels_and_back() -> None:
    window, box = Window(cx=210.5, cy=37.25, side=160.0, size=193), (180.0, 20.0, 31.0, 57.0)
    x, y, w, h = window.to_crop(box)
    crop = torch.tensor([[x + w / 2, y + h / 2, w, h]])
    cells = box_cells(crop, 193, 25, 8)
    assert cells[0].tolist() == pytest.approx(window.to_cells(box, 25, 8), rel=1e-5)
    assert torch.allclose(cells_to_crop(cells, 193, 25, 8), crop)


def test_window_maps_there_and_back_off_the_diagonal() -> None:
    window = Window(cx=210.5, cy=37.25, side=160.0, size=193)
    box = (180.0, 20.0, 31.0, 57.0)
    crop = window.to_crop(box)
    assert crop[0] == pytest.approx((180 - 210.5) * 193 / 160 + 96.5)
    assert crop[1] == pytest.approx((20 - 37.25) * 193 / 160 + 96.5)
    np.testing.assert_allclose(window.to_image(crop), box)


@pytest.mark.parametrize("centre", [(60.0, 150.0), (300.0, 20.0), (5.0, 235.0), (317.0, 3.0)])
@pytest.mark.parametrize("side", [48.3, 97.0, 180.0])
def test_crop_puts_a_bright_block_where_the_window_says(
    centre: tuple[float, float], side: float
) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    x, y, w, h = 118, 41, 9, 15
    image[y : y + h, x : x + w] = 255
    window = Window(x + w / 2 + 11.3, y + h / 2 - 6.1, side, 193)
    crop = crop_array(image, window, (0, 0, 0)).astype(np.float64).sum(2)
    centres = np.arange(193) + 0.5
    found_x = (crop.sum(0) * centres).sum() / crop.sum()
    found_y = (crop.sum(1) * centres).sum() / crop.sum()
    bx, by, bw, bh = window.to_crop((x, y, w, h))
    assert found_x == pytest.approx(bx + bw / 2, abs=0.2)
    assert found_y == pytest.approx(by + bh / 2, abs=0.2)
    # The window's own centre lies anywhere, also beyond the border: still the right size.
    outside = crop_array(image, Window(*centre, side, 97), (9, 9, 9))
    assert outside.shape == (97, 97, 3)


@pytest.mark.parametrize("window", [Window(50.2, 130.7, 120.0, 129), Window(-8.0, 12.0, 90.0, 97)])
def test_crop_agrees_with_sampling_at_continuous_coordinates(window: Window) -> None:
    """The same window read by grid_sample, whose coordinates are continuous by definition."""
    small = np.random.default_rng(3).integers(0, 255, (24, 32, 3), np.uint8)
    image = np.kron(small, np.ones((8, 8, 1), np.uint8))
    fill = (90.0, 120.0, 30.0)
    found = crop_array(image, window, fill).astype(np.float32)

    colour = torch.tensor(fill).view(1, 3, 1, 1)
    x0, y0, _, _ = window.region
    steps = (torch.arange(window.size) + 0.5) / window.scale
    gx, gy = (steps + x0) / image.shape[1] * 2 - 1, (steps + y0) / image.shape[0] * 2 - 1
    grid = torch.stack(torch.broadcast_tensors(gx[None, :], gy[:, None]), -1)[None]
    source = torch.from_numpy(image).permute(2, 0, 1)[None].float() - colour
    wanted = (F.grid_sample(source, grid, align_corners=False) + colour)[0].permute(1, 2, 0)

    difference = np.abs(found - wanted.numpy())[2:-2, 2:-2]
    assert difference.mean() < 1.0
    assert np.quantile(difference, 0.99) < 8


@pytest.mark.parametrize("order", ["bgr", "rgba", "bgra"])
def test_channel_orders_give_the_same_crop(order: str) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    other = rgb[..., ::-1] if order.startswith("bgr") else rgb
    if order.endswith("a"):
        other = np.dstack([other, np.full(rgb.shape[:2], 255, np.uint8)])
    other = np.ascontiguousarray(other)
    window = Window(5.0, 30.0, 50.0, 97)
    fill = mean_colour(rgb, "rgb")
    assert mean_colour(other, order) == fill
    np.testing.assert_array_equal(
        crop_array(other, window, fill, order), crop_array(rgb, window, fill)
    )


def test_crop_accepts_views_and_leaves_them_alone() -> None:
    padded = np.random.default_rng(1).integers(0, 255, (60, 100, 3), np.uint8)
    view = padded[:, :80]
    view.setflags(write=False)
    crop = crop_array(view, Window(40.0, 30.0, 40.0, 97), (0, 0, 0))
    np.testing.assert_array_equal(
        crop, crop_array(view.copy(), Window(40.0, 30.0, 40.0, 97), (0, 0, 0))
    )


@pytest.mark.parametrize(
    ("image", "order", "words"),
    [
        (np.zeros((20, 20, 3), np.float32), "rgb", "uint8"),
        (np.zeros((20, 20), np.uint8), "rgb", "3 channels"),
        (np.zeros((20, 20, 3), np.uint8), "yuv", "channel order"),
        (np.zeros((2, 20, 3), np.uint8), "rgb", "too small"),
        ([1, 2], "rgb", "uint8"),
    ],
)
def test_bad_images_are_named(image: np.ndarray, order: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        check_image(image, order)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((float("nan"), 0, 10, 10), "not finite"),
        ((0, 0, 0, 10), "too small"),
        ((0, 0, 10, -3), "too small"),
        ((400, 0, 10, 10), "outside"),
        ((-9.5, 0, 10, 10), "inside"),
        ((0, 0, 5000, 10), "far larger"),
        ((0, 0, 10), "four numbers"),
        (("a", 0, 1, 2), "four numbers"),
    ],
)
def test_bad_boxes_are_named(box: tuple, words: str) -> None:
    with pytest.raises(BoxError, match=words):
        validate_box(box, 320, 240)


def test_iou_and_giou_on_known_boxes() -> None:
    a = torch.tensor([0.0, 0.0, 4.0, 2.0])
    b = torch.tensor([2.0, 0.0, 6.0, 2.0])
    assert iou(a, b).item() == pytest.approx(4 / 12)
    assert giou(a, b).item() == pytest.approx(4 / 12)
    far = torch.tensor([8.0, 0.0, 12.0, 2.0])
    assert iou(a, far).item() == 0
    assert giou(a, far).item() == pytest.approx(-8 / 24)
    assert overlap((0, 0, 4, 2), (2, 0, 4, 2)) == pytest.approx(4 / 12)
    assert overlap((0, 0, 4, 2), (8, 0, 4, 2)) == overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_anchor_cells_are_row_by_y_and_column_by_x() -> None:
    shapes = anchor_shapes(48.0, (0.5, 2.0))
    assert shapes[0, 0] > shapes[0, 1]
    assert shapes.prod(1).tolist() == pytest.approx([48.0**2] * 2)
    grid = anchor_grid(shapes, 25, 8, 193)
    assert grid.shape == (2, 25, 25, 4)
    assert grid[0, 12, 12, :2].tolist() == [96.5, 96.5]
    assert grid[1, 3, 20, :2].tolist() == [20 * 8 + 0.5, 3 * 8 + 0.5]


def test_decode_inverts_encode_off_centre() -> None:
    anchors = anchor_grid(anchor_shapes(48.0, (0.33, 1.0, 3.0)), 25, 8, 193).flatten(0, 2)
    box = torch.tensor([33.0, 140.0, 71.0, 22.0])
    decoded = decode(encode(box.expand_as(anchors), anchors), anchors)
    assert (decoded - box).abs().max() < 1e-2
    wild = decode(torch.full((1, 4), 1e4), anchors[:1])
    assert torch.isfinite(wild).all()


def test_windows_share_the_scale() -> None:
    box = (100.0, 50.0, 30.0, 60.0)
    template, search = template_window(box, 97), search_window(box, 97, 193)
    assert template.scale == pytest.approx(search.scale)
    assert (search.cx, search.cy) == (115.0, 80.0)


def test_score_map_lands_on_the_right_pixels() -> None:
    window = Window(200.0, 90.0, 193.0 / 2, 193)
    region = map_region(window, 25, 8)
    score = torch.zeros(25, 25)
    score[3, 20] = 1.0
    maps = ScoreMaps({"fused": score}, region)
    image = maps.to_image("fused", 320, 240)
    row, col = np.unravel_index(image.argmax(), image.shape)
    x = window.to_image((20 * 8 + 0.5, 3 * 8 + 0.5, 0, 0))
    assert abs(col + 0.5 - x[0]) <= 1
    assert abs(row + 0.5 - x[1]) <= 1
    assert cell_centres(25, 8, 193)[12] == 96.5
    with pytest.raises(KeyError, match="robust"):
        maps["robust"]
    corner = cxcywh_to_xyxy(torch.tensor([10.0, 20.0, 4.0, 6.0]))
    assert corner.tolist() == [8, 17, 12, 23]
