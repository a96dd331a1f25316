"""The encoded pieces of a video that is being made, and their joining with the sound of another."""

import heapq
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange

from scripts.video.source import Look, Source
from util.atomic import atomic_file, remove_temporaries, write_text
from util.errors import UsageError
from util.images import Pixels

# Ending of a file -> the name of its container, the encoder, and its settings. No frame waits for a later one
# (bf, auto-alt-ref): so the pieces fit behind each other as they are.
CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", {"bf": "0"}),
    ".mov": ("mov", "libx264", {"bf": "0"}),
    ".mkv": ("matroska", "libx264", {"bf": "0"}),
    ".webm": ("webm", "libvpx-vp9", {"auto-alt-ref": "0", "lag-in-frames": "0", "b": "0", "cpu-used": "4"}),
}
PIECE = "nut"               # the container of pieces: it keeps any time base as it is
UNKNOWN_SPACE = 2           # FFmpeg's number of a colour space that a file does not tell
MADE_BY = "made_by.json"


class Segments:
    """A folder of pieces, 00000.nut and so on, of equally many frames but the last; each is whole."""

    def __init__(self, folder: Path, look: Look, ending: str, crf: int):
        self.folder, self._look, self._crf = folder, look, crf
        _, self._codec, self._settings = CONTAINERS[ending]

    def begin(self, made_by: Mapping[str, Any]) -> int:
        """Keep the pieces that were made by the same. Returns how many there are."""
        before = self.folder / MADE_BY
        told = json.dumps(made_by, indent=1, sort_keys=True) + "\n"
        if before.exists() and before.read_text(encoding="utf-8") != told:
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.folder)
        write_text(before, told)
        return len(self.paths())

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"*.{PIECE}"))

    def add(self, number: int, frames: Iterable[tuple[Pixels, int]]) -> None:
        """Encode a piece. frames: pixels, uint8 [H, W, 1 or 3], and times."""
        with (atomic_file(self.folder / f"{number:05d}.{PIECE}") as stream,
              av.open(stream, "w", format=PIECE) as piece):
            video = self._stream(piece)
            for pixels, time in frames:
                piece.mux(video.encode(self._frame(pixels, time)))
            piece.mux(video.encode())

    def _stream(self, container: OutputContainer) -> av.VideoStream:
        look = self._look
        settings = {"crf": str(self._crf)} | self._settings
        video = container.add_stream(self._codec, rate=look.rate, options=settings)
        video.width, video.height = look.size
        video.pix_fmt = self.pixel_format
        video.time_base = video.codec_context.time_base = look.time_base
        video.codec_context.colorspace, video.codec_context.color_range = look.colorspace, look.color_range
        return video

    @property
    def pixel_format(self) -> str:
        """With colour at half the resolution, as players expect; at full where a side is odd."""
        return "yuv444p" if any(side % 2 for side in self._look.size) else "yuv420p"

    def _frame(self, pixels: Pixels, time: int) -> av.VideoFrame:
        grey = pixels.shape[-1] == 1
        frame = av.VideoFrame.from_ndarray(pixels.repeat(3, axis=-1) if grey else pixels, format="rgb24")
        look = self._look
        space = {} if look.colorspace == UNKNOWN_SPACE else {"dst_colorspace": look.colorspace}
        full = {"dst_color_range": ColorRange.JPEG} if look.color_range == ColorRange.JPEG else {}
        frame = frame.reformat(format=self.pixel_format, **space, **full)
        frame.pts, frame.time_base = time, look.time_base
        return frame

    def join(self, output: Path, source: Source) -> None:
        """Write the pieces behind each other, with the source's sound as it is, and remove them.

        Raises UsageError where the pieces were encoded in ways that do not fit.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            sound = stack.enter_context(av.open(str(source.path)))
            file = stack.enter_context(atomic_file(output))
            joined = stack.enter_context(av.open(file, "w", format=CONTAINERS[output.suffix.lower()][0]))
            video = self._stream(joined)    # told as the pieces' were, which also tells the frame rate
            streams = {sound_of.index: joined.add_stream_from_template(sound_of)
                       for sound_of in sound.streams.audio}
            for packet in heapq.merge(self._packets(video), _sound(sound, streams), key=_when):
                joined.mux(packet)
        shutil.rmtree(self.folder)

    def _packets(self, video: av.VideoStream) -> Iterator[av.Packet]:
        header: bytes | None = None
        for path in self.paths():
            with av.open(str(path)) as piece:
                stream = piece.streams.video[0]
                header = header or stream.codec_context.extradata
                if stream.codec_context.extradata != header:
                    raise UsageError(f"{path} was encoded in another way than the pieces before it; remove "
                                     f"{self.folder} and begin anew")
                for packet in piece.demux(stream):
                    if packet.size:
                        packet.stream = video
                        yield packet


def _sound(container: InputContainer, streams: Mapping[int, av.AudioStream]) -> Iterator[av.Packet]:
    for packet in container.demux(*container.streams.audio) if streams else ():
        if packet.size:
            packet.stream = streams[packet.stream.index]
            yield packet


def _when(packet: av.Packet) -> float:
    """Seconds; of a packet without a time, before all others."""
    time = packet.dts if packet.dts is not None else packet.pts
    return float(time * packet.time_base) if time is not None else float("-inf")


def check_sound(output: Path, source: Source) -> None:
    """Raise UsageError where a container cannot hold the source's sound as it is."""
    name = CONTAINERS[output.suffix.lower()][0]
    try:
        with av.open(str(source.path)) as sound, av.open(io.BytesIO(), "w", format=name) as trial:
            for stream in sound.streams.audio:
                trial.add_stream_from_template(stream)
            if source.sounds:
                trial.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(f"{output.suffix} files cannot hold the sound of {source.path} as it is "
                         f"({', '.join(source.sounds)}); use --output with .mkv") from error
