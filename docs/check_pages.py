"""Open every page of the built site in Chromium: ``python docs/check_pages.py docs/_build/html``.

Each is looked at in the width of a desk and of a phone, in light and in dark. There must be no error in the console, no
request to another machine, nothing wider than the window, no TeX left in the text, and enough contrast to read; and
the search must find the words of the glossary. It talks to the browser over the DevTools protocol and needs nothing
but Python.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
PATIENCE = 60
"""How many seconds the browser may be silent."""
SETTINGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars",
]  # fmt: skip

LOOK = r"""
(() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("article *")].find(
      (each) => each.getBoundingClientRect().right > root.clientWidth + 1 && !each.closest("svg, pre, math"));
    wrong.push(`is ${root.scrollWidth - root.clientWidth} pixels too wide: ` +
      (wide ? wide.outerHTML.slice(0, 90) : "no element named"));
  }
  const colour = (text) => {
    const parts = (text.match(/[\d.]+/g) || []).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    return parts.length < 3 ? null : [...parts.slice(0, 3).map((each) => each * scale), parts[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) {
      const found = colour(getComputedStyle(each).backgroundColor);
      if (found && found[3] > 0) layers.push(found);
      if (found && found[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const plate = (node, below) => {  // in a drawing: the shape that was painted before the text, in its group
    for (let each = node.previousElementSibling; each; each = each.previousElementSibling) {
      const style = getComputedStyle(each), found = colour(style.fill);
      if (each.matches("path, polygon, rect, ellipse, circle") && found && style.fill !== "none")
        return over([...found.slice(0, 3), found[3] * Number(style.fillOpacity)], below);
    }
    return below;
  };
  const walker = document.createTreeWalker(document.querySelector("article") || document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), node = walker.currentNode.parentElement;
    if (!text || !node || !node.getClientRects().length || node.closest("script, style, title, desc")) continue;
    if (/\\\(|\\\[|\$\$|\\(frac|mathrm|begin|partial|sum|left)\b/.test(text) && !node.closest("pre, code"))
      wrong.push("shows TeX: " + text.slice(0, 60));
    if (seen.has(node)) continue;
    seen.add(node);
    const style = getComputedStyle(node), inside = node.closest("svg");
    const front = colour(inside ? style.fill : style.color);
    if (!front || style.visibility === "hidden" || Number(style.opacity) < 0.1 || node.closest(".headerlink")) continue;
    const under = inside ? plate(node, ground(inside.parentElement)) : ground(node);
    const [a, b] = [light(over(front, under)), light(under)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : LEAST)) wrong.push(`contrast ${contrast.toFixed(2)}: ${text.slice(0, 40)}`);
  }
  return [...new Set(wrong)];
})()
""".replace("LEAST", "4.4")

SEARCH = """
new Promise((done) => {
  const ask = () => {
    if (typeof Search === 'undefined' || !Search._index) return setTimeout(ask, 50);
    const missing = WORDS.filter((word) => !Search._performSearch(...Search._parseQuery(word)).length);
    done(missing);
  };
  ask();
})
"""


class Browser:
    """A Chromium with one page, driven over two pipes."""

    def __init__(self, program: str, folder: str) -> None:
        import fcntl

        ours = [*os.pipe(), *os.pipe()]
        there_in, self.out, self.inn, there_out = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in ours]
        for each in ours:
            os.close(each)
        start = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
        start += "os.execvp(sys.argv[3], sys.argv[3:])"
        command = [sys.executable, "-c", start, str(there_in), str(there_out), program, *SETTINGS]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(there_in, there_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there_in)
        os.close(there_out)
        self.buffer, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.inn], [], [], PATIENCE)
            part = os.read(self.inn, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer; events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, address: str) -> list[dict[str, Any]]:
        """Load a page; gives what happened on the way."""
        self.ask("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        return self.happened()

    def happened(self) -> list[dict[str, Any]]:
        """The events since somebody asked last."""
        events, self.events = self.events, []
        return events

    def value(self, script: str) -> Any:
        """What a script gives on the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", "a script failed"))
        return answer["result"].get("value")

    def show(self, width: str, scheme: str) -> None:
        """Take a width and a colour scheme."""
        across, down = WIDTHS[width]
        screen = {"width": across, "height": down, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            self.session = ""
            self.ask("Browser.close")
        self.process.wait(timeout=20)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the folder is served, on this machine only."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def trouble(events: list[dict[str, Any]], address: str) -> list[str]:
    """Errors and foreign requests among what happened."""
    wrong = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            wrong += [] if url.startswith((address, "data:", "blob:")) else [f"asks for {url}"]
        elif method == "Runtime.exceptionThrown":
            wrong.append(f"error: {params['exceptionDetails']['text']}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            wrong.append(f"console: {params['args'][:1]}")
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            wrong.append(f"console: {params['entry']['text']} {params['entry'].get('url', '')}")
    return wrong


def look(browser: Browser, address: str, page: str) -> list[str]:
    """What is wrong with a page, in any width and scheme."""
    browser.show("desk", "light")
    wrong = trouble(browser.open(address + page), address)
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(width, scheme)
            wrong += [f"{width}, {scheme}: {each}" for each in browser.value(LOOK)]
    return wrong + trouble(browser.happened(), address)


def main() -> int:
    parser = argparse.ArgumentParser(description="Open every page of the built site in Chromium.")
    parser.add_argument("site", nargs="?", type=Path, default=Path(__file__).resolve().parent / "_build/html")
    parser.add_argument("--only", default="", help="only pages whose path holds this")
    given = parser.parse_args()
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
    if not program or os.name == "nt":
        print("pages are not opened: no Chromium was found (the variable CHROMIUM may name one)")
        return 0
    if not (given.site / "index.html").exists():
        print(f"there is no site in {given.site}: make book")
        return 1
    pages = [path.relative_to(given.site).as_posix() for path in sorted(given.site.rglob("*.html"))]
    pages = [page for page in pages if given.only in page and not page.startswith("_")]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, served(given.site) as address:
        browser = Browser(program, folder)
        try:
            for page in pages:
                wrong += [f"{page}: {each}" for each in look(browser, address, page)]
            browser.open(address + "glossary.html")
            words = browser.value(
                "[...document.querySelectorAll('dl.glossary dt')].map((each) => each.firstChild.data)"
            )
            browser.open(address + "search.html")
            missing = browser.value(SEARCH.replace("WORDS", json.dumps([word.strip() for word in words])))
            wrong += [f"search does not find {word!r}" for word in missing]
        finally:
            browser.close()
    done = f"{len(pages)} pages in {len(WIDTHS) * len(SCHEMES)} ways; the search found {len(words)} words"
    print("\n".join(wrong) or done)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
