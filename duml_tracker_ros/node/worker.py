"""The one thread that owns the tracker.

Loading, warm-up, init and update all run on it, because CUDA graphs and autocast belong to a
thread. Frames come through a mailbox of one slot: the newest wins, overwritten ones are counted.
Everything else comes as commands, whose callers wait for a limited time. `Schedule` says what comes
next. Nothing here knows ROS.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from typing import Any

import cv2
import torch

from ..messages.image_codec import CodecError, ImageView
from ..processors import tracker_threads
from ..tracker import Attitude, BoxError, ImageError, Tracker, selected_box
from .boxes import BoxOf
from .catch_up import CatchUp
from .command import Command, Overtaken, WorkerError
from .faults import free_memory, is_device_lost, is_out_of_memory, trim_heap
from .frame_ring import CameraFrame, FrameRing
from .outcome import FrameOutcome, Selection, Sighting, Status
from .schedule import Schedule
from .target_registry import Followed, Logger, TargetRegistry


class TrackerWorker:
    """Runs one tracker on a thread of its own.

    Args:
        create: makes the tracker; called on the worker thread.
        publish: gets the outcome of every processed frame, on the worker thread.
        logger: for faults and changes of state.
        num_threads: CPU threads for torch and OpenCV; 0: half of the processors, at most 4.
        max_targets: how many targets are followed at a time, in one pass of the tracker.
        unreadable: gets the reason for each image that cannot be read, on the worker thread.
    """

    def __init__(
        self,
        create: Callable[[], Tracker],
        publish: Callable[[FrameOutcome], None],
        logger: Logger,
        num_threads: int = 0,
        max_targets: int = 1,
        unreadable: Callable[[str], None] | None = None,
    ) -> None:
        self.lost_timeout = 0.0
        self.catch_up = 1.0
        self.registry = TargetRegistry(max_targets, logger)
        self.attitude_of: Callable[[CameraFrame, ImageView], Attitude | None] | None = None
        self.last_error = ""
        self.dropped = 0
        self._create = create
        self._publish = publish
        self._unreadable = unreadable or logger.warning
        self._logger = logger
        self._num_threads = num_threads
        self._tracker: Tracker | None = None
        self._info: dict[str, Any] = {}
        self._device_lost = ""
        self._wake = threading.Condition()
        self._schedule = Schedule(self.registry)
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

    def submit(self, frame: CameraFrame) -> None:
        """Hand over the newest frame; one that still waits is dropped and counted."""
        with self._wake:
            self.dropped += self._schedule.offer(frame)
            self._wake.notify()

    def init(
        self,
        frame: CameraFrame,
        box_of: BoxOf,
        target_id: int = 0,
        ring: FrameRing | None = None,
        replaces: int = 0,
        class_id: str = "",
        proof: int = 0,
    ) -> Command:
        """Select a target in `frame`; the result is a `Selection`.

        Afterwards the frames of `ring` that came after `frame` are tracked through, so that the
        target is found where it has moved to since. A selection that waits is refused as
        `Overtaken` when a newer one takes the place of the same target.

        Args:
            box_of: makes the box from the size of the frame's image.
            target_id: 0 = the worker chooses; it must not be that of the last selection.
            replaces: id of the target that is given up for it; 0 = none.
            class_id: what it is; it goes with the target.
            proof: in how many images on end it must be plain before it is told as TRACKING.
        """
        command = Command(
            lambda: self._do_init(
                command, frame, box_of, target_id, ring, replaces, class_id, proof
            ),
            place=replaces if self.registry.limit > 1 else 0,
        )
        return self._post(command)

    def stop_target(self, target_id: int = 0) -> Command:
        """Drop the target with this id (0 = all there are); the result is a tuple of their ids."""
        return self._post(Command(lambda: self._do_stop(target_id)))

    def release(self) -> Command:
        """Drop all targets and the waiting frame, and leave the ERROR state."""
        return self._post(Command(self._do_release, always=True))

    def close(self, timeout: float = 5.0) -> bool:
        """Stop the thread, refuse waiting commands, free the tracker. False when it hangs."""
        with self._wake:
            self._closing = True
            self._schedule.drop_frame()
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._refuse_all()
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def info(self) -> dict[str, Any]:
        """What the tracker says of itself: name, size, weights, device, ..."""
        return self._info

    def stage_times(self) -> dict[str, float]:
        """Milliseconds of each stage of the last update; empty unless profiled."""
        tracker = self._tracker
        return tracker.stage_times() if tracker is not None else {}

    def _post(self, command: Command) -> Command:
        overtaken = None
        with self._wake:
            if self._closing or not self._thread.is_alive():
                command.refuse("the tracker is not running")
            else:
                overtaken = self._schedule.add(command)
                self._wake.notify()
        if overtaken is not None:
            overtaken.refuse("a newer selection came before the tracker got to this one", Overtaken)
        return command

    # -- the worker thread --------------------------------------------------------------------

    def _run(self) -> None:
        try:
            tracker = self._load()
        except BaseException as error:
            self._loaded.set_exception(error)
            return
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
        threads = self._num_threads or tracker_threads()
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        tracker = self._create()
        tracker.warm_up(self.registry.limit)
        self._tracker = tracker
        return tracker

    def _step(self) -> bool:
        with self._wake:
            while self._schedule.idle and not self._closing:
                self._wake.wait()
            if self._closing:
                return False
            task = self._schedule.next(time.monotonic())
        if isinstance(task, Command):
            task.run()
            if task.place is not None:
                self._schedule.selected(time.monotonic())
        elif task is not None:
            self._process(*task)
        return True

    def _process(self, frame: CameraFrame, targets: list[Followed], publish: bool) -> None:
        """Follow targets in a frame that is new to them."""
        began = time.monotonic()
        try:
            view = frame.view()
        except CodecError as error:
            # A broken message says nothing about the targets, so they stay.
            self._unreadable(str(error))
            return
        except Exception as error:
            self._fail("reading an image", error, drop=False)
            return
        seen = self._track(frame, view, targets)
        seconds = time.monotonic() - began
        if seen:
            self._schedule.step_time = 0.8 * self._schedule.step_time + 0.2 * seconds
        if not publish:
            return
        self._schedule.frame_due = False
        with self._wake:
            skipped = self._schedule.take_skipped()
        sightings = (*self.registry.take_ended(), *seen) or (Sighting(0, self.registry.resting),)
        attitude = self._tracker.attitude if seen and self._tracker is not None else None
        outcome = FrameOutcome(
            frame, view, sightings, self.registry.selected, skipped, seconds, attitude
        )
        try:
            self._publish(outcome)
        except Exception as error:
            self._fail("publishing", error, drop=False)

    def _track(
        self, frame: CameraFrame, view: ImageView, targets: list[Followed]
    ) -> list[Sighting]:
        """What is seen of targets in a frame; of those that end in it nothing."""
        if not targets or self._tracker is None:
            return []
        self.registry.end_misplaced(targets, frame, view)
        targets = [target for target in targets if self.registry.follows(target)]
        try:
            handles = [target.handle for target in targets]
            self._turn_camera(self._tracker, frame, view)
            results = self._tracker.track(view.pixels, handles, view.order) if targets else []
        except Exception as error:
            self._fail("tracking", error)
            return []
        for target, result in zip(targets, results, strict=True):
            self.registry.judge(target, result, frame.arrival, self.lost_timeout)
        return [
            Sighting(target.target_id, target.status, result, target.class_id)
            for target, result in zip(targets, results, strict=True)
            if self.registry.follows(target)
        ]

    def _turn_camera(self, tracker: Tracker, frame: CameraFrame, view: ImageView) -> None:
        """Tell the tracker how the camera was turned at the image it gets next."""
        attitude_of = self.attitude_of
        tracker.attitude = attitude_of(frame, view) if attitude_of is not None else None

    def _do_init(
        self,
        command: Command,
        frame: CameraFrame,
        box_of: BoxOf,
        target_id: int,
        ring: FrameRing | None,
        replaces: int,
        class_id: str,
        proof: int,
    ) -> Selection:
        tracker = self._tracker
        if tracker is None:
            raise WorkerError("there is no tracker")
        if self._device_lost:
            raise WorkerError(self._device_lost)
        former = self.registry.make_room(target_id, replaces)
        # What is refused before costs no time worth a frame.
        self._schedule.frame_due = True
        try:
            view = frame.view()
        except Exception as error:
            raise WorkerError(f"the image cannot be read: {error}") from error
        try:
            box, share = selected_box(box_of(view.width, view.height), view.width, view.height)
            self._turn_camera(tracker, frame, view)
            handle = tracker.start(view.pixels, box, view.order)
        except (BoxError, ImageError) as error:
            # The tracker keeps its former target on these.
            raise WorkerError(str(error)) from error
        except Exception as error:
            # Other targets know nothing of a new one, but with a lost device they are gone, too.
            self._fail(
                "selecting a target", error, self.registry.limit == 1 or is_device_lost(error)
            )
            raise WorkerError(f"the tracker failed: {type(error).__name__}: {error}") from error
        if command.abandoned:
            if self.registry.limit == 1:
                self._do_release()
            raise WorkerError("it was given up")
        until = time.monotonic() + self.catch_up
        behind = CatchUp(ring, until) if ring is not None else None
        target = Followed(
            target_id,
            handle,
            (view.width, view.height),
            frame.source,
            frame.seq,
            class_id,
            behind,
            Status.UNCERTAIN if proof else Status.TRACKING,
            proof=proof,
        )
        self.registry.add(target, former)
        del former
        trim_heap()
        self._logger.info(
            f"target {target.target_id} selected at "
            f"({box[0]:.1f}, {box[1]:.1f}) {box[2]:.1f}x{box[3]:.1f}"
        )
        return Selection(target.target_id, frame, box, share)

    def _do_stop(self, target_id: int) -> tuple[int, ...]:
        return self.registry.end(self.registry.find(target_id), "it was stopped")

    def _do_release(self) -> None:
        with self._wake:
            self._schedule.drop_frame()
        self.registry.end(self.registry.find(0), "the node let go of it")
        self.registry.take_ended()

    def _fail(self, doing: str, error: Exception, drop: bool = True) -> None:
        self.last_error = f"{doing}: {type(error).__name__}: {error}"
        self._logger.error("".join(traceback.format_exception(error)).rstrip())
        if drop:
            self.registry.end(self.registry.find(0), "the tracker failed", Status.ERROR)
            self._logger.error(f"no target any more, {self.last_error}; select it again")
        if is_out_of_memory(error):
            free_memory()
        elif is_device_lost(error):
            self._device_lost = f"the device failed ({error}): deactivate, cleanup and configure"
            self._logger.error(self._device_lost)

    def _refuse_all(self) -> None:
        with self._wake:
            commands = self._schedule.take_commands()
        for command in commands:
            command.refuse("the node is going out of service")

    def _free(self) -> None:
        with self._wake:
            self._closing = True
        self._refuse_all()
        self._tracker = None
        self.registry.end(self.registry.find(0), "the tracker is freed")
        self._schedule.drop_frame()
        free_memory()
