"""Writers of tiny ExpW, CAER-S, SFEW, RAF-DB compound, CK+ and JAFFE datasets in their real layouts: seeded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from data.layout_trees import write_picture
from data.trees import picture

from mfer_lightning.data.datasets.jaffe import LETTERS

FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
ALIGNMENT = {"template": "face-evolve-112", "height": 112, "margin": 0.0, "border": "black", "refine": 2}


def write_alignment(folder: Path) -> None:
    """Write the ``alignment.json`` of ``mfer align``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alignment.json").write_text(json.dumps(ALIGNMENT))


def write_expw(root: Path, photos: int = 70, faces: int = 2, seed: int = 0) -> Path:
    """Write ``label/label.lst`` and the photos; every photo has ``faces`` faces, their labels in turn."""
    rng = np.random.default_rng(seed)
    lines = []
    for i in range(photos):
        name = f"angry_actor_{i}.jpg"
        write_picture(root / "image" / "origin" / name, rng, 48)
        for face in range(faces):
            left = 4 + 20 * face
            lines.append(f"{name} {face} 6 {left} {left + 20} 30 {20 + i / 10:.4f} {(faces * i + face) % 7}")
    (root / "label").mkdir(parents=True)
    (root / "label" / "label.lst").write_text("\n".join(lines) + "\n")
    return root


def write_caers(
    root: Path, layout: str = "boxes", train: int = 70, test: int = 14, seed: int = 0, first: str = "Anger"
) -> Path:
    """Write CAER-S: ``frames`` alone, with tables of ``boxes``, or ``aligned`` faces in their own folder."""
    rng = np.random.default_rng(seed)
    names = (first, *FOLDERS[1:])
    for part, count in (("train", train), ("test", test)):
        lines = []
        for i in range(count):
            name = f"{part}/{names[i % 7]}/{i:04d}.png"
            target = f"aligned/{name.removesuffix('.png')}_aligned.jpg" if layout == "aligned" else name
            write_picture(root / target, rng, 32 if layout == "aligned" else 60)
            lines.append(f"{name},{i % 7},10,8,42,44")
        if layout == "boxes":
            (root / f"{part}.txt").write_text("\n".join(lines) + "\n")
    if layout == "aligned":
        write_alignment(root / "aligned")
    return root


def write_sfew(root: Path, layout: str = "published", train: int = 70, val: int = 14, seed: int = 0) -> Path:
    """Write SFEW: the ``published`` aligned faces, ``flat`` ones, those of mfer align (``align``), or ``frames`` alone.

    Each clip has two frames.
    """
    rng = np.random.default_rng(seed)
    for part, count in (("Train", train), ("Val", val)):
        folder = {
            "published": f"{part}/{part}_Aligned_Faces",
            "flat": f"{part}_Aligned_Faces{'_new' * (part == 'Val')}",
            "align": f"aligned/{part}",
            "frames": part,
        }[layout]
        for i in range(count):
            clip = f"{part}Film_{i // 14:05d}{i % 7:04d}"
            end = "_aligned.jpg" if layout == "align" else ".png"
            write_picture(root / folder / FOLDERS[i % 7] / f"{clip}_{i:08d}{end}", rng, 32)
    if layout == "align":
        write_alignment(root / "aligned")
    write_picture(root / "Test" / "0001.png", rng, 32)  # without labels
    return root


def write_rafdb_compound(
    root: Path, train: int = 110, test: int = 22, seed: int = 0, folder: str = "compound", classes: int = 11
) -> Path:
    """Write the compound subset; labels in turn, from 1."""
    rng = np.random.default_rng(seed)
    lines = []
    for part, count in (("train", train), ("test", test)):
        for i in range(count):
            write_picture(root / folder / "Image" / "aligned" / f"{part}_{i + 1:04d}_aligned.jpg", rng, 20)
            lines.append(f"{part}_{i + 1:04d}.jpg {i % classes + 1}")
    path = root / folder / "EmoLabel" / "list_patition_label.txt"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    return root


def write_ckplus(
    root: Path,
    subjects: int = 12,
    sequences: int = 7,
    frames: int = 5,
    seed: int = 0,
    pictures: str = "cohn-kanade-images",
    labels: str = "Emotion",
    unlabelled: bool = True,
) -> Path:
    """Write CK+: subjects S005, S010, ..., sequences of the emotions 1 to 7 in turn, and one without an emotion."""
    rng = np.random.default_rng(seed)
    for subject in (f"S{5 * (i + 1):03d}" for i in range(subjects)):
        for number in range(1, sequences + 1 + unlabelled):
            names = [f"{subject}_{number:03d}_{frame:08d}" for frame in range(1, frames + 1)]
            for name in names:
                path = root / pictures / subject / f"{number:03d}" / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), picture(rng, 32, grey=True))
            folder = root / labels / subject / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            if number <= sequences:
                (folder / f"{names[-1]}_emotion.txt").write_text(f"   {(number - 1) % 7 + 1:.7e}\n")
    return root


def write_jaffe(
    root: Path,
    subjects: Sequence[str] = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"),
    takes: int = 2,
    seed: int = 0,
    end: str = ".tiff",
) -> Path:
    """Write JAFFE: some takes of every expression of every person."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    number = 0
    for subject in subjects:
        for letters in LETTERS:
            for take in range(1, takes + 1):
                number += 1
                grey = picture(rng, 32, grey=True)[:, :, 0]
                assert cv2.imwrite(str(root / f"{subject}.{letters}{take}.{number}{end}"), grey)
    (root / "README").write_text("JAFFE\n")
    return root
