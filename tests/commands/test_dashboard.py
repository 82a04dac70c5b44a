"""`mfer dashboard`: the definition file, publishing, and one clear message per error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands.conftest import FACS
from commands.conftest import command as mfer

pytest.importorskip("wandb_workspaces")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that was not logged to W&B."""
    folder = tmp_path_factory.mktemp("dashboard")
    options = (f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "name=ablation", "trainer.max_epochs=1")
    assert mfer(*FACS, "evaluation.embedding_points=0", *options) == 0
    return folder / "runs" / "ablation"


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_definition_is_written_and_publish_command_is_printed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out" / "dashboard.json"
    assert mfer("dashboard", f"runs={trained}", "entity=team", "project=faces", f"output={output}") == 0
    found = json.loads(output.read_text(encoding="utf-8"))
    assert (found["entity"], found["project"]) == ("team", "faces")
    assert found["report"]["displayName"] == "Ablation: ablation"
    assert [w["displayName"] for w in found["workspaces"]] == ["Ablation: ablation: facs@native, test"]
    said = capsys.readouterr().out
    assert "Nothing was uploaded" in said
    assert f"mfer dashboard runs={trained} entity=team project=faces publish=true" in said
    assert "Not logged to W&B (logger=csv or similar): 1 run" in said


def test_default_output_is_next_to_the_runs_and_evaluations_are_ignored(trained: Path) -> None:
    (run,) = [f for f in trained.iterdir() if (f / "result.json").is_file()]
    evaluation = run / "evaluations" / "facs@native-val"
    evaluation.mkdir(parents=True)
    (evaluation / "result.json").write_text((run / "result.json").read_text())
    assert mfer("dashboard", f"runs=[{trained},{run}]") == 0
    assert json.loads((trained / "dashboard.json").read_text())["report"]["description"].startswith("1 run;")


def test_publish_sends_charts_then_workspaces_then_report(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Test publishing up to the calls of the W&B functions, without network access."""
    import wandb
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    sent: list[tuple[str, Any]] = []

    class Api:
        def create_custom_chart(self, **options: Any) -> None:
            sent.append(("chart", options["name"]))
            if len(sent) == 1:
                raise wandb.Error("there is one of this name")

    monkeypatch.setattr("wandb.Api", Api)
    monkeypatch.setattr(ws.Workspace, "save", lambda self: sent.append(("workspace", self.entity)))
    monkeypatch.setattr(ws.Workspace, "url", property(lambda _: "https://wandb.example/w"))
    monkeypatch.setattr(wr.Report, "save", lambda self: sent.append(("report", self.blocks)))
    monkeypatch.setattr(wr.Report, "url", property(lambda _: "https://wandb.example/r"))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert mfer("dashboard", f"runs={trained}", "entity=team", "publish=true") == 0
    assert [what for what, _ in sent] == ["chart", "chart", "workspace", "report"]
    runsets = [r for b in sent[-1][1] if isinstance(b, wr.PanelGrid) for r in b.runsets]
    assert {(r.entity, r.project) for r in runsets} == {("team", "mfer_lightning")}
    assert "Published: https://wandb.example/r" in capsys.readouterr().out


def test_wandb_errors_are_reported_in_one_message(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import wandb

    def refuse() -> None:
        raise wandb.errors.CommError("permission denied")

    monkeypatch.setattr("wandb.Api", refuse)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert mfer("dashboard", f"runs={trained}", "entity=team", "publish=true") == 2
    error = capsys.readouterr().err
    assert "permission denied" in error
    assert "entity=team" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name the runs"),
        (("runs=[]",), "Name the runs"),
        (("runs=3",), "There is no folder 3"),
        (("runs=nowhere",), "There is no folder nowhere"),
        (("runs={empty}",), "contains no finished run"),
        (("runs={damaged}",), "result.json cannot be read"),
        (("runs={trained}", "publish=true"), "needs entity="),
        (("runs={trained}", "publish=true", "entity=team"), "wandb login"),
        (("runs={trained}", "entitty=team"), "entity"),
        (("runs={trained}", "publish=maybe"), "publish"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    arguments: tuple[str, ...], words: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = {"trained": trained, "empty": tmp_path / "empty", "damaged": tmp_path / "damaged"}
    for name in ("empty", "damaged"):
        places[name].mkdir()
    (places["damaged"] / "result.json").write_text('{"schema_version": 1}')
    (places["damaged"] / "config.yaml").write_text("")
    assert mfer("dashboard", *(a.format(**places) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_missing_extra_is_named_in_the_error(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("mfer_lightning.commands.dashboard.importlib.util.find_spec", lambda _: None)
    assert mfer("dashboard", f"runs={trained}") == 2
    assert "mfer_lightning[dashboard]" in capsys.readouterr().err
