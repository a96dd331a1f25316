"""Models in the reference's form: trained, saved, resumed, translated and shown as ours are."""

import inspect
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from models import create_model, find_model
from models.base_model import BaseModel
from models.reference_api.adapter import ReferenceModel
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.reference_files import dropped_in
from util.checkpoints.training_state import TrainingState
from util.errors import UsageError
from util.runtime.progress import Progress
from util.runtime.seed import seed_everything

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --crop_size 16 --load_size 18 "
         "--gpu_ids -1 --num_threads 0").split()
NCE = "--nce_layers 0,4,8 --netF_nc 4 --num_patches 8".split()
MODELS = {"headed": ["--dataset_mode", "masked", *NCE], "plain": ["--pool_size", "2"], "rewritten": NCE}


@pytest.fixture(scope="module", autouse=True)
def files() -> Iterator[None]:
    with dropped_in():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir()
        for number in range(4):
            pixels = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


class Run:
    """A training of a model, step by step."""

    def __init__(self, folder: Path, *flags: str):
        self.opt = TrainOptions().parse([*SMALL, "--checkpoints_dir", str(folder), "--name", "run", *flags])
        seed_everything(self.opt.seed)
        self.loader = create_loader(self.opt)
        self.model = create_model(self.opt)
        self.model.data_dependent_initialize(self.loader.sample)
        self.progress = Progress(first_epoch=1, last_epoch=9, images_per_epoch=self.loader.images_per_epoch)
        self.folder = folder / "run"

    def steps(self, count: int) -> list[dict[str, float]]:
        """The losses of so many steps, from where the run is."""
        self.model.start_epoch(self.progress.epoch)
        self.loader.set_epoch(self.progress.epoch, skip_images=self.progress.epoch_images)
        losses = []
        for batch, _ in zip(self.loader, range(count), strict=False):
            losses.append({name: float(loss) for name, loss in self.model.train_step(batch).items()})
            self.progress.advance(images=len(batch["A"]))
        return losses


def flags_of(model: str, images: Path) -> list[str]:
    return ["--model", model, "--dataroot", str(images), *MODELS[model]]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", MODELS)
def test_a_stopped_and_resumed_run_equals_the_whole(model, precision, images, tmp_path):
    flags = [*flags_of(model, images), "--precision", precision]
    whole = Run(tmp_path / "whole", *flags)
    losses = whole.steps(4)
    first = Run(tmp_path / "parts", *flags)
    before = first.steps(2)
    with TrainingState(first.folder) as state:
        state.save("latest", first.model, first.progress)
    second = Run(tmp_path / "parts", *flags)
    with TrainingState(second.folder) as state:
        state.restore("latest", second.model, second.progress)
    assert before + second.steps(2) == losses
    assert_equal(second.model.state_dict(), whole.model.state_dict())
    assert all(np.isfinite(list(row.values())).all() for row in losses) and losses[0] != losses[1]


def assert_equal(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


@pytest.mark.parametrize("precision, close", [("fp32", 2e-4), ("bf16", 0.05)])
def test_losses_of_a_rewritten_cut_are_those_of_ours(precision, close, images, tmp_path):
    """With all places in the loss, no crop, and pairs by number, no step draws anything."""
    same = ["--dataroot", str(images), "--nce_layers", "0,4,8", "--netF_nc", "4", "--num_patches", "1000",
            "--preprocess", "resize", "--load_size", "16", "--no_flip", "--serial_batches",
            "--batch_size", "2", "--precision", precision]
    ours = Run(tmp_path / "ours", "--model", "cut", *same)
    theirs = Run(tmp_path / "theirs", "--model", "rewritten", *same)
    for name, net in ours.model.networks.items():
        assert_equal(theirs.model.networks[name].state_dict(), net.state_dict())
    for one, other in zip(ours.steps(2) + ours.steps(2), theirs.steps(2) + theirs.steps(2), strict=True):
        assert list(one) == list(other)
        assert one == pytest.approx(other, rel=close, abs=close)


def test_a_subclass_of_cut_computes_cuts_losses_and_its_own(images, tmp_path):
    """Of the first step, before anything has learnt: G is CUT's loss and the head's."""
    run = Run(tmp_path, *flags_of("headed", images))
    loss, = run.steps(1)
    nce = (loss["NCE"] + loss["NCE_Y"]) / 2
    assert run.model.inner.steps == 2       # one was with the first minibatch
    assert loss["G"] == pytest.approx(loss["G_GAN"] + nce + loss["head"] / 2, rel=1e-5)
    assert run.opt.lambda_NCE == 2.0 and run.model.describe().count("[Network") == 4


def test_a_net_in_the_first_optimizer_learns_and_its_rate_falls(images, tmp_path):
    run = Run(tmp_path, *flags_of("headed", images), "--n_epochs", "1", "--n_epochs_decay", "3")
    before = run.model.networks["Head"].state_dict()["net.0.weight"].clone()
    run.steps(1)
    assert not torch.equal(before, run.model.networks["Head"].state_dict()["net.0.weight"])
    run.model.start_epoch(3)        # linear: 1 - 2 / 4
    rates = {name: o.param_groups[0]["lr"] for name, o in run.model.optimizers.items()}
    assert rates == pytest.approx(dict.fromkeys("GDF", 1e-4)) and run.model.learning_rate() == rates["G"]


def test_rates_of_groups_keep_their_ratio(images, tmp_path):
    run = Run(tmp_path, *flags_of("plain", images), "--n_epochs", "1", "--n_epochs_decay", "1")
    run.model.start_epoch(2)
    assert [g["lr"] for g in run.model.optimizers["G"].param_groups] == pytest.approx([1e-4, 5e-5])


@pytest.mark.parametrize("model", MODELS)
def test_what_is_shown(model, images, tmp_path):
    run = Run(tmp_path, *flags_of(model, images))
    run.steps(1)
    visuals = run.model.visuals()
    assert {"real_A", "fake_B", "real_B"} <= visuals.keys() and "G" in run.model.losses
    assert all(image.ndim == 4 and image.shape[1] in (1, 3) for image in visuals.values())
    if model == "plain":
        assert visuals["features"].shape[1] == 3        # the first of four channels and more


def test_an_evaluation_leaves_the_object_as_it_was(images, tmp_path):
    run = Run(tmp_path, *flags_of("plain", images))
    run.steps(1)
    shown, attributes = run.model.visuals(), dict(vars(run.model.inner))
    run.model.test_step({"A": torch.rand(1, 3, 16, 16), "A_paths": ["a.png"]})
    after = vars(run.model.inner)
    assert after.keys() == attributes.keys() and all(after[name] is attributes[name] for name in after)
    assert_equal(run.model.visuals(), shown)


@pytest.mark.parametrize("model", MODELS)
def test_translated_from_saved_weights_as_the_net_translates(model, images, tmp_path):
    """At a size that no network takes: 18 x 15, by replication, and cut back."""
    run = Run(tmp_path, *flags_of(model, images))
    run.steps(2)
    run.model.save_weights(run.folder, "latest")
    opt = translation_options(tmp_path, model, images)
    translator = create_model(opt)
    translator.load_weights(run.folder, "latest")
    translator.train(False)
    A = torch.rand(1, 3, 18, 15) * 2 - 1
    found = translator.test_step({"A": A, "A_paths": ["a.png"]})
    net = run.model.networks["G" if "G" in run.model.networks else "G_A"]
    expected = net(torch.nn.functional.pad(A, (0, 1, 0, 2), mode="replicate"))[..., :18, :15]
    assert found.keys() == {"real_A", "fake_B"} and torch.equal(found["real_A"], A)
    assert torch.equal(found["fake_B"], expected)
    assert set(translator.networks) == {"headed": {"G", "Head"}, "plain": {"G_A", "G_B"},
                                        "rewritten": {"G"}}[model]


def translation_options(folder: Path, model: str, images: Path) -> Namespace:
    nce = NCE[:4] if model != "plain" else []
    return TestOptions().parse([*SMALL, "--checkpoints_dir", str(folder), "--name", "run", "--model", model,
                                "--dataroot", str(images), *nce])


def test_flags_that_ours_has_take_the_files_default(images, tmp_path):
    opt = TrainOptions().parse([*SMALL, "--model", "plain", "--dataroot", str(images)])
    assert (opt.seed, opt.gan_mode, opt.swap, opt.pool_size) == (7, "vanilla", False, 50)


def test_ema_and_fp16s_scale_reach_them(images, tmp_path):
    run = Run(tmp_path, *flags_of("rewritten", images), "--ema", "4", "--precision", "fp16")
    run.steps(2)
    assert run.model.ema.averages.keys() == {"G"} and "G" in run.model.losses
    assert run.model.precision.scaler.state_dict()["_growth_tracker"] in (0, 2)


def test_switches_of_the_networks_reach_them(images, tmp_path):
    """Spectral norm is put on D when its optimizer is there already, and must not be lost to it."""
    run = Run(tmp_path, *flags_of("rewritten", images), "--spectral_norm", "--diffaugment", "color",
              "--grad_checkpoint", "--channels_last")
    weight = run.model.networks["D"].get_parameter("model.0.parametrizations.weight.original")
    before, moved = weight.clone(), run.model.networks["G"].get_parameter("model.1.weight")
    run.steps(1)
    assert not torch.equal(weight, before) and run.model.networks["G"].checkpointing
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert len(run.model.networks["D"]._forward_pre_hooks) == 1


def test_what_a_file_keeps_is_saved_where_it_changed(images, tmp_path):
    run = Run(tmp_path, *flags_of("plain", images))
    assert run.model.state_dict()["kept"] == {}
    run.steps(3)
    kept = run.model.state_dict()["kept"]
    assert kept.keys() == {"slow", "pool", "step_count", "running"}
    assert kept["step_count"] == 3 and len(kept["pool"]["images"]) == 2


def test_a_model_that_cannot_be_copied_goes_without_a_trial(images, tmp_path, monkeypatch):
    found = find_model("plain")
    monkeypatch.setattr(found.written, "__deepcopy__", lambda *_: 1 / 0, raising=False)
    run = Run(tmp_path, *flags_of("plain", images))
    assert run.model.inner.step_count == 0 and run.steps(1)


def test_a_model_that_shows_no_fake_B_is_scored_by_what_it_makes(images, tmp_path, monkeypatch):
    run = Run(tmp_path, *flags_of("plain", images))
    A = torch.rand(1, 3, 16, 16)
    shown = run.model.test_step({"A": A, "A_paths": ["a.png"]})["fake_B"]
    run.model.inner.visual_names = ["real_A", "real_B", "output", "rec_A"]
    forward = run.model.inner.forward
    run.model.inner.forward = lambda: (forward(), setattr(run.model.inner, "output", run.model.inner.fake_B))
    assert torch.equal(run.model.test_step({"A": A, "A_paths": ["a.png"]})["fake_B"], shown)
    run.model.inner.visual_names = ["real_A"]
    with pytest.raises(UsageError, match="models/plain_model.py shows no image that it makes"):
        run.model.test_step({"A": A, "A_paths": ["a.png"]})


def test_ours_are_not_adapted():
    for name in ("cut", "sincut", "cycle_gan", "gcgan", "distance_gan"):
        assert issubclass(find_model(name), BaseModel) and not issubclass(find_model(name), ReferenceModel)
    assert issubclass(find_model("headed"), ReferenceModel) and not inspect.isabstract(find_model("headed"))


@pytest.mark.parametrize("model, flags, words", [
    ("headed", [], "the model asks the data for 'mask', but a minibatch holds"),
    ("headed", ["--dataset_mode", "masked", "--nce_weighting", "ot"], "--nce_weighting ot belongs to"),
    ("plain", ["--lr_G", "1e-3"], "--lr_G and --lr_D do not reach models/plain_model.py"),
    ("plain", ["--gan_mode", "hinge"], "--gan_mode hinge needs to know whether D or G learns"),
    ("rewritten", ["--crop_size", "4", "--load_size", "4"], "--crop_size 4 is too small")])
def test_one_line_before_anything_is_written(model, flags, words, images, tmp_path):
    base = [*flags_of(model, images), *flags]
    if model == "headed" and not flags:
        base = ["--model", model, "--dataroot", str(images), *NCE]
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        Run(tmp_path, *base)
    assert list(tmp_path.iterdir()) == []
