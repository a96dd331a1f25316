import re

import numpy as np
import pytest

from util.loggers.gallery import Gallery

IMAGES = {"real_A": np.zeros((8, 8, 3), np.uint8), "fake_B": np.full((8, 8, 1), 9, np.uint8)}


@pytest.fixture
def web(tmp_path):
    return tmp_path / "web"


def rows(web) -> list[tuple[str, list[str]]]:
    sections = (web / "index.html").read_text().split("<section>")[1:]
    return [(re.search("<h2>(.*?)</h2>", s)[1], re.findall('src="images/(.*?)"', s)) for s in sections]


def row(epoch: int, *labels: str) -> tuple[str, list[str]]:
    return f"epoch {epoch}", [f"epoch{epoch:03d}_{label}.png" for label in labels]


def test_one_row_an_epoch_newest_first_in_the_models_order(web):
    gallery = Gallery(web, "t", 64)
    for epoch in (1, 1, 2, 10):
        gallery.save(epoch, IMAGES, "")
    assert rows(web) == [row(10, "real_A", "fake_B"), row(2, "real_A", "fake_B"), row(1, "real_A", "fake_B")]
    assert (web / "images/epoch010_fake_B.png").is_file()


def test_a_resumed_run_keeps_earlier_rows_and_shows_no_later_ones(web):
    first = Gallery(web, "t", 64)
    for epoch in (1, 2, 3):
        first.save(epoch, IMAGES, "")
    Gallery(web, "t", 64).save(2, IMAGES, "")
    assert rows(web) == [row(2, "real_A", "fake_B"), row(1, "real_A", "fake_B")]


def test_only_images_that_exist(web):
    gallery = Gallery(web, "t", 64)
    gallery.save(1, IMAGES, "")
    (web / "images/epoch001_real_A.png").unlink()
    (web / "images/unrelated.png").write_bytes(b"")
    gallery.save(2, IMAGES, "")
    assert rows(web)[1] == row(1, "fake_B")


def test_images_of_another_model_leave_the_row_that_is_drawn_again(web):
    Gallery(web, "t", 64).save(1, IMAGES | {"idt_B": IMAGES["real_A"]}, "")
    Gallery(web, "t", 64).save(1, IMAGES, "")
    assert rows(web) == [row(1, "real_A", "fake_B")]


def test_the_page_of_a_finished_run_no_longer_reloads(web):
    gallery = Gallery(web, "t", 64)
    gallery.save(1, IMAGES, "")
    assert 'http-equiv="refresh"' in (web / "index.html").read_text()
    gallery.close()
    assert 'http-equiv="refresh"' not in (web / "index.html").read_text()


def test_a_run_that_saved_nothing_leaves_no_page(web):
    Gallery(web, "t", 64).close()
    assert not web.exists()
