"""Project rules without a linter: file sizes, commented choices, no machine-specific paths, no large files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 320
MAX_BYTES = 1_000_000
MAX_BUNDLED_BYTES = 15_000_000  # a wheel stays under 20 MB
SCANNED = ("src", "conf", "docs", "notebooks", "benchmarks")

#: Absolute folders of a personal machine; URLs and relative paths do not match.
MACHINE_PATH = re.compile(r"(?<![\w.~}*-])/(?:work|root|tmp|home/\w+)/")


def machine_paths(text: str) -> list[str]:
    """Return ``line: text`` for every line with a machine-specific folder."""
    return [f"{n}: {line.strip()}" for n, line in enumerate(text.splitlines(), 1) if MACHINE_PATH.search(line)]


def has_head_comment(text: str) -> bool:
    """Whether a YAML file starts with a comment in words; Hydra's ``# @package`` directive does not count."""
    head = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# ").strip())
    return any(line and not line.startswith("@package") for line in head)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file under version control that is present."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is no list of tracked files")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [path for name in listing.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_source_files_are_small():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted((ROOT / "src").rglob("*.py"))
    }
    assert lengths
    assert not {name: n for name, n in lengths.items() if n > MAX_LINES}


def test_no_machine_paths(tracked):
    found = {}
    for path in tracked:
        name = path.relative_to(ROOT)
        if name.parts[0] not in SCANNED and name.name != "README.md":
            continue
        data = path.read_bytes()
        if b"\0" not in data and (lines := machine_paths(data.decode("utf-8"))):
            found[str(name)] = lines
    assert not found


def test_every_choice_starts_with_a_comment():
    choices = sorted((ROOT / "conf").rglob("*.yaml"))
    assert choices
    assert not [
        str(path.relative_to(ROOT)) for path in choices if not has_head_comment(path.read_text(encoding="utf-8"))
    ]
    assert not list((ROOT / "conf").rglob("*.yml"))  # Hydra finds only .yaml


def test_no_large_files(tracked):
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked}
    studies = {name: size for name, size in sizes.items() if name.startswith("studies/")}
    archives = {name for name in studies if name.endswith("/runs.npz")}  # each contains all runs of a study
    bundled = {name for name in sizes if name.startswith("src/mfer_lightning/bundled/")}
    assert not {name: size for name, size in sizes.items() if size >= MAX_BYTES and name not in archives | bundled}
    assert sum(sizes[name] for name in bundled) <= MAX_BUNDLED_BYTES
    assert len(studies) <= 40
    assert sum(studies.values()) <= 6_000_000


@pytest.mark.parametrize("folder", ["work", "root", "tmp", "home/someone"])
@pytest.mark.parametrize("line", ["data: /{}/sets", 'root = "/{}/x"', "(see /{}/a.txt)", "--out=/{}/b", "file:///{}/c"])
def test_machine_path_is_detected(line, folder):
    assert machine_paths("first\n" + line.format(folder)) == ["2: " + line.format(folder)]


@pytest.mark.parametrize(
    "line", ["https://example.org/work/x", "runs/tmp/x", "${paths.root}/tmp/x", "~/work/x", "./root/"]
)
def test_urls_and_relative_paths_are_allowed(line):
    assert not machine_paths(line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# The plain loss.\nname: ce\n", True),
        ("# @package _global_\n# A quick look.\nname: x\n", True),
        ("# @package _global_\nname: x\n", False),
        ("name: ce # the plain loss\n", False),
        ("#\n\nname: ce\n", False),
        ("", False),
    ],
)
def test_head_comments_are_recognised(text, said):
    assert has_head_comment(text) is said
