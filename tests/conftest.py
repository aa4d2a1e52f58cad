"""Where there is no GPU, Triton's kernels are tested in its interpreter: that must be said before
anything imports Triton, which torch_geometric does."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
