"""Trainings on shards: they equal those on folders, and end the same after kill -9 inside an epoch."""

import shutil
from pathlib import Path

import pytest

from tests.data.shards.conftest import pack_all
from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

MODE = [*SHORT, "--dataset_mode", "webdataset"]
WINDOW = [*MODE, "--shards_window", "2", "--batch_size", "2"]
STOPS = (5, 7, 10)      # steps; an epoch has six, or three with a batch of 2


@pytest.fixture(scope="module")
def shards(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images, two in each shard."""
    return pack_all(images, tmp_path_factory.mktemp("shards"), images=2)


@pytest.fixture(scope="module")
def in_windows(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(tmp_path_factory.mktemp("windows"), shards, WINDOW)
    assert training.run().end() == 0
    return training


def kill_and_finish(training: Training, *always: str) -> None:
    for number, stop in enumerate(STOPS):
        program = training.start(*always, resume=number > 0)
        assert program.until(lambda program=program, stop=stop: training.stepped(program, stop)), program.err
        program.kill()
    assert training.run(*always, resume=True).end() == 0


@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_on_shards_it_ends_as_on_folders_undisturbed(
        workers: str, shards: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, shards, [*MODE, "--num_threads", workers])
    with tally("kill -9 while it reads shards", len(STOPS)):
        kill_and_finish(training)
        assert_equal(training, undisturbed)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_in_a_window_of_shards(workers: str, shards: Path, tmp_path: Path,
                                      in_windows: Training) -> None:
    training = Training(tmp_path, shards, [*WINDOW, "--num_threads", workers])
    with tally("kill -9 while it reads shards", len(STOPS)):
        kill_and_finish(training)
        assert_equal(training, in_windows)


def elsewhere(shards: Path, root: Path, source: Path, workers: str) -> Training:
    """One that has the indices and the test images here, and the other shards through commands."""
    pytest.importorskip("webdataset")
    (root / "here").mkdir()
    for path in [*shards.glob("*.idx"), *shards.glob("test*")]:
        shutil.copy(path, root / "here")
    urls = [word for domain in "AB" for word in (
        f"--shards_{domain}", f"pipe:sleep 0.1; cat {source}/train{domain}-{{000000..000002}}.tar")]
    return Training(root / "run", root / "here", [*WINDOW, *urls, "--num_threads", workers])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_shard_that_does_not_come_ends_the_run_which_can_be_resumed(
        workers: str, shards: Path, tmp_path: Path, in_windows: Training) -> None:
    shutil.copytree(shards, tmp_path / "source")
    training = elsewhere(shards, tmp_path, tmp_path / "source", workers)
    lost = tmp_path / "source" / "trainA-000001.tar"
    lost.rename(tmp_path / "lost")
    with tally("a shard that cannot be fetched"):
        program = training.run("--shards_remote")
        assert program.end() == 1, program.err
        lines = [line for line in program.err.splitlines() if not line.startswith("cat: ")]
        assert len(lines) == 1 and lines[0].startswith("train.py: error: the shard pipe:sleep 0.1; cat ")
        assert "trainA-000001.tar cannot be fetched: 0 of" in lines[0]
        (tmp_path / "lost").rename(lost)
        assert training.run("--shards_remote", resume=training.has_state).end() == 0
        assert_equal(training, in_windows)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_while_shards_come_from_elsewhere(workers: str, shards: Path, tmp_path: Path,
                                                 in_windows: Training) -> None:
    """The record of a run names commands, which a resumed run does not start unless it is told to again."""
    training = elsewhere(shards, tmp_path, shards, workers)
    with tally("kill -9 while shards are fetched", len(STOPS)):
        kill_and_finish(training, "--shards_remote")
        assert_equal(training, in_windows)
    refused = training.run("--n_epochs", "9", resume=True)
    assert refused.end() == 2 and "--shards_remote allows to fetch it" in refused.err
