"""An HTML page in one file: style, scripts and numbers are in it, and nothing comes from elsewhere."""

import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from util.atomic import atomic_file

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
# Read once: a run of days keeps its own, whatever becomes of the program's folder.
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}
RELOAD = "reload.js"


def text(name: str) -> str:
    """The name as HTML, in an element or an attribute; bytes of a file name that are not text become question
    marks."""
    return html.escape(name.encode("utf-8", "replace").decode())


def address(path: PurePath) -> str:
    """A relative path as a link: every file name is safe and the link works."""
    return quote(os.fsencode(path.as_posix()))


def element(tag: str, content: str, **attributes: str) -> str:
    """An element around `content`, which is HTML already. class_ stands for class, data_x for data-x."""
    written = "".join(f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
                      for name, value in attributes.items())
    return f"<{tag}{written}>{content}</{tag}>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already. It scrolls sideways where it is wider than the page."""
    lines = [f"<tr>{''.join(f'<th scope=col>{cell}</th>' for cell in head)}</tr>"] if head else []
    lines += [f"<tr><th scope=row>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
              for first, *rest in rows]
    return f'<div class="wide" tabindex="0"><table>{"".join(lines)}</table></div>'


def embedded(data: Mapping[str, Any]) -> str:
    """Numbers and names for the scripts, as JSON that no text in it can leave."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{written}</script>'


def write_page(path: Path, *, title: str, subtitle: str, body: Iterable[str], scripts: Sequence[str],
               data: Mapping[str, Any] | None = None, refresh_seconds: int = 0) -> Path:
    """Write the page, whole or not at all. Returns its path.

    body: HTML. scripts: names of files beside this one, run in this order at the end. data: see `embedded`.
    refresh_seconds: how often the page reloads itself (0: never); what is open, where a slider stands and
    what is in view stay.
    """
    if refresh_seconds:
        scripts = [*scripts, RELOAD]
    head = [f"<title>{text(title)}</title>", '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">']
    if refresh_seconds:
        head.append(f'<noscript><meta http-equiv="refresh" content="{refresh_seconds}"></noscript>')
    code = "\n".join(SCRIPTS[name] for name in scripts)
    reload = f' data-reload="{refresh_seconds}"' if refresh_seconds else ""
    parts = [f'<!DOCTYPE html>\n<html lang="en"{reload}><head>', *head,
             f"<style>{STYLE}</style></head>\n<body>",
             f"<header><h1>{text(title)}</h1><p>{text(subtitle)}</p></header>\n<main>\n"]
    end = ["</main>\n", embedded(data) if data is not None else "",
           f"<script>{code}</script>" if code else "", "</body></html>\n"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write("".join(parts).encode())
        for part in body:       # one by one: a page of results is longer than memory may have room for
            stream.write(f"{part}\n".encode())
        stream.write("".join(end).encode())
    return path
