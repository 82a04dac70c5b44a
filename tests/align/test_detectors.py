"""Detectors are declared once, and documentation and control panel agree with the declaration."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from mfer_lightning.align import DETECTORS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_declaration_is_complete(name: str) -> None:
    declaration = DETECTORS[name].declaration
    assert declaration.name == name
    assert all(getattr(declaration, field.name) for field in fields(declaration))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_documentation_says_what_the_declaration_says(name: str) -> None:
    said = DETECTORS[name].declaration
    row = f"| `{said.name}` | {said.paper} | {said.licence} | {said.weights} | {said.landmarks} |"
    assert row in (ROOT / "docs" / "alignment.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DETECTORS)
def test_the_control_panel_lists_the_options(name: str) -> None:
    options = ", ".join(inspect.signature(DETECTORS[name]).parameters)
    assert f"{name} ({options})" in (ROOT / "conf" / "align.yaml").read_text(encoding="utf-8")
