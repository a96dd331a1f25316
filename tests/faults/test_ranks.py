"""Several processes that train one model: what ends one of them ends all, once, and the run can go on."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from data.image_folder import tolerated_bad
from tests.faults.programs import PATIENCE
from tests.faults.ranks import (
    ONCE,
    Ranks,
    environment_of_one_thread,
    free_port,
    rank_number,
    ranks_of,
    torchrun,
)
from tests.faults.table import tally
from tests.faults.test_signals import CODES
from tests.faults.trainings import SHORT, Training, assert_equal

ROOT = Path(__file__).resolve().parents[2]
PAIR = [*SHORT, "--batch_size", "2", "--distributed_timeout", "60"]     # four epochs of three steps
SECONDS = 30        # for all to end; about 2 on a machine that is not busy


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Training:
    """A training on two ranks that ran through."""
    training = Training(tmp_path_factory.mktemp("whole"), images, PAIR)
    assert Ranks(training).end() == [0, 0]
    return training


# ---- a rank ends

def test_a_rank_killed_before_a_save(images: Path, tmp_path: Path) -> None:
    with tally("kill -9 of a rank before anything was saved: no word of going on"):
        ranks = Ranks(Training(tmp_path, images, PAIR), "--n_epochs", "100", "--save_latest_freq", "1000",
                      "--save_epoch_freq", "1000")
        ranks.until_rows(1)
        ranks[1].signal(signal.SIGKILL)
        assert ranks.end() == [1, -9]
        line, = ranks.said
        assert line.endswith("; nothing of this run is saved yet: start it again")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_other(victim: int, images: Path, tmp_path: Path, whole: Training) -> None:
    training = Training(tmp_path, images, PAIR)
    with tally(f"kill -9 of rank {victim} of two: both end, with one line"):
        ranks = Ranks(training, "--n_epochs", "100")
        ranks.until_rows(4)
        ranks[victim].signal(signal.SIGKILL)
        sent = time.monotonic()
        assert sorted(ranks.end()) == [-9, 1]
        assert time.monotonic() - sent < SECONDS
        line, = ranks.said
        assert f"rank {victim}" in line and "ended without a word" in line
        assert "kept is epoch" in line and "--continue_train" in line
        assert Ranks(training, "--n_epochs", "2", resume=True).end() == [0, 0]
        assert_equal(training, whole)


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_to_a_rank_saves_once(asked: int, number: signal.Signals, images: Path, tmp_path: Path,
                                       whole: Training) -> None:
    training = Training(tmp_path, images, [*PAIR, "--save_latest_freq", "1000"])
    with tally(f"{number.name} to rank {asked} of two: saved once"):
        ranks = Ranks(training)
        ranks.until_rows(4)
        ranks[asked].signal(number)
        assert ranks.end() == [CODES[number]] * 2
        assert ranks.said == [] and ranks.out.count(ONCE) == 1
        assert training.kept()["total_steps"] == training.rows()
        assert Ranks(training, "--save_latest_freq", "4", resume=True).end() == [0, 0]
        assert_equal(training, whole)


def test_a_signal_that_is_passed_on_twice_still_saves(images: Path, tmp_path: Path) -> None:
    """A scheduler tells every process, and torchrun tells those it has started."""
    training = Training(tmp_path, images, [*PAIR, "--n_epochs", "100"])
    with tally("SIGTERM to all ranks, twice: saved"):
        ranks = Ranks(training)
        ranks.until_rows(4)
        for _ in range(2):
            for rank in (0, 1):
                ranks[rank].signal(signal.SIGTERM)
        assert ranks.end() == [143, 143]
        assert training.kept()["total_steps"] == training.rows()


def test_a_rank_that_hangs(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*PAIR, "--n_epochs", "100"])
    with tally("a rank hangs: the other ends after --distributed_timeout"):
        ranks = Ranks(training, "--distributed_timeout", "5")
        ranks.until_rows(4)
        ranks[1].signal(signal.SIGSTOP)
        assert ranks[0].end() == 1
        line, = ranks.said
        assert "rank 0 waited for another one in vain" in line and "--distributed_timeout" in line
        ranks[1].signal(signal.SIGCONT)
        assert ranks[1].end() == 1


# ---- an error of one

def test_nan_on_one_rank(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, PAIR)
    with tally("a loss is NaN on one rank: both stop, with one line"):
        ranks = Ranks(training, traps={1: ("break_a_step", 6)})
        assert ranks.end() == [1, 1]
        line, = ranks.said
        assert "NaN" in line and training.kept()["total_steps"] < 6


@pytest.mark.parametrize("rank", [0, 1])
def test_images_that_one_rank_cannot_read(rank: int, images: Path, tmp_path: Path, whole: Training) -> None:
    """Too many bad images: the steps until then are saved."""
    training = Training(tmp_path, images, [*PAIR, "--save_latest_freq", "1000"])
    with tally(f"bad images on rank {rank}: saved by all, exit code 1"):
        ranks = Ranks(training, traps={rank: ("read_no_images", 5)})
        assert ranks.end() == [1, 1]
        bad = [line for line in ranks.said if line.startswith("bad image")]
        line, = set(ranks.said) - set(bad)
        assert "images cannot be read" in line
        assert len(bad) == len(set(bad)) == tolerated_bad(11) + 1
        assert training.kept()["total_steps"] == training.rows() == 4 + tolerated_bad(11)
        assert Ranks(training, "--save_latest_freq", "4", resume=True).end() == [0, 0]
        assert_equal(training, whole)


@pytest.mark.parametrize("rank", [0, 1])
def test_data_worker_of_one_rank_killed(rank: int, images: Path, tmp_path: Path, whole: Training) -> None:
    training = Training(tmp_path, images, [*PAIR, "--num_threads", "1"])
    with tally(f"kill -9 of a data worker of rank {rank}: saved by all, exit code 1"):
        ranks = Ranks(training)
        ranks.until_rows(4)
        os.kill(ranks[rank].workers()[0], signal.SIGKILL)
        assert ranks.end() == [1, 1]
        line, = ranks.said
        assert "was killed (SIGKILL)" in line
        assert training.kept()["total_steps"] == training.rows() >= 4
        assert Ranks(training, "--num_threads", "0", resume=True).end() == [0, 0]
        assert_equal(training, whole)


def test_out_of_memory_on_one_rank(images: Path, tmp_path: Path) -> None:
    with tally("out of memory on one rank: one line with the remedies"):
        ranks = Ranks(Training(tmp_path, images, PAIR), traps={1: ("exhaust_memory", 5)})
        assert ranks.end() == [1, 1]
        line, = ranks.said
        assert "rank 1: out of memory" in line and "a smaller --batch_size" in line


def test_a_fault_of_the_program_on_one_rank(images: Path, tmp_path: Path) -> None:
    with tally("a fault of the program on one rank: its traceback, once"):
        ranks = Ranks(Training(tmp_path, images, PAIR), traps={1: ("fail_in_step", 5)})
        assert ranks.end() == [1, 1]
        said = "\n".join(ranks.said)
        assert said.count("Traceback") == 1 and "ZeroDivisionError" in ranks[1].err
        assert ranks[0].err == "train.py: error: rank 1: met the error above: ZeroDivisionError\n"


# ---- the start

STARTS = {
    "a flag differs": ({"flags": {1: ["--lr", "0.5"]}}, 2, "--lr 0.5, rank 0 with --lr 0.0002"),
    "the program differs": ({"traps": {1: ("have_other_files",)}}, 2, "runs other files of this program"),
    "a flag is wrong on all": ({"flags": {r: ["--lr", "-1"] for r in (0, 1)}}, 2, "--lr is -1"),
    "a flag is wrong on one": ({"flags": {1: ["--lr", "-1"]}}, 2, "rank 1: --lr is -1"),
    "a batch that does not divide": ({"flags": {r: ["--batch_size", "3"] for r in (0, 1)}}, 2,
                                     "--batch_size 3 is of the whole minibatch"),
    "fewer images than ranks": ({"flags": {r: ["--max_dataset_size", "1"] for r in (0, 1)}}, 2,
                                "an epoch has only 1 images"),
    "rank 1 does not come": ({"absent": (1,), "flags": {0: ["--distributed_timeout", "2"]}}, 1,
                             "of 2 ranks 1 did not come within --distributed_timeout 2 s"),
    "rank 0 does not come": ({"absent": (0,), "flags": {1: ["--distributed_timeout", "2"]}}, 1,
                             "rank 1 found no rank 0 at 127.0.0.1"),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_start_that_cannot_be(case: str, images: Path, tmp_path: Path) -> None:
    settings, code, words = STARTS[case]
    training = Training(tmp_path, images, PAIR)
    with tally(f"start of two ranks, {case}: one line"):
        began = time.monotonic()
        ranks = Ranks(training, **settings)
        assert ranks.end() == [code] * len(ranks.programs)
        assert time.monotonic() - began < 2 * SECONDS
        line, = ranks.said
        assert words in line and line.startswith("train.py: error: ")
        assert not training.folder.exists()


def test_port_in_use(images: Path, tmp_path: Path) -> None:
    """By something that takes connections and never answers."""
    with tally("start of two ranks, the port in use: one line each"):
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            port = taken.getsockname()[1]
            ranks = Ranks(Training(tmp_path, images, PAIR), "--distributed_timeout", "5", port=port)
            assert ranks.end() == [1, 1]
        first, second = ranks.said
        assert f"rank 0 cannot listen at 127.0.0.1:{port}" in first and "another MASTER_PORT" in first
        assert f"rank 1 found no rank 0 at 127.0.0.1:{port} within --distributed_timeout 5 s" in second


def test_port_of_another_training(images: Path, tmp_path: Path) -> None:
    with tally("a second training at the port of a first: ended, the first goes on"):
        port = free_port()
        first = Ranks(Training(tmp_path / "first", images, [*PAIR, "--n_epochs", "100"]), port=port)
        first.until_rows(1)
        second = Ranks(Training(tmp_path / "second", images, PAIR), port=port)
        assert second.end() == [1, 1]
        words = ("another MASTER_PORT", f"127.0.0.1:{port} has a rank 1 already")
        assert all(word in line for word, line in zip(words, second.said, strict=True))
        first.until_rows(first.training.rows() + 3)
        first[1].signal(signal.SIGTERM)
        assert first.end() == [143, 143]


def test_a_second_training_of_a_name(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*PAIR, "--n_epochs", "100"])
    with tally("second training of a name, two ranks each: refused"):
        first = Ranks(training)
        first.until_rows(1)
        second = Ranks(training)
        assert second.end() == [2, 2]
        line, = second.said
        assert "another run is going on" in line
        first[1].signal(signal.SIGTERM)
        assert first.end() == [143, 143]


# ---- launchers

def test_ctrl_c_to_the_launcher(images: Path, tmp_path: Path, whole: Training) -> None:
    training = Training(tmp_path, images, PAIR)
    with tally("Ctrl-C to train.py --ranks 2: saved once"):
        program = training.start("--ranks", "2", trap=("be_a_command",))
        assert program.until(lambda: training.stepped(program, 4)), program.err
        program.signal_all(signal.SIGINT)
        assert program.end() == 130 and not program.err
        assert program.out.count(ONCE) == 1
        assert training.run("--ranks", "2", resume=True, trap=("be_a_command",)).end() == 0
        assert_equal(training, whole)


def test_launcher_killed(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*PAIR, "--n_epochs", "100"])
    with tally("kill -9 of train.py --ranks 2: the ranks save and end"):
        program = training.start("--ranks", "2", trap=("be_a_command",))
        assert program.until(lambda: training.stepped(program, 4)), program.err
        ranks = ranks_of(program.pid)
        program.kill()
        assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks))
        assert program.out.count(ONCE) == 1
        assert training.kept()["total_steps"] == training.rows()


def test_torchrun_goes_on_by_itself(images: Path, tmp_path: Path, whole: Training) -> None:
    """Each rank is killed once; torchrun starts both again, which go on where the run was last saved."""
    training = Training(tmp_path, images, PAIR)
    command = [*torchrun("--nproc_per_node=2", "--max_restarts=2"), "train.py", "--dataroot", str(images),
               "--checkpoints_dir", str(tmp_path), "--name", "run", *PAIR, "--save_latest_freq", "2"]
    with tally("kill -9 of a rank under torchrun --max_restarts: goes on by itself", 2):
        with open(tmp_path / "log", "w") as log:
            launcher = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log,
                                        env=environment_of_one_thread())
        for victim, rows in ((1, 3), (0, 7)):
            assert wait_for(lambda rows=rows: training.rows() >= rows), (tmp_path / "log").read_text()
            pid, = (pid for pid in ranks_of(launcher.pid) if rank_number(pid) == str(victim))
            os.kill(pid, signal.SIGKILL)
        assert launcher.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
        said = (tmp_path / "log").read_text()
        assert said.count("goes on at epoch") == 2 and said.count("ended without a word") == 2
        for name in "GFD":
            paths = [each.folder / f"latest_net_{name}.pth" for each in (training, whole)]
            assert paths[0].read_bytes() == paths[1].read_bytes()


def wait_for(condition) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
