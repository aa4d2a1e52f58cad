"""Run with an installed mtgnn and its core dependencies alone: a layer of each kind learns."""

import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import pkgutil
import site

import torch

import mtgnn
from mtgnn.nn import CompleteGraphLSTM, StarGraphLSTM

assert any((mtgnn.__file__ or "").startswith(place) for place in site.getsitepackages())
assert importlib.metadata.version("mtgnn") == mtgnn.__version__
assert (importlib.resources.files("mtgnn") / "py.typed").is_file()
for optional in ("lightning", "matplotlib", "torch_scatter", "torchjd", "torchmetrics"):
    assert importlib.util.find_spec(optional) is None, f"{optional} came with the core"

modules = [
    module.name
    for module in pkgutil.walk_packages(mtgnn.__path__, "mtgnn.", onerror=None)
    if not module.name.startswith(("mtgnn.lightning", "mtgnn.ops.gpu."))
]
for name in modules:
    importlib.import_module(name)

torch.manual_seed(0)
x, lengths, task = torch.randn(3, 5, 8), torch.tensor([5, 2, 4]), torch.tensor([0, 2, 2])
for kind in (CompleteGraphLSTM, StarGraphLSTM):
    layer = kind(input_size=8, hidden_size=6, num_tasks=["books", "dvd", "music"])
    out, _ = layer(x, lengths, task)
    out.square().sum().backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    assert out.shape == (3, 5, 6) and not out[1, 2:].any()
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
print(f"mtgnn {mtgnn.__version__}: {len(modules)} modules, two layers learn on the core alone")
