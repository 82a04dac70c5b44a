"""Real-world label formats, listed in docs/datasets.md under "Tested label files"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from data.layout_trees import write_picture

LANDMARKS = ";".join(["1.0"] * 136)


@dataclass(frozen=True)
class Seen:
    """A label file.

    Args:
        begins: its first row, as shown in the documentation.
        rows: template of one row, with the placeholders ``{i}``, ``{label}``, ``{root}`` and ``{split}``.
        labels: names or numbers of the classes, assigned to the faces in turn.
        classes: expected classes.
        options: options of the dataset.
        file: name of the file.
        image: path of the images.
        encoding: encoding of the file.
        attributes: expected attributes.
        header: whether the first row is a header rather than a face.
    """

    begins: str
    rows: str
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    file: str = "labels.csv"
    image: str = "{i}.jpg"
    encoding: str = "utf-8"
    attributes: tuple[str, ...] = ()
    header: bool = True

    def write(self, root: Path, faces: int = 8) -> Path:
        """Write the file and its images, and return the folder."""
        rng = np.random.default_rng(0)
        lines = [self.begins] if self.header else []
        for i in range(faces):
            label = self.labels[i % len(self.labels)]
            names = {"i": i, "label": label, "root": root, "split": ("Training", "PublicTest", "PrivateTest")[i % 3]}
            write_picture(root / self.image.format(**names), rng)
            lines.append(self.rows.format(**names))
        (root / self.file).write_bytes(("\r\n".join(lines) + "\r\n").encode(self.encoding))
        return root


NAMES = ("anger", "Happy", "neutral", "surprise")
CLASSES = ("neutral", "happiness", "surprise", "anger")
NUMBERS = {"0": "neutral", "1": "happiness"}

SEEN = {
    "this project": Seen("path,label,split", "{i}.jpg,{label},train", NAMES, CLASSES),
    "muxspace legend.csv": Seen(
        "user.id,image,emotion",
        "628,{i}.jpg,{label}",
        ("anger", "HAPPINESS"),
        ("happiness", "anger"),
        file="legend.csv",
    ),
    "photos": Seen("image,emotion", "{i}.jpg,{label}", NAMES, CLASSES),
    "AffectNet on Kaggle": Seen(
        ",pth,label,relFCs",
        "{i},{label}/image{i:07d}.jpg,{label},0.87{i}",
        ("anger", "surprise"),
        ("surprise", "anger"),
        image="{label}/image{i:07d}.jpg",
        attributes=("relFCs",),
    ),
    "AffectNet's lists, cropped": Seen(
        "subDirectory_filePath,expression,valence,arousal,knn",
        "1/{i}.jpg,{label},-0.5,0.25,[1]",
        ("0", "1", "3"),
        ("neutral", "happiness", "surprise"),
        {"class_names": "affectnet8"},
        image="1/{i}.jpg",
        attributes=("valence", "arousal"),
    ),
    "Keras flow_from_dataframe": Seen("filename,class", "{i}.jpg,{label}", NAMES, CLASSES),
    "Hugging Face ImageFolder": Seen("file_name,label", "{i}.jpg,{label}", NAMES, CLASSES, file="metadata.csv"),
    "pandas to_csv": Seen(
        ",image_path,emotion", "{i},{root}/faces/{i}.jpg,{label}", NAMES, CLASSES, image="faces/{i}.jpg"
    ),
    "pandas with missing values": Seen(
        "img,label", "{i}.jpg,{label}", ("0.0", "1.0"), ("neutral", "happiness"), {"class_names": NUMBERS}
    ),
    "R write.csv": Seen('"","image","expression"', '"{i}","{i}.jpg","{label}"', NAMES, CLASSES),
    "blanks after commas": Seen("Filename, Label", "{i}.jpg, {label}", NAMES, CLASSES),
    "Excel, European": Seen("image;emotion;age", "{i}.jpg;{label};2{i}", NAMES, CLASSES, attributes=("age",)),
    "Excel CSV UTF-8": Seen("image,emotion", "{i}.jpg,{label}", NAMES, CLASSES, encoding="utf-8-sig"),
    "Excel Unicode text": Seen(
        "image\temotion", "{i}.jpg\t{label}", NAMES, CLASSES, file="labels.txt", encoding="utf-16"
    ),
    "Excel ANSI": Seen("image;emotion;site", "{i}.jpg;{label};Zürich", NAMES, CLASSES, encoding="latin-1"),
    "usage as in FER2013": Seen(
        "image,emotion,Usage", "{i}.jpg,{label},{split}", ("anger", "happy"), ("happiness", "anger")
    ),
    "tab list": Seen("{i}.jpg\t{label}", "{i}.jpg\t{label}", NAMES, CLASSES, file="list.tsv", header=False),
    "EmotionalDAN train.txt": Seen(
        "image_2.jpg 2",
        "image_{i}.jpg {label}",
        ("0", "1"),
        ("neutral", "happiness"),
        {"class_names": ["neutral", "happiness"]},
        file="train.txt",
        image="image_{i}.jpg",
        header=False,
    ),
    "Ada-CM": Seen(
        "face_1.jpg 3 1",
        "face_{i}.jpg {label} 1",
        ("0", "3", "6"),
        ("surprise", "happiness", "neutral"),
        {"columns": {"path": 0, "label": 1}, "class_names": "rafdb"},
        file="train_label.txt",
        image="face_{i}.jpg",
        header=False,
    ),
    "ExpW label.lst": Seen(
        "angry_actor_104.jpg 0 28 113 226 141 22.9362 0",
        "angry_actor_{i}.jpg 0 28 113 226 141 22.9362 {label}",
        ("0", "3", "6"),
        ("anger", "happiness", "neutral"),
        {"columns": {"path": 0, "label": 7}, "class_names": "expw"},
        file="label.lst",
        image="angry_actor_{i}.jpg",
        header=False,
    ),
    "CAGE": Seen(
        "number,expression,valence,arousal",
        "{i},{label},0.1,0.2{i}",
        ("0", "1"),
        ("neutral", "happiness"),
        {"columns": {"path": "number"}, "class_names": "affectnet8"},
        attributes=("valence", "arousal"),
    ),
}

#: First row -> error message, for files that are not read without options.
REFUSED = {
    "emotion,pixels,Usage": "the table contains the pixels of the images; dataset=ferplus reads such tables",
    "filename, anger, happiness, neutral": "no column has a usual name for the labels",
    "image,label,emotion": "several columns could contain the labels: label, emotion",
    "image,path,label": "several columns could contain the image names: image, path",
}
