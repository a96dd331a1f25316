"""Two processes train one model: one log, one set of checkpoints, and the scores that one process gives."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.faults.ranks import Ranks
from tests.faults.trainings import Training

FLAGS = ("--load_size 36 --crop_size 32 --ngf 2 --ndf 2 --netF_nc 4 --netG resnet_4blocks --nce_layers "
         "0,4 --num_patches 8 --num_threads 0 --batch_size 2 --gpu_ids -1 --display_id 0 --print_freq "
         "2 --n_epochs 1 --n_epochs_decay 0 --save_epoch_freq 1 --evaluation_freq 4 --update_html_freq "
         "4").split()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images a side to train with, so two steps, and five of other sizes to translate."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for side, count in (("trainA", 4), ("trainB", 4), ("testA", 5), ("testB", 5)):
        (root / side).mkdir()
        for number in range(count):
            pixels = random.integers(0, 256, (20 + 4 * number, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / side / f"{number}.png")
    return root


def test_two_ranks_write_what_one_writes(images: Path, tmp_path: Path) -> None:
    one, two = (Training(tmp_path / name, images, FLAGS) for name in ("one", "two"))
    assert one.run().end() == 0
    ranks = Ranks(two)
    assert ranks.end() == [0, 0] and ranks.said == []
    assert "2 ranks train one model: 1 of the 2 images of --batch_size on each" in ranks[0].out
    assert ranks[1].out == ""
    assert files(two.folder) == files(one.folder)
    assert two.kept()["total_images"] == one.kept()["total_images"] == 4
    assert [row["total_images"] for row in rows(two.folder, "stats")] == [2, 4]
    lines = (two.folder / "loss_log.txt").read_text().splitlines()
    assert len([line for line in lines if line.startswith("(epoch: 1, iters: ")]) == 2


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("generator", ["resnet_4blocks", "smallstylegan2"])
def test_scores_are_those_of_one_rank(generator: str, images: Path, tmp_path: Path) -> None:
    """Of weights that a tiny rate leaves as they are; smallstylegan2 draws noise to translate."""
    flags = [*FLAGS, "--lr", "1e-30", "--netG", generator, "--nce_layers", "0,2", "--fixed_images", "0"]
    one, two = (Training(tmp_path / name, images, flags) for name in ("one", "two"))
    assert one.run().end() == 0
    assert Ranks(two).end() == [0, 0]
    scores = [[row["metrics"] for row in rows(training.folder, "evaluations")] for training in (one, two)]
    assert scores[0] == scores[1] and len(scores[0]) == 1
    first, second = (torch.load(training.folder / "best_net_G.pth", weights_only=True)
                     for training in (one, two))
    assert all(torch.allclose(first[name], second[name], rtol=0, atol=1e-20) for name in first)


def test_one_unreadable_part_is_no_error(images: Path, tmp_path: Path) -> None:
    """The images of one rank's part of the evaluation are all torn: those of the other are scored."""
    root = tmp_path / "images"
    shutil.copytree(images, root)
    for number in (0, 1):
        (root / "testA" / f"{number}.png").write_text("torn")
    training = Training(tmp_path, root, [*FLAGS, "--fixed_images", "0"])
    ranks = Ranks(training)
    assert ranks.end() == [0, 0], ranks.said
    assert [row["fake"] for row in rows(training.folder, "evaluations")] == [3]
    assert len(ranks.said) == 2 and all(line.startswith("bad image") for line in ranks.said)


def test_alone_nothing_is_started(images: Path, tmp_path: Path) -> None:
    """WORLD_SIZE=1, as torchrun --nproc_per_node=1 has it, is a process that works alone."""
    training = Training(tmp_path, images, FLAGS)
    assert Ranks(training, count=1).end() == [0]
    assert "ranks train" not in (tmp_path / "run_1.out").read_text() and not os.environ.get("RANK")
