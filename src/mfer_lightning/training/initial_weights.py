"""Load the initial weights of a configuration, and determine the channel order that they were trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mfer_lightning.bundled.registry import precedence_note
from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.checkpoints.rebuild import unlike_attention
from mfer_lightning.config.instantiate import described
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.safetensors_folder import WEIGHTS, read_export
from mfer_lightning.nn import LoadReport, Network, load_weights
from mfer_lightning.nn.weights.class_rows import class_rows, output_layers
from mfer_lightning.training.bundled_weights import bundled_weights, fitting_options
from mfer_lightning.training.log_file import log

Config = Mapping[str, Any]


def load_initial_weights(config: Config, network: Network, class_names: Sequence[str], new_heads: bool = False) -> str:
    """Load weights into a network, print a summary line and log every tensor by name.

    Args:
        config: plain resolved configuration of ``mfer train``.
        network: changed in place.
        class_names: the K emotions in order.
        new_heads: keep the initial heads of the network even if the file contains heads.

    Returns:
        The channel order: ``preprocess.colour``, or the channel order of the weights.

    Raises:
        UserError: if the weights do not match, or their channel order is unknown.
    """
    weights = str(config["weights"])
    if (note := precedence_note(weights, "weights")) is not None:
        print(f"Note: {note}", flush=True)
    bundled = bundled_weights(weights)
    file = weights if bundled is None else str(bundled.checked() / WEIGHTS)
    ours = _description(file)
    head, rows = ("new", None) if new_heads else _head_choice(ours, class_names, network)
    try:
        with described("weights"):
            report = load_weights(network, file, head=head, rows=rows)
    except UserError as error:
        if bundled is None or not (options := fitting_options(bundled)):
            raise
        raise UserError(f"{error}\nOptions that build a network like {bundled.full_name}: {options}") from error
    if bundled is not None:
        report = replace(report, source=bundled.full_name)
    if "landmarks" in report.new_parts and network.config.get("freeze_landmarks"):
        raise UserError(
            f"weights={weights} has no weights of the landmark network, and network.freeze_landmarks=true would "
            "keep its random weights. Use a file that has them (docs/networks.md), or network.freeze_landmarks=false."
        )
    if weights != "none":
        print(f"weights: {report}", flush=True)
        log.info("weights: %s\n%s", report, report.by_name())
    if (unlike := unlike_attention(ours, network)) is not None:
        print(f"weights: the attention was trained with {unlike}.", flush=True)
    return _colour(config, report, ours)


def _description(weights: str) -> dict[str, Any]:
    """Return the description stored in our checkpoint or export; empty for all other weights."""
    description: dict[str, Any] = {}
    # for a damaged file, or one written by another program, loading the weights raises the error
    with suppress(UserError):
        if weights.endswith(".ckpt"):
            description = read_checkpoint(weights)["mfer"]
        elif Path(weights).name == WEIGHTS:
            description = read_export(Path(weights).parent, verify=False)[0]
    return description if "class_names" in description else {}


def _head_choice(
    ours: Config, class_names: Sequence[str], network: Network
) -> tuple[Literal["load", "new"], list[int] | None]:
    """Return whether to load the heads of our checkpoint, and which rows; None: all rows in their order."""
    if not ours or tuple(ours["class_names"]) == tuple(class_names):
        return "load", None
    rows = class_rows(ours["class_names"], class_names) if output_layers(network) else None
    trained = f"weights: trained on the classes {', '.join(ours['class_names'])}"
    if rows is None:
        print(f"{trained}, not on those of this dataset; the heads are new.", flush=True)
        return "new", None
    print(f"{trained}; heads matched by name to {', '.join(class_names)}.", flush=True)
    return "load", rows


def _colour(config: Config, report: LoadReport, ours: Config) -> str:
    """Determine the channel order."""
    wanted = config["preprocess"].get("colour")
    own = (ours.get("preprocess") or {}).get("colour")
    trained = own or report.colour
    if wanted is None:
        if trained is None:
            raise UserError(
                f"weights={config['weights']}: weights of the {report.layout} layout were trained on RGB or on BGR, "
                "but the file does not record which. Set weights.colour=rgb or weights.colour=bgr."
            )
        return trained
    if trained not in (None, wanted):
        print(f"weights: trained on {trained}; preprocess.colour={wanted} is used, as requested.", flush=True)
    return str(wanted)
