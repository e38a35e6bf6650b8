"""A camera as a process: the harness's scene with a moving target and others, at any size and rate.

python flood.py NAMESPACE WIDTH HEIGHT RATE SECONDS [nv12]        nv12: reliably, too
python flood.py NAMESPACE SECONDS                                 counts them instead, reliably
"""

import array
import sys
import time

import numpy as np
import rclpy
from camera_formats import nv12
from node_harness import scene
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from duml_tracker_ros.messages.image_codec import write_image

POSITIONS = 24
# Further targets, (x, y) of their corners; they stand still and are told apart by their colours.
OTHERS = [(60 + 110 * index, 90) for index in range(5)]


def picture(width, height, x):
    """The scene with its target at x, and the others."""
    image = scene(width, height, x=x)
    for index, (left, top) in enumerate(OTHERS):
        colours = np.random.default_rng(index).integers(0, 255, (2, 3))
        image[top : top + 30, left : left + 40] = colours[0]
        image[top + 6 : top + 24, left + 4 + 5 * index : left + 14 + 5 * index] = colours[1]
    return image


def nv12_message(image):
    rows = nv12(image)
    height, width = image.shape[:2]
    message = Image(encoding="nv12", width=width, height=height, step=rows.shape[1])
    message.header.frame_id = "camera"
    message.data = array.array("B", rows.tobytes())
    return message


def count_images(namespace, seconds):
    """Print how many images a second came, from the first one on: it does nothing with them."""
    rclpy.init()
    node = rclpy.create_node("bare", namespace=namespace)
    came = []
    node.create_subscription(
        Image, "image", lambda message: came.append(time.monotonic()), QoSProfile(depth=1)
    )
    while not came or time.monotonic() - came[0] < seconds:
        rclpy.spin_once(node)
    print(f"{(len(came) - 1) / (came[-1] - came[0]):.2f}", flush=True)
    node.destroy_node()
    rclpy.shutdown()


def main():
    if len(sys.argv) == 3:
        count_images(sys.argv[1], float(sys.argv[2]))
        return
    namespace, width, height, rate, seconds, *encoding = sys.argv[1:]
    width, height, rate = int(width), int(height), float(rate)
    rclpy.init()
    node = rclpy.create_node("flood", namespace=namespace)
    qos = QoSProfile(depth=5) if encoding else qos_profile_sensor_data
    publisher = node.create_publisher(Image, "image", qos)
    # There and back, so that the target can be followed for ever.
    steps = [*range(POSITIONS), *range(POSITIONS, 0, -1)]
    if width * height > 4_000_000:
        # All of them would take more than a GB; a larger image is looked at for other reasons.
        steps = steps[:4] + steps[4:0:-1]
    pictures = (picture(width, height, 300 + step) for step in steps)
    messages = [
        nv12_message(image) if encoding else write_image(image, "bgr8", Header(frame_id="camera"))
        for image in pictures
    ]
    while publisher.get_subscription_count() == 0:
        time.sleep(0.01)
    began = due = time.monotonic()
    end, count = began + float(seconds), 0
    while due < end:
        # The scene moves at the same speed whatever the rate is.
        message = messages[int((due - began) * 30) % len(messages)]
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        count += 1
        due = max(due + 1 / rate, time.monotonic() - 1 / rate)
        time.sleep(max(0.0, due - time.monotonic()))
    print(f"{count / (time.monotonic() - began):.1f}", flush=True)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
