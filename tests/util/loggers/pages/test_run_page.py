"""The page of a run: status, curves, test images, folds, checkpoints; and in a real browser."""

import contextlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.browser import ask, needs_chromium
from util.loggers.gallery import Gallery
from util.runtime.progress import Progress

NASTY = "</script><b>\"x\" & 'y'"


def at(epoch: int, images: int = 0, last: int = 400) -> Progress:
    step = Progress(first_epoch=epoch, last_epoch=last, images_per_epoch=100)
    step.advance(100 * (epoch - 1) + images)
    step.epoch_images = images
    return step


def picture(level: int) -> np.ndarray:
    return np.full((8, 12, 3), level, np.uint8)


def fixed(level: int) -> dict[str, dict[str, np.ndarray]]:
    return {name: {"real_A": picture(9), "fake_B": picture(level), "fake_B_ema": picture(level + 1)}
            for name in ("a/1", "two & <three>")}


@pytest.fixture
def folder(tmp_path) -> Path:
    record = {"options": {"name": NASTY, "lr": 2e-4}, "command": ["python", "train.py", "--name", NASTY],
              "versions": {"torch": "2"}, "device": "CPU", "git_commit": "abc"}
    (tmp_path / "opt.json").write_text(json.dumps(record))
    for name in ("latest_net_G.pth", "best_net_G.pth", "10_net_G.pth", "9_net_F.pth", "_net_.pth"):
        (tmp_path / name).touch()
    return tmp_path


def report(folder: Path, epochs: int, rows_an_epoch: int = 1) -> Gallery:
    """A run of so many epochs that ends in the middle of the last one."""
    gallery = Gallery(folder / "web", f"Training of {NASTY}", 64)
    gallery.start(at(1), [])
    for epoch in range(1, epochs + 1):
        for row in range(1, rows_an_epoch + 1):
            step = at(epoch, row * 50 // rows_an_epoch)
            gallery.scalars(step, {"loss/G": 1 / epoch, "loss/D_real": 0.25, "lr": 2e-4,
                                   "seconds/compute": 0.4, "seconds/data": 0.1})
        gallery.scalars(at(epoch, 50), {"score/kid": 300.0 - epoch, "score/kid_ema": 250.0 + epoch,
                                        "score/psnr": 10.0 + epoch, "count/fake": 5})
    return gallery


def short(folder: Path) -> Path:
    gallery = report(folder, 5)
    for epoch in range(1, 6):
        gallery.images(at(epoch, 50), {"real_A": picture(20), "fake_B": picture(40 * epoch)}, "")
        gallery.fixed_images(at(epoch, 50), fixed(40 * epoch))
    return folder / "web" / "index.html"


def test_the_status_says_where_the_run_stands(folder):
    page = short(folder).read_text()
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert told["epoch"] == "5 of 400" and told["images seen"] == "450" and told["images/s"] == "2"
    # The first of 450 images at 300 - 5; averages are worse later; PSNR is better when higher.
    assert told["best kid"] == "295 <small>at image 450</small>"
    assert told["best kid_ema"] == "251 <small>at image 50</small>"
    assert told["best psnr"] == "15 <small>at image 450</small>"
    assert "time left" in told


def test_the_time_left_follows_from_the_images_so_far(folder, monkeypatch):
    """100 images in 50 s; 399 epochs of 100 are left, half a second for each image."""
    now = [0.0]
    monkeypatch.setattr("util.loggers.gallery.time.monotonic", lambda: now[0])
    gallery = Gallery(folder / "web", "t", 64)
    gallery.start(at(1), [])
    now[0] = 50.0
    gallery.scalars(at(2), {"score/kid": 1.0})
    assert "<dt>time left</dt><dd>5 h 32 min</dd>" in (folder / "web" / "index.html").read_text()


def test_numbers_alone_write_the_page_now_and_then(folder, monkeypatch):
    now, written = [1000.0], []
    monkeypatch.setattr("util.loggers.gallery.time.monotonic", lambda: now[0])
    monkeypatch.setattr("util.loggers.gallery.write_page", lambda path, **_: written.append(now[0]))
    gallery = Gallery(folder / "web", "t", 64)
    gallery.start(at(1), [])
    for second in range(100):
        now[0] = 1000.0 + second
        gallery.scalars(at(1, second), {"loss/G": 1.0})
    assert written == [1000.0, 1031.0, 1062.0, 1093.0]


def test_a_full_disk_is_met_once_in_a_while_and_loses_no_number(folder, monkeypatch):
    now, written = [1000.0], []

    def refuse(path, **_):
        written.append(now[0])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("util.loggers.gallery.time.monotonic", lambda: now[0])
    gallery = Gallery(folder / "web", "t", 64)
    gallery.start(at(1), [])
    with monkeypatch.context() as full:
        full.setattr("util.loggers.gallery.write_page", refuse)
        for second in range(40):
            now[0] = 1000.0 + second
            with contextlib.suppress(OSError):
                gallery.scalars(at(1, second), {"loss/G": float(second)})
    gallery.close()
    page = (folder / "web" / "index.html").read_text()
    assert written == [1000.0, 1031.0] and page.count("[39,39.0]") == 1 and page.count("[5,5.0]") == 1


def test_links_lead_to_checkpoints_and_names_are_text(folder):
    page = short(folder).read_text()
    links = re.findall(r'href="\.\./(.*?)"', page)
    assert links == ["latest_net_G.pth", "best_net_G.pth", "10_net_G.pth", "9_net_F.pth"]
    assert NASTY not in page and "<b>" not in page and page.count("</script>") == page.count("<script")
    assert "python train.py --name" in page and "two &amp; &lt;three&gt;" in page
    assert set(re.findall(r"\w+://[^/]+", page)) == {"http://www.w3.org"}      # a name, not a place
    assert "<link" not in page


def test_old_epochs_are_folded_and_the_page_stays_small(folder):
    """400 epochs of 4 images, each reported 50 times: 20,000 rows of numbers."""
    gallery = report(folder, 400, rows_an_epoch=50)
    images = folder / "web" / "images"
    images.mkdir()
    for epoch in range(1, 401):
        for label in ("real_A", "fake_B", "real_B", "idt_B"):
            (images / f"epoch{epoch:03d}_{label}.png").write_bytes(b"")
    gallery.images(at(400, 50), {"real_A": picture(1), "fake_B": picture(2)}, "")
    page = (folder / "web" / "index.html").read_text()
    assert len(page) < 700_000 and page.count('loading="lazy"') == 399 * 4 + 2
    assert page.count('<details id="epochs-') == 20         # 397 rows, 20 in each
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    counts = {panel["title"]: [len(line["points"]) for line in panel["lines"]] for panel in data["panels"]}
    assert counts["kid"] == [400, 400]
    assert all(300 <= count <= 601 for lines in counts.values() for count in lines)
    shown = re.findall(r"<h2>epoch (\d+)</h2>", page)
    assert shown == [str(epoch) for epoch in range(400, 0, -1)]


def test_a_page_that_is_written_again_opens_no_image_of_old_epochs(folder, monkeypatch):
    path, opened = short(folder), []
    gallery = Gallery(path.parent, "t", 64)
    monkeypatch.setattr("util.loggers.html._size", lambda path, height: opened.append(path.name) or {})
    gallery.images(at(6), {"real_A": picture(1), "fake_B": picture(2)}, "")
    assert len([name for name in opened if name.startswith("epoch")]) == 12
    opened.clear()
    gallery.images(at(7), {"real_A": picture(1), "fake_B": picture(2)}, "")
    assert [name for name in opened if name.startswith("epoch")] == ["epoch007_real_A.png",
                                                                     "epoch007_fake_B.png"]


def test_a_broken_record_of_options_leaves_the_page(folder):
    for text in ("{", "[]", "\xff"):
        (folder / "opt.json").write_bytes(text.encode("latin-1"))
        assert "Checkpoints" in short(folder).read_text()


# ---- in a browser

VOID = {"meta", "img", "input", "br"}


class Nesting(HTMLParser):
    """Fails where an element is closed that is not the innermost one."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.ids = [], []
        self.feed(page)
        assert self.open == [] and len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names), (tag, names)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_elements_are_nested_and_ids_are_unique(folder):
    Nesting(short(folder).read_text())


@needs_chromium
def test_curves_are_drawn_and_read_by_mouse_and_keyboard(folder):
    found = ask(short(folder), """
        const named = title => [...document.querySelectorAll(".panel")].find(panel =>
          panel.querySelector("h3").textContent === title);
        const panel = named("kid"), loss = named("G");
        const svg = panel.querySelector("svg"), read = () => panel.querySelector("output").textContent;
        const titles = [...document.querySelectorAll(".panel h3")].map(h => h.textContent);
        const lines = panel.querySelectorAll("polyline.smooth").length, last = read();
        const box = svg.getBoundingClientRect();
        svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 1, clientY: box.top + 5}));
        const first = read();
        svg.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
        const second = read();
        const smoothing = document.getElementById("smoothing");
        const before = loss.querySelector(".smooth").outerHTML;
        smoothing.value = 0; smoothing.dispatchEvent(new Event("input"));
        return {titles, lines, last, first, second, raw: loss.querySelectorAll(".raw").length, errors,
                changed: before !== loss.querySelector(".smooth").outerHTML,
                loss: loss.querySelector("output").textContent};""")
    assert found["errors"] == []
    assert found["titles"] == ["kid", "psnr", "G", "D_real", "learning rate", "images per second"]
    assert found["lines"] == 2 and found["last"] == "last: kid 295, kid_ema 255"
    assert found["first"] == "image 50: kid 299, kid_ema 251"
    assert found["second"] == "image 150: kid 298, kid_ema 252"
    assert found["changed"] and found["raw"] == 0 and found["loss"] == "last: 0.2"


@needs_chromium
def test_the_slider_shows_the_test_images_of_every_moment(folder):
    found = ask(short(folder), """
        const image = document.querySelector("#fixed .after"), moment = document.getElementById("moment");
        const newest = image.getAttribute("src");
        moment.value = 0; moment.dispatchEvent(new Event("input"));
        const after = document.getElementById("after");
        after.value = "fake_B_ema"; after.dispatchEvent(new Event("change"));
        const images = [...document.querySelectorAll("#fixed img")];
        for (const one of images) { one.loading = "eager"; await one.decode(); }
        const divide = document.querySelector("#fixed .compare input");
        divide.value = 20; divide.dispatchEvent(new Event("input", {bubbles: true}));
        return {newest, first: image.getAttribute("src"), seen: document.getElementById("seen").textContent,
                loaded: images.every(one => one.naturalWidth === 12), errors,
                at: image.parentElement.style.getPropertyValue("--at")};""")
    assert found == {"newest": "fixed/a/1/fake_B_000000450.png",
                     "first": "fixed/a/1/fake_B_ema_000000050.png", "seen": "50", "loaded": True,
                     "at": "20%", "errors": []}


@needs_chromium
def test_an_image_opens_at_full_size_and_keys_go_on(folder):
    found = ask(short(folder), """
        const links = document.querySelectorAll("main figure > a");
        links[1].click();
        const dialog = document.querySelector("dialog"), told = () => dialog.querySelector("p").textContent;
        const source = dialog.querySelector(".after").getAttribute("src").split("/").pop();
        const opened = [dialog.open, told(), source];
        dialog.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
        const next = told();
        dialog.querySelector("button").click();
        for (let turn = 0; turn < 60 && document.activeElement !== links[2]; turn++)  // it comes later
          await new Promise(done => setTimeout(done, 50));
        return {opened, next, closed: dialog.open, focus: document.activeElement === links[2], errors};""")
    assert found == {"opened": [True, "epoch 5: fake_B", "epoch005_fake_B.png"], "next": "epoch 4: real_A",
                     "closed": False, "focus": True, "errors": []}


@needs_chromium
@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_screen(folder, width):
    found = ask(short(folder), """
        for (const fold of document.querySelectorAll("details")) fold.open = true;
        return [document.documentElement.scrollWidth, window.innerWidth];""", width=width)
    assert found[0] <= found[1]


@needs_chromium
def test_a_reload_keeps_what_is_open_chosen_and_in_view(folder):
    """It really reloads, once: the second time the page tells what it finds, without having touched it."""
    page = short(folder)
    page.write_text(page.read_text().replace('data-reload="30"', 'data-reload="1"'))
    found = ask(page, """
        const row = [...document.querySelectorAll("section")].find(one =>
          one.querySelector("h2").textContent === "epoch 5");
        const moment = document.getElementById("moment"), options = document.getElementById("options");
        const top = () => Math.round(row.getBoundingClientRect().top);
        const before = sessionStorage.getItem("before");
        if (!before) {
          options.open = true;
          moment.value = 1;
          moment.dispatchEvent(new Event("input"));
          moment.focus({preventScroll: true});
          window.scrollBy(0, top() - 200);
          sessionStorage.setItem("before", top());
          await new Promise(() => {});              // until it reloads
        }
        const focus = document.activeElement.id;
        document.querySelector("dialog").showModal();       // it waits from now on
        return {before: Number(before), top: top(), open: options.open, moment: moment.value,
                scroll: window.scrollY,
                source: document.querySelector("#fixed .after").getAttribute("src"), focus, errors};""")
    assert found.pop("before") == found.pop("top") and found.pop("scroll") > 200
    assert found == {"open": True, "moment": "1", "source": "fixed/a/1/fake_B_000000150.png",
                     "focus": "moment", "errors": []}


@needs_chromium
def test_a_slider_at_the_newest_stays_at_the_newest(folder):
    """What a reload finds has one moment more than what it left."""
    state = {"folds": {}, "values": {"moment": "3"}, "newest": True, "focus": "", "scroll": 0}
    kept = json.dumps(json.dumps(state))
    extra = f"<script>sessionStorage.setItem('page ' + location.pathname, {kept})</script>"
    assert ask(short(folder), "return document.getElementById('moment').value", extra=extra) == "4"
