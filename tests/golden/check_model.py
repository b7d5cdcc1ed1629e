#!/usr/bin/env python3
"""check_model.py - does transformers compute from a checkpoint what we computed?

    lorac score --model DIR --ids 1,17,4,9 --logits LOGITS.safetensors
    python tests/golden/check_model.py DIR 1,17,4,9 LOGITS.safetensors

Loads the folder with transformers, in the type of its files and computed in float32, and compares the logits of
that one sequence with tensor "logits" of the file: (N,V), of a head for labels (1,K) or (N,K). Exits with 1 where a tensor is missing, left over, or of
another type than config.json says, or where the logits differ by more than 1e-4 of the largest one (float32
sums taken in another order differ by about 1e-6 of it).
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)
from transformers.utils.logging import disable_progress_bar

REL = 1e-4


def load(model_dir):
    """transformers only warns of tensors that it makes up or leaves out."""
    with open(os.path.join(model_dir, "config.json")) as f:
        config = json.load(f)
    of = config["architectures"][0]
    kind = (AutoModelForSequenceClassification if of.endswith("ForSequenceClassification")
            else AutoModelForTokenClassification if of.endswith("ForTokenClassification")
            else AutoModelForCausalLM)
    model, info = kind.from_pretrained(
        model_dir, dtype="auto", attn_implementation="eager", output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[what]:
            sys.exit(f"{model_dir}: {what}: {sorted(info[what])}")
    named = config.get("torch_dtype", config.get("dtype"))
    stored = {str(t.dtype).removeprefix("torch.") for t in model.parameters()}
    if stored != {named}:
        sys.exit(f"{model_dir}: config.json says {named}, the tensors are {sorted(stored)}")
    return model.float().eval(), named


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model_dir, ids, logits_file = sys.argv[1:]
    disable_progress_bar()
    model, dtype = load(model_dir)
    with torch.no_grad():
        want = model(torch.tensor([[int(i) for i in ids.split(",")]])).logits
    want = want[0] if want.ndim == 3 else want
    got = load_file(logits_file)["logits"]
    if got.shape != want.shape:
        sys.exit(f"{logits_file}: logits are {list(got.shape)}, transformers' are {list(want.shape)}")
    apart, largest = (got - want).abs().max().item(), want.abs().max().item()
    print(f"{dtype}: {len(want)} tokens, largest difference {apart:.3e}, largest logit {largest:.3e}, "
          f"relative {apart / largest:.1e}")
    sys.exit(0 if apart <= REL * largest else 1)  # a NaN fails too


if __name__ == "__main__":
    main()
