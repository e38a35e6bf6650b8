"""The services of lifecycle_msgs, as rclpy makes them but with room for bursts.

rclpy's own keep ten requests: more that come while a tracker is loaded, which takes seconds, would
never be answered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from .answers import SERVICE_QOS
from .texts import cut


class LifecycleServices:
    """Serves `~/change_state`, `~/get_state` and the others.

    Args:
        node: made with ``enable_communication_interface=False``, which leaves `~/transition_event`.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._machine = machine = node._state_machine
        asked: list[tuple[Any, str, str, Callable[[], Any]]] = [
            (GetState, "get_state", "current_state", lambda: _state(machine.current_state)),
            (
                GetAvailableStates,
                "get_available_states",
                "available_states",
                lambda: [_state(state) for state in machine.available_states],
            ),
            (
                GetAvailableTransitions,
                "get_available_transitions",
                "available_transitions",
                lambda: _transitions(machine.available_transitions),
            ),
            (
                GetAvailableTransitions,
                "get_transition_graph",
                "available_transitions",
                lambda: _transitions(machine.transition_graph),
            ),
        ]
        for kind, name, field, tell in asked:
            serve = partial(_tell, field, tell)
            node.create_service(kind, f"~/{name}", serve, qos_profile=SERVICE_QOS)
        node.create_service(
            ChangeState, "~/change_state", self._on_change_state, qos_profile=SERVICE_QOS
        )
        self._triggers = {
            Transition.TRANSITION_CONFIGURE: node.trigger_configure,
            Transition.TRANSITION_CLEANUP: node.trigger_cleanup,
            Transition.TRANSITION_ACTIVATE: node.trigger_activate,
            Transition.TRANSITION_DEACTIVATE: node.trigger_deactivate,
            Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: node.trigger_shutdown,
            Transition.TRANSITION_INACTIVE_SHUTDOWN: node.trigger_shutdown,
            Transition.TRANSITION_ACTIVE_SHUTDOWN: node.trigger_shutdown,
        }

    def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        asked = request.transition
        possible = {label: number for number, label, *_ in self._machine.available_transitions}
        number = possible.get(asked.label) if asked.label else asked.id
        if number not in possible.values() or number not in self._triggers:
            self._node.get_logger().warning(
                f"no transition {cut(asked.label) or asked.id} from "
                f"{self._machine.current_state[1]}: possible are {', '.join(possible) or 'none'}"
            )
            return response
        response.success = self._triggers[number]() == TransitionCallbackReturn.SUCCESS
        return response


def _tell(field: str, tell: Callable[[], Any], request: Any, response: Any) -> Any:
    """Answer a request that asks for one thing."""
    setattr(response, field, tell())
    return response


def _state(state: tuple[int, str]) -> State:
    return State(id=state[0], label=state[1])


def _transitions(descriptions: Any) -> list[TransitionDescription]:
    return [
        TransitionDescription(
            transition=Transition(id=number, label=label),
            start_state=_state((start, start_label)),
            goal_state=_state((goal, goal_label)),
        )
        for number, label, start, start_label, goal, goal_label in descriptions
    ]
