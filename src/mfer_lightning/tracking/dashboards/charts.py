"""Define charts that W&B does not have: Vega-Lite specifications over the tables that runs log.

W&B joins the rows of a table over all runs shown, and puts a column's name where ``${field:...}`` stands. The charts
are stored at W&B under the user's own entity when the dashboard is published.
"""

from __future__ import annotations

from typing import Any

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"

#: Fields of the bar chart -> column of the table of figures.
BAR_FIELDS = {"loss": "loss", "backbone": "backbone", "value": "accuracy"}
#: Fields of the heat map -> column of the table of classes.
HEAT_FIELDS = {"setting": "setting", "class": "class", "value": "recall"}

BARS: dict[str, Any] = {
    "$schema": _SCHEMA,
    "title": "Accuracy by loss and backbone: mean and standard deviation over runs",
    "data": {"name": "wandb"},
    "encoding": {
        "x": {"field": "${field:loss}", "type": "nominal", "title": "loss", "axis": {"labelAngle": 0}},
        "xOffset": {"field": "${field:backbone}", "type": "nominal"},
    },
    "layer": [
        {
            "mark": {"type": "bar", "tooltip": True},
            "encoding": {
                "y": {
                    "aggregate": "mean",
                    "field": "${field:value}",
                    "type": "quantitative",
                    "title": "accuracy",
                    "axis": {"format": ".0%"},
                },
                "color": {"field": "${field:backbone}", "type": "nominal", "title": "backbone"},
            },
        },
        {
            "mark": {"type": "errorbar", "extent": "stdev", "ticks": {"color": "black", "width": 8}},
            "encoding": {"y": {"field": "${field:value}", "type": "quantitative", "title": "accuracy"}},
        },
    ],
}

HEAT_MAP: dict[str, Any] = {
    "$schema": _SCHEMA,
    "title": "Recall of each class: mean over runs",
    "data": {"name": "wandb"},
    "width": {"step": 48},
    "height": {"step": 28},
    "transform": [
        {
            "aggregate": [{"op": "mean", "field": "${field:value}", "as": "mean_recall"}],
            "groupby": ["${field:setting}", "${field:class}"],
        }
    ],
    "encoding": {
        "x": {"field": "${field:class}", "type": "nominal", "title": "class", "sort": None},
        "y": {"field": "${field:setting}", "type": "nominal", "title": "setting"},
    },
    "layer": [
        {
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "color": {
                    "field": "mean_recall",
                    "type": "quantitative",
                    "title": "recall",
                    "scale": {"domain": [0, 1], "scheme": "blues"},
                    "legend": {"format": ".0%"},
                }
            },
        },
        {
            "mark": "text",
            "encoding": {
                "text": {"field": "mean_recall", "type": "quantitative", "format": ".0%"},
                "color": {"condition": {"test": "datum.mean_recall > 0.55", "value": "white"}, "value": "black"},
            },
        },
    ],
}

#: Name under which a chart is stored -> heading and specification.
CHARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mfer-loss-by-backbone": ("MFER: loss by backbone", BARS),
    "mfer-class-recall": ("MFER: recall of each class", HEAT_MAP),
}
