"""The served page, with Gradio's client and in a browser."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from demo.conftest import picture

from mfer_lightning.demo.examine_photo import examine
from mfer_lightning.demo.page import build_page
from mfer_lightning.demo.result_html import card_page
from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.nn import Preprocess

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def served(model: Predictor) -> Iterator[tuple[str, Path]]:
    """Address of a page, and the folder of its uploads."""
    pytest.importorskip("gradio")
    import os

    from mfer_lightning.demo.server import serve

    page = serve(model, block=False, explain=False)
    yield page.local_url, Path(os.environ["GRADIO_TEMP_DIR"])
    page.close()


def files(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file()]


def test_concurrent_uploads_do_not_mix_and_leave_no_files(
    served: tuple[str, Path], model: Predictor, tmp_path: Path
) -> None:
    from gradio_client import Client, handle_file

    address, folder = served
    photos = [picture(tmp_path / f"{i}.png", i, width=40 + i) for i in range(8)]
    wanted = [card_page(examine(model, photo, aligned=True)) for photo in photos]
    clients = [Client(address, verbose=False) for _ in range(4)]

    def ask(i: int) -> str:
        return clients[i % 4].predict(handle_file(str(photos[i])), True, False, api_name="/examine")[1]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(len(photos))))
    assert answers == wanted
    assert len(set(answers)) == len(photos)
    assert files(folder) == []


def test_text_file_gets_an_answer_instead_of_an_error(served: tuple[str, Path], tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    address, folder = served
    path = tmp_path / "photo.jpg"
    path.write_text("no photo")
    answer = Client(address, verbose=False).predict(handle_file(str(path)), False, False, api_name="/examine")[1]
    assert "This file cannot be shown" in answer
    assert files(folder) == []


def test_url_is_not_fetched_as_a_photo(served: tuple[str, Path]) -> None:
    httpx = pytest.importorskip("httpx")
    address, folder = served
    photo = {"path": "https://example.org/me.png", "meta": {"_type": "gradio.FileData"}}
    with patch("gradio.processing_utils.async_ssrf_protected_download") as fetched:
        asked = httpx.post(f"{address}gradio_api/call/examine", json={"data": [photo, True, False]}).json()["event_id"]
        answer = httpx.get(f"{address}gradio_api/call/examine/{asked}", timeout=60).text
    assert "event: error" in answer
    fetched.assert_not_called()
    assert files(folder) == []


def test_failed_request_keeps_no_upload(
    served: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio_client import Client, handle_file

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    address, folder = served
    client, photo = Client(address, verbose=False), handle_file(str(picture(tmp_path / "a.png", 3)))
    monkeypatch.setattr("mfer_lightning.demo.page.examine", fail)
    with pytest.raises(Exception, match="raised an exception"):
        client.predict(photo, True, False, api_name="/examine")
    assert files(folder) == []


def test_model_names_are_shown_as_plain_text(model: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    names = ("![x](https://example.org/x.png)", "<img src=x>", "anger")
    strange = Predictor(TorchClassifier(FERModel(model.classifier.model.network, Preprocess(size=32), names)))
    parts = build_page(strange, tmp_path, None, 10**6).config["components"]
    assert "markdown" not in {part["type"] for part in parts}
    head = next(part["props"]["value"] for part in parts if part["type"] == "html")
    assert "&lt;img src=x&gt;" in head
    assert "<img" not in head


@pytest.mark.slow
@pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")
def test_user_can_upload_see_the_answer_and_clear(served: tuple[str, Path], model: Predictor, tmp_path: Path) -> None:
    selenium = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    address, folder = served
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    flags = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1280,1200")
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser: Any = selenium.Chrome(options=options, service=Service(DRIVER))
    try:
        wait = WebDriverWait(browser, 90)
        browser.get(address)
        photo = picture(tmp_path / "me.png", 5)
        wait.until(lambda b: b.find_elements("css selector", "input[type=file]"))[0].send_keys(str(photo))
        wait.until(lambda b: b.find_elements("css selector", ".mfer"))
        assert "No face was found" in browser.find_element("css selector", ".mfer").text  # noise has no faces
        browser.find_element("css selector", "input[type=checkbox]").click()  # one face, aligned already
        wait.until(lambda b: b.find_elements("css selector", "input[type=file]"))[0].send_keys(str(photo))
        wait.until(lambda b: b.find_elements("css selector", ".mfer .card"))
        face = model.predict(photo, aligned=True).faces[0]
        assert f"Face 1: {face.label}, {face.probability:.0%}" in browser.find_element("css selector", ".card h3").text
        time.sleep(1)
        assert files(folder) == []
        next(b for b in browser.find_elements("tag name", "button") if b.text == "Clear").click()
        wait.until(lambda b: not b.find_elements("css selector", ".mfer"))
        asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
        assert not [url for url in urls if not url.startswith((address, "data:", "blob:"))]
    finally:
        browser.quit()
