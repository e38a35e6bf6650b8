"""The state of the node as diagnostic_msgs, in words a person can act on."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .statistics import Statistics
from .stream import LARGE_IMAGE_HINT

# Stamps of a real camera jitter; only a large share of missing images is beyond doubt.
MISSING_LIMIT = 0.4
# Without an answered image for so long, in seconds, it is not some of them that are refused.
ALL_REFUSED = 1.0


@dataclass
class Report:
    """What the node knows of itself at one moment."""

    lifecycle: str
    targets: dict[int, str] = field(default_factory=dict)
    resting: str = ""
    max_targets: int = 0
    topic: str = ""
    stream: str = ""
    publishers: list[str] = field(default_factory=list)
    silence: str = ""
    incompatible_qos: int = 0
    refusal: str = ""
    rivals: str = ""
    namesakes: str = ""
    dropped: int = 0
    rejected: int = 0
    ring_frames: int = 0
    ring_bytes: int = 0
    ring_seconds: float = 0.0
    ring_shortage: str = ""
    selection: str = ""
    guidance: dict[str, str] = field(default_factory=dict)
    last_error: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)


def judge(report: Report) -> tuple[bytes, str]:
    """Level and summary of a report."""
    if report.namesakes:
        return DiagnosticStatus.WARN, report.namesakes
    if report.lifecycle != "active":
        level = DiagnosticStatus.WARN if report.last_error else DiagnosticStatus.OK
        if report.lifecycle == "finalized":
            return level, "finalized: shut down for good; end the process and start it again"
        return level, report.last_error or f"{report.lifecycle}: waiting for a lifecycle transition"
    if not report.targets and report.resting == "error":
        return DiagnosticStatus.ERROR, f"target dropped: {report.last_error}"
    if report.silence:
        return DiagnosticStatus.ERROR, report.silence
    if report.refusal:
        if report.statistics.latency.age() > ALL_REFUSED:
            return DiagnosticStatus.ERROR, (
                f"images come on {report.topic}, but none that can be used: {report.refusal}"
            )
        return DiagnosticStatus.WARN, f"some images are refused: {report.refusal}"
    if report.rivals:
        return DiagnosticStatus.WARN, report.rivals
    missing = report.statistics.missing_share()
    if missing > MISSING_LIMIT:
        return DiagnosticStatus.WARN, (
            f"about {100 * missing:.0f} % of the images seem to be lost on the way: "
            f"{LARGE_IMAGE_HINT}"
        )
    if not report.targets:
        return DiagnosticStatus.OK, "waiting for a target: call ~/init"
    lost = "lost" in report.targets.values()
    words = {"lost": "lost, searching"}
    summary = ", ".join(f"target {i} {words.get(s, s)}" for i, s in report.targets.items())
    return DiagnosticStatus.WARN if lost else DiagnosticStatus.OK, summary


def memory_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _device_memory(device: str) -> dict[str, str]:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return {}
    return {"device memory [MiB]": f"{torch.cuda.memory_allocated(device) / 2**20:.0f}"}


def _ring(report: Report) -> str:
    held = f"{report.ring_frames} frames, {report.ring_seconds:.1f} s"
    text = f"{held}, {report.ring_bytes / 2**20:.1f} MiB"
    return f"{text}: {report.ring_shortage}" if report.ring_shortage else text


def values(report: Report) -> dict[str, str]:
    """Key and value texts of a report."""
    statistics = report.statistics
    age = statistics.images.age()
    out = {
        "lifecycle": report.lifecycle,
        "target state": ", ".join(report.targets.values()) or report.resting,
        "target id": ", ".join(map(str, report.targets)) or "0",
        "targets": f"{len(report.targets)} of {report.max_targets}",
        "image topic": report.topic,
        "image": report.stream,
        "publishers": "; ".join(report.publishers),
        "incompatible publishers": str(report.incompatible_qos),
        "input rate [Hz]": f"{statistics.images.rate():.1f}",
        "output rate [Hz]": f"{statistics.latency.rate():.1f}",
        "images received": str(statistics.images.total),
        "images dropped": str(report.dropped),
        "images refused": str(report.rejected),
        "images missing [%]": f"{100 * statistics.missing_share():.0f}",
        "image age [s]": "" if math.isinf(age) else f"{age:.3f}",
        "last selection": report.selection,
        **report.guidance,
        "ring": _ring(report),
    }
    timings = {"latency": (statistics.latency, 1e3), "processing": (statistics.processing, 1e3)}
    timings.update({name: (window, 1.0) for name, window in statistics.stages.items()})
    for name, (window, scale) in timings.items():
        for percent in (50, 95):
            key = f"{name} p{percent} [ms]"
            out[key] = _milliseconds(window.percentile(percent) * scale)
    for key in ("name", "size", "device", "parameters", "weights", "sha256"):
        if key in report.info:
            out[f"tracker {key}"] = str(report.info[key])
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"):
        out[name] = os.environ.get(name, "not set")
    out["memory [MiB]"] = f"{memory_bytes() / 2**20:.0f}"
    out.update(_device_memory(str(report.info.get("device", ""))))
    out["last error"] = report.last_error
    return out


def message(report: Report, name: str, stamp: Any) -> DiagnosticArray:
    """DiagnosticArray with the one status of the node."""
    level, summary = judge(report)
    status = DiagnosticStatus(level=level, name=name, message=summary, hardware_id="")
    status.values = [KeyValue(key=key, value=value) for key, value in values(report).items()]
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
