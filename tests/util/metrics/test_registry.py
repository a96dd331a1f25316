"""The table of metrics: every line computes, equal images are its best, and all programs go through it."""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from scripts import evaluate
from scripts.reports import demo_report
from tests.exported import exported
from util.metrics.kid import Estimate
from util.metrics.registry import METRICS, ImageSet, Metric, metrics_needing, training_metrics

ROOT = Path(__file__).parents[3]


def brightness(images) -> np.ndarray:
    return np.stack([[p.mean(), p.std()] for p in images])


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def image_set(seed: int) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    return ImageSet({str(i): p for i, p in enumerate(images)}, brightness, lpips=mean_difference)


@pytest.mark.parametrize("name", metrics_needing("", "features", "pairs", "lpips"))
def test_nothing_beats_the_real_images_themselves(name):
    metric, real = METRICS[name], image_set(1)
    same, other = metric.compute(image_set(1), real), metric.compute(image_set(2), real)
    assert metric.loss(same) < metric.loss(other)
    if name not in ("swd", "kid"):          # random patches and subsets; KID may fall below 0
        assert metric.loss(same) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_the_loss_turns_the_score_by_its_direction(name):
    metric = METRICS[name]
    better, worse = (0.25, 0.75) if metric.better == "lower" else (0.75, 0.25)
    assert 0 <= metric.loss(better) < metric.loss(worse)


def test_a_line_that_no_program_could_use_is_refused():
    with pytest.raises(AssertionError, match="give a loss"):
        Metric(lambda fake, real: 1.0, better="higher")
    with pytest.raises(AssertionError, match="needs is 'pair'"):
        Metric(lambda fake, real: 1.0, needs="pair")


def test_features_are_computed_once():
    calls = []
    real = ImageSet(image_set(1).images, lambda images: calls.append(1) or brightness(images))
    for name in ("fid", "kid", "fid"):
        METRICS[name].compute(image_set(2), real)
    assert len(calls) == 1


def test_networks_see_8_bits():
    """Of images that are not rounded the nearest levels, so that they see what a file would hold."""
    seen = []

    def extractor(images):
        seen.extend(images)
        return np.zeros((len(seen), 2))
    images = ImageSet({"a": np.full((2, 2, 1), 3.4, np.float32), "b": np.full((2, 2, 1), 254.6, np.float32),
                       "c": np.full((2, 2, 1), 9, np.uint8)}, extractor)
    assert images.features.shape == (3, 2) and [(image.dtype.name, int(image.max())) for image in seen] == [
        ("uint8", 3), ("uint8", 255), ("uint8", 9)]


def test_scores_that_torch_fidelity_computes_together_are_taken_apart():
    together = {"fid": Estimate(3.0), "kid": Estimate(0.5, 0.25), "score": Estimate(2.0, 0.125),
                "precision": Estimate(0.75), "recall": Estimate(0.5)}
    fake, real = (ImageSet({}, inception=lambda fake, real: together) for _ in range(2))
    found = {name: metric.estimate(fake, real) for name, metric in metrics_needing("inception").items()}
    assert found == {"inception_fid": (3, None), "inception_kid": (500, 250), "inception_score": (2, 0.125),
                     "precision": (0.75, None), "recall": (0.5, None)}


def test_training_offers_what_it_can_compute():
    assert list(training_metrics()) == ["swd", "fid", "kid", "psnr", "ssim"]


def lines_of_the_page(heading: str) -> str:
    """The code under a heading of docs/evaluation.md."""
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if not line or line.startswith("    ")]
    return textwrap.dedent("\n".join(lines))


@pytest.fixture
def own_metric(monkeypatch):
    """The metric that the page adds: a function and a line. Of constant images it is their difference."""
    added: dict[str, Metric] = {}
    exec(lines_of_the_page("A metric of your own"),
         {"np": np, "ImageSet": ImageSet, "Metric": Metric, "METRICS": added})
    (name, metric), = added.items()
    monkeypatch.setitem(METRICS, name, metric)
    return name, metric


def write_constant(folder: Path, value: int) -> None:
    """Four images of one gray value."""
    folder.mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (16, 16), (value, value, value)).save(folder / f"{i}.png")


def run(monkeypatch, main, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    main()


def test_a_new_metric_is_a_row_of_evaluate(own_metric, tmp_path, monkeypatch, capsys):
    _, metric = own_metric
    write_constant(tmp_path / "real", 100)
    write_constant(tmp_path / "fake", 140)
    run(monkeypatch, evaluate.main, "--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features",
        exported(), "--output", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text())["figures"][metric.title]
    assert found == {"value": 40.0, "better": "lower", "real": 4, "fake": 4, "resize": "none"}
    row, = (line for line in capsys.readouterr().out.splitlines() if line.startswith(metric.title))
    assert row.removeprefix(metric.title).split()[0] == "40.0"


def test_a_new_metric_is_a_row_of_the_demo_report(own_metric, tmp_path, monkeypatch, capsys):
    for column, value in (("real_A", 10), ("fake_B", 140), ("real_B", 100)):
        write_constant(tmp_path / "images" / column, value)
    run(monkeypatch, demo_report.main, tmp_path)
    row, = (line for line in capsys.readouterr().out.splitlines() if line.startswith(own_metric[1].title))
    assert row.split("(")[0].split()[-2:] == ["90.0", "40.0"]
    assert "90.0" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_new_metric_can_follow_a_training(own_metric, tmp_path, monkeypatch):
    name, _ = own_metric
    for folder, value in (("trainA", 10), ("trainB", 100), ("testA", 10), ("testB", 100)):
        write_constant(tmp_path / "data" / folder, value)
    settings = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 "
                "--num_patches 8 --nce_layers 0,4 --crop_size 16 --load_size 20 --gpu_ids -1 --num_threads 0 "
                "--display_id 0 --n_epochs 1 --n_epochs_decay 0 --evaluation_freq 4").split()
    run(monkeypatch, train.main, *settings, "--dataroot", tmp_path / "data", "--checkpoints_dir", tmp_path,
        "--name", "run", "--evaluation_metrics", f"swd,{name}")
    row = json.loads((tmp_path / "run" / "evaluations.jsonl").read_text())
    assert 0 <= row["metrics"][name] <= 155
