"""docs/architecture.md holds: rooms, imports, sizes, who may print; and adding a thing costs what it says."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from data import create_loader
from models import create_model
from options.train_options import TrainOptions

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "models", "options", "util", "scripts", "datasets")
PATTERNS = ("*.py", *(f"{folder}/**/*.py" for folder in FOLDERS))
FILES = sorted(path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern))
PACKAGES = {Path(name).parts[0].removesuffix(".py") for name in FILES}
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ONLY_TORCH = ("models/networks/", "models/losses/", "models/contrastive/", "models/precision.py")
# util/errors.py ends a program; datasets/ are programs, and their download shows its progress.
MAY_PRINT = ("util/errors.py", "util/console.py", "train.py", "test.py", "scripts/", "datasets/")
LONG = {}           # file -> why it may have more than 300 lines
SIDE_BY_SIDE = 13   # files in a folder, plug-ins aside


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading of docs/architecture.md, without its head."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROOMS = {re.search(r"`(.+?)/`", folder)[1]: sentence for folder, sentence in rows("Rooms")}
MAY_IMPORT = {prefix: [] if modules == "nothing" else modules.split(", ")
              for prefixes, modules in rows("Who may import whom")
              for prefix in re.findall(r"`(.+?)`", prefixes)}


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere in it; `from a import b` counts as a."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            assert not any(alias.name == "*" for alias in node.names), f"{name} imports *"
            yield node.module


def within(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("name", FILES)
def test_imports_follow_the_table(name):
    """The longest prefix of a file's path in the table counts."""
    prefix = max((prefix for prefix in MAY_IMPORT if name.startswith(prefix)), key=len)
    ours = [module for module in imports(name) if module.split(".")[0] in PACKAGES | {"tests"}]
    assert [module for module in ours if not within(module, MAY_IMPORT[prefix])] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(ONLY_TORCH)])
def test_networks_and_losses_need_torch_alone(name):
    """And know no options: they are given sizes and tensors."""
    others = {module.split(".")[0] for module in imports(name)} - {"torch", "models"}
    assert others <= sys.stdlib_module_names
    names = {node.id for node in ast.walk(tree(name)) if isinstance(node, ast.Name)}
    assert not {"opt", "Namespace"} & names


def test_every_folder_is_a_room_with_a_sentence():
    folders = {path.parent.relative_to(ROOT).as_posix() for folder in FOLDERS
               for pattern in ("*.py", "*.sh", "*.sbatch", "Dockerfile")
               for path in (ROOT / folder).rglob(pattern)}
    assert folders == ROOMS.keys()
    assert all(len(sentence.split()) > 3 for sentence in ROOMS.values())


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "scripts/experiments"])
def test_no_room_is_crowded(room):
    files = [path.name for pattern in ("*.py", "*.sh") for path in (ROOT / room).glob(pattern)]
    files = [name for name in files if name != "__init__.py"
             and not name.endswith(("_model.py", "_dataset.py"))]
    assert len(files) <= SIDE_BY_SIDE, files


@pytest.mark.parametrize("name", FILES)
def test_files_are_short(name):
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert (lines > 300) == (name in LONG), f"{lines} lines"


def prints(node: ast.AST) -> bool:
    """Whether it is a call of print, tqdm.write, or the write of sys.stdout or sys.stderr."""
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func) in ("print", "tqdm.write", "sys.stdout.write", "sys.stderr.write")


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(MAY_PRINT)])
def test_printing_is_the_programs_business(name):
    """Elsewhere a line goes through util.console.say, which survives a closed terminal and spares the bar."""
    assert [node.lineno for node in ast.walk(tree(name)) if prints(node)] == []


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix()
                                  for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]])
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link.split("#")[0] for link in links if not re.match(r"(https?:|mailto:|#)", link)]
    assert [link for link in local if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_rules_see_something():
    """A rule that looks at nothing holds always."""
    assert len(FILES) > 50 and "util/errors.py" in FILES and "models/networks/resnet.py" in FILES
    assert {"train.py", "test.py"} <= set(FILES) and {"data", "models", "options", "util"} <= PACKAGES
    assert "models.networks.norm" in set(imports("models/networks/resnet.py"))
    assert within("models.losses.gan", ["models"])
    assert not within("models.networks_extra", ["models.networks"])
    assert prints(ast.parse("tqdm.write('x')").body[0].value)
    assert not prints(ast.parse("stream.write('x')").body[0].value)
    assert MAY_IMPORT["util/"] == ["util"] and len(ROOMS) > 10


# ---- the way of a batch

def test_a_batch_passes_few_files(tmp_path):
    """From the image file to Adam's update, files whose code runs; models/networks counts as one, as a reader
    takes it: which of its layers run depends on --netG and --netD."""
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        for number in range(2):
            Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / f"train{domain}/{number}.png")
    flags = f"--dataroot {tmp_path} --load_size 18 --crop_size 16 --ngf 2 --ndf 2 --netD pixel --gpu_ids -1"
    opt = TrainOptions().parse([*flags.split(), "--num_threads", "0", "--checkpoints_dir", str(tmp_path)])
    loader, model = create_loader(opt), create_model(opt)
    batches = iter(loader)
    model.train_step(next(batches))
    passed: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS:
            passed.add(path.relative_to(ROOT).as_posix())

    sys.setprofile(note)
    model.train_step(next(batches))
    sys.setprofile(None)
    networks = {name for name in passed if name.startswith("models/networks/")}
    assert networks and {"data/image_folder.py", "models/cut_model.py"} <= passed
    assert len(passed - networks) + 1 <= 14, sorted(passed)


# ---- adding one of each

DATA_SET = '''
"""Pairs of images of one colour each."""

import torch

from data.base_dataset import BaseDataset


class ColoursDataset(BaseDataset):
    """A is black to white by number, B a random grey."""

    def __len__(self):
        return 4

    def item(self, index, epoch, random):
        images = {"A": torch.full((3, 16, 16), index / 2 - 1), "B": torch.full((3, 16, 16), random.random())}
        return images | {"A_paths": f"a{index}.png", "B_paths": f"b{index}.png"}
'''
GENERATOR = '''
class OneConvolution(SequentialGenerator):
    """A 3x3 convolution; layer 0 is the image, layer 1 the output."""

    def __init__(self, *, in_channels, out_channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Identity(), nn.Conv2d(in_channels, out_channels, 3, padding=1))

    def stages(self):
        return list(self.layers)


'''
LOSS = '''
def absolute(target: float) -> Callable[[Tensor], Tensor]:
    """|score - target|, the mean."""
    return mean_of(lambda scores: (scores - target).abs())


'''
METRIC = '''
def brightness(fake: ImageSet, real: ImageSet) -> float:
    """The difference of the mean grey levels."""
    means = [np.mean([image.mean() for image in images.images.values()]) for images in (fake, real)]
    return abs(means[0] - means[1])


'''
LOGGER = '''
class Diary(Logger):
    """Writes into diary.txt what it is told."""

    def __init__(self, opt: Namespace, folder: Path):
        self.path = folder / "diary.txt"

    def scalars(self, step: Progress, values: Values) -> None:
        with open(self.path, "a") as stream:
            print(step.total_images, *sorted(values), file=stream)


'''
TERM = '''
def brightness(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The difference of the mean grey levels of G's output and its input."""
    return (fake_B.mean() - real_A.mean()).abs()


'''
# kind -> file, what is written (a class or a function), the table, its one new line
ADDITIONS = {
    "generator": ("models/networks/__init__.py", GENERATOR, "GENERATORS: dict[str, GeneratorChoice] = {",
                  '    "tiny": GeneratorChoice(OneConvolution, nce_layers="0,1"),'),
    "loss": ("models/losses/gan.py", LOSS, "OBJECTIVES = {",
             '    "absolute": Objective(real=absolute(1), fake=absolute(0), generator=absolute(1)),'),
    "term": ("models/losses/auxiliary.py", TERM, "LOSSES: dict[str, Auxiliary] = {",
             '    "brightness": Auxiliary(brightness),'),
    "metric": ("util/metrics/registry.py", METRIC, "METRICS: dict[str, Metric] = {",
               '    "brightness": Metric(brightness),'),
    "logger": ("util/loggers/registry.py", LOGGER,
               "LOGGERS: dict[str, Callable[[Namespace, Path], Logger | None]] = {",
               '    "diary": Diary,'),
}


def add(root: Path, kind: str) -> None:
    """Write the function or class in front of the table (and its comments), and the line into the table."""
    name, definition, table, line = ADDITIONS[kind]
    text = (root / name).read_text()
    assert text.count(table) == 1, f"{name} holds no {table!r}"
    (root / name).write_text(text.replace(table, f"{definition}{table}\n{line}"))


def test_one_of_each_costs_what_the_page_says(tmp_path):
    """A loss, a generator, a metric, a logger and a data set, in a copy of the project that then trains."""
    for folder in ("data", "models", "options", "util"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    for kind in ADDITIONS:
        add(tmp_path, kind)
    networks = tmp_path / "models/networks/__init__.py"
    networks.write_text(networks.read_text().replace("\nfrom models.networks.patch_sampler", (
        "\nfrom models.networks.base import SequentialGenerator\nfrom models.networks.patch_sampler"), 1))
    loggers = tmp_path / "util/loggers/registry.py"
    loggers.write_text(loggers.read_text().replace("from util.loggers.base import Logger", (
        "from util.loggers.base import Logger, Values\nfrom util.runtime.progress import Progress")))
    (tmp_path / "data" / "colours_dataset.py").write_text(DATA_SET)
    for domain in "AB":
        (tmp_path / "set" / f"test{domain}").mkdir(parents=True)
        grey = np.full((16, 16, 3), 100, dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / "set" / f"test{domain}" / "one.png")
    flags = ("--dataroot set --name run --dataset_mode colours --netG tiny --gan_mode absolute "
             "--auxiliary brightness=2 --evaluation_metrics brightness "
             "--evaluation_freq 2 --crop_size 16 --load_size 16 --gpu_ids -1 "
             "--netD pixel --ndf 2 --netF_nc 4 --num_patches 8 --num_threads 0 --n_epochs 1 "
             "--n_epochs_decay 0 --print_freq 1 --display_id 0").split()
    done = subprocess.run([sys.executable, "train.py", *flags], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "checkpoints" / "run"
    assert "brightness" in json.loads((run / "evaluations.jsonl").read_text().splitlines()[0])["metrics"]
    assert "brightness" in json.loads((run / "stats.jsonl").read_text().splitlines()[0])["losses"]
    diary = (run / "diary.txt").read_text()
    assert "4 loss/D_fake" in diary and "score/brightness" in diary
    assert (run / "latest_net_G.pth").exists()


def test_additions_are_those_of_the_page():
    page = "\n".join(" | ".join(row) for row in rows("To add a thing"))
    for name, _, table, _ in ADDITIONS.values():
        assert re.match(r"\w+", table)[0] in page and name in page
