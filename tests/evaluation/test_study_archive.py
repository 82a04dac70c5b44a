"""The archive of a study: read back unchanged, an ordinary npz file, and rejected with one message if damaged."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation import study_archive
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.study_archive import ArchivedRun, read_archive, write_archive

NAMES = ("anger", "fear", "joy")


def run(name: str, n: int = 12, seed: int = 0, **columns: Any) -> ArchivedRun:
    logits = np.random.default_rng(seed).normal(size=(n, 3))
    table = Predictions(range(n), [f"ü, {i}.png" for i in range(n)], np.arange(n) % 3, logits, NAMES, **columns)
    return ArchivedRun(name, {"split": "test", "seed": seed}, table, "epoch\n0\n")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(tmp_path / "runs.npz", [run("a/x", seed=1), run("b", seed=2), run("a/y", n=5)])
    return tmp_path / "runs.npz"


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)


def change_index(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    def apply(members: dict[str, bytes]) -> None:
        index = json.loads(members["index.json"])
        change(index)
        members["index.json"] = json.dumps(index).encode()

    rewrite(path, apply)


def npy(value: np.ndarray, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, value, **options)
    return file.getvalue()


def test_runs_round_trip_unchanged(tmp_path: Path) -> None:
    votes = np.random.default_rng(0).integers(0, 9, (12, 2))
    runs = [
        run("c", seed=3, votes=votes, vote_names=("anger", "NF")),
        run("a", seed=1),
        run("b", seed=2, target=np.full((12, 3), 1 / 3)),
        run("a/evaluations/e", seed=4),
        ArchivedRun("a/evaluations/f", {"x": 0.1}, run("a").table),
    ]
    write_archive(tmp_path / "runs.npz", runs)
    found = {item.name: item for item in read_archive(tmp_path / "runs.npz")}
    assert set(found) == {item.name for item in runs}
    assert all(item.equals(found[item.name]) for item in runs)
    assert not run("a", seed=5).equals(found["a"])
    assert not run("c", seed=3).equals(found["c"])
    before = (tmp_path / "runs.npz").read_bytes()
    write_archive(tmp_path / "runs.npz", runs[::-1])
    again = {item.name: item for item in read_archive(tmp_path / "runs.npz")}
    assert all(item.equals(again[item.name]) for item in runs)
    write_archive(tmp_path / "runs.npz", list(found.values()))
    assert (tmp_path / "runs.npz").read_bytes() == before


def test_archive_can_be_read_with_only_numpy_and_json(archive: Path) -> None:
    with np.load(archive, allow_pickle=False) as file:
        index = json.loads(file["index.json"])
        entry = next(entry for entry in index["runs"] if entry["name"] == "b")
        logits = file[f"{entry['faces']}/logits"][entry["row"]]
        path = file[f"{entry['faces']}/path"]
    assert (index["format"], index["version"]) == ("mfer_lightning study", 1)
    assert entry["result"] == {"split": "test", "seed": 2}
    assert entry["metrics"] == "epoch\n0\n"
    np.testing.assert_array_equal(logits, run("b", seed=2).table.logits)
    assert path[3] == "ü, 3.png"


def test_missing_archive_raises_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no archive"):
        read_archive(tmp_path / "runs.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_archive_is_rejected(archive: Path, share: float) -> None:
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(UserError, match=r"runs\.npz cannot be read: it is truncated or damaged"):
        read_archive(archive)


def test_corrupted_bytes_are_detected(archive: Path) -> None:
    whole, before, refused = archive.read_bytes(), read_archive(archive), 0
    for at in range(0, len(whole), 97):
        archive.write_bytes(whole[:at] + bytes(b ^ 0xFF for b in whole[at : at + 4]) + whole[at + 4 :])
        try:
            found = read_archive(archive)
        except UserError as error:
            refused += "runs.npz cannot be read" in str(error)
        else:  # only metadata such as a date has changed
            assert all(run.equals(other) for run, other in zip(found, before, strict=True))
    assert refused > 0.8 * len(whole) / 97


def test_newer_versions_and_foreign_files_are_rejected_by_name(archive: Path, tmp_path: Path) -> None:
    change_index(archive, lambda index: index.update(version=2))
    with pytest.raises(UserError, match="its format has version 2, but this program reads 1: update mfer_lightning"):
        read_archive(archive)
    change_index(archive, lambda index: index.update(format="zoo"))
    with pytest.raises(UserError, match="it is not a study's archive"):
        read_archive(archive)
    np.savez(tmp_path / "features.npz", feature=np.zeros(3))
    with pytest.raises(UserError, match=r"it has no index\.json, so it is not a study's archive"):
        read_archive(tmp_path / "features.npz")


def test_run_without_predictions_is_named(archive: Path) -> None:
    rewrite(archive, lambda members: members.pop("0/logits.npy"))
    with pytest.raises(UserError, match=r"it has no 0/logits\.npy"):
        read_archive(archive)


@pytest.mark.parametrize(("faces", "row"), [(0, 9), (7, 0), (-1, 0), (0, -1)])
def test_run_past_the_end_of_the_predictions_is_named(archive: Path, faces: int, row: int) -> None:
    change_index(archive, lambda index: index["runs"][1].update(faces=faces, row=row))
    with pytest.raises(UserError, match="it has no predictions of a/y"):
        read_archive(archive)


@pytest.mark.parametrize(("faces", "row"), [(0, 1.5), (0, "0"), (0, True), (None, 0)])
def test_non_integer_offset_is_rejected(archive: Path, faces: object, row: object) -> None:
    change_index(archive, lambda index: index["runs"][1].update(faces=faces, row=row))
    with pytest.raises(UserError, match=r"predictions of a/y is not a whole number"):
        read_archive(archive)


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b", "", "b", "c\\..\\d"])
def test_names_outside_the_study_are_rejected(archive: Path, name: str) -> None:
    change_index(archive, lambda index: index["runs"][0].update(name=name))
    with pytest.raises(UserError, match="which is repeated or not a folder inside the study"):
        read_archive(archive)


def test_code_is_never_executed_and_memory_is_limited(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = npy(np.array([print], dtype=object), allow_pickle=True)
    header = npy(np.zeros(1)).replace(b"(1,), ", b"(10**15,), ").replace(b"(10**15", b"(1000000000000")
    for hostile in (pickled, header, b"no array"):
        rewrite(archive, lambda members, data=hostile: members.update({"0/logits.npy": data}))
        with pytest.raises(UserError, match=r"runs\.npz cannot be read"):
            read_archive(archive)
    monkeypatch.setattr(study_archive, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"it unpacks to .*, but the limit is 0\.0 MB"):
        read_archive(archive)


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("0/index.npy", np.zeros(12, dtype=np.int64), "repeats a face"),
        ("0/label.npy", np.full(12, 3), "label"),
        ("0/logits.npy", np.full((2, 12, 3), np.nan), "finite"),
        ("0/path.npy", np.array(["a"]), "path"),
        ("0/votes.npy", np.zeros((12, 2)), "votes"),
    ],
)
def test_invalid_columns_are_rejected(archive: Path, member: str, value: np.ndarray, words: str) -> None:
    rewrite(archive, lambda members: members.update({member: npy(value)}))
    with pytest.raises(UserError, match=rf"runs\.npz cannot be read: .*{words}"):
        read_archive(archive)
