"""Values and combinations that cannot work, refused before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError

#: Option -> the least legal value, and whether that value itself is legal.
_LEAST = {
    "trainer.max_epochs": (1, True),
    "trainer.accumulate": (1, True),
    "trainer.num_nodes": (1, True),
    "trainer.clip": (0, False),
    "trainer.limit_train_batches": (0, False),
    "trainer.limit_val_batches": (0, False),
    "loader.batch_size": (1, True),
    "loader.eval_batch_size": (1, True),
    "loader.num_workers": (0, True),
    "optimizer.lr": (0, False),
    "optimizer.weight_decay": (0, True),
    "loss.feature_weight": (0, True),
    "evaluation.embedding_points": (0, True),
    "preprocess.size": (1, True),
    "seed": (0, True),
}
_LARGEST_SEED = 2**32 - 1


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse what cannot work.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: naming the option, its value, what is legal and what to do.
    """
    for option, (least, inclusive) in _LEAST.items():
        value: Any = config
        for name in option.split("."):
            value = value[name]
        if value is None:
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise UserError(f"{option}={value}: the value must be a number.")
        if not (value >= least if inclusive else value > least):
            raise UserError(f"{option}={value}: the value must be {'at least' if inclusive else 'more than'} {least}.")
    if config["seed"] > _LARGEST_SEED:
        raise UserError(f"seed={config['seed']}: the value must be at most {_LARGEST_SEED}.")
    precision = str(config["trainer"]["precision"])
    if precision in ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"):
        raise UserError(
            f"trainer.precision={precision}: weights are kept in float32 here. Use bf16-mixed or 16-mixed, or auto."
        )
    if config["optimizer"]["sam_rho"] > 0:
        if config["trainer"]["accumulate"] > 1:
            raise UserError("optimizer=sam needs the whole gradient at each pass: use trainer.accumulate=1.")
        if precision == "16-mixed":
            raise UserError(
                "optimizer=sam does not work with float16's loss scaling: use trainer.precision=bf16-mixed."
            )
