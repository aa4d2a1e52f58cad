"""What the pages and docstrings say is run as it stands there."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
COMMAND = re.compile(r"python examples/(\w+)\.py(.*)$", re.MULTILINE)
PARSERS = {"text_classification": "_options", "sequence_labelling": "_tagging_options"}


def blocks() -> list[tuple[str, int, str]]:
    """(page, line, code) of every Python block."""
    return [
        (str(page.relative_to(ROOT)), text.count("\n", 0, found.start(1)), found[1])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in FENCE.finditer(text)
    ]


def modules_with_examples() -> list[str]:
    paths = [
        path
        for path in (ROOT / "mtgnn").rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in sorted(paths)]
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples may write files; they do so in an empty folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("page", "line", "code"), [pytest.param(*b, id=f"{b[0]}:{b[1] + 1}") for b in blocks()]
)
def test_page(page: str, line: int, code: str) -> None:
    # Empty lines before it, so that a traceback names the page's line.
    exec(compile("\n" * line + code, ROOT / page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", modules_with_examples())
def test_docstrings(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.attempted > 0, f"the examples of {name} stand where doctest does not see them"
    assert result.failed == 0


def test_there_are_examples_to_run() -> None:
    assert any(page == "README.md" for page, _, _ in blocks())
    assert "mtgnn.graph" in modules_with_examples()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub does."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_pages_lead_to_headings(page: Path) -> None:
    links = ANCHOR.findall(page.read_text(encoding="utf-8"))
    there = {name: anchors(page.parent / name if name else page) for name, _ in links}
    assert [(name, anchor) for name, anchor in links if anchor not in there[name]] == []


def test_commands_of_the_readme_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    Path("my/folder").mkdir(parents=True)
    found = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = [(name, shlex.split(rest, comments=True)) for name, rest in found if name in PARSERS]
    assert {name for name, _ in commands} == set(PARSERS)
    for name, given in commands:
        read = importlib.import_module(PARSERS[name]).read_options
        if "--checkpoint" not in given:  # which is read
            assert not given or read("", given) != read("", [])
