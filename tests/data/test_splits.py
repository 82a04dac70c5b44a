from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.data.datasets.affectnet import CSV
from mfer_lightning.data.datasets.ferplus import PNG_FOLDERS, read_ferplus
from mfer_lightning.data.datasets.registry import dataset_info, get_protocol, known_datasets
from mfer_lightning.data.holdout import holdout
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.data.splits import make_splits
from mfer_lightning.data.targets import TARGET_RULES
from mfer_lightning.errors import UserError

PROTOCOLS = {protocol.name: protocol for name in known_datasets() for protocol in dataset_info(name).protocols}


def index_of(
    dataset: str, train: list[int], test: list[int], test_name: str = "test", group: np.ndarray | None = None
) -> FaceIndex:
    """An index with ``train[k]`` and ``test[k]`` faces of class k."""
    label = np.concatenate([np.repeat(np.arange(len(train)), train), np.repeat(np.arange(len(test)), test)])
    partition = np.array(["train"] * sum(train) + [test_name] * sum(test))
    return FaceIndex(
        dataset=dataset,
        layout="made up",
        root=Path("somewhere"),
        class_names=CLASS_ORDERS.get(dataset, ("a", "b")),
        path=np.array([f"{p}/{i:05d}.jpg" for i, p in enumerate(partition)]),
        partition=partition,
        label=label.astype(np.int64),
        group=group,
    )


class TestHoldout:
    LABEL = np.repeat(np.arange(4), [200, 100, 40, 10])
    NAMES = tuple(f"train_{i:05d}.jpg" for i in range(350))

    def test_takes_the_fraction_from_every_class(self) -> None:
        held = holdout(self.LABEL, self.NAMES, 0.1, seed=7)
        assert np.bincount(self.LABEL[held]).tolist() == [20, 10, 4, 1]

    def test_depends_only_on_the_seed(self) -> None:
        same = holdout(self.LABEL, self.NAMES, 0.1, seed=7)
        assert (holdout(self.LABEL, self.NAMES, 0.1, seed=7) == same).all()
        assert (holdout(self.LABEL, self.NAMES, 0.1, seed=8) != same).any()

    def test_does_not_depend_on_row_order_or_folders(self) -> None:
        """Every layout of a dataset must hold out the same faces, so that results are comparable."""
        chosen = {self.NAMES[i] for i in np.flatnonzero(holdout(self.LABEL, self.NAMES, 0.1, seed=7))}
        order = np.random.default_rng(0).permutation(350)
        renamed = [f"Image/aligned/{self.NAMES[i][:-4]}_aligned.png" for i in order]
        held = holdout(self.LABEL[order], renamed, 0.1, seed=7)
        assert {self.NAMES[i] for i in order[held]} == chosen

    def test_keeps_groups_together_and_approximates_the_fraction(self) -> None:
        rng = np.random.default_rng(1)
        group = rng.integers(0, 150, 350)
        held = holdout(self.LABEL, self.NAMES, 0.2, seed=3, group=group)
        assert not set(group[held]) & set(group[~held])
        share = np.bincount(self.LABEL[held], minlength=4) / np.bincount(self.LABEL)
        assert (np.abs(share - 0.2) < 0.1).all()
        assert abs(held.mean() - 0.2) < 0.03

    def test_never_takes_a_whole_class(self) -> None:
        for few in (1, 2, 3):
            label = np.array([0] * 20 + [1] * few)
            held = holdout(label, [str(i) for i in range(20 + few)], 0.1, seed=0)
            assert (label[~held] == 1).sum() == max(1, few - 1)

    @pytest.mark.parametrize("fraction", [0, 1, -0.1])
    def test_fraction_must_be_valid(self, fraction: float) -> None:
        with pytest.raises(ValueError, match="fraction"):
            holdout(self.LABEL, self.NAMES, fraction, seed=0)


class TestProtocols:
    def test_documented_protocols_exist(self) -> None:
        promised = (
            "rafdb@holdout rafdb@paper affectnet7@native affectnet8@native ferplus@majority ferplus@argmax8 "
            "ferplus@ran ferplus@dev facs@native folder@native folder@holdout expw@photo caers@holdout sfew@native "
            "rafdb_compound@holdout rafdb_compound@paper ckplus@kfold10 ckplus@loso ckplus@kfold10-neutral "
            "ckplus@loso-neutral jaffe@loso jaffe@kfold10"
        )
        assert set(PROTOCOLS) == set(promised.split())

    def test_defaults(self) -> None:
        assert get_protocol("rafdb").name == "rafdb@holdout"
        assert get_protocol("ferplus").name == "ferplus@majority"
        assert dataset_info("ferplus").protocols[0].short_name == "majority"

    def test_unknown_names_list_the_valid_ones(self) -> None:
        with pytest.raises(UserError, match="did you mean 'majority'"):
            get_protocol("ferplus", "majorty")
        with pytest.raises(UserError, match="holdout, paper"):
            get_protocol("rafdb", "xyz")
        with pytest.raises(UserError, match="ferplus"):
            get_protocol("ferpluss")

    @pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
    def test_test_set_is_never_used_for_training_or_unmarked_selection(self, protocol: Protocol) -> None:
        assert protocol.test not in protocol.train
        assert protocol.marked == (protocol.val == protocol.test and not protocol.cuts_partition)
        assert protocol.val not in protocol.train
        assert protocol.describe("test")
        assert protocol.takes_last_epoch == (protocol.selection == "last epoch")

    def test_class_counts_sum_to_the_published_totals(self) -> None:
        totals = {
            (p.dataset, e.partition): sum(e.count)
            for p in PROTOCOLS.values()
            for e in p.expected
            if isinstance(e.count, tuple)
        }
        assert totals[("rafdb", "train")] == 12271
        assert totals[("rafdb", "test")] == 3068
        assert totals[("affectnet7", "train")] == 283901
        assert totals[("affectnet8", "train")] == 287651
        assert totals[("affectnet7", "val")] == 3500
        assert totals[("expw", "train")] == 91793
        assert (totals[("caers", "train")], totals[("caers", "test")]) == (47966, 20868)
        assert sum(get_protocol("ckplus", "loso").expected[0].count) == 981
        assert sum(get_protocol("ckplus", "loso-neutral").expected[0].count) == 1308

    def test_affectnet_selects_by_mean_class_accuracy(self) -> None:
        assert get_protocol("affectnet8").monitor == "mean_class_accuracy"
        assert get_protocol("rafdb").monitor == "accuracy"


def overlap(a: np.ndarray, b: np.ndarray) -> set[int]:
    return set(a.tolist()) & set(b.tolist())


class TestSplits:
    def test_rafdb_holdout(self) -> None:
        index = index_of("rafdb", [40, 10, 20, 60, 30, 20, 50], [5] * 7)
        splits = make_splits(index, get_protocol("rafdb"))
        assert np.bincount(splits.val.label).tolist() == [4, 1, 2, 6, 3, 2, 5]
        assert len(splits.train) == 230 - 23
        assert len(splits.test) == 35
        assert not overlap(splits.train.rows, splits.val.rows)
        assert (index.partition[splits.val.rows] == "train").all()
        np.testing.assert_array_equal(splits.train.target.argmax(axis=1), splits.train.label)

    def test_rafdb_paper_protocol_selects_on_the_test_set(self) -> None:
        splits = make_splits(index_of("rafdb", [4] * 7, [2] * 7), get_protocol("rafdb", "paper"))
        np.testing.assert_array_equal(splits.val.rows, splits.test.rows)
        assert len(splits.train) == 28

    def test_affectnet_holds_out_whole_photos_and_tests_on_the_official_validation_set(self) -> None:
        group = np.concatenate([np.arange(400) // 2, 1000 + np.arange(70)])
        index = index_of("affectnet7", [100, 100, 50, 50, 40, 30, 30], [10] * 7, "val", group)
        protocol = replace(get_protocol("affectnet7"), holdout_fraction=0.1)
        splits = make_splits(index, protocol)
        assert len(splits.test) == 70
        np.testing.assert_allclose(np.bincount(splits.val.label), [10, 10, 5, 5, 4, 3, 3], atol=1)  # two per photo
        assert not overlap(group[splits.train.rows], group[splits.val.rows])

    def test_ferplus_target_and_evaluation_set_are_independent(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        by_target = {t: make_splits(index, get_protocol("ferplus"), t) for t in ("majority", "crossentropy", "multi")}
        for splits in by_target.values():
            assert splits.test.rows.tolist() == by_target["majority"].test.rows.tolist()
            assert splits.test.label.tolist() == by_target["majority"].test.label.tolist()
        assert (by_target["crossentropy"].train.target.max(axis=1) < 1).any()
        assert (by_target["majority"].train.target.max(axis=1) == 1).all()
        assert by_target["multi"].train.target.sum(axis=1).max() == 2

    def test_evaluation_faces_without_soft_target_get_a_hard_one(self) -> None:
        index = replace(index_of("ferplus", [8] * 8, [1] * 8, "val"), label=np.full(72, -1))
        votes = np.zeros((72, 8), dtype=np.int64)
        votes[np.arange(72), np.arange(72) % 8] = 1  # single votes: argmax keeps them, crossentropy does not
        votes[:64] *= 5
        index = replace(index, votes=votes, vote_names=index.class_names)
        splits = make_splits(index, get_protocol("ferplus", "argmax8"), "crossentropy")
        assert len(splits.val) == 8
        np.testing.assert_array_equal(splits.val.target, np.eye(8, dtype=np.float32)[splits.val.label])

    def test_ran_protocol_trains_on_validation_and_selects_on_nothing(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        splits = make_splits(index, get_protocol("ferplus", "ran"))
        assert len(splits.train) == 80
        assert len(splits.val) == 0
        assert len(splits.test) == 16

    def test_dev_does_not_touch_test(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        splits = make_splits(index, get_protocol("ferplus", "dev"))
        assert (index.partition[splits.test.rows] == "val").all()
        assert (index.partition[splits.val.rows] == "train").all()
        assert not overlap(splits.train.rows, splits.val.rows)

    def test_missing_test_files_are_noted(self, ferplus_root: Path) -> None:
        index = without(read_ferplus(ferplus_root), "test")
        splits = make_splits(index, get_protocol("ferplus"))
        assert len(splits.test) == 0
        assert any("test images are missing" in note for note in splits.notes)
        with pytest.raises(UserError, match="ferplus@ran cannot be evaluated"):
            make_splits(index, get_protocol("ferplus", "ran"))

    @pytest.mark.parametrize("gone", ["train", "val"])
    def test_empty_split_is_an_error(self, ferplus_root: Path, gone: str) -> None:
        index = without(read_ferplus(ferplus_root), gone)
        with pytest.raises(UserError, match=f"The {gone} split of ferplus@majority is empty"):
            make_splits(index, get_protocol("ferplus"))

    def test_every_rule_makes_splits_or_explains_why_not(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        for rule in set(TARGET_RULES) - {"label"}:
            assert make_splits(index, get_protocol("ferplus"), rule).target_rule == rule
        with pytest.raises(UserError, match="has votes but no labels"):
            make_splits(index, get_protocol("ferplus"), "label")
        with pytest.raises(UserError, match="has labels but no votes"):
            make_splits(index_of("rafdb", [9] * 7, [1] * 7), get_protocol("rafdb"), "crossentropy")
        with pytest.raises(UserError, match="did you mean 'majority'"):
            make_splits(index, get_protocol("ferplus"), "majorty")

    def test_label_rule_equals_majority_if_the_files_contain_labels(self) -> None:
        index = index_of("rafdb", [20] * 7, [1] * 7)
        a, b = (make_splits(index, get_protocol("rafdb"), rule) for rule in ("label", "majority"))
        assert a.fingerprint() == b.fingerprint()

    def test_fingerprint_depends_on_rows_labels_and_targets(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        protocol = get_protocol("ferplus")
        marks = {make_splits(index, protocol, t).fingerprint() for t in ("majority", "crossentropy", "multi")}
        assert len(marks) == 3

    def test_class_without_training_images_is_noted(self) -> None:
        splits = make_splits(index_of("rafdb", [20, 0, 20, 20, 20, 20, 20], [1] * 7), get_protocol("rafdb"))
        assert "no training image of fear" in splits.notes

    def test_classes_that_differ_from_the_protocol_are_rejected(self) -> None:
        with pytest.raises(ValueError, match="with the classes"):
            make_splits(index_of("rafdb", [9] * 7, [1] * 7), get_protocol("affectnet7"))


class TestCounts:
    PROTOCOL = replace(
        get_protocol("rafdb"),
        expected=(
            Expected("train", "label", (20,) * 7),
            Expected("test", "label", 7),
            Expected("test", "majority", 99),
        ),
    )

    def notes(self, train: list[int], test: list[int]) -> list[str]:
        return [n for n in make_splits(index_of("rafdb", train, test), self.PROTOCOL).notes if "complete copy" in n]

    def test_complete_copy_gives_no_note(self) -> None:
        assert self.notes([20] * 7, [1] * 7) == []

    def test_missing_images_are_counted(self) -> None:
        (note,) = self.notes([20] * 7, [1] * 6 + [0])
        assert note.startswith("test has 6 images")
        assert "a complete copy has 7" in note

    def test_correct_total_with_wrong_classes_suggests_the_class_order(self) -> None:
        (note,) = self.notes([21, 19] + [20] * 5, [1] * 7)
        assert "surprise 21" in note
        assert "class order" in note

    def test_counts_of_another_layout_are_not_used(self) -> None:
        protocol = replace(self.PROTOCOL, expected=(Expected("test", "label", 99, CSV.name),))
        assert make_splits(index_of("rafdb", [20] * 7, [1] * 7), protocol).notes == ()

    def test_ferplus_notes_use_the_counts_of_its_layout(self, ferplus_root: Path) -> None:
        index = read_ferplus(ferplus_root)
        assert index.layout == PNG_FOLDERS.name
        notes = make_splits(index, get_protocol("ferplus"), "crossentropy").notes
        assert any("'majority', but a complete copy has 3,191" in note for note in notes)
        assert any("'crossentropy', but a complete copy has 27,947" in note for note in notes)


def without(index: FaceIndex, partition: str) -> FaceIndex:
    keep = index.partition != partition
    assert index.votes is not None
    return replace(
        index,
        path=index.path[keep],
        partition=index.partition[keep],
        label=index.label[keep],
        votes=index.votes[keep],
    )
