"""Archiving the numbers of a study: what is kept or rejected; archives are written atomically, and only if changed."""

from __future__ import annotations

import errno
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.keep_study import keep_study
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.study_archive import ARCHIVE, ArchivedRun, read_archive, unpack_run

#: A configuration with machine-specific paths.
PLACES = {
    "paths.data": "/disk/sets",
    "paths.runs": "/disk/runs",
    "paths.cache": "/fast/c",
    "dataset.root": "/disk/sets/x",
}
STUDIES = Path(__file__).parents[2] / "studies"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def kept(into: Path) -> dict[str, ArchivedRun]:
    """The runs of an archive by name; it is the only file in its folder."""
    assert list(content(into)) == [ARCHIVE]
    return {run.name: run for run in read_archive(into / ARCHIVE)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with all its files."""
    folder = write_run(tmp_path / "runs", changes=PLACES)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    (folder / "figures").mkdir()
    (folder / "figures" / "examples.png").write_bytes(b"faces")
    (folder / "log.txt").write_text("started: at home\n")
    return folder


class TestRun:
    def test_only_numbers_are_kept(self, run: Path, tmp_path: Path) -> None:
        assert keep_study([run], tmp_path / "kept").written == (run.name,)
        found = kept(tmp_path / "kept")[run.name]
        whole, small = Predictions.from_csv(run / "predictions_test.csv"), found.table
        for name in ("index", "path", "label", "pred"):
            np.testing.assert_array_equal(getattr(small, name), getattr(whole, name), err_msg=name)
        result, figures = json.loads((run / "result.json").read_text()), evaluate(small)
        assert figures["confusion"] == result["confusion"]
        assert figures["metrics"] == pytest.approx(result["metrics"], abs=1e-3)
        assert found.metrics == (run / "metrics.csv").read_text()

    def test_result_is_unchanged_except_for_paths(self, run: Path, tmp_path: Path) -> None:
        keep_study([run], tmp_path / "kept")
        whole = json.loads((run / "result.json").read_text())
        neutral = {**whole["config"], "paths": {"data": "data", "runs": "runs", "cache": None}}
        neutral["dataset"] = {**whole["config"]["dataset"], "root": "data/x"}
        found = kept(tmp_path / "kept")[run.name]
        assert found.result == {**whole, "config": neutral, "git": {**whole["git"], "patch": None}}
        with zipfile.ZipFile(tmp_path / "kept" / ARCHIVE) as file:
            assert not any(b"/disk" in file.read(name) or b"/fast" in file.read(name) for name in file.namelist())

    def test_kept_numbers_can_be_kept_again(self, run: Path, tmp_path: Path) -> None:
        keep_study([run], tmp_path / "one")
        (archived,) = kept(tmp_path / "one").values()
        unpack_run(archived, tmp_path / "unpacked" / run.name)
        for place in (tmp_path / "one", tmp_path / "one" / ARCHIVE, tmp_path / "unpacked"):
            keep_study([place], tmp_path / "two")
            assert content(tmp_path / "one") == content(tmp_path / "two")
            shutil.rmtree(tmp_path / "two")

    def test_face_paths_become_relative_to_the_dataset(self, run: Path, tmp_path: Path) -> None:
        file = run / "predictions_test.csv"
        file.write_text(file.read_text().replace("test/", "/disk/sets/x/test/"))
        keep_study([run], tmp_path / "kept")
        assert kept(tmp_path / "kept")[run.name].table.path[0] == "test/00000.jpg"
        file.write_text(file.read_text().replace("/disk/sets/x/", "/disk/sets/xy/"))
        with pytest.raises(UserError, match=r"contains the face /disk/sets/xy/test/00000.jpg, which is not in"):
            keep_study([run], tmp_path / "other")
        assert not (tmp_path / "other").exists()

    @pytest.mark.parametrize("place", ["/home/ann/x", "/Users/ann/x", "C:\\Users\\ann\\x", "/root/x"])
    def test_personal_folder_in_a_result_is_rejected(self, run: Path, tmp_path: Path, place: str) -> None:
        change(run, notes=[f"labels read from {place}"])
        with pytest.raises(UserError, match=r"Nothing was kept: the result\.json of .* contains the personal folder"):
            keep_study([run], tmp_path / "kept")
        assert not (tmp_path / "kept").exists()

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            ("no result", "is not finished: there is no result"),
            ("torn result", "has a damaged result.json"),
            ("no predictions", "has no predictions_test.csv"),
            ("torn predictions", "has predictions that cannot be read"),
            ("foreign predictions", "has a predictions_test.csv that does not match its result"),
            ("other figures", r"has metrics that do not follow from its predictions \(ece\)"),
            ("no curves", "has no readable metrics.csv"),
        ],
    )
    def test_inconsistent_files_are_rejected(self, run: Path, tmp_path: Path, damage: str, words: str) -> None:
        result, table = run / "result.json", run / "predictions_test.csv"
        if damage.startswith("no "):
            {"result": result, "predictions": table, "curves": run / "metrics.csv"}[damage[3:]].unlink()
        elif damage == "torn result":
            result.write_text(result.read_text()[:-50])
        elif damage == "torn predictions":
            table.write_text(table.read_text()[:-9])
        elif damage == "other figures":
            change(run, metrics={**json.loads(result.read_text())["metrics"], "ece": 0.9})
        else:
            shutil.copy(write_run(tmp_path / "other", shift=1) / table.name, table)
        with pytest.raises(UserError, match=f"no finished run to keep.*{words}"):
            keep_study([run], tmp_path / "kept")
        assert not (tmp_path / "kept").exists()


class TestStudy:
    def test_run_folders_are_kept_and_unfinished_runs_are_named(self, tmp_path: Path) -> None:
        study = tmp_path / "ablation"
        write_run(study, "ce", n=70)
        write_run(study / "more", "dsf", n=70)
        cut = write_run(study, "lgm", n=70)
        (cut / "result.json").unlink()
        without = write_run(study, "ce", seed=1, n=70)
        (without / "predictions_test.csv").unlink()
        found = keep_study([study], tmp_path / "kept")
        assert set(found.written) == {"rafdb-ce-none-s0", "more/rafdb-dsf-none-s0"} == set(kept(tmp_path / "kept"))
        assert {(item.folder, item.reason) for item in found.left_out} == {
            (cut, "is not finished: there is no result"),
            (without, "has no predictions_test.csv"),
        }
        assert found.size == sum(map(len, content(tmp_path / "kept").values()))

    def test_named_run_is_kept_by_its_name_with_its_evaluations(self, run: Path, tmp_path: Path) -> None:
        other = write_run(run / "evaluations", protocol="ferplus@majority", name="ferplus")
        (other / "config.yaml").unlink()
        (other / "metrics.csv").unlink()
        change(other, model={"checkpoint": str(run / "checkpoints" / "best.ckpt"), "trained_on": "rafdb@holdout"})
        keep_study([run], tmp_path / "kept")
        found = kept(tmp_path / "kept")
        assert set(found) == {run.name, f"{run.name}/evaluations/ferplus"}
        evaluation = found[f"{run.name}/evaluations/ferplus"]
        assert evaluation.metrics is None
        assert evaluation.result["model"] == {"checkpoint": "best.ckpt", "trained_on": "rafdb@holdout"}
        assert keep_study([run], tmp_path / "kept").written == ()

    def test_only_new_or_changed_runs_are_rewritten(self, tmp_path: Path) -> None:
        study, into = tmp_path / "s", tmp_path / "kept"
        one, two = write_run(study, "ce", n=70), write_run(study, "dsf", n=70)
        keep_study([study], into)
        before = (into / ARCHIVE).stat().st_mtime_ns
        assert keep_study([study], into).written == ()
        assert (into / ARCHIVE).stat().st_mtime_ns == before

        shutil.rmtree(two)
        write_run(study, "dsf", n=70, split="val", accuracy=0.9)
        write_run(study, "lgm", n=70)
        shutil.rmtree(one)  # its kept numbers remain
        found = keep_study([study], into)
        assert set(found.written) == {"rafdb-dsf-none-s0", "rafdb-lgm-none-s0"}
        assert found.unchanged == ()
        assert kept(into)["rafdb-dsf-none-s0"].result["split"] == "val"
        assert set(kept(into)) == {"rafdb-ce-none-s0", "rafdb-dsf-none-s0", "rafdb-lgm-none-s0"}

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
    @pytest.mark.parametrize("at", ["writestr", "replace"])
    def test_existing_archive_is_replaced_only_after_the_new_one_is_complete(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: str
    ) -> None:
        into = tmp_path / "kept"
        keep_study([run], into)
        before = content(into)
        change(run, notes=["changed"])

        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(zipfile.ZipFile if at == "writestr" else Path, at, fail)
        with pytest.raises(
            (KeyboardInterrupt, UserError), match="No space left" if isinstance(error, OSError) else None
        ):
            keep_study([run], into)
        assert content(into) == before
        monkeypatch.undo()
        assert keep_study([run], into).written == (run.name,)
        assert kept(into)[run.name].result["notes"] == ["changed"]

    def test_unreadable_archive_is_not_overwritten(self, run: Path, tmp_path: Path) -> None:
        archive = tmp_path / "kept" / ARCHIVE
        archive.parent.mkdir()
        for damaged in (b"", b"somebody else's"):
            archive.write_bytes(damaged)
            with pytest.raises(UserError, match=r"The archive .*runs\.npz cannot be read"):
                keep_study([run], archive.parent)
            assert archive.read_bytes() == damaged

    def test_one_rejected_run_keeps_nothing(self, tmp_path: Path) -> None:
        write_run(tmp_path / "s", "ce", n=70)
        change(write_run(tmp_path / "s", "dsf", n=70), notes=["from /home/ann/x"])
        with pytest.raises(UserError, match="contains the personal folder /home/ann"):
            keep_study([tmp_path / "s"], tmp_path / "kept")
        assert not (tmp_path / "kept").exists()

    def test_unsafe_output_folders_are_rejected(self, run: Path, tmp_path: Path) -> None:
        runs = run.parent
        for into in (runs, runs / "kept", tmp_path):
            with pytest.raises(UserError, match="must not be inside one another"):
                keep_study([runs], into)
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="is a file"):
            keep_study([runs], tmp_path / "file")
        (tmp_path / "odd" / ARCHIVE).mkdir(parents=True)
        with pytest.raises(UserError, match=r"The archive .* cannot be read"):
            keep_study([runs], tmp_path / "odd")

    def test_two_runs_with_the_same_name_are_rejected(self, tmp_path: Path) -> None:
        for sweep in ("a", "b"):
            write_run(tmp_path / sweep, n=70)
        with pytest.raises(UserError, match="would both be kept as"):
            keep_study([tmp_path / "a", tmp_path / "b"], tmp_path / "kept")
        assert not (tmp_path / "kept").exists()

    def test_nothing_to_keep_raises_an_error_with_the_reason(self, tmp_path: Path) -> None:
        (write_run(tmp_path / "s", n=70) / "predictions_test.csv").unlink()
        with pytest.raises(UserError, match=r"no finished run to keep.* has no predictions_test"):
            keep_study([tmp_path / "s"], tmp_path / "kept")


@pytest.mark.parametrize("study", ["ferplus_pilot", "ferplus_small"])
def test_previously_kept_numbers_are_not_rounded_again(study: str, tmp_path: Path) -> None:
    """Real tables with logits that need more digits in some rows, which must not be rounded twice."""
    keep_study([STUDIES / study], tmp_path / "again")
    assert (tmp_path / "again" / ARCHIVE).read_bytes() == (STUDIES / study / ARCHIVE).read_bytes()
