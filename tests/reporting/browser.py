"""Open a page in a real browser and inspect it.

The page is shown in a frame: headless browsers have a minimum window width of 500 pixels, but a frame can be narrower,
and width queries of the page refer to the frame.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0")

#: Encloses the page and records its messages.
FRAME = """<!DOCTYPE html><meta charset="utf-8">
<style>body {{ margin: 0 }} iframe {{ border: 0; display: block }}</style>
<pre id="probe" hidden></pre>
<script>addEventListener("message", (e) => {{ document.getElementById("probe").textContent = e.data; }});</script>
<iframe src="{address}" style="width: {width}px; height: {height}px"></iframe>
"""

#: Script in the page that clicks headings and inspects the result.
PROBE = """<script>
const root = document.documentElement;
const found = { width: innerWidth, overflow: root.scrollWidth - root.clientWidth };
found.loaded = performance.getEntriesByType("resource").map((r) => r.name);
found.letters = Math.min(...[...document.querySelectorAll(".panel svg")].flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll("text")].map((t) => scale * parseFloat(getComputedStyle(t).fontSize));
}));
const panels = [...document.querySelectorAll(".panel")];
found.outside = panels.filter((p) => p.getBoundingClientRect().right > innerWidth).length;
const table = [...document.querySelectorAll("table")].find((t) => t.tHead.textContent.includes("accuracy %"));
const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].firstChild.textContent.trim());
const heads = [...table.tHead.rows[0].cells];
const at = heads.findIndex((h) => h.textContent.trim() === "accuracy %");
const order = () => heads[at].getAttribute("aria-sort");
const button = heads[at].querySelector("button");
found.before = column(at);
button.click(); found.down = column(at); found.downSaid = order();
button.click(); found.up = column(at); found.upSaid = order();
heads[0].querySelector("button").click(); found.words = column(0); found.afterwards = order();
button.focus(); found.focused = document.activeElement === button;
found.status = document.getElementById("status").textContent;
parent.postMessage(JSON.stringify(found), "*");
</script></body>
"""


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the browser without a screen and without network access."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with tempfile.TemporaryDirectory() as profile:
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=180, check=True)


def probe(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """Open a page at a width, click headings of its table of methods, and return observations and errors."""
    copy = folder / f"probed-{width}.html"
    copy.write_text(page.read_text().replace("</body>", PROBE))
    frame = _frame(copy, width, 900, folder)
    done = chromium("--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom", frame.as_uri())
    match = re.search(r'<pre id="probe"[^>]*>(.+?)</pre>', done.stdout, flags=re.DOTALL)
    assert match, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    found["console"] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return found


def screenshot(page: Path, width: int, height: int, target: Path) -> None:
    """Take a screenshot of a page with the given width, padded with white to at least 500 pixels."""
    frame = _frame(page, width, height, target.parent)
    chromium(f"--window-size={max(width, 500)},{height}", f"--screenshot={target}", frame.as_uri())


def _frame(page: Path, width: int, height: int, folder: Path) -> Path:
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(address=page.resolve().as_uri(), width=width, height=height))
    return frame
