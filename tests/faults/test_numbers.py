"""Losses that are no numbers, a D that has won, and memory that runs out."""

import math
from pathlib import Path

import pytest
import torch

from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, rows_of
from util.runtime.health import COLLAPSE_IMAGES, CollapseDetector, LossMonitor, skip_broken_updates
from util.runtime.progress import Progress


def finite(training: Training) -> bool:
    nets = [torch.load(path, weights_only=True) for path in training.folder.glob("*_net_*.pth")]
    return all(torch.isfinite(tensor).all() for net in nets for tensor in net.values())


def test_nan_stops_with_the_last_good_state_kept(
        images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, [*SHORT, "--print_freq", "5"])
    with tally("a loss is NaN: stopped, the last good state kept"):
        program = training.run(trap=("break_a_step", 12))       # printed, so looked at, after step 15
        assert program.end() == 1
        assert len(program.err.splitlines()) == 1
        assert "between step 10 and 15" in program.err or "is NaN or infinite" in program.err
        assert "kept is epoch 2, image 2 of it: go on from there with --continue_train" in program.err
        assert finite(training) and training.kept()["total_images"] == 8
        assert training.run("--print_freq", "1", resume=True).end() == 0
        assert_same_end(training, undisturbed)


def assert_same_end(one: Training, other: Training) -> None:
    for name in "GFD":
        paths = [training.folder / f"latest_net_{name}.pth" for training in (one, other)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_nan_is_skipped(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*SHORT, "--on_nan", "skip"])
    with tally("a loss is NaN: that update skipped"):
        program = training.run(trap=("break_a_step", 12))
        assert program.end() == 0, program.err
        assert "NCE from step 12" in program.out and "are left out" in program.out
        rows = rows_of(training.folder)
        assert [row["step"] for row in rows if row["losses"]["NCE"] is None] == [12]
        assert finite(training)


def test_exploding_run_is_never_saved(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*SHORT, "--lr", "1e36", "--print_freq", "100"])
    with tally("weights overflow: stopped, nothing broken saved"):
        program = training.run()
        assert program.end() == 1 and len(program.err.splitlines()) == 1
        assert "nothing of this run is saved yet: start it again with a lower --lr" in program.err
        assert finite(training)


def test_skipping_gives_up_when_no_step_is_sound(images: Path, tmp_path: Path) -> None:
    flags = [*SHORT, "--on_nan", "skip", "--n_epochs", "30", "--init_gain", "1e38"]
    with tally("every loss is NaN: skipping gives up"):
        program = Training(tmp_path, images, flags).run()
        assert program.end() == 1 and "without exception" in program.err


def progress_at(step: int) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=9)
    for _ in range(step):
        progress.advance(images=1)
    return progress


def test_watch_names_losses_and_steps(capsys: pytest.CaptureFixture) -> None:
    watch = LossMonitor("skip", [])
    for step in range(1, 9):
        bad = torch.tensor(math.inf if step in (4, 6) else 1.0)
        watch.step(progress_at(step), {"G": torch.tensor(0.5), "D": bad})
    watch.check(progress_at(8), {}, "epoch 1")
    watch.check(progress_at(8), {}, "epoch 1")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "between step 0 and 8" in said[0] and "D from step 4" in said[0]


def test_skipped_update_changes_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    skip_broken_updates(optimizer)
    seen = []
    for gradient in (1.0, math.nan, math.inf, 1.0):
        weight.grad = torch.tensor([1.0, gradient, 1.0])
        optimizer.step()
        moments = optimizer.state[weight]
        seen.append((weight.detach().clone(), moments["exp_avg"].clone(), float(moments["step"])))
    assert torch.equal(seen[0][0], seen[2][0]) and torch.equal(seen[0][1], seen[2][1])
    assert [step for _, _, step in seen] == [1, 1, 1, 2]
    assert not torch.equal(seen[2][0], seen[3][0]) and torch.isfinite(seen[3][0]).all()


def test_collapse_is_warned_of_once(capsys: pytest.CaptureFixture) -> None:
    watch, progress = CollapseDetector(lambda_GAN=2.0), Progress(first_epoch=1, last_epoch=9)

    def look(g_gan: float, images: int) -> str:
        for _ in range(0, images, 500):
            progress.advance(images=500)
            watch.check(progress, {"G_GAN": g_gan, "D_real": 0.01, "D_fake": 0.01})
        return capsys.readouterr().out

    assert look(1.9, COLLAPSE_IMAGES - 500) == ""
    assert look(0.5, 500) == ""                     # G has found a way: counted anew
    warning = look(1.9, 2 * COLLAPSE_IMAGES)
    assert warning.count("warning") == 1 and "--ndf" in warning
    assert look(1.9, 2 * COLLAPSE_IMAGES) == ""


def test_out_of_memory_is_one_line(images: Path, tmp_path: Path) -> None:
    flags = [*SHORT, "--crop_size", "512", "--load_size", "512", "--ngf", "64", "--batch_size", "4"]
    with tally("out of memory: one line with the remedies"):
        program = Training(tmp_path, images, flags).run(trap=("limit_memory", 600_000_000))
        assert program.end() == 1
        line, = program.err.splitlines()
        assert "out of memory on cpu with --crop_size 512" in line and "--batch_size 4" in line
        assert "a smaller --batch_size" in line
