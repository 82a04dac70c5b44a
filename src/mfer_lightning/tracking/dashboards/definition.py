"""Define the dashboard as code: a workspace per protocol, and one report over all of them.

Needs the extra ``dashboard``. Building works offline; only :mod:`mfer_lightning.tracking.dashboards.publish` uses the
network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from mfer_lightning.plurals import counted
from mfer_lightning.tracking import names
from mfer_lightning.tracking.choice import chosen_loggers
from mfer_lightning.tracking.dashboards import tables
from mfer_lightning.tracking.dashboards.charts import BAR_FIELDS, CHARTS, HEAT_FIELDS
from mfer_lightning.tracking.dashboards.runs import FinishedRun, by_protocol
from mfer_lightning.tracking.verdicts import VERDICTS

#: Version of the definition file.
SCHEMA_VERSION = 1

#: Curves with a panel; the feature loss is added if a run has one.
CURVES = ("val/accuracy", "val/mean_class_accuracy", "val/nll", "train/loss")
#: Number of columns of a report's grid of panels.
_GRID = 24

#: Options of a panel of means over the runs of a setting.
_OVER_SEEDS: dict[str, Any] = {
    "groupby": wr.Config(names.SETTING),
    "groupby_aggfunc": "mean",
    "groupby_rangefunc": "stddev",
}

_HOW_TO_READ = (
    "Checkpoints and the best runs are chosen on val, unless the protocol selects on the test set (such as "
    "rafdb@paper, which makes its results optimistic) or reports the last epoch (such as ferplus@ran). Bars "
    "are means over the runs of one setting, which differ only in their seed; whiskers and bands are their standard "
    "deviation. A difference of this size between two settings may be due to chance. Results of different protocols "
    "are never combined."
)
_SELECTION_FIGURES = (
    "These results are on val, on which the checkpoints were chosen. They are selection results, not test results."
)


@dataclass
class Dashboard:
    """A dashboard, built but not yet published.

    Args:
        entity: W&B user or team; empty if it is not known.
        project: W&B project.
        workspaces: one per protocol and split, and one per proportion of flipped labels if the runs have several.
        report: the report over all protocols.
    """

    entity: str
    project: str
    workspaces: list[ws.Workspace]
    report: wr.Report

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain containers, exactly as it would be sent to W&B."""
        return {
            "schema_version": SCHEMA_VERSION,
            "entity": self.entity,
            "project": self.project,
            "workspaces": [_plain(workspace) for workspace in self.workspaces],
            "report": _plain(self.report),
            "charts": {name: {"title": title, "spec": spec} for name, (title, spec) in CHARTS.items()},
        }


def build_dashboard(
    runs: Sequence[FinishedRun],
    entity: str,
    project: str,
    title: str,
    *,
    online: bool = False,
    verdicts: Mapping[tuple[str, str], str] | None = None,
) -> Dashboard:
    """Build the workspaces and the report for finished runs.

    Args:
        runs: at least one.
        entity: W&B user or team; may be empty if ``online`` is not set.
        project: W&B project.
        title: title of the report; the workspaces are named after it, their protocol and split.
        online: name entity and project in every set of runs, which W&B then validates; otherwise those of the report
            are used.
        verdicts: outcomes of planned contrasts as Markdown tables, by protocol and split; None: nothing planned.
    """
    where = {"entity": entity, "project": project} if online else {}
    workspaces: list[ws.Workspace] = []
    blocks: list[Any] = [wr.TableOfContents(), wr.CalloutBlock(text=_HOW_TO_READ)]
    for (protocol, split), members in by_protocol(runs).items():
        workspaces.append(_workspace(members, protocol, split, entity, project, title))
        for noise, some in _by_noise(members).items():
            workspaces.append(_workspace(some, protocol, split, entity, project, title, noise))
        blocks += _chapter(members, protocol, split, entity, where, (verdicts or {}).get((protocol, split)))
    report = wr.Report(
        entity=entity,
        project=project,
        title=title[:128],
        description=f"{counted(len(runs), 'run')}; made by mfer dashboard",
        blocks=blocks,
        width="fluid",
    )
    return Dashboard(entity, project, workspaces, report)


def _workspace(
    runs: Sequence[FinishedRun],
    protocol: str,
    split: str,
    entity: str,
    project: str,
    title: str,
    noise: float | None = None,
) -> ws.Workspace:
    """Build the workspace of a protocol, or of one proportion of flipped labels under it."""
    layout = ws.SectionLayoutSettings(columns=2, rows=2)
    sections = [
        ws.Section(name=name, panels=panels, is_open=place < 3, layout_settings=layout)
        for place, (name, panels) in enumerate(_panels(runs, split, entity).items())
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=", ".join([f"{title}: {protocol}, {split}", *([] if noise is None else [tables.noise_in_words(noise)])]),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=names.EPOCH, max_runs=100, sort_panels_alphabetically=False),
        runset_settings=ws.RunsetSettings(
            filters=_filters(runs, protocol, split, noise),
            order=[expr.Ordering(expr.Summary(names.SELECTION_VALUE), ascending=False)],
            pinned_columns=_columns(split),
        ),
    )


def _runset(
    runs: Sequence[FinishedRun], protocol: str, split: str, where: dict[str, str], noise: float | None = None
) -> wr.Runset:
    return wr.Runset(
        name=f"{protocol}, {split}" if noise is None else tables.noise_in_words(noise),
        filters=_filters(runs, protocol, split, noise),
        order=[wr.OrderBy(wr.SummaryMetric(names.SELECTION_VALUE), ascending=False)],
        pinned_columns=_columns(split),
        **where,
    )


def _chapter(
    runs: Sequence[FinishedRun], protocol: str, split: str, entity: str, where: dict[str, str], verdicts: str | None
) -> list[Any]:
    runset = _runset(runs, protocol, split, where)
    first = runs[0].result
    classes = counted(len(first["class_names"]), "class")
    said = f"{first['evaluation_set']}: {counted(first['n'], 'face')}, {classes}. {counted(len(runs), 'run')}."
    blocks: list[Any] = [wr.H1(text=f"{protocol}, {split}"), wr.P(text=said)]
    if split == "val":
        blocks.append(wr.CalloutBlock(text=_SELECTION_FIGURES))
    if verdicts is not None:
        blocks += [wr.H2(text="Planned contrasts"), wr.MarkdownBlock(text=verdicts)]
        blocks.append(
            wr.PanelGrid(
                runsets=[_verdict_runs(where)], panels=_laid_out([wr.WeavePanelSummaryTable(table_name=VERDICTS)])
            )
        )
    blocks += _noise_blocks(runs, protocol, split, where)
    texts = {
        "Loss by backbone": f"Accuracy %, mean ± standard deviation (runs):\n\n{tables.loss_by_backbone(runs)}",
        "Settings": tables.by_setting(runs),
        "Classes": f"Mean recall %:\n\n{tables.class_recalls(runs)}",
        "Best runs": f"{tables.ranking(runs)}:\n\n{tables.best_runs(runs)}",
    }
    panels = _panels(runs, split, entity)
    for name in dict.fromkeys([*texts, *panels]):
        blocks.append(wr.H2(text=name))
        if name in texts:
            blocks.append(wr.MarkdownBlock(text=texts[name]))
        if name in panels:
            blocks.append(wr.PanelGrid(runsets=[runset], panels=_laid_out(panels[name]), hide_run_sets=True))
    blocks.append(wr.PanelGrid(runsets=[runset], panels=[wr.RunComparer(layout=wr.Layout(0, 0, _GRID, 10))]))
    return blocks


def _noise_blocks(runs: Sequence[FinishedRun], protocol: str, split: str, where: dict[str, str]) -> list[Any]:
    """Build a table of methods by label noise, and panels for each proportion; nothing if there is only one."""
    levels = _by_noise(runs)
    if not levels:
        return []
    text = f"Accuracy %, mean ± standard deviation (runs):\n\n{tables.method_by_noise(runs)}"
    blocks: list[Any] = [wr.H2(text="Methods by label noise"), wr.MarkdownBlock(text=text)]
    for noise, some in levels.items():
        panels: list[Any] = [
            wr.BarPlot(title=f"{split} accuracy", metrics=[names.figure(split, "accuracy")], **_OVER_SEEDS),
            wr.LinePlot(title="val/accuracy", x=names.EPOCH, y=["val/accuracy"], **_OVER_SEEDS),
        ]
        runsets = [_runset(some, protocol, split, where, noise)]
        blocks.append(wr.H3(text=tables.noise_in_words(noise)))
        blocks.append(wr.PanelGrid(runsets=runsets, panels=_laid_out(panels), hide_run_sets=True))
    return blocks


def _by_noise(runs: Sequence[FinishedRun]) -> dict[float, list[FinishedRun]]:
    """Group runs by their proportion of flipped labels; empty if all have the same."""
    levels = sorted({run.noise for run in runs})
    return {noise: [run for run in runs if run.noise == noise] for noise in levels} if len(levels) > 1 else {}


def _verdict_runs(where: dict[str, str]) -> wr.Runset:
    """Return the set of runs with verdicts (:func:`mfer_lightning.tracking.verdicts.log_verdicts`)."""
    return wr.Runset(name=VERDICTS, filters=expr.And(expr.Metric("JobType").isin([VERDICTS])), **where)


def _panels(runs: Sequence[FinishedRun], split: str, entity: str) -> dict[str, list[Any]]:
    """Return the panels by section, using only names that these runs log."""
    curves = [*CURVES]
    if any(run.config["loss"].get("feature") for run in runs):
        curves.append(names.FEATURE_LOSS)
    pictures = [names.picture(name) for name in names.FIGURES]
    if any(run.config["evaluation"]["embedding_points"] for run in runs):
        pictures.append(names.picture(names.EMBEDDING))
    if any(chosen_loggers(run.config["logger"]).get("wandb", {}).get("images") for run in runs):
        pictures.append(names.EXAMPLE_GRID)
    classes = dict.fromkeys(name for run in runs for name in run.result["class_names"])
    accuracy = names.figure(split, "accuracy")
    cells = {(run.loss, run.backbone) for run in runs}
    # if settings differ in more than loss and backbone, bars by these two would average over settings as well as seeds
    apart = {} if len(cells) == len({run.setting for run in runs}) else {"loss": names.SETTING}
    return {
        "Loss by backbone": [
            _chart("mfer-loss-by-backbone", names.figure_table(split), {**BAR_FIELDS, **apart}, entity)
        ],
        "Settings": [
            wr.BarPlot(
                title=f"{split} {metric.replace('_', ' ')}", metrics=[names.figure(split, metric)], **_OVER_SEEDS
            )
            for metric in names.TABLE_METRICS
        ],
        "Classes": [
            _chart("mfer-class-recall", names.class_table(split), HEAT_FIELDS, entity),
            wr.BarPlot(
                title="recall of each class", metrics=[names.recall(split, name) for name in classes], **_OVER_SEEDS
            ),
        ],
        "Curves": [wr.LinePlot(title=name, x=names.EPOCH, y=[name], **_OVER_SEEDS) for name in curves],
        "Cost": [
            wr.ScatterPlot(
                title="accuracy against GFLOPs",
                x=wr.SummaryMetric(f"{names.COST_PREFIX}gflops"),
                y=wr.SummaryMetric(accuracy),
            ),
            wr.BarPlot(
                title="faces per second in training", metrics=[f"{names.COST_PREFIX}images_per_second"], **_OVER_SEEDS
            ),
        ],
        "Pictures": [wr.MediaBrowser(title=name, media_keys=[name], num_columns=2) for name in pictures],
    }


def _chart(name: str, table: str, fields: dict[str, str], entity: str) -> Any:
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": table}},
        chart_name=f"{entity}/{name}" if entity else name,
        chart_fields=dict(fields),
    )


def _filters(runs: Sequence[FinishedRun], protocol: str, split: str, noise: float | None = None) -> expr.And:
    """Filter runs by protocol and proportion of flipped labels, and by sweep if all runs belong to one."""
    wanted = {names.PROTOCOL: protocol, names.SPLIT: split}
    # W&B wraps every key of a configuration in a field "value"
    found: list[Any] = [expr.Config(f"{key}.value").isin([value]) for key, value in wanted.items()]
    if noise is not None:
        found.append(expr.Config("dataset.value.label_noise").isin([noise]))
    groups = dict.fromkeys(run.group for run in runs)
    if None not in groups:
        found.append(expr.Metric("Group").isin(list(groups)))
    return expr.And(*found)


def _columns(split: str) -> list[str]:
    config = [f"config:{names.SETTING}.value", "config:loss.value.name", "config:backbone.value.name"]
    summary = [names.SELECTION_VALUE, *(names.figure(split, metric) for metric in tables.METRICS)]
    return ["run:displayName", *config, "config:seed.value", *(f"summary:{name}" for name in summary)]


def _laid_out(panels: Sequence[Any]) -> list[Any]:
    """Place two panels side by side, or one over the full width."""
    width = _GRID if len(panels) == 1 else _GRID // 2
    for place, panel in enumerate(panels):
        panel.layout = wr.Layout(x=(place % 2) * width, y=place // 2 * 10, w=width, h=10)
    return list(panels)


def _plain(part: ws.Workspace | wr.Report) -> Any:
    return json.loads(part._to_model().model_dump_json(by_alias=True, exclude_none=True))
