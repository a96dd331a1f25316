"""--ema: the averages' formula, what computes with them, what is saved, and what a resumed run says."""

import copy
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import test as translation
import train
from models.ema import EMA
from tests.adversarial import SMALL, batch_of, build
from util.errors import UsageError


class Numbers(nn.Module):
    """Two weights and a counter."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.register_buffer("counter", torch.tensor(0))


def set_to(net: Numbers, value: np.ndarray, counter: int) -> None:
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(value))
        net.counter.fill_(counter)


def test_the_formula_in_float64():
    """What counts before n images of batch b counts 2^(-b / half-life) after; the half-life is limited by a
    twentieth of the images before the step."""
    net = Numbers()
    ema = EMA({"G": net}, half_life=100)
    random = np.random.default_rng(0)
    expected, images = np.zeros(2), 0
    for step in range(1500):
        weight, batch = random.standard_normal(2), int(random.integers(1, 5))
        set_to(net, weight, step)
        half_life = min(100, images / 20)
        keep = 2 ** (-batch / half_life) if half_life > 0 else 0
        expected, images = keep * expected + (1 - keep) * weight, images + batch
        ema.update(batch)
        found = ema.averages["G"]
        np.testing.assert_allclose(found["weight"].numpy(), expected, atol=1e-6)
        assert found["counter"] == step
    assert images > 2000 and ema.images == images       # beyond the start, in which the half-life grows


def test_a_weight_counts_half_as_much_after_the_half_life():
    net = Numbers()
    ema = EMA({"G": net}, half_life=64)
    ema.images = 64 * 20
    set_to(net, np.zeros(2), 0)
    for _ in range(16):
        ema.update(images=4)
    assert ema.averages["G"]["weight"].tolist() == pytest.approx([0.5, -1.0])


def test_networks_compute_with_the_averages_within_the_block_alone():
    net = Numbers()
    ema = EMA({"G": net}, half_life=10)
    optimizer = torch.optim.Adam(net.parameters())
    set_to(net, np.array([3.0, 4.0]), 7)
    with pytest.raises(RuntimeError, match="within"), ema.applied():
        assert (net.weight.tolist(), net.counter.item()) == ([1.0, -2.0], 0)
        raise RuntimeError("within")
    assert (net.weight.tolist(), net.counter.item()) == ([3.0, 4.0], 7)
    net.weight.sum().backward()
    optimizer.step()
    assert net.weight.tolist() != [3.0, 4.0] and ema.averages["G"]["weight"].tolist() == [1.0, -2.0]


@pytest.mark.parametrize("flags", [["--model", "cut", "--nce_layers", "0,4", "--netF_nc", "4"],
                                   ["--model", "cycle_gan"], ["--model", "gcgan", "--normG", "batch"],
                                   ["--model", "distance_gan", "--precision", "bf16"],
                                   ["--model", "dclgan", "--netF_nc", "4"]])
def test_every_model_learns_as_without_and_averages_its_generators(flags):
    one, other = build(*flags, "--ema", "5"), build(*flags)
    for model in (one, other):
        torch.manual_seed(1)
        for step in range(3):
            model.train_step(batch_of(2, step))
    for name, net in other.networks.items():
        for key, value in net.state_dict().items():
            assert torch.equal(one.networks[name].state_dict()[key], value)
    assert one.ema.images == 6 and "ema" not in other.state_dict() and list(other.weight_sets()) == [""]
    assert list(one.ema.averages) == [name for name in one.networks if name.startswith("G")]
    for name, averages in one.ema.averages.items():
        now = one.networks[name].state_dict()
        assert averages.keys() == now.keys()
        assert all(average.dtype == now[key].dtype for key, average in averages.items())
        assert any(not torch.equal(average, now[key]) for key, average in averages.items())


@pytest.mark.parametrize("name", ["cut", "cycle_gan", "dclgan"])
def test_saved_averages_translate_with_use_ema(tmp_path, name):
    flags = "--model", name
    model = build(*flags, "--ema", "30")
    for step in range(3):
        model.train_step(batch_of(1, step))
    model.save_weights(tmp_path, "latest")
    own, averaged = (build(*flags, *more, train=False) for more in ([], ["--use_ema"]))
    for translator in (own, averaged):
        translator.load_weights(tmp_path, "latest")
        translator.train(False)
    model.train(False)
    for (suffix, weights), translator in zip(model.weight_sets().items(), (own, averaged), strict=True):
        with weights:
            expected = model.test_step(batch_of())
        found = translator.test_step(batch_of())
        assert found.keys() == expected.keys() and suffix in ("", "_ema")
        assert all(torch.equal(images, expected[label]) for label, images in found.items())
    assert not torch.equal(own.test_step(batch_of())["fake_B"], averaged.test_step(batch_of())["fake_B"])


def test_use_ema_without_averages_is_said(tmp_path):
    build("--model", "cut").save_weights(tmp_path, "latest")
    with pytest.raises(UsageError, match=r"--use_ema: there is .*_net_G.pth, but no latest_net_G_ema.pth; "):
        build("--model", "cut", "--use_ema", train=False).load_weights(tmp_path, "latest")
    with pytest.raises(UsageError, match="there is no .*9_net_G_ema.pth; .* choose one with --epoch"):
        build("--model", "cut", "--use_ema", train=False).load_weights(tmp_path, "9")


def test_a_resumed_run_goes_on_with_its_averages(capsys):
    flags = "--model", "cycle_gan", "--ema", "4"
    whole = build(*flags)
    for step in range(2):
        whole.train_step(batch_of(1, step))
    resumed = build(*flags)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for model in (whole, resumed):
        torch.manual_seed(2)
        model.train_step(batch_of(1, 2))
    assert resumed.ema.images == whole.ema.images == 3
    for name, averages in whole.ema.averages.items():
        assert all(torch.equal(value, resumed.ema.averages[name][key]) for key, value in averages.items())
    assert capsys.readouterr().out == ""


def test_averages_that_begin_or_end_on_resuming_are_said(tmp_path, capsys):
    without, with_averages = build("--model", "cut"), build("--model", "cut", "--ema", "4")
    without.train_step(batch_of())
    with_averages.load_state_dict(without.state_dict())
    assert capsys.readouterr().out.count("\n") == 1
    for key, value in without.networks["G"].state_dict().items():
        assert torch.equal(with_averages.ema.averages["G"][key], value)
    with_averages.save_weights(tmp_path, "latest")
    assert (tmp_path / "latest_net_G_ema.pth").exists()

    without.load_state_dict(with_averages.state_dict())
    said = capsys.readouterr().out
    assert said == "--ema is 0: the averages in the saved state are dropped\n"
    without.save_weights(tmp_path, "latest")        # averages of another moment would be mistaken for its own
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"latest_net_{n}.pth" for n in "DFG"]


def test_averages_start_from_weights_that_are_loaded(tmp_path):
    build("--model", "cut", "--init_type", "normal").save_weights(tmp_path, "3")
    model = build("--model", "cut", "--ema", "4")
    model.load_weights(tmp_path, "3")
    for key, value in model.networks["G"].state_dict().items():
        assert torch.equal(model.ema.averages["G"][key], value)


def test_train_and_test_as_users_run_them(tmp_path, monkeypatch, capsys):
    """Scores of the weights and of their averages; translations by the averages in a folder apart."""
    for number, folder in enumerate(("trainA", "trainB", "testA", "testB")):
        (tmp_path / folder).mkdir()
        for name in range(2):
            pixels = np.random.default_rng((number, name)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    where = ["--dataroot", str(tmp_path), "--checkpoints_dir", str(tmp_path), "--name", "run"]
    flags = "--n_epochs 2 --n_epochs_decay 0 --evaluation_freq 2 --display_id 0 --no_html --lr 0.01 --ema 8"
    monkeypatch.setattr(sys, "argv", ["train.py", *SMALL, *where, *flags.split()])
    train.main()
    rows = [json.loads(line) for line in (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()]
    assert [list(row["metrics"]) for row in rows] == [["swd", "swd_ema"]] * 2
    assert "swd_ema" in capsys.readouterr().out and (tmp_path / "run" / "best_net_G_ema.pth").exists()
    results = tmp_path / "results"
    for more in ([], ["--use_ema"]):
        argv = ["test.py", *SMALL[-4:], *where, "--results_dir", str(results), *more]
        monkeypatch.setattr(sys, "argv", argv)
        translation.main()
    assert sorted(path.name for path in (results / "run").iterdir()) == ["test_latest", "test_latest_ema"]
