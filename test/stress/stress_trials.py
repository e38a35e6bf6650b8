"""Trials of the node under load and abuse: real processes over DDS, each as long as it is told.

Each trial returns its findings; `test_node_stress.py` runs them short, `stress.py` long.
"""

from __future__ import annotations

import array
import itertools
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flood import OTHERS
from node_harness import DOMAIN, SEEN, TARGET, NodeProcess, Talker, scene, stamp_of

TRACKED = "default"  # weights of the trials that measure the tracker, too


@dataclass(frozen=True)
class Finding:
    """One measured figure and what it must be."""

    trial: str
    what: str
    value: str
    limit: str
    ok: bool


def at_most(trial, what, value, limit, unit):
    return Finding(trial, what, f"{value:.3g} {unit}", f"<= {limit:g} {unit}", value <= limit)


def at_least(trial, what, value, limit, unit=""):
    return Finding(
        trial, what, f"{value:.3g} {unit}".strip(), f">= {limit:g} {unit}".strip(), value >= limit
    )


def counted(trial, what, value, wanted):
    return Finding(trial, what, str(value), str(wanted), value == wanted)


def resident(pid):
    """Resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(samples):
    """Growth in MiB from the second quarter of the samples to the last, and the same in percent.

    The first quarter is left out: buffers and the allocator's pools fill up there.
    """
    quarter = max(1, len(samples) // 4)
    early, late = np.median(samples[quarter : 2 * quarter]), np.median(samples[-quarter:])
    return late - early, 100.0 * (late - early) / early


def own_namespace(name):
    """Namespace of a trial: runs on one machine, and trials of a run, must not hear each other."""
    return f"/stress_{os.getpid()}_{name}"


class Bench:
    """A node process in a namespace of its own, and somebody who talks to it."""

    def __init__(self, name, *ros_arguments, **parameters):
        self.namespace = own_namespace(name)
        parameters = {
            "device": "cpu",
            "diagnostics_period": 0.2,
            "num_threads": 0,
            "weights": TRACKED,
            "namespace": self.namespace,
            **parameters,
        }
        self.process = NodeProcess(*ros_arguments, **parameters)
        self.talker = Talker(self.namespace)

    def __enter__(self):
        self.process.__enter__()
        self.process.wait_for_log("unconfigured; waiting")
        return self.talker, self.process

    def __exit__(self, *error):
        try:
            if error[0] is None:
                assert self.process.end() == 0, self.process.log()
        finally:
            self.talker.close()
            self.process.__exit__(*error)


def wander(talker, count, rng, after=lambda label: None):
    """Make so many random lifecycle transitions, ask for others and for targets in between.

    Returns how many transitions were asked for, how many answers were wrong, and the targets' ids.
    """
    table = {
        "unconfigured": {"configure": "inactive"},
        "inactive": {"activate": "active", "cleanup": "unconfigured"},
        "active": {"deactivate": "inactive"},
    }
    labels = ["configure", "activate", "activate", "deactivate", "cleanup"]
    wrong, ids, asked, made = 0, [], 0, 0
    state = "unconfigured"
    while made < count:
        asked += 1
        label = rng.choice(labels)
        goal = table[state].get(label)
        done = talker.change(label, meanwhile=talker.publish)
        wrong += done is not (goal is not None)
        made += done
        state = goal or state
        wrong += talker.state() != state
        answer = talker.init(TARGET, meanwhile=talker.publish)
        wrong += not answer.message
        wrong += state != "active" and state not in answer.message
        if answer.success:
            ids.append(answer.target_id)
        if done:
            after(label)
    talker.bring_to("active")
    talker.fresh_target()
    wrong += not talker.init(TARGET, meanwhile=talker.publish).success
    return asked, wrong, ids


def transitions(count, seed=3):
    """Random lifecycle transitions, legal ones and others, with selections in between."""
    samples = []
    with Bench("transitions", weights="random", overrides=SEEN, num_threads=1) as (talker, process):

        def weigh(label):
            # What a configured node holds is another matter.
            if label == "cleanup":
                samples.append(resident(process.pid))

        asked, wrong, ids = wander(talker, count, random.Random(seed), weigh)
    name = f"{count} lifecycle transitions"
    found = [
        at_least(name, "requests, most of them not allowed", asked, count),
        counted(name, "answers or states that were wrong", wrong, 0),
        counted(name, "target ids used twice", len(ids) - len(set(ids)), 0),
        at_least(name, "selections made", len(ids), count / 20),
    ]
    if len(samples) >= 8:
        # Each configure has a heap of its own: what is left of it varies by a few per cent.
        found.append(at_most(name, "memory growth", growth(samples)[1], 5.0, "%"))
    return found


def flood(*arguments):
    """A process of flood.py."""
    return subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("flood.py")), *map(str, arguments)],
        env=dict(os.environ, ROS_DOMAIN_ID=str(DOMAIN), PYTHONPATH=_path()),
        stdout=subprocess.PIPE,
        text=True,
    )


class Camera:
    """A process that publishes images in place of the talker; the end of the block ends it."""

    def __init__(self, talker, width, height, rate, seconds, *encoding):
        talker.node.destroy_publisher(talker.images)
        self._seconds = seconds
        self._process = flood(talker.namespace, width, height, rate, seconds, *encoding)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def sent(self):
        """Rate at which it published in the end, Hz."""
        self._process.wait(self._seconds + 20)
        return float(self._process.stdout.read())


def load(width, height, rate, seconds):
    """Images at a high rate while the target is tracked and services are asked."""
    from lifecycle_msgs.srv import GetState
    from rcl_interfaces.srv import GetParameters

    from duml_tracker_ros.srv import Stop

    with Bench(f"load{height}") as (talker, process):
        talker.add_clients(get_parameters=GetParameters)
        talker.bring_to("active")
        with Camera(talker, width, height, rate, seconds + 4) as images:
            talker.spin_until(lambda: talker.targets, "images")
            assert talker.init(TARGET).success
            talker.spin_for(2.0)
            talker.targets.clear()
            requests = [
                ("get_state", GetState.Request()),
                ("get_parameters", GetParameters.Request(names=["size"])),
                # Refused, but only after the tracker's thread has been asked.
                ("stop", Stop.Request(target_id=4_000_000)),
            ]
            services, inits, samples, done = [], [], [], 0
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                name, request = requests[done % len(requests)]
                began = time.monotonic()
                talker.call(name, request)
                services.append((1e3 * (time.monotonic() - began), name))
                done += 1
                if done % 50 == 1:
                    # The same target again, where it is now.
                    last = talker.targets[-1:]
                    box = [(t.x, t.y, t.width, t.height) for t in last if np.isfinite(t.x)]
                    began = time.monotonic()
                    assert talker.init(*(box or [TARGET])).success
                    inits.append(time.monotonic() - began)
                samples.append(resident(process.pid))
                talker.spin_for(0.1)
            # Where others take the processor a short trial may see none.
            talker.spin_until(lambda: talker.targets, "targets under load")
            targets = list(talker.targets)
            values = talker.values()
            sent = images.sent()
    name = f"{width}x{height} at {rate:g} Hz for {seconds:g} s"
    latency = np.array([1e3 * target.latency for target in targets])
    own = np.array([1e3 * target.processing_time for target in targets])
    lost = sum(target.target_id == 0 for target in targets)
    stamps = [stamp_of(target) for target in targets]
    dropped = sum(target.frames_dropped for target in targets)
    limit = np.percentile(own, 95) + 15.0
    waits = [wait for wait, _ in services]
    longest, slowest = max(services)
    # How many images are held at one moment varies: two, but no more than in the soak.
    two = 2 * 3 * width * height / 2**20
    flat = round(min(1.0, 100.0 * two / np.median(samples)), 2)
    return [
        at_least(name, "images sent", sent, 0.9 * rate, "Hz"),
        at_least(name, "targets published", len(targets) / seconds, 5.0, "Hz"),
        Finding(name, "images dropped for newer ones", str(dropped), "counted", dropped >= 0),
        Finding(name, "tracker time p95", f"{np.percentile(own, 95):.1f} ms", "", True),
        at_most(name, "image to target p95", np.percentile(latency, 95), round(limit, 1), "ms"),
        at_most(name, "services p95", np.percentile(waits, 95), 100.0, "ms"),
        at_most(name, f"services max ({slowest})", longest, 100.0, "ms"),
        at_most(name, f"selection answered, max of {len(inits)}", max(inits), 1.0, "s"),
        at_most(name, "memory growth", growth(samples)[1], flat, "%"),
        counted(name, "stamps out of order", sum(b <= a for a, b in itertools.pairwise(stamps)), 0),
        counted(name, "answers without the target", lost, 0),
        counted(name, "images refused", int(values["images refused"]), 0),
    ]


def several(count, seconds):
    """What the node's tracker takes for one target, and for several in one pass."""
    rate = 30.0
    with Bench("several", max_targets=count) as (talker, _):
        talker.bring_to("active")
        # On a busy machine all takes longer; the end of the block ends the camera.
        with Camera(talker, 640, 480, rate, 2 * seconds + 120):
            talker.spin_until(lambda: talker.targets, "images")

            def follow(number):
                """Seconds of each image with this many targets."""
                while len(boxes) < number:
                    box = (*map(float, OTHERS[len(boxes)]), 40.0, 30.0)
                    answer = talker.init(box)
                    assert answer.success, answer.message
                    boxes.append(answer.target_id)
                talker.spin_for(2.0)
                talker.targets.clear()
                talker.spin_for(seconds)
                stamps = lambda: sorted({stamp_of(t) for t in talker.targets})  # noqa: E731
                talker.spin_until(lambda: len(stamps()) > 4, "images with targets")
                # Of the first and the last image some messages may not have been heard.
                inner = set(stamps()[1:-1])
                whole = [t for t in talker.targets if stamp_of(t) in inner]
                own = {stamp_of(t): t.processing_time for t in whole}
                messages.append(len(whole) / len(own))
                seen.append(sum(t.frames_since_seen == 0 for t in whole) / len(whole))
                return 1e3 * float(np.median(list(own.values())))

            boxes, messages, seen = [], [], []
            one, all_of_them = follow(1), follow(count)
    name = f"{count} targets in one node"
    share = 100 * (all_of_them - one) / (count - 1) / one
    return [
        Finding(name, "tracker time of one, median", f"{one:.1f} ms", "", True),
        Finding(name, f"tracker time of {count}, median", f"{all_of_them:.1f} ms", "", True),
        at_most(name, "each further target, share of the first", share, 60.0, "%"),
        at_least(name, "messages an image", messages[1], count - 0.1),
        at_least(name, "of them with the target seen", 100 * seen[1], 95.0, "%"),
    ]


def _path():
    here = Path(__file__).resolve().parent
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join(filter(None, [given, str(here), str(here.parent)]))


def malformed(requests, images, seed=11):
    """Requests and images that are wrong in random ways; each is refused with a reason."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    from duml_tracker_ros.messages.image_codec import CodecError, read_image

    rng = random.Random(seed)
    odd = [0.0, -1.0, 1e-9, 1e9, -1e308, float("nan"), float("inf"), 640.0, 5.0]
    # The trial counts every image; a camera's best effort could lose some on the way.
    topic = f"qos_overrides.{own_namespace('malformed')}/image.subscription"
    override = {f"{topic}.reliability": "reliable", f"{topic}.depth": 2000}
    bench = Bench("malformed", weights="random", overrides=SEEN, num_threads=1, **override)
    with bench as (talker, process):
        talker.node.destroy_publisher(talker.images)
        reliable = QoSProfile(depth=2000, reliability=ReliabilityPolicy.RELIABLE)
        talker.images = talker.node.create_publisher(Image, "image", reliable)
        assert talker.set_parameter("max_image_age", 60.0).successful
        talker.bring_to("active")
        talker.fresh_target()
        selected = talker.init(TARGET, meanwhile=talker.publish)
        accepted, silent = 0, 0
        for _ in range(requests):
            box = [rng.choice(odd) for _ in range(4)]
            box[rng.randrange(4)] = rng.choice([float("nan"), float("-inf"), -7.0])
            if box[2] > 0 and box[3] > 0 and all(np.isfinite(box)):
                box[3] = 0.0
            answer = talker.init(box, rng.random() < 0.5, rng.choice([0, 5]), rng.randrange(1, 3))
            accepted += answer.success
            silent += not answer.message
        unexplained = 0
        for _ in range(images):
            message = _broken_image(talker, rng)
            talker.images.publish(message)
            # The node's log is throttled: what it says of each image is what this says.
            try:
                unexplained += read_image(message) is not None
            except CodecError as error:
                unexplained += not str(error)
            talker.executor.spin_once(timeout_sec=0.0)
        target = talker.fresh_target(lambda t: t.target_id)
        refused = lambda: int(talker.values().get("images refused", 0))  # noqa: E731
        talker.spin_until(lambda: refused() >= images, "all images to be counted")
        reason = talker.values()["last error"]
        alive = process.running()
    name = f"{requests + images} malformed messages"
    return [
        counted(name, "init requests accepted", accepted, 0),
        counted(name, "init requests without a reason", silent, 0),
        counted(name, "images refused", refused(), images),
        counted(name, "images without a reason", unexplained, 0),
        Finding(name, "last reason", reason[:40] + "...", "given", "image refused: " in reason),
        counted(name, "target afterwards", target.target_id, selected.target_id),
        counted(name, "node alive", alive, True),
    ]


def _broken_image(talker, rng):
    """An image message of 64x48 pixels that is wrong in one random way."""
    message = talker.image(pixels=scene()[:48, :64])
    field, values = rng.choice(
        [
            ("data", [array.array("B"), array.array("B", bytes(rng.randrange(9000)))]),
            ("height", [0, 49, 4000, 2**32 - 1]),
            ("width", [0, 65, 10_000, 2**32 - 1]),
            ("step", [0, 3, 191, 2**32 - 1]),
            ("encoding", ["", "bayer", "rgb25", "Mono12Packed", "nonsense", "\u00e4\u00f6"]),
        ]
    )
    setattr(message, field, rng.choice(values))
    return message


def soak(seconds):
    """Ordinary work for long: a moving target, new selections, viewers that come and go."""
    from sensor_msgs.msg import Image

    # Bounded by bytes, the ring of frames is full whatever rate this machine manages.
    # The allocator gives back what is freed: else it keeps up to 40 MiB (6 %) for minutes, gives
    # them back at once, and neither a leak nor its absence can be seen in a few seconds.
    gives_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    bench = Bench("soak", ring_bytes=16_000_000, variables=gives_back)
    with bench as (talker, process):
        talker.bring_to("active")
        steps = [*range(24), *range(24, 0, -1)]
        pictures = [scene(x=300 + step) for step in steps]
        shown, seen = [0], [0]

        def publish():
            shown[0] += 1
            talker.publish(pixels=pictures[shown[0] % len(pictures)])

        def look(picture):
            seen[0] += 1

        def look_on():
            return [
                talker.node.create_subscription(Image, f"{talker.name}/{topic}", look, 1)
                for topic in ("heatmap", "annotated")
            ]

        def work(duration):
            talker.spin_for(duration, meanwhile=publish)
            answered.append(len(talker.targets))
            talker.targets.clear()
            talker.reports[:-1] = []
            talker.published.clear()
            samples.append(resident(process.pid))

        answered, samples, inits, refused, viewers, cycle = [], [], [], 0, [], 0
        # Shared memory counts as the node's once it has been used from end to end, that of the
        # camera and its own for what viewers look at.
        viewers = look_on()
        talker.fresh_target()
        assert talker.init(TARGET, meanwhile=publish).success
        talker.spin_until(lambda: seen[0] >= 100, "debug images", meanwhile=publish)
        for viewer in viewers:
            talker.node.destroy_subscription(viewer)
        end = time.monotonic() + seconds
        # Growth is from the second quarter to the last, which a busy machine has to reach, too.
        while time.monotonic() < end or len(samples) < 8:
            x = 300.0 + steps[shown[0] % len(steps)]
            began = time.monotonic()
            answer = talker.init((x, 220.0, 40.0, 30.0), meanwhile=publish)
            inits.append(time.monotonic() - began)
            refused += not answer.success
            refused += talker.init((-90.0, 0.0, 5.0, 5.0), meanwhile=publish).success
            if cycle % 4 == 0:
                viewers = look_on()
            work(min(1.0, seconds / 16))
            if cycle % 4 == 3:
                for viewer in viewers:
                    talker.node.destroy_subscription(viewer)
            cycle += 1
    name = f"soak of {seconds / 60:.3g} min"
    return [
        counted(name, "selections answered wrongly", refused, 0),
        at_least(name, "targets published", sum(answered) / seconds, 5.0, "Hz"),
        at_most(name, "selection answered, max of all", max(inits), 1.0, "s"),
        at_least(name, "debug images seen", seen[0], 1),
        Finding(name, "resident memory", f"{samples[-1]:.0f} MiB", "", True),
        at_most(name, "memory growth", growth(samples)[1], 1.0, "%"),
    ]


def closed_loop(frames, rate, mavlink=False, step=1):
    """The example of a gimbal, through an occlusion; its rates over ROS, or over MAVLink.

    With a ``step`` of 2 target and camera move twice as far from image to image.
    """
    import json
    import tempfile

    script = Path(__file__).parents[2] / "examples" / "closed_loop.py"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-P", str(script)),
                *(f"--frames={frames}", f"--rate={rate}", f"--step={step}", f"--out={folder}"),
                *(["--mavlink"] if mavlink else []),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in (0, 3), done.stderr
        summary = json.loads((Path(folder) / "summary.json").read_text())
    how = ", MAVLink" * mavlink + f", {step} times as fast" * (step > 1)
    name = f"closed loop of {frames / step / rate:g} s at {rate:g} Hz{how}"
    share = 100 * summary["within_10_percent"]
    findings = [
        at_least(name, "target within 10 % of the centre", share, 95.0, "%"),
        at_most(name, "the same without control", 100 * summary["without_control"], 80.0, "%"),
        at_least(name, "images with the target hidden", summary["hidden"], 1),
    ]
    if not mavlink:
        told = summary["lost_and_told_to_hold"]
        what = "lost images with the vehicle on hold"
        findings.append(counted(name, what, told, summary["lost"]))
    return findings
