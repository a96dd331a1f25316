"""A video file: its frames with their times, and its sound."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from PIL import Image

from util.errors import RunError, UsageError


class Frame(NamedTuple):
    """image: upright. time: in units of the video's time base, above that of the frame before."""

    image: Image.Image
    time: int


class Look(NamedTuple):
    """What an encoder must be told beside the pixels, all as in the source.

    size: width and height of the upright frames. rate: frames a second, the average. time_base: seconds a
    unit. colorspace and color_range: numbers of FFmpeg, 2 and 0 where the file does not say.
    """

    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    colorspace: int
    color_range: int


class Source:
    """frames: how many there are, or where the file does not tell (counted is false) about so many, or 0.
    sounds: the codec of each stream of sound.
    """

    def __init__(self, path: Path):
        """Raises UsageError for a file that is missing, no video, or without a frame."""
        self.path = path
        if not path.is_file():
            raise UsageError(f"there is no video {str(path)!r}; give a file")
        try:
            with self.opened() as (container, stream):
                first = next(container.decode(stream), None)
                if first is None:
                    raise UsageError(f"{path} holds no frame that can be decoded")
                rate = stream.average_rate or stream.guessed_rate or Fraction(25)
                width, height = first.width, first.height
                turned = first.rotation % 180 != 0
                self.look = Look((height, width) if turned else (width, height), rate, stream.time_base,
                                 int(first.colorspace), int(first.color_range))
                seconds = container.duration / av.time_base if container.duration else 0
                self.counted = stream.frames > 0
                self.frames = stream.frames or round(seconds * rate)
                self.sounds = [sound.codec_context.name for sound in container.streams.audio]
        except av.error.FFmpegError as error:
            raise UsageError(f"{path} cannot be read as a video: {error.strerror}") from error

    @contextmanager
    def opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The file, with its first video stream that is no cover picture. Raises UsageError for none."""
        with av.open(str(self.path)) as container:
            streams = [stream for stream in container.streams.video
                       if not stream.disposition & Disposition.attached_pic]
            if not streams:
                kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
                raise UsageError(f"{self.path} holds no video stream, but {kinds}; give a video")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]

    def __iter__(self) -> Iterator[Frame]:
        """Every frame. A time that is missing, or not above the one before, becomes one unit more.

        Raises RunError where a frame cannot be decoded, or has another size than the first.
        """
        time = None
        count = 0
        try:
            with self.opened() as (container, stream):
                for frame in container.decode(stream):
                    known = frame.pts if frame.pts is not None else self._time(count)
                    time = known if time is None else max(known, time + 1)
                    image = Image.fromarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
                    if image.size != self.look.size:
                        raise RunError(f"{self.path}: frame {count} measures {image.width}x{image.height}, "
                                       "another size than the first; cut the video there")
                    yield Frame(image, time)
                    count += 1
        except av.error.FFmpegError as error:
            raise RunError(f"{self.path}: frame {count} cannot be decoded ({error.strerror}); cut "
                           "the video there") from error

    def _time(self, number: int) -> int:
        """Of a frame whose file does not say."""
        return round(number / self.look.rate / self.look.time_base)
