"""The page in a real browser, which is left out where there is none. The network is out of its reach."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
HOSTILE = 'a"b<c>&{d}|\\N</script><script>document.title="bad"</script>\nz'


class Block(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(4, 4)
        self.act = nn.ReLU()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.act(self.layer(x)) + x


def test_the_page_stands_alone() -> None:
    page = tg.draw(nn.Sequential(nn.Linear(3, 2)), (8, 3)).page()
    assert set(re.findall(r"https?://[^\"']*", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"\b(?:src|href)=", page)
    assert not re.findall(r"\bimport\b|\bfetch\(|url\((?!#)", page)


def test_the_page_holds_what_the_picture_collapsed(tmp_path: Path) -> None:
    drawing = tg.draw(nn.Sequential(Block(), Block()), (2, 4), depth=1)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', drawing.page(), re.DOTALL)[0])
    assert len(data["nodes"]) > len(drawing.view.nodes)
    assert {group["path"] for group in data["groups"]} == {"sequential", "sequential/0", "sequential/1"}
    assert drawing.save(tmp_path / "net.html").read_text("utf-8") == drawing.page()


def test_names_cannot_leave_the_data() -> None:
    with tg.scope(HOSTILE):
        y = tg.symbol((2,), name=HOSTILE).exp()
    page = tg.draw(y, name=HOSTILE).page()
    assert page.count("</script>") == 2
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert data["name"] == data["nodes"][0]["name"] == HOSTILE


_USE = """
<script>
const report = {};
const count = () => document.querySelectorAll(".box").length;
const key = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
try {
  report.first = count();
  $("close").click(); report.closed = count();
  $("open").click(); report.opened = count();
  key(document.body, "c"); report.closedByKey = count();
  const box = document.querySelector('.box[stroke-dasharray], .box:has(rect[stroke-dasharray])');
  box.dispatchEvent(new MouseEvent("click", {bubbles: true})); report.oneOpen = count();
  $("search").value = "1 act"; $("search").dispatchEvent(new Event("input"));
  $("search").value = "relu"; $("search").dispatchEvent(new Event("input"));
  report.found = $("state").textContent;
  key($("search"), "Enter"); report.chosen = $("details").querySelector("h2").textContent;
  $("search").value = ""; $("search").dispatchEvent(new Event("input"));
  $("open").click();
  report.steps = $("state").textContent;
  for (let i = 0; i < 3; i++) $("next").click();
  report.third = $("state").textContent;
  report.now = document.querySelectorAll(".box.now").length;
  report.live = document.querySelectorAll(".box.live").length;
  step(nodes.length); report.last = $("state").textContent;
  const before = view.k; $("more").click(); report.zoomed = view.k > before;
  $("fit").click();
  report.inside = [...document.querySelectorAll(".box rect")].every(r => Number.isFinite(Number(r.getAttribute("x"))));
  const rects = [...drawn.keys()];
  report.apart = rects.every((a, i) => rects.slice(i + 1).every(b =>
    a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y));
} catch (error) { report.error = String(error); }
document.title = "done"; document.body.dataset.report = JSON.stringify(report);
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    page = tg.draw(nn.Sequential(Block(), Block(), nn.Linear(4, 2)), (2, 4), backward=True).page()
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", _USE + "</body>"), "utf-8")
    run = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=1200,900",
            "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.findall(r'data-report="(.*?)"', run.stdout)
    assert found, run.stderr
    report = json.loads(found[0].replace("&quot;", '"').replace("&amp;", "&"))
    assert "CONSOLE" not in run.stderr
    assert report == {
        "first": 16,
        "closed": 4,
        "opened": 16,
        "closedByKey": 4,
        "oneOpen": 6,
        "found": "4 found; Enter goes to the next",
        "chosen": "ReLU  act",
        "steps": "16 steps, forward then backward; at most 392 B at once",
        "third": "3 of 16: ReLU  act (forward); 3 tensors held, 96 B",
        "now": 1,
        "live": 3,
        "last": "16 of 16: output (forward); 1 tensor held, 16 B",
        "zoomed": True,
        "inside": True,
        "apart": True,
    }
