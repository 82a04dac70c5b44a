"""Writers of tiny RAF-DB, AffectNet and folder datasets in every layout that is read: seeded, at most 2 MB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from class_orders import CLASS_ORDERS
from data.trees import picture

from mfer_lightning.emotions import EMOTIONS

LANDMARKS = ";".join(["1.0"] * 136)
CSV_HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def write_picture(path: Path, rng: np.random.Generator, size: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(rng, size))


def rafdb_names(train: int, test: int) -> dict[str, int]:
    """Listed name -> label from 1 to 7, in turn."""
    names = [f"train_{i:05d}" for i in range(1, train + 1)] + [f"test_{i:04d}" for i in range(1, test + 1)]
    return {f"{name}.jpg": i % 7 + 1 for i, name in enumerate(names)}


def write_rafdb(
    root: Path,
    layout: str = "official",
    train: int = 28,
    test: int = 14,
    seed: int = 0,
    list_name: str = "EmoLabel/list_patition_label.txt",
    test_folder: str = "valid",
    by_name: bool = False,
    annotated: bool = False,
) -> Path:
    """Write RAF-DB.

    Args:
        layout: ``official`` (list with Image/aligned), ``flat`` (list with train/ and ``test_folder``), ``classes``.
        by_name: class folders are named after emotions, not numbers.
        annotated: write Annotation/manual, for all but the first face.
    """
    rng = np.random.default_rng(seed)
    names = rafdb_names(train, test)
    for i, (name, label) in enumerate(names.items()):
        stem = name.removesuffix(".jpg")
        part = "train" if stem.startswith("train") else test_folder
        folder = {
            "official": "Image/aligned",
            "flat": part,
            "classes": f"{part}/{CLASS_ORDERS['rafdb'][label - 1] if by_name else label}",
        }[layout]
        write_picture(root / folder / f"{stem}_aligned.jpg", rng)
        if annotated and i:
            file = root / "Annotation" / "manual" / f"{stem}_manu_attri.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("10.5\t20.25\n" * 5 + f"{i % 3}\n{i % 3}\n{i % 5}\n")
    if layout != "classes":
        path = root / list_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name} {label}\n" for name, label in names.items()))
    return root


def affectnet_photo(rng: np.random.Generator, color: Sequence[int], box: Sequence[int]) -> np.ndarray:
    """A 60 x 40 photo of noise with a rectangle of one colour (RGB) where the face is."""
    photo = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    x, y, w, h = box
    photo[y : y + h, x : x + w] = color
    return photo


def write_affectnet_csv(
    root: Path, train: int = 240, val: int = 24, seed: int = 0, lists: str = "", header: bool = True, extra: bool = True
) -> Path:
    """Write the csv release; the expression of the i-th face of a part is i modulo 8, its box 10,8,20,16.

    With ``extra`` there are also rows to drop, whose photos do not exist: codes 8 to 10 and a face without a box.
    """
    rng = np.random.default_rng(seed)
    for file, part, count in (("training.csv", 1, train), ("validation.csv", 2, val)):
        rows = [CSV_HEADER] if header else []
        for i in range(count):
            name = f"{part}/{part:02d}{i:06x}.jpg"
            path = root / "Manually_Annotated_Images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            photo = affectnet_photo(rng, (200, 20 * (i % 8), 90), (10, 8, 20, 16))
            assert cv2.imwrite(str(path.with_suffix(".png")), photo[:, :, ::-1])
            path.with_suffix(".png").rename(path)  # lossless, so that pixels can be compared; decoding goes by content
            rows.append(f"{name},10,8,20,16,{LANDMARKS},{i % 8},{i / 100},-0.5")
        if extra:
            rows += [f"{part}/absent{code}.jpg,1,1,5,5,{LANDMARKS},{code},-2,-2" for code in (8, 9, 10)]
            rows.append(f"{part}/absent.jpg,-1,-1,-1,-1,{LANDMARKS},1,0,0")
        path = root / lists / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n")
    return root


def write_affectnet_npy(
    root: Path, train: int = 240, val: int = 24, seed: int = 0, val_folder: str = "val_set"
) -> Path:
    """Write the npy release; the expression of image i is i modulo 8."""
    rng = np.random.default_rng(seed)
    for folder, count in (("train_set", train), (val_folder, val)):
        if not count:
            continue
        annotations = root / folder / "annotations"
        annotations.mkdir(parents=True)
        for i in range(count):
            write_picture(root / folder / "images" / f"{i}.jpg", rng)
            np.save(annotations / f"{i}_exp.npy", np.array(str(i % 8)))
            np.save(annotations / f"{i}_val.npy", np.array("0.5"))
    return root


def write_class_folders(
    root: Path, counts: Mapping[str, int], classes: Sequence[str] = EMOTIONS, seed: int = 0
) -> Path:
    """Write ``<partition>/<class>/<number>.png``, one image per class in turn.

    A partition ``"."`` has its classes at the root.
    """
    rng = np.random.default_rng(seed)
    for partition, count in counts.items():
        for name in classes:
            (root / partition / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            write_picture(root / partition / classes[i % len(classes)] / f"{i:03d}.png", rng)
    return root


def write_table(
    root: Path, rows: Sequence[str], header: str = "path,label", name: str = "labels.csv", seed: int = 0
) -> Path:
    """Write a csv, and a picture at the path in the first field of each row."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    for row in rows:
        write_picture(root / row.split(",")[0], rng)
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root
