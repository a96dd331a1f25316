"""Translated images on disk: one file for each, whatever their names."""

import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.result_files import FileNames
from tests.browser import ask, needs_chromium
from util.loggers.results import Results, changes


def shade(value: float) -> torch.Tensor:
    return torch.full((1, 3, 4, 6), value)


class NamedResults(Results):
    """Results whose names are made free, and whose record is begun, as test.py does it."""

    free, given = None, ()

    def named(self, names: Sequence[str]) -> list[str]:
        if self.free is None:
            self.free, self.given = FileNames(), []
            self.record.begin({}, keep=False)
        free = [self.free.free(name) for name in names]
        self.given += free
        return free

    def save(self) -> Path:
        return super().save(self.given)


def add(results: NamedResults, *names: str) -> None:
    """One minibatch whose images become lighter and lighter."""
    first = len(results)
    images = torch.cat([shade(-1 + 2 * (first + i) / 255) for i in range(len(names))])
    results.add(results.named(names), {"real_A": images, "fake_B": -images})


def files(folder: Path, label: str = "real_A") -> dict[str, int]:
    """The gray value of each image, by its path."""
    base = folder / "images" / label
    return {p.relative_to(base).as_posix(): int(np.asarray(Image.open(p))[0, 0, 0])
            for p in base.rglob("*.png")}


def files_of(tmp_path: Path) -> list[Path]:
    base = tmp_path / "out" / "images" / "real_A"
    return [p.relative_to(base) for p in base.rglob("*") if p.is_file()]


def make(tmp_path: Path) -> NamedResults:
    return NamedResults(tmp_path / "out", "title", "subtitle", image_height=64)


def test_every_image_keeps_its_name_and_folder(tmp_path):
    results = make(tmp_path)
    add(results, "a", "sub/a", "sub/deeper/b c")
    results.save()
    assert files(tmp_path / "out") == {"a.png": 0, "sub/a.png": 1, "sub/deeper/b c.png": 2}
    assert files(tmp_path / "out", "fake_B")["a.png"] == 255
    assert len(results) == 3


def test_equal_names_are_told_apart_by_a_number(tmp_path):
    """a.jpg and a.png lie side by side, and one image is called what the second would become."""
    results = make(tmp_path)
    add(results, "a", "a_2", "a")
    add(results, "a")
    results.save()
    assert files(tmp_path / "out") == {"a.png": 0, "a_2.png": 1, "a_3.png": 2, "a_4.png": 3}


def test_an_image_and_a_folder_of_one_name_are_no_trouble(tmp_path):
    results = make(tmp_path)
    add(results, "a", "a/a")
    results.save()
    assert files(tmp_path / "out") == {"a.png": 0, "a/a.png": 1}


def test_a_folder_that_is_called_like_a_file(tmp_path):
    """Of the data, a.jpg and b.jpg, and folders a.png and b.png: files and folders of the results meet."""
    results = make(tmp_path)
    add(results, "a", "a.png/x", "b.png/y", "b", "a.png/x")
    results.save()
    assert {p.as_posix() for p in files_of(tmp_path)} == {"a.png", "a.png_2/x.png", "b.png/y.png", "b_2.png",
                                                          "a.png_2/x_2.png"}


def test_the_page_links_every_image_in_a_row(tmp_path):
    results = make(tmp_path)
    add(results, "a", "a", "sub/x y")
    page = results.save()
    links = re.findall(r'<img[^>]* src="([^"]+)"', Path(page).read_text())
    assert len(links) == 6
    assert all((Path(page).parent / link.replace("%20", " ")).is_file() for link in links)


def test_more_images_than_may_wait(tmp_path):
    results = make(tmp_path)
    for i in range(100):
        add(results, f"{i:03d}")
    page = results.save()
    assert files(tmp_path / "out") == {f"{i:03d}.png": i for i in range(100)}
    assert re.findall(r"<h2>(\d+)</h2>", page.read_text()) == [f"{i:03d}" for i in range(100)]


def test_an_image_that_cannot_be_written_is_no_silent_loss(tmp_path):
    results = make(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").write_text("in the way")
    with pytest.raises(OSError):
        add(results, "a")
        results.save()


def test_change_is_the_mean_difference_from_the_input():
    real, fake = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    fake[0, 0] = 12, 0, 240         # 252 over twelve numbers
    found = changes({"real_A": real, "fake_B": fake, "fake_B_ema": fake[:1], "idt_B": fake})
    assert found == {"change of fake_B": 21.0}
    assert changes({"real_A": fake, "fake_B": real}) == found and changes({"fake_B": fake}) == {}


@needs_chromium
def test_results_are_searched_ordered_and_compared(tmp_path):
    results = make(tmp_path)
    add(results, "cat one", "sub/dog", "cat two")       # shades 0, 1, 2 become 255, 254, 253
    found = ask(results.save(), """
        const rows = () => [...document.querySelectorAll("main > section:not([hidden]) h2")].map(title =>
          title.textContent);
        const type = (id, value, kind) => {
          document.getElementById(id).value = value;
          document.getElementById(id).dispatchEvent(new Event(kind));
        };
        const all = rows();
        type("order", "+change of fake_B", "change");
        const lowest = rows();
        type("search", "two CAT", "input");
        const words = rows(), count = document.querySelector(".controls output").textContent;
        type("search", "", "input");
        type("order", "", "change");
        document.querySelectorAll("main figure > a")[1].click();
        const dialog = document.querySelector("dialog"), divider = dialog.querySelector("input");
        divider.value = 30;
        divider.dispatchEvent(new Event("input", {bubbles: true}));
        const images = [...dialog.querySelectorAll("img")];
        for (const image of images) await image.decode();
        const box = images[1].getBoundingClientRect();
        return {all, lowest, words, count, again: rows(), divided: getComputedStyle(images[1]).clipPath,
                shown: images.map(image => image.getAttribute("src").split("/images/")[1]),
                large: box.width > 300 && box.right <= innerWidth && box.bottom <= innerHeight, errors};""")
    assert found == {"all": ["cat one", "sub/dog", "cat two"], "lowest": ["cat two", "sub/dog", "cat one"],
                     "words": ["cat two"], "count": "1 of 3", "again": ["cat one", "sub/dog", "cat two"],
                     "divided": "inset(0px 0px 0px 30%)", "large": True, "errors": [],
                     "shown": ["real_A/cat%20one.png", "fake_B/cat%20one.png"]}


# ---- many images

def test_rows_are_not_kept_in_memory(tmp_path):
    """From row 200 on, 1,800 more take less than 100 bytes each: less than their names alone."""
    results, images = make(tmp_path), {"real_A": shade(0), "fake_B": shade(1)}
    names = results.named([f"{number:06d}" for number in range(2000)])
    tracemalloc.start()
    for number, name in enumerate(names):
        results.add([name], images)
        if number == 200:
            before = tracemalloc.get_traced_memory()[0]
    while results._rows:
        results._finish_row()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1800 * 100
    assert (tmp_path / "out" / "record" / "done_0.jsonl").read_bytes().count(b"\n") == 2000


def test_large_images_do_not_pile_up(tmp_path, monkeypatch):
    """With writers that wait, no more than WAITING_BYTES of images and one row more are held."""
    monkeypatch.setattr("util.loggers.results.WAITING_BYTES", 10 * 24 * 3)
    results, held = make(tmp_path), []
    for number in range(40):
        results.add(results.named([f"{number}"]), {"real_A": shade(0)})     # 4 x 6 x 3 bytes
        held.append(sum(row.waits for row in results._rows))
    results.save()
    assert max(held) <= 10 * 24 * 3
