"""The paper's network end to end: a run of ``mfer train`` over files against the bare step on faces in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mfer_lightning.benchmark.fit import SKIPPED, timed_fit
from mfer_lightning.benchmark.loading import write_faces
from mfer_lightning.benchmark.timing import Sample, median, once
from mfer_lightning.benchmark.work import CLASSES, Work, faces, our_step
from mfer_lightning.config.compose import compose_train
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.training.build import build_datamodule, build_module

#: Side of the stored faces in pixels.
STORED = 100
#: Batches that each worker reads ahead (see ``FaceDataModule``): those of the start would flatter the loader.
AHEAD = 4


def measure_end_to_end(folder: Path, work: Work, workers: int, steps: int, repeats: int) -> dict[str, Any]:
    """Time steps of ``mfer train``, loader, callbacks and all, and the same number of bare steps, in turn.

    Args:
        folder: for faces and runs.
        work: what is measured; ``baselines`` and ``compile`` do not matter here.
        workers: processes that read.
        steps: timed in each repeat.
        repeats: of both.

    Returns:
        Faces a second of both, and the share of the bare step's that ``mfer train`` reaches.
    """
    skipped = SKIPPED + AHEAD * workers
    write_faces(folder / "faces", work.batch * (skipped + steps + 1), side=STORED)
    bare = _bare(work)
    samples: dict[str, list[Sample]] = {"bare_step": [], "mfer_train": []}
    for repeat in range(repeats):
        samples["bare_step"].append(once(bare, steps, work.where.synchronise))
        whole = _train(folder / f"run{repeat}", folder, work, workers, steps, skipped)
        samples["mfer_train"].append(Sample(whole.wall / steps, whole.cpu / steps))
        work.where.free()
    seconds = {name: median(found).wall for name, found in samples.items()}
    return {
        "device": work.device,
        "batch": work.batch,
        "workers": workers,
        "steps": steps,
        "faces_per_second": {name: round(work.batch / value, 1) for name, value in seconds.items()},
        "share_of_bare_step": round(seconds["bare_step"] / seconds["mfer_train"], 3),
    }


def _bare(work: Work) -> Any:
    image, label = faces(work)
    pixels = Preprocess(size=work.size).to(work.device)(image)
    target = torch.nn.functional.one_hot(label, CLASSES).float()
    network = MFER({"name": work.backbone, "options": dict(work.options), "drop_path_rate": 0.25}, CLASSES)
    step = our_step(network.to(work.device), work)
    step(pixels, target)
    return lambda: step(pixels, target)


def _train(run: Path, folder: Path, work: Work, workers: int, steps: int, skipped: int) -> Sample:
    overrides = ["dataset=folder", f"dataset.size={STORED}", f"preprocess.size={work.size}", "loss=ce", "logger=csv"]
    overrides += [f"loader.batch_size={work.batch}", f"loader.num_workers={workers}", "trainer.max_epochs=1"]
    overrides += [f"trainer.accelerator={work.where.accelerator}", "trainer.limit_val_batches=0"]
    overrides += [f"trainer.precision={'bf16-mixed' if work.bfloat16 else '32-true'}"]
    config = compose_train(overrides)
    config["backbone"] |= {"name": work.backbone, "options": dict(work.options), "drop_path_rate": 0.25}
    config["dataset"]["root"] = str(folder / "faces")
    config["paths"]["cache"] = str(folder / "cache")
    datamodule = build_datamodule(config)
    datamodule.setup("fit")
    module = build_module(config, datamodule, {})
    return timed_fit(module, datamodule, config, run, steps, work.where, skipped)
