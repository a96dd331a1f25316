import math
import re
from argparse import Namespace

import numpy as np
import pytest

from util.loggers.gallery import Gallery, open_gallery
from util.runtime.progress import Progress

IMAGES = {"real_A": np.zeros((8, 8, 3), np.uint8), "fake_B": np.full((8, 8, 1), 9, np.uint8)}


@pytest.fixture
def web(tmp_path):
    return tmp_path / "web"


def at(epoch: int) -> Progress:
    return Progress(first_epoch=epoch, last_epoch=99)


def rows(web) -> list[tuple[str, list[str]]]:
    sections = (web / "index.html").read_text().split("<section>")[1:]
    return [(re.search("<h2>(.*?)</h2>", s)[1], re.findall('src="images/(.*?)"', s)) for s in sections]


def row(epoch: int, *labels: str) -> tuple[str, list[str]]:
    return f"epoch {epoch}", [f"epoch{epoch:03d}_{label}.png" for label in labels]


def test_one_row_an_epoch_newest_first_in_the_models_order(web):
    gallery = Gallery(web, "t", 64)
    for epoch in (1, 1, 2, 10):
        gallery.images(at(epoch), IMAGES, "")
    assert rows(web) == [row(10, "real_A", "fake_B"), row(2, "real_A", "fake_B"), row(1, "real_A", "fake_B")]
    assert (web / "images/epoch010_fake_B.png").is_file()


def test_a_resumed_run_keeps_earlier_rows_and_shows_no_later_ones(web):
    first = Gallery(web, "t", 64)
    for epoch in (1, 2, 3):
        first.images(at(epoch), IMAGES, "")
    Gallery(web, "t", 64).images(at(2), IMAGES, "")
    assert rows(web) == [row(2, "real_A", "fake_B"), row(1, "real_A", "fake_B")]


def test_only_images_that_exist(web):
    gallery = Gallery(web, "t", 64)
    gallery.images(at(1), IMAGES, "")
    (web / "images/epoch001_real_A.png").unlink()
    (web / "images/unrelated.png").write_bytes(b"")
    gallery.images(at(2), IMAGES, "")
    assert rows(web)[1] == row(1, "fake_B")


def test_images_of_another_model_leave_the_row_that_is_drawn_again(web):
    Gallery(web, "t", 64).images(at(1), IMAGES | {"idt_B": IMAGES["real_A"]}, "")
    Gallery(web, "t", 64).images(at(1), IMAGES, "")
    assert rows(web) == [row(1, "real_A", "fake_B")]


def test_the_page_of_a_finished_run_no_longer_reloads(web):
    gallery = Gallery(web, "t", 64)
    gallery.images(at(1), IMAGES, "")
    assert 'http-equiv="refresh"' in (web / "index.html").read_text()
    gallery.close()
    assert 'http-equiv="refresh"' not in (web / "index.html").read_text()


def test_a_run_that_saved_nothing_leaves_no_page(web):
    Gallery(web, "t", 64).close()
    assert not web.exists()


def test_curves_of_the_scores_stand_above_the_images(web):
    gallery, step = Gallery(web, "t", 64), at(1)
    gallery.start(step, [(2, {"loss/G": 1.0}), (4, {"score/swd": 3.0, "score/kid": math.nan})])
    step.advance(8)
    gallery.scalars(step, {"score/swd": 2.0, "score/kid": math.nan, "count/fake": 5})
    gallery.scalars(step, {"loss/G": 1.0, "lr": 0.1})
    gallery.images(step, IMAGES, "")
    svg = (web / "evaluation.svg").read_text()
    assert svg.count("<circle") == 2 and ">swd<" in svg and ">kid<" in svg and ">G<" not in svg
    page = (web / "index.html").read_text()
    assert page.index("evaluation.svg") < page.index("epoch001")


def test_curves_of_another_run_go(web):
    step = at(1)
    step.advance(8)
    Gallery(web, "t", 64).scalars(step, {"score/swd": 1.0})
    assert (web / "evaluation.svg").exists()
    Gallery(web, "t", 64).start(at(1), [])
    assert not (web / "evaluation.svg").exists()


def test_no_html_is_no_gallery(tmp_path):
    opt = Namespace(no_html=False, name="run", display_winsize=64)
    assert open_gallery(opt, tmp_path).folder == tmp_path / "web"
    assert open_gallery(Namespace(no_html=True), tmp_path) is None
