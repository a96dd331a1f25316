"""The flags that change how fast and in how much memory a command runs, not what it means."""

from data.image_cache import CACHES
from models.precision import PRECISIONS
from options.parser import OptionParser
from util.flags import str2bool


def add_speed(parser: OptionParser, is_train: bool) -> None:
    add = parser.add_argument
    parser.section("speed and memory")
    add("--precision", choices=PRECISIONS, default="auto",
        help="number format of the networks: fp32; tf32 (GPU); bf16; fp16 with loss scaling; auto: bf16 on "
             "GPUs that have it, else fp32. Weights and losses are float32 in any case")
    add("--compile", action="store_true",
        help="let torch.compile translate the networks: a slow first step, then faster ones on a GPU")
    add("--channels_last", type=str2bool, nargs="?", const=True, default=None,
        help="keep feature maps in channels-last order; default: with bf16 on a CPU, where that is faster")
    if is_train:
        add("--grad_checkpoint", action="store_true",
            help="keep fewer of G's activations and compute the others again: about a third more time")
        add("--cache", choices=CACHES, default="none",
            help="keep decoded and resized images, so that each is decoded once: in memory (ram), or in "
                 "files that later runs use too (disk)")
        add("--cache_limit", type=float, default=8.0, help="gigabytes that --cache may fill")
        add("--cache_dir", default=None, help="folder of --cache disk; default: <checkpoints_dir>/cache")
