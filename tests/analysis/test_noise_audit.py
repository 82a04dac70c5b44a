"""The label audit: networks judge faces they were not trained on, and planted wrong labels are found and corrected."""

from __future__ import annotations

import csv
import io
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from analysis.conftest import FAMILIES
from rich.console import Console

from mfer_lightning.analysis.judges import Judged, judge_training_set
from mfer_lightning.analysis.noise_audit import TABLE, audit_judged, audit_labels
from mfer_lightning.bundled import registry
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.files import digests, write_json
from mfer_lightning.inference.dataset import dataset_config, open_dataset
from mfer_lightning.inference.model import read_model
from mfer_lightning.inference.predict_split import predict_split
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.reporting.terminal.noise_audit import print_noise_audit

FACES = [f"dataset.{name}" for name in ("train_size=64", "val_size=8", "test_size=8", "size=32", "label_noise=0.25")]
LOADER = {"eval_batch_size": 32, "num_workers": 0}


@cache
def composed() -> dict[str, Any]:
    return dataset_config("facs", FACES, None, None)


@cache
def opened(*options: str) -> tuple[dict[str, Any], FaceDataModule]:
    config = dataset_config(None, options, {"dataset": composed()}, None)
    return config, open_dataset(config, LOADER, None)


def trained(path: Path, *options: str, **changes: Any) -> Path:
    """A checkpoint that records a training run on these faces, with random weights that differ between files."""
    config, datamodule = opened(*options)
    torch.manual_seed(zlib.crc32(path.name.encode()))
    network = MFER(FAMILIES["resnet"], 8, attention="none")
    described = {
        "format": 1,
        "class_names": list(datamodule.class_names),
        "network": network.config,
        "preprocess": Preprocess(size=32, mean="half", std="half").to_config(),
        "dataset": "facs",
        "protocol": "facs@native",
        "data_hash": datamodule.data_hash,
        "config": {"dataset": config, "weights": "none", "paths": {"data": "data"}},
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"network.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 0, "mfer": described}, path)
    return path


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("halves")
    return [trained(folder / f"{part}.ckpt", f"dataset.hold_out={part}/2") for part in (1, 2)]


def test_each_face_is_judged_by_networks_that_did_not_see_it(halves: list[Path]) -> None:
    judged = judge_training_set(halves, device="cpu", loader=LOADER)
    whole = judged.datamodule
    assert judged.rows.tolist() == sorted(whole.splits.train.rows.tolist())
    assert judged.judges.tolist() == [1] * 64
    for file, part in zip(halves, (1, 2), strict=True):
        seen = np.isin(judged.rows, opened(f"dataset.hold_out={part}/2")[1].splits.train.rows)
        outputs = predict_split(read_model(file, "cpu"), whole, "train")
        expected = torch.softmax(torch.from_numpy(outputs.logits), 1).numpy()
        np.testing.assert_allclose(judged.probabilities[~seen], expected[~seen], atol=1e-5)
        assert np.abs(judged.probabilities[seen] - expected[seen]).max() > 1e-3


def test_several_judgements_of_a_face_are_averaged(halves: list[Path], tmp_path: Path) -> None:
    again = trained(tmp_path / "seed1" / "first.ckpt", "dataset.hold_out=1/2")
    one, other = (judge_training_set([first, halves[1]], device="cpu", loader=LOADER) for first in (halves[0], again))
    both = judge_training_set([*halves, again], device="cpu", loader=LOADER)
    assert sorted(np.unique(both.judges).tolist()) == [1, 2]
    np.testing.assert_allclose(both.probabilities, (one.probabilities + other.probabilities) / 2)


def test_face_seen_in_training_by_its_judges_is_rejected(halves: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1\.ckpt was trained on 3\d of the 64 faces to judge, such as "):
        judge_training_set(halves[:1], device="cpu", loader=LOADER)
    whole = trained(tmp_path / "whole.ckpt")
    with pytest.raises(UserError, match=r"trained on 64 of the 64 .* dataset.hold_out=1/3,2/3,3/3"):
        judge_training_set([whole], device="cpu", loader=LOADER)
    with pytest.raises(UserError, match="needs networks that were not trained on the faces"):
        judge_training_set([], device="cpu", loader=LOADER)


def test_judges_with_other_labels_files_or_initial_weights_are_rejected(halves: list[Path], tmp_path: Path) -> None:
    def refuse(words: str, file: Path) -> None:
        with pytest.raises(UserError, match=words):
            judge_training_set([halves[0], file], device="cpu", loader=LOADER)

    other = trained(tmp_path / "other.ckpt", "dataset.hold_out=2/2", "dataset.label_noise_seed=1")
    refuse("was trained with dataset.label_noise_seed=1 and .* with 0", other)
    changed = trained(tmp_path / "changed.ckpt", "dataset.hold_out=2/2", data_hash="0" * 64)
    refuse("not trained on the faces and labels that .* now contains", changed)
    silent = trained(tmp_path / "silent.ckpt", "dataset.hold_out=2/2", data_hash=None)
    refuse("does not record which faces it was trained on", silent)
    config, _ = opened("dataset.hold_out=2/2")
    start = {"dataset": config, "weights": str(halves[0]), "paths": {"data": "data"}}
    refuse("was initialised from .*1.ckpt, which was trained on other faces of facs", trained(
        tmp_path / "begun.ckpt", "dataset.hold_out=2/2", config=start
    ))  # fmt: skip
    same = {**start, "weights": str(halves[1])}
    fine = trained(tmp_path / "fine.ckpt", "dataset.hold_out=2/2", config=same)
    assert judge_training_set([halves[0], fine], device="cpu", loader=LOADER).judges.min() == 1


def test_initial_weights_are_traced_to_the_first_training(
    halves: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    part = "dataset.hold_out=2/2"

    def begun(name: str, weights: object) -> Path:
        start = {"dataset": opened(part)[0], "weights": str(weights), "paths": {"data": "data"}}
        return trained(tmp_path / name, part, config=start)

    whole = trained(tmp_path / "whole.ckpt")
    second = begun("second.ckpt", begun("first.ckpt", whole))
    with pytest.raises(
        UserError, match=r"second\.ckpt was initialised from .*whole\.ckpt, which was trained on other faces of"
    ):
        judge_training_set([halves[0], second], device="cpu", loader=LOADER)

    bundled = tmp_path / "bundled"
    read_model(whole, "cpu").save_pretrained(bundled / "all-v1")
    index = {"default": "all", "models": {"all-v1": digests(bundled / "all-v1", ("config.json", "model.safetensors"))}}
    write_json(bundled / registry.INDEX, index)
    monkeypatch.setattr(registry, "FOLDER", bundled)
    with pytest.raises(
        UserError, match=r"third\.ckpt was initialised from all-v1, which was trained on other faces of facs"
    ):
        judge_training_set([halves[0], begun("third.ckpt", "all-v1")], device="cpu", loader=LOADER)

    judge_training_set([halves[0], begun("fourth.ckpt", tmp_path / "gone.ckpt")], device="cpu", loader=LOADER)
    said = capfd.readouterr().out
    assert "fourth.ckpt was initialised from" in said
    assert "gone.ckpt, which no longer exists" in said


def test_repeated_network_judges_once(halves: list[Path]) -> None:
    once = judge_training_set(halves, device="cpu", loader=LOADER)
    twice = judge_training_set([*halves, halves[0].parent / "." / halves[0].name], device="cpu", loader=LOADER)
    assert twice.judges.max() == 1
    np.testing.assert_array_equal(once.probabilities, twice.probabilities)


@pytest.mark.parametrize("margin", [1.0, -0.1, float("nan")])
def test_out_of_range_margin_is_rejected_before_reading(margin: float) -> None:
    with pytest.raises(UserError, match=r"margin=.*at least 0 and below 1"):
        audit_labels("nowhere", margin=margin)


def knowing(datamodule: FaceDataModule, share: float = 0.9) -> Judged:
    """A judged training set: the most likely class is the true label for most faces."""
    rows = np.sort(datamodule.splits.train.rows)
    true = datamodule.index.label[rows]
    sure = np.random.default_rng(0).random(len(rows)) < share
    p = np.full((len(rows), 8), 0.02)
    p[np.arange(len(rows)), np.where(sure, true, (true + 3) % 8)] += 0.84
    config, _ = opened()
    return Judged(datamodule, rows, p, np.ones(len(rows), dtype=np.int64), ("a.ckpt", "b.ckpt"), config)


def test_audit_list_corrects_a_training_set(tmp_path: Path, blank_figures: None) -> None:
    _, datamodule = opened()
    audit = audit_judged(knowing(datamodule, share=1.0), tmp_path / "audit")
    audit.write()
    with (audit.folder / TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16, "a quarter of 64"
    assert all(row["label"] == row["true"] != row["given"] for row in rows)
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 17)]
    assert rows[0]["votes_label"] > rows[0]["votes_given"]
    table = f"dataset.relabel={audit.folder / TABLE}"
    mended = opened(table)[1]
    order = np.argsort(mended.splits.train.rows)
    assert (mended.splits.train.label[order] == mended.index.label[np.sort(mended.splits.train.rows)]).all()
    shorter = opened(f"dataset.exclude={audit.folder / TABLE}")[1]
    assert len(shorter.splits.train) == 48
    assert {path.name for path in audit.folder.iterdir()} == {TABLE, "noise.json", "predictions_train.csv", "figures"}
    assert {path.name for path in (audit.folder / "figures").iterdir()} == {"suspects.png", "noise_matrix.png"}
    stored = json.loads((audit.folder / "noise.json").read_text())
    assert stored["truth"]["listed"]["recall"]["value"] == stored["truth"]["listed"]["precision"]["value"] == 1.0
    assert stored["truth"]["suggested_rightly"] == 16


def test_terminal_output_fits_into_80_columns(tmp_path: Path) -> None:
    audit = audit_judged(knowing(opened()[1]), tmp_path)
    console = Console(width=80, file=io.StringIO())
    print_noise_audit(audit.to_dict(), "runs/noise", console)  # a path is never broken, so it has to be a short one
    said = console.file.getvalue()
    assert "each judged by 1 of 2" in said
    assert "Known to be wrong: " in said
    assert "Annotators' votes" in said
    assert max(map(len, said.splitlines())) <= 80
    assert "Look at figures/suspects.png" in said
    print_noise_audit(audit_judged(knowing(opened()[1]), tmp_path, 0.99).to_dict(), "runs/noise", console)
    assert console.file.getvalue().count("Look at figures/suspects.png") == 1, "there is no such figure"


def test_without_flips_no_ground_truth_is_reported(tmp_path: Path) -> None:
    datamodule = opened("dataset.label_noise=0")[1]
    found = audit_judged(knowing(datamodule), tmp_path).to_dict()
    assert "truth" not in found
    table = tmp_path / "mended.csv"
    table.write_text(f"path,label\n{datamodule.index.path[datamodule.splits.train.rows[0]]},fear\n")
    mended = opened("dataset.label_noise=0", f"dataset.relabel={table}")[1]
    assert "truth" not in audit_judged(knowing(mended), tmp_path).to_dict(), "a corrected label is not a wrong one"
    assert found["votes"]["others"]["given"] > found["votes"]["suspected"]["given"] * 0.9
