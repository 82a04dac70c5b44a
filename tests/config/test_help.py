"""``mfer COMMAND --help``: every option with its default and comment, for every command, from the files in conf/."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from commands.conftest import Mfer

from mfer_lightning.cli import VERBS, help_text, main
from mfer_lightning.config.help import verb_help
from mfer_lightning.config.location import choices, config_dir, use_config_dirs
from mfer_lightning.config.options import RECIPES, group_options, is_internal, options_of, primary_file
from mfer_lightning.config.yaml_options import read_config_file
from mfer_lightning.errors import UserError

OWN = sorted(set(VERBS) - {"train"})
GROUPS = [g for g in primary_file("train").chosen if g not in RECIPES]


def flat(node: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def shown(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_is_documented_in_its_help(verb: str) -> None:
    text = verb_help(verb, "Summary", width=100)
    for name, option in options_of(verb).items():
        if is_internal(name, option) or option.default is None:
            continue
        assert f"{name}=" in text
        assert option.comment or name in primary_file(verb).chosen, f"{name} has no comment in conf/"


@pytest.mark.parametrize("verb", OWN)
def test_commented_options_match_the_yaml_file(verb: str) -> None:
    written = yaml.safe_load((config_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
    expected = {k: v for k, v in written.items() if k not in ("defaults", "hydra")}
    options = primary_file(verb).options
    for name, value in flat(expected).items():
        if name in options:
            assert yaml.safe_load(str(options[name].default)) == value
        else:  # a key of a mapping written on one line
            outer, _, inner = name.rpartition(".")
            assert yaml.safe_load(str(options[outer].default))[inner] == value


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in GROUPS for n in choices(g)])
def test_every_option_of_every_choice_has_a_comment(group: str, name: str) -> None:
    for key, option in options_of("train", {group: name}).items():
        if key.startswith(f"{group}.") and not is_internal(key, option) and option.default is not None:
            assert option.comment, f"{key} has no comment in conf/{group}/"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_three_examples_that_compose(
    verb: str, mfer: Mfer, capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [line.strip() for line in verb_help(verb, "Summary").split("Examples:")[1].strip().splitlines()]
    assert len(examples) == 3
    for example in examples:
        words = [word for word in shlex.split(example)[1:] if word not in ("-m", "--json")]
        assert verb == "train" or words[0] == verb
        single = [word.partition(",")[0] if "-m" in example else word for word in words]
        assert mfer(*single, "--cfg", "job") == 0, capfd.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, help_text().splitlines())) <= width
    for verb in VERBS:
        text = verb_help(verb, "Summary").partition("Examples:")[0]
        assert max(map(len, text.splitlines())) <= width, verb


@pytest.mark.parametrize("typed", ["predict --help", "predict -h", "--help predict", "help predict", "-h predict"])
def test_common_spellings_of_help_work(typed: str, capsys: pytest.CaptureFixture) -> None:
    text = shown(capsys, *typed.split())
    assert text.startswith("Usage: mfer predict")
    assert "video.fps=5.0" in text
    assert "optimizer" not in text


@pytest.mark.parametrize("typed", ["--help", "-h", "help", "loss=dsf --help"])
def test_help_without_a_verb_is_the_overview(typed: str, capsys: pytest.CaptureFixture) -> None:
    assert all(verb in shown(capsys, *typed.split()) for verb in VERBS)


def test_train_help_follows_the_choices_and_shows_their_defaults(capsys: pytest.CaptureFixture) -> None:
    plain = shown(capsys, "train", "--help")
    assert "preprocess.size=64" in plain
    assert "[dataset=facs]" in plain
    assert "optimizer.momentum" not in plain
    chosen = shown(capsys, "train", "optimizer=sgd", "dataset=ferplus", "--help")
    assert "optimizer.momentum=0.9" in chosen
    assert "preprocess.size=224" in chosen
    assert "backbone=convnext_base" in chosen


def test_train_help_shows_the_composed_defaults(mfer: Mfer, capfd: pytest.CaptureFixture) -> None:
    for line in ("", "dataset=rafdb loss=lgm optimizer=sgd", "experiment=ferplus_small"):
        words = line.split()
        assert mfer(*words, "--cfg", "job", "--resolve") == 0
        composed = flat(yaml.safe_load(capfd.readouterr().out))
        for name, option in options_of("train", dict(w.split("=") for w in words)).items():
            written = str(option.default)
            if name in composed and "${" not in written and not written.startswith(("[", "{")):
                assert yaml.safe_load(written) == composed[name], f"{line}: {name}"


def test_user_config_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("# Mine.\ndefaults: [ce]\nname: mine\nfeature_weight: 0.5 # ours\n")
    use_config_dirs(["--config-dir", str(tmp_path)])
    try:
        options = options_of("train", {"loss": "mine"})
        assert options["loss.feature_weight"].default == "0.5"
        assert options["loss.classification.label_smoothing"].default == "0.1"
        assert "mine" in verb_help("train", "Summary", {"loss": "mine"})
    finally:
        use_config_dirs(())


def test_user_file_that_hydra_would_ignore_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    built_in = config_dir() / "loss" / "ce.yaml"
    (tmp_path / "loss" / "ce.yaml").write_bytes(built_in.read_bytes())
    try:
        use_config_dirs(["--config-dir", str(tmp_path)])
        (tmp_path / "loss" / "ce.yaml").write_text("name: ce # ours")
        with pytest.raises(UserError, match=r"would have no effect, .* a file loss/ce\.yaml, .* to loss/my_ce\.yaml\."):
            use_config_dirs(["--config-dir", str(tmp_path)])
    finally:
        use_config_dirs(())


def test_several_choices_of_a_group_are_all_listed(tmp_path: Path) -> None:
    """A group whose default is a list, in the user's primary file."""
    (tmp_path / "mine.yaml").write_text("# Mine.\ndefaults:\n  - parts: [a, b] # several\n")
    (tmp_path / "parts").mkdir()
    for name in "ab":
        (tmp_path / "parts" / f"{name}.yaml").write_text(
            f"# @package parts\n# {name}.\n{name}:\n  size: 1 # of {name}\n"
        )
    use_config_dirs(["--config-dir", str(tmp_path)])
    try:
        assert options_of("mine")["parts.b.size"].comment == "of b"
        assert options_of("mine")["parts"].default == "[a,b]"
        assert "parts.a.size" not in options_of("mine", {"parts": "[b]"})
    finally:
        use_config_dirs(())


def test_comments_are_read_next_to_above_and_after_a_node(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(
        "# Head.\n# More.\nfirst: 1\n# Above\n# in two lines.\nsecond: 'a # b' # beside\n"
        "#   and on\nthird: [1, 2] # list\n  # of two\n"
        "# Above alone.\nfourth: { a: 1 }\nnode: # of the node\n  inner: null # inside\n"
        "built: { _target_: a.B, p: 0.5 } # in one line\nlong:\n  - 1\n  - 2\n"
    )
    file = read_config_file(path)
    assert file.head == ("Head.", "More.")
    comments = {name: option.comment for name, option in file.options.items()}
    assert comments == {
        "first": "",
        "second": "beside and on",
        "third": "list of two",
        "fourth": "Above alone.",
        "node": "of the node",
        "node.inner": "inside",
        "built": "in one line",
        "built._target_": "",
        "built.p": "",
        "long": "",
    }
    assert file.options["built.p"].default == "0.5"
    assert file.options["long"].default == "[...]"
    assert file.options["second"].default == "'a # b'"
    assert file.options["fourth"].default == "{ a: 1 }"


def test_missing_choice_has_no_options() -> None:
    assert group_options("loss", "nothing") == {}


def test_help_imports_neither_torch_nor_hydra_and_is_fast() -> None:
    code = (
        "import sys; sys.argv = ['mfer', '{}', '--help']\nfrom mfer_lightning.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert e.code == 0\n"
        "assert not {{'torch', 'hydra', 'omegaconf', 'numpy', 'lightning'}} & set(sys.modules)"
    )
    for verb in ("train", "predict"):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", code.format(verb)], check=True, capture_output=True, timeout=60)
        assert time.monotonic() - start < 5  # 0.2 s on an idle machine
