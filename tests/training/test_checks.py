"""Values that cannot work are rejected before anything is built."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from commands.conftest import Mfer
from config.test_compose import composed

from mfer_lightning.config.flags import split_flags
from mfer_lightning.errors import UserError
from mfer_lightning.training.build import build_objective
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.combinations import idle_options
from mfer_lightning.training.checks.trial_build import build_on_trial


@pytest.fixture(scope="module")
def config() -> dict:
    return composed()


def check_all(config: dict) -> None:
    """Check values and combinations, and build the parts of the run, whose constructors check their arguments."""
    check_config(config)
    build_on_trial(config)


def test_defaults_pass(config: dict) -> None:
    check_config(config)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("trainer.max_epochs", 0),
        ("trainer.accumulate_grad_batches", 0),
        ("trainer.gradient_clip_val", -1.0),
        ("trainer.gradient_clip_val", 0.0),
        ("trainer.limit_train_batches", 0),
        ("trainer.limit_val_batches", 0),
        ("trainer.limit_val_batches", "abc"),
        ("loader.batch_size", 0),
        ("loader.num_workers", -1),
        ("optimizer.lr", 0.0),
        ("optimizer.lr", float("nan")),
        ("loss.feature_weight", -1.0),
        ("preprocess.size", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("trainer.precision", "bf16-true"),
    ],
)
def test_out_of_range_value_error_lists_valid_values(option: str, value: object, config: dict) -> None:
    changed = copy.deepcopy(config)
    node, name = option.split(".") if "." in option else (None, option)
    (changed[node] if node else changed)[name] = value
    with pytest.raises(UserError, match=re.escape(f"{option}={value}: ")):
        check_all(changed)


def test_sam_with_accumulation_is_rejected(config: dict) -> None:
    changed = copy.deepcopy(config)
    changed["optimizer"]["sam_rho"] = 0.05
    check_config(changed)
    changed["trainer"]["accumulate_grad_batches"] = 2
    with pytest.raises(UserError, match=r"trainer\.accumulate_grad_batches=1"):
        check_config(changed)


def test_flags_can_be_given_anywhere() -> None:
    assert split_flags(["loss=ce", "-m", "--config-dir", "mine", "seed=0"]) == (
        ["-m", "--config-dir", "mine"],
        ["loss=ce", "seed=0"],
    )
    with pytest.raises(UserError, match="no flag --multirn: did you mean '--multirun'"):
        split_flags(["--multirn"])


@pytest.mark.parametrize("dataset", ["affectnet7", "rafdb", "ferplus", "folder"])
def test_missing_data_error_names_the_paths_searched(
    dataset: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer(f"dataset={dataset}", f"paths.data={tmp_path}/none", "backbone=convnext_atto") == 2
    assert f"{tmp_path}/none" in capsys.readouterr().err


def test_null_disables_a_loss_term() -> None:
    config = composed("network=dan_64px", "preprocess.size=64", "loss.terms.affinity=null")
    assert list(build_objective(config, ("a", "b"), (1, 1), 8).terms) == ["partition"]


def test_valence_arousal_options_without_effect_are_reported() -> None:
    config = composed("valence_arousal=ccc", "valence_arousal.loss=null", "valence_arousal.weight=3")
    notes = {note for note in idle_options(config) if note.startswith("valence_arousal")}
    assert notes == {
        "valence_arousal.weight=3.0 has no effect without valence_arousal.loss",
        "valence_arousal=ccc has no effect with valence_arousal.loss=null",
    }
    assert not [note for note in idle_options(composed()) if note.startswith("valence_arousal")]


def test_out_of_range_valence_arousal_weight_names_its_option() -> None:
    config = composed("valence_arousal=ccc", "valence_arousal.weight=-1")
    with pytest.raises(UserError, match=r"^valence_arousal\.weight=-1\.0: .* at least 0"):
        build_objective(config, ("a", "b"), (1, 1), 8)


def test_method_error_names_the_chosen_network() -> None:
    with pytest.raises(UserError, match="needs the network output 'map', but network=dan returns only "):
        build_on_trial(composed("method=eac", "network=dan_64px", "preprocess.size=64"))
