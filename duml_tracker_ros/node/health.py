"""What diagnostics tell of the node, and what of it goes to the log as well."""

from __future__ import annotations

import time

from . import diagnostics
from .phases import Active, Configured, Host
from .statistics import Statistics


class Health:
    """Gathers the report of each period; each new problem goes to the log once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._silence = ""
        self._namesakes = ""
        self._short_of_ring = False

    def begin(self) -> None:
        """Start waiting for images anew; call it on activate."""
        self._silence = ""

    def report(
        self,
        lifecycle: str,
        statistics: Statistics,
        configured: Configured | None,
        active: Active | None,
        last_error: str,
    ) -> diagnostics.Report:
        """All but what the selector knows."""
        silence = self._check_silence(active) if active is not None else ""
        report = diagnostics.Report(lifecycle=lifecycle, statistics=statistics, silence=silence)
        report.last_error = last_error
        report.rejected = statistics.rejected
        if configured is not None:
            worker = configured.worker
            report.targets = {i: state.value for i, state in worker.registry.states().items()}
            report.resting = worker.registry.resting.value
            report.max_targets = worker.registry.limit
            report.dropped = worker.dropped
            report.info = worker.info
            report.last_error = worker.last_error or last_error
            report.guidance = configured.guidance.describe()
        if active is not None:
            self._add_images(report, active)
        report.namesakes = self._check_namesakes()
        return report

    def _add_images(self, report: diagnostics.Report, active: Active) -> None:
        stream, ring = active.stream, active.ring
        report.topic, report.stream = stream.topic, stream.description
        report.publishers = stream.publishers()
        report.incompatible_qos = stream.incompatible
        report.refusal, report.rivals = stream.refusal(), stream.rivals()
        report.ring_frames, report.ring_bytes = len(ring), ring.nbytes
        report.ring_seconds, report.ring_shortage = ring.seconds, ring.shortage()
        if report.ring_shortage and not self._short_of_ring:
            self._host.ros.get_logger().warning(f"old images: {report.ring_shortage}")
        self._short_of_ring = bool(report.ring_shortage)
        if active.attitude is not None:
            report.guidance["imu"] = active.attitude.problem or self._host.settings.imu

    def _check_namesakes(self) -> str:
        """What is wrong if other nodes have this one's name; each new time goes to the log."""
        node = self._host.ros
        own = node.get_name(), node.get_namespace()
        count = node.get_node_names_and_namespaces().count(own)
        if count < 2:
            self._namesakes = ""
            return ""
        reason = (
            f"{count} nodes are named {node.get_fully_qualified_name()}, and each answers: end "
            "one, or give it another name (-r __node:=NAME) or namespace (-r __ns:=/NAME). One "
            "that was killed counts for some 20 s more"
        )
        if reason != self._namesakes:
            node.get_logger().error(reason)
        self._namesakes = reason
        return reason

    def _check_silence(self, active: Active) -> str:
        """Reason why no images come, empty while they do; each new one goes to the log."""
        newest = active.ring.newest()
        since = newest.arrival if newest is not None else active.since
        log = self._host.ros.get_logger()
        if time.monotonic() - since <= max(1.0, self._host.settings.max_image_age):
            if self._silence:
                log.info(f"images come again on {active.stream.topic}")
            self._silence = ""
            return ""
        reason = active.stream.silence()
        if reason != self._silence:
            log.warning(reason)
        self._silence = reason
        return reason
