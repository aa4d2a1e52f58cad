"""The example of transfer labels its rows with the numbers of texts that it drew."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["--quick", "--epochs", "1", "--hidden-size", "4", "--accelerator", "cpu"]


def test_more_labels_than_there_are_texts_are_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    given = [*SMALL, "--labels", "6", "30", "40", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["transfer.py", *given])
    importlib.import_module("transfer").main()  # the quick task has 20 texts
    rows = re.findall(r"^(\d+) +\d+\.\d +", capsys.readouterr().out, re.MULTILINE)
    assert rows == ["6", "20"]
