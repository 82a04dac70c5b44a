"""``mfer dashboard``: build W&B workspaces and a W&B report for an ablation study from finished runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import folder_of, run_folders
from mfer_lightning.plurals import counted


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer dashboard``.

    Args:
        arguments: the command-line arguments after ``dashboard``.

    Returns:
        Exit code: 0, or 1 if one of several jobs of a sweep failed.
    """
    return run_verb("dashboard", _dashboard, arguments)


def _dashboard(config: dict[str, Any]) -> int:
    folders = run_folders(config["runs"], "runs=")
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError("mfer dashboard needs the package wandb-workspaces: pip install 'mfer_lightning[dashboard]'.")
    from mfer_lightning.sweeps.identity import setting_name
    from mfer_lightning.tracking.dashboards.runs import by_protocol, read_runs

    runs = read_runs(folders, setting_name)  # first, so that mistakes are reported before W&B's packages are imported
    from mfer_lightning.files import write_json
    from mfer_lightning.reporting.study.contrast_plan import read_plan
    from mfer_lightning.reporting.verdicts import judge_plan
    from mfer_lightning.tracking.dashboards.definition import build_dashboard
    from mfer_lightning.tracking.dashboards.publish import publish_dashboard
    from mfer_lightning.tracking.verdicts import log_verdicts, verdict_folders
    from mfer_lightning.tracking.wandb_account import has_key

    entity = config["entity"] or _logged_under(runs, "entity") or ""
    project = config["project"] or _logged_under(runs, "project") or "mfer_lightning"
    title = config["title"] or f"Ablation: {', '.join(Path(folder).resolve().name for folder in folders)}"
    output = Path(config["output"] or folder_of(folders[0]) / "dashboard.json").expanduser()
    if config["publish"]:
        if not entity:
            raise UserError("publish=true needs entity=<your W&B user or team>.")
        if not has_key():
            raise UserError("publish=true needs an API key: run `wandb login` or set WANDB_API_KEY.")
    verdicts = None if config["contrasts"] is None else judge_plan(folders, read_plan(config["contrasts"]))
    text = None if verdicts is None else verdicts.text

    write_json(output, build_dashboard(runs, entity, project, title, verdicts=text).to_dict())
    groups = by_protocol(runs)
    print(f"{counted(len(runs), 'finished run')} under {', '.join(f'{p} ({s})' for p, s in groups)}")
    missing = [run.folder.name for run in runs if not run.at_wandb]
    if missing:
        print(
            f"Not logged to W&B (logger=csv or similar): {counted(len(missing), 'run')}, missing from the panels but "
            f"included in the tables. Example: {missing[0]}"
        )
    print(f"Definition: {output}")
    if verdicts is not None:
        where = {"project": project, "entity": entity or None, "title": title, "online": config["publish"]}
        address = log_verdicts(verdicts, output.parent, **where)
        print(f"Verdicts: {output.parent / 'verdicts.csv'}" + ("" if address is None else f", {address}"))
    if config["publish"]:
        built = build_dashboard(runs, entity, project, title, online=True, verdicts=text)
        for address in publish_dashboard(built):
            print(f"Published: {address}")
        return 0
    print("Nothing was uploaded. To publish, upload the runs, then the dashboard:")
    for folder in dict.fromkeys(run.folder.parent for run in runs if run.at_wandb):
        print(f"  wandb sync {folder}/*/wandb/offline-run-*")
    if verdicts is not None:
        print(f"  wandb sync {verdict_folders(output.parent)[-1]}")
    said = f"runs=[{','.join(folders)}]" if len(folders) > 1 else f"runs={folders[0]}"
    said += "" if verdicts is None else f" contrasts={config['contrasts']}"
    print(f"  mfer dashboard {said} entity={entity or '<user or team>'} project={project} publish=true")
    return 0


def _logged_under(runs: Sequence[Any], what: str) -> str | None:
    """Return the W&B entity or project of the runs if it is the same for all; None otherwise."""
    from mfer_lightning.tracking.choice import chosen_loggers

    found = {chosen_loggers(run.config["logger"])["wandb"].get(what) for run in runs if run.at_wandb}
    return str(found.pop()) if len(found) == 1 and None not in found else None
