"""Small videos with sound, made by PyAV, and what is in a video."""

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

SOUND_RATE = 48000      # samples a second


def make_video(path: Path, *, size: tuple[int, int] = (36, 28), times: list[int] | None = None,
               rate: Fraction = Fraction(25), sound: bool = True, codec: str = "libx264",
               pixels: str = "yuv420p", rotation: int = 0, space: int = 2, count: int = 24) -> Path:
    """A video of bars that move. times: of the frames, in units of 1/rate; by default, 0, 1, 2 and so on."""
    times = times or list(range(count))
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options={"crf": "5"})
        video.width, video.height = size
        video.pix_fmt, video.codec_context.colorspace = pixels, space
        if rotation:
            video.set_display_rotation(rotation)
        tone = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=SOUND_RATE,
                                    layout="stereo") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(size, number), format="rgb24")
            frame = frame.reformat(format=pixels, **({} if space == 2 else {"dst_colorspace": space}))
            frame.pts, frame.time_base = time, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if tone:
            samples = np.sin(np.arange(int(SOUND_RATE * (times[-1] + 1) / rate)) / 17).astype(np.float32)
            for start in range(0, len(samples) - 959, 960):
                both = np.stack([samples[start:start + 960]] * 2)
                frame = av.AudioFrame.from_ndarray(both, "fltp", "stereo")
                frame.sample_rate, frame.pts = SOUND_RATE, start
                frame.time_base = Fraction(1, SOUND_RATE)
                container.mux(tone.encode(frame))
            container.mux(tone.encode())
    return path


def picture(size: tuple[int, int], number: int) -> np.ndarray:
    """Red above green, and a white bar that moves to the right by a pixel a frame."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:size[1] // 2], image[size[1] // 2:] = (200, 40, 60), (20, 180, 90)
    image[:, number % size[0]:number % size[0] + 8] = (240, 240, 240)
    return image


class Content(NamedTuple):
    """times: of frames, in seconds. sound: time in seconds and bytes of each packet."""

    times: list[Fraction]
    frames: list[np.ndarray]
    sound: list[tuple[Fraction, bytes]]
    rate: Any
    codec: str
    colorspace: int


def read_video(path: Path) -> Content:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        rate, codec = video.average_rate, video.codec_context.name
    with av.open(str(path)) as container:
        packets = list(container.demux(*container.streams.audio)) if container.streams.audio else []
        sound = [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.size]
    return Content([frame.pts * frame.time_base for frame in frames],
                   [frame.to_ndarray(format="rgb24") for frame in frames], sound, rate, codec,
                   int(frames[0].colorspace))
