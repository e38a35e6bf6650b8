"""A camera on a gimbal, as a ROS node: a window of the generated scene that a rate command moves.

The scene is rendered once, larger than the view. Angular rates on `gimbal/rate` turn the view,
`gimbal/angles` tells where it looks at the moment of each image. Vectors are rotations about the
axes of the optical frame (x right, y down, z forward): positive y turns right, positive x up.
While the parameter `hold` is true the first frame is shown again and again. With `--mavlink` a rate
comes over MAVLink instead, see `mavlink_gimbal`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import PORT, Parser, Whole
from ..messages.image_codec import write_image
from ..node.ending import interrupted_by_signals
from ..outputs import write_text
from ..scene import AerialScene, SceneSettings
from .footage import RATE
from .mavlink_gimbal import MavlinkGimbal

FRAME_ID = "gimbal_camera"
SCENE = (800, 600)
VIEW = (480, 360)
# A gimbal turns on for no longer than this without a command, seconds.
COMMAND_TIMEOUT = 0.3
MAX_RATE = 0.8  # rad/s
MANAGER_PERIOD = 0.005  # seconds
RESPONSE = 0.06  # seconds, time constant of the motors


class Gimbal:
    """First-order motors under a rate command, with limits; angles in radians.

    Args:
        reach: largest angles (about x, about y) from the middle of the scene.
    """

    def __init__(self, reach: np.ndarray) -> None:
        self._reach = reach
        self.angles = np.zeros(2)
        self.rates = np.zeros(2)
        self._wanted = np.zeros(2)
        self._commanded = -np.inf

    def command(self, about_x: float, about_y: float, now: float) -> None:
        """Take a rate command, rad/s; anything but finite numbers means stop."""
        wanted = np.array([about_x, about_y])
        if not np.isfinite(wanted).all():
            wanted = np.zeros(2)
        self._wanted = np.clip(wanted, -MAX_RATE, MAX_RATE)
        self._commanded = now

    def move(self, seconds: float, now: float) -> None:
        """Turn on for some time."""
        wanted = self._wanted if now - self._commanded <= COMMAND_TIMEOUT else np.zeros(2)
        self.rates = wanted + (self.rates - wanted) * np.exp(-seconds / RESPONSE)
        self.angles = np.clip(self.angles + self.rates * seconds, -self._reach, self._reach)


class SteeredCamera:
    """Publishes `image`, `camera_info` and `gimbal/angles`; keeps the truth of every image.

    Args:
        step: frames of the scene from image to image; with 2 all in it is twice as fast.
        manager: what else turns the gimbal, served between the images.
    """

    def __init__(
        self, scene: AerialScene, rate: float, step: int = 1, manager: MavlinkGimbal | None = None
    ) -> None:
        from geometry_msgs.msg import Vector3Stamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import CameraInfo, Image
        from std_msgs.msg import Bool

        self._angles_type: Any = Vector3Stamped
        self.rate = rate
        self._manager = manager
        self.log: list[dict[str, Any]] = []
        self._frames = [scene.render(index) for index in range(0, scene.frames, step)]
        self._focal = 1.7 * max(SCENE)
        half = (np.array(SCENE) - VIEW) / 2
        self.gimbal = Gimbal(np.arctan(half / self._focal)[::-1])
        self._hold = False
        self.node = Node("camera")
        self.node.declare_parameter("hold", True)
        self._images = self.node.create_publisher(Image, "image", 2)
        self._infos = self.node.create_publisher(CameraInfo, "camera_info", 2)
        self._angles = self.node.create_publisher(Vector3Stamped, "gimbal/angles", 10)
        self.node.create_subscription(Vector3Stamped, "gimbal/rate", self._on_rate, 1)
        self.node.create_subscription(Bool, "vehicle/hold", self._on_hold, 10)
        self._info = CameraInfo(width=VIEW[0], height=VIEW[1], distortion_model="plumb_bob")
        # Calibrations count from pixel centres: the middle of 480 pixels is at 239.5.
        cx, cy = (VIEW[0] - 1) / 2, (VIEW[1] - 1) / 2
        self._info.k = [self._focal, 0.0, cx, 0.0, self._focal, cy, 0.0, 0.0, 1.0]
        self._info.p = [self._focal, 0.0, cx, 0.0, 0.0, self._focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        self._info.d = [0.0] * 5
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def run(self) -> None:
        """Show the first frame until told to go on, then all the others once."""
        say = self.node.get_logger().info
        say("ready; showing the first image until the parameter hold is false")
        due, index = time.monotonic(), 0
        while index < len(self._frames):
            self._show(index)
            due = self._wait(due + 1 / self.rate)
            self.gimbal.move(1 / self.rate, time.monotonic())
            if not self.node.get_parameter("hold").value:
                index += 1
        say(f"done: {len(self.log)} images")

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def _show(self, index: int) -> None:
        frame = self._frames[index]
        pitch, yaw = self.gimbal.angles
        shift = self._focal * np.tan([yaw, -pitch])
        left, top = np.rint((np.array(SCENE) - VIEW) / 2 + shift).astype(int)
        pixels = frame.image[top : top + VIEW[1], left : left + VIEW[0]]
        stamp = self.node.get_clock().now()
        from std_msgs.msg import Header

        header = Header(stamp=stamp.to_msg(), frame_id=FRAME_ID)
        message = write_image(pixels, "rgb8", header)
        self._info.header = message.header
        angles = self._angles_type(header=message.header)
        angles.vector.x, angles.vector.y = float(pitch), float(yaw)
        self._angles.publish(angles)
        self._infos.publish(self._info)
        self._images.publish(message)
        box = frame.box
        self.log.append(
            {
                "index": index,
                "stamp": stamp.nanoseconds,
                "box": [box[0] - left, box[1] - top, box[2], box[3]] if box else None,
                "window": [int(left), int(top)],
                "visibility": frame.visibility,
                "hold": self._hold,
            }
        )

    def _on_rate(self, message: Any) -> None:
        self.gimbal.command(message.vector.x, message.vector.y, time.monotonic())

    def _on_hold(self, message: Any) -> None:
        self._hold = bool(message.data)

    def _wait(self, due: float) -> float:
        """Serve the node until `due`; the time the next period counts from."""
        due = max(due, time.monotonic())
        while (left := due - time.monotonic()) > 0:
            if self._manager is None:
                self._executor.spin_once(timeout_sec=left)
                continue
            self._manager.serve(self.gimbal, time.monotonic())
            self._executor.spin_once(timeout_sec=min(left, MANAGER_PERIOD))
        return due


def scene(seed: int, frames: int) -> AerialScene:
    """The scene of the closed loop: the target strays far, and a bridge hides it once."""
    settings = SceneSettings(
        target_size=40.0, speed=4.0, drift=0.13, shake=0.4, look_alikes=(), trees=(),
        bridges=(0.55,), hidden_frames=4.0,
    )  # fmt: skip
    return AerialScene(seed, *SCENE, frames, settings)


def build_parser() -> Parser:
    """The options of this process."""
    parser = Parser(prog="python -m duml_tracker_ros.demo.steered_camera")
    parser.add_argument("--frames", type=Whole(2), default=400, help="length of the scene (400)")
    parser.add_argument("--rate", type=RATE, default=20.0, help="images per second (20)")
    parser.add_argument(
        "--step", type=Whole(1), default=1, help="frames of the scene from image to image (1)"
    )
    parser.add_argument("--seed", type=Whole(0), default=2, help="seed of the scene (2)")
    parser.add_argument("--log", type=Path, required=True, help="JSON file for the truth")
    parser.add_argument(
        "--mavlink", type=PORT, metavar="PORT", help="take rates over MAVLink from the bridge there"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the camera until its scene is over."""
    options = build_parser().parse_args(arguments)
    manager = MavlinkGimbal(options.mavlink) if options.mavlink else None
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    camera = None
    try:
        with interrupted_by_signals():
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            made = scene(options.seed, options.frames)
            camera = SteeredCamera(made, options.rate, options.step, manager)
            camera.run()
            # The file appears whole: its presence tells that the scene is over.
            write_text(options.log, json.dumps(camera.log))
    except KeyboardInterrupt:
        return 130
    finally:
        if camera is not None:
            camera.close()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
