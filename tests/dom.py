"""What a report's page holds, and, run in node without a browser, what it draws, as text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

NODE = shutil.which("node")

# As much of a document as the page's scripts ask for.
DOM = r"""
const text = require("fs").readFileSync(process.argv[2], "utf8");
const [, data] = text.match(/<script type="application\/json" id="data">([^]*?)<\/script>/);
const [, script] = text.match(/<script>\n"use strict";\n([^]*?)<\/script>/);
class Element {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, children: [], heard: {}, dataset: {} });
  }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  append(...all) { this.children.push(...all); }
  replaceChildren(...all) { this.children = all; }
  addEventListener(name, act) { this.heard[name] = act; }
  set textContent(value) { this.children = [value]; }
  get textContent() { return this.children.map((c) => c.textContent ?? String(c)).join(""); }
  get outerHTML() {
    const pairs = Object.entries(this.attributes);
    const given = pairs.map(([name, value]) => ` ${name}="${value}"`).join("");
    const inner = this.children.map((c) => c.outerHTML ?? String(c)).join("");
    return this.hidden ? "" : `<${this.tag}${given}>${inner}</${this.tag}>`;
  }
}
const ids = { data: { textContent: data }, page: new Element("main") };
globalThis.document = { getElementById: (id) => ids[id], body: new Element("body"),
  createElement: (tag) => new Element(tag), createElementNS: (_, tag) => new Element(tag),
  addEventListener: () => {} };
new Function("after", `"use strict"; ${script}; eval(after);`)(process.argv[3]);
process.stdout.write(ids.page.outerHTML);
"""


def content(page: Path) -> dict[str, Any]:
    """The data in the page."""
    text = page.read_text(encoding="utf-8")
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def drawn(page: Path, after: str = "") -> str:
    """What the page consists of once its scripts, and then the statements ``after``, have run."""
    assert NODE is not None
    command = [NODE, "-", str(page), after]
    done = subprocess.run(
        command, input=DOM, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    for broken in ("NaN", "undefined", "Infinity"):
        assert broken not in done.stdout, broken
    return done.stdout


def section(page: str, heading: str) -> str:
    """The section under a heading."""
    return page[page.index(f"<h2>{heading}</h2>") :].split("</section>")[0]
