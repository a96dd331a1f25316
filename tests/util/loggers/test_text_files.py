import json
import math
import re

import pytest

from util.errors import RunError
from util.loggers.base import add_prefix
from util.loggers.text_files import TextFiles, loss_line
from util.runtime.progress import Progress

TIMES = {"seconds/compute": 0.1934, "seconds/data": 0.0256}


def at(epoch: int, epoch_images: int, images_per_epoch: int = 6) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=3)
    total = (epoch - 1) * images_per_epoch + epoch_images
    progress.load_state_dict({"epoch": epoch, "epoch_images": epoch_images, "total_images": total,
                              "total_steps": total // 2})
    return progress


def train(folder, start: Progress, end: Progress, shift: float = 0.0) -> None:
    """Six images an epoch, two a step, a line each; losses and scores are functions of the image count."""
    files, progress = TextFiles(folder, start), start
    while progress.total_images < end.total_images:
        if progress.epoch_images == 6:
            progress.end_epoch()
        progress.advance(2)
        losses = {"G": progress.total_images / 3 + shift, "D": -0.5}
        files.scalars(progress, TIMES | {"lr": 2e-4} | add_prefix("loss/", losses))
        if progress.total_images % 4 == 0:
            files.scalars(progress, {"score/swd": 1 / progress.total_images + shift, "count/fake": 5})


def stats(folder, name: str = "stats.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def losses_of_log(folder) -> list[str]:
    return [line for line in (folder / "loss_log.txt").read_text().splitlines() if line.startswith("(")]


def test_the_line_people_parse():
    # The example of the reference's own format.
    progress = at(1, 100, images_per_epoch=1000)
    losses = {"G_GAN": 0.92401, "D_real": 1.0009, "D_fake": 0.0, "G": 7.609, "NCE": 6.709, "NCE_Y": 6.660}
    assert loss_line(progress, TIMES | add_prefix("loss/", losses)) == (
        "(epoch: 1, iters: 100, time: 0.193, data: 0.026) "
        "G_GAN: 0.924 D_real: 1.001 D_fake: 0.000 G: 7.609 NCE: 6.709 NCE_Y: 6.660")


def test_the_three_files(tmp_path):
    train(tmp_path, at(1, 0), at(2, 2))
    header, *lines = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert re.fullmatch(r"=+ Training Loss \(.*\) =+", header)
    assert lines[-1] == "(epoch: 2, iters: 2, time: 0.193, data: 0.026) G: 2.667 D: -0.500"
    assert stats(tmp_path)[-1] == {"epoch": 2, "images": 2, "total_images": 8, "step": 4, "lr": 2e-4,
                                   "losses": {"G": 8 / 3, "D": -0.5}}
    assert stats(tmp_path, "evaluations.jsonl")[-1] == {
        "epoch": 2, "images": 2, "total_images": 8, "step": 4, "metrics": {"swd": 1 / 8}, "fake": 5}


@pytest.mark.parametrize("resume_at", [at(1, 4), at(2, 0), at(1, 6), at(2, 4)])
def test_interrupted_and_resumed_equals_undisturbed(tmp_path, resume_at):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, at(1, 0), at(3, 6))
    train(cut, at(1, 0), at(2, 6))                          # goes on past its last checkpoint before it dies
    train(cut, resume_at, at(3, 6))
    for name in ("stats.jsonl", "evaluations.jsonl"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert losses_of_log(cut) == losses_of_log(whole)


def test_a_line_that_a_kill_left_unfinished_goes(tmp_path):
    train(tmp_path, at(1, 0), at(1, 6))
    for name in ("stats.jsonl", "loss_log.txt", "evaluations.jsonl"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-5])
    train(tmp_path, at(1, 4), at(1, 6))
    assert [row["total_images"] for row in stats(tmp_path)] == [2, 4, 6]
    assert stats(tmp_path, "evaluations.jsonl") == []           # its one row was the unfinished one
    assert len(losses_of_log(tmp_path)) == 3


def test_a_new_run_begins_its_rows_anew_and_adds_to_the_log(tmp_path):
    train(tmp_path, at(1, 0), at(3, 6), shift=100)
    train(tmp_path, at(1, 0), at(1, 6))
    assert [row["losses"]["G"] for row in stats(tmp_path)] == [2 / 3, 4 / 3, 2]
    assert [row["metrics"]["swd"] for row in stats(tmp_path, "evaluations.jsonl")] == [1 / 4]
    assert len(losses_of_log(tmp_path)) == 9 + 3


def test_resuming_the_second_run_leaves_the_first_ones_lines_alone(tmp_path):
    train(tmp_path, at(1, 0), at(3, 6), shift=100)
    train(tmp_path, at(1, 0), at(2, 6))
    train(tmp_path, at(1, 4), at(1, 6))
    train(tmp_path, at(1, 2), at(1, 4))
    assert len(losses_of_log(tmp_path)) == 9 + 2
    assert [row["total_images"] for row in stats(tmp_path)] == [2, 4]


def test_rows_are_strict_json_when_a_value_is_not_finite(tmp_path):
    files, progress = TextFiles(tmp_path, at(1, 0)), at(1, 2)
    files.scalars(progress, TIMES | {"loss/a": math.nan, "loss/b": math.inf, "loss/c": 1.0})
    files.scalars(progress, {"score/swd": math.inf, "score/fid": 2.0})
    assert (tmp_path / "loss_log.txt").read_text().endswith("a: nan b: inf c: 1.000\n")

    def refuse(word):
        raise AssertionError(word)

    row = json.loads((tmp_path / "stats.jsonl").read_text(), parse_constant=refuse)
    assert row["losses"] == {"a": None, "b": None, "c": 1.0} and "lr" not in row
    row = json.loads((tmp_path / "evaluations.jsonl").read_text(), parse_constant=refuse)
    assert row["metrics"] == {"swd": None, "fid": 2.0}
    for written in (files, TextFiles(tmp_path, progress)):              # and once more read from disk
        (images, losses), (_, scores) = written.history()
        assert images == 2 and math.isnan(losses["loss/a"]) and losses["loss/c"] == 1
        assert math.isnan(scores["score/swd"]) and scores["score/fid"] == 2
        assert written.scores("swd") == [] and written.scores("fid") == [(2, 2.0)]


def test_history_and_scores_of_a_resumed_run(tmp_path):
    train(tmp_path, at(1, 0), at(3, 6))
    files = TextFiles(tmp_path, at(2, 6))
    seen = [(images, *values) for images, values in files.history()]
    step = "loss/G", "loss/D", "lr"
    assert seen == [(2, *step), (4, *step), (4, "score/swd"), (6, *step), (8, *step), (8, "score/swd"),
                    (10, *step), (12, *step), (12, "score/swd")]
    assert files.history()[0][1]["lr"] == 2e-4
    assert files.scores("swd") == [(4, 1 / 4), (8, 1 / 8), (12, 1 / 12)]
    assert files.scores("swd", epoch=2) == [(8, 1 / 8), (12, 1 / 12)]
    assert TextFiles(tmp_path, at(1, 0)).history() == []


@pytest.mark.parametrize("name", ["stats.jsonl", "evaluations.jsonl"])
def test_a_damaged_record_is_named(tmp_path, name):
    train(tmp_path, at(1, 0), at(1, 6))
    with open(tmp_path / name, "a") as stream:
        stream.write("<<<<<<< mine\n")
    with pytest.raises(RunError, match=f"{name} holds a line that is not JSON, '<<<<<<< mine'"):
        TextFiles(tmp_path, at(1, 4))
