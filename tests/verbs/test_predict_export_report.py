"""`predict`, `export` and `report` write the same files as the command line, and return the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands.conftest import few_run  # noqa: F401 - a fixture
from PIL import Image

from mfer_lightning import Run, export, load_model, predict, report
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError


@pytest.fixture
def photos(here: Path) -> Path:
    """Two faces, already aligned."""
    (here / "photos").mkdir()
    for k in range(2):
        pixels = np.random.default_rng(k).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(here / "photos" / f"{k}.png")
    return here / "photos"


def mfer(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


@pytest.mark.slow
def test_photo_files_are_predicted_like_on_the_command_line(photos: Path, few_run: Path, here: Path) -> None:  # noqa: F811
    found = predict("photos", Run(few_run), "python", aligned=True)
    mfer("predict", f"checkpoint={few_run}", "source=photos", "output=shell", "aligned=true")
    table = Path("predictions.csv")
    assert (here / "python" / table).read_text() == (here / "shell" / table).read_text()
    assert found.folder == Path("python")
    assert [face.label for face in found.faces] == [row["label"] for row in found.rows()]
    assert repr(found) == "Predictions(2 photos, 2 faces)"


def test_images_in_memory_leave_no_files(photos: Path, few_run: Path, here: Path) -> None:  # noqa: F811
    pictures = [np.asarray(Image.open(path)) for path in sorted(photos.iterdir())]
    model = load_model(few_run)
    found = predict(pictures, model, aligned=True)
    assert [f.probabilities for f in found.faces] == [
        f.probabilities for f in model.predict(photos, aligned=True).faces
    ]
    assert [path.name for path in here.iterdir()] == ["photos"]
    with pytest.raises(UserError, match="Nothing is written for pictures in memory"):
        predict(pictures, model, "somewhere", aligned=True)


@pytest.mark.slow
def test_run_can_be_exported_and_reported(few_run: Path, here: Path) -> None:  # noqa: F811
    written = export(Run(few_run), output="model")
    assert {f.name for f in written.folder.iterdir()} >= {"model.safetensors", "config.json"}
    assert load_model(written.folder).class_names == Run(few_run).model.class_names
    found = report([Run(few_run)], "python", embedding="none")
    mfer("report", str(few_run), "output=shell", "embedding=none")
    assert found.page == Path("python/report.html")
    assert (here / "python" / "report.md").read_text() == (here / "shell" / "report.md").read_text()
    assert "python/report.html" in repr(found)
    with pytest.raises(UserError, match="Name the runs"):
        report([])
