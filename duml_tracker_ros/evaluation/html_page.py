"""Parts of self-contained pages: style, tables, pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;margin:0 auto;max-width:1190px;
padding:24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:34px 0 10px;border-bottom:1px solid #ddd;
padding-bottom:4px}h3{font-size:15px;margin:18px 0 6px}
p{margin:6px 0}.note{color:#666;font-size:13px;max-width:80ch}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:8px 0}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid #eee;white-space:nowrap}
th{background:#f6f6f6;font-weight:600}th:first-child,td:first-child{text-align:left}
td.best{font-weight:700}th.mid{text-align:center}
th.first:not(:first-child),td.first{border-left:3px solid #fff}
.plots{display:flex;flex-wrap:wrap;gap:12px}
.plots svg{max-width:100%;height:auto}.scroll{overflow-x:auto}
.strip{display:flex;flex-wrap:wrap;gap:6px}.strip figure{margin:0}.strip img{display:block;
height:124px;border:1px solid #ccc}figcaption{font-size:12px;color:#666}
.key{display:inline-block;width:12px;height:12px;border-radius:2px;margin:0 5px 0 12px;
vertical-align:-1px}.bad{color:#a40000}details{margin:6px 0}
pre{background:#f6f6f6;padding:10px;overflow-x:auto;font-size:12px}
"""


def html_page(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are HTML already; it loads nothing."""
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width'>\n"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
    )
    return "\n".join([head, *parts, "</body></html>"])


def text_table(header: Sequence[str], values: Mapping[str, Any]) -> str:
    """An HTML table of names and values, escaped."""
    return html_table(header, [[html.escape(str(part)) for part in row] for row in values.items()])


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of cells that are HTML already; ``<td ...>`` cells keep their attributes."""
    head = "".join(f"<th>{h}</th>" for h in header) if any(header) else ""
    body = "".join(
        "<tr>" + "".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in row) + "</tr>"
        for row in rows
    )
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


def data_url(image: NDArray[np.uint8]) -> str:
    """A BGR image as the ``src`` of an ``<img>``, a JPEG within the page."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG picture")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
