"""Print a summary of a run before it trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mfer_lightning.config.chosen import is_peer, kept_choices, name_of
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.module import FERModule
from mfer_lightning.nn.cost import count_parameters
from mfer_lightning.plurals import counted


def print_start(
    config: Mapping[str, Any],
    datamodule: FaceDataModule,
    module: FERModule,
    run_dir: Path,
    precision: str,
    size: int,
    gflops: float,
    *,
    resumed: bool = False,
    console: Console | None = None,
) -> None:
    """Print data, network and training in a few lines.

    Args:
        config: plain resolved configuration.
        datamodule: the dataset, already set up.
        module: the network and its objective.
        run_dir: folder of the run.
        precision: the precision in use, e.g. ``"bf16-mixed"``.
        size: side of the network's input in pixels.
        gflops: GFLOPs for one face.
        resumed: whether the run continues an unfinished one.
        console: where to print; None: the terminal.
    """
    console = console or Console()
    network = module.network
    counts = {name: len(datamodule.splits[name].rows) for name in ("train", "val", "test")}
    faces = ", ".join(f"{name} {n:,}" for name, n in counts.items() if n)
    parts = {name: count_parameters(child) for name, child in network.named_children()}
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("data", f"{datamodule.protocol.name}: {faces} faces, {counted(datamodule.num_classes, 'class')}")
    table.add_row("layout", escape(datamodule.index.layout))
    table.add_row(
        "network",
        f"{_network(config)}, {count_parameters(network) / 1e6:.2f} M parameters "
        f"({', '.join(f'{k} {v / 1e6:.2f}' for k, v in parts.items() if v)}), {gflops:.3g} GFLOPs at {size} px",
    )
    table.add_row("weights", "from scratch" if config["weights"] == "none" else escape(str(config["weights"])))
    if config["adapter"]["name"] != "none":
        learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
        rank = config["adapter"]["rank"]
        table.add_row(
            "adapter", f"{config['adapter']['name']} of rank {rank}: {learned / 1e6:.2f} M trainable parameters"
        )
    table.add_row("loss", _part(config, "loss") + _weight(config["loss"]))
    table.add_row(
        "training",
        f"{_length(config['trainer'])}, batch {datamodule.batch_size}, "
        f"{_part(config, 'optimizer')} {config['optimizer']['lr']:g}, {_part(config, 'scheduler')}, {precision}, "
        f"seed {config['seed']}",
    )
    table.add_row("run", escape(f"{run_dir}{' (continued)' if resumed else ''}"))
    console.print(table, highlight=False, soft_wrap=False)
    for note in datamodule.notes:
        console.print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)


def _network(config: Mapping[str, Any]) -> str:
    """Name the network by its parts, or a complete network by its name.

    Example:
        >>> _network({"network": {"name": "dan"}})
        'dan'
    """
    if is_peer(config):
        return _part(config, "network")
    return f"{_part(config, 'backbone')} + {_part(config, 'attention')} attention + {_part(config, 'head')} head"


def _part(config: Mapping[str, Any], group: str) -> str:
    """Name a part by its choice, followed in brackets by its name if that differs.

    Example:
        >>> _part({"backbone": {"name": "convnext_tiny"}, "choices": {"backbone": "convnext_64px"}}, "backbone")
        'convnext_64px (convnext_tiny)'
    """
    name, own = name_of(config, group), str(config[group]["name"])
    return f"{name} ({own})" if group in kept_choices(config) else own


def _length(trainer: Mapping[str, Any]) -> str:
    """Describe the length of a run in terms of its options.

    Example:
        >>> _length({"max_epochs": None, "max_steps": 20000}), _length({"max_epochs": 1})
        ('20,000 steps', '1 epoch')
    """
    limits = ((trainer["max_epochs"], "epoch"), (trainer.get("max_steps"), "step"))
    return ", at most ".join(counted(n, what) for n, what in limits if n is not None and n > 0)


def _weight(loss: Mapping[str, Any]) -> str:
    return f" (feature loss x {loss['feature_weight']:g})" if loss.get("feature") else ""
