"""Makes docs/images/tracking.webp: the tracker on the generated scene, under a tree and a bridge.

    .venv/bin/python tools/moving_picture.py

Needs Pillow, which matplotlib brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.viz import draw_target

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "tracking.webp"
WIDTH, HEIGHT, FRAMES = 400, 300, 200
# Every second one, at 12.5 a second.
STEP, MILLISECONDS = 2, 80


def main() -> None:
    """Track, draw and write the picture."""
    scene, tracker = AerialScene(7, WIDTH, HEIGHT, FRAMES), create_tracker("duml", device="cpu")
    first = scene.render(0)
    assert first.box is not None
    tracker.init(first.image, first.box)
    drawn = [Image.fromarray(draw_target(first.image, first.box, "TRACKING", 1.0))]
    for index in range(1, FRAMES):
        image = scene.render(index).image
        result = tracker.update(image)
        if index % STEP == 0:
            state = result.state.name
            seen = result.box if state != "LOST" else None
            region = result.search_region
            picture = draw_target(image, seen, state, result.confidence, region=region)
            drawn.append(Image.fromarray(picture))
    options: dict[str, Any] = {"duration": MILLISECONDS, "loop": 0, "quality": 40, "method": 4}
    drawn[0].save(TARGET, save_all=True, append_images=drawn[1:], **options)
    print(f"{TARGET}: {len(drawn)} frames, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
