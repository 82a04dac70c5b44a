"""Completion on the command line: the candidates, and completion in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfer_lightning.cli import VERBS
from mfer_lightning.config.completion import SHELLS, candidates, shell_completion
from mfer_lightning.config.location import choices
from mfer_lightning.errors import UserError


def offered(line: str) -> list[str]:
    return candidates(line, list(VERBS))


def test_first_word_is_a_verb_or_a_train_option() -> None:
    assert set(VERBS) <= set(offered("mfer "))
    assert offered("mfer pred") == ["predict"]
    assert {"loss=", "loss.", "seed="} <= set(offered("mfer "))
    assert "train" not in offered("mfer train ")


def test_group_choices_are_completed_also_in_lists() -> None:
    assert offered("mfer loss=") == [f"loss={name}" for name in choices("loss")]
    assert offered("mfer -m loss=ce,ds") == ["loss=ce,dsf"]
    assert offered("mfer logger=[csv,wa") == ["logger=[csv,wandb"]
    assert offered("mfer experiment=strong/r") == ["experiment=strong/rafdb"]
    assert offered("mfer evaluate dataset=raf") == ["dataset=rafdb", "dataset=rafdb_compound"]


def test_options_are_completed_level_by_level_for_the_current_choices() -> None:
    assert offered("mfer loss.feature.te") == ["loss.feature.temperature="]
    assert "optimizer.momentum=" not in offered("mfer optimizer.")
    assert "optimizer.momentum=" in offered("mfer train optimizer=sgd optimizer.")
    assert offered("mfer predict video.f") == ["video.fps="]
    assert offered("mfer predict optimi") == []
    assert offered("mfer data dataset.prot") == ["dataset.protocol="]


def test_booleans_and_defaults_are_completed() -> None:
    assert offered("mfer predict annotate=") == ["annotate=true", "annotate=false"]
    assert offered("mfer predict video.fps=") == ["video.fps=5.0"]


def test_file_names_are_completed_for_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("rest.ckpt", "face.jpg"):
        (tmp_path / name).touch()
    assert offered("mfer predict checkpoint=r") == ["checkpoint=rest.ckpt", "checkpoint=runs/"]
    assert offered("mfer report ru") == ["runs/", "runs="]
    assert offered("mfer predict face") == ["face.jpg", "faces="]


def test_flags_are_completed() -> None:
    assert offered("mfer --mu") == ["--multirun"]
    assert "--config-dir" in offered("mfer predict --")


@pytest.mark.parametrize("shell", SHELLS)
def test_install_prints_the_script_to_evaluate(shell: str) -> None:
    script = shell_completion(["-sc", f"install={shell}"], list(VERBS))
    assert f"mfer -sc query={shell}" in script
    assert "mfer" in shell_completion(["--shell-completion", f"uninstall={shell}"], list(VERBS))


@pytest.mark.parametrize("words", [[], ["install=tcsh"], ["install"]])
def test_unknown_shell_error_shows_the_command_to_type(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"eval .*-sc install=bash"):
        shell_completion(["-sc", *words], list(VERBS))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "words", "word", "expected"),
    [
        ("mfer pred", ["mfer", "pred"], 1, ["predict"]),
        ("mfer loss=ds", ["mfer", "loss", "=", "ds"], 3, ["dsf"]),  # bash splits words at =
        ("mfer -m seed=0,1 head=", ["mfer", "-m", "seed", "=", "0,1", "head", "="], 6, ["linear", "multiscale"]),
        ("mfer predict checkpoint=a", ["mfer", "predict", "checkpoint", "=", "a"], 4, [r"a\ b\$\(touch\ oops\).ckpt"]),
        ("mfer zzz", ["mfer", "zzz"], 1, []),
    ],
)
def test_completion_works_in_bash(line: str, words: list[str], word: int, expected: list[str], tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mfer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mfer_lightning "$@"\n')
    program.chmod(0o755)
    (tmp_path / "a b$(touch oops).ckpt").touch()
    listed = " ".join(f"'{w}'" for w in words)
    script = (
        f"eval \"$(mfer -sc install=bash)\"\nCOMP_LINE='{line}' COMP_POINT={len(line)} COMP_CWORD={word}\n"
        f"COMP_WORDS=({listed})\n_mfer\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        timeout=60,
    )
    assert done.stdout.split("\n")[:-1] == (expected or [""]), done.stderr
    assert not (tmp_path / "oops").exists(), "nothing in a file's name is executed"


def program(tmp_path: Path) -> dict[str, str]:
    """Put a program `mfer` on the path of a shell."""
    path = tmp_path / "bin" / "mfer"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m mfer_lightning "$@"\n')
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{path.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_completion_works_in_fish_before_the_cursor(tmp_path: Path) -> None:
    script = "mfer -sc install=fish | source; complete -C 'mfer loss=ds'; complete -C 'mfer optimizer.weight'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=program(tmp_path),
        timeout=60,
    )
    assert done.stdout.split() == ["loss=dsf", "optimizer.weight_decay="], done.stderr


def test_fish_query_has_no_newlines_and_zsh_quotes_its_insertions() -> None:
    assert "collect -N" not in SHELLS["fish"][0]  # a newline at the end would start another word
    assert "compadd -Q" not in SHELLS["zsh"][0]  # with -Q `$(...)` in the name of a file would be executed


def test_query_imports_neither_torch_nor_hydra_and_prints_nothing_without_matches(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['mfer', '-sc', 'query=bash']\nfrom mfer_lightning.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert e.code == 0\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COMP_LINE": "mfer qqq"}
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert time.monotonic() - start < 5  # 0.2 s on an idle machine
