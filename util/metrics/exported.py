"""Networks in exported files: a torch.export program (.pt2), or ONNX (.onnx), which needs onnxruntime.

A network takes float32 [B, C, H, W] in [0, 1], C 1 (gray) or 3 (RGB), and normalises by itself; its first
output is used. B, H and W may be free or fixed.
"""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

from util.errors import UsageError

CHANNELS = (1, 3)


class ExportedNetwork(ABC):
    """A network of images, read from a file.

    batch, height, width: what the file fixes them to, None where it leaves them free. channels: 1 or 3.
    """

    def __init__(self, path: Path, shape: Sequence[int | None]):
        if len(shape) != 4 or shape[1] not in CHANNELS:
            shown = ["any" if length is None else length for length in shape]
            raise UsageError(f"{path} takes {shown}; export a network that takes [batch, 1 or 3 channels, "
                             "height, width]")
        self.path = path
        self.batch, self.channels, self.height, self.width = shape

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels that images have to be resized to; None: any."""
        return (self.width, self.height) if self.width and self.height else None

    def __call__(self, images: Tensor) -> Tensor:
        """images: float32 [B, C, H, W] in [0, 1], any B. Returns the first output, on the CPU."""
        if self.batch is None:
            return self.run(images)
        parts = []
        for part in images.split(self.batch):                       # a short last part is filled up, then cut
            filled = part[torch.arange(self.batch).clamp(max=len(part) - 1)]
            parts.append(self.run(filled)[:len(part)])
        return torch.cat(parts)

    @abstractmethod
    def run(self, images: Tensor) -> Tensor:
        """As __call__, for images in a number that the file takes."""

    def differentiable(self, images: Tensor) -> Tensor:
        """As `run`, but on the images' device, and gradients reach the images; the weights stay."""
        raise UsageError(f"{self.path} cannot be differentiated: give a torch.export program, .pt2")


class TorchProgram(ExportedNetwork):
    """A file that torch.export.save wrote."""

    def __init__(self, path: Path, device: torch.device):
        try:
            if not zipfile.is_zipfile(path):                        # torch would print a long text first
                raise ValueError("it is not an archive")
            program = torch.export.load(path)
        except Exception as error:      # files of other kinds raise errors of many classes
            raise UsageError(f"{path} cannot be read as a torch.export program ({_first_line(error)}); write "
                             "it with torch.export.save, by a PyTorch no newer than this one") from error
        names = program.graph_signature.user_inputs
        inputs = [node.meta["val"] for node in program.graph.nodes
                  if node.op == "placeholder" and node.name in names]
        if len(inputs) != 1:
            raise UsageError(f"{path} takes {len(inputs)} inputs; export a network that takes images alone")
        super().__init__(path, [length if isinstance(length, int) else None for length in inputs[0].shape])
        self._device = device
        self._module = move_to_device_pass(program, str(device)).module()
        self._module.requires_grad_(False)

    @torch.inference_mode()
    def run(self, images: Tensor) -> Tensor:
        return self.differentiable(images.to(self._device)).cpu()

    def differentiable(self, images: Tensor) -> Tensor:
        output = self._module(images)
        return output if isinstance(output, Tensor) else output[0]


class OnnxNetwork(ExportedNetwork):
    """An ONNX file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path):
        try:
            import onnxruntime
        except ImportError:
            raise UsageError(f"{path} needs the package onnxruntime: pip install onnxruntime, "
                             "or export the network with torch.export") from None
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:      # its error classes derive from Exception alone
            raise UsageError(f"{path} cannot be read as ONNX ({_first_line(error)})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise UsageError(f"{path} takes {len(inputs)} inputs; export a network that takes images alone")
        super().__init__(path, [length if isinstance(length, int) else None for length in inputs[0].shape])
        self._input = inputs[0].name

    def run(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(None, {self._input: images.cpu().numpy()})[0])


def load_exported(path: Path, device: torch.device) -> ExportedNetwork:
    """The network in a .pt2 or .onnx file. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; give an exported network, .pt2 or .onnx")
    if path.suffix == ".pt2":
        return TorchProgram(path, device)
    if path.suffix == ".onnx":
        return OnnxNetwork(path)
    raise UsageError(f"{path} is neither .pt2 (torch.export) nor .onnx; export the network to one of them")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
