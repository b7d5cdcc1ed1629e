#!/usr/bin/env python3
"""Writes masked/: the pseudo-likelihood of two texts and what stands at two masks, of the ...-lm cases of models/,
from transformers and PEFT in float64, and the vocabulary that gives these their words.

    venv/bin/python tests/golden/make_masked.py

expected.csv: model, what, then of the base and of base + adapter: for a text the sum of -log p of each of its own
tokens where it alone is masked (in a text of more than the 16 tokens that the models read, among the 14 around it);
for a mask, its place and the token that is likeliest of either, its probability.
"""
import csv
import pathlib

import torch
from peft import PeftModel
from transformers import AutoModelForMaskedLM

here = pathlib.Path(__file__).parent
out = here / "masked"
out.mkdir(exist_ok=True)
# Ids 0 and 1 are padding, of the one model or the other.
vocabulary = ["[PAD]", "[unused1]", "[CLS]", "[MASK]", "[SEP]", "[UNK]"] + [f"w{i}" for i in range(6, 67)]
CLS, MASK, SEP, LENGTH = 2, 3, 4, 16
texts = {"short": [11, 42, 7, 7, 60, 23, 35], "long": [6 + (i * i * 5 + i) % 61 for i in range(23)]}
guess = [30, MASK, 9, 52, MASK, 14]
(out / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
(out / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]"}\n')
for name, ids in {**texts, "guess": guess}.items():
    (out / f"{name}.txt").write_text(" ".join(vocabulary[i] for i in ids) + "\n")


def log_p(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


def pseudo_nll(model, ids):
    most, nll = min(len(ids), LENGTH - 2), 0.0
    for i, id in enumerate(ids):
        at = min(max(i - most // 2, 0), len(ids) - most)
        copy = [CLS, *ids[at:i], MASK, *ids[i + 1:at + most], SEP]
        nll -= log_p(model, copy)[1 + i - at, id].item()
    return nll


with open(out / "expected.csv", "w", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    for case in ["bert-lm", "roberta-lm", "distilbert-lm", "modernbert-lm"]:
        folder = here / "models" / case

        def load():
            return AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float64).eval()

        models = [load(), PeftModel.from_pretrained(load(), folder / "adapter").eval().double()]
        for name, ids in texts.items():
            w.writerow([case, name, *(f"{pseudo_nll(m, ids):.7f}" for m in models)])
        p = [log_p(m, [CLS, *guess, SEP]).exp() for m in models]
        for row, id in enumerate([CLS, *guess]):
            if id == MASK:
                best = torch.maximum(p[0][row], p[1][row]).argmax().item()
                w.writerow([case, f"{row} {vocabulary[best]}", *(f"{q[row, best].item():.8f}" for q in p)])
