"""Trainings, resumed trainings and translations on a pretended GPU, and what must be true of them."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from models import create_model
from models.base_model import BaseModel
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.dry_run.cases import Case
from tests.dry_run.pretend import A_GPU, CUDA, Gpu, pretend_cuda, standing_in
from tests.dry_run.record import Memories, Record, difference
from util.runtime.health import LossMonitor
from util.runtime.progress import Progress

DRAWS = (0.9, 0.1)      # of the host, in turns: no and yes, wherever a half decides
# A translation's styles follow from names of images, so the host draws them. It is a copy a minibatch.
STYLES = "aten._to_copy.default at models/multimodal.py"


def parse(flags: str, *, train: bool = True) -> Namespace:
    """The options of train.py or test.py on a machine with one GPU."""
    with standing_in(A_GPU):
        options = TrainOptions() if train else TestOptions()
        return options.parse(["--dataroot", "none", "--gpu_ids", "0", *flags.split()])


def batch_of(images: int, height: int, width: int, channels: tuple[int, int] = (3, 3)) -> dict[str, Tensor]:
    """A minibatch as the loader gives it, on the CPU."""
    return {domain: torch.empty(images, count, height, width)
            for domain, count in zip("AB", channels, strict=True)}


def build_translator(flags: str) -> BaseModel:
    """The model that test.py builds."""
    opt = parse(flags, train=False)
    model = create_model(opt)
    model.train(not opt.eval)
    return model


class Training:
    """A model with what train.py keeps beside it; to be used within `pretend_cuda` alone."""

    def __init__(self, flags: str, gpu: Gpu):
        self.flags, self.gpu, self.memories = flags, gpu, Memories()
        self.opt = parse(flags)
        self.model = create_model(self.opt)
        self.watch = LossMonitor(self.opt.on_nan, self.model.optimizers.values(), self.model.gan_weight)
        self.progress = Progress(first_epoch=1, last_epoch=400)
        self.model.start_epoch(1)

    def step(self) -> Record:
        """One turn of train.py's loop, checked. Returns the record of train_step alone."""
        opt = self.opt
        batch = batch_of(opt.batch_size, opt.crop_size, opt.crop_size, (opt.input_nc, opt.output_nc))
        if opt.auxiliary:
            batch |= {"mask": torch.empty_like(batch["A"][:, :1]),
                      "paired": torch.empty(opt.batch_size, 1, 1, 1)}
        with self.gpu.reading_nothing():
            with Record(batch, self.memories) as record:
                losses = self.model.train_step(batch)
            with Record() as watching:
                self.progress.advance(images=len(batch["A"]))
                self.watch.step(self.progress, losses)
        check_values(self.model, losses)
        check_stays(record, watching)
        return record

    def evaluate(self) -> None:
        """What an evaluation makes of a test image, between two steps."""
        self.model.train(False)
        translate(self.model, batch_of(1, self.opt.crop_size, self.opt.crop_size), self.gpu)
        self.model.train(True)

    def resume(self, flags: str = "") -> "Training":
        """A new training with this one's state, which comes from a file and so from the CPU.

        flags: more of them.
        """
        state = tree_map(lambda x: x.cpu() if isinstance(x, Tensor) else x, self.model.state_dict())
        again = Training(f"{self.flags} {flags}", self.gpu)
        again.model.load_state_dict(state)
        return again


@contextmanager
def training(flags: str) -> Iterator[Training]:
    with pretend_cuda(DRAWS) as gpu:
        yield Training(flags, gpu)


def check_steps(case: Case, run: Training) -> None:
    """A first step of each kind, and then two of each, which must be alike."""
    for _ in range(case.period):
        run.step()
    first, second = ([run.step() for _ in range(case.period)] for _ in range(2))
    found = [difference(a, b) for a, b in zip(first, second, strict=True)]
    if case.unlike:
        assert any(found), f"all steps are alike now; no longer true is: {case.unlike}"
    else:
        assert not any(found), f"two steps of one kind differ: {found}"


def check_life(case: Case, run: Training) -> None:
    """A training, an evaluation in it, and its resume; AssertionError, or torch's own, for what is wrong."""
    check_steps(case, run)
    run.evaluate()
    run.resume().step()


def check_values(model: BaseModel, losses: Mapping[str, Tensor]) -> None:
    """Losses, images shown, weights and Adam's moments are float32 on the GPU."""
    check_tensors({f"loss {name}": loss for name, loss in losses.items()})
    assert not any(loss.requires_grad for loss in losses.values()), "a loss holds on to its graph"
    check_tensors({f"image {label}": images for label, images in model.visuals().items()})
    for name, net in model.networks.items():
        check_tensors({f"{name}.{key}": p for key, p in net.named_parameters()})
        assert all(x.device == CUDA for x in net.buffers()), f"a buffer of {name} is elsewhere"
    for name, optimizer in model.optimizers.items():
        for p, state in optimizer.state.items():
            check_tensors({f"{key} of {name}'s optimizer": x for key, x in state.items()})
            assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == p.stride(), \
                f"the moments of {name}'s optimizer have another order in memory than its weights"
    scaled = model.precision.scaler.is_enabled()
    assert scaled == (model.opt.precision == "fp16"), "losses are scaled in fp16, and there alone"


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    for name, x in tensors.items():
        assert (x.device, x.dtype) == (CUDA, torch.float32), f"{name} is {x.dtype} on {x.device}"


def check_stays(*records: Record, but: str = "") -> None:
    """but: how the line of an operation begins that may have tensors of two devices; "": none may."""
    crossings = [line for record in records for line in record.crossings
                 if not but or not line.startswith(but)]
    assert not crossings, f"the host takes part: {crossings}"


def translate(model: BaseModel, batch: dict[str, Tensor], gpu: Gpu) -> Record:
    """test_step, checked."""
    with gpu.reading_nothing(), Record(batch) as record:
        images = model.test_step(batch)
    check_stays(record, but=STYLES)
    check_tensors({f"image {label}": x for label, x in images.items()})
    assert {x.shape for x in images.values()} == {batch["A"].shape}
    return record
