"""Comparison and ablations: what has weights runs, what has none is told, pages are filled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from generated_sequence import write_sequence

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import load_folder
from duml_tracker_ros.evaluation import ablations, comparison
from duml_tracker_ros.evaluation.sections import SectionError, check_sections, fill_sections
from duml_tracker_ros.evaluation.variants import VariantScores
from duml_tracker_ros.tracker import TRACKERS
from duml_tracker_ros.tracker.checkpoint import default_weights
from duml_tracker_ros.tracker.config import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_sequence(root / "glide", frames=5)
    return root


def test_every_row_of_the_papers_is_a_setting_of_its_tracker() -> None:
    """Unknown keys raise; but for the first row each one changes something."""
    assert set(ablations.ablation_names()) == {*TRACKERS, ablations.PLUG_ON}
    for name in ablations.ablation_names():
        rows = ablations.ablation_rows(name)
        assert len({r.name for r in rows}) == len(rows)
        for row in rows:
            usual = load_config("compact", name=row.tracker)
            changed = load_config("compact", row.settings, row.tracker)
            assert (changed == usual) == (not row.settings)
    places = ["compare", "guide", *(f"ablation {n}" for n in ablations.ablation_names())]
    check_sections(ROOT / "docs" / "comparison.md", places)
    rows = {r.name: r for r in ablations.ablation_rows(ablations.PLUG_ON)}
    alone = rows["SiamRCR alone"]
    assert (alone.tracker, alone.weights) == ("drol_rpn", "siamrcr")
    config = load_config("compact", alone.settings, "drol_rpn")
    assert config.network == load_config("compact", name="siamrcr").network
    assert not config.classifier.active


def test_compare_fills_the_page_and_continues(clips: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- compare -->\nold\n<!-- /compare -->\nbetween\n")
    command = ["compare", "--root", str(clips), "--device", "cpu", "--quiet", "--threads", "1"]
    command += ["--out", str(tmp_path / "out"), "--docs", str(page)]
    command += ["--tracker", "duml", "tlpg", "opencv_mil"]
    assert main([*command, "--no-speed"]) == 2
    assert "<!-- guide -->" in capsys.readouterr().err
    assert "old" in page.read_text()
    page.write_text(page.read_text() + "<!-- guide -->\n<!-- /guide -->\nafter\n")
    assert main([*command, "--no-speed"]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- compare -->\n")
    assert text.endswith("<!-- /guide -->\nafter\n")
    assert "old" not in text
    assert "| duml " in text
    assert "| opencv_mil " in text
    assert "duml-tracker train duml_r50" in text
    assert (tmp_path / "images" / "compare_success.svg").read_text().startswith("<svg")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("run.json")}
    assert len(stamps) >= 2
    row = next(r for r in capsys.readouterr().out.splitlines() if r.startswith("| duml "))
    assert [c.strip() for c in row.split("|")[7:11]] == ["-"] * 4
    assert row.rstrip(" |").endswith(" M")
    assert main([*command[:-3], "opencv_mil", "--frames", "3"]) == 0
    row = next(r for r in capsys.readouterr().out.splitlines() if r.startswith("| opencv_mil "))
    # Median, 95 %, init and memory.
    assert all(float(c) > 0 for c in row.strip("|").split("|")[6:10])
    same = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("run.json")}
    assert all(same[p] == stamps[p] for p in stamps)


def test_guide_names_the_best_of_each_kind() -> None:
    def entry(name: str, auc: float, lost: int, ms: float, memory: float) -> comparison.Entry:
        mean = {"auc": auc, "lost_sequences": lost, "lost_frames": lost / 10}
        speed = type("Speed", (), {"median": ms, "high": 2 * ms, "init": ms, "memory": memory})()
        one = comparison.Contestant(name, comparison.TrackerSpec(name))
        return comparison.Entry(one, None, mean, {}, speed)  # type: ignore[arg-type]

    found = [
        entry("duml", 0.7, 2, 20, 300),
        entry("fcot", 0.6, 0, 30, 200),
        entry("siamrcr", 0.5, 1, 10, 400),
        entry("opencv_csrt", 0.9, 0, 1, 1),
    ]
    chosen = {need: tracker for need, tracker, _ in comparison.guide(found)}
    assert chosen["the box has to fit"] == "duml"
    assert chosen["the target must not be lost"] == "fcot"
    assert chosen["the processor is slow or has other work"] == "siamrcr"
    assert chosen["30 images a second on this machine"] == "siamrcr"
    assert chosen["memory is short"] == "fcot"


def test_clips_that_choices_were_made_on_have_a_table_of_their_own(
    clips: Path, tmp_path: Path, capsys
) -> None:
    (clip,) = clips.iterdir()
    names = ["first", "second"]
    for name in names:
        shutil.copytree(clip, tmp_path / "clips" / name)
    command = ["compare", "--root", str(tmp_path / "clips"), "--quiet", "--no-speed"]
    command += ["--out", str(tmp_path / "out")]
    command += ["--tracker", "opencv_kcf", "opencv_mil", "--validation", names[0]]
    assert main(command) == 0
    text = capsys.readouterr().out
    unseen, chosen = text.split("Settings and weights were chosen on these")
    assert unseen.startswith("Nothing was chosen on these, 1 clips:")
    rows = {}
    for part, found in (("unseen", unseen), ("chosen", chosen)):
        line = next(r for r in found.splitlines() if r.startswith("| opencv_kcf "))
        rows[part] = float(line.split("|")[2])
    by_clip = next(r for r in text.splitlines() if r.startswith(f"| {names[0]} "))
    assert f"{rows['chosen']:.3f}" in by_clip
    assert main([*command[:-1], "*"]) == 2
    assert "some must match and some not" in capsys.readouterr().err


def test_ablation_tells_what_needs_a_network(clips: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- ablation siamrcr -->\n<!-- /ablation siamrcr -->\n")
    command = ["ablation", "--root", str(clips), "--device", "cpu", "--quiet", "--threads", "1"]
    command += ["--out", str(tmp_path / "out"), "--size", "compact"]
    assert main([*command, "--tracker", "siamrcr", "--docs", str(page)]) == 0
    lacking = page.read_text()
    assert "duml-tracker train siamrcr_compact --set siamrcr.links=false" in lacking
    assert "'freeze=[\"backbone\"]'" in lacking
    assert "--out runs/siamrcr_unlinked" in lacking
    network = f"siamrcr_unlinked={default_weights('compact', 'siamrcr')}"
    given = [*command, "--tracker", "siamrcr", "--network"]
    assert main([*given, network, "--docs", str(page)]) == 0
    assert "| trained briefly, without links (SiamRCR, Table 1, II)" in page.read_text()
    assert "runs/siamrcr_linked" in page.read_text()
    assert main([*given, "siamrcr_free=x"]) == 2
    assert "siamrcr_unlinked" in capsys.readouterr().err
    assert main([*command, "--tracker", "duml", "--docs", str(page)]) == 2
    assert "<!-- ablation duml -->" in capsys.readouterr().err
    assert main([*command, "--tracker", "opencv_kcf"]) == 2
    assert main([*command, "--weights", "duml=none.safetensors", "--tracker", "duml"]) == 2


def test_ablation_tells_clips_that_choices_were_made_on_apart(
    clips: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    """Columns of their own, of the same runs that the whole table has; several runs of each."""
    (clip,) = clips.iterdir()
    for name in ("first", "second"):
        shutil.copytree(clip, tmp_path / "clips" / name)
    # The second one moves: its scores are others.
    truth = tmp_path / "clips" / "second" / "groundtruth_rect.txt"
    boxes = [[float(v) for v in line.split(",")] for line in truth.read_text().splitlines()]
    moved = [f"{x + 5 * i},{y},{w},{h}" for i, (x, y, w, h) in enumerate(boxes)]
    truth.write_text("\n".join(moved) + "\n")
    rows = {"duml": [{"row": "as shipped"}, {"row": "never", "set": {"online.update": "never"}}]}
    table = {"systems": rows, "networks": {}, "plug_on": [], "plug_on_rows": []}
    monkeypatch.setattr(ablations, "_table", lambda: table)
    command = ["ablation", "--root", str(tmp_path / "clips"), "--device", "cpu", "--quiet"]
    command += ["--threads", "1", "--tracker", "duml", "--out", str(tmp_path / "out")]
    command += ["--starts", "2"]

    def table_of(*options: str) -> list[list[str]]:
        assert main([*command, *options]) == 0
        out = capsys.readouterr().out.splitlines()
        lines = [r for r in out if r.startswith("| ") and "---" not in r]
        return [[c.strip() for c in line.strip("| ").split("|")] for line in lines]

    whole, parted = table_of(), table_of("--validation", "first*")
    runs = {p.parent.name for p in (tmp_path / "out").rglob("run.json")}
    assert {n[:-2] for n in runs} == {"first", "second"}
    assert len(runs) == 4
    header = ["row", "AUC", "P@20", "nP@0.20", "lost", "lost frames", "better, worse"]
    assert whole[0] == header
    assert parted[0] == [*header, "validation: AUC", "better, worse"]
    for all_of, row in zip(whole[1:], parted[1:], strict=True):
        assert row[0] == all_of[0]
        unseen, chosen = float(row[1]), float(row[7])
        assert unseen != chosen
        assert abs((unseen + chosen) / 2 - float(all_of[1])) < 0.0011
    assert main([*command, "--validation", "third"]) == 2
    assert "some must match and some not" in capsys.readouterr().err


def test_base_alone_and_with_the_online_module(clips: Path, tmp_path: Path) -> None:
    """DuML's offline branch without and with DROL's classifier: two trackers, not one twice."""
    rows = [r for r in ablations.ablation_rows(ablations.PLUG_ON) if r.weights == "duml"][:2]
    spec = comparison.TrackerSpec("", device="cpu", size="compact")
    variants = ablations.variants_of(rows, spec, clips=load_folder(clips), out=tmp_path)
    files = {"duml": str(default_weights("compact"))}
    found = [ablations.run_row(row, variants, files, "compact") for row in rows]
    assert all(isinstance(f, VariantScores) for f in found)
    boxes = [p.read_text() for p in sorted(tmp_path.rglob("glide_001.txt"))]
    assert len(boxes) == 2
    assert boxes[0] != boxes[1]
    assert ablations.run_row(rows[0], variants, {}, "compact") == "duml-tracker train duml_compact"


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    with pytest.raises(SectionError, match="cannot be read"):
        fill_sections(page, {"compare": "x"})
    page.write_text("<!-- compare -->")
    with pytest.raises(SectionError, match="exactly one place"):
        fill_sections(page, {"compare": "x"})
