"""Runs the steps of a Dockerfile or an Apptainer definition in a fresh Debian folder, without an engine.

    python -m tests.scripts.containers.fresh_root scripts/containers/Dockerfile /tmp/image
    python -m tests.scripts.containers.fresh_root scripts/containers/cut.def /tmp/other --then 'python -V'

As root, with debootstrap. The folder becomes the image: debootstrap makes it where the file says FROM, RUN is
done by chroot in a mount namespace of its own, COPY copies. What an engine does besides (layers, the base
image of a registry, limits of /dev/shm, the passing on of GPUs) is not tried. This machine's settings of pip
and its certificates are lent.
"""

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/var/tmp/lent.crt"      # in the image, whose own file its packages write
LENT = {name: name for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip")}
LENT |= {"/etc/ssl/certs/ca-certificates.crt": CERTIFICATES}


class Step(NamedTuple):
    """One instruction: from, run, copy, env, user, workdir, cmd, and the words behind it."""

    kind: str
    words: tuple[str, ...]


def dockerfile(text: str) -> list[Step]:
    """The steps of a Dockerfile; those of RUN are one word, a shell's line."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    steps = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            kind, rest = line.split(maxsplit=1)
            steps.append(Step(kind.lower(), (rest,) if kind in ("RUN", "CMD") else tuple(rest.split())))
    return steps


def definition(text: str) -> list[Step]:
    """The steps of an Apptainer definition: its base, its files, %post as one RUN, its environment."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    head, *sections = re.split(r"^%(?=\w+$)", text, flags=re.MULTILINE)
    steps = [Step("from", (re.search(r"^From: (\S+)", head, re.MULTILINE)[1],))]
    found = dict(section.split("\n", 1) for section in sections)
    steps += [Step("copy", tuple(line.split())) for line in found["files"].splitlines() if line.strip()]
    steps += [Step("run", (f"set -e\n{found['post']}",))]
    steps += [Step("env", (line.strip().removeprefix("export "),))
              for line in found["environment"].splitlines() if line.strip()]
    return steps


def steps_of(path: Path) -> list[Step]:
    text = path.read_text(encoding="utf-8")
    return definition(text) if path.suffix == ".def" else dockerfile(text)


def context(pattern: str, ignored: list[str]) -> Iterator[Path]:
    """Files of the repository below what a COPY names, relative to it."""
    for start in sorted(ROOT.glob(pattern)):
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and not any(is_ignored(name, rule) for rule in ignored):
                yield Path(name)


def is_ignored(name: str, rule: str) -> bool:
    """Whether a rule of .dockerignore names a file or one of its folders."""
    parts, anywhere, rule = name.split("/"), rule.startswith("**/"), rule.removeprefix("**/")
    wanted = rule.split("/")
    starts = range(len(parts) - len(wanted) + 1) if anywhere else (0,)
    return any(len(parts[start:]) >= len(wanted) and all(map(fnmatch.fnmatch, parts[start:], wanted))
               for start in starts)


class Image:
    """A folder that becomes an image, step by step."""

    def __init__(self, root: Path, cache: Path):
        """cache: a folder that stands for the engine's; --mount=type=cache finds it."""
        self.root, self.cache = root, cache
        self.user, self.folder, self.environment = "root", "/", {"PATH": PATH}
        ignore = (ROOT / ".dockerignore").read_text().splitlines()
        self.ignored = [line for line in ignore if line and not line.startswith("#")]

    def do(self, step: Step) -> None:
        getattr(self, f"do_{step.kind}")(*step.words)

    def do_from(self, name: str) -> None:
        suite = re.fullmatch(r"debian:(\w+)-slim", name)[1]
        subprocess.run(["debootstrap", "--variant=minbase", suite, self.root], check=True)

    def do_env(self, *settings: str) -> None:
        self.environment |= dict(setting.split("=", 1) for setting in settings)

    def do_user(self, name: str) -> None:
        self.user = name

    def do_workdir(self, folder: str) -> None:
        self.folder = folder
        self.inside(folder).mkdir(parents=True, exist_ok=True)

    def do_cmd(self, words: str) -> None:
        """What an engine would run later."""

    def do_copy(self, *words: str) -> None:
        """Of a source with a slash behind it the content, else the thing itself: so our files are written."""
        *sources, target = words
        for source in sources:
            found = list(context(source.rstrip("/"), self.ignored))
            assert found, f"COPY {source}: there is nothing"
            outer = Path(source) if source.endswith("/") else Path(source).parent
            for name in found:
                place = self.inside(target) / name.relative_to(outer)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, place)

    def do_run(self, command: str) -> None:
        binds = []
        while match := re.match(r"--mount=type=cache,target=(\S+)\s+", command):
            binds.append((self.cache, match[1]))
            command = command[match.end():]
        self.run(command, binds)

    def inside(self, path: str) -> Path:
        """A path of the image as this machine sees it."""
        return self.root / (path if path.startswith("/") else f"{self.folder}/{path}").lstrip("/")

    def run(self, command: str, binds: list[tuple[Path, str]] = ()) -> None:
        """A shell's line as the image's user, in its folder and environment."""
        lent = [(Path(path), target) for path, target in LENT.items() if Path(path).exists()]
        mounts = ["set -e", f"mount --rbind /proc {self.root}/proc", f"mount --rbind /dev {self.root}/dev"]
        for source, target in [*lent, *binds]:
            place = self.inside(target)
            if source.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            elif not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            mounts.append(f"mount --bind {source} {place}")
        environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment |= {"PIP_CERT": CERTIFICATES} | self.environment
        words = [f"{name}={value}" for name, value in environment.items()]
        program = ["chroot", f"--userspec={self.user}", str(self.root), "/usr/bin/env", "-i", *words,
                   "sh", "-c", f"cd {self.folder}\n{command}"]
        subprocess.run(["unshare", "--mount", "sh", "-c", "\n".join([*mounts, 'exec "$@"']), "-", *program],
                       check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("root", type=Path, help="folder that becomes the image; an empty one, or none yet")
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/fresh_root_cache"))
    parser.add_argument("--user", help="who runs --then (default: the image's user)")
    parser.add_argument("--then", nargs="*", default=[], help="shell lines to run in the image")
    parser.add_argument("--from_step", type=int, default=0,
                        help="go on at this step, in a folder begun before")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    image = Image(arguments.root.resolve(), arguments.cache)
    for number, step in enumerate(steps_of(arguments.file)):
        if number >= arguments.from_step or step.kind in ("env", "user", "workdir"):
            print(f"== {number} {step.kind.upper()} {' '.join(step.words)}", flush=True)
            image.do(step)
    image.user = arguments.user or image.user
    for line in arguments.then:
        print(f"== as {image.user}: {line}", flush=True)
        image.run(line)


if __name__ == "__main__":
    main()
