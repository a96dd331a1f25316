"""scripts/slurm on a stand-in for Slurm, with real trainings: jobs of few steps, chained and killed.

The cluster's clock goes by steps: a step done is a minute, whatever the machine does besides.
"""

import contextlib
import random
import socket
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

ROOT = Path(__file__).resolve().parents[2]
CHAIN = ROOT / "scripts" / "slurm" / "chain.sbatch"


class ChainedTraining(Training):
    """The training of `undisturbed` (24 steps), as jobs of a cluster."""

    def __init__(self, folder: Path, data: Path):
        super().__init__(folder / "checkpoints", data, SHORT)
        self.cluster = Cluster(folder / "cluster", self.rows, free_number())
        self.here = folder

    def submit(self, *typed: str, flags: tuple[str, ...] = ()):
        """A job's end, after all its starts."""
        (self.here / "train.py").unlink(missing_ok=True)
        (self.here / "train.py").symlink_to(ROOT / "train.py")
        where = ("--dataroot", self.data, "--checkpoints_dir", self._checkpoints, "--name", self.name)
        done = self.cluster.submit(*typed, CHAIN, *where, *self._flags, *flags, cwd=self.here)
        assert done.returncode == 0, done.stderr
        return self.cluster.run()


def free_number() -> int:
    """A job's number that gives a port which nobody uses: the scripts add it to 20000."""
    for number in random.sample(range(1, 10000), 100):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", 20000 + number))
            return number
    raise OSError("no port is free")


@pytest.fixture
def chained(tmp_path: Path, images: Path) -> ChainedTraining:
    return ChainedTraining(tmp_path, images)


def test_chain_of_jobs(chained: ChainedTraining, undisturbed: Training) -> None:
    """Warned five minutes before the end of 13: each job does eight steps, or a few more."""
    with tally("Slurm: time limit, chained jobs"):
        job = chained.submit("--time=00:13:00")
        said = chained.cluster.output(job)
        assert job.codes[-1] == 0 and 2 <= len(job.codes) <= 3, said[-3000:]
        assert said.count("SIGUSR1: ends; kept is epoch") == len(job.codes) - 1
        assert said.count("starts at epoch 1 from random weights") == 1
        assert_equal(chained, undisturbed)


def test_limit_before_the_warning(chained: ChainedTraining, undisturbed: Training) -> None:
    """Killed -9 without a word; the same command, given again, goes on with the last save."""
    with tally("Slurm: kill -9 at the limit, submitted again"):
        job = chained.submit("--time=00:07:00", "--signal=B:USR1@0")
        assert job.codes == [-9] and 4 <= chained.rows() < 20
        again = chained.submit("--time=10:00:00")
        assert again.codes == [0]
        assert_equal(chained, undisturbed)


def test_error_ends_a_chain(chained: ChainedTraining) -> None:
    with tally("Slurm: a mistake ends the chain"):
        job = chained.submit(flags=("--lr", "0"))
        assert job.codes == [1] and "--lr is 0; it must be above 0" in chained.cluster.output(job)
        assert not chained.folder.exists()


def test_chain_on_two_machines(tmp_path: Path, images: Path) -> None:
    """Two ranks on two nodes, six images in three steps: equal to two ranks that nothing disturbed."""
    flags = ("--batch_size", "2")
    with tally("Slurm: time limit, two machines"):
        whole, parts = (ChainedTraining(tmp_path / name, images) for name in ("whole", "parts"))
        assert whole.submit("--nodes=2", flags=flags).codes == [0]
        job = parts.submit("--nodes=2", "--time=00:12:00", flags=flags)
        said = parts.cluster.output(job)
        assert len(job.codes) == 2 and job.codes[-1] == 0, said[-3000:]
        assert said.count("SIGUSR1: ends; kept is epoch") == 1 and "2 ranks train one model" in said
        assert_equal(parts, whole)
