"""The script of docs/own_trainer.md, and its LightningCLI."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "own_trainer.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.slow
def test_documented_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks("python")), "own_trainer.md", "exec"), names)
    assert names["module"].metadata["protocol"] == "facs@native"
    assert (tmp_path / "logs").is_dir()


@pytest.mark.slow
def test_lightning_cli(tmp_path: Path) -> None:
    pytest.importorskip("jsonargparse", reason="LightningCLI needs it: pip install jsonargparse[signatures]")
    (tmp_path / "config.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    (tmp_path / "script.py").write_text(
        "from lightning.pytorch.cli import LightningCLI\nfrom mfer_lightning import FERModule\n"
        "from mfer_lightning.data import FacsDataModule\n\nLightningCLI(FERModule, FacsDataModule)\n",
        encoding="utf-8",
    )
    options = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    done = subprocess.run(
        [sys.executable, "script.py", "fit", "--config", "config.yaml", *options],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.glob("lightning_logs/*/checkpoints/*.ckpt"))
