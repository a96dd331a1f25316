"""Networks in exported files: a torch.export program (.pt2), or ONNX (.onnx), which needs onnxruntime.

A network takes float32 [B, C, H, W]; its first output is used. B, H and W may be free or fixed. One that
judges images takes them in [0, 1], C 1 (gray) or 3 (RGB), and normalises by itself; a generator takes them in
[-1, 1], with any C.
"""

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

from util.errors import UsageError

CHANNELS = (1, 3)               # of images that are judged
ANY_CHANNELS = range(1, 1000)   # of those that are translated
METADATA = "metadata.json"      # the file within a .pt2 that scripts/export.py describes a generator in


class ExportedNetwork(ABC):
    """A network of images, read from a file.

    batch, height, width: what the file fixes them to, None where it leaves them free. channels: a number.
    metadata: what the file tells about itself; {} where it tells nothing.
    """

    def __init__(self, path: Path, shape: Sequence[int | None], metadata: Mapping[str, str] | None = None,
                 allowed: Collection[int] = CHANNELS):
        """allowed: numbers of channels that the user of the network can give."""
        if len(shape) != 4 or shape[1] not in allowed:
            shown = ["any" if length is None else length for length in shape]
            wish = " or ".join(map(str, allowed)) if allowed is CHANNELS else "a fixed number of"
            raise UsageError(f"{path} takes {shown}; export a network that takes [batch, {wish} channels, "
                             "height, width]")
        self.path, self.metadata = path, dict(metadata or {})
        self.batch, self.channels, self.height, self.width = shape

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels that images have to be resized to; None: any."""
        return (self.width, self.height) if self.width and self.height else None

    def __call__(self, images: Tensor) -> Tensor:
        """images: float32 [B, C, H, W], any B. Returns the first output, on the CPU."""
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

    def __init__(self, path: Path, device: torch.device, allowed: Collection[int] = CHANNELS):
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
        super().__init__(path, [length if isinstance(length, int) else None for length in inputs[0].shape],
                         _metadata_in(path), allowed)
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

    def __init__(self, path: Path, allowed: Collection[int] = CHANNELS):
        try:
            import onnxruntime
        except ImportError:
            raise UsageError(f"{path} needs the package onnxruntime: pip install onnxruntime, "
                             "or export the network with torch.export") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3      # errors; a file of half precision would bring a page of warnings
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options,
                                                         providers=["CPUExecutionProvider"])
        except Exception as error:      # its error classes derive from Exception alone
            raise UsageError(f"{path} cannot be read as ONNX ({_first_line(error)})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise UsageError(f"{path} takes {len(inputs)} inputs; export a network that takes images alone")
        super().__init__(path, [length if isinstance(length, int) else None for length in inputs[0].shape],
                         self._session.get_modelmeta().custom_metadata_map, allowed)
        self._input = inputs[0].name

    def run(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(None, {self._input: images.cpu().numpy()})[0])


def load_exported(path: Path, device: torch.device,
                  allowed: Collection[int] = CHANNELS) -> ExportedNetwork:
    """The network in a .pt2 or .onnx file, of a number of channels that is allowed. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; give an exported network, .pt2 or .onnx")
    if path.suffix == ".pt2":
        return TorchProgram(path, device, allowed)
    if path.suffix == ".onnx":
        return OnnxNetwork(path, allowed)
    raise UsageError(f"{path} is neither .pt2 (torch.export) nor .onnx; export the network to one of them")


def _metadata_in(path: Path) -> dict[str, str]:
    """What scripts/export.py wrote into a .pt2 about it; {} where there is nothing of the kind."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA}")]
        return json.loads(archive.read(found[0])) if found else {}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
