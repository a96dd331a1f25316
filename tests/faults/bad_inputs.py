"""Command lines, folders and checkpoints that cannot work, and the one line that says so."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from tests.data.shards.conftest import pack_all


class Bad(NamedTuple):
    """Arguments behind those of a small training (or translation) that works, and what the one line holds.

    "@" in an argument stands for the test's own folder, "@/images" in it for images that are right.
    prepare: called with the test's folder, whose checkpoints/run holds a training that is over.
    model: whose training it is; the sizes of another than cut are among the arguments.
    """

    arguments: str
    says: str
    prepare: Callable[[Path], Any] = lambda root: None
    code: int = 2
    model: str = "cut"


def write(path: str, content: str | bytes) -> Callable[[Path], Any]:
    data = content.encode() if isinstance(content, str) else content

    def prepare(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return prepare


def folder(path: str) -> Callable[[Path], Any]:
    return lambda root: (root / path).mkdir(parents=True)


def both(*steps: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: [step(root) for step in steps]


def cut_off(path: str, size: int) -> Callable[[Path], Any]:
    return lambda root: os.truncate(root / path, size)


def remove(path: str) -> Callable[[Path], Any]:
    return lambda root: (root / path).unlink()


def copy(path: str, to: str) -> Callable[[Path], Any]:
    return lambda root: shutil.copy(root / path, root / to)


def save(path: str, content: Any) -> Callable[[Path], Any]:
    return lambda root: torch.save(content, root / path)


def record(**options: Any) -> Callable[[Path], Any]:
    """Options as somebody may have written them into opt.json."""
    return write(f"{RUN}/opt.json", json.dumps({"options": options}))


class Intruder:
    """Unpickled by a loader that executes code, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def intrude(path: str, legacy: bool = False) -> Callable[[Path], Any]:
    """A checkpoint that carries code, in the format of torch.save or in a plain pickle."""
    def prepare(root: Path) -> None:
        content = {"weight": torch.zeros(3), "code": Intruder(root / "intruded")}
        if legacy:
            (root / path).write_bytes(pickle.dumps(content))
        else:
            torch.save(content, root / path)
    return prepare


def masks(path: str, count: int = 6, size: tuple[int, int] = (40, 40)) -> Callable[[Path], Any]:
    """The right images with a folder of masks."""
    def prepare(root: Path) -> None:
        shutil.copytree(root / "images", root / path)
        (root / path / "trainA_mask").mkdir()
        for number in range(count):
            Image.new("L", size).save(root / path / "trainA_mask" / f"{number}.png")
    return prepare


def numbers(path: str, values: np.ndarray) -> Callable[[Path], Any]:
    def prepare(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / path, values)
    return prepare


def blank(path: str) -> Callable[[Path], Any]:
    """The same number of bytes, all zero."""
    return lambda root: (root / path).write_bytes(bytes((root / path).stat().st_size))


def shards(*steps: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The right images in the shards of <root>/data, four in each, then changed."""
    return both(lambda root: pack_all(root / "images", root / "data", images=4), *steps)


RUN = "checkpoints/run"
STATE, BEFORE, NET_G = f"{RUN}/latest_state.pth", f"{RUN}/previous_state.pth", f"{RUN}/latest_net_G.pth"
LONG = "x" * 300
DRIT = "--model drit --ngf 2 --ndf 2 --crop_size 32 --dis_scale 2"
MUNIT = "--model munit --ngf 2 --ndf 2 --crop_size 64 --load_size 64"

TRAINING = {
    # command lines
    "unknown flag": Bad("--ngff 4", "there is no flag --ngff; did you mean --ngf?"),
    "stray word": Bad("horse zebra", "'horse' belongs to no flag"),
    "word for a number": Bad("--ngf four", "--ngf is 'four'; it must be a whole number"),
    "missing value": Bad("--ngf", "--ngf: expected one argument"),
    "no batch": Bad("--batch_size 0", "--batch_size is 0; it must be at least 1"),
    "batch larger than the data": Bad("--batch_size 7", "--batch_size is 7, but an epoch has only 6 images"),
    "nan": Bad("--lr nan", "--lr is nan"),
    "infinite": Bad("--lr inf", "--lr is inf; it must be above 0 and finite"),
    "negative": Bad("--lambda_NCE -1", "--lambda_NCE is -1"),
    "moment above one": Bad("--beta1 1.5", "--beta1 is 1.5"),
    "negative workers": Bad("--num_threads -1", "--num_threads is -1"),
    "negative seed": Bad("--seed -1", "--seed is -1"),
    "fractional seed": Bad("--seed 0.5", "--seed is '0.5'; it must be a whole number"),
    "negative keep_last": Bad("--keep_last -1", "--keep_last is -1"),
    "odd crop": Bad("--crop_size 30", "--crop_size is 30; it must be a multiple of 4"),
    "crop above load": Bad("--load_size 16", "--load_size 16 is smaller than --crop_size 32"),
    "layer that is not there": Bad("--nce_layers 0,99", "99"),
    "layers that are no numbers": Bad("--nce_layers a,b", "--nce_layers is 'a,b'"),
    "unknown generator": Bad("--netG nothing", "--netG: invalid choice: 'nothing'"),
    "generator that never worked": Bad("--netG resnet_cat", "resnet_cat never worked"),
    "unknown objective": Bad("--gan_mode nothing", "--gan_mode: invalid choice"),
    "unknown loss": Bad("--auxiliary l3=1", "--auxiliary is 'l3=1', but 'l3' is none of l1"),
    "loss of no weight": Bad("--auxiliary tv=heavy", "'heavy' is no weight of tv"),
    "loss without pairs": Bad("--auxiliary l1=1", "needs pairs, which --dataset_mode unaligned does not"),
    "loss without its mask": Bad("--auxiliary mask_l1=1", "--companions mask=trainA_mask"),
    "loss without its network": Bad("--auxiliary perceptual=1", "give --auxiliary_features FILE"),
    "network that is not there": Bad("--auxiliary perceptual=1 --auxiliary_features @/no.pt2", "no file"),
    "unknown mode": Bad("--CUT_mode cutt", "--CUT_mode is 'cutt'; choose CUT or FastCUT"),
    "unknown mode of DCLGAN": Bad("--model dclgan --dcl_mode both", "--dcl_mode: invalid choice: 'both'"),
    "DCLGAN with earlier keys": Bad("--model dclgan --nce_negatives both", "use --nce_negatives internal"),
    "model that only translates": Bad("--model exported", "--model exported translates alone"),
    "unknown model": Bad("--model nothing", "--model is 'nothing', but there is no models/nothing_model.py"),
    "model outside": Bad("--model ../evil", "--model is '../evil'"),
    "EnCo, layers of two sizes": Bad("--model enco --nce_layers 3,8", "whose maps differ in size"),
    "recipe of another model": Bad("--model cut --recipe enco", "--recipe enco sets --lambda_IDT, which"),
    "unknown recipe": Bad("--recipe nothing", "--recipe: invalid choice: 'nothing'"),
    "unknown data set": Bad("--dataset_mode nothing", "--dataset_mode is 'nothing'"),
    "unknown word": Bad("--preprocess wiggle", "--preprocess is 'wiggle'"),
    "words that clash": Bad("--preprocess crop_and_patch", "exclude each other"),
    "direction": Bad("--direction AtoC", "--direction: invalid choice"),
    "no such GPU": Bad("--gpu_ids 99", "--gpu_ids is 99"),
    "GPU that is no number": Bad("--gpu_ids first", "--gpu_ids is 'first'"),
    "two channels": Bad("--input_nc 2 --output_nc 2", "--input_nc is 2"),
    "MUNIT, small crops": Bad(f"{MUNIT} --crop_size 32", "--crop_size 32 is too small for --model munit",
                              model="munit"),
    "MUNIT, gradient penalty": Bad(f"{MUNIT} --gan_mode wgangp",
                                   "--gan_mode wgangp does not work with --model munit", model="munit"),
    "MUNIT, styles of translation": Bad(f"{MUNIT} --num_styles 3", "there is no flag --num_styles",
                                        model="munit"),
    "unequal channels": Bad("--input_nc 4", "--input_nc is 4"),
    "nothing to train": Bad("--n_epochs 0", "nothing to train"),
    "epochs that are over": Bad("--epoch_count 9", "--epoch_count is 9, but the last epoch is 1"),
    "unknown logger": Bad("--logger tensorbord", "--logger is 'tensorbord', but 'tensorbord' is none of"),
    "negative fixed_images": Bad("--fixed_images -1", "--fixed_images is -1; it must be at least 0"),
    "bad flag of a rehearsal": Bad("--dry_run --batch_size 7", "--batch_size is 7, but an epoch has only 6"),
    "what to do about nan": Bad("--on_nan pray", "--on_nan: invalid choice"),
    "suffix of nothing": Bad("--suffix {nothing}", "--suffix is '{nothing}'"),
    "name outside": Bad("--name ../escape", "--name is '../escape'"),
    "name from the root": Bad("--name /escape", "--name is '/escape'"),
    "no name": Bad("--name=", "--name is ''"),
    "name too long": Bad(f"--name {LONG}", "File name too long"),
    # folders
    "no data": Bad("--dataroot @/nowhere", "nowhere', which does not exist"),
    "data without domains": Bad("--dataroot @", "trainA' is missing"),
    "empty domain": Bad("--dataroot @/data", "trainA' should hold domain A's images",
                      both(folder("data/trainA"), folder("data/trainB"))),
    "domain of texts": Bad("--dataroot @/data", "but holds notes.txt",
                         both(write("data/trainA/notes.txt", "a"), write("data/trainB/notes.txt", "b"))),
    "data is a file": Bad("--dataroot @/data", "is missing", write("data", "no folder")),
    "checkpoints is a file": Bad("--checkpoints_dir @/taken", "Not a directory", write("taken", "")),
    "name is a file": Bad("--name taken", "File exists", write("checkpoints/taken", "")),
    # what belongs to images, lists, augmentation, options from a file
    "mask that is not there": Bad("--companions mask=trainA_mask", "there is no folder"),
    "mask of one image missing": Bad("--dataroot @/data --companions mask=trainA_mask",
                                     "have no file of their name", masks("data", count=5)),
    "mask of another size": Bad("--dataroot @/data --companions mask=trainA_mask", "measures 8x9 pixels, but",
                                masks("data", size=(8, 9))),
    "range that is empty": Bad("--value_range 9:1", "--value_range is '9:1'; give auto, or two numbers"),
    "range of percentiles that is empty": Bad("--value_range p9:p1", "--value_range is 'p9:p1'; give auto"),
    "window of no width": Bad("--value_range window:40:0", "--value_range is 'window:40:0'; give auto"),
    "axis that volumes lack": Bad("--value_range 0:1 --slice_axis 3", "--slice_axis: invalid choice"),
    "volumes without a range": Bad("--dataroot @/data", "; --value_range reads", both(
        *(numbers(f"data/train{side}/scan.npy", np.zeros((3, 40, 40))) for side in "AB"))),
    "pairs of volumes of two lengths": Bad(
        "--dataroot @/list.csv --dataset_mode aligned --value_range 0:1", "different numbers of slices", both(
            write("list.csv", "A,B\na.npy,b.npy\n"), *(numbers(f"{side}.npy", np.zeros((count, 40, 40)))
                                                       for side, count in (("a", 6), ("b", 7))))),
    "range beside 8 bits": Bad("--value_range auto --augment rotate90",
                               "does not work with --augment rotate90"),
    "no companions": Bad("--companions mask", "'mask' is no name=folder"),
    "list that names missing files": Bad("--dataroot @/list.csv", "names 1 files that are missing",
                                         write("list.csv", "A,B\nno.png,\n")),
    "list without columns": Bad("--dataroot @/list.csv", "has no column A or B", write("list.csv", "x\n1\n")),
    "list without the split": Bad("--dataroot @/list.csv", "has no rows of the split 'train'",
                                  write("list.csv", "A,B,split\nx,y,test\n")),
    "list of bad weights": Bad("--dataroot @/list.csv", "has a weight that is no number",
                               write("list.csv", "A,B,weight\nimages/trainA/0.png,images/trainB/0.png,x\n")),
    "list that is no JSON": Bad("--dataroot @/list.jsonl", "list.jsonl cannot be read",
                                write("list.jsonl", "{")),
    "pairs that are none": Bad("--dataset_mode aligned", "1 of 6 images of A have no partner in B"),
    "pairs above all": Bad("--dataset_mode aligned --paired_ratio 2", "--paired_ratio is 2; it must be"),
    "unknown augmentation": Bad("--augment wiggle=1", "'wiggle' is none of rotate90"),
    "augmentation by nothing": Bad("--augment rotate", "'rotate' should be rotate="),
    "config that is not there": Bad("--config @/no.json", "no.json cannot be read"),
    "config with an unknown name": Bad("--config @/c.json", "did you mean --ngf?",
                                       write("c.json", '{"ngff": 1}')),
    "config with a wrong value": Bad("--config @/c.json", "holds 'x' for --lr",
                                     write("c.json", '{"lr": "x"}')),
    # shards
    **{f"shards, {name}": Bad(f"--dataroot @/data --dataset_mode webdataset {flags}", says, shards(*steps))
       for name, flags, says, *steps in (
        ("none", "--phase val", "there are no shards of valA: "),
        ("one domain missing", "", "there are no shards of trainB: ", *(
            remove(f"data/trainB{name}") for name in (".json", "-000000.tar", "-000000.idx", "-000001.tar",
                                                      "-000001.idx"))),
        ("cut off", "", "trainA-000001.tar has 2000 bytes, but its index says",
         cut_off("data/trainA-000001.tar", 2000)),
        ("cut off, no index", "", "trainA-000001.tar is no whole tar file",
         cut_off("data/trainA-000001.tar", 2000), remove("data/trainA-000001.idx")),
        ("one missing", "", "data/trainA-000001.tar is missing", remove("data/trainA-000001.tar")),
        ("not finished", "", "run datasets/make_shards.py again", remove("data/trainA.json")),
        ("pattern of none", "--shards_A no-*.tar", "'no-*.tar' matches no file"),
        ("listed twice", "--shards_A trainA-{000000,000000}.tar", "trainA-000000.tar is listed 2 times"),
        ("a copy", "--shards_A trainA-00000{0,9}.tar", "hold the same bytes; list one of them",
         copy("data/trainA-000000.tar", "data/trainA-000009.tar"),
         copy("data/trainA-000000.idx", "data/trainA-000009.idx")),
        ("a command", "--shards_A pipe:touch${IFS}@/intruded;x.tar", "--shards_remote allows to fetch it"),
        ("an address", "--shards_B https://localhost/x.tar", "--shards_remote allows to fetch it"),
        ("remote without index", "--shards_remote --shards_B https://localhost/x.tar", "copy the .idx files"),
        ("empty window", "--shards_window -1", "--shards_window is -1; it must be at least 0"),
        ("mask without shards", "--companions mask=trainA_mask", "there are no shards of trainA_mask"))},
    "shards, other bytes": Bad("--dataroot @/data --dataset_mode webdataset", "in a row cannot be read",
                               shards(*(blank(f"data/train{name}.tar") for name in (
                                   "A-000000", "A-000001", "B-000000", "B-000001"))), code=1),
    # resuming
    "config beside a record": Bad("--continue_train --config @/c.json", "has no effect with --continue_train",
                                  write("c.json", "{}")),
    "neither begin nor go on": Bad("--continue_train maybe", "neither true nor false, nor auto"),
    "no run to continue": Bad("--continue_train --name nobody", "holds run: check --name"),
    "no such epoch": Bad("--continue_train --epoch 77", "choose one with --epoch"),
    "no run to begin from": Bad("--continue_train --pretrained_name nobody", "nobody does not exist"),
    "pretrained alone": Bad("--pretrained_name run", "takes effect only with --continue_train"),
    "other width": Bad("--continue_train --ngf 8", "changes --ngf 4 to 8"),
    "other networks": Bad("--continue_train --netG resnet_6blocks --normD none",
                          "--netG resnet_4blocks to resnet_6blocks, --normD instance to none"),
    "other direction": Bad("--continue_train --direction BtoA", "--direction AtoB to BtoA"),
    "other width, no record": Bad("--continue_train --ngf 8", "network G does not fit",
                                  remove(f"{RUN}/opt.json")),
    "record that is no JSON": Bad("--continue_train", "opt.json cannot be read",
                                  write(f"{RUN}/opt.json", "{")),
    "record of another shape": Bad("--continue_train", "opt.json cannot be read",
                                   write(f"{RUN}/opt.json", '{"options": 3}')),
    "record with a wrong value": Bad("--continue_train", "holds 'wide' for --ngf", record(ngf="wide")),
    "record with nothing": Bad("--continue_train", "holds None for --ngf", record(ngf=None)),
    "record with a wrong choice": Bad("--continue_train", "holds 'x' for --netG", record(netG="x")),
    "record of a path": Bad("--continue_train", "--model is '../evil'", record(model="../evil")),
    "states cut off": Bad("--continue_train", "move both away",
                          both(cut_off(STATE, 9000), cut_off(BEFORE, 9))),
    "state with code": Bad("--continue_train", "latest_state.pth is refused: it holds more", intrude(STATE)),
    "pickle with code": Bad("--continue_train", "latest_state.pth is refused", intrude(STATE, legacy=True)),
    "weights for a state": Bad("--continue_train", "has format None", copy(NET_G, STATE)),
    "state of another version": Bad("--continue_train", "has format 99", save(STATE, {"format": 99})),
    "state that lacks parts": Bad("--continue_train", "does not fit",
                                  save(STATE, {"format": 1, "model": {}})),
    "state is a folder": Bad("--continue_train", "latest_state.pth cannot be read: Is a directory",
                             both(remove(STATE), folder(STATE))),
    "losses that are no JSON": Bad("--continue_train --n_epochs 9", "holds a line that is not JSON",
                                   write(f"{RUN}/stats.jsonl", "oops\n"), code=1),
    "no micro-batches": Bad("--accumulate 0", "--accumulate is 0"),
    "micro-batches that do not divide": Bad("--batch_size 4 --accumulate 3", "use a multiple of 3"),
    "micro-batches of a batch norm": Bad("--batch_size 2 --accumulate 2 --normG batch",
                                         "network G takes statistics over all of it"),
    "micro-batches of EnCo": Bad("--recipe enco --batch_size 2 --accumulate 2 --nce_layers 0,4,8,12",
                                 "network F takes statistics over all of it"),
    **{f"DRIT, {name}": Bad(f"{DRIT} {flags}", says, model="drit") for name, flags, says in (
        ("odd batch", "--batch_size 3", "--batch_size 3 is odd, but --model drit halves each"),
        ("small crops", "--dis_scale 3", "--crop_size 32 is too small for --dis_scale 3, which needs 61"),
        ("smaller maps", "--content_D_layers 1", "is too small for --content_D_layers 1, which needs 44"),
        ("many layers", "--content_D_layers 4", "--content_D_layers: invalid choice"),
        ("objective", "--gan_mode wgangp", "--gan_mode wgangp does not work with --model drit"),
        ("checkpointing", "--grad_checkpoint", "--grad_checkpoint does not work with --model drit"),
        ("a flag of CUT", "--nce_layers 0", "there is no flag --nce_layers"))},
}
TRANSLATION = {
    "no such name": Bad("--name nobody", "holds run: check --name"),
    "no such epoch": Bad("--epoch 77", "choose one with --epoch"),
    "weights cut off": Bad("", "latest_net_G.pth is damaged", cut_off(NET_G, 20_000)),
    "weights empty": Bad("", "latest_net_G.pth is damaged: it is empty", cut_off(NET_G, 0)),
    "weights are a text": Bad("", "latest_net_G.pth is", write(NET_G, "no weights\n")),
    "weights with code": Bad("", "latest_net_G.pth is refused: it holds more", intrude(NET_G)),
    "pickle with code": Bad("", "latest_net_G.pth is refused", intrude(NET_G, legacy=True)),
    "weights are a list": Bad("", "holds a list", save(NET_G, [1, 2])),
    "weights without names": Bad("", "holds a dict", save(NET_G, {0: torch.zeros(1)})),
    "weights of D": Bad("", "does not fit the network built here", copy(f"{RUN}/latest_net_D.pth", NET_G)),
    "state for weights": Bad("", "holds no network's weights", copy(STATE, NET_G)),
    "other width": Bad("--ngf 8", "look at --netG, --ngf"),
    "no data": Bad("--dataroot @/nowhere", "nowhere', which does not exist"),
    "empty data": Bad("--dataroot @/data", "should hold domain A's images", folder("data")),
    "data is a text": Bad("--dataroot @/data.txt", "data.txt names 1 files that are missing",
                          write("data.txt", "no image")),
    "data is no image": Bad("--dataroot @/data.doc", "data.doc", write("data.doc", "no image"), code=1),
    "results is a file": Bad("--results_dir @/taken", "taken", write("taken", ""), code=1),
    "style image that is not there": Bad("--model munit --style_image @/no.png",
                                         "--style_image cannot be read"),
    "style image that is a text": Bad("--model munit --style_image @/no.png", "--style_image cannot be read",
                                      write("no.png", "no image")),
    "styles beside a style image": Bad("--model munit --num_styles 2 --style_image @/a.png",
                                       "--style_image", write("a.png", "")),
    "no styles": Bad("--model munit --num_styles 0", "--num_styles is 0"),
    "alpha of images cut": Bad("--keep_alpha --preprocess crop", "--keep_alpha needs whole images"),
    "nan in a float image": Bad("--dataroot @/a.npy --value_range 0:1", "a.npy: it holds NaN", code=1,
                                prepare=numbers("a.npy", np.full((8, 8), np.nan))),
    "nan in a volume": Bad("--dataroot @/a.npy --value_range 0:1", "a.npy[001]: it holds NaN", code=1,
                           prepare=numbers("a.npy", np.full((2, 8, 8), np.nan))),
    "empty volume": Bad("--dataroot @/a.npy --value_range 0:1", "a.npy: it holds no slices", code=1,
                        prepare=numbers("a.npy", np.zeros((0, 8, 8)))),
    "file of one number": Bad("--dataroot @/a.npy --value_range p1:p99", "both 7, an empty --value_range",
                              prepare=numbers("a.npy", np.full((8, 8), 7)), code=1),
    "floats of no range": Bad("--dataroot @/a.npy --value_range auto", "give --value_range lo:hi",
                              numbers("a.npy", np.zeros((8, 8)))),
    "no images wanted": Bad("--num_test 0", "--num_test is 0"),
    "flag of the training": Bad("--lr 0.1", "there is no flag --lr"),
    "exported file that is not there": Bad("--exported @/no.onnx", "there is no file"),
    "exported file that is a text": Bad("--exported @/a.pt2", "a.pt2 cannot be read", write("a.pt2", "text")),
    "exported file that is a checkpoint": Bad(f"--exported @/{NET_G}", "is neither .pt2 (torch.export) nor"),
    "averages of an exported file": Bad("--exported @/a.pt2 --use_ema", "--use_ema do not go together"),
    "exported model without its file": Bad("--model exported", "needs its file: --exported FILE"),
}
