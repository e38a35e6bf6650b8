"""Who is spoken to: addresses, what they have asked to be sent, and when it is due."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

# Datagrams may come from any number of addresses; no more than these are answered.
MOST_PEERS = 16
SILENT_FOR = 30.0
OFF = -1.0


@dataclass(eq=False)
class Peer:
    """One that is spoken to.

    Attributes:
        send: sends bytes to it, or drops them.
        permanent: it is spoken to though it says nothing.
        intervals: seconds between two messages of a kind, OFF, or absent: nothing was asked for.
        due: when the next one of a kind is to be sent, on the monotonic clock.
    """

    name: str
    send: Callable[[bytes], None]
    permanent: bool = False
    heard: float = -math.inf
    sequence: int = 0
    intervals: dict[int, float] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)

    def count(self) -> int:
        """Number of the next message to it."""
        number, self.sequence = self.sequence, (self.sequence + 1) % 256
        return number

    def ask(self, kind: int, interval: float | None) -> None:
        """Send a kind of message at an interval from now on; None: as nobody had asked."""
        self.due.pop(kind, None)
        if interval is None:
            self.intervals.pop(kind, None)
        else:
            self.intervals[kind] = interval

    def take_due(self, kind: int, interval: float, now: float) -> bool:
        """True when a message of this kind is to be sent now; counts on from when it was due."""
        due = self.due.setdefault(kind, now)
        if now < due:
            return False
        # Late ones are not made up for.
        self.due[kind] = due + interval if now < due + interval else now + interval
        return True


class Peers:
    """All that are spoken to, by address.

    Args:
        say: writes a line to the log.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._peers: dict[Hashable, Peer] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._peers.values()))

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, address: Hashable, peer: Peer) -> None:
        """Speak to one, whether it says something or not."""
        self._peers[address] = peer

    def remove(self, address: Hashable) -> None:
        self._peers.pop(address, None)

    def heard(
        self, address: Hashable, name: str, send: Callable[[bytes], None], now: float
    ) -> Peer | None:
        """The one that has just said something valid; None when there are too many of them."""
        peer = self._peers.get(address)
        if peer is None:
            self.forget_silent(now)
            if len(self._peers) >= MOST_PEERS:
                return None
            peer = self._peers[address] = Peer(name, send)
            self._say(f"MAVLink from {name}")
        peer.heard = now
        return peer

    def forget_silent(self, now: float) -> None:
        """Speak no longer to those that have said nothing for long."""
        for address, peer in tuple(self._peers.items()):
            if not peer.permanent and now - peer.heard > SILENT_FOR:
                del self._peers[address]
                self._say(f"no MAVLink from {peer.name} for {SILENT_FOR:g} s")
