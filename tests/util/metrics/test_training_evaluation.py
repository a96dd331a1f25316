"""Evaluations during training: what they see and keep, and that they change nothing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from models import create_model
from options.train_options import TrainOptions
from tests.exported import exported, write_images
from tests.formula import picture
from util.checkpoints.training_state import TrainingState
from util.errors import RunError, UsageError
from util.loggers.score_log import EvaluationLog
from util.metrics import registry as table
from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.psnr_ssim import psnr
from util.metrics.swd import patch_distance
from util.metrics.training_evaluation import Evaluation, find_split
from util.runtime.progress import Progress

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 20 --gpu_ids -1 --num_threads 0 --display_id 0").split()


@pytest.fixture
def root(tmp_path) -> Path:
    for i, (side, count) in enumerate((("trainA", 5), ("trainB", 4), ("testA", 4), ("testB", 6))):
        write_images(tmp_path / "data" / side, count, seed=i, size=(16, 16))
    return tmp_path


def flags(root: Path, *more: str) -> list[str]:
    folders = "--dataroot", str(root / "data"), "--checkpoints_dir", str(root / "runs")
    return [*SMALL, *folders, "--name", "run", *more]


def build(root: Path, *more: str):
    """Options, a model, its state on disk, and progress after one step of an image."""
    opt = TrainOptions().parse(flags(root, "--evaluation_freq", "1", *more))
    torch.manual_seed(0)
    progress = Progress(first_epoch=1, last_epoch=9)
    return opt, create_model(opt), TrainingState(root / "runs" / "run"), progress


def batch(step: int = 0) -> dict[str, torch.Tensor]:
    return {"A": picture(1, 3, 16, 16, 0.1 * step).float(), "B": picture(1, 3, 16, 16, 2 + step).float()}


def evaluate(evaluation: Evaluation, model, progress: Progress, state: TrainingState) -> dict:
    progress.advance(1)
    assert evaluation.due(progress)
    with state:
        evaluation.run(model, progress, state)
    return evaluation.log.rows[-1]


def read(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def translated(model, folder: Path) -> list[np.ndarray]:
    """Every image of a folder through G, as it would be saved."""
    found = []
    for pixels in read(folder):
        real = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            fake = model.networks["G"](real)[0].permute(1, 2, 0)
        found.append(((fake.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
    return found


def moments(images: list[np.ndarray]) -> np.ndarray:
    values = np.stack(images) / 255
    return np.concatenate([values.mean(axis=(1, 2)), (values ** 2).mean(axis=(1, 2))], axis=1)


def test_figures_are_those_of_the_translated_test_split(root):
    opt, model, state, progress = build(root, "--evaluation_metrics", "swd,fid,psnr",
                                        "--evaluation_features", str(exported()))
    row = evaluate(Evaluation(opt, progress), model, progress, state)
    fake, real = translated(model, root / "data" / "testA"), read(root / "data" / "testB")
    assert (row["fake"], row["real"], row["total_images"]) == (4, 6, 1)
    assert row["metrics"]["swd"] == pytest.approx(patch_distance(fake, real))
    pairs = zip(fake, real[:4], strict=True)
    assert row["metrics"]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    expected = frechet_distance(*(fit_gaussian(moments(side)) for side in (fake, real)))
    assert row["metrics"]["fid"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_other_direction_translates_b_and_compares_with_a(root):
    opt, model, state, progress = build(root, "--direction", "BtoA", "--evaluation_images", "3")
    row = evaluate(Evaluation(opt, progress), model, progress, state)
    fake, real = translated(model, root / "data" / "testB"), read(root / "data" / "testA")
    assert row["metrics"]["swd"] == pytest.approx(patch_distance(fake[:3], real[:3]))


def test_gray_to_gray_works_with_features_of_colour(root):
    opt, model, state, progress = build(root, "--input_nc", "1", "--output_nc", "1", "--evaluation_metrics",
                                        "kid,swd", "--evaluation_features", str(exported()))
    row = evaluate(Evaluation(opt, progress), model, progress, state)
    assert np.isfinite(list(row["metrics"].values())).all()


@pytest.mark.parametrize("more", [[], ["--normG", "batch", "--no_dropout", "false"]])
def test_a_training_goes_on_as_if_there_had_been_none(root, more):
    results = []
    for evaluated in (True, False):
        opt, model, state, progress = build(root, *more)
        np.random.seed(0)
        model.train_step(batch())
        if evaluated:
            evaluate(Evaluation(opt, progress), model, progress, state)
            assert all(module.training for net in model.networks.values() for module in net.modules())
        model.train_step(batch(1))
        results.append({f"{name}.{key}": value for name, net in model.networks.items()
                        for key, value in net.state_dict().items()})
        results[-1] |= {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.random.random(3))}
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


@pytest.fixture
def scripted(monkeypatch):
    """A metric whose figures are given beforehand."""
    figures: list[float] = []
    monkeypatch.setitem(table.METRICS, "scripted", table.Metric(lambda fake, real: figures.pop(0)))
    return figures


def test_the_best_weights_are_kept_and_only_those(root, scripted, capsys):
    opt, model, state, progress = build(root, "--evaluation_metrics", "scripted,swd")
    evaluation = Evaluation(opt, progress)
    scripted += [5.0, 3.0, 4.0, float("nan"), 3.0]
    kept = []
    for step in range(5):
        model.train_step(batch(step))
        evaluate(evaluation, model, progress, state)
        saved = torch.load(root / "runs" / "run" / "best_net_G.pth")
        now = model.networks["G"].state_dict()
        kept.append(all(torch.equal(saved[key], value) for key, value in now.items()))
    assert kept == [True, True, False, False, False]                # an equal figure is no better one
    assert evaluation.best() == (2, 3.0)
    said = capsys.readouterr().out
    for part in ("image 2: scripted 3, swd", "(the best so far)", "(best 3 at image 2)"):
        assert part in said


def test_a_resumed_run_knows_its_best_and_the_figures_of_its_epoch(root, scripted):
    opt, model, state, progress = build(root, "--evaluation_metrics", "scripted")
    evaluation = Evaluation(opt, progress)
    scripted += [5.0, 3.0, 4.0, 2.0]
    for _ in range(2):
        evaluate(evaluation, model, progress, state)
    progress.end_epoch()
    evaluate(evaluation, model, progress, state)
    moment = progress.state_dict()
    evaluate(evaluation, model, progress, state)                    # behind the moment of the save
    assert evaluation.losses(2) == [4.0, 2.0]

    resumed = Progress(first_epoch=1, last_epoch=9)
    resumed.load_state_dict(moment)
    again = Evaluation(opt, resumed)
    assert again.best() == (2, 3.0) and again.losses(1) == [5.0, 3.0] and again.losses(2) == [4.0]
    assert Evaluation(opt, Progress(first_epoch=1, last_epoch=9)).best() is None    # a new run


def test_off_without_a_split_or_by_zero(root):
    assert find_split(root / "data")["B"] == root / "data" / "testB"
    for more in (["--evaluation_freq", "0"], []):
        opt, _, _, progress = build(root, *more)
        if not more:
            for path in (root / "data" / "testB").iterdir():
                path.unlink()                                       # a folder without images is no side
        evaluation = Evaluation(opt, progress)
        progress.advance(1)
        assert not evaluation.due(progress) and evaluation.losses(1) is None
    assert not (root / "runs" / "run" / "evaluations.jsonl").exists()
    for side in "AB":
        write_images(root / "data" / f"val{side}", 1)
    assert find_split(root / "data")["A"] == root / "data" / "valA"


@pytest.mark.parametrize(("more", "message"), [
    (["--evaluation_metrics", "swd,inception"], "'inception' is none of swd, fid, kid, psnr, ssim"),
    (["--direction", "BtoA", "--evaluation_metrics", "ssim"], "no image of the other side is named 04"),
    (["--evaluation_images", "3", "--evaluation_metrics", "kid"], "need 4 images a side.* has 3 and 3"),
    (["--evaluation_metrics", "fid", "--evaluation_features", "nowhere.pt2"], "no file nowhere.pt2"),
])
def test_metrics_that_cannot_work_are_refused_at_the_start(root, more, message):
    opt, _, _, progress = build(root, *more)
    with pytest.raises(UsageError, match=message):
        Evaluation(opt, progress)


def test_images_too_small_for_a_metric_are_said(root):
    opt, model, state, progress = build(root, "--crop_size", "8", "--load_size", "8",
                                        "--evaluation_metrics", "psnr,ssim")
    with pytest.raises(UsageError, match="--evaluation_metrics ssim cannot be computed here: .* 11 x 11"):
        evaluate(Evaluation(opt, progress), model, progress, state)


def test_plateau_follows_the_figures(root):
    opt, model, _, _ = build(root, "--lr_policy", "plateau")
    for _ in range(20):
        model.train_step(batch())
        model.end_epoch([])                                 # epochs without an evaluation change nothing
    assert model.learning_rate() == opt.lr
    model.end_epoch([5.0])
    model.end_epoch([6.0] * 6)                                      # worse more than five times
    assert model.learning_rate() == pytest.approx(opt.lr * 0.2)


def run(monkeypatch, *argv: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *argv])
    train.main()


def test_a_training_in_two_parts_is_evaluated_as_one(root, monkeypatch):
    settings = "--evaluation_freq 3 --n_epochs_decay 0 --lr_policy plateau --save_latest_freq 4".split()
    whole = flags(root, "--name", "whole", *settings, "--n_epochs", "4")
    run(monkeypatch, *whole)
    parts = flags(root, "--name", "parts", *settings)
    run(monkeypatch, *parts, "--n_epochs", "2")
    run(monkeypatch, *parts, "--n_epochs", "4", "--continue_train")
    one, two = ((root / "runs" / name / "evaluations.jsonl").read_text() for name in ("whole", "parts"))
    assert one == two
    assert [json.loads(line)["total_images"] for line in one.splitlines()] == [3, 6, 9, 12, 15, 18]
    best = [torch.load(root / "runs" / name / "best_net_G.pth") for name in ("whole", "parts")]
    assert all(torch.equal(value, best[1][key]) for key, value in best[0].items())
    page = (root / "runs" / "whole" / "web" / "index.html").read_text()
    assert page.index("evaluation.svg") < page.index("epoch004")


def test_a_record_that_is_no_json_is_named(root):
    path = root / "evaluations.jsonl"
    path.write_text('{"total_images": 1, "metrics": {}}\nnonsense\n')
    with pytest.raises(RunError, match="evaluations.jsonl holds a line that is not JSON"):
        EvaluationLog(root, Progress(first_epoch=1, last_epoch=1), curve=False)
    row = '{"total_images": 1, "epoch": 1, "metrics": {"swd": null}}'
    path.write_text(row + "\n" + row[:9])                           # the last line cut by a kill
    progress = Progress(first_epoch=1, last_epoch=1)
    progress.advance(1)
    log = EvaluationLog(root, progress, curve=True)
    assert len(log.rows) == 1 and log.figures("swd") == [] and (root / "web" / "evaluation.svg").exists()
