import json
import math
import re

import pytest

from util.errors import RunError
from util.loggers.text_log import LossFiles, loss_line
from util.runtime.progress import Progress
from util.runtime.timer import Times

TIMES = Times(compute=0.1934, data=0.0256)


def at(epoch: int, epoch_images: int, images_per_epoch: int = 6) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=3)
    total = (epoch - 1) * images_per_epoch + epoch_images
    progress.load_state_dict({"epoch": epoch, "epoch_images": epoch_images, "total_images": total,
                              "total_steps": total // 2})
    return progress


def train(folder, start: Progress, end: Progress, shift: float = 0.0) -> None:
    """Six images an epoch, two a step, a line each; a loss that is a function of the image count."""
    files, progress = LossFiles(folder, start), start
    while progress.total_images < end.total_images:
        if progress.epoch_images == 6:
            progress.end_epoch()
        progress.advance(2)
        files.write(progress, TIMES, {"G": progress.total_images / 3 + shift, "D": -0.5}, lr=2e-4)


def stats(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def losses_of_log(folder) -> list[str]:
    return [line for line in (folder / "loss_log.txt").read_text().splitlines() if line.startswith("(")]


def test_the_line_people_parse():
    # The example of the reference's own format.
    progress = at(1, 100, images_per_epoch=1000)
    losses = {"G_GAN": 0.92401, "D_real": 1.0009, "D_fake": 0.0, "G": 7.609, "NCE": 6.709, "NCE_Y": 6.660}
    assert loss_line(progress, TIMES, losses) == (
        "(epoch: 1, iters: 100, time: 0.193, data: 0.026) "
        "G_GAN: 0.924 D_real: 1.001 D_fake: 0.000 G: 7.609 NCE: 6.709 NCE_Y: 6.660")


def test_both_files(tmp_path):
    train(tmp_path, at(1, 0), at(2, 2))
    header, *lines = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert re.fullmatch(r"=+ Training Loss \(.*\) =+", header)
    assert lines[-1] == "(epoch: 2, iters: 2, time: 0.193, data: 0.026) G: 2.667 D: -0.500"
    assert stats(tmp_path)[-1] == {"epoch": 2, "images": 2, "total_images": 8, "step": 4, "lr": 2e-4,
                                   "losses": {"G": 8 / 3, "D": -0.5}}


@pytest.mark.parametrize("resume_at", [at(1, 4), at(2, 0), at(1, 6), at(2, 4)])
def test_interrupted_and_resumed_equals_undisturbed(tmp_path, resume_at):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, at(1, 0), at(3, 6))
    train(cut, at(1, 0), at(2, 6))                          # goes on past its last checkpoint before it dies
    train(cut, resume_at, at(3, 6))
    assert (cut / "stats.jsonl").read_bytes() == (whole / "stats.jsonl").read_bytes()
    assert losses_of_log(cut) == losses_of_log(whole)


def test_a_line_that_a_kill_left_unfinished_goes(tmp_path):
    train(tmp_path, at(1, 0), at(1, 6))
    for name in ("stats.jsonl", "loss_log.txt"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-5])
    train(tmp_path, at(1, 4), at(1, 6))
    assert [row["total_images"] for row in stats(tmp_path)] == [2, 4, 6]
    assert len(losses_of_log(tmp_path)) == 3


def test_a_new_run_begins_stats_anew_and_adds_to_the_log(tmp_path):
    train(tmp_path, at(1, 0), at(3, 6), shift=100)
    train(tmp_path, at(1, 0), at(1, 6))
    assert [row["losses"]["G"] for row in stats(tmp_path)] == [2 / 3, 4 / 3, 2]
    assert len(losses_of_log(tmp_path)) == 9 + 3


def test_resuming_the_second_run_leaves_the_first_ones_lines_alone(tmp_path):
    train(tmp_path, at(1, 0), at(3, 6), shift=100)
    train(tmp_path, at(1, 0), at(2, 6))
    train(tmp_path, at(1, 4), at(1, 6))
    train(tmp_path, at(1, 2), at(1, 4))
    assert len(losses_of_log(tmp_path)) == 9 + 2
    assert [row["total_images"] for row in stats(tmp_path)] == [2, 4]


def test_stats_are_strict_json_when_a_loss_is_not_finite(tmp_path):
    files, progress = LossFiles(tmp_path, at(1, 0)), at(1, 2)
    line = files.write(progress, TIMES, {"a": math.nan, "b": math.inf, "c": 1.0}, lr=None)
    assert line.endswith("a: nan b: inf c: 1.000")

    def refuse(word):
        raise AssertionError(word)

    row = json.loads((tmp_path / "stats.jsonl").read_text(), parse_constant=refuse)
    assert row["losses"] == {"a": None, "b": None, "c": 1.0} and "lr" not in row
    (images, losses), = files.history()
    assert images == 2 and math.isnan(losses["a"]) and losses["c"] == 1


def test_damaged_stats_are_named(tmp_path):
    train(tmp_path, at(1, 0), at(1, 6))
    with open(tmp_path / "stats.jsonl", "a") as stream:
        stream.write("<<<<<<< mine\n")
    with pytest.raises(RunError, match="stats.jsonl holds a line that is not JSON, '<<<<<<< mine'"):
        LossFiles(tmp_path, at(1, 4))
