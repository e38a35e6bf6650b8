"""What each command does with each kind of media file, as a table.

    python test/media_table.py                   # prints it
    python test/media_table.py docs/media.md     # fills it into the page

A cell is either right (the target is followed through all frames that are there), or it says what
is not: neither is SILENTLY WRONG.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from media_files import BOXES, COUNT, HIGH, WIDE, Clip, Film, films, pictures

from duml_tracker_ros.cli.common import table
from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation.metrics import iou
from duml_tracker_ros.evaluation.sections import fill_sections

WRONG = "SILENTLY WRONG"
TOPIC = "/camera/image/compressed"
TRACKER = "opencv_kcf"
HEADER = ["file", "track", "eval", "bag", "node", "what is said"]


@dataclass(frozen=True)
class Cell:
    """What came of a clip: how many frames were right, the exit status, what was said."""

    right: int
    status: int
    said: str

    def __str__(self) -> str:
        if self.right < COUNT and not self.said:
            return WRONG
        if self.status == 2 or not self.right:
            return "refused"
        return f"{self.right}" if self.right < COUNT else "all"


def run(argv: list[object], scratch: Path) -> tuple[int, str]:
    """Exit status and what was said on standard error, without the places."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(word) for word in argv])
    text = errors.getvalue().replace(f"{scratch}/", "")
    return status, " ".join(text.split())


def turned(boxes: np.ndarray, quarters: int) -> np.ndarray:
    """Boxes in a picture that is turned to the left."""
    x, y, w, h = boxes.T
    sides = (WIDE, HIGH)
    for _ in range(quarters % 4):
        x, y, w, h = y, sides[0] - x - w, h, w
        sides = sides[::-1]
    return np.stack([x, y, w, h], axis=1)


def followed(found: dict[int, list[float]], truth: np.ndarray) -> int:
    """Frames whose box is on the target."""
    return sum(float(iou([box], truth[[i]])[0]) > 0.4 for i, box in found.items())


def track(source: Path, truth: np.ndarray, scratch: Path) -> Cell:
    file = scratch / "track.json"
    file.unlink(missing_ok=True)
    box = ",".join(f"{v:g}" for v in truth[0])
    argv = [
        "track",
        source,
        "--box",
        box,
        "--tracker",
        TRACKER,
        "--threads",
        1,
        "--quiet",
        "--json",
        file,
    ]
    status, said = run(argv, scratch)
    if not file.exists():
        return Cell(0, status, said)
    rows = json.loads(file.read_text())["frames"]
    found = {r["frame"]: [r[k] for k in "xywh"] for r in rows if r["state"] in ("tracking",)}
    return Cell(followed(found, truth), status, said if status or said else "")


def bag(clip: Clip, scratch: Path, number: int) -> Cell:
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer

    from duml_tracker_ros.messages.definitions import TARGET, empty, typestore

    store, kind = typestore(), "sensor_msgs/msg/CompressedImage"
    source, out = scratch / f"bag{number}", scratch / f"results{number}"
    with Writer(source, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, kind, typestore=store)
        for index, data in enumerate(clip.message or ()):
            message = empty(store, kind)
            message.format, message.data = "jpeg", np.frombuffer(data, np.uint8)
            writer.write(connection, index, store.serialize_cdr(message, kind))
    box = ",".join(f"{v:g}" for v in BOXES[0])
    argv = ["bag", source, "--topic", TOPIC, "--box", box, "--out", out]
    status, said = run([*argv, "--tracker", TRACKER, "--threads", 1, "--quiet"], scratch)
    found: dict[int, list[float]] = {}
    if out.exists():
        with Reader(out) as reader:
            for c, time, data in reader.messages():
                if c.msgtype == TARGET:
                    m = store.deserialize_cdr(data, TARGET)
                    if m.state == m.STATE_TRACKING:
                        found[time] = [m.x, m.y, m.width, m.height]
    return Cell(followed(found, BOXES), status, said)


def node(clip: Clip) -> Cell:
    """The node's decoding of the images as messages: the target's patch is where it is."""
    from types import SimpleNamespace

    from media_files import IMAGES

    from duml_tracker_ros.messages.errors import CodecError
    from duml_tracker_ros.messages.image_codec import ImageReader, to_rgb

    reader, right, said = ImageReader(), 0, ""
    for index, data in enumerate(clip.message or ()):
        try:
            view = reader.read_compressed(SimpleNamespace(format="jpeg", data=data), index / 25)
        except CodecError as error:
            said = str(error)
            continue
        rgb, image = to_rgb(view), IMAGES[index]
        if rgb.shape != image.shape:
            said = f"{rgb.shape[1]}x{rgb.shape[0]} pixels: the node drops its target"
            continue
        # Brightness may be stretched; what is bright beside what is dark stays so.
        pair = [np.asarray(i, float).mean(2)[35:95, 25:100].ravel() for i in (rgb, image)]
        right += bool(np.corrcoef(*pair)[0, 1] > 0.9)
    return Cell(right, 0, said)


def rows(scratch: Path) -> list[tuple[str, list[Cell | None], str]]:
    """Name, the cells of track, eval, bag and node (None: it takes no such file), words."""
    clips, found = pictures(), []
    for number, clip in enumerate(clips):
        clip.write(scratch / "clips" / f"c{number}")
    file = scratch / "eval.json"
    argv = [
        "eval",
        "--root",
        scratch / "clips",
        "--tracker",
        TRACKER,
        "--threads",
        1,
        "--quiet",
        "--json",
        file,
    ]
    _, said = run([*argv, "--out", scratch / "runs"], scratch)
    document = json.loads(file.read_text())
    for number, clip in enumerate(clips):
        name = f"c{number}"
        score = document["sequences"].get(name)
        words = re.findall(rf"(?:not scored: )?\b{name}: .*?(?=(?: not scored:)? c\d+: |$)", said)
        good = score is not None and score["frames"] == COUNT and score["lost_frames"] == 0
        evaluated = Cell(
            COUNT if good else 0,
            0 if good else 2,
            document["problems"].get(name) or " ".join(words),
        )
        cells = [track(scratch / "clips" / name, BOXES, scratch), evaluated, None, None]
        if clip.message is not None:
            cells[2:] = [bag(clip, scratch, number), node(clip)]
        found.append((clip.name, cells, shortened(cells[0])))
    for number, film in enumerate(films()):
        path = film.write(scratch / f"film{number}")
        if path is not None:
            cell = track(path, truth_of(film), scratch)
            found.append((film.name, [cell, None, None, None], shortened(cell)))
    return found


def truth_of(film: Film) -> np.ndarray:
    quarters = {"90": 3, "180": 2, "270": 1}
    found = re.search(r"turned by (\d+)", film.name)
    boxes = turned(BOXES, quarters[found[1]] if found else 0)
    if "mirrored" not in film.name:
        return boxes
    x, y, w, h = boxes.T
    mirrored = (y, x, h, w) if "turned" in film.name else (WIDE - x - w, y, w, h)
    return np.stack(mirrored, axis=1)


def shortened(cell: Cell | None) -> str:
    """What `track` says, in one phrase."""
    said = cell.said if cell is not None else ""
    said = re.sub(r"^duml-tracker track: error: ", "", said)
    said = re.sub(
        r"\b(c\d+/img|c\d+|film\d*\.\w+|img|clips/\S+?/img|film\d+/film\.\w+):? ", "", said
    )
    said = re.sub(r"image \S+/", "", said)
    return said.replace("|", "/").strip()[:160]


def as_markdown(found: list[tuple[str, list[Cell | None], str]]) -> str:
    lines = [[name, *(str(c) if c else "" for c in cells), said] for name, cells, said in found]
    return table(HEADER, lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        text = as_markdown(rows(Path(folder)))
    if len(sys.argv) > 1:
        fill_sections(Path(sys.argv[1]), {"media": text})
    else:
        print(text)
