"""Mistakes on the command line: each gives one clear error message immediately, with exit code 2.

One mistake per line: the arguments, then text that the message must contain. ``{photos}`` is a folder
with an image, ``{file}`` a text file, ``{empty}`` an empty folder.
"""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import pytest
from commands.conftest import Mfer
from PIL import Image

from mfer_lightning.data.datasets import FaceDataModule

#: Detected before any data are read.
MISTAKES: list[tuple[str, ...]] = [
    # commands and flags
    ("trian", "`trian` is not a command", "'train'"),
    ("seed = 1", "`seed` is not a command", "without spaces"),
    ("--multirn", "no flag --multirn", "'--multirun'"),
    ("--cfg", "--cfg needs a value", "job"),
    # names of options and choices
    ("lss=dsf", "no option `lss`", "'loss'"),
    ("+trainer.foo=1", "no option `trainer.foo`", "max_epochs"),
    ("+loss=ce", "loss already has a choice", "without a +"),
    ("größe=64", "`größe` is not an option"),
    ("=5", "`=5` has no option"),
    ("loss=dfs", "loss=dfs", "'dsf'", "lgm"),
    ("ema.name=emma", "ema.name=emma", "'ema'"),
    ("backbone.name=convnext_bse", "convnext_bse", "convnext_base"),
    ("dataset=afectnet8", "Did you mean 'affectnet8'"),
    ("experiment=ferplus_smal", "Did you mean 'ferplus_small'"),
    # grammar
    ("seed=1 dsf", "`dsf` is neither a command nor an option"),
    ("seed=[1", "`seed=[1` cannot be understood", "Quote"),
    ("loss=dsf✓", "cannot be understood", "ASCII"),
    ("loss=ce,dsf", "loss=ce,dsf: several values need a sweep", "-m"),
    ("'paths.data=${oc.env:NO_SUCH_PLACE}/x'", "paths.data: the environment variable NO_SUCH_PLACE is not set"),
    ("'trainer.max_epochs=${nothing.there}'", "trainer.max_epochs: ${nothing.there} refers to the option"),
    # types and missing values
    ("trainer.max_epochs=abc", "trainer.max_epochs=abc", "whole number"),
    ("resume=maybe", "resume=maybe: the value must be auto"),
    ("paths.runs=", "paths.runs= has no value"),
    ("dataset=folder dataset.root=", "dataset.root= has no value"),
    # numbers out of range
    ("trainer.max_epochs=-3", "trainer.max_epochs=-3", "at least 1"),
    ("preprocess.size=8", "does not run on images of 8x8", "preprocess.size=32"),
    ("trainer.devices=999", "trainer.devices=999", "cores"),
    ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5", "fraction"),
    ("attention.stages=[7]", "stages 1 to 4"),
    # transforms of an augmentation
    ("+augment.transforms.0.p=0.1", "cannot be changed one by one", "e.g. augment.flip.p=0.1"),
    ("augment.flip.p=2", "augment.flip.p=2", "less than or equal to 1"),
    ("+augment.blur.p=0.1", "augment.blur has no `_target_`", "+augment.blur._target_=albumentations"),
    ("+augment.blur._target_=albumentations.GaussianBlurr", "did you mean 'GaussianBlur'"),
    ("+augment.blur._target_=os.system", "names `os.system`, which is not allowed: only names", "albumentations"),
    (
        "+augment.norm._target_=albumentations.Normalize",
        "augment.norm, Normalize: ",
        "returned float32",
        "`preprocess`",
    ),
    ("augment=standard augment.warp.rotate=500", "augment.warp.rotate=500", "within [0, 180]"),
    ("augment=standard augment.warp.rotat=5", "no option `augment.warp.rotat`", "'rotate'"),
    # combinations
    ("dataset.target=multi", "dataset.target=multi", "loss=multi_target"),
    ("dataset.target=crossentropy loss=arcface", "loss=arcface takes only hard labels", "dataset.target=crossentropy"),
    ("dataset=ferplus dataset.protocol=ran early_stopping=default", "ran uses the last epoch", "early_stopping=none"),
    ("trainer=cpu trainer.precision=16-mixed", "16-mixed needs a GPU", "bf16-mixed"),
    ("trainer.strategy=fsdp", "trainer.strategy=fsdp", "ddp"),
    ("trainer=ddp_cpu loader.batch_size=15", "loader.batch_size=15", "2 devices", "16"),
    ("freeze=backbone", "random weights", "weights=imagenet"),
    # paths
    ("weights=missing.ckpt", "weights=missing.ckpt: there is no such file", "imagenet"),
    ("paths.runs={file}/runs", "Cannot write to the run folder", "paths.runs"),
    # the other commands
    ("data images=foo", "images=foo", "sample"),
    ("data datset=rafdb", "no option `datset`", "'dataset'"),
    ("evaluate", "checkpoint=", "predictions="),
    ("evaluate chekpoint=x", "no option `chekpoint`", "'checkpoint'"),
    ("evaluate checkpoint=nowhere", "no nowhere", "best.ckpt"),
    ("evaluate checkpoint={empty}", "contains no checkpoint"),
    ("evaluate predictions={file}", "is not a table of predictions", "path"),
    ("align", "`source` has no value", "source="),
    ("align source={photos} output={photos}", "the folder of the photos themselves"),
    ("align source={photos} output=out template=foo", "'foo'", "face-evolve-112"),
    ("dashboard runs=nowhere", "no folder nowhere"),
    ("dashboard runs={empty}", "no finished run", "result.json"),
]

#: More of these, for the full suite.
MORE_MISTAKES: list[tuple[str, ...]] = [
    ("trainer.max_epoch=3", "`trainer.max_epoch`", "'max_epochs'"),
    ("loss.feature.temprature=1", "`loss.feature.temprature`", "'temperature'"),
    ("dataset=5", "dataset=5: there is no such choice", "ferplus"),
    ("hydra/launcher=slurm", "hydra/launcher=slurm", "basic"),
    ("optimizer.betas=0.9", "optimizer.betas", "a list"),
    ("trainer.compile=maybe", "trainer.compile=maybe", "true, false, auto, blocks or whole"),
    ("loss.feature=5", "loss.feature=5", "a mapping"),
    ("loader.batch_size=0", "loader.batch_size=0", "at least 1"),
    ("optimizer.lr=nan", "optimizer.lr=nan", "more than 0"),
    ("seed=4294967296", "seed=4294967296", "at most 4294967295"),
    ("preprocess.size=100000", "preprocess.size=100000", "at most 2048"),
    ("trainer.devices=0", "trainer.devices=0", "auto"),
    ("early_stopping.patience=0", "early_stopping.patience=0", "at least 1"),
    ("loss=multi_target", "loss=multi_target", "dataset.target=multi"),
    ("dataset=rafdb dataset.target=probability", "dataset.target=probability", "rafdb", "label, majority"),
    ("optimizer=sam trainer.accumulate=2", "optimizer=sam", "trainer.accumulate_grad_batches=1"),
    ("trainer.num_nodes=2", "trainer.num_nodes=2", "srun", "torchrun"),
    ("name=../../x", "name=../../x", "'..'"),
    ("evaluate checkpoint=x split=tset", "split=tset", "'test'"),
    ("align source=nowhere output=out", "source=nowhere", "no such file or folder"),
    ("evalute checkpoint=x", "'evaluate'"),
    ("train evaluate", "`evaluate` is neither a command nor an option"),
    ("-x loss=ce", "no flag -x"),
    ("--cfg jobs", "--cfg jobs", "'job'"),
    ("--config-dir nowhere", "nowhere", "not found"),
    ("data --jsn", "no flag --jsn"),
    ("++foo=1", "no option `foo`", "legal", "loss"),
    ("loss=", "loss=: there is no such choice", "dsf"),
    ("trainer=null", "trainer=null: there is no such choice", "ddp_cpu"),
    ("debug=smok", "'smoke'", "overfit"),
    ("freeze=bakbone", "'backbone'"),
    ("early_stopping=on", "early_stopping=on", "default, none"),
    ("scheduler.name=cosin", "'cosine'"),
    ("optimizer.name=adamwx", "'adamw'"),
    ("loss.classification._target_=os.system", "`os.system`", "is not allowed"),
    ("'seed=1 loss=ce'", "cannot be understood"),
    ("trainer.max_epochs=", "trainer.max_epochs=", "whole number"),
    ("loader.batch_size=2.5", "loader.batch_size=2.5", "whole number"),
    ("optimizer.lr=fast", "optimizer.lr=fast", "a number"),
    ("seed=[1,2]", "seed=[1, 2]", "whole number"),
    ("backbone.options=5", "backbone.options", "a mapping"),
    ("weights=", "weights= has no value"),
    ("loader.num_workers=-1", "loader.num_workers=-1", "at least 0"),
    ("optimizer.lr=inf", "optimizer.lr=inf", "more than 0"),
    ("optimizer.betas=[2,3]", "optimizer", "beta", "2.0"),
    ("preprocess.size=0", "preprocess.size=0", "at least 1"),
    ("dataset.size=100000", "dataset.size=100000", "at most 2048"),
    ("dataset.label_noise=2", "`label_noise` within [0, 1)"),
    ("ema.decay=1.5", "ema.decay=1.5", "at most"),
    ("mixup=default mixup.prob=2", "mixup.prob=2", "at most 1"),
    ("attention.kernel_size=4", "`kernel_size`", "odd"),
    ("head.scales=9", "`scales`", "from 1 to 4"),
    ("mixup=default loss=arcface", "loss=arcface takes only hard labels", "mixup=none"),
    ("mixup=default loss=multi_target dataset.target=multi", "mixup=none"),
    ("dataset=ferplus dataset.protocol=ran track_test=true", "ran uses the last epoch", "track_test=false"),
    ("optimizer.sam_adaptive=true", "sam_adaptive", "optimizer=sam"),
    ("trainer.precision=16-true", "weights are kept in float32", "bf16-mixed"),
    ("loss=ce loss.centers_from_data=true", "loss.centers_from_data", "loss=ce has none"),
    ("freeze=backbone weights={file} freeze.epochs=500", "freeze.epochs=500", "12 epochs", "null"),
    ("data seed=-1", "seed=-1", "at least 0"),
    ("evaluate checkpoint={file}", "cannot be read as a checkpoint"),
    ("evaluate checkpoint=x predictions=y", "checkpoint=", "or predictions="),
    ("align source={photos} output=out quality=200", "quality=200", "from 1 to 100"),
    ("dashboard", "runs="),
]

#: Written by a tester who knew the command line but not its code.
TESTER_MISTAKES: list[tuple[str, ...]] = [
    ("--dataset facs", "without dashes: dataset=facs"),
    ("name=a/b", "name=a/b", "single folder in paths.runs"),
    ("-m name=../x seed=0,1", "name=../x", "single folder in paths.runs"),
    ("-m +foo=1 seed=0,1", "no option `foo`"),
    ("data +foo=1", "no option `foo`"),
    ("~seed", "`seed` cannot be removed"),
    ("loader.num_workers=100000", "num_workers=100000", "cores", "at most"),
    ("backbone.name=", "backbone.name= has no value"),
    ("loss.feature.label_smoothing=1", "`label_smoothing`", "[0, 1)"),
    ("loss.classification.class_weights=ballanced", "loss.classification.class_weights", "'ballanced'", "inverse"),
    ("-m seed=range(0,0)", "no jobs"),
    ("-m debug=fast_dev_run seed=0,1", "keeps no results", "debug=smoke"),
    ("-m seed=0,x", "seed=x: the value must be a whole number"),
    ("-m seed=0,1 paths.runs={file}/runs", "Cannot write to the sweep's folder", "paths.runs"),
    ("evaluate checkpoint=", "checkpoint= has no value"),
    ("evaluate predictions=x.csv checkpoint=y", "not both"),
    ("align +foo=1 source=x output=y", "no option `foo`"),
]

#: More of these, for the full suite.
MORE_TESTER_MISTAKES: list[tuple[str, ...]] = [
    ("--seed=3", "without dashes: seed=3"),
    ("--trainer.max_epochs 3", "without dashes: trainer.max_epochs=3"),
    ("--backbone", "without dashes: backbone=..."),
    ("name=.", "name=.:", "single folder in paths.runs"),
    ("~trainer.max_epochs", "`trainer.max_epochs` cannot be removed"),
    ("+sampler.foo=1", "no option `sampler.foo`"),
    ("dataset=facs,rafdb", "several values need a sweep", "-m dataset=facs,rafdb"),
    ("weights=ferplus_tny", "weights=ferplus_tny: there is no such file.", "did you mean 'ferplus_tiny' or 'ferplus'?"),
    ("weights=missing.pth", "weights=missing.pth: there is no such file. The option must be none, imagenet"),
    ("evaluation.flip=maybe", "evaluation.flip=maybe", "true or false"),
    ("evaluation.shift=1", "evaluation.shift=1", "at most 0.25"),
    ("preprocess.size=4", "does not run on images of 4x4", "Use preprocess.size=32."),
    ("evaluate checkpoint=x +foo=1", "no option `foo`"),
    ("evaluate checkpoint=x flip=maybe", "flip=maybe", "true or false"),
    ("evaluate predictions=", "predictions= has no value"),
    ("seed=1e3", "seed=1000.0", "whole number"),
    ("preprocess.mean=[1,2]", "`mean`", "three numbers"),
    ("preprocess.std=[0,0,0]", "`std`", "above 0"),
    ("optimizer.betas=[0.9]", "`betas`", "two numbers"),
    ("trainer.devices=-5", "trainer.devices=-5", "auto"),
    ("early_stopping=default early_stopping.monitor=loss", "`monitor`", "macro_f1", "'loss'"),
    ("dataset.protocol=nope", "dataset.protocol=nope", "native"),
    ("resume=true", "resume=True", "auto", "never"),
    ("weights=.", "weights=. is a folder. Use a file in it"),
    ("sweep=optuna paths.runs={file}/runs", "Cannot write to the sweep's folder"),
    ("sweep=optuna hydra.sweeper.n_trials=0", "n_trials=0", "at least 1"),
    ("-m launcher=joblib hydra.launcher.n_jobs=0 seed=0,1", "n_jobs=0", "at least 1"),
]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Files for the mistakes."""
    found = {"file": tmp_path / "file.txt", "photos": tmp_path / "photos", "empty": tmp_path / "empty"}
    found["file"].write_text("some words\n")
    for folder in (found["photos"], found["empty"]):
        folder.mkdir()
    Image.new("RGB", (32, 32)).save(found["photos"] / "a.png")
    return found


@pytest.mark.parametrize(
    "mistake",
    [
        *(pytest.param(line, id=line[0]) for line in (*MISTAKES, *TESTER_MISTAKES)),
        *(pytest.param(line, id=line[0], marks=pytest.mark.slow) for line in (*MORE_MISTAKES, *MORE_TESTER_MISTAKES)),
    ],
)
def test_mistake_raises_one_clear_error(
    mistake: tuple[str, ...],
    mfer: Mfer,
    tmp_path: Path,
    places: dict[str, Path],
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if mistake[0].startswith("dashboard runs=") and importlib.util.find_spec("wandb_workspaces") is None:
        pytest.skip("without the extra `dashboard`, the message names the missing package")

    def read(*arguments: object) -> None:
        raise AssertionError("the data were read before the mistake was found")

    monkeypatch.setattr(FaceDataModule, "prepare_data", read)
    monkeypatch.setattr(FaceDataModule, "setup", read)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    line = mistake[0]
    for name, place in places.items():
        line = line.replace(f"{{{name}}}", str(place))
    assert mfer(*shlex.split(line)) == 2
    message = capfd.readouterr().err
    for words in mistake[1:]:
        assert words in message, message
    assert message.startswith("Error: ")
    assert message.count("\n") == 1, message
    assert len(message) < 800
    assert "Traceback" not in message
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before, "a rejected command leaves no files"


def test_listed_mistakes_are_distinct() -> None:
    others = [*TESTER_MISTAKES, *MORE_TESTER_MISTAKES]
    mistakes = [*MISTAKES, *MORE_MISTAKES, *others]
    lines = [line[0] for line in mistakes]
    assert len(set(lines)) == len(lines) >= 60
    assert len(others) >= 20
    assert all(len(line) > 1 for line in mistakes)
