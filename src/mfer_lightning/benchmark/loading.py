"""The loader against torchvision's usual one, and the small model end to end against a naive loop, data included."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mfer_lightning.benchmark.naive import NaiveResNet, naive_step
from mfer_lightning.benchmark.timing import Sample, interleaved, median, speedup
from mfer_lightning.benchmark.training import Work, our_step
from mfer_lightning.data.datasets import FolderDataModule
from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.nn import MFER, Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: The network of experiment=ferplus_small.
SMALL = {"name": "resnet18", "drop_path_rate": 0.1, "stem": "small", "options": {"channels": [48, 96, 192, 384]}}
SMALL_SIZE, SMALL_BATCH = 48, 128


def write_faces(root: Path, count: int, side: int, suffix: str = ".jpg") -> None:
    """Write synthetic faces as datasets have them: a folder a partition, a folder a class, square files."""
    faces = FacsGenerator(size=side, seed=0)
    for partition, share in (("train", count), ("val", 80)):
        label = faces.labels(partition, share).label
        for i in range(share):
            path = root / partition / EMOTIONS[label[i]] / f"{i:05d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), faces.image(partition, i)[:, :, ::-1])  # JPEG at quality 95


def their_loader(root: Path, batch: int, workers: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Torchvision's usual loader; one epoch an iteration."""
    steps = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    folder = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))
    return DataLoader(  # type: ignore[return-value]
        folder, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )


def our_loader(root: Path, cache: Path, batch: int, workers: int, side: int) -> DataLoader[Any]:
    """This project's loader of the same faces."""
    datamodule = FolderDataModule(
        root, augment="paper", batch_size=batch, num_workers=workers, size=side, cache_dir=cache
    )
    datamodule.setup("fit")
    return datamodule.train_dataloader()


def measure_loader(folder: Path, faces: int, workers: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    """Compare faces a second of both loaders, normalised to 224 pixels, with each number of workers."""
    root, batch = folder / "faces", 64
    write_faces(root, faces, side=100)
    preprocess = Preprocess(size=224)
    rows = []
    for number in workers:
        theirs = their_loader(root, batch, number, 224)
        ours = our_loader(root, folder / "cache", batch, number, 100)

        def plain(loader: Any = theirs) -> None:
            for image, _ in loader:
                assert image.shape[1:] == (3, 224, 224)

        def packed(loader: Any = ours) -> None:
            for item in loader:
                assert preprocess(item["image"]).shape[1:] == (3, 224, 224)

        samples = interleaved({"naive": plain, "ours": packed}, repeats)
        seen = faces // batch * batch
        rows.append(
            {
                "workers": number,
                "faces_per_second": {name: round(seen / median(found).wall) for name, found in samples.items()},
                "ratio": round(speedup(samples["naive"], samples["ours"]).wall, 2),
            }
        )
    return rows


def measure_small(folder: Path, faces: int, workers: int, repeats: int, bfloat16: bool) -> dict[str, Any]:
    """Train the small model for epochs of both loops in turn: files in, updated weights out.

    The naive loop decodes 48-pixel PNGs each time, and trains in float32 without more ado. Ours also waits for its
    data as ``mfer train`` does; the share of time that it waits is measured.
    """
    root = folder / "small"
    write_faces(root, faces, side=SMALL_SIZE, suffix=".png")
    classes = len(EMOTIONS)
    theirs = their_loader(root, SMALL_BATCH, workers, SMALL_SIZE)
    ours = our_loader(root, folder / "small-cache", SMALL_BATCH, workers, SMALL_SIZE)
    naive = NaiveResNet(classes, options=SMALL["options"]).train()  # type: ignore[arg-type]
    adamw = torch.optim.AdamW(naive.parameters(), lr=1e-4, weight_decay=0.05)
    network = MFER(SMALL, classes, attention="none")
    step = our_step(network, Work("resnet18", {}, SMALL_SIZE, SMALL_BATCH, bfloat16))
    preprocess = Preprocess(size=SMALL_SIZE, mean="half", std="half", channels_last=True)
    waits: list[float] = []

    def plain() -> None:
        for image, label in theirs:
            naive_step(naive, adamw, image, label)

    def packed() -> None:
        start, waited = time.perf_counter(), 0.0
        batches = iter(ours)
        while True:
            asked = time.perf_counter()
            item = next(batches, None)
            waited += time.perf_counter() - asked
            if item is None:
                break
            step(preprocess(item["image"]), item["target"])
        waits.append(waited / (time.perf_counter() - start))

    samples: dict[str, list[Sample]] = interleaved({"naive": plain, "ours": packed}, repeats)
    seen, ratio = faces // SMALL_BATCH * SMALL_BATCH, speedup(samples["naive"], samples["ours"])
    return {
        "batch": SMALL_BATCH,
        "size": SMALL_SIZE,
        "workers": workers,
        "faces_per_second": {name: round(seen / median(found).wall, 1) for name, found in samples.items()},
        "ratio": round(ratio.wall, 3),
        "ratio_of_processor_time": round(ratio.cpu, 3),
        "share_of_time_waiting_for_data": round(statistics.median(waits), 3),
    }
