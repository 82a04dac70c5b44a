"""benchmarks/peers.py: contempt excluded on both sides, misses counted as errors, pairing, metrics and tests."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom
from script_module import load_script

from mfer_lightning.data.datasets.ferplus import CLASSES
from mfer_lightning.errors import UserError

SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    return load_script("benchmarks/peers.py")


def write(path: Path, names, rows: dict[str, list[float] | None]) -> Path:
    """Write a csv file as an adapter does: a picture and its probabilities, or None for a miss."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("picture", "x", "y", "width", "height", "cpu_ms", *names))
        for picture, shares in rows.items():
            table.writerow((picture, "", "", "", "", 1.5, *([""] * len(names) if shares is None else shares)))
    return path


def sure(names, emotion: str) -> list[float]:
    return [0.93 if name == emotion else 0.01 for name in names]


def drawn(peers, tmp_path, faces, name, skill, names=CLASSES, misses=0.1):
    """Answers of an artificial contestant, correct with probability `skill` if it finds the face."""
    rng = np.random.default_rng([len(name), ord(name[0])])
    spelled = dict(zip(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"), SEVEN, strict=True))
    rows: dict[str, list[float] | None] = {}
    for picture, k in zip(faces.pictures, faces.label, strict=True):
        truth = faces.class_names[k] if names is CLASSES else spelled.get(faces.class_names[k], names[0])
        said = truth if rng.random() < skill else str(rng.choice(names))
        rows[picture] = None if rng.random() < misses else sure(names, said)
    return peers.read_answers(write(tmp_path / f"{name}.csv", names, rows), faces.pictures)


@pytest.fixture
def faces(peers):
    rng = np.random.default_rng(3)
    return peers.Faces(tuple(f"{n:03}.png" for n in range(240)), rng.integers(0, 8, 240), tuple(CLASSES))


def test_contempt_labels_and_probabilities_are_removed(peers, tmp_path):
    faces = peers.Faces(("a.png", "b.png"), np.array([CLASSES.index("contempt"), 0]), tuple(CLASSES))
    shares = [0.3, 0.1, 0.05, 0.05, 0, 0, 0, 0.5]  # neutral 0.3 behind contempt 0.5
    ours = peers.read_answers(write(tmp_path / "o.csv", CLASSES, dict.fromkeys(faces.pictures, shares)), faces.pictures)
    table = peers.as_predictions(faces, ours, ["contempt"])
    assert table.path.tolist() == ["b.png"]
    assert table.class_names == (*CLASSES[:-1], peers.MISS)
    assert table.probabilities[0, :3] == pytest.approx([0.6, 0.2, 0.1])
    assert table.pred.tolist() == [0]
    whole = peers.as_predictions(faces, ours, [])
    assert len(whole) == 2
    assert [whole.class_names[k] for k in whole.pred] == ["contempt", "contempt"]


def test_contempt_is_kept_if_every_model_has_it(peers, tmp_path, faces):
    eight = drawn(peers, tmp_path, faces, "eight", 0.8)
    seven = drawn(peers, tmp_path, faces, "seven", 0.8, SEVEN)
    assert peers.left_out({"a": eight, "b": eight}) == []
    assert peers.left_out({"a": eight, "b": seven}) == ["contempt"]


def test_classes_are_matched_by_name_and_only_contempt_may_differ(peers, tmp_path):
    faces = peers.Faces(("a.png",), np.array([CLASSES.index("anger")]), tuple(CLASSES))
    seven = peers.read_answers(write(tmp_path / "s.csv", SEVEN, {"a.png": sure(SEVEN, "angry")}), faces.pictures)
    table = peers.as_predictions(faces, seven, ["contempt"])
    assert table.class_names[int(table.pred[0])] == "anger"
    six = peers.read_answers(write(tmp_path / "x.csv", SEVEN[:-1], {"a.png": [0.5] * 6}), faces.pictures)
    with pytest.raises(UserError, match="neutral"):
        peers.as_predictions(faces, six, ["contempt"])


def test_missed_face_counts_as_an_error(peers, tmp_path):
    faces = peers.Faces(tuple(f"{k}.png" for k in range(7)), np.arange(7), tuple(CLASSES))
    rows = {"0.png": sure(CLASSES, CLASSES[0])} | {f"{k}.png": None for k in range(1, 7)}
    answers = peers.read_answers(write(tmp_path / "m.csv", CLASSES, rows), faces.pictures)
    found = peers.figures(peers.as_predictions(faces, answers, []))
    assert found["misses"] == 6
    assert found["accuracy"] == pytest.approx(1 / 7)
    assert found["accuracy_where_found"] == 1.0
    assert found["mean_class_accuracy"] == pytest.approx(1 / 7)
    assert peers.MISS not in found["recall"]


def naive_wilson(hits: int, n: int) -> tuple[float, float]:
    z, p = 1.959963984540054, hits / n
    middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def test_metrics_and_intervals_match_a_naive_count(peers, tmp_path, faces):
    answers = drawn(peers, tmp_path, faces, "peer", 0.6, SEVEN)
    table = peers.as_predictions(faces, answers, ["contempt"])
    found = peers.figures(table)
    order = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    right: dict[str, list[bool]] = {name: [] for name in CLASSES[:-1]}
    for k, shares in zip(faces.label, answers.shares, strict=True):
        if CLASSES[k] != "contempt":
            right[CLASSES[k]].append(not np.isnan(shares[0]) and order[int(shares.argmax())] == CLASSES[k])
    everything = [hit for each in right.values() for hit in each]
    hits, n = sum(everything), len(everything)
    assert found["n"] == n < 240
    assert found["accuracy"] == pytest.approx(hits / n)
    assert found["accuracy_interval"] == pytest.approx(naive_wilson(hits, n), abs=1e-9)
    ends = {name: naive_wilson(sum(each), len(each)) for name, each in right.items()}
    recalls = {name: sum(each) / len(each) for name, each in right.items()}
    mean = sum(recalls.values()) / 7
    below = math.sqrt(sum((recalls[name] - ends[name][0]) ** 2 for name in right)) / 7
    above = math.sqrt(sum((ends[name][1] - recalls[name]) ** 2 for name in right)) / 7
    assert found["mean_class_accuracy"] == pytest.approx(mean)
    assert found["mean_class_interval"] == pytest.approx((mean - below, mean + above), abs=1e-9)
    for name, one in found["recall"].items():
        assert one["recall"] == pytest.approx(recalls[name])
        assert one["interval"] == pytest.approx(ends[name], abs=1e-9)


def test_pairs_are_tested_on_the_same_faces_with_correction(peers, tmp_path, faces):
    answers = {
        "ours": drawn(peers, tmp_path, faces, "ours", 0.8),
        "peer": drawn(peers, tmp_path, faces, "peer", 0.6, SEVEN),
        "third": drawn(peers, tmp_path, faces, "third", 0.75, SEVEN),
    }
    tables = {name: peers.as_predictions(faces, one, ["contempt"]) for name, one in answers.items()}
    found = peers.compare(tables, ["ours"])
    assert [(pair["a"], pair["b"]) for pair in found] == [("ours", "peer"), ("ours", "third")]
    raw = []
    for pair in found:
        a, b = tables[pair["a"]], tables[pair["b"]]
        right = list(zip(a.pred == a.label, b.pred == b.label, strict=True))
        only_a, only_b = sum(x and not y for x, y in right), sum(y and not x for x, y in right)
        assert (pair["only_a"], pair["only_b"]) == (only_a, only_b)
        assert pair["difference"] == pytest.approx((only_a - only_b) / len(a))
        n, smaller = only_a + only_b, min(only_a, only_b)
        tail = float(binom.cdf(smaller, n, 0.5))
        raw.append(2 * tail - float(binom.pmf(smaller, n, 0.5)))
        assert pair["p"] == pytest.approx(raw[-1])
        assert pair["interval"][0] < pair["difference"] < pair["interval"][1]
    adjusted = dict(zip(np.argsort(raw), (2 * min(raw), max(2 * min(raw), max(raw))), strict=True))
    assert [pair["adjusted_p"] for pair in found] == pytest.approx([adjusted[0], adjusted[1]])
    alone = peers.compare(tables, [])  # without our model: every pair of peers
    assert len(alone) == 3


def test_answers_for_other_images_are_rejected(peers, tmp_path):
    path = write(tmp_path / "p.csv", SEVEN, {"a.png": sure(SEVEN, "sad"), "c.png": None})
    with pytest.raises(UserError, match=r"line 3: expected the prediction for b.png, but got c.png"):
        peers.read_answers(path, ("a.png", "b.png"))
    with pytest.raises(UserError, match=r"line 4: expected the prediction for d.png, but got None"):
        peers.read_answers(path, ("a.png", "c.png", "d.png"))


@pytest.mark.parametrize("bad", [[0.5, "", 0, 0, 0, 0, 0], [-0.1, 1.1, 0, 0, 0, 0, 0], [0.0] * 7])
def test_row_that_is_not_a_distribution_is_rejected(peers, tmp_path, bad):
    path = write(tmp_path / "p.csv", SEVEN, {"a.png": sure(SEVEN, "sad"), "b.png": bad})
    with pytest.raises(UserError, match="line 3: expected probabilities or empty cells"):
        peers.read_answers(path, ("a.png", "b.png"))


def test_halves_of_the_photos_are_disjoint_and_independent_of_order(peers, tmp_path):
    names = [f"{n:03}.jpg" for n in range(330)]
    parts = peers.halves(names[::-1])
    assert parts == peers.halves(names)
    assert (len(parts["working"]), len(parts["final"])) == (165, 165)
    assert sorted(parts["working"] + parts["final"]) == names
    with (tmp_path / "labels.csv").open("w", encoding="utf-8") as file:
        file.writelines(["image,emotion\n", *(f"{name},happy\n" for name in names)])
    found = peers.photos(tmp_path, "working")
    assert [Path(picture).name for picture in found.pictures] == parts["working"]
    assert set(found.label.tolist()) == {CLASSES.index("happiness")}


def test_command_runs_an_adapter_without_labels_and_writes_tables(peers, tmp_path, capsys, monkeypatch):
    names = [f"{n}.jpg" for n in range(40)]
    emotions = [CLASSES[n % 8] for n in range(40)]
    pairs = zip(names, emotions, strict=True)
    (tmp_path / "labels.csv").write_text("image,emotion\n" + "".join(f"{a},{b}\n" for a, b in pairs))
    adapter = tmp_path / "adapter.py"
    adapter.write_text(
        "import sys, pathlib, json\n"
        "task, listing, out = sys.argv[1:]\n"
        "assert task == 'photos'\n"
        f"names = {SEVEN!r}\n"
        "rows = ['picture,x,y,width,height,cpu_ms,' + ','.join(names)]\n"
        "for picture in open(listing).read().splitlines():\n"
        "    rows.append(picture + ',,,,,2.0,' + ','.join('1' if n == 'happy' else '0' for n in names))\n"
        "pathlib.Path(out).write_text('\\n'.join(rows))\n"
        "pathlib.Path(out).with_suffix('.json').write_text(json.dumps({'package': 'made up'}))\n"
    )
    out = tmp_path / "out"
    line = ["peers.py", str(out), "--photos", str(tmp_path), "--peer", f"happy={sys.executable} {adapter}"]
    monkeypatch.setattr(sys, "argv", [*line, "--speed", "1"])
    peers.main()
    result = json.loads((out / "peers.json").read_text())["photos"]
    half = peers.photos(tmp_path, "working").label
    kept = half[half != CLASSES.index("contempt")]
    assert result["figures"]["happy"]["n"] == len(kept)
    assert result["figures"]["happy"]["accuracy"] == pytest.approx(np.mean(kept == CLASSES.index("happiness")))
    assert result["speed"]["happy"]["per_second"] == pytest.approx(500)
    assert result["facts"]["happy"] == {"package": "made up"}
    assert "| happy |" in capsys.readouterr().out


def test_answers_of_an_interrupted_adapter_are_requested_again(peers, tmp_path, monkeypatch):
    (tmp_path / "labels.csv").write_text("image,emotion\n" + "".join(f"{n}.jpg,happiness\n" for n in range(4)))
    adapter = tmp_path / "adapter.py"
    adapter.write_text(
        "import sys, pathlib\n"
        "listing, out = sys.argv[2:]\n"
        f"names = {SEVEN!r}\n"
        "rows = ['picture,x,y,width,height,cpu_ms,' + ','.join(names)]\n"
        "rows += [p + ',,,,,2.0,' + ','.join('1' if n == 'happy' else '0' for n in names)\n"
        "         for p in open(listing).read().splitlines()]\n"
        "pathlib.Path(out).write_text('\\n'.join(rows))\n"
        "pathlib.Path(out).with_suffix('.json').write_text('{}')\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "happy-photos.csv").write_text("picture,x,y\ncut off")  # without metadata, which is written last
    line = ["peers.py", str(out), "--photos", str(tmp_path), "--peer", f"happy={sys.executable} {adapter}"]
    monkeypatch.setattr(sys, "argv", [*line, "--keep"])
    peers.main()
    assert json.loads((out / "peers.json").read_text())["photos"]["figures"]["happy"]["accuracy"] == 1
