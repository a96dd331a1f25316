"""A training that is saved and resumed goes on as if it had never stopped, to the last bit."""

import pytest
import torch

from models import create_model
from tests import adversarial
from tests.adversarial import batch_of
from util.checkpoints.training_state import TrainingState
from util.checkpoints.weights import load_file, save_file
from util.errors import UsageError
from util.runtime.progress import Progress

VARIANTS = [(), ("--CUT_mode", "FastCUT"), ("--normG", "batch", "--normD", "batch"),
            ("--no_dropout", "false"), ("--gan_mode", "wgangp"), ("--lr_policy", "plateau")]


def build(*flags: str, seed: int = 0):
    opt = adversarial.parse("--netF_nc", "8", "--num_patches", "8", *flags)
    torch.manual_seed(seed)
    return create_model(opt)


def counters() -> Progress:
    return Progress(first_epoch=1, last_epoch=9)


def run(model, progress: Progress, steps: int) -> list[dict[str, float]]:
    """Two steps an epoch; the losses of each."""
    losses = []
    for _ in range(steps):
        if progress.epoch_images == 0:
            model.start_epoch(progress.epoch)
        found = model.train_step(batch_of(2, progress.total_steps))
        losses.append({name: loss.item() for name, loss in found.items()})
        progress.advance(2)
        if progress.epoch_images == 4:
            model.end_epoch()
            progress.end_epoch()
    return losses


@pytest.mark.parametrize("flags", VARIANTS, ids=lambda flags: " ".join(flags) or "CUT")
def test_resumed_is_uninterrupted(tmp_path, flags):
    flags = [*flags, "--n_epochs", "1", "--n_epochs_decay", "3"]
    model, progress = build(*flags), counters()
    run(model, progress, 3)
    with TrainingState(tmp_path) as state:
        state.save("latest", model, progress)
    uninterrupted = run(model, progress, 4)

    resumed, counted = build(*flags, seed=1), counters()
    with TrainingState(tmp_path) as state:
        assert "everything" in state.restore("latest", resumed, counted)
    assert run(resumed, counted, 4) == uninterrupted
    assert counted.state_dict() == progress.state_dict()
    assert (counted.total_images, counted.total_steps, counted.epoch, counted.epoch_images) == (14, 7, 4, 2)
    assert resumed.learning_rate() == model.learning_rate()
    for name, net in model.networks.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"


def test_weights_lie_beside_the_state_in_the_published_layout(tmp_path):
    model = build()
    with TrainingState(tmp_path) as state:
        state.save("latest", model, counters())
        state.save("5", model, counters())
    assert {p.name for p in tmp_path.iterdir()} == {"latest_state.pth", *(
        f"{label}_net_{name}.pth" for label in ("latest", "5") for name in "GFD")}
    for name, net in model.networks.items():
        found = load_file(tmp_path / f"5_net_{name}.pth")
        assert found.keys() == net.state_dict().keys()
        assert all(torch.equal(value, found[key]) for key, value in net.state_dict().items())


def test_a_numbered_epoch_gives_its_weights_and_the_epoch_after_it(tmp_path):
    model = build()
    with TrainingState(tmp_path) as state:
        state.save("5", model, counters())
        other, progress = build(seed=1), counters()
        assert "weights 5 alone" in state.restore("5", other, progress)
    assert progress.epoch == 6 and progress.total_images == 0
    for name, net in model.networks.items():
        assert all(torch.equal(v, other.networks[name].state_dict()[k]) for k, v in net.state_dict().items())


def test_what_does_not_fit_is_refused(tmp_path):
    with TrainingState(tmp_path) as state:
        state.save("latest", build(), counters())
        with pytest.raises(UsageError, match="_state.pth is of another architecture: network G .* --ngf"):
            state.restore("latest", build("--ngf", "4"), counters())
        content = load_file(tmp_path / "latest_state.pth")
        save_file(tmp_path / "latest_state.pth", {**content, "format": 99})
        with pytest.raises(UsageError, match="has format 99, this program reads 1"):
            state.restore("latest", build(), counters())
        with pytest.raises(UsageError, match="there is no .*7_net_G.pth; .* holds --epoch latest"):
            state.restore("7", build(), counters())
