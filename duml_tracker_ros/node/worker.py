"""The one thread that owns the tracker.

Loading, warm-up, init and update all run on it, because CUDA graphs and autocast belong to a
thread. Frames come through a mailbox of one slot: the newest wins, overwritten ones are counted.
Everything else comes as commands, whose callers wait for a limited time. Nothing here knows ROS.
"""

from __future__ import annotations

import enum
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ..tracker import Box, BoxError, ImageError, Tracker, TrackResult, TrackState, validate_box
from .boxes import BoxOf
from .command import Command, WorkerError
from .faults import free_memory, is_device_lost, is_out_of_memory
from .frame_ring import Frame, FrameRing
from .image_codec import ImageError as CodecError
from .image_codec import ImageView

WARM_UP_SIZE = (480, 640)


class Status(enum.Enum):
    """State of the target as the node publishes it."""

    IDLE = "idle"
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"
    ERROR = "error"

    @property
    def seen(self) -> bool:
        """True when the box of the frame may be acted on."""
        return self in (Status.TRACKING, Status.UNCERTAIN)


class Logger(Protocol):
    """What the worker needs of a logger; that of a ROS node fits."""

    def info(self, message: str) -> Any: ...

    def warning(self, message: str) -> Any: ...

    def error(self, message: str) -> Any: ...


@dataclass(frozen=True)
class Outcome:
    """What became of one frame.

    Attributes:
        dropped: frames that were skipped since the outcome before this one.
        processing_time: seconds the tracker worked on this frame.
        result: None while there is no target.
    """

    frame: Frame
    view: ImageView
    status: Status
    target_id: int
    result: TrackResult | None
    dropped: int
    processing_time: float


@dataclass(frozen=True)
class Selection:
    """A target that was selected."""

    target_id: int
    frame: Frame
    box: Box


@dataclass
class _Target:
    target_id: int
    size: tuple[int, int]
    source: str
    lost_since: float | None = None


class TrackerWorker:
    """Runs one tracker on a thread of its own.

    Args:
        create: makes the tracker; called on the worker thread.
        publish: gets the outcome of every processed frame, on the worker thread.
        logger: for faults and changes of state.
        num_threads: CPU threads for torch; 0 keeps torch's default.
    """

    def __init__(
        self,
        create: Callable[[], Tracker],
        publish: Callable[[Outcome], None],
        logger: Logger,
        num_threads: int = 0,
    ) -> None:
        self.lost_timeout = 0.0
        self.catch_up = 1.0
        self.next_id = 1
        self.last_error = ""
        self.rejected = 0
        self.dropped = 0
        self._create = create
        self._publish = publish
        self._logger = logger
        self._num_threads = num_threads
        self._tracker: Tracker | None = None
        self._info: dict[str, Any] = {}
        self._target: _Target | None = None
        self._last_id = 0
        self._status = Status.IDLE
        self._device_lost = ""
        self._update_time = 0.0
        self._last_seq = -1
        self._behind: FrameRing | None = None
        self._behind_until = 0.0
        self._wake = threading.Condition()
        self._mailbox: Frame | None = None
        self._skipped = 0
        self._commands: deque[Command] = deque()
        self._closing = False
        self._loaded: Future[dict[str, Any]] = Future()
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    # -- called from other threads ------------------------------------------------------------

    def start(self, timeout: float, keep_waiting: Callable[[], bool] = lambda: True) -> None:
        """Load and warm up the tracker; return when it is ready.

        Raises:
            WorkerError: it takes longer than `timeout` seconds or `keep_waiting` became false.
            Exception: what the tracker raised while it was made.
        """
        self._thread.start()
        end = time.monotonic() + timeout
        while True:
            try:
                self._info = self._loaded.result(0.1)
                return
            except NotDoneError:
                if self._loaded.done():
                    raise
            if not keep_waiting():
                raise WorkerError("loading the tracker was interrupted")
            if time.monotonic() > end:
                raise WorkerError(
                    f"the tracker was not ready after {timeout:g} s; raise configure_timeout"
                )

    def submit(self, frame: Frame) -> None:
        """Hand over the newest frame; one that still waits is dropped and counted."""
        with self._wake:
            if self._mailbox is not None:
                self._skipped += 1
                self.dropped += 1
            self._mailbox = frame
            self._wake.notify()

    def init(
        self,
        frame: Frame,
        box_of: BoxOf,
        target_id: int = 0,
        ring: FrameRing | None = None,
    ) -> Command:
        """Select the target in `frame`; the result is a `Selection`.

        Afterwards the frames of `ring` that came after `frame` are tracked through, so that the
        target is found where it has moved to since.

        Args:
            box_of: makes the box from the size of the frame's image.
            target_id: 0 = the worker chooses; it must not be that of the last selection.
        """
        command = Command(lambda: self._do_init(command, frame, box_of, target_id, ring))
        return self._post(command)

    def stop_target(self, target_id: int = 0) -> Command:
        """Drop the target with this id (0 = whatever there is); the result is its id or 0."""
        return self._post(Command(lambda: self._do_stop(target_id)))

    def release(self) -> Command:
        """Drop target and waiting frame, and leave the ERROR state."""
        return self._post(Command(self._do_release, always=True))

    def close(self, timeout: float = 5.0) -> bool:
        """Stop the thread, refuse waiting commands, free the tracker. False when it hangs."""
        with self._wake:
            self._closing = True
            self._mailbox = None
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._refuse_all()
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def status(self) -> Status:
        return self._status

    @property
    def target_id(self) -> int:
        """Id of the target, 0 when there is none."""
        target = self._target
        return target.target_id if target is not None else 0

    @property
    def info(self) -> dict[str, Any]:
        """What the tracker says of itself: name, size, weights, device, ..."""
        return self._info

    def stage_times(self) -> dict[str, float]:
        """Milliseconds of each stage of the last update; empty unless profiled."""
        tracker = self._tracker
        return tracker.stage_times() if tracker is not None else {}

    def _post(self, command: Command) -> Command:
        with self._wake:
            if self._closing or not self._thread.is_alive():
                command.refuse("the tracker is not running")
            else:
                self._commands.append(command)
                self._wake.notify()
        return command

    # -- the worker thread --------------------------------------------------------------------

    def _run(self) -> None:
        try:
            tracker = self._load()
        except BaseException as error:
            self._loaded.set_exception(error)
            return
        self._tracker = tracker
        self._loaded.set_result(tracker.info())
        del tracker
        try:
            going = True
            while going:
                try:
                    going = self._step()
                except Exception as error:
                    # Whatever it was, the next selection gets its chance.
                    self._fail("the worker", error)
        finally:
            self._free()

    def _load(self) -> Tracker:
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        tracker = self._create()
        height, width = WARM_UP_SIZE
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
        tracker.init(image, (width / 2 - 20.0, height / 2 - 15.0, 40.0, 30.0))
        for _ in range(3):
            tracker.update(image)
        tracker.reset()
        return tracker

    def _step(self) -> bool:
        with self._wake:
            while not (
                self._commands or self._mailbox or self._behind is not None or self._closing
            ):
                self._wake.wait()
            if self._closing:
                return False
            command = self._commands.popleft() if self._commands else None
            frame = None
            if command is None:
                frame = self._next_behind()
                if frame is None:
                    frame, self._mailbox = self._mailbox, None
        if command is not None:
            command.run()
        elif frame is not None and frame.seq > self._last_seq:
            self._process(frame)
        return True

    def _next_behind(self) -> Frame | None:
        """The next frame to catch up on, None when the newest is up next."""
        if self._behind is None:
            return None
        waiting = self._behind.after(self._last_seq)
        left = self._behind_until - time.monotonic()
        pick = len(waiting) - 1
        if left > 0.0 and self._target is not None:
            affordable = max(1, int(left / max(self._update_time, 1e-3)))
            pick = min(pick, -(-len(waiting) // affordable) - 1)
        if pick == len(waiting) - 1:
            # The newest one ends the catching up, and is published.
            self._behind = None
            if not waiting:
                return None
            self._mailbox = None
        return waiting[pick]

    def _process(self, frame: Frame) -> None:
        catching_up = self._behind is not None
        self._last_seq = frame.seq
        began = time.monotonic()
        try:
            view = frame.view()
        except CodecError as error:
            # A broken message says nothing about the target, so the target stays.
            self.rejected += 1
            self.last_error = f"image refused: {error}"
            self._logger.warning(self.last_error)
            return
        except Exception as error:
            self._fail("reading an image", error, drop=False)
            return
        result = self._track(frame, view)
        seconds = time.monotonic() - began
        if result is not None:
            self._update_time = 0.8 * self._update_time + 0.2 * seconds
        if catching_up:
            return
        with self._wake:
            skipped, self._skipped = self._skipped, 0
        outcome = Outcome(frame, view, self._status, self.target_id, result, skipped, seconds)
        try:
            self._publish(outcome)
        except Exception as error:
            self._fail("publishing", error, drop=False)

    def _track(self, frame: Frame, view: ImageView) -> TrackResult | None:
        target, tracker = self._target, self._tracker
        if target is None or tracker is None:
            return None
        if target.size != (view.width, view.height) or target.source != frame.source:
            self._drop(
                f"the image changed from {target.size[0]}x{target.size[1]} {target.source!r} to "
                f"{view.width}x{view.height} {frame.source!r}"
            )
            return None
        try:
            result = tracker.update(view.pixels, view.order)
        except Exception as error:
            self._fail("tracking", error)
            return None
        return self._judge(frame, target, result)

    def _judge(self, frame: Frame, target: _Target, result: TrackResult) -> TrackResult | None:
        before = self._status
        self._status = Status(result.state.value)
        if result.state is TrackState.LOST:
            if target.lost_since is None:
                target.lost_since = frame.arrival
            lost_for = frame.arrival - target.lost_since
            if 0.0 < self.lost_timeout <= lost_for:
                self._drop(f"it was lost for {lost_for:.1f} s (lost_timeout)")
                return None
        else:
            target.lost_since = None
        if result.state is TrackState.IDLE:
            self._drop("the tracker gave it up")
            return None
        if self._status is not before and Status.LOST in (self._status, before):
            found = "lost" if self._status is Status.LOST else "found again"
            self._logger.info(f"target {target.target_id} {found}")
        return result

    def _do_init(
        self,
        command: Command,
        frame: Frame,
        box_of: BoxOf,
        target_id: int,
        ring: FrameRing | None,
    ) -> Selection:
        tracker = self._tracker
        if tracker is None:
            raise WorkerError("there is no tracker")
        if self._device_lost:
            raise WorkerError(self._device_lost)
        if target_id and target_id == self._last_id:
            raise WorkerError(
                f"target_id {target_id} is that of the last selection: ids must change, "
                "use another or 0"
            )
        try:
            view = frame.view()
        except Exception as error:
            raise WorkerError(f"the image cannot be read: {error}") from error
        try:
            box = validate_box(box_of(view.width, view.height), view.width, view.height)
            tracker.init(view.pixels, box, view.order)
        except (BoxError, ImageError) as error:
            # The tracker keeps its former target on these.
            raise WorkerError(str(error)) from error
        except Exception as error:
            self._fail("selecting the target", error)
            raise WorkerError(f"the tracker failed: {type(error).__name__}: {error}") from error
        if command.abandoned:
            self._do_release()
            raise WorkerError("it was given up")
        self._target = _Target(target_id or self.next_id, (view.width, view.height), frame.source)
        self._last_id = self._target.target_id
        self.next_id = max(self.next_id, self._last_id) % 0xFFFFFFFF + 1
        self._status = Status.TRACKING
        self._last_seq = max(self._last_seq, frame.seq) if ring is None else frame.seq
        self._behind = ring
        self._behind_until = time.monotonic() + self.catch_up
        self._logger.info(
            f"target {self._target.target_id} selected at "
            f"({box[0]:.1f}, {box[1]:.1f}) {box[2]:.1f}x{box[3]:.1f}"
        )
        return Selection(self._target.target_id, frame, box)

    def _do_stop(self, target_id: int) -> int:
        if target_id and target_id != self.target_id:
            raise WorkerError(
                f"there is no target {target_id}; "
                + (f"the target is {self.target_id}" if self.target_id else "there is none")
            )
        stopped = self.target_id
        if stopped:
            self._drop("it was stopped")
        self._status = Status.IDLE
        return stopped

    def _do_release(self) -> None:
        with self._wake:
            self._mailbox = None
            self._skipped = 0
        if self._target is not None:
            self._drop("the node let go of it")
        self._status = Status.IDLE

    def _drop(self, reason: str) -> None:
        if self._target is not None:
            self._logger.info(f"target {self._target.target_id} dropped: {reason}")
        self._target = None
        self._behind = None
        self._status = Status.IDLE
        if self._tracker is not None:
            self._tracker.reset()

    def _fail(self, doing: str, error: Exception, drop: bool = True) -> None:
        self.last_error = f"{doing}: {type(error).__name__}: {error}"
        self._logger.error("".join(traceback.format_exception(error)).rstrip())
        if not drop:
            return
        self._target = None
        self._behind = None
        self._status = Status.ERROR
        self._logger.error(f"target dropped, {self.last_error}; select it again")
        try:
            if self._tracker is not None:
                self._tracker.reset()
        except Exception as second:
            self._logger.error(f"the tracker cannot be reset either: {second}")
        if is_out_of_memory(error):
            free_memory()
        elif is_device_lost(error):
            self._device_lost = f"the device failed ({error}): deactivate, cleanup and configure"
            self._logger.error(self._device_lost)

    def _refuse_all(self) -> None:
        with self._wake:
            commands, self._commands = list(self._commands), deque()
        for command in commands:
            command.refuse("the node is going out of service")

    def _free(self) -> None:
        with self._wake:
            self._closing = True
        self._refuse_all()
        self._tracker = None
        self._target = None
        self._behind = None
        self._mailbox = None
        free_memory()
