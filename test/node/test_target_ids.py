"""Ids of targets go on after a restart, whatever became of the file or the process."""

import logging
import time

import pytest
from kill_harness import kills

from duml_tracker_ros.node.target_ids import BLOCK, TargetIds, state_file
from duml_tracker_ros.node.target_registry import LAST_ID

LOGGER = logging.getLogger("ids")


def test_a_process_begins_above_all_that_the_former_used(tmp_path):
    file = tmp_path / "folder" / "node.id"
    former = TargetIds(file, LOGGER)
    assert former.first == 1
    for used in (2, 3, BLOCK, BLOCK + 1, BLOCK + 2):
        former.keep(used)
    assert TargetIds(file, LOGGER).first >= BLOCK + 2
    chosen = TargetIds(file, LOGGER)
    chosen.keep(90_001)
    assert TargetIds(file, LOGGER).first >= 90_001


def test_few_selections_write(tmp_path):
    file = tmp_path / "node.id"
    ids = TargetIds(file, LOGGER)
    file.unlink()
    for used in range(1, BLOCK + 1):
        ids.keep(used)
    assert not file.exists()
    ids.keep(BLOCK + 1)
    ids.keep(BLOCK + 2)
    assert file.exists()


def test_ids_end_and_begin_again(tmp_path):
    file = tmp_path / "node.id"
    file.write_text(f"{LAST_ID - 1}\n")
    ids = TargetIds(file, LOGGER)
    assert ids.first == LAST_ID - 1
    ids.keep(LAST_ID)
    ids.keep(1)
    ids.keep(2)
    assert 2 <= TargetIds(file, LOGGER).first <= 2 * BLOCK


@pytest.mark.parametrize("text", ["", "7 8", "-1", "4294967296", "1e3", "null", "\x00\xff" * 99])
def test_a_damaged_file_is_named_and_ids_begin_by_the_clock(tmp_path, caplog, text):
    file = tmp_path / "node.id"
    file.write_text(text, encoding="latin-1")
    before = int(time.time() * 100) % LAST_ID
    first = TargetIds(file, LOGGER).first
    assert (first - before) % LAST_ID < 100_000
    assert str(file) in caplog.text
    assert "state_folder" in caplog.text
    # It is whole again.
    assert (TargetIds(file, LOGGER).first - first) % LAST_ID == BLOCK


def test_a_folder_that_cannot_be_written_is_named(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    ids = TargetIds(blocked / "node.id", LOGGER)
    assert ids.first > BLOCK
    assert f"ids begin at {ids.first}, by the clock" in caplog.text
    ids.keep(ids.first + 1)
    assert caplog.text.count("may be used again") == 1, "not at every selection"


def test_killed_at_any_write_no_id_comes_twice(tmp_path):
    file = tmp_path / "node.id"
    TargetIds(file, LOGGER).keep(5)

    def process():
        ids = TargetIds(file, LOGGER)
        for used in range(ids.first + 1, ids.first + BLOCK + 3):
            ids.keep(used)
            # It is told of the id before the next one.
            told.write_text(str(used - 1))

    told = tmp_path / "told"
    told.write_text("4")
    last, steps = 4, 0
    for _ in kills(process, file.parent):
        steps += 1
        if steps > 12:
            break
        used = int(told.read_text() or last)
        assert used >= last
        last = used
        assert int(file.read_text()) > used
    assert steps > 6


def test_each_node_has_a_file_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    file = state_file("", "/fleet/one/duml_tracker", 63, "id")
    assert file == tmp_path / "duml_tracker" / "63.fleet.one.duml_tracker.id"
    assert state_file("/var/x", "/duml_tracker", 0, "id").parent.as_posix() == "/var/x"
