"""Define charts that W&B does not have: Vega-Lite specifications over the tables that runs log.

W&B joins the rows of a table over all runs shown, and puts a column's name where ``${field:...}`` stands. The charts
are stored at W&B under the user's own entity when the dashboard is published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Fields of the bar chart -> column of the table of figures.
BAR_FIELDS = {"loss": "loss", "backbone": "backbone", "value": "accuracy"}
#: Fields of the heat map -> column of the table of classes.
HEAT_FIELDS = {"setting": "setting", "class": "class", "value": "recall"}

#: Name under which a chart is stored -> heading and specification (``charts.json``).
CHARTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (chart["title"], chart["spec"])
    for name, chart in json.loads(Path(__file__).with_name("charts.json").read_text(encoding="utf-8")).items()
}
