"""Drawings: where lines and colours end up, and files that can be read back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from duml_tracker_ros.viz import (
    VideoError,
    VideoSink,
    contact_sheet,
    draw_box,
    draw_target,
    heatmap_mono,
    heatmap_overlay,
    state_colour,
)


def grey(width: int = 320, height: int = 240, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def coloured(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mask of the pixels close to a colour."""
    return np.abs(image.astype(int) - colour).max(2) < 40


def test_box_lies_where_it_was_asked_for() -> None:
    image = grey()
    out = draw_target(image, (203.5, 41.5, 60, 31), "tracking", float("nan"))
    rows, columns = np.nonzero(coloured(out, state_colour("tracking"))[36:90, 190:280])
    # The caption is above the box; the lowest and outermost coloured lines are the box's.
    assert abs((rows.max() + 36 + 0.5) - 72.5) <= 1
    assert abs((columns.min() + 190 + 0.5) - 203.5) <= 1
    assert abs((columns.max() + 190 + 0.5) - 263.5) <= 1
    assert np.array_equal(image, grey()), "the input must stay untouched"


@pytest.mark.parametrize("width", [320, 640, 1280, 1920])
def test_caption_is_readable_and_inside_at_every_width(width: int) -> None:
    image = grey(width, width * 3 // 4)
    for box in ((2, 2, 30, 20), (width - 31, image.shape[0] - 22, 30, 20)):
        out = draw_target(image, box, "uncertain", 0.5, "target 7")
        touched = np.abs(out.astype(int) - 90).max(2) > 0
        plate = touched & (out.max(2) < 60)
        assert plate.sum() > 60 * 8
        rows = np.nonzero(plate)[0]
        assert rows.max() - rows.min() >= 9


def test_states_are_told_apart_by_lightness_or_dashes() -> None:
    box = (60, 60, 120, 90)
    counts = {}
    for state in ("tracking", "uncertain", "lost"):
        out = draw_target(grey(), box, state, float("nan"))
        edge = coloured(out[80:140, 55:65], state_colour(state))
        counts[state] = int(edge.any(1).sum())
    assert counts["tracking"] == counts["uncertain"] == 60
    assert 15 <= counts["lost"] <= 50
    light = [np.dot(state_colour(s), (0.3, 0.59, 0.11)) for s in ("uncertain", "tracking", "lost")]
    assert light[0] - light[1] > 30
    assert light[1] - light[2] > 30


def test_confidence_bar_fills_from_below() -> None:
    heights = []
    for confidence in (0.0, 0.25, 0.75, 1.0):
        out = draw_target(grey(), (100, 60, 50, 100), "tracking", confidence)
        bar = coloured(out[62:158, 152:155], state_colour("tracking"))
        heights.append(int(bar.all(1).sum()))
        if 0 < confidence < 1:
            assert bar[-1].all()
            assert not bar[0].any()
    assert heights[0] == 0
    assert heights[3] == 96
    assert abs(heights[1] - 25) <= 3
    assert abs(heights[2] - 73) <= 3


def test_search_region_is_dashed_and_far_boxes_are_harmless() -> None:
    out = draw_target(grey(), None, "lost", 0.1, region=(40, 60, 160, 120))
    edge = np.abs(out[80:160, 40].astype(int) - 90).max(1) > 20
    assert 20 < edge.sum() < 70
    wide = draw_target(grey(), (-1e7, -1e7, 2e7, 2e7), "tracking", 1.0, region=(1e9, 0, 5, 5))
    assert wide.shape == (240, 320, 3)
    assert np.array_equal(draw_box(grey(), (float("nan"), 0, 5, 5), (255, 255, 255)), grey())


def test_heatmap_overlay_colours_the_peak_and_leaves_the_rest() -> None:
    heat = np.zeros((48, 64), np.float32)
    heat[12, 50] = 1.0
    out = heatmap_overlay(grey(640, 480), heat, 0.8)
    change = np.abs(out.astype(int) - 90).sum(2)
    row, column = np.unravel_index(int(np.argmax(change)), change.shape)
    assert abs(row + 0.5 - 125) < 6
    assert abs(column + 0.5 - 505) < 6
    assert np.array_equal(out[300:], grey(640, 480)[300:])
    assert np.array_equal(heatmap_overlay(grey(640, 480), heat, 0.0), grey(640, 480))


def test_heatmap_mono_keeps_its_range() -> None:
    heat = np.array([[-1.0, 0.0, 0.5], [1.0, 7.0, np.nan]])
    assert heatmap_mono(heat).tolist() == [[0, 0, 128], [255, 255, 0]]


def test_contact_sheet_places_images_row_by_row() -> None:
    images = [grey(80, 60, 50 + 40 * k) for k in range(5)]
    sheet = contact_sheet(images, [f"frame {k}" for k in range(5)], 3)
    assert sheet.shape[1] == 3 * 84 + 4
    centres = [(34, 4 + 40 + 84 * k) for k in range(3)]
    assert [int(sheet[p][0]) for p in centres] == [50, 90, 130]
    below = sheet.shape[0] // 2 + 32
    assert [int(sheet[below, 44][0]), int(sheet[below, 128][0]), int(sheet[below, 212][0])] == [
        170,
        210,
        24,
    ]


def test_video_can_be_read_back(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "track.mp4", 25) as sink:
        for k in range(12):
            frame = grey(160, 120)
            frame[:, :, 0] = 20 * k
            sink.write(frame)
    assert sink.frames == 12
    video = cv2.VideoCapture(str(sink.path))
    reds = []
    while True:
        good, bgr = video.read()
        if not good:
            break
        reds.append(float(bgr[..., 2].mean()))
    assert len(reds) == 12
    assert reds[11] - reds[0] > 180, "red and blue are swapped, or the frames are out of order"


def test_video_falls_back_to_motion_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.VideoWriter

    class NoMpeg4:
        fourcc = staticmethod(real.fourcc)

        def __new__(cls, path: str, fourcc: int, *rest: object) -> object:
            if fourcc == real.fourcc(*"mp4v"):
                return real()  # a writer that could not be opened
            return real(path, fourcc, *rest)

    monkeypatch.setattr(cv2, "VideoWriter", NoMpeg4)
    with VideoSink(tmp_path / "track.mp4", 25) as sink:
        sink.write(grey(160, 120))
    assert sink.path == tmp_path / "track.avi"
    assert cv2.VideoCapture(str(sink.path)).read()[0]


def test_errors_name_the_value(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="missing"):
        VideoSink(tmp_path / "nowhere" / "a.mp4", 30)
    with pytest.raises(ValueError, match="fps=0"):
        VideoSink(tmp_path / "a.mp4", 0)
    with VideoSink(tmp_path / "a.avi", 30) as sink:
        sink.write(grey(160, 120))
        with pytest.raises(ValueError, match="80x60"):
            sink.write(grey(80, 60))
    with pytest.raises(ValueError, match="RGB"):
        draw_target(np.zeros((4, 4), np.uint8), None, "lost", 0.0)
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
    with pytest.raises(ValueError, match="alpha"):
        heatmap_overlay(grey(), np.zeros((2, 2)), 1.5)


def test_mask_is_tinted_inside_and_nowhere_else() -> None:
    image = grey()
    mask = np.zeros((240, 320), bool)
    mask[110:180, 120:250] = True
    box = (120, 110, 130, 70)
    plain = draw_target(image, box, "tracking", float("nan"))
    drawn = draw_target(image, box, "tracking", float("nan"), mask=mask)
    changed = (plain != drawn).any(2)
    assert changed[116:174, 126:244].all()
    assert not changed[~mask].any()
    colour = np.array(state_colour("tracking"))
    assert np.abs(drawn[140, 180] - (image[140, 180] * 0.55 + colour * 0.45)).max() <= 1
    nothing = draw_target(image, None, "lost", float("nan"))
    empty = draw_target(image, None, "lost", float("nan"), mask=np.zeros_like(mask))
    assert np.array_equal(empty, nothing)
    with pytest.raises(ValueError, match="a mask of"):
        draw_target(image, None, "lost", float("nan"), mask=mask[:20])
