"""Build the page with Gradio: one input and one result, without network access or storage."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from mfer_lightning.demo.examine_photo import Explain, examine
from mfer_lightning.demo.result_html import card_page
from mfer_lightning.demo.temporary_uploads import forget
from mfer_lightning.errors import UserError
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.plurals import counted

HINT = (
    "<p style='opacity:.75'>Drop a photo on the left, or take one. It is processed on the machine that serves this "
    "page, and not stored.</p>"
)


def build_page(model: Predictor, folder: Path, explain: Explain | None, max_pixels: int) -> Any:
    """Build the page.

    Args:
        model: a model from :func:`mfer_lightning.load_model`.
        folder: where the server stores uploads temporarily (:mod:`mfer_lightning.demo.temporary_uploads`).
        explain: function that computes Grad-CAM maps; None: the page offers no overlays.
        max_pixels: maximum number of pixels of a photo; larger ones are rejected.

    Returns:
        ``gradio.Blocks``, ready to launch.

    Raises:
        UserError: if Gradio is not installed.
    """
    gr = _gradio(folder)

    def show(photo: str | None, aligned: bool, overlay: bool) -> tuple[Any, str]:
        if photo is None:
            return gr.skip(), gr.skip()
        try:
            found = examine(model, photo, aligned=aligned, explain=explain if overlay else None, max_pixels=max_pixels)
        finally:
            forget(photo, folder)
        return gr.update(value=None), card_page(found)

    fonts = ["system-ui", "sans-serif"]  # Gradio's default fonts would be fetched from the network
    theme = gr.themes.Base(primary_hue="blue", font=fonts, font_mono=["ui-monospace", "monospace"])
    with gr.Blocks(title="MFER: facial expressions", analytics_enabled=False, delete_cache=(60, 60)) as page:
        # not Markdown, in which a class name could load an image from the network
        gr.HTML(f"<h1>Facial expressions</h1><p>{escape(_described(model))}</p>")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                photo = gr.Image(label="Photo", sources=["upload", "webcam", "clipboard"], type="filepath", height=280)
                photo.preprocess = _path  # our reader opens the file, with limits
                photo.async_move_resource_to_block_cache = _uploaded  # Gradio's function would fetch URLs
                aligned = gr.Checkbox(False, label="The photo is one aligned face")
                overlay = gr.Checkbox(
                    explain is not None, label="Show what supports the prediction", visible=explain is not None
                )
                clear = gr.Button("Clear")
            with gr.Column(scale=2, min_width=320):
                result = gr.HTML(HINT, elem_id="result")
        # `input` events come from the user: an upload, a camera picture, a paste; not from the reset below
        photo.input(show, [photo, aligned, overlay], [photo, result], api_name="examine", concurrency_limit=1)
        clear.click(lambda: (None, HINT), None, [photo, result], api_name=False)
    page.mfer_theme = theme
    return page


def _path(payload: Any) -> str | None:
    return None if payload is None else str(payload.path)


async def _uploaded(path: str | Path | None) -> str | None:
    """Use an upload in place, and reject URLs. Gradio has checked that the path is an upload or a URL."""
    if path is not None and "://" in str(path):
        raise ValueError("Photos must be uploaded: URLs are not fetched.")
    return None if path is None else str(path)


def _described(model: Predictor) -> str:
    trained = model.metadata.get("protocol") or model.metadata.get("dataset") or "unknown data"
    names = ", ".join(model.class_names)
    return f"A model trained on {trained} distinguishes {counted(len(model.class_names), 'expression')}: {names}."


def _gradio(folder: Path) -> Any:
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read when Gradio is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gradio
    except ImportError as error:
        raise UserError(
            "The web page needs Gradio, which is not installed: pip install 'mfer_lightning[demo]'."
        ) from error
    return gradio
