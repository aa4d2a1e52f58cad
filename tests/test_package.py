"""The package as a user meets it: what it loads and declares, and how its parts depend."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mtgnn

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mtgnn"
MODULES = sorted(PACKAGE.rglob("*.py"))
OPTIONAL = {
    "gensim",
    "lightning",
    "matplotlib",
    "networkx",
    "seqeval",
    "tensorboard",
    "torchjd",
    "torchmetrics",
    "triton",
}

LOADED = """
import importlib, sys
import torch, torch_geometric, numpy, sklearn

def top():
    return {name.partition(".")[0] for name in sys.modules}

core = top()
import mtgnn
print(*sorted(top() - core - set(sys.stdlib_module_names)))
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted(top() - core - set(sys.stdlib_module_names)))
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Absolute names of all that a module imports; of ``from a import b``, both a and a.b."""
    package = list(path.relative_to(ROOT).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[tuple[str, str]]:
    """Pairs (distribution, extra or "") from the metadata of the installed package."""
    pairs = []
    for requirement in importlib.metadata.requires("mtgnn") or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        assert name is not None
        pairs.append((normal(name[0]), extra[1] if extra else ""))
    return pairs


def test_import_loads_no_more_than_the_four_core_packages_load() -> None:
    # The optional parts may load what their extra installs, and nothing else may.
    names = [module_name(path) for path in MODULES]
    kernels = [name for name in names if name.startswith("mtgnn.ops.gpu.")]
    core = [n for n in names if not within(n, "mtgnn.lightning") and n not in kernels]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *core], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    after_mtgnn, after_all = (set(line.split()) for line in done.stdout.splitlines())
    assert after_mtgnn == {"mtgnn"}
    assert not after_all & OPTIONAL


def test_version_is_the_metadatas() -> None:
    assert importlib.metadata.version("mtgnn") == mtgnn.__version__


def test_data_files_and_packages_are_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = config["options.package_data"]["mtgnn"].split()
    files = [p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    data = {str(p.relative_to(PACKAGE)) for p in files if p.suffix != ".py"}
    declared = {str(p.relative_to(PACKAGE)) for pattern in patterns for p in PACKAGE.glob(pattern)}
    assert "py.typed" in data
    assert data == declared
    # setuptools' `find:` leaves out a folder without one.
    assert all((path.parent / "__init__.py").exists() for path in MODULES)


def test_torch_scatter_is_in_an_extra_of_its_own() -> None:
    pairs = requirements()
    assert [extra for name, extra in pairs if name == "torch-scatter"] == ["scatter"]
    assert {name for name, extra in pairs if not extra} == {
        "numpy",
        "scikit-learn",
        "torch",
        "torch-geometric",
    }


def test_what_is_imported_is_declared() -> None:
    declared = {name for name, _ in requirements()}
    # The core has four requirements. A progress bar is not worth a fifth: PyG brings it along.
    of_pyg = importlib.metadata.requires("torch-geometric") or []
    assert "tqdm" in {normal(re.split(r"[^\w.-]", line)[0]) for line in of_pyg if ";" not in line}
    declared.add("tqdm")
    distributions = importlib.metadata.packages_distributions()
    for path in MODULES:
        third_party = {name.partition(".")[0] for name in imports(path)}
        for name in third_party - set(sys.stdlib_module_names) - {"mtgnn"}:
            owners = {normal(owner) for owner in distributions.get(name, [name])}
            assert owners & declared, f"{module_name(path)} imports {name}, of {sorted(owners)}"


def test_imports_are_read_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "mtgnn" / "data" / "vocabulary.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import a.b as c\nfrom . import d\nfrom ..nn import e\ndef f():\n    from .. import g\n"
    )
    names = {"a.b", "mtgnn.data", "mtgnn.data.d", "mtgnn.nn", "mtgnn.nn.e", "mtgnn", "mtgnn.g"}
    assert imports(path) == names


EXPLAIN = ["graphs", "readouts", "edges", "plots", "report"]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("mtgnn.graph", ["data", "datasets", "explain", "lightning", "nn", "ops", "testing"]),
        ("mtgnn.ops", ["data", "datasets", "explain", "lightning", "nn", "testing"]),
        ("mtgnn.nn", ["datasets", "explain", "lightning", "testing"]),
        ("mtgnn.nn.graph_lstm", ["nn.baselines", "nn.heads", "nn.models", "nn.transfer"]),
        ("mtgnn.nn.heads", ["nn.baselines", "nn.graph_lstm", "nn.models", "nn.transfer"]),
        ("mtgnn.nn.baselines", ["nn.models", "nn.transfer"]),
        ("mtgnn.nn.models", ["nn.transfer"]),
        ("mtgnn.data", ["explain", "lightning", "nn", "ops", "testing"]),
        ("mtgnn.datasets", ["explain", "lightning", "nn", "ops", "testing"]),
        ("mtgnn.metrics", ["datasets", "explain", "lightning", "nn", "ops", "testing"]),
        ("mtgnn.explain", ["lightning"]),
        ("mtgnn.explain.graphs", [f"explain.{own}" for own in EXPLAIN[1:]]),
        ("mtgnn.explain.readouts", [f"explain.{own}" for own in EXPLAIN if own != "readouts"]),
        ("mtgnn.explain.edges", ["explain.plots", "explain.report"]),
        ("mtgnn.explain.plots", ["explain.edges", "explain.report"]),
    ],
)
def test_arrows_point_one_way(package: str, forbidden: list[str]) -> None:
    members = [path for path in MODULES if within(module_name(path), package)]
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in members
        for name in sorted(imports(path))
        if any(within(name, f"mtgnn.{other}") for other in forbidden)
    ]
    assert members, f"there is no {package}"
    assert not wrong
