"""Keeps the target in the middle of the image by rates to a gimbal manager.

The rate is a share of the angle off the middle, and the target's own rate, so that a target that
moves steadily is not lagged behind. That rate is measured from the target's direction in space: its
direction in the image and the angle that the gimbal has turned by, which is taken to be what was
asked of it. So nothing need come back from the gimbal.
"""

from __future__ import annotations

import math
from collections import deque

from .settings import MavlinkSettings

# Time over which the target's own rate is averaged, seconds.
SMOOTHING = 0.15
# A gimbal that looks far down turns about the vertical to no effect.
LEAST_COSINE = 0.2
# Turning that is remembered, seconds.
REMEMBERED = 5.0
Pair = tuple[float, float]
"""About pitch, positive up, and yaw, positive right."""
STILL: Pair = (0.0, 0.0)


class GimbalAngles:
    """By how much a gimbal has turned that does what it is asked, in radians."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, Pair, Pair]] = deque()

    def ask(self, now: float, rate: Pair) -> None:
        """From now on it turns at this rate, in rad/s."""
        self._asked.append((now, self.at(now), rate))
        while len(self._asked) > 1 and now - self._asked[1][0] > REMEMBERED:
            self._asked.popleft()

    def at(self, moment: float) -> Pair:
        """Its angles at a moment, from where it was when first asked."""
        for began, angles, rate in reversed(self._asked):
            if began <= moment:
                since = moment - began
                return angles[0] + rate[0] * since, angles[1] + rate[1] * since
        return self._asked[0][1] if self._asked else STILL


class GimbalPointer:
    """The control law. Times are of the monotonic clock."""

    def __init__(self, settings: MavlinkSettings) -> None:
        self._set = settings
        self._turning = GimbalAngles()
        self._rate = STILL
        self._last: tuple[float, Pair] | None = None
        self._lost_since: float | None = None
        self.pitch = 0.0
        """Pitch of the camera in radians, where it is known."""

    def forget(self) -> None:
        """Another target, or none."""
        self._rate, self._last, self._lost_since = STILL, None, None

    def see(self, error_x: float, error_y: float, taken: float, now: float) -> Pair:
        """The rate to ask for.

        Args:
            error_x, error_y: x/z and y/z of the direction to the target, optical frame.
            taken: when the image was taken.
        """
        error = -math.atan(error_y), math.atan(error_x)
        turned = self._turning.at(taken)
        direction = turned[0] + error[0], turned[1] + error[1]
        if self._last is not None and (seconds := taken - self._last[0]) > 0.0:
            share = 1.0 - math.exp(-seconds / SMOOTHING)
            before, rate = self._last[1], self._rate
            self._rate = (
                rate[0] + share * ((direction[0] - before[0]) / seconds - rate[0]),
                rate[1] + share * ((direction[1] - before[1]) / seconds - rate[1]),
            )
        self._last, self._lost_since = (taken, direction), None
        gain, lead = self._set.gimbal_gain, self._set.gimbal_lead
        return self._ask(
            (gain * error[0] + lead * self._rate[0], gain * error[1] + lead * self._rate[1]), now
        )

    def lose(self, now: float) -> Pair:
        """The rate to ask for while the target is not seen: turning on fades, then it is held."""
        if self._lost_since is None:
            self._lost_since, self._last = now, None
        since, coast = now - self._lost_since, self._set.gimbal_coast
        fading = math.exp(-2.0 * since / coast) if since < coast else 0.0
        factor = self._set.gimbal_lead * fading
        return self._ask((factor * self._rate[0], factor * self._rate[1]), now)

    def hold(self, now: float) -> Pair:
        """Ask for no turning."""
        self.forget()
        return self._ask(STILL, now)

    def _ask(self, rate: Pair, now: float) -> Pair:
        most = self._set.gimbal_max_rate
        pitch, yaw = (min(max(value, -most), most) for value in rate)
        self._turning.ask(now, (pitch, yaw))
        # The further down it looks, the less of a turn about the vertical is seen in the image.
        return pitch, yaw / max(math.cos(self.pitch), LEAST_COSINE)
