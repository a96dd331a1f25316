"""A page in headless Chromium: it is opened from disk, its scripts run, and it is asked how it is then."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: Debian's package chromium")
# What is asked runs after the page's own scripts; its result, and errors of any script, are put on the page.
ASK = """<script>window.addEventListener("load", async () => {
const answer = document.createElement("pre"); answer.id = "answer";
try { answer.textContent = JSON.stringify(await (async () => { %s })()); }
catch (error) { answer.textContent = JSON.stringify({failed: String(error.stack)}); }
document.body.append(answer); });</script>"""
WATCH = '<script>window.errors = []; window.onerror = message => { errors.push(message); };</script>'


def ask(page: Path, script: str, *, width: int = 1200, extra: str = "") -> Any:
    """What `script`, the body of a function, returns in the page opened from disk. Fails at any error."""
    asked = page.with_name("asked.html")
    body = f"{script}\n"
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{WATCH}{extra}", 1)
    asked.write_text(text.replace("</body>", ASK % body + "</body>"), encoding="utf-8")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
               f"--user-data-dir={page.parent / 'chromium'}", "--host-resolver-rules=MAP * ~NOTFOUND",
               "--virtual-time-budget=5000", "--dump-dom", asked.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dumped, re.DOTALL)
    assert answer, dumped[-2000:]
    found = json.loads(html.unescape(answer[1]))
    assert not (isinstance(found, dict) and "failed" in found), found
    return found
