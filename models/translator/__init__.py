"""A trained model for other programs: load a run, call it with images.

    from models.translator import Translator

    translate = Translator.load("checkpoints/h2z_CUT")
    translate("photo.jpg").save("zebra.png")
"""

import os
import threading
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.readers import value_range
from models import create_model, ema
from models.base_model import BaseModel
from models.translator.kinds import ImageLike, Intake, kind_of
from options.test_options import TestOptions
from util.checkpoints import weights
from util.errors import UsageError
from util.runtime.seed import random_state, set_random_state


class Translator:
    """A trained model as a function: an image in, its translation out, of the same size and kind.

    | image | values | translation |
    |---|---|---|
    | PIL image of any mode | | PIL image, L or RGB |
    | path (str or Path) | | PIL image, L or RGB |
    | NumPy [H, W, C] or [H, W], uint8 or uint16 | all | the same dtype, [H, W, C], or [H, W] for such |
    | NumPy, float | 0 to 1 | the same |
    | NumPy, after a run with --value_range lo:hi, but for uint8 | lo to hi | the same |
    | tensor [C, H, W], float | -1 to 1 | tensor, the same dtype, on the same device |
    | list or tuple of these | | list |
    | NumPy [B, H, W, C], tensor [B, C, H, W] | as above | the same |

    What it makes of a file is bit for bit what test.py --preprocess none makes of it, with the same weights,
    device and precision. (A model that draws random numbers, as SinCUT does, draws new ones in each call.)
    Threads may share a translator: they wait for each other while the networks compute, because a model may
    keep on itself what it works with. No gradients pass through.
    """

    def __init__(self, model: BaseModel):
        """model: built for translation, its weights loaded, in the mode in which it is to translate."""
        self._model = model
        self._intake = Intake(model.opt.input_nc, value_range(model.opt.value_range),
                              model.opt.slice_axis)
        self._lock = threading.Lock()

    @classmethod
    def load(cls, run: str | Path, *, device: str | torch.device = "auto", precision: str = "auto",
             **flags: Any) -> "Translator":
        """The translator of a run, or of one file with a generator's weights, such as a published one.

        run: the run's folder, as in "checkpoints/h2z_CUT", or a .pth file. The networks are built as the
        opt.json in that folder says; where there is none, as the flags say.
        device: "auto" (the first GPU, or the CPU where there is none), "cpu", "cuda", "cuda:1".
        precision: "auto", "fp32", "tf32", "bf16" or "fp16". On a GPU, that and device change what test.py
        changes for the process: the current GPU, TF32 and cuDNN's search for algorithms.
        flags: those of test.py without dashes, as in netG="resnet_6blocks", ngf=32, epoch="200",
        use_ema=True, direction="BtoA"; they win over opt.json.

        Raises UsageError, in one line, for what is missing or does not fit. Random numbers of the caller
        stay as they were.
        """
        path = Path(os.path.abspath(run))
        is_file = path.suffix == ".pth" and not path.is_dir()
        if path.is_file() and not is_file:
            raise UsageError(f"{run} is a file, but no .pth; give a run's folder, as in checkpoints/h2z_CUT, "
                             "or a .pth file of a generator's weights")
        folder = path.parent if is_file else path
        flags = {"gpu_ids": _gpu_ids(device), "precision": precision, **flags,
                 "name": folder.name, "checkpoints_dir": folder.parent}
        opt = _parsed(flags)
        state = random_state()
        try:
            model = create_model(opt)   # draws initial weights
            if is_file:
                _load_file(model, path)
            else:
                model.load_weights(folder, opt.epoch)
        finally:
            set_random_state(state)
        model.train(not opt.eval)
        return cls(model)

    @property
    def model(self) -> BaseModel:
        """What translates, for those who need its networks; calls of the translator use it, too."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self._model.device

    @property
    def precision(self) -> str:
        """The number format of the networks; what "auto" became."""
        return self._model.precision.name

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> ImageLike | list[ImageLike]:
        """The translation of an image or of a batch: see the class.

        The images of a batch are translated one after the other; their sizes and kinds may differ. Raises
        UsageError for what is no image, for values out of range, and for a file that cannot be read.
        """
        if isinstance(image, (list, tuple)):
            return [self._translate(one) for one in image]
        if isinstance(image, (np.ndarray, Tensor)) and image.ndim == 4 and len(image):
            join = torch.stack if isinstance(image, Tensor) else np.stack
            return join([self._translate(one) for one in image])
        return self._translate(image)

    def _translate(self, image: ImageLike) -> ImageLike:
        kind = kind_of(image)
        pixels = kind.read(image, self._intake)
        key, path = self._model.input_key, os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
        with self._lock:
            made = self._model.test_step({key: pixels[None], f"{key}_paths": [path]})["fake_B"]
        made = made[0].clone()      # autograd refuses tensors made in inference mode
        return kind.write(made, image, self._intake)


def _gpu_ids(device: str | torch.device) -> str:
    """The value of --gpu_ids that stands for a device. Raises UsageError where there is none."""
    if device in ("auto", "mps", "xpu"):
        return str(device)
    try:
        device = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device is {device!r}; give auto, cpu, cuda, cuda:0, mps or xpu") from None
    return {"cpu": "-1", "cuda": str(device.index or 0)}.get(device.type, device.type)


def _parsed(flags: dict[str, Any]) -> Namespace:
    """The options of test.py with these flags. False is typed only where the flag is not false anyway."""
    words = [f"--{name}" if value is True else f"--{name}={value}"
             for name, value in flags.items() if value is not False]
    opt = TestOptions().parse(words)
    asked = opt.parsed.asked
    off = [f"--{name}=False" for name, value in flags.items() if value is False and asked.get(name, True)]
    return TestOptions().parse(words + off) if off else opt


def _load_file(model: BaseModel, path: Path) -> None:
    """Fill the one network of a model from a file of any name."""
    if len(model.networks) != 1:
        raise UsageError(f"{path} is one file, but --model {model.opt.model} translates with "
                         f"{', '.join(model.networks)}; give the folder that holds them all")
    (name, net), = model.networks.items()
    weights.load_weights(net, ema.existing_averages(path) if model.opt.use_ema else path, name)
