"""Numbers, pictures and histograms in boxes; overlays of time and receptive field; links to the documentation."""

from __future__ import annotations

import base64
import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw.images import BARS, bar_words, histogram, size_of, thumbnail
from tinygrad_cnn.draw.links import CHAPTERS, SECTIONS, module_link, operation_link
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.ops.base import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent.parent


def pixels(uri: str) -> np.ndarray:
    """A PNG decoded by the rules of its standard alone: ``(H, W, 3)``."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kind == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    assert size_of(uri) == (width, height)
    return rows[:, 1:].reshape(height, width, 3)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))


def images(count: int = 2) -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(0).random((count, 1, 8, 8), np.float32))


# Pictures of numbers


def test_a_thumbnail_is_a_png_with_the_channels_side_by_side() -> None:
    maps = np.zeros((2, 4, 20, 20))
    maps[0, 3, 5, 7] = 1.0
    maps[1] = 9.0  # the second image is not shown
    shown = pixels(thumbnail(maps))
    assert shown.shape == (41, 41, 3)
    assert tuple(shown[0, 0]) == (68, 1, 84)
    assert tuple(shown[21 + 5, 21 + 7]) == (253, 231, 37)
    assert tuple(shown[20, 0]) == (255, 255, 255)  # between the rows
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 3


def test_brighter_pixels_are_larger_numbers_on_any_screen() -> None:
    ramp = pixels(thumbnail(np.arange(30.0).reshape(1, 1, 1, 30)))[0]
    assert thumbnail(np.arange(-100.0, -70.0).reshape(1, 1, 1, 30)) == thumbnail(np.arange(30.0).reshape(1, 1, 1, 30))
    grey = ramp @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) > 0).all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 100, 7, 7), (4 * 15 - 1, 4 * 15 - 1)),  # 16 channels of 7 pixels, each two wide
        ((1, 1, 224, 224), (64, 64)),
        ((1, 3, 100, 10), (2 * 11 - 1, 2 * 33 - 1)),
        ((2, 2, 5, 9, 9), (37, 18)),  # the middle slices of volumes
        ((1, 5, 12), (12, 5)),
        ((4, 300), (64, 4)),
        ((4, 3), (12, 4)),
    ],
)
def test_sizes_of_thumbnails(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert size_of(thumbnail(np.random.default_rng(0).random(shape))) == size


def test_what_makes_no_picture() -> None:
    assert [thumbnail(np.zeros(shape)) for shape in ((), (3,), (0, 4), (2, 0, 3, 3))] == ["", "", "", ""]
    constant = pixels(thumbnail(np.full((1, 1, 12, 12), 5.0)))
    assert len(np.unique(constant.reshape(-1, 3), axis=0)) == 1
    broken = np.zeros((1, 1, 12, 12))
    broken[0, 0, 0, :3] = np.nan, np.inf, 1
    assert [tuple(each) for each in pixels(thumbnail(broken))[0, :3]] == [(213, 0, 107), (253, 231, 37), (253, 231, 37)]


def test_colour_images_and_filters() -> None:
    photo = np.zeros((1, 3, 12, 12))
    photo[0, 0], photo[0, 1, 0, 0] = 1.0, 1.0
    assert [tuple(each) for each in pixels(thumbnail(photo, coloured=True))[0, :2]] == [(255, 255, 0), (255, 0, 0)]
    filters = np.zeros((4, 2, 3, 3))
    filters[:, 1] = 1.0  # only the first channel of each filter is shown
    assert len(np.unique(pixels(thumbnail(filters, filters=True)).reshape(-1, 3), axis=0)) == 2  # and the gaps


def test_histograms_count_every_finite_number() -> None:
    numbers = np.random.default_rng(0).normal(size=1000)
    bars = histogram(np.append(numbers, [np.nan, np.inf]))
    assert (len(bars), sum(bars)) == (BARS, 1000)
    assert histogram(np.array([True, False, True]))[0::23] == (1, 2)
    assert histogram(np.array([1.0])) == histogram(np.full(3, np.nan)) == ()
    assert bar_words((0, 1, 500, 1000)) == " ▁▄█"


# In boxes


def test_thumbnails_are_in_every_picture(tmp_path: Path) -> None:
    model = small()
    drawing = tg.draw(model, images(), values="thumbnails")
    conv = drawing.view.nodes[1]
    expected = model(images()).numpy()
    assert conv.picture == thumbnail(model[0](images()).numpy())
    assert drawing.view.nodes[4].picture == thumbnail(expected)
    low, high = model[0](images()).numpy().min(), model[0](images()).numpy().max()
    assert conv.values[0].startswith(f"{low:.3g} to {high:.3g}, mean ")
    assert 'ID="inlay_n1"' in drawing.dot
    assert conv.picture in drawing.page()
    assert json.loads(drawing.json())["nodes"][1]["picture"] == conv.picture
    pytest.importorskip("pygraphviz")
    root = ET.fromstring(drawing.svg())
    shown = [each.get("{http://www.w3.org/1999/xlink}href") for each in root.iter("{http://www.w3.org/2000/svg}image")]
    assert shown == [node.picture for node in drawing.view.nodes if node.picture]
    assert "inlay" not in drawing.svg()
    plain = tg.draw(model, images()).save(tmp_path / "plain.png").stat().st_size
    assert drawing.save(tmp_path / "net.png").stat().st_size > plain + 2000
    assert drawing.save(tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")


def test_histograms_are_in_every_picture(tmp_path: Path) -> None:
    model = small()
    drawing = tg.draw(model, images(), values="histogram")
    relu = drawing.view.nodes[2]
    assert relu.bars == histogram(model[1](model[0](images())).numpy())
    assert f"[{bar_words(relu.bars)}]" in drawing.text()
    assert f"<br/>{bar_words(relu.bars)}" in drawing.mermaid()
    pytest.importorskip("pygraphviz")
    rects = list(ET.fromstring(drawing.svg()).iter("{http://www.w3.org/2000/svg}rect"))
    filled = sum(1 for node in drawing.view.nodes for count in node.bars if count)
    assert len(rects) == filled + sum(1 for node in drawing.view.nodes if node.bars)  # and a line below each
    assert drawing.save(tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def test_norms_of_values_and_gradients() -> None:
    x = tg.Tensor([[3.0, -4.0]], requires_grad=True, name="x")
    view = tg.draw((x * x).sum(), values="norms").view
    assert [node.values for node in view.nodes] == [
        ("norm 5", "gradient norm 10"),
        ("norm 18.4", "gradient norm 1.41"),
        ("norm 25", "gradient norm 1"),
    ]
    assert x.grad is None
    with pytest.raises(ArgumentError, match="no such values"):
        tg.draw(x * x, values="pictures")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["histogram", "thumbnails"])
def test_what_is_not_computed_says_so(kind: str) -> None:
    weight = tg.Tensor(np.ones((2, 3), np.float32), name="w")
    drawing = tg.draw((tg.symbol((2, 3), name="x") * weight).sum(), values=kind)
    said = {node.name or node.title: node.values[0] for node in drawing.view.nodes}
    assert said == {"x": "not computed", "w": "1 to 1, mean 1", "mul": "not computed", "sum": "not computed"}
    assert "not computed: the numbers of a symbol come when the graph is run" in drawing.text().splitlines()[-1]
    assert tg.draw(small(), images(), values=kind).view.notes == ()


# Overlays


def test_time_is_measured_and_says_so() -> None:
    drawing = tg.draw(small(), (2, 1, 8, 8), overlay="time", backward=True)  # numbers are made up for it
    times = [node.milliseconds for node in drawing.view.nodes if node.role == "block"]
    assert len(times) == 8
    assert all(each is not None and 0 < each < 1000 for each in times)
    assert max(node.share or 0 for node in drawing.view.nodes) == 1.0
    (note,) = drawing.view.notes
    assert re.match(
        r"colour: time, measured here .*quickest of three runs, from white \(0\) to orange \(.* in one", note
    )
    assert re.search(r"; [\d.]+ [mµ]?s in all$", note)
    assert re.search(r"[\d.]+ [mµ]s", drawing.text().splitlines()[3])
    assert '"milliseconds": null' in tg.draw(small(), (2, 1, 8, 8)).json()


def test_time_is_that_of_all_operations_in_a_block() -> None:
    class Slow(nn.Module):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            for _ in range(30):
                x = (x @ x).tanh()
            return x

    view = tg.draw(nn.Sequential(nn.ReLU(), Slow()), tg.Tensor(np.full((60, 60), 0.01, "float32")), overlay="time").view
    quick, slow = [node for node in view.nodes if node.role == "block"]
    assert (quick.milliseconds or 0) < (slow.milliseconds or 0)
    assert slow.share == 1.0


def test_receptive_fields_are_those_that_inspection_finds() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 2, 3, stride=2, padding=2, dilation=2),
        nn.Flatten(),
    )
    drawing = tg.draw(model, (1, 1, 32, 32), overlay="receptive_field")
    found = {node.path: node.sees for node in drawing.view.nodes if node.role == "block"}
    for layer in "012":
        assert found[layer] == tg.inspect.receptive_field(model, (1, 1, 32, 32), layer).size
    assert found["3"][0] > 32  # all of the image, and the padding
    shares = [node.share for node in drawing.view.nodes if node.role == "block"]
    assert shares == [found[layer][0] / found["3"][0] for layer in "0123"]
    assert "sees 12×12" in drawing.dot
    assert drawing.view.notes[0].startswith("colour: receptive field of a unit in the middle")
    image = tg.Tensor(np.ones((1, 1, 32, 32), "float32"))
    eager = tg.draw(model(image), level="block", overlay="receptive_field").view
    assert [node.sees for node in eager.nodes if node.role == "block"] == list(found.values())
    with pytest.raises(ArgumentError, match="no receptive field to show"):
        tg.draw(nn.Linear(3, 2), (4, 3), overlay="receptive_field")


# Links


def test_links_lead_to_the_page_of_each_operation() -> None:
    site = "https://example.org/docs/"
    drawing = tg.draw(small(), (2, 1, 8, 8), links=site, backward=True, level="op")
    links = {node.title: node.link for node in drawing.view.nodes}
    assert links["conv"] == operation_link(site, "conv")
    assert links["conv"].startswith("https://example.org/docs/")
    assert links["gradient of conv"] == links["conv"]
    assert all(node.link for node in drawing.view.nodes if node.role == "operation" and node.title in OPERATIONS)
    block = tg.draw(small(), (2, 1, 8, 8), links=site)
    linear = site + "generated/tinygrad_cnn.nn.html#tinygrad_cnn.nn.Linear"
    assert block.view.nodes[4].link == linear
    assert f'URL="{linear}", target="_top"' in block.dot
    assert f'click n4 href "{linear}"' in block.mermaid()
    assert f'"link":"{linear}"' in block.page()
    assert tg.draw(small(), (2, 1, 8, 8), links="").view.nodes[4].link == linear.removeprefix(site)
    assert not any(node.link for node in tg.draw(small(), (2, 1, 8, 8)).view.nodes)
    assert "URL=" not in tg.draw(small(), (2, 1, 8, 8)).dot


def test_a_link_in_svg_keeps_its_tooltip() -> None:
    pytest.importorskip("pygraphviz")
    svg = tg.draw(nn.Linear(3, 2), (4, 3), links="https://example.org/?a=1&b=2").svg()
    ET.fromstring(svg)
    (link,) = re.findall(r'<a xlink:href="([^"]*)"[^>]*>\s*<title>Linear', svg)
    assert link.startswith("https://example.org/?a=1&amp;b=2/generated/")


def test_every_operation_has_a_page() -> None:
    import sys

    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    pytest.importorskip("sphinx")
    import generate
    from docutils.nodes import make_id

    for name, kind in OPERATIONS.items():
        family = kind.__module__.rpartition(".")[2]
        page, _, section = operation_link("", name).partition("#")
        if section:
            assert (page, section) == ("generated/operations.html", make_id(generate.FAMILIES[family]))
        else:
            assert (ROOT / page.replace(".html", ".md")).exists()
    documented = {full for entries in generate.reference().values() for _, _, full in entries}
    for room in (nn, tg.models):
        for thing in vars(room).values():
            link = module_link("", thing) if isinstance(thing, type) and issubclass(thing, nn.Module) else ""
            assert not link or link.partition("#")[2] in documented, thing
    families = {kind.__module__.rpartition(".")[2] for kind in OPERATIONS.values()}
    assert {*CHAPTERS, *SECTIONS} <= families | set(OPERATIONS)


def test_the_source_line_is_on_every_box_of_the_user() -> None:
    x = tg.symbol((2, 3), name="x")
    y = (x * 2).exp()
    lines = [node.place.partition(": ")[2] for node in tg.draw(y).view.nodes]
    assert lines == ["", "y = (x * 2).exp()", "y = (x * 2).exp()"]
