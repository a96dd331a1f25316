"""Interrupted and resumed, a training ends as if it had never stopped, bit for bit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.table import tally
from tests.faults.trainings import CUT, DRIT, QUICK, SINCUT, Training, assert_equal

EPOCHS = ["--n_epochs", "2", "--n_epochs_decay", "1", "--save_epoch_freq", "2", "--save_latest_freq", "4"]
MODELS = {
    "CUT": [*CUT, *EPOCHS],
    "FastCUT": [*CUT, *EPOCHS, "--CUT_mode", "FastCUT"],
    "CUT, hDCE + SRC, places chosen by D": [*CUT, *EPOCHS, "--recipe", "hdce_src", "--nce_sampling", "dag"],
    "CUT, MoNCE, QS-Attn": [*CUT, *EPOCHS, "--recipe", "monce", "--nce_sampling", "query"],
    "CUT, pairs and others, masks, augmented, auxiliary losses": [
        *CUT, *EPOCHS, "--dataset_mode", "aligned", "--paired_ratio", "0.5", "--companions",
        "mask=trainA_mask", "--augment", "rotate90,rotate=10,scale=0.9:1.1,colour=0.2,noise=0.02",
        "--auxiliary", "l1=10,pyramid_l1=2,ssim=5,gradient=1,colour=1,tv=0.1,mask_l1=3"],
    "CUT, from a list with weights, grey": [*CUT, *EPOCHS, "--input_nc", "1"],
    "CUT, slices of volumes, grey": [*CUT, *EPOCHS, "--input_nc", "1", "--output_nc", "1",
                                     "--value_range", "p2:p98"],
    "CUT, a graph asked for": [*CUT, *EPOCHS, "--cuda_graph"],
    "SinCUT": [*SINCUT, *EPOCHS],
    # its image pools fill up before the first stop
    "CycleGAN": [*QUICK, *EPOCHS, "--model", "cycle_gan", "--netG", "resnet_4blocks", "--ngf", "2",
                 "--ndf", "2", "--crop_size", "32", "--pool_size", "2"],
    "MUNIT": [*QUICK, *EPOCHS, "--model", "munit", "--ngf", "2", "--ndf", "2", "--crop_size", "64",
              "--load_size", "72", "--lr_halving_steps", "4", "--ema", "6", "--evaluation_freq", "4"],
    "SimDCL, averaged": [*QUICK, *EPOCHS, "--model", "dclgan", "--dcl_mode", "simdcl", "--ngf", "2",
                         "--netG", "resnet_4blocks", "--ndf", "2", "--crop_size", "32", "--netF_nc", "8",
                         "--num_patches", "16", "--nce_weighting", "semantic", "--ema", "6"],
    "CUT, evaluated, with plateau": [*CUT, *EPOCHS, "--lr_policy", "plateau", "--batch_size", "2",
                                     "--evaluation_freq", "4"],
    "CUT, averaged, augmented": [*CUT, *EPOCHS, "--ema", "6", "--diffaugment", "translation,color,cutout",
                                 "--spectral_norm", "--gan_mode", "hinge", "--lr_G", "1e-4", "--lr_D", "4e-4",
                                 "--evaluation_freq", "4"],
    # the identity loss ends after the second epoch, and the rates have climbed
    "EnCo": [*QUICK, *EPOCHS, "--recipe", "enco", "--netG", "resnet_4blocks", "--ngf", "4", "--ndf", "4",
             "--netF_nc", "8", "--crop_size", "32", "--num_patches", "16", "--warmup_epochs", "2",
             "--ema", "6", "--diffaugment", "translation"],
    # stopped between two whole steps, too
    "DRIT, averaged": [*DRIT, *EPOCHS, "--ema", "6", "--evaluation_freq", "4"],
    # a minibatch in two parts
    "CUT, in micro-batches, queue": [*CUT, *EPOCHS, "--batch_size", "2", "--accumulate", "2",
                                     "--nce_negatives", "both", "--nce_queue_size", "100",
                                     "--diffaugment", "color"],
    "CycleGAN, in micro-batches": [*QUICK, *EPOCHS, "--model", "cycle_gan", "--netG", "resnet_4blocks",
                                   "--ngf", "2", "--ndf", "2", "--crop_size", "32", "--pool_size", "2",
                                   "--batch_size", "2", "--accumulate", "2"],
    "DRIT, no concatenation": [*DRIT, *EPOCHS, "--no_concat", "--no_ms", "--precision", "bf16"],
}


@pytest.fixture(scope="module")
def whole() -> dict[str, Training]:
    """Trainings by model that ran through, made when first asked for."""
    return {}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image a side."""
    root = tmp_path_factory.mktemp("single")
    for number, side in enumerate(("trainA", "trainB")):
        (root / side).mkdir()
        pixels = np.random.default_rng(number).integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / side / "image.png")
    return root


@pytest.fixture(scope="module")
def with_test_split(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    root = tmp_path_factory.mktemp("split") / "images"
    shutil.copytree(images, root)
    (root / "testB").symlink_to("trainB")
    return root


@pytest.fixture(scope="module")
def with_masks(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """The images, with a mask for each of trainA."""
    root = tmp_path_factory.mktemp("masks") / "images"
    shutil.copytree(images, root)
    (root / "trainA_mask").mkdir()
    for number, path in enumerate(sorted((root / "trainA").iterdir())):
        mask = np.random.default_rng(number).integers(0, 2, (40, 40), dtype=np.uint8)
        Image.fromarray(mask).save(root / "trainA_mask" / path.name)
    return root


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """A list of the images, one of them with five times the weight of the others."""
    path = tmp_path_factory.mktemp("list") / "list.csv"
    rows = [f"{images}/trainA/{number}.png,{images}/trainB/{min(number, 4)}.png,{5 if number == 2 else 1}"
            for number in range(6)]
    path.write_text("\n".join(["A,B,weight", *rows]))
    return path


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes of A, one of B, six and five slices."""
    root = tmp_path_factory.mktemp("volumes")
    for name, slices in (("trainA/a", 4), ("trainA/b", 2), ("trainB/a", 5)):
        (root / name).parent.mkdir(exist_ok=True)
        values = np.random.default_rng(slices).normal(0, 500, (slices, 40, 40)).astype(np.float32)
        np.save(root / name, values)
    return root


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("model", MODELS)
def test_resumed_run_equals_the_undisturbed_one(
        model: str, workers: str, whole: dict[str, Training], images: Path, single: Path,
        with_test_split: Path, with_masks: Path, listed: Path, volumes: Path, tmp_path: Path) -> None:
    special = {"SinCUT": single, "CUT, slices of volumes, grey": volumes,
               "CUT, from a list with weights, grey": listed,
               "CUT, pairs and others, masks, augmented, auxiliary losses": with_masks}
    data = special.get(model, with_test_split if "--evaluation_freq" in MODELS[model] else images)
    if model not in whole:
        whole[model] = Training(tmp_path / "whole", data, [*MODELS[model], "--num_threads", "0"])
        assert whole[model].run().end() == 0
    training = Training(tmp_path / "cut", data, [*MODELS[model], "--num_threads", workers])
    steps = whole[model].rows()
    with tally(f"stopped three times and resumed: {model}"):
        # in the first epoch, about the end of one, and in the last
        for number, after in enumerate((steps // 6, steps // 3 - 1, steps - 2)):
            training.stop_after(after, resume=number > 0)
        assert training.run(resume=True).end() == 0
        assert_equal(training, whole[model])


def test_a_run_is_resumed_with_a_graph_and_without(whole: dict[str, Training], images: Path,
                                                   tmp_path: Path) -> None:
    """Where no graph can be, one line says so, of a graph that was typed alone, and the end is the same."""
    if "CUT" not in whole:
        whole["CUT"] = Training(tmp_path / "whole", images, [*MODELS["CUT"], "--num_threads", "0"])
        assert whole["CUT"].run().end() == 0
    training = Training(tmp_path / "cut", images,
                        [*MODELS["CUT"], "--num_threads", "0", "--cuda_graph", "auto"])
    with tally("stopped and resumed with another --cuda_graph"):
        training.stop_after(whole["CUT"].rows() // 2)
        resumed = training.run("--cuda_graph", resume=True)
        assert resumed.end() == 0, resumed.err
        assert_equal(training, whole["CUT"])
    line = "--cuda_graph: the steps run without a graph, the device is cpu\n"
    first, second = (training.log_folder / f"run_{start}.out" for start in (1, 2))
    assert line not in first.read_text() and second.read_text().count(line) == 1
