"""Every known dataset declares what the rest of the package needs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from data.further_trees import (
    write_alignment,
    write_caers,
    write_ckplus,
    write_expw,
    write_jaffe,
    write_rafdb_compound,
    write_sfew,
)
from data.layout_trees import (
    write_affectnet_csv,
    write_affectnet_npy,
    write_class_folders,
    write_rafdb,
    write_table,
)
from data.trees import write_ferplus, write_ferplus_pair

from mfer_lightning.data.datasets import (
    AffectNetDataModule,
    CAERSDataModule,
    CKPlusDataModule,
    ExpWDataModule,
    FaceDataModule,
    FacsDataModule,
    FERPlusDataModule,
    FolderDataModule,
    JAFFEDataModule,
    RAFDBCompoundDataModule,
    RAFDBDataModule,
    SFEWDataModule,
)
from mfer_lightning.data.datasets.declaration import UNKNOWN_LICENCE, DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import (
    dataset_info,
    find_dataset,
    find_protocol,
    get_protocol,
    known_datasets,
    looks_like,
)
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.data.targets import TARGET_KINDS, TARGET_RULES
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.card import licence_note

ROOT = Path(__file__).parents[3]
BUILT_IN = (
    *("affectnet7", "affectnet8", "caers", "ckplus", "expw", "facs", "ferplus", "folder", "jaffe", "rafdb"),
    *("rafdb_compound", "sfew"),
)
INFOS = pytest.mark.parametrize("info", [dataset_info(name) for name in BUILT_IN], ids=BUILT_IN)

#: Dataset and layout -> how to write a tiny copy of it.
COPIES = {
    ("rafdb", 0): lambda root: write_rafdb(root, "official"),
    ("rafdb", 1): lambda root: write_rafdb(root, "flat"),
    ("rafdb", 2): lambda root: write_rafdb(root, "classes"),
    ("affectnet8", 0): lambda root: write_affectnet_csv(root, 80, 8),
    ("affectnet8", 1): lambda root: write_affectnet_npy(root, 80, 8),
    ("affectnet8", 2): lambda root: write_class_folders(root, {"train": 80, "val": 8}),
    ("affectnet7", 0): lambda root: write_affectnet_csv(root, 80, 8),
    ("affectnet7", 1): lambda root: write_affectnet_npy(root, 80, 8),
    ("affectnet7", 2): lambda root: write_class_folders(root, {"train": 80, "val": 8}),
    ("ferplus", 0): lambda root: write_ferplus(root, {"train": 16, "val": 8, "test": 8}),
    ("ferplus", 1): lambda root: write_ferplus_pair(root, {"train": 16, "val": 8, "test": 8}),
    ("folder", 0): lambda root: write_class_folders(root, {"train": 16, "val": 8}),
    ("folder", 1): lambda root: write_class_folders(root, {".": 16}),
    ("folder", 2): lambda root: write_table(root, ["a.png,joy", "b.png,anger", "c.png,joy", "d.png,anger"]),
    ("caers", 0): lambda root: write_caers(root, train=28, test=7),
    ("caers", 1): lambda root: write_caers(root, "aligned", train=28, test=7),
    ("ckplus", 0): lambda root: aligned_ckplus(root),
    ("ckplus", 1): lambda root: write_ckplus(root, subjects=10, sequences=1),
    ("expw", 0): lambda root: write_expw(root, photos=35),
    ("jaffe", 0): lambda root: write_jaffe(root / "aligned", takes=1, end="_aligned.png"),
    ("jaffe", 1): lambda root: write_jaffe(root, takes=1),
    ("rafdb_compound", 0): lambda root: write_rafdb_compound(root, train=33, test=11),
    ("sfew", 0): lambda root: write_sfew(root, "flat", train=28, val=7),
    ("sfew", 1): lambda root: write_sfew(root, "align", train=28, val=7),
}


def aligned_ckplus(root: Path) -> None:
    write_ckplus(root, subjects=10, sequences=1)
    write_ckplus(root, subjects=10, sequences=1, pictures="aligned")
    write_alignment(root / "aligned")


CLASSES: dict[str, type[FaceDataModule]] = {
    "rafdb": RAFDBDataModule,
    "affectnet7": AffectNetDataModule,
    "affectnet8": AffectNetDataModule,
    "ferplus": FERPlusDataModule,
    "folder": FolderDataModule,
    "caers": CAERSDataModule,
    "ckplus": CKPlusDataModule,
    "expw": ExpWDataModule,
    "jaffe": JAFFEDataModule,
    "rafdb_compound": RAFDBCompoundDataModule,
    "sfew": SFEWDataModule,
}


def choice(name: str) -> dict:
    return yaml.safe_load((ROOT / "conf" / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))["dataset"]


def test_built_in_datasets_are_registered() -> None:
    assert set(BUILT_IN) <= set(known_datasets())
    assert set(BUILT_IN) == {path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml")}


@INFOS
def test_declaration_is_complete(info: DatasetInfo) -> None:
    assert info.title
    assert info.paper
    assert info.access.endswith(".")
    assert info.alignment
    assert info.layouts
    assert all(layout.name and layout.files for layout in info.layouts)
    assert info.licence.endswith(".")
    assert (info.licence == UNKNOWN_LICENCE) == (info.name == "folder")
    assert licence_note(info.name) == info.licence
    assert all(info.name in dataset_info(other).shares_faces_with for other in info.shares_faces_with)


@INFOS
def test_class_names_are_canonical_emotions(info: DatasetInfo) -> None:
    assert len(set(info.class_names)) == len(info.class_names)
    assert [canonical(name) for name in info.class_names] == list(info.class_names)
    assert info.name == "rafdb_compound" or set(info.class_names) <= set(EMOTIONS)
    assert bool(info.class_names) == (info.name != "folder")


@INFOS
def test_protocols_describe_what_they_report(info: DatasetInfo) -> None:
    layouts = [layout.name for layout in info.layouts]
    for protocol in info.protocols:
        assert find_protocol(protocol.name) is protocol is get_protocol(info.name, protocol.short_name)
        assert protocol.target in info.targets
        for expected in protocol.expected:
            assert expected.rule in TARGET_RULES
            assert expected.partition in ("train", "val", "test")
            assert expected.layout == "" or expected.layout in layouts
            counts = expected.count if isinstance(expected.count, tuple) else (expected.count,)
            assert all(count > 0 for count in counts)
    assert get_protocol(info.name) is info.protocols[0]


@INFOS
def test_configuration_matches_the_declaration(info: DatasetInfo) -> None:
    options = choice(info.name)
    assert options["name"] == info.name
    assert options["target"] in info.targets
    assert options["protocol"] in ("auto", info.protocols[0].short_name)
    assert info.size in (None, options["size"])
    assert set(info.targets) <= set(TARGET_KINDS)


@INFOS
def test_documentation_matches_the_declaration(info: DatasetInfo) -> None:
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    for protocol in info.protocols:
        assert protocol.name in text
        for expected in protocol.expected:
            if isinstance(expected.count, tuple):
                assert f"{sum(expected.count):,}" in text
    for layout in info.layouts[: 0 if info.name in ("facs", "folder") else None]:
        assert layout.name in text, layout.name
    rows = re.findall(r"^\| (\d) \|(.*)\|$", text, re.MULTILINE)[:8]
    column = {"rafdb": 0, "affectnet8": 1, "facs": 1, "affectnet7": 2, "ferplus": 3}.get(info.name)
    if column is not None:
        names = [cells.split("|")[column].split("(")[0].strip() for _, cells in rows]
        assert [name for name in names if name] == list(info.class_names)


@pytest.mark.parametrize(("name", "number"), COPIES, ids=str)
def test_every_layout_is_read_and_recognised(name: str, number: int, tmp_path: Path) -> None:
    info = dataset_info(name)
    root = tmp_path / "copy"
    COPIES[name, number](root)
    options = {"classes": 7} if name == "affectnet7" else {}
    datamodule = CLASSES[name](root, cache="none", size=16, batch_size=2, **options)
    datamodule.setup("predict")
    assert datamodule.index.layout == info.layouts[number].name
    assert datamodule.index.dataset == datamodule.dataset == info.name
    assert not info.class_names or datamodule.class_names == info.protocols[0].class_names
    assert datamodule.protocol.dataset == info.name
    if info.marks and number < len(info.layouts) - 1:
        assert looks_like(root) is info


def test_synthetic_faces_are_declared_like_other_datasets() -> None:
    datamodule = FacsDataModule(train_size=8, val_size=8, test_size=0, size=24, cache="none")
    datamodule.setup("predict")
    assert datamodule.index.layout.startswith(dataset_info("facs").layouts[0].name)
    assert datamodule.class_names == dataset_info("facs").class_names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a@b"}, "without @"),
        ({"class_names": ("joy", "happiness")}, "without repetition"),
        ({"protocols": ()}, "at least one"),
        ({"protocols": (Protocol("other@native", ("a", "b")),)}, "protocols called mine@"),
        ({"protocols": (Protocol("mine@native", ("a",)),)}, "classes of its dataset"),
        ({"protocols": (Protocol("mine@x", ("a", "b"), expected=(Expected("train", "label", (1,)),)),)}, "2 counts"),
    ],
)
def test_contradictory_declaration_is_rejected(changes: dict, words: str) -> None:
    fields = {
        "name": "mine",
        "title": "Mine",
        "paper": "none",
        "access": "ask me.",
        "class_names": ("a", "b"),
        "protocols": (Protocol("mine@native", ("a", "b")),),
        "layouts": (Layout("mine", "files"),),
    }
    assert DatasetInfo(**fields).name == "mine"
    with pytest.raises(ValueError, match=words):
        DatasetInfo(**fields | changes)


def test_unknown_names_suggest_the_closest_match() -> None:
    assert find_dataset("rafdbb") is find_dataset(None) is find_protocol("rafdb@x") is find_protocol(None) is None
    with pytest.raises(UserError, match="did you mean 'rafdb'"):
        dataset_info("rafdbb")


def test_vote_counts_follow_the_label_rules() -> None:
    """A less strict rule keeps at least as many faces of each partition."""
    counts = {(e.layout, e.rule, e.partition): e.count for e in get_protocol("ferplus").expected}
    assert len(counts) == 2 * 5 * 3
    for layout in dataset_info("ferplus").layouts:
        for part in ("train", "val", "test"):
            rules = ("majority", "multi", "crossentropy", "argmax")
            kept = [counts[layout.name, rule, part] for rule in rules]
            assert np.all(np.diff(kept) > 0)
