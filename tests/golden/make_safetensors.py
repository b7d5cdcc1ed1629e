"""Writes tests/golden/safetensors/mixed.safetensors with the reference implementation.

Needs the Python packages safetensors, torch. Values are exact in every type, so that the test can state
them: element i of each tensor is (i - 3) / 4; `special` holds what conversions get wrong most easily.
"""
import pathlib
import torch
from safetensors.torch import save_file

out = pathlib.Path(__file__).parent / "safetensors"
out.mkdir(exist_ok=True)


def ramp(shape, dtype):
    n = 1
    for d in shape:
        n *= d
    return ((torch.arange(n, dtype=torch.float32) - 3) / 4).reshape(shape).to(dtype)


special = torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0, 2.0**-24, 65504.0, 2.0**-14])
save_file(
    {
        "f32.matrix": ramp((3, 5), torch.float32),
        "f32.scalar": torch.tensor(-0.75, dtype=torch.float32),
        "f32.empty": torch.zeros((0, 7), dtype=torch.float32),
        "f16.vector": ramp((9,), torch.float16),
        "f16.special": special.to(torch.float16),
        "bf16.four": ramp((2, 3, 1, 4), torch.bfloat16),
        "bf16.special": special.to(torch.bfloat16),
        "name with spaces, \u00e4 and \"quotes\"": ramp((1,), torch.float32),
    },
    out / "mixed.safetensors",
    metadata={"format": "pt", "note": "made by make_safetensors.py\nsecond line"},
)
