#!/usr/bin/env python3
"""check_peft.py - does PEFT compute from our files what we computed?

    python tests/golden/check_peft.py MODEL_DIR ADAPTER_DIR 1,17,4,9 LOGITS.safetensors

Loads the base with transformers in float32 and the adapter with PEFT, and compares the logits of that one
sequence with tensor "logits" of the file: (N,V), of a head for labels (1,K) or (N,K). Exits with 1 where a tensor of the adapter was not taken
over as it stands, or where the logits differ by more than 1e-4 of the largest one (float32 sums taken in
another order differ by about 1e-6 of it).
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)
from transformers.utils.logging import disable_progress_bar

REL = 1e-4
CLASSES = {"SEQ_CLS": AutoModelForSequenceClassification, "TOKEN_CLS": AutoModelForTokenClassification}


def check_taken_over(model, path):
    """PEFT only warns of a tensor that is missing, and says nothing of one that matches no module."""
    saved, loaded = load_file(path), get_peft_model_state_dict(model, save_embedding_layers=False)
    saved = {name: t for name, t in saved.items() if not name.endswith(".base_layer.weight")}
    loaded = {name: t for name, t in loaded.items()  # with bias: all, biases under three names
              if not name.endswith((".modules_to_save.bias", ".original_module.bias"))}
    odd = sorted(saved.keys() ^ loaded.keys())
    odd += [name for name in saved.keys() & loaded.keys()
            if not torch.equal(saved[name].float(), loaded[name].float())]
    if odd:
        sys.exit(f"{path}: {odd[0]}: not the same in the file and in the model ({len(odd)} such tensors)")


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    model_dir, adapter_dir, ids, logits_file = sys.argv[1:]
    disable_progress_bar()
    got = load_file(logits_file)["logits"]
    with open(os.path.join(adapter_dir, "adapter_config.json")) as f:
        kind = CLASSES.get(json.load(f)["task_type"], AutoModelForCausalLM)
    labels = {"num_labels": got.shape[1]} if kind in CLASSES.values() else {}
    model = kind.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager", **labels)
    model = PeftModel.from_pretrained(model, adapter_dir).eval()
    check_taken_over(model, os.path.join(adapter_dir, "adapter_model.safetensors"))
    with torch.no_grad():
        want = model(torch.tensor([[int(i) for i in ids.split(",")]])).logits
    want = want[0] if want.ndim == 3 else want
    if got.shape != want.shape:
        sys.exit(f"{logits_file}: logits are {list(got.shape)}, PEFT's are {list(want.shape)}")
    apart, largest = (got - want).abs().max().item(), want.abs().max().item()
    print(f"largest difference {apart:.3e}, largest logit {largest:.3e}, relative {apart / largest:.1e}")
    sys.exit(0 if apart <= REL * largest else 1)  # a NaN fails too


if __name__ == "__main__":
    main()
