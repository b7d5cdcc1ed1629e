#!/usr/bin/env python3
"""Writes features/: adapters of PEFT's FEATURE_EXTRACTION on bases of models/, the vectors they give (mean over the tokens of each
segment of the base's batch.json), and a Llama whose body was saved alone.

    venv/bin/python tests/golden/make_features.py
"""
import json, pathlib
import torch, transformers, peft
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModel

here = pathlib.Path(__file__).parent
TARGETS = {"llama": ["q_proj", "v_proj"], "gpt2": ["c_attn"], "bert-bare": ["query", "value"], "modernbert-bare": ["Wqkv"]}
out = {"versions": {m.__name__: m.__version__ for m in (torch, transformers, peft)}}
for case, targets in TARGETS.items():
    folder = here / "models" / case
    torch.manual_seed(len(case))
    model = AutoModel.from_pretrained(folder)
    config = LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=2, lora_alpha=6, target_modules=targets)
    model = get_peft_model(model, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.3)
    to = here / "features" / case
    model.save_pretrained(to)
    (to / "README.md").unlink(missing_ok=True)
    written = json.loads((to / "adapter_config.json").read_text())
    written["base_model_name_or_path"] = written["auto_mapping"] = None  # a path of this machine
    (to / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    model = model.double().eval()
    out[case] = []
    with torch.no_grad():
        for ids in json.loads((folder / "batch.json").read_text())["segments"]:
            h = model(torch.tensor([ids])).last_hidden_state[0]
            out[case].append([round(x, 9) for x in h.mean(0).tolist()])
AutoModel.from_pretrained(here / "models" / "llama").save_pretrained(here / "features" / "llama-body")
(here / "features" / "vectors.json").write_text(json.dumps(out).replace('], [', '],\n [').replace('"llama"', '\n"llama"') + "\n")
