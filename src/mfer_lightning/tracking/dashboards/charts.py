"""Define charts that W&B does not have: Vega-Lite specifications over the tables that runs log.

W&B joins the rows of a table over all displayed runs, and replaces ``${field:...}`` by a column's name. The charts are
stored in W&B under the user's entity when the dashboard is published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Fields of the bar chart -> column of the table of metrics.
BAR_FIELDS = {"loss": "loss", "backbone": "backbone", "value": "accuracy"}
#: Fields of the heat map -> column of the table of classes.
HEAT_FIELDS = {"setting": "setting", "class": "class", "value": "recall"}

#: Stored name of a chart -> heading and specification (``charts.json``).
CHARTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (chart["title"], chart["spec"])
    for name, chart in json.loads(Path(__file__).with_name("charts.json").read_text(encoding="utf-8")).items()
}
