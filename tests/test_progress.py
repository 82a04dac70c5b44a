"""Progress bars disappear when they are done, and are not shown if rich would only warn."""

from __future__ import annotations

import io
import warnings

import pytest
from rich.console import Console

from mfer_lightning import progress
from mfer_lightning.progress import progress_bar, status


def jupyter_console(**options: object) -> Console:
    return Console(force_jupyter=True, file=io.StringIO())


def test_notebook_without_ipywidgets_shows_no_bar_and_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    monkeypatch.setattr(progress, "Console", jupyter_console)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with progress_bar() as bar:
            assert bar.disable
            bar.advance(bar.add_task("faces", total=2))
        with status("reading") as say:
            say("drawing")


def test_status_text_is_updated_on_a_terminal() -> None:
    console = Console(force_terminal=True, width=40, file=io.StringIO())
    with status("reading", console) as say:
        say("drawing")
    assert "drawing" in console.file.getvalue()


def test_quiet_shows_no_bar() -> None:
    assert progress_bar(quiet=True).disable
