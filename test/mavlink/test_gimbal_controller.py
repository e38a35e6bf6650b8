"""The example controller as a process: which of several targets it looks at, and when it holds."""

import itertools
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Vector3Stamped
from node_harness import NAMESPACE, NodeProcess, Talker
from std_msgs.msg import Bool

from duml_tracker_ros.msg import Bearing, Target

NUMBERS = itertools.count()
SCRIPT = str(Path(__file__).parents[2] / "examples" / "gimbal_controller.py")
ON_END = 8
ERRORS = {1: 0.1, 2: -0.1, 3: 0.05}


class Loop:
    """Stands in for the tracker: says of each image which targets it follows."""

    def __init__(self, talker):
        self.talker, node = talker, talker.node
        self.targets = node.create_publisher(Target, f"{talker.name}/target", 10)
        self.bearings = node.create_publisher(Bearing, f"{talker.name}/bearing", 10)
        self.rates, self.holds = [], []
        node.create_subscription(
            Vector3Stamped, "gimbal/rate", lambda m: self.rates.append(m.vector.y), 50
        )
        node.create_subscription(Bool, "vehicle/hold", lambda m: self.holds.append(m.data), 50)

    def image(self, followed, ended=()):
        header = self.talker.image().header
        for target_id in ended:
            self.targets.publish(Target(header=header, target_id=target_id, targets=len(followed)))
        for target_id in followed:
            message = Target(header=header, target_id=target_id, targets=len(followed))
            message.state = Target.STATE_TRACKING
            self.targets.publish(message)
            bearing = Bearing(header=header, target_id=target_id, error_x=ERRORS[target_id])
            self.bearings.publish(bearing)
        if not followed and not ended:
            self.targets.publish(Target(header=header))

    def show(self, followed, rate, hold):
        """Show such images until the controller says this, and this alone, for some on end."""
        self.talker.spin_for(0.3, lambda: self.image(followed))
        self.rates.clear()
        self.holds.clear()
        self.talker.spin_until(
            lambda: (
                [round(told, 2) for told in self.rates[-ON_END:]] == [rate] * ON_END
                and self.holds[-ON_END:] == [hold] * ON_END
            ),
            f"{rate} rad/s, hold {hold}, with {followed}",
            meanwhile=lambda: self.image(followed),
        )


@pytest.fixture
def loop():
    # What DDS still believes of the last test's process is of another name.
    own = f"{NAMESPACE}_gimbal_{next(NUMBERS)}"
    with NodeProcess(program=(SCRIPT,), namespace=own, kd=0.0, kp=3.0) as process:
        talker = Talker(own)
        loop = Loop(talker)
        for publisher in (loop.targets, loop.bearings):
            talker.spin_until(
                lambda it=publisher: it.get_subscription_count() or not process.running(),
                "the controller",
            )
        assert process.running(), process.log()
        talker.spin_until(lambda: loop.holds, "the hold before any target")
        assert all(loop.holds)
        yield loop
        talker.close()
        assert process.end() == 0, process.log()


def test_another_target_neither_distracts_nor_takes_over(loop):
    loop.show([1], 0.3, hold=False)
    loop.show([1, 2], 0.3, hold=False)
    loop.image([2], ended=[1])
    loop.show([2], 0.0, hold=True)
    # A new selection is meant.
    loop.show([2, 3], 0.15, hold=False)


def test_selection_in_place_of_the_only_target_is_followed(loop):
    loop.show([1], 0.3, hold=False)
    loop.show([2], -0.3, hold=False)
    loop.show([], 0.0, hold=True)
