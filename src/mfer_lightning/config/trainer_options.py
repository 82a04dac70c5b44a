"""All arguments of ``lightning.Trainer``: options with type and default, and why the others are not options.

``tests/training/test_trainer_options.py`` compares this file with the signature of the installed Lightning. Lightning
is not imported here, so that errors on the command line are reported without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Optional

from omegaconf import MISSING, SI

# OmegaConf reads these annotations at run time; Optional is supported on every Python version that we support.
# ruff: noqa: UP045


@dataclass
class Trainer:
    """Options ``trainer.*``: arguments of Lightning's Trainer, our own options, and former names of two arguments."""

    accelerator: str = "auto"
    strategy: str = "auto"
    devices: Any = 1
    num_nodes: int = 1
    precision: str = "auto"
    fast_dev_run: Any = False
    max_epochs: Optional[int] = MISSING
    min_epochs: Optional[int] = None
    max_steps: int = -1
    min_steps: Optional[int] = None
    max_time: Any = None
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    overfit_batches: Any = 0
    val_check_interval: Any = None
    check_val_every_n_epoch: Optional[int] = 1
    num_sanity_val_steps: int = 0
    log_every_n_steps: Optional[int] = None
    enable_progress_bar: Optional[bool] = None
    enable_model_summary: bool = False
    accumulate_grad_batches: int = 1
    gradient_clip_val: Optional[float] = 1.0
    gradient_clip_algorithm: Optional[str] = None
    deterministic: Any = "warn"
    benchmark: Optional[bool] = None
    inference_mode: bool = True
    profiler: Optional[str] = None
    detect_anomaly: bool = False
    sync_batchnorm: bool = False
    reload_dataloaders_every_n_epochs: int = 0
    enable_autolog_hparams: bool = True

    channels_last: bool = True
    compile: Any = False
    checkpointing: bool = False

    accumulate: int = SI("${.accumulate_grad_batches}")
    clip: Optional[float] = SI("${.gradient_clip_val}")


#: Options that are not part of Lightning.
OURS = ("channels_last", "compile", "checkpointing", "accumulate", "clip")

#: Arguments of Lightning's Trainer that are not options -> the reason, or what to use instead.
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "logger": "loggers are a separate group, e.g. logger=wandb or logger=tensorboard.",
        "callbacks": "callbacks are a separate group, e.g. callbacks=[lr_monitor,device_stats].",
        "plugins": "trainer.precision and trainer.strategy select Lightning's plugins; plugins=[my_lab] loads your own "
        "packages.",
        "default_root_dir": "each run writes into its own folder inside paths.runs=<folder>.",
        "enable_checkpointing": "runs are resumed and evaluated from checkpoints. debug=fast_dev_run writes none.",
        "use_distributed_sampler": "the samplers are already distributed, and evaluation counts each face once.",
        "limit_test_batches": "results always cover all faces of a split. debug=smoke shortens only training.",
        "limit_predict_batches": "results always cover all faces of a split. debug=smoke shortens only training.",
        "barebones": "it turns off checkpoints, which resuming and evaluation need. mfer benchmark measures speed.",
        "model_registry": "logger=wandb uploads checkpoints; otherwise upload them from the run's folder.",
    }
)
