"""Options that are paths are taken literally, despite Hydra's grammar."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from commands.conftest import FEW, Mfer
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from mfer_lightning import train
from mfer_lightning.config.compose import compose_train, run_verb
from mfer_lightning.config.location import config_dir, use_config_dirs
from mfer_lightning.config.options import every_option
from mfer_lightning.config.path_options import PATHS, empty_paths, is_path, quote_paths
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.sweeps.launch import launch

#: Paths that occur in practice.
NAMES = [
    "photos",
    "/data/my faces, v=2 [a]",
    "epoch=3-step=8.ckpt",
    "Müller/Gesichter (2).jpg",
    "写真/顔.png",
    "it's",
    'the "best" one',
    "a'b,c'd",
    "[old] faces/x",
    "x {1}",
    "100% & more; #1!",
    "a|b?*<c>`d`",
    "tab\there",
    " both ends ",
    r"C:\Users\me\faces",
    r"C:\my faces\run 1\\",
    "C:\\faces\\",
    r"\\server\share\a b",
    r"\\server\share",
    "D:/faces",
    "007",
    "1e3",
    "1_000",
    "true",
    "nan",
    "a:b",
    "a=b=c",
    "${broken",
    "$",
    "~",
    "x~y",
    "@here",
    "sqlite:///x.db",
    "-dash",
    "+plus",
    "'",
    "\\",
    "\\'",
    "''",
    "choice(a,b)",
]


def parsed(override: str) -> Any:
    found = OverridesParser.create().parse_override(override)
    assert not found.is_sweep_override()
    return found.value()


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("''", "${broken")])
def test_quoted_paths_are_parsed_literally(name: str) -> None:
    (override,) = quote_paths([f"source={name}"])
    assert parsed(override) == name
    assert quote_paths([override]) == [override]  # quoted values are unchanged


def test_any_text_survives_quoting() -> None:
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices("ab ,=[]{}()'\"\\$~é:/.|", k=draw.randint(1, 9)))
        assert parsed(f"key={quoted(text)}") == text


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("'quoted already'", "quoted already"),
        ('"so, too"', "so, too"),
        ("null", None),
        ("[a b.ckpt,epoch=1.ckpt]", ["a b.ckpt", "epoch=1.ckpt"]),
        ("[a[1],'b,c', d e]", ["a[1]", "b,c", "d e"]),
        ("[]", []),
    ],
)
def test_quotes_null_and_lists_keep_their_hydra_meaning(value: str, read: Any) -> None:
    (override,) = quote_paths([f"checkpoint={value}"])
    assert parsed(override) == read


def test_file_name_in_brackets_is_not_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[a,b]").touch()
    assert parsed(*quote_paths(["checkpoint=[a,b]"])) == "[a,b]"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("my a,~/b", ["my a", "~/b"]),
        ("'a, b',c=d", ["a, b", "c=d"]),
        ("it's,that's", ["it's", "that's"]),
        ("a[1],b", ["a[1]", "b"]),
        (r"C:\a b,D:\c", [r"C:\a b", r"D:\c"]),
        ("choice(a,b)", ["a", "b"]),
    ],
)
def test_comma_separates_sweep_values_unless_quoted(value: str, read: list[str]) -> None:
    (override,) = quote_paths([f"dataset.root={value}"], several=True)
    swept = list(OverridesParser.create().parse_override(override).sweep_string_iterator())
    assert [parsed(f"key={one}") for one in swept] == read


def test_other_options_and_flags_are_unchanged() -> None:
    others = ["seed=0,1", "loss=ce", "augment={a:1}", "name=a b", "+x=a=b", "~metrics", "optimizer.lr=1e-3"]
    assert quote_paths(others) == others
    assert quote_paths(["++dataset.root=a=b", "title=Losses, 1 [x]", "baseline=loss=ce"]) == [
        "++dataset.root='a=b'",
        "title='Losses, 1 [x]'",
        "baseline='loss=ce'",
    ]


def verb_config(verb: str, *arguments: str) -> dict[str, Any]:
    """Return the configuration that a command's job receives."""
    found: list[dict[str, Any]] = []
    assert run_verb(verb, lambda config: found.append(config), arguments) == 0
    return found[0]


#: Each command with an option that is a path, and further required options.
OF_VERBS = [
    ("predict", "source", ("checkpoint=x",)),
    ("predict", "checkpoint", ("source=x",)),
    ("evaluate", "checkpoint", ()),
    ("evaluate", "lists.occluded", ()),
    ("export", "checkpoint", ()),
    ("align", "source", ("output=x",)),
    ("align", "detector.model", ("output=x", "source=x")),
    ("data", "sheet", ()),
    ("demo", "checkpoint", ()),
    ("report", "contrasts", ()),
    ("dashboard", "runs", ()),
    ("models", "runs", ()),
    ("benchmark", "output", ()),
]


@pytest.mark.parametrize(("verb", "option", "more"), OF_VERBS, ids=[f"{v}-{o}" for v, o, _ in OF_VERBS])
def test_every_verb_receives_the_path_as_typed(verb: str, option: str, more: tuple[str, ...]) -> None:
    name = "/data/my faces, é=2 [a]/${broken/it's"
    plus = "+" if option.startswith(("lists.", "detector.")) else ""
    config: Any = verb_config(verb, f"{plus}{option}={name}", *more)
    for key in option.split("."):
        config = config[key]
    assert config == name


def test_variables_and_home_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MY_FACES", "/my faces")
    monkeypatch.delenv("NOT_SET", raising=False)
    for written, read in [
        ("~/a b", f"{tmp_path}/a b"),
        ("$MY_FACES/a", "/my faces/a"),
        ("${MY_FACES}/b=1", "/my faces/b=1"),
        ("${oc.env:MY_FACES}/c", "/my faces/c"),
        ("$NOT_SET/a", "$NOT_SET/a"),
    ]:
        assert verb_config("predict", "checkpoint=x", f"source={written}")["source"] == read
    assert verb_config("report", "runs=[~/a,$MY_FACES/b]")["runs"] == [f"{tmp_path}/a", "/my faces/b"]


def test_paths_in_config_files_are_expanded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_FACES", "/my faces")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\npaths: { data: $MY_FACES/a b, runs: ~/runs, cache: 'x, [y]' }\n"
    )
    flag = f"--config-dir={tmp_path / 'conf'}"
    use_config_dirs([flag])
    found: list[Any] = []

    def job(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[None, Path, bool]:
        found.append(config)
        return None, parent, True

    code, _ = launch("train", job, [flag, "experiment=mine"])
    use_config_dirs([])
    assert code == 0
    assert found[0]["paths"] == {"data": "/my faces/a b", "runs": str(Path("~/runs").expanduser()), "cache": "x, [y]"}


def test_training_config_keeps_paths_verbatim() -> None:
    config = compose_train(["dataset=folder", "dataset.root=/data/my faces, v=2 [a]", "weights=epoch=3-step=8.ckpt"])
    assert config["dataset"]["root"] == "/data/my faces, v=2 [a]"
    assert config["weights"] == "epoch=3-step=8.ckpt"
    assert compose_train(["dataset=rafdb", "paths.data=/a, b"])["dataset"]["root"] == "/a, b/raf-db"


def test_paths_in_run_names_keep_their_tilde() -> None:
    config = compose_train(["dataset=rafdb", "paths.data=~/data", "weights=~/w.pth"])
    assert (config["dataset"]["root"], config["weights"]) == ("~/data/raf-db", "~/w.pth")


def test_empty_path_is_named() -> None:
    assert list(empty_paths({"keep": "", "title": "", "paths": {"data": "", "runs": "x"}})) == ["keep", "paths.data"]


#: Options whose comment mentions files but whose value is not a path.
NO_PATHS = {"explain.rows", "lists", "preview"}


def test_every_path_option_is_declared() -> None:
    """If this fails for a new option, add the option to PATHS, or here."""
    verbs = sorted(file.stem for file in config_dir().glob("*.yaml"))
    options = {name: option for verb in verbs for name, option in every_option(verb).items()}
    further = {"hydra.sweep.dir", "detector.model"}  # Hydra's own, and one detector's
    assert {p for p in PATHS if "*" not in p} - further <= set(options)
    words = (
        "a file",
        "file of",
        "folder of",
        "folder for",
        "folder to",
        "a folder",
        "one folder",
        ".csv",
        ".png",
        ".ckpt",
    )
    named = {n for n, option in options.items() if any(word in (option.comment or "") for word in words)}
    assert {n for n in named if not is_path(n)} == NO_PATHS


@pytest.mark.slow
def test_real_world_file_names_work_from_training_to_report(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFER_HERE", str(tmp_path))
    runs = tmp_path / "Läufe, v=2 [a]"
    assert mfer(*FEW, f"paths.runs={runs}", f"paths.cache={tmp_path / 'my cache'}") == 0
    (run,) = runs.iterdir()
    checkpoint = tmp_path / "it's epoch=3-step=8.ckpt"
    checkpoint.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    out = tmp_path / "out, 1"
    assert mfer("evaluate", f"checkpoint={checkpoint}", f"output={out}") == 0
    assert (out / "result.json").is_file()
    table = out / "predictions_test.csv"
    assert mfer("evaluate", f"predictions={table}", f"output={tmp_path / 'again (2)'}") == 0
    assert mfer("export", f"checkpoint={checkpoint}", f"output={tmp_path / 'exp [1]'}") == 0
    faces = tmp_path / "my faces [x]" / "a=b"
    faces.mkdir(parents=True)
    for n in range(3):
        Image.new("RGB", (40, 40), (90 * n, 60, 60)).save(faces / f"{n}, é.png")
    pictures = (f"source={faces.parent}", "aligned=true")
    assert mfer("predict", f"checkpoint={tmp_path / 'exp [1]'}", *pictures, f"output={tmp_path / 'p=1'}") == 0
    assert len((tmp_path / "p=1" / "predictions.jsonl").read_text().splitlines()) == 3
    assert mfer("report", str(runs), f"output={tmp_path / 'rep, 1'}", "title=Läufe, alle [1]") == 0
    assert mfer("report", f"runs={run}", "output=$MFER_HERE/rep 2") == 0
    assert (tmp_path / "rep 2" / "report.md").is_file()


@pytest.mark.slow
def test_sweeps_and_the_python_interface_accept_real_world_folder_names(mfer: Mfer, tmp_path: Path) -> None:
    for name in ("class a, b", "class=c"):
        for place, split in ((0, "train"), (1, "val"), (2, "test")):
            for label in ("anger", "happiness"):
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                for n in range(10):
                    Image.new("RGB", (32, 32), (20 * n, 80 * place, 7 * len(label))).save(folder / f"{n}.png")
    few = [
        "dataset=folder",
        *(o for o in FEW if not o.startswith("dataset.")),
        "dataset.size=32",
        "loader.batch_size=8",
    ]
    swept = f"dataset.root='{tmp_path / 'class a, b'}',{tmp_path / 'class=c'}"
    assert mfer("-m", *few, swept, "name=s", "trainer.max_epochs=1") == 0
    assert len(list((tmp_path / "runs" / "s").glob("folder-*/result.json"))) == 2
    run = train([*few, f"dataset.root={tmp_path / 'class a, b'}", f"paths.runs={tmp_path / 'x, y'}"])
    assert run.folder.parent == tmp_path / "x, y"
