"""scripts/demo_app.py: a real server asked over HTTP, and a visit in Chromium."""

import http.client
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from PIL import Image

from models import create_model
from models.translator import Translator
from options.describe import save_options
from options.train_options import TrainOptions
from scripts import demo_app
from scripts.demo import runs as demo_runs
from scripts.demo.server import POLICY, DemoServer
from tests import adversarial
from tests.browser import needs_chromium
from tests.devtools import Browser, wait
from util.errors import UsageError

ROOT = Path(__file__).parents[2]
CHOICE = {"run": "h2z_CUT", "epoch": "latest", "precision": "fp32"}


def make_run(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    opt = TrainOptions().parse([*adversarial.SMALL, "--name", folder.name, "--init_gain", "1", "--netG",
                                "smallstylegan2", "--checkpoints_dir", str(folder.parent)])
    save_options(opt, folder)
    create_model(opt).save_weights(folder, "latest")
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """Two runs, one of them with averages of an earlier epoch; and a folder that is none."""
    folder = tmp_path_factory.mktemp("checkpoints")
    first, second = (make_run(folder / name, seed) for seed, name in enumerate(("h2z_CUT", "other run")))
    shutil.copy(first / "latest_net_G.pth", first / "20_net_G.pth")
    shutil.copy(second / "latest_net_G.pth", first / "20_net_G_ema.pth")
    (folder / "no run").mkdir()
    return folder


def serve(folder: Path, *flags: str) -> Iterator[DemoServer]:
    args = demo_app.parse([str(folder), "--port", "0", "--device", "cpu", *flags])
    with demo_app.create_server(args) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(checkpoints) -> Iterator[DemoServer]:
    yield from serve(checkpoints / "h2z_CUT", "--max_megabytes", "0.2", "--max_megapixels", "1")


def ask(server: DemoServer, method: str, path: str, body: bytes | None = None,
        **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def translate(server: DemoServer, body: bytes, **choice: str) -> tuple[int, bytes]:
    return ask(server, "POST", f"/translate?{urlencode(CHOICE | choice)}", body)[:2]


def paint(seed: int = 0, size: tuple[int, int] = (22, 18)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


# ---- translations

def test_an_image_comes_back_as_the_translator_makes_it(server, checkpoints):
    own = Translator.load(checkpoints / "h2z_CUT", device="cpu", precision="fp32")
    other = Translator.load(checkpoints / "other run", device="cpu", precision="fp32")
    status, made = translate(server, encoded(paint()))
    assert status == 200 and np.array_equal(decoded(made), own(paint()))
    for choice, expected in (({"epoch": "20"}, own), ({"epoch": "20", "use_ema": "true"}, other),
                             ({"run": "other run"}, other)):
        assert np.array_equal(decoded(translate(server, encoded(paint()), **choice)[1]), expected(paint()))
    assert not np.array_equal(own(paint()), other(paint()))
    assert np.array_equal(decoded(translate(server, encoded(paint()), tile="384")[1]), own(paint()))
    rough = decoded(translate(server, encoded(paint()), precision="bf16")[1])
    assert 0 < np.abs(rough.astype(int) - np.asarray(own(paint())).astype(int)).max() < 20


@pytest.mark.parametrize("kind,mode", [("JPEG", "RGB"), ("WEBP", "RGB"), ("GIF", "P"), ("BMP", "L"),
                                       ("PNG", "RGBA")])
def test_every_kind_that_browsers_show_is_read(server, kind, mode):
    status, made = translate(server, encoded(paint().convert(mode), kind))
    assert status == 200 and decoded(made).shape == (18, 22, 3)


def test_photos_are_held_upright(server):
    """Orientation 6: the camera was turned, and the image is to be turned clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = translate(server, encoded(paint(), exif=exif))[1]
    upright = translate(server, encoded(paint().transpose(Image.Transpose.ROTATE_270)))[1]
    assert decoded(turned).shape == (22, 18, 3) and np.array_equal(decoded(turned), decoded(upright))


def test_requests_at_once_get_their_own_images(server, checkpoints):
    own = Translator.load(checkpoints / "h2z_CUT", device="cpu", precision="fp32")
    images = [paint(seed, (12 + 2 * seed, 16)) for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda image: translate(server, encoded(image)), images))
    assert [status for status, _ in found] == [200] * 8
    for (_, made), image in zip(found, images, strict=True):
        assert np.array_equal(decoded(made), own(image))


def test_weights_that_were_written_anew_are_read_anew(checkpoints, tmp_path):
    shutil.copytree(checkpoints / "h2z_CUT", tmp_path / "h2z_CUT")
    for server in serve(tmp_path / "h2z_CUT"):
        before = translate(server, encoded(paint()))[1]
        shutil.copy(checkpoints / "other run" / "latest_net_G.pth", tmp_path / "h2z_CUT")
        assert translate(server, encoded(paint()))[1] != before
        assert len(server.runs._loaded) <= demo_runs.KEPT


def test_what_can_be_chosen(server):
    status, content, _ = ask(server, "GET", "/runs")
    assert status == 200 and json.loads(content) == {
        "first": "h2z_CUT", "precisions": ["auto", "fp32", "bf16", "fp16"], "tiles": [384, 768, 1536],
        "runs": [{"name": "h2z_CUT", "epochs": [{"name": "latest", "averages": False},
                                                {"name": "20", "averages": True}]},
                 {"name": "other run", "epochs": [{"name": "latest", "averages": False}]}]}


def test_checkpoints_are_found_by_their_names(tmp_path):
    for name in ("latest_net_G_A.pth", "latest_net_G_B.pth", "5_net_G_A.pth", "5_net_G_A_ema.pth",
                 "iter_300_net_G.pth", "latest_net_D_A.pth", "best_net_G.pth", "notes.pth"):
        (tmp_path / name).touch()
    assert list(demo_runs.checkpoints(tmp_path).items()) == [
        ("latest", False), ("best", False), ("iter_300", False), ("5", True)]


# ---- what is refused

NO_IMAGE = encoded(paint(size=(300, 200)))
REFUSED = {
    "no image": (b"no image at all", {}, 415, "no image that can be read"),
    "cut off": (NO_IMAGE[:2000], {}, 415, "no image that can be read"),
    "another kind": (encoded(paint(), "TIFF"), {}, 415, "give PNG, JPEG"),
    "empty": (b"", {}, 400, "The file is empty"),
    "too many bytes": (bytes(300_000), {}, 413, "0.3 MB, more than the 0.2 MB .*--max_megabytes"),
    "bomb": (encoded(Image.new("1", (12_000, 9_000))), {}, 413, "12,000 × 9,000 pixels, .*--max_megapixels"),
    "bomb that Pillow knows": (encoded(Image.new("1", (20_000, 10_000))), {}, 413, "1 megapixels"),
    "run": (encoded(paint()), {"run": "../secret"}, 422, "no checkpoint 'latest' of a run '../secret'"),
    "folder that is no run": (encoded(paint()), {"run": "no run"}, 422, "of a run 'no run'"),
    "epoch": (encoded(paint()), {"epoch": "7"}, 422, "no checkpoint '7'"),
    "averages": (encoded(paint()), {"use_ema": "true"}, 422, "no latest_net_G_ema.pth"),
    "precision": (encoded(paint()), {"precision": "int8"}, 422, "'int8' .* is not offered"),
    "tile": (encoded(paint()), {"tile": "3"}, 422, "tile 3 is not offered"),
    "tile that is no number": (encoded(paint()), {"tile": "wide"}, 400, "no number as its tile"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_translated_gets_one_line(server, name):
    body, choice, status, words = REFUSED[name]
    found, content = translate(server, body, **choice)
    message = json.loads(content)["error"]
    assert found == status and re.search(words, message) and "\n" not in message, (found, message)


def test_a_bomb_is_refused_before_it_is_decoded(server, monkeypatch):
    def decode(image: Image.Image) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Image.Image, "load", decode)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    assert translate(server, REFUSED["bomb"][0])[0] == 413


def test_only_this_machine_is_answered(server):
    """Neither another name that points here (DNS rebinding), nor a page of another origin, nor a network."""
    port = server.server_address[1]
    assert server.server_address[0] == "127.0.0.1"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert ask(server, "GET", "/", Host=host)[0] == 200
    for host in (f"evil.example:{port}", "localhost", f"127.0.0.1.evil.example:{port}", ""):
        assert ask(server, "GET", "/runs", Host=host)[0] == 403
    own = {"Host": f"localhost:{port}"}
    assert ask(server, "GET", "/runs", Origin=f"http://localhost:{port}", **own)[0] == 200
    for origin in ("http://evil.example", "null", f"https://localhost:{port}"):
        assert ask(server, "POST", f"/translate?{urlencode(CHOICE)}", encoded(paint()), Origin=origin,
                   **own)[0] == 403


def test_others_are_answered_where_that_was_asked_for(checkpoints):
    for server in serve(checkpoints, "--allow_others"):
        assert server.server_address[0] == "0.0.0.0" and server.runs.first == "h2z_CUT"
        assert ask(server, "GET", "/runs", Host="desk.example:80")[0] == 200
        assert ask(server, "GET", "/runs", Host="desk.example:80", Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/../server.py", 404), ("GET", "/server.py", 404), ("POST", "/", 404), ("GET", "/translate", 404),
    ("POST", "/translate", 400), ("PUT", "/translate", 501)])
def test_nothing_else_is_there(server, method, path, status):
    assert ask(server, method, path, b"x")[0] == status


def test_a_body_of_unknown_size_is_refused(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request("POST", f"/translate?{urlencode(CHOICE)}", iter([encoded(paint())]))    # in chunks
    assert connection.getresponse().status == 411


def test_who_comes_when_many_wait_is_told_so(server):
    for _ in range(8):
        server.places.acquire()
    try:
        assert translate(server, encoded(paint()))[0] == 503
    finally:
        server.places.release(8)
    assert translate(server, encoded(paint()))[0] == 200


@pytest.mark.parametrize("error,status,words", [
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 413, "22 × 18 .* into memory"),
    (MemoryError(), 413, "into memory"), (KeyError("x"), 500, r"The program failed \(KeyError\)")], ids=str)
def test_a_failure_is_said_and_the_next_image_translated(server, monkeypatch, capsys, error, status, words):
    def fail(*arguments: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "__call__", fail)
        found, content = translate(server, encoded(paint()))
    assert found == status and re.search(words, json.loads(content)["error"])
    assert ("Traceback" in capsys.readouterr().err) == (status == 500)
    assert translate(server, encoded(paint()))[0] == 200


@pytest.mark.parametrize("flags,words", [
    (["nowhere"], "nowhere holds no generator's weights"), (["@/no run"], "no run holds no generator's"),
    (["@", "--port", "70000"], "--port is 70000"), (["@", "--max_megapixels", "0"], "--max_megapixels is 0"),
    (["@", "--device", "gpu"], "device is 'gpu'")], ids=str)
def test_a_command_that_cannot_work_gets_one_line(checkpoints, flags, words):
    with pytest.raises(UsageError, match=words):
        demo_app.create_server(demo_app.parse([flag.replace("@", str(checkpoints)) for flag in flags]))


def test_a_port_that_is_taken_is_named(server, checkpoints):
    taken = str(server.server_address[1])
    with pytest.raises(UsageError, match=f"--port {taken} cannot be had"):
        demo_app.create_server(demo_app.parse([str(checkpoints), "--port", taken, "--device", "cpu"]))


# ---- the page

def test_the_page_loads_nothing_from_elsewhere(server):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/style.css", "text/css"),
                       ("/icon.svg", "image/svg+xml")):
        status, content, headers = ask(server, "GET", path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert headers["Content-Security-Policy"] == POLICY
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", content)


@needs_chromium
@pytest.mark.parametrize("width", [1100, 390])
def test_a_visit(server, checkpoints, tmp_path, width):
    """An image is chosen and shown beside its translation, the line is dragged, the translation downloaded;
    then other weights are chosen, and a file that is no image.
    """
    own, other = (Translator.load(checkpoints / name, device="cpu") for name in ("h2z_CUT", "other run"))
    paint(size=(160, 120)).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no image")
    seen = "[...document.querySelectorAll('main [id]')].filter(e => e.checkVisibility()).map(e => e.id)"
    pixels = """(async () => { const image = document.getElementById('after');
        const canvas = document.createElement('canvas');
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const pen = canvas.getContext('2d'); pen.drawImage(image, 0, 0);
        return [...pen.getImageData(0, 0, canvas.width, canvas.height).data]; })()"""

    def shown() -> np.ndarray:
        return np.array(browser.ask(pixels), np.uint8).reshape(120, 160, 4)[..., :3]

    with Browser(tmp_path) as browser:
        browser.open(server.address, width)
        browser.until("offered !== null")
        assert {"drop", "run", "tile"} <= set(browser.ask(seen))
        assert not {"bar", "pair"} & set(browser.ask(seen))
        browser.choose("#file", tmp_path / "photo.png")
        browser.until("!document.getElementById('slider').hidden")
        assert np.array_equal(shown(), own(paint(size=(160, 120))))
        assert not {"drop", "busy", "error"} & set(browser.ask(seen))
        assert browser.ask("document.documentElement.scrollWidth") <= width

        left, top, wide, high = browser.ask("(r => [r.left, r.top, r.width, r.height])("
                                            "document.getElementById('view').getBoundingClientRect())")
        assert wide >= 160 and abs(wide / high - 4 / 3) < 0.02
        browser.drag(*((left + part * wide, top + high / 2) for part in (0.5, 0.4, 0.25)))
        assert browser.ask("+document.getElementById('slider').value") == pytest.approx(25, abs=3)
        clip = browser.ask("getComputedStyle(document.getElementById('after')).clipPath")
        assert float(re.search(r"([\d.]+)%\)$", clip)[1]) == pytest.approx(25, abs=3)

        browser.ask("document.getElementById('download').click()")
        saved = browser.downloads / "photo_h2z_CUT_latest.png"
        wait(saved.is_file)
        assert np.array_equal(np.asarray(Image.open(saved)), own(paint(size=(160, 120))))

        assert browser.ask("document.getElementById('use_ema').disabled")
        before = browser.ask("shown")
        browser.ask("{ const run = document.getElementById('run'); run.value = 'other run'; "
                    "run.dispatchEvent(new Event('change', {bubbles: true})); }")
        browser.until(f"shown !== {json.dumps(before)} && !document.getElementById('slider').hidden")
        assert np.array_equal(shown(), other(paint(size=(160, 120))))

        browser.choose("#file", tmp_path / "text.png")
        browser.until("!document.getElementById('error').hidden")
        assert "no image that can be read" in browser.ask("document.getElementById('error').textContent")
        assert {"drop", "error"} <= set(browser.ask(seen)) and "slider" not in browser.ask(seen)
        assert browser.errors() == []
