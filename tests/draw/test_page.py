"""The page in a real browser, which is left out where there is none. The network is out of its reach."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn

from .test_bodies import planned

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
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
  const count = () => document.querySelectorAll(".box").length;
  report.first = count();
  $("close").click();
  report.closed = count();
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
"""


def visit(page: str, use: str, folder: Path) -> Any:
    """What a script at the end of the page puts into ``report``."""
    start = "<script>const report = {}; const key = (target, key) => "
    start += 'target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})); try {'
    end = "} catch (error) { report.error = String(error); }"
    end += "document.body.dataset.report = JSON.stringify(report);</script>"
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"{start}{use}{end}</body>"), "utf-8")
    run = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--window-size=1200,900",
            "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.findall(r'data-report="(.*?)"', run.stdout)
    assert found, run.stderr
    assert "CONSOLE" not in run.stderr
    return json.loads(html.unescape(found[0]))


@needs_browser
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    page = tg.draw(nn.Sequential(Block(), Block(), nn.Linear(4, 2)), (2, 4), backward=True).page()
    assert visit(page, _USE, tmp_path) == {
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


_FOLLOWED = """
  const inSight = () => {
    const box = document.querySelector(".box.now").getBoundingClientRect(), frame = picture.getBoundingClientRect();
    return frame.top <= box.top && box.bottom <= frame.bottom && frame.left <= box.left && box.right <= frame.right;
  };
  $("open").click();
  report.tall = root.h * view.k > 2 * picture.getBoundingClientRect().height;
  report.inSight = [1, nodes.length, 5, nodes.length - 3].map(to => { step(to); return inSight(); });
"""


@needs_browser
def test_the_box_of_each_step_is_in_sight(tmp_path: Path) -> None:
    page = tg.draw(nn.Sequential(*[Block() for _ in range(30)]), (2, 4)).page()
    assert visit(page, _FOLLOWED, tmp_path) == {"tall": True, "inSight": [True] * 4}


_AROUND = """
  $("open").click();
  const inside = (p, b) => b.x < p.x && p.x < b.x + b.w && b.y < p.y && p.y < b.y + b.h;
  const near = (p, b) => inside(p, {x: b.x - 2, y: b.y - 2, w: b.w + 4, h: b.h + 4});
  report.behind = [];
  for (const path of document.querySelectorAll(".edge")) {
    const long = path.getTotalLength(), ends = [path.getPointAtLength(0), path.getPointAtLength(long)];
    for (const [each] of drawn) if (!ends.some(p => near(p, each)))
      for (let i = 0; i <= 60; i++)
        if (inside(path.getPointAtLength(long * i / 60), each)) { report.behind.push(each.name || each.title); break; }
  }
  report.boxes = drawn.size;
"""


@needs_browser
def test_arrows_go_around_parameters(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Conv2d(3, 3, 3, bias=False))
    assert visit(tg.draw(model, (1, 1, 8, 8), level="op").page(), _AROUND, tmp_path) == {"behind": [], "boxes": 7}


_COMPARED = """
  const boxes = change => [...document.querySelectorAll(".box." + change)].map(box => box.getAttribute("aria-label"));
  report.boxes = Object.fromEntries(["added", "removed", "changed"].map(change => [change, boxes(change)]));
  report.arrows = ["added", "removed", "changed"].map(change => document.querySelectorAll(".edge." + change).length);
  report.signs = [...document.querySelectorAll(".sign")].map(sign => sign.textContent).sort().join("");
  tell(nodes.find(n => n.change === "changed")); report.was = $("details").textContent.includes("was 4 → 4");
  $("close").click();
  report.closed = [...document.querySelectorAll(".box")].map(box => box.getAttribute("aria-label"))[1];
  step(nodes.findIndex(n => n.change === "removed") + 1); report.step = $("state").textContent;
"""


@needs_browser
def test_a_comparison_in_a_browser(tmp_path: Path) -> None:
    before = nn.Sequential(Block(), nn.ReLU(), nn.Linear(4, 4))
    page = tg.draw(nn.Sequential(Block(), nn.Linear(4, 2), nn.Tanh()), (2, 4), against=before).page()
    assert visit(page, _COMPARED, tmp_path) == {
        "boxes": {
            "added": ["+ Tanh  2, 2×2"],
            "removed": ["\N{MINUS SIGN} ReLU  1, 2×4"],
            "changed": [
                "~ Linear  1, 4 → 2, 2×2, 10 parameters · 16 MACs, was 4 → 4, 2×4, 20 parameters",
                "~ output, 2×2, was 2×4",
            ],
        },
        "arrows": [3, 3, 0],
        "signs": "+++" + 3 * "\N{MINUS SIGN}",
        "was": True,
        "closed": "▸ Sequential, 6 boxes inside, 30 parameters · 48 MACs, + 1  \N{MINUS SIGN} 1  ~ 1",
        "step": "5 of 8: ReLU  1 (removed); 1 tensor held, 32 B",
    }


_SHOWN = """
  const images = [...document.querySelectorAll(".box image")];
  report.images = images.length;
  report.inside = images.every(image => {
    const a = image.getBoundingClientRect(), b = image.parentNode.querySelector("rect").getBoundingClientRect();
    return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
  });
  report.bars = document.querySelectorAll(".box path.bars").length;
  tell(nodes[1]); report.link = document.querySelector("#details a")?.getAttribute("href");
"""


@needs_browser
@pytest.mark.parametrize("kind", ["thumbnails", "histogram"])
def test_pictures_in_a_browser(kind: Any, tmp_path: Path) -> None:
    images = tg.Tensor(np.random.default_rng(0).random((1, 1, 8, 8), np.float32))
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    report = visit(tg.draw(model, images, values=kind, links="https://example.org").page(), _SHOWN, tmp_path)
    assert report == {
        "images": 3 if kind == "thumbnails" else 0,
        "inside": True,
        "bars": 0 if kind == "thumbnails" else 3,
        "link": "https://example.org/generated/tinygrad_cnn.nn.html#tinygrad_cnn.nn.Conv2d",
    }


_FUSED = """
  report.first = [...document.querySelectorAll(".box")].map(box => box.getAttribute("aria-label"));
  document.querySelector(".box:has(rect[stroke-dasharray])").dispatchEvent(new MouseEvent("click", {bubbles: true}));
  report.opened = [...document.querySelectorAll(".box text.first")].map(text => text.textContent);
"""


@needs_browser
def test_a_fused_operation_in_a_browser(tmp_path: Path) -> None:
    assert visit(tg.draw(planned()).page(), _FUSED, tmp_path) == {
        "first": [
            "x, 2×3",
            "tanh, 2×3",
            "▸ fused, mul, exp, add, relu, 2×3, layout: rows, buffer: 2",
            "sum, dims 1, 2",
            "w, 2×3",
        ],
        "opened": ["x", "tanh", "mul", "exp", "add", "relu", "sum", "w"],
    }
