#!/usr/bin/env python3
"""make_training.py - golden files of adapters that start or train otherwise: PiSSA, OLoRA, LoRA+.

    python tests/golden/make_training.py [case ...]        writes tests/golden/training/<case>.safetensors

The bases and batches are those of models/ (make_models.py, whose versions made these files, too). Singular
vectors have no sign, and a pair's halves may be scaled against each other; so what is pinned is what an
adapter does: the mean loss before each of ten steps of AdamW, and the logits after them. Both come from
float64, in which the base is made W - s B A once more, without float32's rounding.
For PiSSA and OLoRA the script also lets PEFT convert the trained adapter to plain LoRA, loads that on the
untouched base, and stops where the logits differ.
"""
import json
import sys
import tempfile

import make_models as mm
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from peft.utils import transpose
from safetensors.torch import load_file, save_file
from transformers.utils.logging import disable_progress_bar

OUT = mm.OUT.parent / "training"

# base: of models/. lora: what differs from r=4, alpha=8 on "all-linear". ratio: LoRA+'s.
CASES = {
    "pissa": dict(base="llama", lora=dict(init_lora_weights="pissa")),
    # GPT-2's weights are stored (in,out); three scales, two ranks.
    "pissa-gpt2": dict(base="gpt2", lora=dict(
        init_lora_weights="pissa", use_rslora=True, fan_in_fan_out=True,
        target_modules=["c_attn", "c_proj", "c_fc"], rank_pattern={"mlp.c_proj": 2},
        alpha_pattern={"attn.c_proj": 3})),
    "olora": dict(base="llama", lora=dict(init_lora_weights="olora")),
    "olora-qwen2": dict(base="qwen2", lora=dict(
        init_lora_weights="olora", target_modules=["q_proj", "v_proj", "down_proj"],
        rank_pattern={"down_proj": 2}, alpha_pattern={"v_proj": 3})),
    # Biases of adapted modules train, too, at the rate of B.
    "plus": dict(base="full-lora-bias", ratio=16.0),
    # Magnitudes go as fast as B, and decay.
    "plus-dora": dict(base="dora-qwen2", ratio=16.0),
}


def new_optimiser(model, case):
    if "ratio" in case:
        return create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=case["ratio"],
                                         loraplus_weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8)
    params = [p for p in model.parameters() if p.requires_grad]
    assert all(p.ndim == 2 for p in params)
    return torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)


def train(model, batch, case):
    optimiser = new_optimiser(model, case)
    losses = []
    for _ in range(mm.STEPS):
        optimiser.zero_grad()
        total, n = mm.loss_of(mm.logits_of(model, batch), batch)
        (total / n).backward()
        optimiser.step()
        losses.append(total.detach() / n)
    return {"losses": torch.stack(losses), "logits": mm.logits_of(model, batch).detach()}


def reduce_base(model, base):
    """W - s B A in the type of now, from the W of `base`."""
    modules = dict(base.named_modules())
    with torch.no_grad():
        for name, m in model.base_model.model.named_modules():
            if hasattr(m, "lora_A"):
                delta = m.scaling["default"] * m.lora_B["default"].weight @ m.lora_A["default"].weight
                m.base_layer.weight.copy_(modules[name].weight - transpose(delta, m.fan_in_fan_out))


def check_conversion(model, start, folder, batch, want):
    """PEFT's own way back to the untouched base."""
    assert model.peft_config["default"].init_lora_weights is True
    with tempfile.TemporaryDirectory() as temp:
        model.save_pretrained(temp + "/plain", path_initial_model_for_weight_conversion=start)
        plain = PeftModel.from_pretrained(mm.load(folder), temp + "/plain").eval()
        apart = (mm.logits_of(plain, batch) - want).abs().max()
        assert apart < 2e-5 * want.abs().max(), apart


def new_model(folder, case):
    """A fresh adapter, or with LoRA+ that of the folder, whose random numbers a test can read."""
    if "lora" not in case:
        return PeftModel.from_pretrained(mm.load(folder), folder / "adapter", is_trainable=True).eval()
    torch.manual_seed(1)
    return get_peft_model(mm.load(folder), LoraConfig(**{
        "r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM",
        **case["lora"]})).eval()


def in_single(folder, batch, case):
    model = new_model(folder, case)
    lora = case.get("lora", {})
    # PEFT refuses to convert what has both
    converts = "lora" in case and not ("use_rslora" in lora and "rank_pattern" in lora)
    with tempfile.TemporaryDirectory() as start:
        if converts:
            model.peft_config["default"].init_lora_weights = True  # or reading it subtracts it once more
            model.save_pretrained(start)
        got = train(model, batch, case)
        if converts:
            check_conversion(model, start, folder, batch, got["logits"])
    return got


def in_double(folder, batch, case):
    model, base = new_model(folder, case), mm.load(folder)
    with mm.all_double():
        mm.to_double(model)
        mm.to_double(base)
        if "lora" in case:
            reduce_base(model, base)
        return train(model, batch, case)


def write_case(name):
    case = CASES[name]
    folder = mm.OUT / case["base"]
    batch = json.loads((folder / "batch.json").read_text())
    got, want = in_single(folder, batch, case), in_double(folder, batch, case)
    OUT.mkdir(exist_ok=True)
    save_file({key: t.to(torch.float32) for key, t in want.items()}, OUT / f"{name}.safetensors",
              {"format": "pt"})
    begin = load_file(folder / "expected.safetensors")["base_logits" if "lora" in case else "logits"]
    print(f"{name:12} losses {want['losses'][0]:.4f} to {want['losses'][-1]:.4f}, logits moved by"
          f" {(want['logits'] - begin).abs().max():.3f}; float32 is off by"
          f" {(got['losses'] - want['losses']).abs().max():.1e} and"
          f" {(got['logits'] - want['logits']).abs().max():.1e}")


def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    for name in sys.argv[1:] or list(CASES):
        write_case(name)


if __name__ == "__main__":
    main()
