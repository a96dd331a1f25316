"""DICOM, by the package pydicom: a file of one image, as in a series, or of several frames."""

import io
from typing import Any, BinaryIO

import numpy as np

from data.readers.formats import package
from data.readers.place import Place
from data.readers.stack import Stack
from util.errors import UsageError

LARGE = "1 KB"      # parts of a file that are read only where they are asked for
DERIVATION = "translated by a generative network; not for diagnosis"
# Said of the pixels of the file that was translated.
STALE = ("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
         "LargestPixelValueInSeries", "IconImageSequence")


def open_stack(place: Place, axis: int | None) -> Stack:
    """The numbers are the stored ones times RescaleSlope plus RescaleIntercept. Frames are the slices."""
    pydicom = package("pydicom", place.file)
    header = pydicom.dcmread(place.file, defer_size=LARGE)
    if "PixelData" not in header:
        raise ValueError("it holds no pixels")
    if "ModalityLUTSequence" in header or header.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise ValueError("its numbers stand for others by a table (ModalityLUTSequence, PALETTE COLOR), "
                         "which is not read")
    syntax = header.file_meta.TransferSyntaxUID
    _check_decoder(pydicom, syntax, place.file)
    if header.BitsAllocated not in (8, 16, 32):
        raise ValueError(f"its pixels have {header.BitsAllocated} bits; 8, 16 and 32 are read")
    dtype = np.dtype(f"{'int' if header.PixelRepresentation else 'uint'}{header.BitsAllocated}")
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation)
    extremes = (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2 ** bits - 1)
    frames = int(header.get("NumberOfFrames") or 1)
    slope, intercept = _rescale(header)

    def read(number: int | None) -> np.ndarray:
        index = (0 if number is None else number) if frames == 1 or number is not None else None
        source = pydicom.dcmread(place.file) if syntax.is_deflated else place.file
        return pydicom.pixels.pixel_array(source, index=index)
    return Stack(frames, (frames, header.Rows, header.Columns), dtype, read,
                 slope, intercept, extremes, _window(header))


def save(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    """The header of the file that was translated, as a derived image: UIDs of its own, of a series that all
    files of these results share which come from one series.
    """
    pydicom = package("pydicom", place.file)
    made = pydicom.dcmread(place.file)
    source = made.SOPInstanceUID
    for name in STALE:
        made.pop(name, None)
    _put_pixels(pydicom, made, values)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    series = str(made.get("SeriesInstanceUID", ""))
    made.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[results, series])
    made.ImageType = ["DERIVED", "SECONDARY", *list(made.get("ImageType") or ())[2:]]
    made.DerivationDescription = DERIVATION
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = made.SOPClassUID, source
    made.SourceImageSequence = [reference]
    buffer = io.BytesIO()       # so that what the disk refuses is said by the disk, in one line
    made.save_as(buffer, enforce_file_format=True)
    stream.write(buffer.getbuffer())


def _put_pixels(pydicom: Any, made: Any, values: np.ndarray) -> None:
    """Put stored numbers [H, W], or of frames [N, H, W], in place of an image's, uncompressed."""
    made.Rows, made.Columns = values.shape[-2:]
    if made.SamplesPerPixel != 1:       # it was in colour
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.pop("PlanarConfiguration", None)
    if made.file_meta.TransferSyntaxUID.is_compressed:
        made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    order = "<" if made.file_meta.TransferSyntaxUID.is_little_endian else ">"
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    made.PixelData = pixels + bytes(len(pixels) % 2)
    made["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    made["PixelData"].is_undefined_length = False


def _check_decoder(pydicom: Any, syntax: Any, path: str) -> None:
    """Raise UsageError where the packages that are there cannot decompress the file."""
    if syntax.is_encapsulated and not pydicom.pixels.get_decoder(syntax).is_available:
        raise UsageError(f"{path} is compressed as {syntax.name}, which needs another package: "
                         "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg (or decompress it)")


def _rescale(header: Any) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept; of files of many frames, where they are the same for all."""
    groups = header
    if "PerFrameFunctionalGroupsSequence" in header and any(
            "PixelValueTransformationSequence" in frame for frame in header.PerFrameFunctionalGroupsSequence):
        raise ValueError("its frames have a RescaleSlope each, which is not read")
    for shared in header.get("SharedFunctionalGroupsSequence") or ():
        for transformation in shared.get("PixelValueTransformationSequence") or ():
            groups = transformation
    return float(groups.get("RescaleSlope", 1)), float(groups.get("RescaleIntercept", 0))


def _window(header: Any) -> tuple[float, float] | None:
    """The first window: PS3.3, C.11.2.1.2; where the function is linear, white begins at half a step less."""
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        return None
    center, width = (float(np.atleast_1d(header[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    if header.get("VOILUTFunction", "LINEAR") == "LINEAR_EXACT":
        return center - width / 2, center + width / 2
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
