"""Evaluation during a run: what it scores and keeps, and that it changes nothing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from data.evaluation_split import evaluation_split
from models import create_model
from options.train_options import TrainOptions
from tests.exported import exported, write_images
from tests.formula import picture
from util.checkpoints.training_state import TrainingState
from util.errors import UsageError
from util.loggers.run_log import RunLog
from util.metrics import registry as table
from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.psnr_ssim import psnr
from util.metrics.swd import patch_distance
from util.metrics.training_evaluation import Evaluation
from util.runtime.progress import Progress

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 20 --gpu_ids -1 --num_threads 0 --display_id 0").split()


@pytest.fixture
def root(tmp_path) -> Path:
    for i, (folder, count) in enumerate((("trainA", 5), ("trainB", 4), ("testA", 4), ("testB", 6))):
        write_images(tmp_path / "data" / folder, count, seed=i, size=(16, 16))
    return tmp_path


def flags(root: Path, *more: str) -> list[str]:
    folders = "--dataroot", str(root / "data"), "--checkpoints_dir", str(root / "runs")
    return [*SMALL, *folders, "--name", "run", *more]


class Run:
    """A run with an evaluation at every image: its model, evaluation, log, state on disk and progress."""

    def __init__(self, root: Path, *more: str):
        self.opt = TrainOptions().parse(flags(root, "--evaluation_freq", "1", *more))
        torch.manual_seed(0)
        self.folder = root / "runs" / "run"
        self.model, self.state = create_model(self.opt), TrainingState(self.folder)
        self.progress = Progress(first_epoch=1, last_epoch=9)
        self.evaluation = Evaluation(self.opt, evaluation_split(self.opt))
        self.log = self.open_log(self.progress)

    def open_log(self, progress: Progress) -> RunLog:
        return RunLog(self.folder, progress, images_in_total=9, loggers={})

    def evaluate(self) -> dict:
        """Returns the row that it wrote, after one more image."""
        self.progress.advance(1)
        assert self.evaluation.due(self.progress)
        with self.state:
            self.evaluation.run(self.model, self.progress, self.log, self.state)
        return json.loads((self.folder / "evaluations.jsonl").read_text().splitlines()[-1])


def batch(step: int = 0) -> dict[str, torch.Tensor]:
    return {"A": picture(1, 3, 16, 16, 0.1 * step).float(), "B": picture(1, 3, 16, 16, 2 + step).float()}


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


def test_scores_are_those_of_the_translated_test_split(root):
    run = Run(root, "--evaluation_metrics", "swd,fid,psnr", "--evaluation_features", str(exported()))
    row = run.evaluate()
    fake, real = translated(run.model, root / "data" / "testA"), read(root / "data" / "testB")
    assert (row["fake"], row["real"], row["total_images"]) == (4, 6, 1)
    assert row["metrics"]["swd"] == pytest.approx(patch_distance(fake, real))
    pairs = zip(fake, real[:4], strict=True)
    assert row["metrics"]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    expected = frechet_distance(*(fit_gaussian(moments(images)) for images in (fake, real)))
    assert row["metrics"]["fid"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_other_direction_translates_b_and_compares_with_a(root):
    run = Run(root, "--direction", "BtoA", "--evaluation_images", "3")
    row = run.evaluate()
    fake, real = translated(run.model, root / "data" / "testB"), read(root / "data" / "testA")
    assert row["metrics"]["swd"] == pytest.approx(patch_distance(fake[:3], real[:3]))


def test_gray_to_gray_works_with_features_of_colour(root):
    run = Run(root, "--input_nc", "1", "--output_nc", "1", "--evaluation_metrics", "kid,swd",
              "--evaluation_features", str(exported()))
    assert np.isfinite(list(run.evaluate()["metrics"].values())).all()


@pytest.mark.parametrize("more", [[], ["--normG", "batch", "--no_dropout", "false"]])
def test_a_run_goes_on_as_if_there_had_been_no_evaluation(root, more):
    results = []
    for evaluated in (True, False):
        run = Run(root, *more)
        np.random.seed(0)
        run.model.train_step(batch())
        if evaluated:
            run.evaluate()
            assert all(module.training for net in run.model.networks.values() for module in net.modules())
        run.model.train_step(batch(1))
        results.append({f"{name}.{key}": value for name, net in run.model.networks.items()
                        for key, value in net.state_dict().items()})
        results[-1] |= {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.random.random(3))}
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


@pytest.fixture
def scripted(monkeypatch):
    """A metric whose scores are given beforehand."""
    scores: list[float] = []
    monkeypatch.setitem(table.METRICS, "scripted", table.Metric(lambda fake, real: scores.pop(0)))
    return scores


def test_the_best_weights_are_kept_and_only_those(root, scripted, capsys):
    run = Run(root, "--evaluation_metrics", "scripted,swd")
    scripted += [5.0, 3.0, 4.0, float("nan"), 3.0]
    kept = []
    for step in range(5):
        run.model.train_step(batch(step))
        run.evaluate()
        saved = torch.load(run.folder / "best_net_G.pth")
        now = run.model.networks["G"].state_dict()
        kept.append(all(torch.equal(saved[key], value) for key, value in now.items()))
    assert kept == [True, True, False, False, False]                # an equal score is not better
    assert run.evaluation.best(run.log) == (2, 3.0)
    said = capsys.readouterr().out
    for part in ("image 2: scripted 3, swd", "(the best so far)", "(best 3 at image 2)"):
        assert part in said


def test_a_resumed_run_knows_its_best_and_the_scores_of_its_epoch(root, scripted):
    run = Run(root, "--evaluation_metrics", "scripted")
    scripted += [5.0, 3.0, 4.0, 2.0]
    for _ in range(2):
        run.evaluate()
    run.progress.end_epoch()
    run.evaluate()
    moment = run.progress.state_dict()
    run.evaluate()                                                  # after the moment of the save
    assert run.evaluation.losses(run.log, 2) == [4.0, 2.0]

    resumed = Progress(first_epoch=1, last_epoch=9)
    resumed.load_state_dict(moment)
    log = run.open_log(resumed)
    assert run.evaluation.best(log) == (2, 3.0)
    assert [run.evaluation.losses(log, epoch) for epoch in (1, 2)] == [[5.0, 3.0], [4.0]]
    new = run.open_log(Progress(first_epoch=1, last_epoch=9))
    assert run.evaluation.best(new) is None


def test_off_without_a_split_or_by_zero(root):
    for more in (["--evaluation_freq", "0"], []):
        if not more:
            for path in (root / "data" / "testB").iterdir():
                path.unlink()
        run = Run(root, *more)
        run.progress.advance(1)
        assert not run.evaluation.due(run.progress) and run.evaluation.losses(run.log, 1) is None
    assert not (run.folder / "evaluations.jsonl").exists()


@pytest.mark.parametrize(("more", "message"), [
    (["--evaluation_metrics", "swd,inception"], "'inception' is none of swd, fid, kid, psnr, ssim"),
    (["--direction", "BtoA", "--evaluation_metrics", "ssim"], "no image of the target domain is named 04"),
    (["--evaluation_images", "3", "--evaluation_metrics", "kid"], "need 4 images in each .* has 3 and 3"),
    (["--evaluation_metrics", "fid", "--evaluation_features", "nowhere.pt2"], "no file nowhere.pt2"),
])
def test_metrics_that_cannot_work_are_refused_at_the_start(root, more, message):
    with pytest.raises(UsageError, match=message):
        Run(root, *more)
    assert not (root / "runs" / "run" / "evaluations.jsonl").exists()      # nothing was begun


def test_images_too_small_for_a_metric_are_said(root):
    run = Run(root, "--crop_size", "8", "--load_size", "8", "--evaluation_metrics", "psnr,ssim")
    with pytest.raises(UsageError, match="--evaluation_metrics ssim cannot be computed here: .* 11 x 11"):
        run.evaluate()


def test_plateau_follows_the_scores(root):
    run = Run(root, "--lr_policy", "plateau")
    model, lr = run.model, run.opt.lr
    for _ in range(20):
        model.train_step(batch())
        model.end_epoch([])                                 # epochs without an evaluation change nothing
    assert model.learning_rate() == lr
    model.end_epoch([5.0])
    model.end_epoch([6.0] * 6)                                      # worse more than five times
    assert model.learning_rate() == pytest.approx(lr * 0.2)


def run_train(monkeypatch, *argv: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *argv])
    train.main()


def test_a_run_in_two_parts_is_evaluated_as_one(root, monkeypatch):
    settings = "--evaluation_freq 3 --n_epochs_decay 0 --lr_policy plateau --save_latest_freq 4".split()
    whole = flags(root, "--name", "whole", *settings, "--n_epochs", "4")
    run_train(monkeypatch, *whole)
    parts = flags(root, "--name", "parts", *settings)
    run_train(monkeypatch, *parts, "--n_epochs", "2")
    run_train(monkeypatch, *parts, "--n_epochs", "4", "--continue_train")
    one, two = ((root / "runs" / name / "evaluations.jsonl").read_text() for name in ("whole", "parts"))
    assert one == two
    assert [json.loads(line)["total_images"] for line in one.splitlines()] == [3, 6, 9, 12, 15, 18]
    best = [torch.load(root / "runs" / name / "best_net_G.pth") for name in ("whole", "parts")]
    assert all(torch.equal(value, best[1][key]) for key, value in best[0].items())
    page = (root / "runs" / "whole" / "web" / "index.html").read_text()
    assert page.index("evaluation.svg") < page.index("epoch004")


def test_images_are_those_that_test_py_writes_in_the_runs_precision(root, monkeypatch):
    """In bf16 a translation differs from that in fp32 by grey levels; scores are of what users get."""
    seen = []
    note = table.Metric(lambda fake, real: float(len(seen.append(fake) or seen)))
    monkeypatch.setitem(table.METRICS, "seen", note)
    run = Run(root, "--evaluation_metrics", "seen", "--precision", "bf16")
    torch.nn.init.normal_(run.model.netG.model[1].weight, std=3.0)      # else all are nearly grey
    run.evaluate()
    found = list(seen[0].images.values())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = translated(run.model, root / "data" / "testA")
    exact = translated(run.model, root / "data" / "testA")
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(found, exact, strict=True))
