"""The file of planned contrasts: valid files are read, and others are rejected with one message."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.reporting.study.contrast_plan import Chain, Contrast, read_plan

GOOD = """
family: ferplus_ablation
metric: mean_class_accuracy
contrasts:
  - name: DS  attention
    method: {attention: ds, loss: ce}
    against: {attention: none, loss: ce}
    claim: better
  - name: "2"
    method: {label noise: 0.20, flip: yes, weights: null}
    against: {label noise: 0.0}
chains:
  - {name: all, contrasts: [DS attention]}
"""
FAMILY = "ferplus_ablation"
ONE = "contrasts:\n  - {name: a, method: {loss: dsf}, against: {loss: ce}, claim: better}\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "plan.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_plan_is_read_completely(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    plan = read_plan(path)
    assert (plan.metric, plan.path) == ("mean_class_accuracy", path)
    assert plan.contrasts == (
        Contrast(
            "DS attention", {"attention": "ds", "loss": "ce"}, {"attention": "none", "loss": "ce"}, "better", FAMILY
        ),
        Contrast("2", {"label noise": "0.2", "flip": "true", "weights": "none"}, {"label noise": "0"}, family=FAMILY),
    )
    assert plan.families == {FAMILY: 2}
    assert plan.chains == (Chain("all", ("DS attention",)),)
    assert plan.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


def test_optional_keys_may_be_omitted(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, ONE + "family:\nchains:\n"))
    assert (plan.families, plan.metric, plan.chains, len(plan.contrasts)) == ({None: 1}, None, (), 1)


def test_family_of_a_contrast_overrides_the_default(tmp_path: Path) -> None:
    own = "  - {name: b, method: {loss: lgm}, against: {loss: ce}, family: secondary}\n"
    plan = read_plan(written(tmp_path, ONE + own + "family: primary\n"))
    assert plan.families == {"primary": 1, "secondary": 1}
    assert [contrast.family for contrast in plan.contrasts] == ["primary", "secondary"]
    with pytest.raises(UserError, match="contrast 2 'b': `family` must be text"):
        read_plan(written(tmp_path, ONE + own.replace("secondary", "2")))


def test_declared_families_reveal_a_misspelled_one(tmp_path: Path) -> None:
    own = "  - {name: b, method: {loss: lgm}, against: {loss: ce}, family: %s}\n"
    tail = "family: primary\nfamilies: [primary, secondary]\n"
    assert read_plan(written(tmp_path, ONE + own % "secondary" + tail)).families == {"primary": 1, "secondary": 1}
    with pytest.raises(UserError, match="contrast 'b': family=secondery: did you mean 'secondary'"):
        read_plan(written(tmp_path, ONE + own % "secondery" + tail))
    with pytest.raises(UserError, match="`families`: no contrast belongs to 'secondary'"):
        read_plan(written(tmp_path, ONE + own % "primary" + tail))
    with pytest.raises(UserError, match=r"'a' has no `family`, but the file declares `families`\. Set it to one of: x"):
        read_plan(written(tmp_path, ONE + "families: [x]\n"))
    with pytest.raises(UserError, match="each name in `families` must be text, but is 3"):
        read_plan(written(tmp_path, ONE + "families: [3]\n"))
    with pytest.raises(UserError, match="`families`: duplicate name 'x'"):
        read_plan(written(tmp_path, ONE + "family: x\nfamilies: [x, x]\n"))


def test_protocol_is_optional(tmp_path: Path) -> None:
    assert read_plan(written(tmp_path, ONE)).protocol is None
    assert read_plan(written(tmp_path, ONE + "protocol: ferplus@dev\n")).protocol == "ferplus@dev"


def test_changed_file_has_another_hash(tmp_path: Path) -> None:
    before = read_plan(written(tmp_path, ONE)).sha256
    assert read_plan(written(tmp_path, ONE + "# a remark\n")).sha256 != before


def test_line_endings_do_not_change_the_hash(tmp_path: Path) -> None:
    before = read_plan(written(tmp_path, GOOD)).sha256
    assert read_plan(written(tmp_path, GOOD.replace("\n", "\r\n"))).sha256 == before


def contrast(**changes: str) -> str:
    fields = {"name": "a", "method": "{loss: dsf}", "against": "{loss: ce}", "claim": "better"} | changes
    return "contrasts:\n  - {" + ", ".join(f"{k}: {v}" for k, v in fields.items() if v != "LEFT OUT") + "}\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a mapping"),
        ("just words", "is not a mapping"),
        ("- a\n- b\n", "is not a mapping"),
        ("contrasts: [\n", "is not a YAML file (line 2"),
        ("a: 1\n---\nb: 2\n", "is not a YAML file"),
        (b"\xff\xfe\x00", "is not a YAML file"),
        (b"\x89PNG\r\n\x1a\n\x00", "is not a YAML file"),
        ("when: 2026-99-99\n", "is not a YAML file"),
        ("[" * 5000, "is not a YAML file"),
        ("contrasts: !!python/object/apply:os.system ['true']\n", "is not a YAML file (line 1: could not determine"),
        (ONE + "contrasts: []\n", "`contrasts` occurs twice"),
        (contrast(method="{loss: dsf, loss: lgm}"), "`loss` occurs twice"),
        ("family: x\n", "has no `contrasts`"),
        ("contrasts:\n", "has no `contrasts`"),
        ("contrasts: []\n", "`contrasts` must be a list of at least one contrast, but is empty"),
        ("contrasts: {name: a}\n", "must be a list of at least one contrast, but is a mapping"),
        ("contrasts: [a]\n", "contrast 1: is not a mapping"),
        (ONE + "famly: x\n", "unknown key `famly`: did you mean 'family' or 'families'?"),
        (ONE + "family: 3\n", "`family` must be text, but is 3"),
        (ONE + "protocol: 3\n", "`protocol` must be text, but is 3"),
        (ONE + "metric: acuracy\n", "metric=acuracy: did you mean 'accuracy'"),
        (ONE + "metric: [accuracy]\n", "metric=a list"),
        (contrast(cliam="better"), "contrast 1: unknown key `cliam`: did you mean 'claim'?"),
        (contrast(name="LEFT OUT"), "contrast 1: has no `name`"),
        (contrast(method="LEFT OUT"), "contrast 1: has no `method`"),
        (contrast(against="LEFT OUT"), "contrast 1: has no `against`"),
        (contrast(name="7"), "`name` must be text, but is 7"),
        (contrast(name="'  '"), "`name` must be text"),
        (contrast(claim="higher"), "contrast 1 'a': claim=higher: legal: better, worse, none"),
        (contrast(claim="true"), "claim=true"),
        (contrast(method="dsf"), "`method` must contain the values"),
        (contrast(method="{}"), "`method` must contain the values"),
        (contrast(against="{loss: {name: ce}}"), "`against`: loss must be an option with one value, but is a mapping"),
        (contrast(against="{loss: [[ce]]}"), "`against`: loss must be an option with one value, but is a list"),
        (contrast(against="{1: ce}"), "`against`: 1 must be an option"),
        (contrast(against="{loss: dsf}"), "contrast 1 'a': compares a method with itself, loss=dsf"),
        (ONE + ONE.partition("\n")[2], "two contrasts are called 'a'"),
        (ONE + "chains: [x]\n", "chain 1: is not a mapping"),
        (ONE + "chains: []\n", "`chains` must be a list of at least one chain, but is empty"),
        (ONE + "chains: [{name: c}]\n", "chain 1: has no `contrasts`"),
        (ONE + "chains: [{name: c, contrasts: [b]}]\n", "chain 1 'c': there is no contrast 'b'"),
        (ONE + "chains: [{name: c, contrasts: []}]\n", "must be a list of at least one name"),
        (ONE + "chains: [{name: c, contrasts: [a, a]}]\n", "duplicate contrast 'a'"),
        (ONE + "chains: [{name: c, contrasts: [a]}, {name: c, contrasts: [a]}]\n", "two chains are called 'c'"),
        (contrast(claim="LEFT OUT") + "chains: [{name: c, contrasts: [a]}]\n", "contrast 'a' needs a claim"),
        (contrast(claim="none") + "chains: [{name: c, contrasts: [a]}]\n", "contrast 'a' needs a claim"),
    ],
)
def test_invalid_plan_is_rejected_in_one_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_plan(path)
    message = str(error.value)
    assert words in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_missing_file_or_folder_is_rejected(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_plan(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_plan("")


def test_yaml_bomb_is_rejected_quickly(tmp_path: Path) -> None:
    """Ten lists of ten lists of ...: a few hundred bytes that would fill the memory as text."""
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(UserError, match="unknown key `x0`"):
        read_plan(written(tmp_path, "\n".join(lines)))
    nested = "\n".join(f"  {line}" for line in lines)
    with pytest.raises(UserError, match="metric=a mapping"):
        read_plan(written(tmp_path, f"{ONE}metric:\n{nested}\n"))
