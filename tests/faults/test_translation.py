"""kill -9, and a full disk, in a translation: what is done is whole, and --skip_existing goes on."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.programs import Program
from tests.faults.table import tally
from tests.test_translation import make_run

IMAGES = 60


class Translation:
    """Translations of the same images with the same weights, into a folder of their own."""

    def __init__(self, source: Path, results: Path):
        self._source, self.results, self._starts = source, results, 0
        self.folder = results / "run" / "test_latest"

    def start(self, *flags: str, trap: tuple = ()) -> Program:
        self._starts += 1
        log = self._source / f"{self.results.name}_{self._starts}"
        return Program("test.py", [
            "--name", "run", "--checkpoints_dir", str(self._source), "--results_dir", str(self.results),
            "--dataroot", str(self._source / "photos"), "--gpu_ids", "-1", "--num_threads", "1",
            "--preprocess", "none", *flags], log, trap)

    def run(self, *flags: str, trap: tuple = ()) -> Program:
        program = self.start(*flags, trap=trap)
        program.end()
        return program

    def fakes(self) -> int:
        return len(list(self.folder.glob("images/fake_B/*.png")))

    def content(self) -> dict[str, bytes]:
        """Every image and the page; names that begin with a dot are what writers leave."""
        return {path.relative_to(self.folder).as_posix(): path.read_bytes()
                for path in self.folder.rglob("*") if path.is_file() and path.parent.name != "record"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and images of noise."""
    folder = tmp_path_factory.mktemp("source")
    make_run(folder)
    (folder / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def whole(source: Path) -> dict[str, bytes]:
    """What an undisturbed translation makes."""
    translation = Translation(source, source / "whole")
    assert translation.run().end() == 0
    assert len(translation.content()) == 2 * IMAGES + 1
    return translation.content()


def assert_part_of(found: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """Every image that has its name is the right one, from end to end."""
    for name, content in found.items():
        if not Path(name).name.startswith("."):
            Image.open(io.BytesIO(content)).load()
            assert content == whole[name], name


def test_killed_again_and_again(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    translation = Translation(source, tmp_path)
    with tally("kill -9 in a translation", 3):
        for goal in (5, 25, 45):
            program = translation.start("--skip_existing")
            assert program.until(lambda goal=goal: translation.fakes() >= goal), program.err
            program.kill()
            assert_part_of(translation.content(), whole)
        program = translation.run("--skip_existing")
        assert program.end() == 0, program.err
        said = program.out.split("--skip_existing: ")[1].split(" of ")[0]
        assert 35 <= int(said) <= IMAGES
        assert translation.content() == whole


def test_killed_while_a_file_is_written(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """Only images are longer than 9,000 bytes."""
    translation = Translation(source, tmp_path)
    with tally("kill -9 in writing an image"):
        assert translation.run("--num_threads", "0", trap=("kill_at_size", 9000)).end() < 0
        assert list(translation.folder.rglob(".*.tmp")), "it did not die while it wrote"
        assert_part_of(translation.content(), whole)
        assert translation.run("--skip_existing").end() == 0
        assert translation.content() == whole


def test_full_disk(source: Path, whole: dict[str, bytes], small_disk: Path) -> None:
    translation = Translation(source, small_disk)
    with tally("disk full in a translation"):
        filler = small_disk / "filler"
        filler.write_bytes(bytes(2_400_000))
        program = translation.run()
        assert program.end() == 1
        line, = program.err.splitlines()
        assert "No space left on device" in line and "--skip_existing goes on" in line
        assert 0 < translation.fakes() < IMAGES and not list(translation.folder.rglob(".*"))
        assert_part_of(translation.content(), whole)
        filler.unlink()
        program = translation.run("--skip_existing")
        assert program.end() == 0 and "translated 60 of 60" not in program.out
        assert translation.content() == whole
