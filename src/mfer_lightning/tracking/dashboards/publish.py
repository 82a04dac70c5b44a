"""Upload a dashboard to W&B: charts first, because the workspaces and the report refer to them."""

from __future__ import annotations

import contextlib
from typing import Any

import requests
import wandb

from mfer_lightning.errors import UserError
from mfer_lightning.tracking.dashboards.charts import CHARTS
from mfer_lightning.tracking.dashboards.definition import Dashboard


def publish_dashboard(dashboard: Dashboard) -> list[str]:
    """Save charts, workspaces and report in W&B.

    Args:
        dashboard: a dashboard built with ``online=True``.

    Returns:
        The URLs of the workspaces and, last, of the report.

    Raises:
        UserError: if W&B cannot be reached or rejects the dashboard.
    """
    try:
        api: Any = wandb.Api()
        for name, (title, spec) in CHARTS.items():
            with contextlib.suppress(wandb.Error):  # the chart already exists
                api.create_custom_chart(
                    entity=dashboard.entity,
                    name=name,
                    display_name=title,
                    spec_type="vega2",
                    access="private",
                    spec=spec,
                )
        addresses = []
        for workspace in dashboard.workspaces:
            workspace.save()
            addresses.append(str(workspace.url))
        dashboard.report.save()
        return [*addresses, str(dashboard.report.url)]
    except (wandb.Error, requests.RequestException, OSError, ValueError) as error:
        raise UserError(
            f"The dashboard could not be published ({error}). Check entity={dashboard.entity} and "
            f"project={dashboard.project}, and that the runs are uploaded (`wandb sync`)."
        ) from error
