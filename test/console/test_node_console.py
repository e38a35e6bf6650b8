"""The console as a process beside the node's, spoken to as browsers do and as intruders would."""

import asyncio
import re
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("aiohttp", reason="the console needs aiohttp")

import aiohttp
from console_harness import Watcher, console, tracking
from node_harness import IMAGE, NODE, WAIT, stamp_of

from duml_tracker_ros.tracker.geometry import overlap

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def feed(talker, process):
    with tracking(talker) as feed:
        yield feed


@pytest.fixture(scope="module")
def address(feed, tmp_path_factory):
    file = tmp_path_factory.mktemp("console") / "token"
    file.write_text(f"{TOKEN}\n")
    with console(token_file=str(file), rate=60.0) as (address, _):
        assert address.endswith(f"/#{TOKEN}")
        yield address


@pytest.fixture
def idle(address):
    """The tracker without a target, whatever the test before has left."""

    async def act():
        async with Watcher(address) as watcher:
            await watcher.scene(lambda scene: scene["targets"], "an answered image")
            await stop_all(watcher)

    asyncio.run(act())


@pytest.fixture
def base(address):
    return address.partition("#")[0]


def around(box, margin=0.0):
    return [box[0] - margin, box[1] - margin, box[2] + 2 * margin, box[3] + 2 * margin]


def followed(scene, target_id):
    return next((t for t in scene["targets"] or [] if t["id"] == target_id), None)


async def select(watcher, feed, **more):
    """Select the target on the image of the next scene; the answer."""
    scene = await watcher.scene(lambda scene: scene["targets"] is not None)
    box = around(feed.truth[int(scene["stamp"])])
    wish = {"type": "select", "box": box, "stamp": scene["stamp"], "replaces": 0, **more}
    return await watcher.ask(**wish)


async def stop_all(watcher):
    answer = await watcher.ask(type="stop", target=0)
    assert answer["ok"], answer
    await watcher.scene(lambda s: s["targets"] and s["targets"][0]["state"] == "idle", "idle")


def test_a_box_drawn_on_an_image_is_followed_until_it_is_stopped(address, feed, idle):
    async def act():
        async with Watcher(address) as watcher:
            scene = await watcher.scene(lambda scene: scene["targets"], "an answered image")
            assert scene["targets"][0]["state"] == "idle"
            assert scene["numbers"]["topic"] == IMAGE
            picture = cv2.imdecode(np.frombuffer(scene["jpeg"], np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (480, 640, 3)
            answer = await select(watcher, feed)
            assert answer["ok"], answer
            feed.playing.set()
            seen = {}
            while len(seen) < 15:
                scene = await watcher.scene(
                    lambda s: s["targets"] and followed(s, answer["target"])
                )
                target = followed(scene, answer["target"])
                assert target["state"] == "tracking"
                assert overlap(target["box"], feed.truth[int(scene["stamp"])]) > 0.5
                seen[scene["stamp"]] = feed.truth[int(scene["stamp"])]
            moved = np.ptp([box[0] for box in seen.values()])
            assert moved > 5.0
            await stop_all(watcher)
        feed.playing.clear()

    asyncio.run(act())


def test_what_the_tracker_looked_at_is_sent_to_those_who_want_it(address, feed, idle):
    async def act():
        async with Watcher(address) as plain, Watcher(address) as curious:
            answer = await select(plain, feed)
            await curious.send(type="watch", debug=True)
            scene = await curious.scene(lambda scene: scene["debug"], "debug readings")
            (reading,) = scene["debug"]
            assert reading["id"] == answer["target"]
            assert reading["maps"] == ["fused", "robust", "accurate"]
            cells = reading["rows"] * reading["cols"]
            assert len(scene["rest"]) == 3 * cells
            fused = np.frombuffer(scene["rest"], np.uint8)[:cells]
            assert fused.max() > 100
            x, y, w, h = reading["area"]
            row, col = divmod(int(fused.argmax()), reading["cols"])
            peak = x + w * (col + 0.5) / reading["cols"], y + h * (row + 0.5) / reading["rows"]
            box = feed.truth[int(scene["stamp"])]
            assert abs(peak[0] - box[0] - box[2] / 2) < box[2]
            assert abs(peak[1] - box[1] - box[3] / 2) < box[3]
            assert 1 <= len(reading["votes"]) <= 10
            assert overlap(reading["votes"][0][:4], box) > 0.4
            assert reading["region"][2] > box[2]
            assert not (await plain.scene())["debug"]
            await curious.send(type="watch", debug=False)
            await curious.scene(lambda scene: not scene["debug"], "no debug readings")
            await stop_all(plain)

    asyncio.run(act())


def test_points_several_targets_and_replacing(address, feed, idle):
    async def act():
        async with Watcher(address) as watcher:
            first = await select(watcher, feed)
            x, y, w, h = feed.truth[int(watcher.scenes[-1]["stamp"])]
            point = {"box": None, "point": [x + w / 2, y + h / 2]}
            second, third = [await select(watcher, feed, **point) for _ in range(2)]
            assert all(answer["ok"] for answer in (first, second, third)), (second, third)
            refused = await select(watcher, feed)
            assert not refused["ok"]
            assert "max_targets" in refused["message"]
            fourth = await select(watcher, feed, replaces=second["target"])
            assert fourth["ok"], fourth
            wanted = {answer["target"] for answer in (first, third, fourth)}
            await watcher.scene(lambda s: {t["id"] for t in s["targets"] or []} == wanted, "three")
            stopped = await watcher.ask(type="stop", target=third["target"])
            assert stopped["ok"], stopped
            wanted.remove(third["target"])
            await watcher.scene(lambda s: {t["id"] for t in s["targets"] or []} == wanted, "two")
            await stop_all(watcher)

    asyncio.run(act())


def test_what_the_node_refuses_is_told_with_its_reason(address, idle):
    async def act():
        async with Watcher(address) as watcher:
            scene = await watcher.scene(lambda scene: scene["stamp"])
            wish = {"type": "select", "stamp": scene["stamp"], "replaces": 0}
            outside = await watcher.ask(**wish, box=[900, 900, 20, 20])
            assert (outside["ok"], outside["target"]) == (False, 0)
            assert "outside" in outside["message"]
            old = await watcher.ask(**{**wish, "stamp": "5"}, box=[10, 10, 20, 20])
            assert "ring_seconds" in old["message"]
            unknown = await watcher.ask(type="stop", target=4_000_000)
            assert "4000000" in unknown["message"]

    asyncio.run(act())


def test_nothing_is_subscribed_to_unless_somebody_watches(address, talker):
    topics = {IMAGE: 1, f"{NODE}/target": 1, f"{NODE}/debug": 0}  # the node's and the talker's own

    async def subscribers(extra, what):
        for _ in range(int(WAIT / 0.05)):
            counts = {name: talker.node.count_subscribers(name) for name in topics}
            if counts == {name: own + extra for name, own in topics.items()}:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{what}: {counts}")

    async def act():
        await subscribers(0, "before")
        async with Watcher(address) as watcher:
            await watcher.send(type="watch", debug=True)
            await subscribers(1, "while watched")
        await subscribers(0, "afterwards")

    asyncio.run(act())


def test_slow_browsers_hold_one_scene_each_and_the_node_answers_every_image(address, feed, talker):
    async def act():
        slow = [Watcher(address) for _ in range(10)]
        for watcher in slow:
            await watcher.__aenter__()
        async with Watcher(address) as quick:
            await quick.scene(lambda s: s["numbers"]["clients"] == 11, "all browsers")
            talker.targets.clear()
            began = len(quick.scenes)
            first = quick.scenes[-1]["seq"]
            while len(quick.scenes) < began + 30:
                await quick.scene()
            newest = quick.scenes[-1]["seq"]
            assert newest >= first + 30
            # Read only now: each was sent one scene, an old one, and then the newest.
            for watcher in slow:
                await watcher.receive(acknowledge=False)  # the welcome
                old = await watcher.receive(acknowledge=True)
                assert old["type"] == "scene"
                assert old["seq"] < newest
                assert (await watcher.receive())["seq"] >= newest
        for watcher in slow:
            await watcher.__aexit__()
        targets = {stamp_of(target): target for target in list(talker.targets)}
        stamps = sorted(stamp for stamp in feed.truth if min(targets) <= stamp <= max(targets))
        # Every image in between is answered or counted, but for those that best effort has lost.
        dropped = sum(targets[stamp].frames_dropped for stamp in sorted(targets)[1:])
        assert len(stamps) * 0.8 <= len(targets) + dropped <= len(stamps)

    asyncio.run(act())


# -- intruders --------------------------------------------------------------------------------


async def status(base, path="/", method="GET", **headers):
    """Status and text of the answer to a request, sent as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rsplit(":", 1)[1][:-1]))
    headers = {"Host": base[len("http://") : -1], "Connection": "close", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)).decode()
    length = re.search(r"(?i)content-length: (\d+)", head)
    body = await asyncio.wait_for(reader.readexactly(int(length[1]) if length else 0), WAIT)
    writer.close()
    return int(head.split()[1]), head + body.decode()


def test_only_the_page_is_served(base):
    async def act():
        for path in ("/", "/main.js", "/console.css", "/icon.svg"):
            code, text = await status(base, path)
            assert code == 200, path
            assert "default-src 'none'" in text
            assert "nosniff" in text
        for path in (
            "/..",
            "/../settings.py",
            "/%2e%2e/settings.py",
            "/..%2fsettings.py",
            "/page/../../settings.py",
            "//etc/passwd",
            "/etc/passwd",
            "/main.js/..",
            "/index.html%00",
            "/console.css%2f..%2f..%2fsettings.py",
            "/\\..\\settings.py",
            "/?file=/etc/passwd&x=../..",
        ):
            code, text = await status(base, path)
            assert code in (400, 404) or path.startswith("/?"), (path, text)
            assert "ConsoleError" not in text
            assert "root:" not in text
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await status(base, "/", method))[0] == 405
        assert (await status(base, "/", **{"X-Long": "x" * 20_000}))[0] == 400

    asyncio.run(act())


def test_other_names_and_other_origins_are_refused(address, base):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="

    async def act():
        # A name of the attacker's that he lets point at this machine.
        for path in ("/", "/live"):
            code, text = await status(base, path, Host="evil.example:8090")
            assert code == 403
            assert "evil.example" in text
        for origin in ("http://evil.example", "null", base.replace("127.0.0.1", "localhost")):
            assert (await status(base, "/live", Origin=origin, **upgrade))[0] == 403
        assert (await status(base, "/live", **upgrade))[0] == 403
        # The page's own origin is let in, but speaks WebSocket only.
        assert (await status(base, "/live", Origin=base[:-1]))[0] == 400
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with Watcher(address, headers={"Origin": "https://evil.example"}):
                pass

    asyncio.run(act())


async def closed(watcher):
    """Read to the end; the code that it was closed with."""
    while await watcher.receive(acknowledge=False) is not None:
        assert not watcher.scenes, "a stranger was shown a scene"
    return watcher.socket.close_code


def test_nothing_is_shown_without_the_right_token(base):
    async def enter(token, words):
        async with Watcher(base, token) as watcher:
            assert await closed(watcher) == 4401, token
            assert words in watcher.texts[-1]["message"], token

    async def act():
        wrong = ("correct-horse", TOKEN + "x", TOKEN.upper(), "\u00e4", "\ud800")
        # At once: each wrong token is answered late.
        await asyncio.gather(enter("", "is needed"), *(enter(token, "wrong") for token in wrong))

    asyncio.run(act())


@pytest.mark.parametrize(
    "first", ['{"type":"stop","request":1,"target":0}', "nonsense", '{"type":"hello","token":[]}']
)
def test_nothing_is_heeded_before_the_token(base, first):
    async def act():
        origin = {"Origin": base[:-1]}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{base}live", headers=origin) as connection,
        ):
            await connection.send_str(first)
            answer = await asyncio.wait_for(connection.receive(), WAIT)
            assert "hello" in answer.json()["message"]
            assert (await connection.receive()).type is aiohttp.WSMsgType.CLOSE

    asyncio.run(act())


def test_bad_messages_are_refused_and_then_the_sender(address):
    async def act():
        async with Watcher(address) as watcher:
            for text in ("nonsense", "[]", '{"type":"publish","topic":"/cmd_vel"}'):
                await watcher.socket.send_str(text)
                await watcher.until(lambda m: m["type"] == "refused", "a refusal")
            await watcher.socket.send_bytes(b"\x00\x01")
            await watcher.until(lambda m: "texts" in m.get("message", ""), "a refusal")
            # Its other messages are heeded all the same.
            answer = await watcher.ask(type="stop", target=0)
            assert answer["ok"], answer
            for _ in range(30):
                await watcher.socket.send_str("nonsense")
            while await watcher.receive() is not None:
                pass
            assert watcher.socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
        async with Watcher(address) as watcher:
            await watcher.scene()
            await watcher.socket.send_str("x" * 100_000)
            while await watcher.receive() is not None:
                pass
            assert watcher.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        async with Watcher(address) as watcher:
            await watcher.scene(lambda scene: scene["jpeg"], "a picture")

    asyncio.run(act())


# -- starting ---------------------------------------------------------------------------------


def start(*arguments):
    command = [sys.executable, "-P", "-m", "duml_tracker_ros.cli", "console", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    return done.returncode, done.stderr


def test_what_cannot_be_served_is_told_with_the_remedy(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = start("--port", str(port))
    assert code == 1
    assert f"port = {port}" in text
    code, text = start("--token-file", str(tmp_path / "none"), "--tracker", "/other/tracker")
    assert code == 1
    assert "token_file" in text
    assert "secrets" in text
