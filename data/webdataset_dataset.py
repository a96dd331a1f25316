"""Two domains in tar shards: <dataroot>/<phase>A-000000.tar and so on, and the same of B."""

import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

from data.companions import Companion, Labels, check_sizes
from data.readers.formats import IMAGES
from data.shards.ahead import FetchAhead
from data.shards.find import Source, find_images, has_set
from data.shards.order import StreamOrder
from data.shards.packed import PackedImages
from data.shards.store import ShardStore, is_remote, opener
from data.transforms import Geometry
from data.unaligned_dataset import UnalignedDataset
from util.errors import UsageError
from util.flags import integer, number

SIZES_AT_START = 100        # companions whose sizes are compared before the run begins; others when read
WINDOW = 4                  # shards, of those that are remote
SHUFFLE = 3                 # the purpose of random numbers, beside those in data/base_dataset.py


class WebdatasetDataset(UnalignedDataset):
    """As `unaligned`, with the same images in the same order, but each folder is packed in shards.

    With --shards_window, and for remote shards, a few shards at a time are read instead, in the order of
    StreamOrder. Companions are a set of shards of their own, found in --dataroot under their folder's name.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        add = parser.add_argument
        for domain in "AB":
            add(f"--shards_{domain}", default="",
                help=f"shards of {domain}, below --dataroot: trainA-{{000000..000099}}.tar, or a URL (pipe:, "
                     f"http:, https:) in that form; default: <phase>{domain}-*.tar, or all in the folder "
                     f"<phase>{domain}")
        add("--shards_remote", action="store_true", per_run=True,
            help="allow URLs of shards: pipe: runs its command here, http: opens connections")
        if is_train:
            add("--shards_window", type=integer(at_least=0), default=None,
                help="shards that are read at a time, one group behind another; 0: images of all of them, in "
                     f"the order of a folder; default: 0, for remote shards {WINDOW}")
        add("--shards_dir", default=None,
            help="folder of remote shards that are here; default: <checkpoints_dir>/cache/shards")
        add("--shards_limit", type=number(above=0), default=20.0,
            help="gigabytes of remote shards that are kept here at a time")
        return parser

    def __init__(self, opt: Namespace):
        self._source = Source(opt.dataroot, _store(opt) if opt.shards_remote else None)
        self._remote = any(is_remote(pattern) for pattern in (opt.shards_A, opt.shards_B))
        super().__init__(opt)
        self._orders = self._stream_orders() if opt.isTrain and not opt.serial_batches else {}
        self.ordered = bool(self._orders)
        self._ahead = FetchAhead()
        if self._remote:
            self._check_remote()

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        if not self._orders:
            return super().item(index, epoch, random)
        here_to_read = self.opt.num_threads == 0 or get_worker_info() is not None
        for domain, order in self._orders.items():
            if here_to_read and order.starts_window(index):     # a thread would not live on in a worker
                numbers = order.upcoming(epoch, index)
                self._ahead.fetch(self._images(domain).shards_of(numbers))
        return self.read({domain: order.number(epoch, index) for domain, order in self._orders.items()},
                         epoch, random)

    # ---- finding

    def _find_folders(self, dataroot: str) -> dict[str, str]:
        here, other = self.input_domain, "A" if self.input_domain == "B" else "B"
        phase = self.opt.phase
        if phase == "test" and not has_set(dataroot, "test" + here) and has_set(dataroot, "val" + here):
            phase = "val"
        wanted = [domain for domain in (here, other) if self.opt.isTrain or domain == here
                  or self._pattern(domain) or has_set(dataroot, phase + domain)]
        return {domain: os.path.join(dataroot, phase + domain) for domain in wanted}

    def _pattern(self, domain: str) -> str:
        return self.opt.shards_A if domain == "A" else self.opt.shards_B

    def add_domain(self, domain: str, folder: str, limit: float) -> None:
        """The images of the shards that --shards_A or --shards_B names, or of those named as the folder."""
        self.use_images(domain, folder, find_images(self._source, os.path.basename(folder),
                                                    self._pattern(domain), self._packed_extensions(), limit))

    def _packed_extensions(self) -> list[str]:
        """Those of --value_range, but for files that hold volumes, whose slices are in no index."""
        return [extension for extension in self._extensions if extension in IMAGES]

    def _add_companion(self, companion: Companion) -> None:
        images = self.domains[companion.domain]
        found = find_images(self._source, companion.source, "", self._packed_extensions(), math.inf)
        stems = {os.path.splitext(found.name(place))[0]: place for place in range(len(found))}
        names = [self.relative_name(companion.domain, path) for path in images.paths]
        missing = [name for name in names if name not in stems]
        if missing:
            raise UsageError(f"--companions {companion.key}={companion.source}: {len(missing)} of "
                             f"{len(names)} images have no file of their name in the shards "
                             f"{companion.source}, the first is {missing[0]}")
        paths = found.chosen([stems[name] for name in names])
        few = range(0 if self._remote else min(len(paths), SIZES_AT_START))
        check_sizes([images.paths[place] for place in few], [paths[place] for place in few])
        self._companions.append((companion, paths))

    def _belonging(self, domain: str, place: int, geometry: Geometry | None) -> dict[str, Labels | str]:
        for companion, paths in self._companions:
            if companion.domain == domain and (self._remote or place >= SIZES_AT_START):
                check_sizes([self.domains[domain].paths[place]], [paths[place]])
        return super()._belonging(domain, place, geometry)

    def _images(self, domain: str) -> PackedImages:
        images = self.domains[domain].paths
        assert isinstance(images, PackedImages)
        return images

    # ---- order, and remote shards

    def _stream_orders(self) -> dict[str, StreamOrder]:
        """The order of each domain; none where images come in the order of a folder."""
        window = self.opt.shards_window
        window = (WINDOW if self._remote else 0) if window is None else window
        return {domain: StreamOrder(self._images(domain).counts, items=len(self), lanes=self.opt.batch_size,
                                    window=window, seed=(self.opt.seed, number, SHUFFLE))
                for number, domain in enumerate("AB")} if window else {}

    def _check_remote(self) -> None:
        """Raise UsageError where remote shards cannot be kept here, DataError where one cannot be fetched."""
        opener()
        if self.opt.isTrain and self.opt.cache != "none":
            raise UsageError(f"--cache {self.opt.cache} does not work with remote shards, which are kept in "
                             "--shards_dir; leave it out")
        window = self.opt.shards_window or WINDOW if self._orders else math.inf
        needed = sum(_bytes_at_a_time(self._images(domain), window, self.opt.batch_size)
                     for domain in self.domains)
        if self.opt.isTrain and needed > self.opt.shards_limit * 1e9:
            raise UsageError(f"--shards_limit is {self.opt.shards_limit:g} GB, but {needed / 1e9:.3g} GB of "
                             "shards are needed at a time; raise it, or lower --shards_window or "
                             "--batch_size")
        for domain in self.domains:
            self._images(domain).shards[0].fetch()


def _bytes_at_a_time(images: PackedImages, window: float, lanes: int) -> float:
    """Of shards of which images are read at a time: those of a window and of the next, in each lane."""
    sizes: Sequence[int] = [shard.bytes if shard.store else 0 for shard in images.shards]
    windows = lanes * 2 * (window + 1)      # a window of places begins and ends within shards
    return min(sum(sizes), windows * max(sizes))


def _store(opt: Namespace) -> ShardStore:
    folder = opt.shards_dir or os.path.join(opt.checkpoints_dir, "cache", "shards")
    return ShardStore(Path(folder), int(opt.shards_limit * 1e9))
