"""The camera component: announces itself, obeys commands, tells where the targets are."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable
from typing import Any

from ..node.operator import Answer, Operator
from . import commands
from .codec import Codec, dialect
from .commands import CameraCommand, Denied, NotMeant
from .description import heartbeat, information, status_texts, video_information, video_status
from .geo import Vector, Vehicle, geo_status
from .peers import OFF, Peer, Peers
from .settings import MavlinkSettings
from .steering import PERIOD as STEERING_PERIOD
from .steering import Steering
from .tracking import TargetReport, Tracking
from .waiting import woken

HEARTBEAT = 1.0
# The default stream goes on for this long after the last target has ended, seconds.
AFTERWARDS = 2.0
# Without an answer of the tracker for this long the sender is told to wait, seconds.
PATIENCE = 0.4

_Action = Callable[["CameraComponent", CameraCommand, Peer], int | None]
IMAGE_STATUS = dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS
GEO_STATUS = dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_GEO_STATUS
CAMERA_INFORMATION = dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION
STREAM_INFORMATION = dialect.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION
STREAM_STATUS = dialect.MAVLINK_MSG_ID_VIDEO_STREAM_STATUS


class CameraComponent:
    """All of it runs on one asyncio thread.

    Args:
        warn: writes a line to the log about something that is wrong.
    """

    def __init__(
        self,
        settings: MavlinkSettings,
        codec: Codec,
        peers: Peers,
        operator: Operator,
        warn: Callable[[str], object],
    ) -> None:
        self._set, self._codec, self._peers = settings, codec, peers
        self._operator, self._warn = operator, warn
        self._ids = settings.system_id, settings.component_id
        self.tracking = Tracking(settings.timeout)
        self._vehicle = Vehicle(settings.mount_pitch)
        self._place: tuple[float, Vector] | None = None
        self._answered = commands.Answered()
        self._busy: dict[int, Hashable] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed = -math.inf
        self._heartbeat_due = self._steering_due = 0.0
        self._wake = asyncio.Event()
        self._steering = (
            Steering(settings, self.tracking, self._vehicle, self._broadcast, warn)
            if settings.gimbal
            else None
        )
        self._twin_told = False
        self._streams = {IMAGE_STATUS: self._image_status}
        if settings.geo:
            self._streams[GEO_STATUS] = self._geo_status

    # -- what comes in ------------------------------------------------------------------------

    def receive(
        self, address: Hashable, name: str, send: Callable[[bytes], None], data: bytes
    ) -> None:
        """A datagram."""
        messages, _ = self._codec.decode(data)
        if messages:
            peer = self._peers.heard(address, name, send, time.monotonic())
            if peer is not None:
                self._handle_all(messages, peer)

    def receive_stream(self, peer: Peer, data: bytes) -> bytes:
        """Bytes of a stream; returns those that may be the beginning of the next message."""
        messages, rest = self._codec.decode(data, stream=True)
        if messages:
            peer.heard = time.monotonic()
            self._handle_all(messages, peer)
        return rest

    def _handle_all(self, messages: list[Any], peer: Peer) -> None:
        for message in messages:
            try:
                self._handle(message, peer)
            except Exception as error:
                # Whatever was sent, the next one is heeded.
                self._warn(f"{message.get_type()}: {type(error).__name__}: {error}")

    def _handle(self, message: Any, peer: Peer) -> None:
        now, kind = time.monotonic(), message.get_type()
        if (message.get_srcSystem(), message.get_srcComponent()) == self._ids:
            self._meet_twin(peer)
        elif kind in ("COMMAND_LONG", "COMMAND_INT"):
            to = message.target_system, message.target_component
            if to[0] in (0, self._ids[0]) and to[1] in (0, self._ids[1]):
                self._obey(commands.read_command(message, self._set.component_id), peer)
        elif message.get_srcSystem() == self._set.system_id:
            self._vehicle.take(message, now)
            if kind == "GIMBAL_MANAGER_STATUS" and self._steering is not None:
                self._steering.heed_manager(message)

    def _meet_twin(self, peer: Peer) -> None:
        if not self._twin_told:
            self._twin_told = True
            self._warn(
                f"{peer.name} sends as system {self._set.system_id}, component "
                f"{self._set.component_id}, too: a camera with the same ids, or an echo; set "
                "component_id to another one of 100 to 105"
            )

    def take_target(self, sight: TargetReport) -> None:
        """A Target message of the tracker."""
        now = time.monotonic()
        self.tracking.take(sight, now)
        if self.tracking.target(0):
            self._followed = now
        if self._steering is not None:
            self._steering.take_target(sight, now)

    def take_bearing(self, target_id: int, stamp_ns: int, error_x: float, error_y: float) -> None:
        """A Bearing message of the tracker."""
        if self._steering is not None:
            now = time.monotonic()
            self._steering.take_bearing(target_id, stamp_ns, error_x, error_y, now)

    def take_place(self, place: Vector) -> None:
        """A position of the tracker, in the camera's optical frame in metres."""
        self._place = time.monotonic(), place

    # -- what goes out ------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is due until cancelled."""
        try:
            while True:
                self._wake.clear()
                due = self._send_due(time.monotonic())
                await woken(self._wake, due - time.monotonic())
        finally:
            if self._steering is not None:
                self._steering.end(time.monotonic())
            for task in self._tasks:
                task.cancel()

    def _send_due(self, now: float) -> float:
        """Send all that is due; returns when the next is."""
        if now >= self._heartbeat_due:
            self._heartbeat_due = now + HEARTBEAT
            self._peers.forget_silent(now)
            self._broadcast(heartbeat())
        due = self._heartbeat_due
        for kind, make in self._streams.items():
            made: list[Any] | None = None
            for peer in self._peers:
                interval = self._interval(peer, kind, now)
                if interval == OFF:
                    continue
                if peer.take_due(kind, interval, now):
                    made = make(now) if made is None else made
                    for message in made:
                        self._send(peer, message)
                due = min(due, peer.due[kind])
        if self._steering is not None:
            if now >= self._steering_due:
                self._steering_due = now + STEERING_PERIOD
                self._steering.mind(now)
            due = min(due, self._steering_due)
        return due

    def _interval(self, peer: Peer, kind: int, now: float) -> float:
        asked = peer.intervals.get(kind)
        if asked is not None:
            return asked
        followed = now - self._followed <= AFTERWARDS
        return 1.0 / self._set.status_rate if followed and self._set.status_rate else OFF

    def _image_status(self, now: float) -> list[Any]:
        return [self.tracking.status(slot, now) for slot in self.tracking.used_slots()]

    def _geo_status(self, now: float) -> list[Any]:
        flags = self.tracking.flags(0, now)
        if self._place is None or not flags & dialect.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE:
            return []
        told, place = self._place
        found = self._vehicle.locate(place, now) if now - told <= self._set.timeout else None
        return [] if found is None else [geo_status(flags, found, place, 0)]

    def _broadcast(self, message: Any) -> None:
        for peer in self._peers:
            self._send(peer, message)

    def _send(self, peer: Peer, message: Any) -> None:
        peer.send(self._codec.encode(message, peer.count()))

    # -- commands -----------------------------------------------------------------------------

    def _obey(self, command: CameraCommand, peer: Peer) -> None:
        now = time.monotonic()
        action = _COMMANDS.get(command.kind)
        if action is None:
            if command.named:
                self._acknowledge(command, peer, commands.UNSUPPORTED)
            return
        result = self._answered.before(command, now)
        if result is None:
            self._answered.forget(command)
            try:
                result = action(self, command, peer)
            except Denied as reason:
                if isinstance(reason, NotMeant) and not command.named:
                    return
                self._tell(peer, str(reason))
                result = reason.result
        if result is not None:
            self._acknowledge(command, peer, result)

    def _tell(self, peer: Peer, text: str) -> None:
        """Say it where the operator sees it."""
        self._warn(text)
        for message in status_texts(text):
            self._send(peer, message)

    def _acknowledge(self, command: CameraCommand, peer: Peer, result: int) -> None:
        if result not in (commands.IN_PROGRESS, commands.REJECTED):
            self._answered.keep(command, result, time.monotonic())
        progress = 255 if result == commands.IN_PROGRESS else 0
        self._send(
            peer,
            dialect.MAVLink_command_ack_message(command.kind, result, progress, 0, *command.sender),
        )

    def _track_rectangle(self, command: CameraCommand, peer: Peer) -> int | None:
        box = commands.read_rectangle(command.numbers[:4])
        slot = commands.read_slot(command.numbers[4], self._set.component_id)
        return self._select(command, peer, box, slot or 0)

    def _track_point(self, command: CameraCommand, peer: Peer) -> int | None:
        point = commands.read_point(command.numbers[:3], self.tracking.size)
        slot = commands.read_slot(command.numbers[3], self._set.component_id)
        return self._select(command, peer, point, slot or 0)

    def _select(
        self, command: CameraCommand, peer: Peer, numbers: tuple[float, ...], slot: int
    ) -> int | None:
        latency = self._set.video_latency
        stamp = self.tracking.stamp_at(time.monotonic() - latency) if latency else 0
        replaces = self.tracking.own(slot)

        async def ask() -> Answer:
            answer = await self._operator.select(numbers, stamp, replaces, True)
            if answer.ok:
                self.tracking.assign(slot, answer.target)
            return answer

        return self._ask(command, peer, ask)

    def _stop_tracking(self, command: CameraCommand, peer: Peer) -> int | None:
        slot = commands.read_slot(command.numbers[0], self._set.component_id)
        target = 0 if slot is None else self.tracking.target(slot)
        if slot is not None and not target:
            return commands.ACCEPTED  # there is nothing to stop

        async def ask() -> Answer:
            answer = await self._operator.stop(target)
            if answer.ok:
                self.tracking.drop(target)
            return answer

        return self._ask(command, peer, ask)

    def _ask(self, command: CameraCommand, peer: Peer, ask: Callable[[], Any]) -> int | None:
        """Ask the tracker, one thing of a kind at a time; it is acknowledged when it answers."""
        waiting = self._busy.get(command.kind)
        if waiting is not None:
            if waiting == command.key:
                return commands.IN_PROGRESS
            self._tell(peer, "the tracker has not answered the request before this one")
            return commands.REJECTED
        self._busy[command.kind] = command.key
        task = asyncio.create_task(self._await_answer(command, peer, ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _await_answer(
        self, command: CameraCommand, peer: Peer, ask: Callable[[], Any]
    ) -> None:
        asking = asyncio.ensure_future(ask())
        try:
            done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
            if not done:
                self._acknowledge(command, peer, commands.IN_PROGRESS)
            answer: Answer = await asking
        finally:
            asking.cancel()
            del self._busy[command.kind]
        result = commands.ACCEPTED
        if not answer.ok:
            # What is wrong with the request stays wrong; a tracker that is away comes back.
            away = not answer.reached or not self.tracking.answering(time.monotonic())
            result = commands.REJECTED if away else commands.DENIED
            self._tell(peer, answer.message)
        self._acknowledge(command, peer, result)
        self._wake.set()

    def _request_message(self, command: CameraCommand, peer: Peer) -> int | None:
        now, wanted = time.monotonic(), command.numbers[0]
        size, stream = self.tracking.size, command.numbers[1]
        make = {
            dialect.MAVLINK_MSG_ID_HEARTBEAT: lambda: [heartbeat()],
            CAMERA_INFORMATION: lambda: [information(self._set, size)],
            STREAM_INFORMATION: lambda: self._video(video_information, stream),
            STREAM_STATUS: lambda: self._video(video_status, stream),
            dialect.MAVLINK_MSG_ID_MESSAGE_INTERVAL: lambda: self._intervals(command, peer),
            IMAGE_STATUS: lambda: self._image_status(now),
            GEO_STATUS: lambda: self._geo_status(now),
        }.get(wanted)
        if make is None:
            return commands.UNSUPPORTED
        return self._send_asked(command, peer, make())

    def _send_asked(self, command: CameraCommand, peer: Peer, made: list[Any]) -> int | None:
        if not made:
            return commands.REJECTED
        # The acknowledgement comes first: some wait for it before they look for the message.
        self._acknowledge(command, peer, commands.ACCEPTED)
        for message in made:
            self._send(peer, message)
        return None

    def _video(
        self, make: Callable[[MavlinkSettings, tuple[int, int]], list[Any]], stream: float
    ) -> Any:
        """Make the messages about a video stream: 0 is all of them, 1 the only one."""
        if stream not in (0, 1):
            raise Denied(f"video stream {stream:g}: there is only 1")
        return make(self._set, self.tracking.size)

    def _request_video(self, command: CameraCommand, peer: Peer) -> int | None:
        about = command.kind == dialect.MAV_CMD_REQUEST_VIDEO_STREAM_INFORMATION
        make = video_information if about else video_status
        return self._send_asked(command, peer, self._video(make, command.numbers[0]))

    def _request_information(self, command: CameraCommand, peer: Peer) -> int | None:
        if command.numbers[0] != 1:
            return commands.ACCEPTED
        return self._send_asked(command, peer, [information(self._set, self.tracking.size)])

    def _set_interval(self, command: CameraCommand, peer: Peer) -> int | None:
        kind = command.numbers[0]
        if kind not in self._streams:
            return commands.UNSUPPORTED
        peer.ask(int(kind), commands.read_interval(command.numbers[1]))
        self._wake.set()
        return commands.ACCEPTED

    def _get_interval(self, command: CameraCommand, peer: Peer) -> int | None:
        return self._send_asked(command, peer, self._intervals(command, peer))

    def _intervals(self, command: CameraCommand, peer: Peer) -> list[Any]:
        """MESSAGE_INTERVAL of the message that the command names."""
        named = 1 if command.kind == dialect.MAV_CMD_REQUEST_MESSAGE else 0
        number = command.numbers[named]
        if not 0 <= number <= 65535:
            raise Denied(f"message id {number:g}: use 0 to 65535")
        kind, interval = int(number), 0.0
        if kind == dialect.MAVLINK_MSG_ID_HEARTBEAT:
            interval = HEARTBEAT
        elif kind in self._streams:
            interval = self._interval(peer, kind, time.monotonic())
        micros = -1 if interval == OFF else round(interval * 1e6)
        return [dialect.MAVLink_message_interval_message(kind, micros)]


_COMMANDS: dict[int, _Action] = {
    dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE: CameraComponent._track_rectangle,
    dialect.MAV_CMD_CAMERA_TRACK_POINT: CameraComponent._track_point,
    dialect.MAV_CMD_CAMERA_STOP_TRACKING: CameraComponent._stop_tracking,
    dialect.MAV_CMD_REQUEST_MESSAGE: CameraComponent._request_message,
    dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION: CameraComponent._request_information,
    dialect.MAV_CMD_REQUEST_VIDEO_STREAM_INFORMATION: CameraComponent._request_video,
    dialect.MAV_CMD_REQUEST_VIDEO_STREAM_STATUS: CameraComponent._request_video,
    dialect.MAV_CMD_SET_MESSAGE_INTERVAL: CameraComponent._set_interval,
    dialect.MAV_CMD_GET_MESSAGE_INTERVAL: CameraComponent._get_interval,
}
