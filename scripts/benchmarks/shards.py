"""Time and memory of reading training items from folders beside shards, by several processes at once.

The readers stand for the workers of a loader or of several ranks: each reads its part of an epoch's order, as
random as training's. Items per second of a core are counted by the processor's time of the readers, so that
other work on the machine changes them little.
"""

import statistics
import time
from argparse import Namespace
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data import find_dataset
from data.base_dataset import ORDER, BaseDataset, Position, random_stream
from options.train_options import TrainOptions

WINDOW = 4          # shards at a time, of the third way


class Read(NamedTuple):
    """What a reader measured. memory: at the start, in the middle and at the end, see `megabytes`."""

    items: int
    cpu_seconds: float
    memory: list[tuple[float, float]]


def compare(args: Namespace) -> None:
    """Read by turns in each way; print items a second, median and range, and the readers' memory."""
    torch.set_num_threads(1)
    ways = {"folder": build(args.folder, args, "unaligned"), "shards": build(args.shards, args, "webdataset"),
            f"shards, {WINDOW} at a time": build(args.shards, args, "webdataset", shards_window=WINDOW)}
    found: dict[tuple[str, int], list[tuple[float, list[Read]]]] = {}
    for _ in range(args.rounds):
        for readers in args.readers:
            for name, dataset in ways.items():
                found.setdefault((name, readers), []).append(read_epoch(dataset, readers, args.items))
    print(f"{'way':24}{'readers':>8}{'items/s per core':>18}{'range':>16}{'items/s':>9}"
          f"{'resident MB: start, middle, end':>33}{'not shared':>24}")
    for (name, readers), rounds in found.items():
        print(row(name, readers, rounds))


def build(root: Path, args: Namespace, mode: str, **flags: Any) -> BaseDataset:
    """The data set that train.py would read."""
    more = [str(part) for flag, value in flags.items() for part in (f"--{flag}", value)]
    sizes = ["--load_size", str(args.load_size), "--crop_size", str(args.crop_size)]
    opt = TrainOptions().parse(["--dataroot", str(root), "--dataset_mode", mode, "--gpu_ids", "-1", *sizes,
                                *more])
    return find_dataset(mode)(opt)


def read_epoch(dataset: BaseDataset, readers: int, items: int | None) -> tuple[float, list[Read]]:
    """Seconds by the clock, and what each of the readers measured."""
    order = np.arange(len(dataset))
    if not dataset.ordered:
        random_stream(0, 1, 0, ORDER).shuffle(order)
    order = order[:items]
    context = get_context("fork")       # as a loader starts its workers on Linux
    results = context.SimpleQueue()
    processes = [context.Process(target=read, args=(dataset, order[reader::readers], results))
                 for reader in range(readers)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return seconds, answers


def read(dataset: BaseDataset, indices: Sequence[int], results: Any) -> None:
    """Read items and put a Read into the queue."""
    memory, began = [], time.process_time()
    moments = (0, len(indices) // 2, len(indices) - 1)
    for place, index in enumerate(indices):
        dataset[Position(1, int(index))]
        memory += [megabytes() for moment in moments if moment == place]
    results.put(Read(len(indices), time.process_time() - began, memory))


def megabytes() -> tuple[float, float]:
    """Of this process: what is in memory, and the part of it that no other process shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kB = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kB["Rss"] / 1e3, (kB["Private_Clean"] + kB["Private_Dirty"]) / 1e3


def row(name: str, readers: int, rounds: Sequence[tuple[float, list[Read]]]) -> str:
    """A line of the table; the memory is that of the round's reader that had the most at its end."""
    rates = [sum(answer.items for answer in answers) / sum(answer.cpu_seconds for answer in answers)
             for _, answers in rounds]
    speed = statistics.median(sum(answer.items for answer in answers) / seconds
                              for seconds, answers in rounds)
    most = max((answer.memory for _, answers in rounds for answer in answers), key=lambda memory: memory[-1])
    resident, own = (", ".join(f"{size:.1f}" for size in sizes) for sizes in zip(*most, strict=True))
    return (f"{name:24}{readers:8}{statistics.median(rates):18,.0f}"
            f"{f'{min(rates):,.0f}-{max(rates):,.0f}':>16}{speed:9,.0f}{resident:>33}{own:>24}")
