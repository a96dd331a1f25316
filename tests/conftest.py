"""One core for every test: tiny networks are slower, and less repeatable, on many."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")    # for the programs that tests start

import torch  # noqa: E402

torch.set_num_threads(1)
