"""Map option names of Lightning, timm, Ultralytics and lightning-hydra-template to those used here.

A name that is the last part of one of our options needs no entry: ``batch_size`` finds ``loader.batch_size``.
"""

from __future__ import annotations

#: Name elsewhere -> option here; several candidates are joined with ``or``, and an option with a value is used
#: literally. A dotted name matches as a whole; one without a dot also matches the last part of a dotted name.
TRAIN = {
    # training
    "learning_rate": "optimizer.lr",
    "lr0": "optimizer.lr",
    "base_lr": "optimizer.lr",
    "init_lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "warmup": "scheduler.warmup_epochs",
    "opt": "optimizer",
    "optim": "optimizer",
    "lr_scheduler": "scheduler",
    "sched": "scheduler",
    "clip_grad": "trainer.gradient_clip_val",
    "grad_clip": "trainer.gradient_clip_val",
    "max_norm": "trainer.gradient_clip_val",
    "ema_decay": "ema.decay",
    "model_ema": "ema=default",
    "use_ema": "ema=default",
    "smoothing": "loss.classification.label_smoothing",
    "drop_path": "backbone.drop_path_rate",
    "criterion": "loss",
    "cutmix": "mixup.cutmix_alpha",
    "early_stop": "early_stopping",
    "freeze_backbone": "freeze=backbone",
    # network and weights
    "arch": "backbone",
    "model": "backbone",
    "model.name": "backbone",
    "model_name": "backbone",
    "pretrained": "weights=imagenet",
    "color": "preprocess.colour",
    "colour_order": "preprocess.colour",
    "color_order": "preprocess.colour",
    # data
    "data": "dataset",
    "data.name": "dataset",
    "dataset_name": "dataset",
    "data.root": "paths.data or dataset.root",
    "data_root": "paths.data or dataset.root",
    "data_dir": "paths.data or dataset.root",
    "data_path": "paths.data or dataset.root",
    "root": "paths.data or dataset.root",
    "batch": "loader.batch_size",
    "val_batch_size": "loader.eval_batch_size",
    "test_batch_size": "loader.eval_batch_size",
    "workers": "loader.num_workers",
    "imgsz": "preprocess.size",
    "img_size": "preprocess.size",
    "image_size": "preprocess.size",
    "input_size": "preprocess.size",
    "aug": "augment",
    "augmentation": "augment",
    "augmentations": "augment",
    "auto_augment": "augment",
    "transforms": "augment",
    # hardware
    "amp": "trainer.precision=bf16-mixed",
    "device": "trainer",
    "gpus": "trainer.devices",
    "gpu": "trainer=gpu",
    # run names, folders, loggers and seed
    "exp_name": "name",
    "experiment_name": "name",
    "run_name": "name",
    "task_name": "name",
    "default_root_dir": "paths.runs",
    "log_dir": "paths.runs",
    "output_dir": "paths.runs",
    "save_dir": "paths.runs",
    "wandb": "logger=wandb",
    "tensorboard": "logger=tensorboard",
    "seed_everything": "seed",
}

#: The same for commands that work with a trained model.
TRAINED = {
    "ckpt": "checkpoint",
    "ckpt_path": "checkpoint",
    "model": "checkpoint",
    "weights": "checkpoint",
    "batch": "batch_size or loader.eval_batch_size",
    "batch_size": "loader.eval_batch_size",
    "num_workers": "workers",
    "image": "source",
    "images": "source",
    "img": "source",
    "input": "source",
    "video": "source",
    "photo": "source",
    "photos": "source",
    "save": "annotate",
    "gpu": "device=cuda",
    "gpus": "device=cuda",
    "out": "output",
    "out_dir": "output",
    "output_dir": "output",
    "save_dir": "output",
    "onnx": "format=onnx",
    "int8": "quantize=int8",
    "tta": "flip",
    "half": "precision=bf16-mixed",
    "data_root": "paths.data",
    "data_dir": "paths.data",
}

#: Names without a single corresponding option in ``mfer train``.
SENTENCES = dict.fromkeys(
    ("checkpoint", "ckpt", "ckpt_path", "resume_from", "resume_from_checkpoint"),
    "to continue an unfinished run, repeat the same command (resume=auto); to start from trained weights, use "
    "weights=<file>; to evaluate them, use mfer evaluate checkpoint=<file>",
) | {"dataset.fold": "this dataset has no folds; only dataset=ckplus and dataset=jaffe have folds"}

#: Group -> option that accepts more names than the group has choices, and a description of these names.
BY_NAME = {
    "backbone": ("backbone.name", "any other timm model"),
    "optimizer": ("optimizer.name", "any other optimiser of timm or torch"),
}
