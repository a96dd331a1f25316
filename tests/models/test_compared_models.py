"""The models to compare with, and CUT's external negatives, trained by train.py on images, and resumed."""

import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

from tests import adversarial
from tests.adversarial import SMALL, batch_of
from tests.exported import write_images

ROOT = Path(__file__).parents[2]
MODELS = {"cycle_gan": "--model cycle_gan --pool_size 2", "gcgan": "--model gcgan --pool_size 2",
          "gcgan, two generators": "--model gcgan --geometry vf --separate_generators",
          "distance_gan": "--model distance_gan --distance_warmup 2",
          "self distance": "--model distance_gan --use_self_distance --unnormalized_distances",
          "enco": "--model enco --netF_nc 64 --num_patches 9999 --warmup_epochs 3",
          "munit": "--model munit --preprocess crop --crop_size 64",
          "dclgan": "--model dclgan --netF_nc 8 --num_patches 8",
          "simdcl": "--model dclgan --dcl_mode simdcl --netF_nc 8 --num_patches 8",
          "external": "--nce_negatives external --netF_nc 8 --num_patches 8",
          "both": "--nce_negatives both --CUT_mode FastCUT --netF_nc 8 --num_patches 8"}
NETWORKS = {"cycle_gan": "G_A G_B D_A D_B", "gcgan": "G D D_gc", "gcgan, two generators": "G G_gc D D_gc",
            "distance_gan": "G D", "self distance": "G D",
            "enco": "G F D", "munit": "G_A G_B D_A D_B",
            "dclgan": "G_A G_B D_A D_B F1 F2", "simdcl": "G_A G_B D_A D_B F1 F2 F3 F4 F5 F6",
            "external": "G F D", "both": "G F D"}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run train.py or test.py with these flags on the images in tmp_path."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        write_images(tmp_path / folder, 3, seed=len(folder) + ord(folder[-1]), size=(20, 18))

    def call(program: str, *flags: str) -> None:
        monkeypatch.setattr(sys, "argv", [program, "--dataroot", str(tmp_path), "--checkpoints_dir",
                                          str(tmp_path / "checkpoints"), *flags])
        monkeypatch.chdir(ROOT)
        runpy.run_path(str(ROOT / program), run_name="__main__")
    return call


def networks(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.stem.removeprefix("latest_net_"): torch.load(path, weights_only=True)
            for path in folder.glob("latest_net_*.pth")}


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_training_ends_as_one_that_never_stopped(name, run, tmp_path):
    flags = [*SMALL, *MODELS[name].split(), "--load_size", "18", "--n_epochs_decay", "0", "--display_id", "0"]
    run("train.py", *flags, "--name", "whole", "--n_epochs", "2")
    run("train.py", *flags, "--name", "halves", "--n_epochs", "1")
    run("train.py", *flags, "--name", "halves", "--n_epochs", "2", "--continue_train")
    whole, halves = (networks(tmp_path / "checkpoints" / folder) for folder in ("whole", "halves"))
    assert set(whole) == set(halves) == set(NETWORKS[name].split())
    for net, weights in whole.items():
        for key, value in weights.items():
            assert torch.equal(value, halves[net][key]), f"{net} {key}"
    run("test.py", "--name", "halves", "--results_dir", str(tmp_path / "results"), "--num_threads", "0",
        "--gpu_ids", "-1")
    shown = set(os.listdir(tmp_path / "results" / "halves" / "test_latest" / "images"))
    cycle = {"rec_A", "fake_A", "rec_B"} if name == "cycle_gan" else set()
    assert shown == {"real_A", "fake_B", "real_B"} | cycle


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_fewer_bits_give_nearly_the_same_losses(name, precision):
    """In the first step, before Adam makes much of little; later ones are finite, and all are float32."""
    model, exact = (adversarial.build(*MODELS[name].split(), "--precision", p) for p in (precision, "fp32"))
    rng, side = torch.get_rng_state(), model.opt.crop_size
    first = model.train_step(batch_of(side=side))
    torch.set_rng_state(rng)
    for key, loss in exact.train_step(batch_of(side=side)).items():
        assert first[key].item() == pytest.approx(loss.item(), rel=0.05, abs=0.02), key
    for step in range(1, 4):
        losses = model.train_step(batch_of(1, step, side))
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    if "nce_negatives" in MODELS[name]:
        assert {keys.dtype for keys in model.queue.queues.values()} == {torch.float32}
