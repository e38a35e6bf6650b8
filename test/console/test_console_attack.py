"""The console under attack by who has no token: a real process, and sockets that behave badly."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from console_harness import Watcher, console
from node_harness import WAIT

from duml_tracker_ros.console import doors
from duml_tracker_ros.console.doors import (
    GUESTS,
    GUESTS_OF_ADDRESS,
    MaskCheck,
    neighbourhood,
)
from duml_tracker_ros.console.guard import Guard
from duml_tracker_ros.console.hub import Hub
from duml_tracker_ros.console.picture import encode, encode_mask
from duml_tracker_ros.console.server import Server
from duml_tracker_ros.console.settings import ConsoleSettings
from duml_tracker_ros.node.operator import Answer

TOKEN = "a-token-of-many-letters"
HEADERS = (
    "server: duml_console",
    "content-security-policy: default-src 'none'",
    "x-content-type-options: nosniff",
    "referrer-policy: no-referrer",
    "cache-control: no-cache",
)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A console that needs a token: its address, its port and its process."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    with console("/attacked", token_file=str(file), max_clients=2) as (address, process):
        yield address, urlsplit(address).port, process


def dial(port, source="127.0.0.1"):
    found = socket.create_connection(("127.0.0.1", port), WAIT, (source, 0))
    found.settimeout(WAIT)
    return found


@contextlib.contextmanager
def crowd(port, count, source, said=b""):
    """Many sockets of one address that say something and nothing more."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial(port, source)) for _ in range(count)]
        for one in sockets:
            with contextlib.suppress(OSError):
                one.sendall(said)
        yield sockets


def upgrade(port, extra=b""):
    key = base64.b64encode(bytes(16)).decode()
    lines = (
        "GET /live HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Origin: http://127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + extra


def until_closed(one):
    """All that comes before the other end closes."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := one.recv(65536):
            got += data
    return got


def open_files(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def log_in(address):
    """Log in once with the right token."""

    async def welcome():
        async with Watcher(address, TOKEN) as watcher:
            await watcher.until(lambda m: m["type"] == "welcome", "a welcome")

    asyncio.run(welcome())


SILENT = {
    "nothing": b"",
    "half a request": b"GET / HTTP/1.1\r\nHost: 127",
    "a WebSocket without hello": None,
    "a wrong token": None,
}


@pytest.mark.parametrize("kind", SILENT)
def test_silent_crowds_lock_no_operator_out(attacked, kind):
    address, port, process = attacked
    said = SILENT[kind]
    if said is None:
        text = b'{"type":"hello","token":"wrong"}' if kind == "a wrong token" else b""
        frame = bytes((0x81, 0x80 | len(text))) + bytes(4) + text if text else b""
        said = upgrade(port, frame)
    before = open_files(process)
    with (
        crowd(port, 200, "127.0.0.2", said),
        crowd(port, 40, "127.0.0.1", said),
    ):
        for _ in range(5):
            log_in(address)
        assert open_files(process) <= before + GUESTS + 20
    assert process.running()


def test_a_crowd_takes_places_from_itself_only(attacked):
    address, port, _ = attacked
    with dial(port, "127.0.0.3") as patient, crowd(port, 3 * GUESTS_OF_ADDRESS, "127.0.0.4"):
        patient.sendall(f"GET /icon.svg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert patient.recv(20).startswith(b"HTTP/1.1 200")
    log_in(address)


def test_half_a_request_is_waited_for_seconds_only(attacked):
    _, port, _ = attacked
    began = time.monotonic()
    half = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", upgrade(port)[:-2])
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(dial(port)) for _ in half]
        for one, said in zip(waiting, half, strict=True):
            one.sendall(said)
        for one in waiting:
            assert until_closed(one) == b""
    # Not before the time is up, either: a slow link is no attack.
    assert time.monotonic() - began > 3.0


MALFORMED = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000,
    b"\r\n" * 3 + b"\xff" * 100 + b"\r\n\r\n",
)


def test_malformed_requests_fill_no_log(attacked):
    address, port, process = attacked
    before = len(process.log())
    answers = set()
    for index in range(400):
        with dial(port, f"127.0.0.{5 + index % 4}") as one, contextlib.suppress(OSError):
            one.sendall(MALFORMED[index % len(MALFORMED)])
            answers.add(until_closed(one))
    log_in(address)
    assert len(process.log()) - before < 3000
    assert "Traceback" not in process.log()
    refused = [answer.decode("latin-1").lower() for answer in answers if answer]
    assert refused
    for answer in refused:
        assert answer.startswith("http/1.")
        assert all(header in answer for header in HEADERS), answer
        assert answer.endswith("400: the request is malformed\n")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}", "200"),
        ("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:{port}", "404"),
        ("POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0", "405"),
        ("GET / HTTP/1.1\r\nHost: elsewhere", "403"),
        ("GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://x", "403"),
        (None, "101"),
    ],
)
def test_every_answer_has_the_consoles_headers(attacked, lines, status):
    _, port, _ = attacked
    request = upgrade(port)
    if lines:
        request = lines.format(port=port).encode() + b"\r\nConnection: close\r\n\r\n"
    with dial(port) as one:
        one.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += one.recv(65536)
    head = got.decode("latin-1").lower().partition("\r\n\r\n")[0]
    assert head.startswith(f"http/1.1 {status}")
    assert all(header in head for header in HEADERS), head


@pytest.mark.parametrize("together", [True, False])
def test_unmasked_frames_are_refused(attacked, together):
    _, port, process = attacked
    text = b'{"type":"hello","token":"%s"}' % TOKEN.encode()
    frame = bytes((0x81, len(text))) + text
    with dial(port) as one:
        one.sendall(upgrade(port, frame if together else b""))
        if not together:
            assert one.recv(65536).startswith(b"HTTP/1.1 101")
            one.sendall(frame)
        got = until_closed(one)
    assert got.endswith(b"\x88\x02" + struct.pack(">H", 1002))
    assert b"welcome" not in got
    assert process.running()


def test_frames_are_told_apart_however_they_arrive():
    def frame(length, mask=0x80):
        form = ">BB" if length < 126 else ">BBH" if length < 65536 else ">BBQ"
        code = length if length < 126 else 126 if length < 65536 else 127
        sizes = () if length < 126 else (length,)
        head = struct.pack(form, 0x82, mask | code, *sizes)
        return head + (b"mask" if mask else b"") + b"\x01" * length

    sound = b"".join(frame(n) for n in (0, 1, 125, 126, 127, 65535, 65536, 3, 0))
    for step in (1, 2, 3, 7, 4096, len(sound)):
        frames = MaskCheck()
        parts = [sound[i : i + step] for i in range(0, len(sound), step)]
        assert all(frames.masked(part) for part in parts)
        assert not frames.masked(frame(5, mask=0))
    assert not MaskCheck().masked(sound + frame(0, mask=0) + sound)


def test_addresses_of_one_network_count_as_one():
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:0:1%eth0")
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")
    assert neighbourhood("::ffff:10.0.0.7") == neighbourhood("10.0.0.7") == "10.0.0.7"
    assert neighbourhood("10.0.0.8") != neighbourhood("10.0.0.7")
    assert neighbourhood("") == ""


def test_who_has_the_token_stays_and_who_has_none_goes(monkeypatch):
    monkeypatch.setattr(doors, "GUEST_TIMEOUT", 2.0)

    async def scenario():
        hub = Hub(encode, encode_mask, 1.0, lambda *audience: None, print)
        settings = ConsoleSettings(host="127.0.0.1", port=0)
        own = doors.Doors(print)
        server = Server(Guard(settings, TOKEN), hub, Operator(), 2, own)
        runner = web.AppRunner(server.application(), access_log=None)
        await runner.setup()
        listening = await own.listen(runner, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        try:
            async with Watcher(f"http://127.0.0.1:{port}/", TOKEN) as watcher:
                await watcher.until(lambda m: m["type"] == "welcome", "a welcome")
                assert own.guests == 0
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.read(12)) == b"HTTP/1.1 403"
                # The guest's time is up, and the operator's, had it one, was before that.
                await asyncio.wait_for(reader.read(), WAIT)
                writer.close()
                assert (await watcher.ask(type="stop", target=0))["message"] == "stopped"
        finally:
            listening.close()
            await runner.cleanup()

    asyncio.run(scenario())


class Operator:
    """Answers as the tracker's node would."""

    async def select(self, *wish):
        return Answer(True, "selected")

    async def stop(self, target_id):
        return Answer(True, "stopped")
