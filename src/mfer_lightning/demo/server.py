"""Serve the page of ``mfer demo`` on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.demo.examine_photo import Explain
from mfer_lightning.demo.guarded_routes import GuardedRoutes, UploadFolder
from mfer_lightning.demo.page import build_page
from mfer_lightning.demo.temporary_uploads import MOST_BYTES, keep_swept, private_folder
from mfer_lightning.errors import UserError, check_least
from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.load import load_model
from mfer_lightning.inference.media.photos import MOST_PIXELS
from mfer_lightning.inference.predictor import Predictor


def serve(
    model: Predictor | str | Path | None = None,
    *,
    device: str = "auto",
    uncertain: bool | float | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    explain: bool = True,
    max_pixels: int = MOST_PIXELS,
    open_browser: bool = False,
    block: bool = True,
) -> Any:
    """Serve the page.

    Args:
        model: a model from :func:`mfer_lightning.load_model`, or the first argument of that function; None: the default
            bundled model.
        device: device for a model that is loaded here.
        uncertain: threshold for a model that is loaded here, as in :func:`mfer_lightning.load_model`.
        host: address to listen on.
        port: port to listen on, 1 to 65535; None: the first free one from 7860.
        explain: whether to offer the Grad-CAM overlay.
        max_pixels: maximum number of pixels of a photo; larger ones are rejected.
        open_browser: whether to open the page in a browser.
        block: whether to wait until Ctrl-C; otherwise, return immediately, and serve the page from other threads.

    Returns:
        ``gradio.Blocks``; its ``local_url`` is the address of the page.

    Raises:
        UserError: for illegal options, a missing package, or an unavailable address.
    """
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"port={port}: the value must be from 1 to 65535, or null for the first free port from 7860.")
    check_least("max_pixels", max_pixels, 1)
    if not isinstance(model, Predictor):
        model = load_model(model, device, uncertain=uncertain)
    explaining = explainer(model) if explain else None
    folder = private_folder()
    keep_swept(folder)
    page = build_page(model, folder, explaining, max_pixels)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            theme=page.mfer_theme,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            show_error=False,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            enable_monitoring=False,
            max_file_size=MOST_BYTES,
            app_kwargs={"middleware": [_guard(folder)]},
        )
        page.app.uploaded_file_dir = UploadFolder(folder)
    except OSError as error:
        where = f"{host}, port {port}" if port else host
        raise UserError(f"The page cannot be served at {where}: {error} Choose another port with port=...") from error
    print(f"The page: {page.local_url}    (Ctrl-C stops it)", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print(f"The page has no password: with host={host}, anyone who can reach this machine can use it.", flush=True)
    while block:
        try:
            time.sleep(3600)
        except KeyboardInterrupt:
            page.close()
            print("Stopped. Nothing was stored.")
            break
    return page


def _guard(folder: Path) -> Any:
    from starlette.middleware import Middleware  # comes with Gradio

    return Middleware(GuardedRoutes, folder=folder)


def explainer(model: Predictor) -> Explain | None:
    """Return the function that computes Grad-CAM maps for a model; None for models that are not PyTorch models."""
    classifier = model.classifier
    if not isinstance(classifier, TorchClassifier):
        return None
    import torch

    from mfer_lightning.analysis.gradcam import explain

    network = classifier.model

    def maps(crops: NDArray[np.uint8], classes: Sequence[int]) -> NDArray[np.float32]:
        faces = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
        return explain(network, faces, classes)

    return maps
