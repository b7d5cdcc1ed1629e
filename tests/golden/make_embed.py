#!/usr/bin/env python3
"""Writes embed.json: the last hidden states of bases of models/ for the segments of their batch.json, pooled, from transformers.

    venv/bin/python tests/golden/make_embed.py
"""
import json, pathlib
import torch, transformers
from transformers import AutoModel

here = pathlib.Path(__file__).parent
CASES = ["llama", "gpt2", "bert-bare", "roberta-bare", "distilbert-bare", "modernbert-bare"]
out = {"versions": {m.__name__: m.__version__ for m in (torch, transformers)}}
for case in CASES:
    folder = here / "models" / case
    if not folder.exists():
        continue
    model = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    out[case] = {"mean": [], "cls": [], "last": []}
    with torch.no_grad():
        for ids in json.loads((folder / "batch.json").read_text())["segments"]:
            h = model(torch.tensor([ids])).last_hidden_state[0]
            for name, v in (("mean", h.mean(0)), ("cls", h[0]), ("last", h[-1])):
                out[case][name].append([round(x, 9) for x in v.tolist()])
text = json.dumps(out).replace('], [', '],\n [').replace('"mean"', '\n"mean"').replace('"cls"', '\n"cls"').replace('"last"', '\n"last"')
(here / "embed.json").write_text(text + "\n")
