#!/usr/bin/env python3
"""make_reference.py - what transformers says of real models: writes tests/golden/reference.json.

    python tests/golden/make_reference.py [DATA [REAL [NAME ...]]]    default ../shared/data, and without those of REAL

DATA holds models/ and adapters/, REAL the folders smollm2 and gemma3 (SmolLM2-135M-Instruct, Gemma 3 270M,
as ../shared/tools/real-models makes them; - for none). Entries of models that were not found, or that are not
among the names, stay as they are.

For each model: the token ids of story.txt (the whole file, BOS first, as the tokenizer gives them; of a model
without one a list made here), the negative log likelihood of all of them but the first, and the greedy
continuation of a prompt, which does not stop at EOS. Weights are raised to float32. The sums are of
log-softmax in float64 over float32 logits; "float64" holds the same with all arithmetic in float64: the
difference is what float32 costs. "least_margin" is the smallest distance between the best and the second-best
logit of the continuation.

For each published adapter of GPT-2: the likelihood of a list of ids by a base of GPT-2's width and depth that
made_base() draws, without the adapter, with it and merged, and the sum of all absolute logits. For each published
adapter with a head on texts: the logits of two lists of ids, with the adapter and merged.

Made with the versions that make_models.py names.
"""
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import (AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config,
                          GPT2LMHeadModel)
from transformers.utils.logging import disable_progress_bar

from make_models import all_double, load, to_double

HERE = pathlib.Path(__file__).parent
PROMPT = "Once upon a time"
# name: new tokens of the continuation
MODELS = {"TinyStories-656K-f32": 60, "TinyStories-656K-bf16": 60, "tiny-gpt2-cicd": 60, "capp-gpt2": 60}
REAL = {"smollm2": 20, "gemma3": 20}
ADAPTERS = ("gpt2-cattn-causal", "trl-kto-gpt2")
BASE = dict(n_embd=768, n_head=12, n_layer=12, n_inner=64, n_positions=32, vocab_size=67)
SEED = 2026
# name: what of the base's configuration is not as BASE or published; all of the width and depth of the published base
HEADS = {
    "gpt2-seqcls": ("gpt2", BASE),
    "bert-base-lora": ("bert", dict(hidden_size=768, num_attention_heads=12, num_hidden_layers=12,
                                    intermediate_size=64, max_position_embeddings=32, vocab_size=67)),
    "distilbert-imdb": ("distilbert", dict(dim=768, n_heads=12, n_layers=6, hidden_dim=64,
                                           max_position_embeddings=32, vocab_size=67)),
}


def ids_of_nothing(n, V):
    """For a model without a tokenizer."""
    return [(7 * i * i + 3 * i + 1) % V for i in range(n)]


def encode(folder, text):
    """Ids on which transformers and the tokenizer.json itself agree. Where there is no post-processor, transformers
    5.24 leaves out the BOS that add_bos_token asks for; Gemma needs it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert ids == Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    config = folder / "tokenizer_config.json"
    if config.exists() and json.loads(config.read_text()).get("add_bos_token"):
        bos = tokenizer.bos_token_id
        ids = ids if ids[0] == bos else [bos] + ids
    return ids


def nll_sum(logits, ids):
    return cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]), reduction="sum").item()


def likelihood(model, ids):
    total = nll_sum(model(torch.tensor([ids])).logits[0], ids)
    mean = total / (len(ids) - 1)
    digits = {"nll_sum": total, "nll_mean": mean, "perplexity": math.exp(mean)}
    return {key: float(f"{value:.8g}") for key, value in digits.items()}


def continue_greedily(model, ids, n):
    """Every step computes the whole sequence: no cache whose correctness would have to be trusted."""
    ids, least = list(ids), math.inf
    for _ in range(n):
        best = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].topk(2)
        least = min(least, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[-n:], float(f"{least:.3g}")


def refer(folder, new_tokens):
    model = load(folder)
    if (folder / "tokenizer.json").exists():
        ids = encode(folder, (HERE / "story.txt").read_text(encoding="utf-8"))
        prompt, text = encode(folder, PROMPT), {"prompt": PROMPT}
    else:
        ids, text = ids_of_nothing(40, model.config.vocab_size), {}
        prompt = ids[:6]
    continuation, margin = continue_greedily(model, prompt, new_tokens)
    out = {"ids": ids, "n_scored": len(ids) - 1, **likelihood(model, ids), **text,
           "prompt_ids": prompt, "continuation_ids": continuation, "least_margin": margin}
    with all_double():
        double = to_double(model)
        out["float64"] = likelihood(double, ids)
        assert continue_greedily(double, prompt, new_tokens)[0] == continuation
    return out


def draw(name, n):
    """n numbers in [-1,1): 2 u - 1 of lorac_rng_uniform(lorac_rng_key(SEED, name), 0, i) in base/core/rng.c."""
    with np.errstate(over="ignore"):
        h = np.uint64(0xCBF29CE484222325)
        for c in name.encode():
            h = (h ^ np.uint64(c)) * np.uint64(0x100000001B3)
        z = h + np.uint64(SEED) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key = z ^ (z >> np.uint64(31))
        low, up = np.uint64(0xFFFFFFFF), np.uint64(32)
        c0, c1, c2, c3 = np.arange(n, dtype=np.uint64), np.uint64(0), np.zeros(n, np.uint64), np.uint64(0)
        k0, k1 = key & low, key >> up
        for _ in range(10):  # Philox4x32-10
            p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
            c0, c1, c2, c3 = (p1 >> up) ^ c1 ^ k0, p1 & low, (p0 >> up) ^ c3 ^ k1, p0 & low
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
        return 2.0 * (((c1 << up) | c0) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53 - 1.0


def fill(model):
    """float32 of s x, or of 1 + s x in gains of norms; s is 0.05 in linear layers' weights, else 0.1."""
    for name, p in model.state_dict().items():
        if name == "lm_head.weight" or not p.dtype.is_floating_point:
            continue  # the embedding's
        s = 0.05 if p.ndim == 2 and (".h." in name or ".layer." in name) else 0.1
        x = s * draw(name, p.numel()) + (1.0 if p.ndim == 1 and name.endswith("weight") else 0.0)
        p.copy_(torch.from_numpy(x.astype(np.float32)).view(p.shape))
    return model.eval()


def made_base():
    return fill(GPT2LMHeadModel(GPT2Config(**BASE, bos_token_id=1, eos_token_id=2, attn_implementation="eager")))


def of_adapter(model, ids):
    """The base, with the adapter, and merged."""
    out = {}
    with model.disable_adapter():
        out["base"] = model(torch.tensor([ids])).logits[0]
    out["adapter"] = model(torch.tensor([ids])).logits[0]
    out["merged"] = model.merge_and_unload()(torch.tensor([ids])).logits[0]
    numbers = {}
    for key, logits in out.items():
        numbers[key] = {"nll_sum": float(f"{nll_sum(logits, ids):.9g}"),
                        "logits_abs_sum": float(f"{logits.double().abs().sum().item():.9g}")}
    return numbers


def refer_adapter(folder):
    ids = ids_of_nothing(BASE["n_positions"], BASE["vocab_size"])
    with tempfile.TemporaryDirectory() as dir:
        made_base().save_pretrained(dir)  # read back: what a test would have written
        single, double = (PeftModel.from_pretrained(load(dir), folder).eval() for _ in range(2))
    out = {"base_config": BASE, "seed": SEED, "ids": ids, **of_adapter(single, ids)}
    with all_double():
        out["float64"] = of_adapter(double.double(), ids)
    return out


def refer_head(folder, kind, sizes):
    K = next(t.shape[0] for name, t in load_file(folder / "adapter_model.safetensors").items()
             if name.endswith(("model.score.weight", "model.classifier.weight")))
    texts = [ids_of_nothing(20, 67), ids_of_nothing(29, 67)[20:]]
    config = AutoConfig.for_model(kind, **sizes, num_labels=K, attn_implementation="eager")
    base = fill(AutoModelForSequenceClassification.from_config(config))
    model = PeftModel.from_pretrained(base, folder).eval()
    out = {"model_type": kind, "base_config": sizes, "seed": SEED, "texts": texts}
    for key in ("adapter", "merged"):
        model = model.merge_and_unload() if key == "merged" else model
        out[key] = [[float(f"{x:.9g}") for x in model(torch.tensor([ids])).logits[0].tolist()] for ids in texts]
    return out


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    data = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "../../../shared/data"
    real = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] != "-" else None
    only = sys.argv[3:]
    file = HERE / "reference.json"
    known = json.loads(file.read_text())
    made = {}
    for name, n in MODELS.items():
        made[name] = lambda name=name, n=n: refer(data / "models" / name, n)
    for name in ADAPTERS:
        made[name] = lambda name=name: refer_adapter(data / "adapters" / name)
    for name, (kind, sizes) in HEADS.items():
        made[name] = lambda name=name, k=kind, s=sizes: refer_head(data / "adapters" / name, k, s)
    for name, n in REAL.items():
        made[name] = (lambda name=name, n=n: refer(real / name, n)) if real else lambda name=name: known[name]
    rows = []
    for name, make in made.items():
        if only and name not in only and name in known:
            make = lambda name=name: known[name]
        print(name, flush=True)
        items = [f"    {json.dumps(key)}: {json.dumps(value)}"  # one line each
                 for key, value in make().items()]
        rows.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(items) + "\n  }")
    file.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
