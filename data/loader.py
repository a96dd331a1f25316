"""Minibatches of a data set on the device, the same with any number of worker processes."""

import signal
import sys
import threading
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from data.base_dataset import ORDER, BaseDataset, Position, random_stream
from data.image_folder import tolerated_bad
from data.image_list import drawn
from util.console import say
from util.distributed import ranks
from util.errors import DataError, RunError, UsageError

AHEAD = 4    # minibatches that each worker prepares ahead of their use


class Loader:
    """Iterates over one epoch's minibatches, dicts as `collate` makes them, on the device.

    In training the order is drawn anew each epoch unless --serial_batches, and an incomplete last minibatch
    is left out. Of each minibatch a rank reads its own part: the order is the same on any number of ranks.
    In translation every image comes once, in the order of the files, except for bad ones; a minibatch of
    several sizes comes as several. "index" lists their items' numbers.

    bad: a line for each image that could not be read so far; each was also said once on stderr.
    images_per_epoch: images in a whole epoch.
    """

    def __init__(self, dataset: BaseDataset, opt: Namespace):
        if opt.isTrain and opt.batch_size > len(dataset):
            raise UsageError(f"--batch_size is {opt.batch_size}, but an epoch has only {len(dataset)} images "
                             f"({opt.dataroot!r}); choose a smaller batch or add images")
        self.dataset = dataset
        self.bad: list[str] = []
        self._training = opt.isTrain
        self._copy = DeviceCopier(opt.device)
        self._order = _Order(len(dataset), opt, dataset.weights() if opt.isTrain else None, dataset.ordered)
        self.images_per_epoch = self._order.images
        workers = min(opt.num_threads, len(self._order))
        with _any_number_of_workers():
            self._batches = DataLoader(
                _Minibatches(dataset), sampler=self._order, batch_size=None, collate_fn=_unchanged,
                num_workers=workers, persistent_workers=workers > 0, worker_init_fn=_start_worker,
                pin_memory=opt.device.type == "cuda", prefetch_factor=AHEAD if workers else None,
                generator=torch.Generator())  # its own: the default one would advance the global random state

    def set_epoch(self, epoch: int, skip_images: int = 0) -> None:
        """Choose the epoch (from 1) of the next iteration, which skips its first `skip_images` images."""
        self._order.epoch, self._order.skip_images = epoch, skip_images

    def choose(self, items: Sequence[int]) -> None:
        """The items, by number, that the next iterations in translation bring, in this order."""
        self._order.choose(items)

    def sample(self) -> dict[str, Any]:
        """A minibatch of the first items of epoch 1, read here and now."""
        batches = self._batches.dataset[[Position(1, index) for index in self._order.own]]
        if isinstance(batches, Exception):
            raise batches
        batch = batches[0]
        self._report(batch.pop("bad", []))
        return self._copy(batch)

    def __len__(self) -> int:
        """Minibatches of a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The minibatches of the epoch chosen.

        Raises RunError: in training where more than 1 % of the images, and more than three, are bad; in
        translation where none could be read.
        """
        delivered = False
        for batch in self._delivered():
            if isinstance(batch, Exception):
                raise type(batch)(*batch.args)  # the same object would keep this frame and the workers alive
            self._report(batch.pop("bad", []))
            if batch:
                delivered = True
                yield self._copy(batch)
        if self.bad and not self._training and not delivered:
            raise RunError(f"none of the {len(self.bad)} images can be read: {_listed(self.bad)}")

    def _delivered(self) -> Iterator[Any]:
        """What the workers send: minibatches and errors. Raises DataError where a worker has died."""
        with _any_number_of_workers():
            batches = iter(self._batches)
        if threading.current_thread() is threading.main_thread():
            # torch's handler would raise the moment a worker dies, in the middle of a step
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while True:
            try:
                ready = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                workers = batches._workers if self._batches.num_workers else []
                dead = [worker for worker in workers if not worker.is_alive()]
                if not dead:
                    raise
                raise DataError(_why_ended(dead[0].pid, dead[0].exitcode)) from error
            yield from [ready] if isinstance(ready, Exception) else ready

    def _report(self, reasons: list[str]) -> None:
        new = [reason for reason in dict.fromkeys(reasons) if reason not in self.bad]
        for reason in new:
            say(f"bad image: {reason}", sys.stderr)
        self.note_bad(new)

    def note_bad(self, reasons: list[str]) -> None:
        """Count images that cannot be read, here or on another rank. Raises DataError for too many."""
        self.bad += [reason for reason in dict.fromkeys(reasons) if reason not in self.bad]
        images = sum(map(len, self.dataset.domains.values())) or len(self.dataset)
        if self._training and len(self.bad) > tolerated_bad(images):
            raise DataError(f"{len(self.bad)} of {images} images cannot be read, repair or remove them: "
                           f"{_listed(self.bad)}")


class _Order:
    """The positions of each minibatch of an epoch.

    own: the places within a minibatch that this rank reads.
    """

    def __init__(self, items: int, opt: Namespace, weights: np.ndarray | None, ordered: bool):
        self.epoch, self.skip_images, self._weights = 1, 0, weights
        self._items, self.batch_size, self._seed = items, opt.batch_size, opt.seed
        self._shuffled = opt.isTrain and not opt.serial_batches and not ordered
        self._chosen: Sequence[int] | None = None
        self.images = items // opt.batch_size * opt.batch_size if opt.isTrain else items
        self.own = own_places(opt.batch_size, opt.accumulate) if opt.isTrain else range(opt.batch_size)

    def choose(self, items: Sequence[int]) -> None:
        self._chosen, self.images = items, len(items)

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)

    def __iter__(self) -> Iterator[list[Position]]:
        order = np.arange(self._items) if self._chosen is None else np.array(self._chosen, np.int64)
        random = random_stream(self._seed, self.epoch, 0, ORDER)
        if self._weights is not None:
            order = drawn(self._weights, random.random())
        if self._shuffled:
            random.shuffle(order)
        first = self.skip_images - self.skip_images % self.batch_size
        for start in range(first, self.images, self.batch_size):
            indices = order[start:min(start + self.batch_size, self.images)].tolist()
            yield [Position(self.epoch, indices[place]) for place in self.own if place < len(indices)]


def own_places(images: int, micro_batches: int) -> list[int]:
    """The places in a minibatch of so many images that this rank takes: its share of each micro-batch.

    So micro-batches, each over all ranks, follow each other in the minibatch: see models/parts.py.
    """
    size = images // micro_batches
    return [start + place for start in range(0, images, size) for place in range(size)[ranks.share(size)]]


class _Minibatches(Dataset):
    """The data set as a worker sees it: positions -> a minibatch; in translation, one for each size in a row.

    An error meant for the user is returned, not raised: torch would bury its line in a worker's traceback.
    """

    def __init__(self, dataset: BaseDataset):
        self._dataset = dataset

    def __getitem__(self, positions: list[Position]) -> list[dict[str, Any]] | UsageError | RunError:
        try:
            items, domain = list(map(self._dataset.__getitem__, positions)), self._dataset.input_domain
            if self._dataset.opt.isTrain:
                return [collate(items, domain)]
            return translation_batches(items, [position.index for position in positions], domain)
        except (UsageError, RunError) as error:
            return error


class DeviceCopier:
    """Copies minibatches to a GPU on a stream of its own, beside its computing. On a CPU it does nothing.

    The host runs ahead of a GPU, so the next minibatch is copied while the GPU still computes on the one
    before. The tensors are pinned, so that the host does not wait for the copy.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The minibatch with its tensors on the device; what is computed after this waits for the copy."""
        if self._stream is None:
            return batch
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            batch = {key: value.to(self._device, non_blocking=True) if isinstance(value, Tensor) else value
                     for key, value in batch.items()}
        computing.wait_stream(self._stream)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.record_stream(computing)    # keeps its memory until the computing is done
        return batch


def translation_batches(items: list[dict[str, Any]], numbers: Sequence[int],
                        input_domain: str) -> list[dict[str, Any]]:
    """Minibatches of items in a row whose tensors have equal shapes, each with its items' numbers as "index".

    Items whose image of the input domain was bad are left out; the first minibatch may hold "bad" alone.
    """
    left_out = [reason for item in items if input_domain not in item for reason in item.get("bad", [])]
    kept = [(number, item) for number, item in zip(numbers, items, strict=True) if input_domain in item]
    runs = [list(run) for _, run in groupby(kept, lambda numbered: _shapes(numbered[1]))]
    return [*([{"bad": left_out}] if left_out else []),
            *(collate([item for _, item in run], input_domain) | {"index": [number for number, _ in run]}
              for run in runs)]


def _shapes(item: dict[str, Any]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in item.items() if isinstance(value, Tensor)}


def collate(items: list[dict[str, Any]], input_domain: str) -> dict[str, Any]:
    """One minibatch: tensors [C, H, W] stacked to [B, C, H, W], texts listed, "bad" in one list, and numbers
    and containers as torch's DataLoader has them.

    An item whose image of the input domain was bad is left out, so that the minibatch may be empty. A domain
    that some item lacks is left out too. Raises UsageError for images of different sizes.
    """
    bad = [reason for item in items for reason in item.get("bad", [])]
    items = [item for item in items if "bad" not in item or input_domain in item]
    batch: dict[str, Any] = {"bad": bad} if bad else {}
    for key in items[0] if items else ():
        values = [item[key] for item in items if key in item]
        if key == "bad" or len(values) < len(items):
            continue
        if isinstance(values[0], Tensor):
            batch[key] = _stack(values)
        else:
            batch[key] = values if isinstance(values[0], str) else default_collate(values)
    return batch


def _stack(tensors: list[Tensor]) -> Tensor:
    shapes = {"x".join(map(str, tensor.shape[:-3:-1])) for tensor in tensors}
    if len(shapes) > 1:
        raise UsageError(f"images of {' and '.join(sorted(shapes)[:2])} cannot share a minibatch; use "
                         "--batch_size 1, or a --preprocess that gives one size, such as resize_and_crop")
    return torch.stack(tensors)


def _why_ended(pid: int, exit_code: int) -> str:
    """Why a worker that reads images ended, and what to do about it."""
    if exit_code == -signal.SIGBUS:
        return (f"the data worker {pid} ended for lack of shared memory: enlarge /dev/shm (docker run "
                "--shm-size 2g), or use --num_threads 0")
    how = f"was killed ({signal.Signals(-exit_code).name})" if exit_code < 0 else f"ended with {exit_code}"
    return (f"the data worker {pid} {how}, as happens when the machine runs out of memory: use fewer "
            "--num_threads, or 0")


def _listed(reasons: list[str], most: int = 20) -> str:
    rest = f"; and {len(reasons) - most} more" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + rest


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """Without torch's advice to have no more workers than cores: they also wait for the disk."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _unchanged(batch: Any) -> Any:
    return batch


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)  # the workers already share the cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    signal.signal(signal.SIGTERM, _ignore_once)  # as is a scheduler's signal to all; torch's would end it


def _ignore_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
