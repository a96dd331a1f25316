"""The page is read back with Python's own HTML parser, so escaping is judged as a browser would."""

import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from util.images import save_image
from util.loggers.html import ResultsPage

NASTY = ["plain.png", "with space.png", "<script>alert(1)<.script>.png", "\"double\" 'single'.png",
         "ünï ☃.png", "#hash?query&amp;.png", "100%25.png", "a:b.png",
         "new\nline.png", "javascript:alert(1).png", "x" * 251 + ".png"]


class Page(HTMLParser):
    def __init__(self, path: Path):
        super().__init__()
        self.elements, self.text = [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def file_behind(address: str, folder: Path) -> Path:
    """Where a browser looks for a relative address of a page opened from disk."""
    assert address.startswith(("images/", "bytes")) and "#" not in address and "?" not in address
    return folder / os.fsdecode(unquote_to_bytes(address))


@pytest.fixture
def page(tmp_path):
    (tmp_path / "images").mkdir()
    page = ResultsPage(tmp_path, "<b>Title</b> & 'co'", "sub <i>title</i>")
    for name in NASTY:
        save_image(tmp_path / "images" / name, np.zeros((64, 128, 3), np.uint8))
    page.save((page.row(name, [(name, Path("images") / name), ("fake_B", f"images/{name}")])
               for name in NASTY), len(NASTY))
    return Page(tmp_path / "index.html")


def test_names_are_text_and_never_markup(page):
    assert {tag for tag, _ in page.elements} == {
        "html", "head", "title", "meta", "style", "body", "header", "h1", "p", "main", "section", "h2", "div",
        "figure", "a", "img", "figcaption", "script"}
    for name in [*NASTY, "<b>Title</b> & 'co'", "sub <i>title</i>"]:
        assert name in page.text
    assert [image["alt"] for image in page.all("img")][::2] == NASTY


def test_every_link_leads_to_its_file(page, tmp_path):
    for tag, attribute in [("img", "src"), ("a", "href")]:
        found = [file_behind(element[attribute], tmp_path) for element in page.all(tag)]
        assert [path.name for path in found] == [name for name in NASTY for _ in range(2)]
        assert all(path.is_file() for path in found)


def test_nothing_comes_from_elsewhere(page):
    assert page.all("script") == [{}] and not page.all("link")
    source = "".join(re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL))
    assert "://" not in source and "fetch(" not in source


def test_images_have_their_shape_before_they_load(page):
    assert {(image["width"], image["height"], image["loading"]) for image in page.all("img")} == {
        ("512", "256", "lazy")}


def test_name_that_is_no_text_and_image_that_is_none(tmp_path):
    page = ResultsPage(tmp_path, "t")
    name = os.fsdecode(b"bytes\xff.png")
    (tmp_path / name).write_bytes(b"not an image")
    read = Page(page.save([page.row(name, [(name, name), ("missing", "missing.png")])], 1))
    assert file_behind(read.all("img")[0]["src"], tmp_path).is_file()
    assert "bytes?.png" in read.text
    assert "width" not in read.all("img")[0]


def test_the_page_reloads_only_on_request(tmp_path):
    assert not any("http-equiv" in m for m in Page(ResultsPage(tmp_path, "t").save([], 0)).all("meta"))
    meta = Page(ResultsPage(tmp_path, "t", refresh_seconds=30).save([], 0)).all("meta")
    assert {"http-equiv": "refresh", "content": "30"} in meta


def test_thousands_of_rows(tmp_path):
    began = time.perf_counter()
    page = ResultsPage(tmp_path, "many")
    rows = (page.row(f"image {i}", [(label, f"images/{label}/{i}.png") for label in ("real_A", "fake_B")])
            for i in range(3000))
    assert len(Page(page.save(rows, 3000)).all("section")) == 3000
    assert time.perf_counter() - began < 15


def test_a_long_page_goes_on_in_others(tmp_path, monkeypatch):
    monkeypatch.setattr("util.loggers.html.ROWS", 3)
    page = ResultsPage(tmp_path, "many")
    for count, expected in ((8, [[0, 1, 2], [3, 4, 5], [6, 7]]), (4, [[0, 1, 2], [3]]), (3, [[0, 1, 2]])):
        first = page.save((page.row(str(i), []) for i in range(count)), count)
        files = [first, *sorted(tmp_path.glob("index_*.html"))]     # those of a longer page are gone
        pages = [Page(path) for path in files]
        assert [[int(row["data-name"]) for row in one.all("section")] for one in pages] == expected
        links = [[link["href"] for link in one.all("a")] for one in pages]
        assert all((tmp_path / link).is_file() for found in links for link in found)
        assert "index_2.html" in links[0] if count > 3 else links == [[]]
