"""The demo's table and page on made-up images whose scores are known."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "reports" / "demo_report.py"
ODD_NAME = "100% <b>&#'\" é.png"


def report(folder: Path, *flags: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, folder, *flags], capture_output=True, text=True)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two truths; the output is off by one level, the input is 255 minus the truth."""
    folder = tmp_path / "run" / "test_latest"
    generator = np.random.default_rng(0)
    for name in ("a.png", ODD_NAME):
        truth = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        for column, image in ("real_B", truth), ("fake_B", truth + np.uint8(1)), ("real_A", 255 - truth):
            (folder / "images" / column).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / "images" / column / name)
    return folder


def test_table_holds_the_scores(results):
    done = report(results)
    assert done.returncode == 0, done.stderr
    rows = {line[:4]: line.split("  ") for line in done.stdout.splitlines()}
    psnr = [cell.strip() for cell in rows["PSNR"] if cell.strip()]
    assert psnr[2] == "48.13"                                        # 20 log10(255): one level everywhere
    assert float(psnr[1]) < 10
    ssim = [cell.strip() for cell in rows["SSIM"] if cell.strip()]
    assert float(ssim[1]) < 0 and float(ssim[2]) > 0.99
    assert "sliced Wasserstein" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(str(results / "report.html"))


def test_page_shows_every_image_and_its_links_work(results):
    report(results)
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "100% &lt;b&gt;&amp;#" in page
    assert page.count("<img") == 2 * 3
    assert "images/fake_B/100%25%20%3Cb%3E%26%23%27%22%20%C3%A9.png" in page
    assert page.count("48.13") == 1


def test_sheet_has_a_row_for_each_column(results, tmp_path):
    assert report(results, "--sheet", tmp_path / "sheet.png").returncode == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 16 + 4, 3 * 16 + 2 * 4)
        rows = [np.asarray(sheet, dtype=int)[top:top + 16, :16] for top in (0, 20, 40)]
    assert np.all(rows[1] == rows[2] + 1) and np.all(rows[0] == 255 - rows[2])


@pytest.mark.parametrize(("remove", "message"), [
    ("images/fake_B/a.png", "a.png is not in both fake_B and real_B"),
    ("images/real_B/a.png", "a.png is not in both real_A and real_B"),
])
def test_images_must_be_paired(results, remove, message):
    (results / remove).unlink()
    done = report(results)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert not (results / "report.html").exists()


def test_sizes_must_agree(results):
    Image.new("RGB", (20, 16)).save(results / "images" / "fake_B" / "a.png")
    done = report(results)
    assert done.returncode == 2 and "another size in fake_B than in real_B" in done.stderr


def test_images_too_small_for_a_metric_are_named(results):
    for column in ("real_A", "fake_B", "real_B"):
        for path in (results / "images" / column).iterdir():
            Image.new("RGB", (9, 12)).save(path)
    done = report(results)
    assert done.returncode == 2 and "SSIM cannot be computed" in done.stderr
    assert "at least 11 x 11 pixels, not 9 x 12" in done.stderr and done.stderr.count("\n") == 1


def test_a_folder_without_images_is_named(tmp_path):
    done = report(tmp_path)
    assert done.returncode == 2 and f"no PNG images in {tmp_path}/images/real_A" in done.stderr
