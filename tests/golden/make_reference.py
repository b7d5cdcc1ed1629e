#!/usr/bin/env python3
"""make_reference.py - what transformers says of a real model: writes tests/golden/reference.json.

    python tests/golden/make_reference.py [MODELS_DIR]        default ../shared/data/models

For each model: the token ids of story.txt (the whole file, BOS first, as the tokenizer gives them), the
negative log likelihood of all of them but BOS, and the greedy continuation of a prompt, which does not stop
at EOS. Weights are raised to float32. The sums are of log-softmax in float64 over float32 logits; "float64"
holds the same with all arithmetic in float64: the difference is what float32 costs. "least_margin" is the
smallest distance between the best and the second-best logit of the continuation.

Made with the versions that make_models.py names.
"""
import json
import math
import pathlib
import sys

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from make_models import all_double, load, to_double

HERE = pathlib.Path(__file__).parent
MODELS = ("TinyStories-656K-f32", "TinyStories-656K-bf16")
PROMPT = "Once upon a time"
NEW_TOKENS = 60


def encode(folder, text):
    """Ids on which transformers and the tokenizer.json itself agree."""
    ids = AutoTokenizer.from_pretrained(folder)(text).input_ids
    assert ids == Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return ids


def likelihood(model, ids):
    logits = model(torch.tensor([ids])).logits[0, :-1].double()
    total = cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
    mean = total / (len(ids) - 1)
    digits = {"nll_sum": total, "nll_mean": mean, "perplexity": math.exp(mean)}
    return {key: float(f"{value:.8g}") for key, value in digits.items()}


def continue_greedily(model, ids):
    """Every step computes the whole sequence: no cache whose correctness would have to be trusted."""
    ids, least = list(ids), math.inf
    for _ in range(NEW_TOKENS):
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        least = min(least, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[-NEW_TOKENS:], float(f"{least:.3g}")


def refer(folder):
    model = load(folder)
    ids = encode(folder, (HERE / "story.txt").read_text(encoding="utf-8"))
    prompt = encode(folder, PROMPT)
    continuation, margin = continue_greedily(model, prompt)
    out = {"ids": ids, "n_scored": len(ids) - 1, **likelihood(model, ids), "prompt": PROMPT,
           "prompt_ids": prompt, "continuation_ids": continuation, "least_margin": margin}
    with all_double():
        double = to_double(model)
        out["float64"] = likelihood(double, ids)
        assert continue_greedily(double, prompt)[0] == continuation
    return out


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    models = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "../../../shared/data/models"
    rows = []
    for name in MODELS:
        items = [f"    {json.dumps(key)}: {json.dumps(value)}"  # one line each
                 for key, value in refer(models / name).items()]
        rows.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(items) + "\n  }")
    (HERE / "reference.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
