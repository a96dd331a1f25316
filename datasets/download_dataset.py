"""Download a data set by name and unpack it.

    bash datasets/download_dataset.sh horse2zebra
    bash datasets/download_dataset.sh horse2zebra --archive ~/Downloads/horse2zebra.zip

Every mirror in sources.json is tried in turn, over https; an interrupted download goes on where it stopped.
Checksums are those that TensorFlow Datasets (CycleGAN's sets) and UVCGANv2 (AFHQ) published; for a file
without one, its sha256 is printed. --archive unpacks a file that you downloaded in another way.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from datasets.archives import extract  # noqa: E402
from datasets.download import Source, check_url, download, sha256_of  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

SETS = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))


def listing() -> str:
    """The data sets, one a line."""
    return "\n".join(f"{name:24}{entry['about']}" for name, entry in SETS.items())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="data sets:\n" + listing(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("name", nargs="?", help="of the data set, as listed below")
    add("--output", type=Path, default=Path("datasets"), metavar="DIR",
        help="where its folder goes (default: ./datasets)")
    add("--archive", type=Path, nargs="+", metavar="FILE", help="unpack these archives, download nothing")
    add("--mirror", metavar="URL", help="folder of another host that has the archives; tried first")
    add("--keep", action="store_true", help="keep the downloaded archives")
    arguments = parser.parse_args()
    if arguments.name is not None and arguments.name not in SETS:
        raise UsageError(f"there is no data set {arguments.name!r}; choose one of {', '.join(SETS)}")
    return arguments


def sources(name: str, mirror: str | None) -> list[Source]:
    """The files of a data set. Raises UsageError for one that may not be redistributed."""
    if "manual" in SETS[name]:
        raise UsageError(SETS[name]["manual"])
    found = []
    for entry in SETS[name]["files"]:
        urls = [*([f"{mirror.rstrip('/')}/{entry['name']}"] if mirror else []), *entry["urls"]]
        for url in urls:
            check_url(url)
        found.append(Source(entry["name"], urls, entry.get("sha256"), entry.get("bytes")))
    return found


def check_archives(name: str, archives: list[Path]) -> None:
    """Warn of an archive that is not the published one. Raises UsageError for a missing file."""
    known = {entry.get("sha256") for entry in SETS[name].get("files", [])} - {None}
    for archive in archives:
        if not archive.is_file():
            raise UsageError(f"--archive {archive} is no file")
        if known and (found := sha256_of(archive)) not in known:
            print(f"{archive}: its sha256 {found} is not the published one; images may differ")


def unpack(archives: list[Path], target: Path) -> int:
    """Unpack all into one new folder, without a single outer folder. Returns the number of files."""
    partial = target.parent / f".{target.name}.unpacking"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        files = sum(extract(archive, partial / str(number)) for number, archive in enumerate(archives))
        if len(archives) == 1:
            inner = list((partial / "0").iterdir())
            os.replace(inner[0] if len(inner) == 1 and inner[0].is_dir() else partial / "0", target)
        else:
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files


def main() -> None:
    arguments = parse()
    if arguments.name is None:
        print(listing())
        return
    target = arguments.output / arguments.name
    if target.exists():
        print(f"{target}: there already; remove it to fetch it again")
        return
    folder = arguments.output / "downloads"
    if arguments.archive:
        check_archives(arguments.name, arguments.archive)
    wanted = [] if arguments.archive else sources(arguments.name, arguments.mirror)
    arguments.output.mkdir(parents=True, exist_ok=True)
    archives = arguments.archive or [download(source, folder) for source in wanted]
    files = unpack(archives, target)
    if not (arguments.archive or arguments.keep):
        for archive in archives:
            archive.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    print(f"{target}: {files:,} files; python datasets/check_dataset.py {target} checks them")


if __name__ == "__main__":
    run_command(main)
