#!/usr/bin/env python3
"""make_heads.py - golden files of heads: labels of texts and of tokens, on adapters and alone.

    python tests/golden/make_heads.py [case ...]        writes tests/golden/heads/<case>/

Pinned: logits with a fresh head, with a trained one, and merged; the loss (cross-entropy with class weights and
label smoothing, binary cross-entropy, squared error); the gradient of its sum by adapters and head; both after
ten steps of AdamW. The judge is PyTorch + transformers + PEFT, of the versions that make_models.py names; each
text runs alone. README.md beside this file says what each file is.
"""
import json
import os
import shutil
import sys
import zlib

os.environ["HF_HUB_OFFLINE"] = "1"

import make_models as mm
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import (AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM,
                          AutoModelForSequenceClassification, AutoModelForTokenClassification)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

OUT = mm.OUT.parent / "heads"
LENGTHS = (7, 1, 12, 5)
TASKS = {"SEQ_CLS": AutoModelForSequenceClassification, "TOKEN_CLS": AutoModelForTokenClassification}
ALONE = "dummy-target-modules"  # a pattern that fits no module: only the head trains

LLAMA = {**mm.SHAPE, **mm.SMALL}
GPT2 = {**mm.GPT2, **mm.GPT2_SMALL}
NEOX = {**mm.NEOX, **mm.NEOX_SMALL}
BERT = dict(vocab_size=67, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=24, type_vocab_size=2, layer_norm_eps=1e-3, pad_token_id=0)
# Its positions begin behind that of padding.
ROBERTA = dict(BERT, max_position_embeddings=26, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
               eos_token_id=2)
DISTILBERT = dict(vocab_size=67, dim=16, hidden_dim=24, n_layers=2, n_heads=2, max_position_embeddings=24,
                  pad_token_id=0)
MODERNBERT = dict(vocab_size=67, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
                  num_attention_heads=2, max_position_embeddings=24, norm_eps=1e-3, pad_token_id=0,
                  bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=8,
                  global_attn_every_n_layers=2)

# model, config: the base, saved as a model of class `base`. K outputs of task; loss: softmax (with weights of
# classes and smoothing), binary, squared. lora: what differs from r=4, alpha=8 on "all-linear". own: the base has a
# head of its own, of the labels below. first: the head reads a text's first token. types: texts are pairs.
CASES = {
    "llama": dict(model="llama", config=LLAMA, K=3, loss="softmax", weights=[0.5, 2.0, 1.25],
                  smoothing=0.1),
    "llama-alone": dict(model="llama", config=LLAMA, K=3, loss="softmax", lora=dict(target_modules=ALONE)),
    "llama-tags": dict(model="llama", config=LLAMA, K=5, loss="softmax", task="TOKEN_CLS",
                       weights=[0.2, 1.0, 1.0, 2.0, 1.0],  # all-linear would take the head, and PEFT stops
                       lora=dict(target_modules=["q_proj", "v_proj", "down_proj"])),
    "qwen2": dict(model="qwen2", config=dict(LLAMA, tie_word_embeddings=True), K=4, loss="binary"),
    "qwen2-own": dict(model="qwen2", config=LLAMA, K=3, loss="softmax", smoothing=0.2,
                      own=["calm", "angry", "neither"]),
    "gpt2": dict(model="gpt2", config=GPT2, K=1, loss="squared", lora=dict(fan_in_fan_out=True)),
    "gpt2-tags": dict(model="gpt2", config=GPT2, K=3, loss="softmax", task="TOKEN_CLS",
                      lora=dict(fan_in_fan_out=True, target_modules=["c_attn"])),
    "neox": dict(model="gpt_neox", config=NEOX, K=3, loss="softmax", lora=dict(
        target_modules=["query_key_value", "dense_4h_to_h"])),
    "gemma3": dict(model="gemma3_text", config={**mm.SHAPE, **mm.GEMMA3, **mm.SMALL}, K=3, loss="softmax",
                   lora=dict(use_dora=True, target_modules=["q_proj", "up_proj"])),

    # Encoders. A body alone is saved without its prefix, and with its pooler; one of masked words has none.
    "bert": dict(model="bert", config=BERT, base=AutoModel, K=3, loss="softmax", smoothing=0.1, first=True,
                 types=True),
    "bert-pooler": dict(model="bert", config=BERT, base=AutoModelForMaskedLM, K=2, loss="softmax", first=True,
                        lora=dict(target_modules=["query", "value"], modules_to_save=["pooler"])),
    "bert-tags": dict(model="bert", config=BERT, base=AutoModelForMaskedLM, K=5, loss="softmax",
                      task="TOKEN_CLS", lora=dict(target_modules=["query", "output.dense"])),
    "roberta": dict(model="roberta", config=ROBERTA, base=AutoModelForMaskedLM, K=4, loss="binary",
                    first=True),
    # all-linear would take pre_classifier, which ends with classifier, and PEFT stops.
    "distilbert": dict(model="distilbert", config=DISTILBERT, base=AutoModelForMaskedLM, K=1, loss="squared",
                       first=True, lora=dict(target_modules=["q_lin", "lin1", "lin2"])),
    "distilbert-alone": dict(model="distilbert", config=DISTILBERT, base=AutoModelForMaskedLM, K=3,
                             loss="softmax", first=True, lora=dict(target_modules=ALONE)),
    "modernbert": dict(model="modernbert", config=MODERNBERT, base=AutoModelForMaskedLM, K=3, loss="softmax",
                       weights=[2.0, 1.0, 0.5], first=True),
}


def load(folder, **kw):
    case = CASES[folder.name]
    labels = {} if "own" in case else {"num_labels": case["K"]}
    model = TASKS[case.get("task", "SEQ_CLS")].from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **labels, **kw).eval()
    for p in model.parameters():
        p.data = p.data.clone()
    return model


def logits_of(model, batch):
    """(S,K) of texts, (N,K) of tokens; each text on its own."""
    out = []
    for i, ids in enumerate(batch["segments"]):
        types = {"token_type_ids": torch.tensor([batch["types"][i]])} if "types" in batch else {}
        out.append(model(torch.tensor([ids]), **types).logits)
    return torch.cat([t[0] if t.ndim == 3 else t for t in out])


def loss_of(logits, batch):
    """The sum over all targets, and what they weigh together, which the mean divides it by."""
    targets = batch["targets"]  # of each row of logits: a label or -100, K of 0 and 1, or numbers
    if batch["loss"] == "softmax":
        weights = torch.tensor(batch["weights"], dtype=logits.dtype) if "weights" in batch else None
        total = F.cross_entropy(logits, torch.tensor(targets), weight=weights, reduction="sum",
                                label_smoothing=batch.get("smoothing", 0.0))
    else:
        loss = F.binary_cross_entropy_with_logits if batch["loss"] == "binary" else F.mse_loss
        total = loss(logits, torch.tensor(targets, dtype=logits.dtype), reduction="sum")
    return total, batch["weight"]


def rows_of(batch, first):
    """The batch's row of each row of logits."""
    rows, at = [], 0
    for ids in batch["segments"]:
        rows += range(at, at + len(ids)) if batch["task"] == "TOKEN_CLS" else [at if first else at + len(ids) - 1]
        at += len(ids)
    return rows


def add_scored(batch, case):
    """The same targets as a batch of lorac has them: [row, column, weight, value]."""
    K, scored, weight = case["K"], [], 0.0
    w, e = batch.get("weights", [1.0] * K), batch.get("smoothing", 0.0)
    for row, target in zip(rows_of(batch, case.get("first", False)), batch["targets"]):
        if batch["loss"] != "softmax":
            scored += [[row, k, 1.0, value] for k, value in enumerate(target)]
            weight += len(target)
        elif target >= 0:
            scored += [[row, k, (1 - e) * w[k] * (k == target) + e * w[k] / K, 0.0]
                       for k in range(K) if e or k == target]
            weight += w[target]
    batch.update(scored=scored, weight=weight)


def new_batch(case, seed):
    g = torch.Generator().manual_seed(seed)
    K, task = case["K"], case.get("task", "SEQ_CLS")
    # ids 0 and 1 may be padding, which transformers takes from a text's end, or gives no position
    least = 2 if case["model"] == "roberta" else 1
    segments = [torch.randint(least, 67, (n,), generator=g).tolist() for n in LENGTHS]
    n = sum(LENGTHS) if task == "TOKEN_CLS" else len(LENGTHS)
    batch = {"segments": segments, "loss": case["loss"], "task": task, "K": K}
    batch.update({key: case[key] for key in ("weights", "smoothing") if key in case})
    if case["loss"] == "softmax":
        batch["targets"] = torch.randint(-1 if task == "TOKEN_CLS" else 0, K, (n,), generator=g).tolist()
        batch["targets"] = [t if t >= 0 else -100 for t in batch["targets"]]
    elif case["loss"] == "binary":
        batch["targets"] = torch.randint(0, 2, (n, K), generator=g).tolist()
    else:
        batch["targets"] = torch.randn((n, K), generator=g).tolist()
    if case.get("types"):
        batch["types"] = [[int(i > len(ids) // 2) for i in range(len(ids))] for ids in segments]
    add_scored(batch, case)
    return batch


def new_base(case, seed):
    head = {}
    if "own" in case:
        head = dict(id2label=dict(enumerate(case["own"])), label2id={k: i for i, k in enumerate(case["own"])})
    config = AutoConfig.for_model(case["model"], **case["config"], **head)
    kind = AutoModelForSequenceClassification if head else case.get("base", AutoModelForCausalLM)
    model = kind.from_config(config, attn_implementation="eager").eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            p.normal_(0.0, 0.2, generator=g)
            norm = p.ndim == 1 and name.endswith("weight")
            p.add_(1.0 if norm and "gemma3" not in case["model"] else 0.0)
    return model


def config_of(case):
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear",
                         "task_type": case.get("task", "SEQ_CLS"), **case.get("lora", {})})


def write_case(name):
    case, folder = CASES[name], OUT / name
    seed = zlib.crc32(name.encode())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    batch = new_batch(case, seed + 1)
    (folder / "batch.json").write_text(json.dumps(batch) + "\n")
    new_base(case, seed).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    torch.manual_seed(seed + 2)
    model = get_peft_model(load(folder), config_of(case)).eval()
    mm.save_adapter(model, folder / "start", name, {})
    start_logits = logits_of(model, batch).detach()
    with torch.no_grad():
        for key, p in mm.adapter_of(model).items():
            if ".lora_B." in key:
                p.normal_(0.0, 0.1)
            elif ".lora_A." not in key:
                p.add_(torch.randn_like(p), alpha=0.2)
    mm.save_adapter(model, folder / "adapter", name, {})

    single, double = mm.measure(folder, batch, False), mm.measure(folder, batch, True)
    assert torch.equal(single["logits"], logits_of(model, batch))
    for out in (single, double):
        base = out.pop("base_logits")  # of a fresh head of nobody's
    expected = {key: double[key].to(torch.float32) if key.startswith("end.") or key == "losses" else t
                for key, t in single.items()}
    expected["start_logits"] = start_logits
    if "own" in case:
        expected["base_logits"] = base.to(torch.float32)
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})
    mm.report(name, {}, folder, batch, single, double)


def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    set_verbosity_error()  # that a head is new
    mm.load, mm.logits_of, mm.loss_of = load, logits_of, loss_of
    for name in sys.argv[1:] or list(CASES):
        write_case(name)


if __name__ == "__main__":
    main()
