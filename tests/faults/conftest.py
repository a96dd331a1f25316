"""Images, a training that nothing disturbed, and the table at the end."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults import table
from tests.faults.trainings import SHORT, Training


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20,
                     help="how often to kill -9 one training at random moments (tests/faults)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if table.TALLY:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(table.lines()))
    if table.STEPS:
        terminalreporter.section("loggers")
        terminalreporter.write_line("\n".join(table.step_lines()))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six and five images of noise, 40 pixels a side, and three to translate."""
    return paint(tmp_path_factory.mktemp("images"))


@pytest.fixture
def own_images(tmp_path: Path) -> Path:
    """The same, for a test that spoils them."""
    return paint(tmp_path / "images")


def paint(root: Path) -> Path:
    random = np.random.default_rng(0)
    for side, count in (("trainA", 6), ("trainB", 5), ("testA", 3)):
        (root / side).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / side / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Training:
    """A small CUT, four epochs of six steps, that ran through."""
    training = Training(tmp_path_factory.mktemp("undisturbed"), images, SHORT)
    assert training.run().end() == 0
    return training


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True)
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
