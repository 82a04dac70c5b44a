"""How fast faces come to the network: this project's loader against torchvision's, in one run.

    python benchmarks/loader.py                        # 4,000 JPEGs of 100 x 100 in a temporary folder; a minute

Both deliver the same thing: float32 batches (B,3,224,224), RGB, normalised, flipped at random. Theirs: ImageFolder,
Resize, RandomHorizontalFlip, ToTensor, Normalize, DataLoader. Ours: the packed cache (warm), augment=paper, DataLoader,
and Preprocess, which resizes and normalises whole batches (here on the CPU, within the measured time). Both in one
process at first, then with workers; medians over repeats taken in turn, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mfer_lightning.data.datamodules import FolderDataModule
from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.emotions import CLASS_ORDERS
from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.nn import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE, SIZE = 100, 224


def write_faces(root: Path, count: int) -> None:
    """Write synthetic faces as RAF-DB has them: JPEGs of 100 x 100, a folder a class."""
    faces = FacsGenerator(size=SIDE, seed=0)
    for partition, share in (("train", count), ("val", 80)):
        label = faces.labels(partition, share).label
        for i in range(share):
            path = root / partition / CLASS_ORDERS["facs"][label[i]] / f"{i:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), faces.image(partition, i)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def theirs(root: Path, batch: int, workers: int) -> Callable[[], Iterator[Tensor]]:
    """Torchvision's usual loader."""
    steps = [
        transforms.Resize((SIZE, SIZE)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    folder = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))
    loader = DataLoader(
        folder, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    return lambda: (image for image, _ in loader)


def ours(root: Path, cache: Path, batch: int, workers: int) -> Callable[[], Iterator[Tensor]]:
    """This project's loader and preprocessing."""
    datamodule = FolderDataModule(
        root, augment="paper", batch_size=batch, num_workers=workers, size=SIDE, cache_dir=cache
    )
    datamodule.setup("fit")
    preprocess = Preprocess(size=SIZE)
    loader = datamodule.train_dataloader()
    return lambda: (preprocess(b["image"]) for b in loader)


def rate(epoch: Callable[[], Iterator[Tensor]]) -> float:
    """Faces a second over one epoch."""
    start, faces = time.perf_counter(), 0
    for image in epoch():
        assert image.dtype == torch.float32
        assert image.shape[1:] == (3, SIZE, SIZE)
        faces += len(image)
    return faces / (time.perf_counter() - start)


def main() -> None:
    """Print faces a second of both and their ratio, for this process alone and with two workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    args = parser.parse_args()
    keep_freed_memory()  # as `mfer train` does; torchvision's loader gains from it as well
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "faces"
        write_faces(root, args.faces)
        for workers in args.workers:
            both = {
                "torchvision": theirs(root, args.batch, workers),
                "mfer_lightning": ours(root, Path(folder) / "cache", args.batch, workers),
            }
            for epoch in both.values():
                rate(epoch)  # warm: files, cache, workers
            rates: dict[str, list[float]] = {name: [] for name in both}
            for _ in range(args.repeats):
                for name, epoch in both.items():
                    rates[name].append(rate(epoch))
            row = {name: round(statistics.median(values)) for name, values in rates.items()}
            ratios = [o / t for o, t in zip(rates["mfer_lightning"], rates["torchvision"], strict=True)]
            results.append({"workers": workers, **row, "ratio": round(statistics.median(ratios), 2)})
            if not args.json:
                print(
                    f"{workers} workers: torchvision {row['torchvision']:,} faces/s, mfer_lightning "
                    f"{row['mfer_lightning']:,} faces/s, ratio {results[-1]['ratio']:.2f}",
                    flush=True,
                )
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
