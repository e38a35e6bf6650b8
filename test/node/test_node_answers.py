"""Answers of a service go out no faster than a client's queue of ten is emptied."""

import itertools
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from lifecycle_msgs.srv import GetState
from node_harness import NAMESPACE, shared_context
from rclpy.executors import SingleThreadedExecutor

from duml_tracker_ros.node import answers as answering
from duml_tracker_ros.node.answers import PORTION, Answers


def test_answers_to_a_burst_go_out_in_portions_and_in_order(monkeypatch):
    # All of it comes at one moment, however busy the machine is.
    monkeypatch.setattr(answering, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    context = shared_context()
    node = rclpy.create_node("answering", context=context, namespace=NAMESPACE)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    service = node.create_service(GetState, "~/ask", lambda request, response: response)
    sent = []
    service.send_response = lambda response, header: sent.append(response)
    answers = Answers(node, service)
    for number in range(30):
        service.send_response(number, None)
    assert sent == list(range(PORTION))
    counts = [len(sent)]
    while len(sent) < 30:
        executor.spin_once(timeout_sec=1.0)
        counts.append(len(sent))
    assert sent == list(range(30))
    assert max(b - a for a, b in itertools.pairwise(counts)) <= PORTION
    assert answers._timer.is_canceled()
    executor.shutdown()
    node.destroy_node()
