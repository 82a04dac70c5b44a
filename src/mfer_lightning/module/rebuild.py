"""Build the arguments of a module from a checkpoint, without executing code in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mfer_lightning.checkpoints import file_checks
from mfer_lightning.checkpoints.rebuild import build_network, build_preprocess, check_description, network_weights
from mfer_lightning.config.instantiate import instantiate, takes
from mfer_lightning.errors import UserError
from mfer_lightning.losses import Objective
from mfer_lightning.methods import Method
from mfer_lightning.optim import Mixup

#: Entries of a checkpoint's description that are not metadata.
_PARTS = ("format", "class_names", "network", "preprocess")


class StoredArguments:
    """Arguments of :class:`~mfer_lightning.module.FERModule` stored in a checkpoint, each built on access.

    Args:
        checkpoint: the result of :func:`mfer_lightning.checkpoints.read.read_checkpoint`.
        source: the file, for error messages.
        given: arguments passed by the caller.

    Raises:
        UserError: if the checkpoint's description is damaged, has a newer format, or contains a forbidden ``_target_``.
    """

    def __init__(self, checkpoint: Mapping[str, Any], source: Path, given: Mapping[str, Any]) -> None:
        self.source = source
        self.given = given
        self.description: Mapping[str, Any] = checkpoint["mfer"]
        self.state: Mapping[str, Tensor] = checkpoint["state_dict"]
        self.weights = network_weights(self.state)
        hyper = checkpoint.get("hyper_parameters")
        self.hyper: dict[str, Any] = dict(hyper) if isinstance(hyper, Mapping) else {}
        check_description(self.description, source)
        file_checks.check_plain(self.hyper, source)
        config = self.description.get("config")
        self.config: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
        self._builders: dict[str, Callable[[], Any]] = {
            "network": lambda: self.network,
            "objective": self._objective,
            "preprocess": self._preprocess,
            "class_names": lambda: tuple(self.description["class_names"]),
            "optimizer": lambda: self._options("optimizer"),
            "scheduler": lambda: self._options("scheduler"),
            "method": self._method,
            "mixup": self._mixup,
            "metadata": lambda: {k: v for k, v in self.description.items() if k not in _PARTS},
            "channels_last": lambda: bool(self.hyper.get("channels_last", True)),
        }

    def __contains__(self, name: str) -> bool:
        return name in self._builders or name in self.hyper

    def __getitem__(self, name: str) -> Any:
        return self._builders[name]() if name in self._builders else self.hyper[name]

    @cached_property
    def network(self) -> nn.Module:
        """The network that the caller passed, or the one that the checkpoint describes, with its weights."""
        if "network" in self.given:
            given: nn.Module = self.given["network"]
            return given
        if self.description["network"] is None:
            raise self._to_be_given("network")
        return build_network(self.description, self.weights, self.source)

    def _preprocess(self) -> nn.Module:
        if self.description["preprocess"] is None:
            raise self._to_be_given("preprocess")
        return build_preprocess(self.description, self.source)

    def _objective(self) -> nn.Module:
        stored = self.hyper.get("objective") or self.config.get("loss")
        if not isinstance(stored, Mapping):
            raise self._to_be_given("objective")
        sizes = {
            "num_classes": len(self.description["class_names"]),
            "feature_dim": getattr(self.network, "feature_dim", None),
        }
        try:
            feature = self._loss(stored["feature"], sizes) if stored.get("feature") else None
            terms = {str(name): self._loss(node, sizes) for name, node in (stored.get("terms") or {}).items()}
            classification, weight = self._loss(stored["classification"], sizes), stored.get("feature_weight", 1.0)
            affect: dict[str, Any] = {}
            if stored.get("valence_arousal"):
                affect["valence_arousal"] = self._loss(stored["valence_arousal"], {})
                affect["valence_arousal_weight"] = stored.get("valence_arousal_weight", 1.0)
            return Objective(classification, feature, weight, terms, **affect)
        except (UserError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise self._to_be_given("objective", f" ({str(error).rstrip('.')})") from error

    def _loss(self, node: Mapping[str, Any], sizes: Mapping[str, Any]) -> Any:
        # Sizes come from the class names and the network, not from the stored options of the loss, which could request
        # far more memory than the size of the file.
        own = {k: v for k, v in node.items() if k not in sizes and not (k == "class_weights" and v == "none")}
        file_checks.check_numbers(own, self.source, "objective")
        loss: nn.Module = instantiate(own, where="objective", base=nn.Module, **sizes)
        return loss

    def _method(self) -> Method | None:
        if "method" not in self.hyper:  # from an earlier version
            return None
        stored, faces = self.hyper["method"], self.state.get("method.labels.changed")
        sizes: dict[str, Any] = {
            "num_classes": len(self.description["class_names"]),
            "feature_dim": getattr(self.network, "feature_dim", None),
            "num_faces": 1 if faces is None else len(faces),
        }
        try:
            own = {key: value for key, value in stored.items() if key not in sizes}
            file_checks.check_numbers(own, self.source, "method")
            if takes(own, "peer"):  # the second network gets its weights together with all others
                sizes["peer"] = build_network(self.description, self.weights, self.source)
            method: Method = instantiate(own, where="method", base=Method, **sizes)
        except (UserError, TypeError, ValueError, AttributeError) as error:
            why = f" ({str(error).rstrip('.')}; for evaluation, method=Baseline() is enough)"
            raise self._to_be_given("method", why) from error
        return method

    def _mixup(self) -> Mixup | None:
        options = self.hyper["mixup"] if "mixup" in self.hyper else self.config.get("mixup")
        if not isinstance(options, Mapping) or options.get("name") == "none":
            return None
        seed = {} if "seed" in options else {"seed": self.config.get("seed", 0)}
        return Mixup(**{k: v for k, v in options.items() if k != "name"}, **seed)

    def _options(self, name: str) -> dict[str, Any] | None:
        stored = self.hyper.get(name) or self.config.get(name)
        return dict(stored) if isinstance(stored, Mapping) else None

    def _to_be_given(self, name: str, why: str = "") -> UserError:
        return UserError(
            f"{self.source} does not describe the module's {name}{why}. Pass it explicitly: "
            f"FERModule.load_from_checkpoint(path, {name}=...)."
        )
