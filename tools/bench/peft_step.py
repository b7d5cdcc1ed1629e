"""Seconds for one LoRA step of transformers + PEFT on the model that bench_step made, to set beside bench_step.

    python tools/bench/peft_step.py DIR [steps] [threads]

The same step: 256 tokens in one row, all trained, rank 8 on all linear layers, float32, AdamW, sdpa attention.
Needs torch, transformers and peft; see tests/golden/README.md.
"""

import resource
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

folder = sys.argv[1]
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 10
torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)

model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
ids = torch.randint(0, model.config.vocab_size, (1, 256), generator=torch.Generator().manual_seed(7))

seconds = []
for step in range(steps + 2):
    begin = time.perf_counter()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step >= 2:
        seconds.append(time.perf_counter() - begin)
median = statistics.median(seconds)
print(f"step              {median:.3f} s median, {min(seconds):.3f} least   ({256 / median:.0f} tokens/s)")
print(f"process peak      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")
