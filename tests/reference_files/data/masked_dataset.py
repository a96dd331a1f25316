"""As forks write: pairs by number with a mask, all cropped and mirrored alike, and numbers beside them."""

import os.path
import random

import numpy as np
import torch
from PIL import Image

import util.util as util
from data.base_dataset import BaseDataset, get_params, get_transform
from data.image_folder import make_dataset


class MaskedDataset(BaseDataset):
    @staticmethod
    def modify_commandline_options(parser, is_train):
        parser.add_argument("--jitter", type=float, default=0.1, help="of A's brightness")
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.dir_A = os.path.join(self.root, opt.phase + "A")
        self.dir_B = os.path.join(self.root, opt.phase + "B")
        self.A_paths = sorted(make_dataset(self.dir_A, opt.max_dataset_size))
        self.B_paths = sorted(make_dataset(self.dir_B, opt.max_dataset_size))
        self.A_size, self.B_size = len(self.A_paths), len(self.B_paths)

    def __getitem__(self, index):
        A_path = self.A_paths[index % self.A_size]
        index_B = index % self.B_size if self.opt.serial_batches else random.randint(0, self.B_size - 1)
        A_img = Image.open(A_path).convert("RGB")
        B_img = Image.open(self.B_paths[index_B]).convert("RGB")
        finetuning = self.opt.isTrain and self.current_epoch > self.opt.n_epochs
        modified = util.copyconf(self.opt, load_size=self.opt.crop_size if finetuning else self.opt.load_size)
        params = get_params(modified, A_img.size)
        A = get_transform(modified, params)(A_img)
        B = get_transform(modified, params)(B_img)
        mask = get_transform(modified, params, grayscale=True, method=Image.NEAREST)(A_img)
        A = A + self.opt.jitter * np.random.uniform(-1, 1) + 0.01 * torch.randn(1)
        return {"A": A, "B": B, "A_paths": A_path, "B_paths": self.B_paths[index_B],
                "mask": (mask > 0).float(), "weight": 1.0 + index, "img_idx": index,
                "current_epoch": self.current_epoch, "names": {"A": os.path.basename(A_path)}}

    def __len__(self):
        return max(self.A_size, self.B_size)
