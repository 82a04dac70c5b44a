"""Imports: a light top level, independently importable modules, documented public names."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

import mfer_lightning

PACKAGE = Path(mfer_lightning.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Heavy libraries stay loaded between two modules, but the modules of this package are unloaded, so that each of them is
# imported first. This reveals circular imports and imports that depend on those of another module.
SURVEY = """
import importlib, inspect, json, sys, traceback

report = {"failed": {}, "undocumented": [], "absent": []}
for name in json.load(sys.stdin):
    for loaded in [m for m in sys.modules if m.partition(".")[0] == "mfer_lightning"]:
        del sys.modules[loaded]
    try:
        module = importlib.import_module(name)
    except BaseException:
        report["failed"][name] = traceback.format_exc(limit=-3)
        continue
    for public in getattr(module, "__all__", ()):
        try:
            value = getattr(module, public)
        except Exception as error:
            report["absent"].append(f"{name}.{public}: {error!r}")
            continue
        if inspect.isclass(value):
            text = vars(value).get("__doc__") or ""  # not a parent's
            generated = text.startswith(value.__name__ + "(")  # an undocumented dataclass or named tuple
            described = bool(text.strip()) and not generated
        elif inspect.isroutine(value):
            described = bool((value.__doc__ or "").strip())
        else:
            continue  # constants and submodules
        if not described:
            report["undocumented"].append(f"{name}.{public}")
json.dump(report, open(sys.argv[1], "w"))
"""


def module_names() -> list[str]:
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in FILES]
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


def test_top_level_import_is_light():
    # This decides whether --help responds immediately or after several seconds.
    code = "import sys; before = set(sys.modules); import mfer_lightning; print(*set(sys.modules) - before)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in out.split()}
    assert "mfer_lightning" in loaded
    heavy = {"torch", "torchvision", "lightning", "hydra", "omegaconf", "numpy", "timm", "albumentations", "wandb"}
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("mfer_lightning", "errors"),
        ("mfer_lightning.nn", "weights"),
        ("mfer_lightning.data", "index"),
        ("mfer_lightning.data.augment", "build"),
    ],
)
def test_lazy_packages_list_and_load_their_names_and_modules(name, module, monkeypatch):
    package = importlib.import_module(name)
    own = {"__version__"} if name == "mfer_lightning" else set()
    assert sorted(package.__all__) == sorted({*package._HOMES, *own})
    assert dir(package) == sorted({*vars(package), *package.__all__})
    loaded = importlib.import_module(f"{name}.{module}")
    monkeypatch.delattr(package, module)  # as if nothing had imported it before
    assert getattr(package, module) is loaded
    for wrong in ("absent", "__main__", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module '{name}' has no attribute '{wrong}'"):
            getattr(package, wrong)


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in FILES}
    assert not [str(f.relative_to(PACKAGE)) for f in folders if not (f / "__init__.py").is_file()]


def test_no_circular_imports():
    # Imports within functions and for type checking count as well.
    grimp = pytest.importorskip("grimp", reason="comes with import-linter, a developer tool")
    graph = grimp.build_graph("mfer_lightning", cache_dir=None)
    arrows = [(name, other) for name in graph.modules for other in graph.find_modules_directly_imported_by(name)]
    circles = networkx.strongly_connected_components(networkx.DiGraph(arrows))
    assert len(arrows) > 1000
    assert not [sorted(circle) for circle in circles if len(circle) > 1]


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> dict:
    names = module_names()
    target = tmp_path_factory.mktemp("survey") / "report.json"
    done = subprocess.run(
        [sys.executable, "-c", SURVEY, str(target)], input=json.dumps(names), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(target.read_text())


@pytest.mark.slow  # it loads torch, Lightning, timm, Albumentations and the rest once
def test_every_module_can_be_imported_alone(survey):
    assert not survey["failed"], "\n".join(f"{name}\n{trace}" for name, trace in survey["failed"].items())


@pytest.mark.slow
def test_every_public_name_exists_and_is_documented(survey):
    wrong = [f"absent: {name}" for name in survey["absent"]]
    wrong += [f"without a docstring: {name}" for name in survey["undocumented"]]
    assert not wrong, "\n".join(wrong)
