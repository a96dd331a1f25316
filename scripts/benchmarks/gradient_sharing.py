"""Two ways to share the gradients of CUT's step over two ranks of this machine, timed side by side.

    python -m scripts.benchmarks.gradient_sharing

One is the project's, one message behind each backward; the other is torch's DistributedDataParallel, behind a
module whose forward takes a method's name. Both are compared with ranks that share nothing. The steps of the
three take turns, so that other load on the machine meets all of them.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models import create_model
from models.cut_model import CUTModel
from options.train_options import TrainOptions

FLAGS = ("--dataroot none --gpu_ids -1 --precision fp32 --batch_size 2 --netG resnet_6blocks --ngf 32 "
         "--ndf 32 --crop_size 64 --load_size 64")
WAYS = ("nothing shared", "one message", "DistributedDataParallel")
ROUNDS = 10


class Dispatching(nn.Module):
    """A network whose methods are called through forward, by name."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, method: str, *args: Any) -> Any:
        return getattr(self.net, method)(*args)


class Through:
    """Stands in a model for a network; all passes go through DistributedDataParallel."""

    def __init__(self, net: nn.Module):
        self.shared = DistributedDataParallel(Dispatching(net), broadcast_buffers=False)

    def __getattr__(self, method: str) -> Any:
        return lambda *args: self.shared(method, *args)

    def __call__(self, *args: Any) -> Any:
        return self.shared("forward", *args)


def build(way: str) -> CUTModel:
    torch.manual_seed(0)
    model = create_model(TrainOptions().parse(FLAGS.split()))
    if way != "one message":
        for optimizer in model.optimizers.values():
            optimizer._optimizer_step_pre_hooks.clear()
        model.over_ranks.average = lambda optimizers: None
    if way == "DistributedDataParallel":
        model.netG, model.patch_nce.netF = Through(model.netG), Through(model.netF)
        model.patch_nce.netG = model.netG
        model.networks["D"] = Through(model.netD)       # D's own loss; G's passes by the plain D
    return model


def as_rank(store: str, rank: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
    models = {way: build(way) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS + 2):
        torch.manual_seed(10 * number + int(rank))
        batch = {domain: torch.rand(1, 3, 64, 64) * 2 - 1 for domain in "AB"}
        for way, model in models.items():
            torch.manual_seed(number)
            dist.barrier()
            began = time.perf_counter()
            model.train_step(batch)
            if number >= 2:
                seconds[way].append(time.perf_counter() - began)
    if int(rank) == 0:
        weights = {way: flat(model) for way, model in models.items()}
        size = weights["one message"].numel() * 4 / 1e6
        print(f"{size:.1f} MB of gradients; G's weights of both ways differ by "
              f"{(weights[WAYS[1]] - weights[WAYS[2]]).abs().max():.1e}, from ranks that share nothing by "
              f"{(weights[WAYS[1]] - weights[WAYS[0]]).abs().max():.1e}")
        for way in WAYS:
            print(f"{way}: {min(seconds[way]) * 1e3:.0f} ms at least, "
                  f"{statistics.median(seconds[way]) * 1e3:.0f} ms in the middle")
    dist.destroy_process_group()


def flat(model: CUTModel) -> Tensor:
    return torch.cat([p.detach().flatten() for name in ("G", "F", "D") for p in model.parameters_of(name)])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scripts.benchmarks.gradient_sharing", f"{folder}/store"]
        for process in [subprocess.Popen([*command, rank]) for rank in "01"]:
            if process.wait():
                sys.exit(process.returncode)


if __name__ == "__main__":
    as_rank(*sys.argv[1:]) if len(sys.argv) > 1 else main()
