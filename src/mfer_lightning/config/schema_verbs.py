"""Types and names of the options of every verb but ``train`` (:mod:`mfer_lightning.config.schema`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Align:
    """Options of ``mfer align``."""

    source: str = MISSING
    output: str = MISSING
    template: str = "face-evolve-112"
    size: Optional[int] = None
    margin: float = 0.0
    faces: str = "largest"
    no_face: str = "skip"
    refine: int = 2
    border: str = "black"
    detector: dict[str, Any] = field(default_factory=lambda: {"name": "mtcnn"})
    format: str = "jpg"
    quality: int = 95
    workers: int = 0
    retry: bool = False


@dataclass
class Benchmark:
    """Options of ``mfer benchmark``."""

    parts: Any = "all"
    backbone: str = "convnext_base"
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 224
    batch: int = 8
    precision: str = "auto"
    repeats: int = 5
    threads: Optional[int] = None
    workers: int = 2
    faces: int = 2048
    steps: int = 100
    output: Optional[str] = None


@dataclass
class Dashboard:
    """Options of ``mfer dashboard``."""

    runs: Any = None
    entity: Optional[str] = None
    project: Optional[str] = None
    title: Optional[str] = None
    output: Optional[str] = None
    publish: bool = False


@dataclass
class Data:
    """Own options of ``mfer data``, beside those of ``mfer train``."""

    images: str = "all"
    sheet: Optional[str] = None
    shared: Optional[str] = None
    faces: int = 12
    json: bool = False
    plugins: list[str] = field(default_factory=list)


@dataclass
class Demo:
    """Options of ``mfer demo``."""

    checkpoint: str = MISSING
    explain: bool = True
    device: str = "auto"
    host: str = "127.0.0.1"
    port: Optional[int] = None
    open: bool = False
    max_pixels: int = 64_000_000
    plugins: list[str] = field(default_factory=list)


@dataclass
class Places:
    """Where the data, the runs and the image caches are."""

    data: Optional[str] = None
    runs: str = "runs"
    cache: Optional[str] = None


@dataclass
class Reading:
    """How faces are read."""

    eval_batch_size: int = 64
    num_workers: int = 2


@dataclass
class Figures:
    """What is drawn."""

    embedding_points: int = 1500


@dataclass
class Robustness:
    """What the robustness suite measures."""

    limit: Optional[int] = None
    kinds: Optional[list[str]] = None
    batch: bool = True
    border: str = "black"
    seed: int = 0


@dataclass
class Explain:
    """Which faces are explained, and how."""

    choice: str = "mistakes"
    rows: Optional[list[int]] = None
    count: int = 16
    target: str = "predicted"
    stage: Optional[int] = None
    method: str = "gradcam"
    channels: int = 4


@dataclass
class Evaluate:
    """Options of ``mfer evaluate``."""

    checkpoint: Optional[str] = None
    predictions: Optional[str] = None
    dataset_name: Optional[str] = None
    suite: str = "standard"
    split: str = "test"
    drop: list[str] = field(default_factory=list)
    flip: Optional[bool] = None
    shift: Optional[float] = None
    calibrate: bool = False
    device: str = "auto"
    output: Optional[str] = None
    paths: Places = field(default_factory=Places)
    loader: Reading = field(default_factory=Reading)
    evaluation: Figures = field(default_factory=Figures)
    robustness: Robustness = field(default_factory=Robustness)
    lists: dict[str, Any] = field(default_factory=dict)
    explain: Explain = field(default_factory=Explain)
    plugins: list[str] = field(default_factory=list)


@dataclass
class Export:
    """Options of ``mfer export``."""

    checkpoint: Optional[str] = None
    format: str = "safetensors"
    output: Optional[str] = None
    replace: bool = False
    quantize: str = "none"
    faces: int = 256
    paths: Places = field(default_factory=Places)
    loader: Reading = field(default_factory=Reading)
    plugins: list[str] = field(default_factory=list)


@dataclass
class Video:
    """How videos and cameras are read."""

    fps: Optional[float] = 5.0
    smooth: float = 0.5
    seconds: Optional[float] = None
    timelines: int = 12


@dataclass
class Predict:
    """Options of ``mfer predict``."""

    checkpoint: str = MISSING
    source: str = MISSING
    output: Optional[str] = None
    aligned: bool = False
    faces: str = "all"
    detector: dict[str, Any] = field(default_factory=dict)
    flip: Optional[bool] = None
    shift: Optional[float] = None
    annotate: bool = False
    retry: bool = False
    max_pixels: int = 64_000_000
    batch_size: int = 64
    workers: int = 0
    device: str = "auto"
    precision: str = "float32"
    video: Video = field(default_factory=Video)
    plugins: list[str] = field(default_factory=list)


@dataclass
class Report:
    """Options of ``mfer report``."""

    runs: Any = None
    output: Optional[str] = None
    keep: Optional[str] = None
    title: Optional[str] = None
    baseline: Optional[str] = None
    metric: str = "accuracy"
    contrasts: Optional[str] = None
    axes: list[str] = field(default_factory=list)
    embedding: str = "tsne"
    embedding_points: int = 500
    plugins: list[str] = field(default_factory=list)
