#!/usr/bin/env python3
"""make_pretrain.py - a training loop of PyTorch that a run of lorac must follow.

    python tests/golden/make_pretrain.py        writes tests/golden/pretrain/model/ and expected.safetensors

recipe.yaml and ferry.txt there are written by hand; this script does what they say: it learns a byte-level BPE
from the text, makes a random Llama of 4 layers with tied embeddings, and trains every weight. The judge is
PyTorch + transformers + tokenizers: documents are encoded by tokenizers, each piece runs alone, and
optimiser, clipping and schedule are torch's own. float64 throughout; the distance of a float32 run is printed.

Made with the versions that make_models.py names, tokenizers 0.23. A second run writes the same bytes.
"""
import itertools
import json
import pathlib
import shutil

import make_models  # before all others: it sets HF_HUB_OFFLINE
import torch
import yaml
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

OUT = pathlib.Path(__file__).parent / "pretrain"
EOS = "<|endoftext|>"
SHAPE = dict(vocab_size=300, hidden_size=24, intermediate_size=32, num_hidden_layers=4, num_attention_heads=3,
             num_key_value_heads=1, max_position_embeddings=64, bos_token_id=None, eos_token_id=0,
             tie_word_embeddings=True, rms_norm_eps=1e-5,
             rope_parameters={"rope_type": "default", "rope_theta": 1000.0})


def write_model(documents):
    shutil.rmtree(OUT / "model", ignore_errors=True)
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"], special_tokens=[EOS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert t.get_vocab_size() == SHAPE["vocab_size"]
    PreTrainedTokenizerFast(tokenizer_object=t, eos_token=EOS).save_pretrained(OUT / "model")
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SHAPE))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0 if "norm" in name else 0.0, 0.15)
    model.save_pretrained(OUT / "model")
    (OUT / "model" / "generation_config.json").unlink()
    return t


def batches_of(recipe, documents, tokenizer):
    """Without end: pieces of max_length ids, each beginning with the last of the one before, as many in a
    batch as have batch_tokens inputs together. A batch ends with its epoch."""
    most = recipe["model"]["max_length"]
    pieces = []
    for text in documents:
        ids = tokenizer.encode(text, add_special_tokens=False).ids + [tokenizer.token_to_id(EOS)]
        pieces += [ids[at:at + most] for at in range(0, len(ids) - 1, most - 1)]
    while True:
        batch = []
        for piece in pieces:
            if batch and sum(len(p) - 1 for p in batch + [piece]) > recipe["train"]["batch_tokens"]:
                yield batch
                batch = []
            batch.append(piece)
        yield batch


def train(model, recipe, batches):
    o, steps = recipe["optimizer"], recipe["train"]["steps"]
    params = list(model.parameters())
    lr, warmup = float(o["lr"]), o["warmup"]  # YAML 1.1 reads 4e-3 as text
    optimiser = torch.optim.AdamW(
        [dict(params=[p for p in params if p.ndim == 2], weight_decay=o["weight_decay"]),
         dict(params=[p for p in params if p.ndim == 1], weight_decay=0.0)],
        lr=lr, betas=tuple(o["betas"]), eps=1e-8)
    schedule = SequentialLR(optimiser, [
        LinearLR(optimiser, 1 / warmup, 1.0, warmup - 1),
        CosineAnnealingLR(optimiser, steps - warmup, lr * o["final_lr_ratio"])], [warmup])
    out = {"losses": [], "norms": [], "rates": [], "targets": []}
    for batch in itertools.islice(batches, steps):
        n = sum(len(ids) - 1 for ids in batch)
        loss = sum(cross_entropy(model(torch.tensor([ids[:-1]])).logits[0], torch.tensor(ids[1:]), reduction="sum")
                   for ids in batch) / n
        optimiser.zero_grad()
        loss.backward()
        out["norms"].append(torch.nn.utils.clip_grad_norm_(params, o["clip_norm"]))
        out["losses"].append(loss.detach())
        out["rates"].append(optimiser.param_groups[0]["lr"])
        out["targets"].append(n)
        optimiser.step()
        schedule.step()
    ends = {"end." + name: p.detach() for name, p in model.named_parameters()}
    return {**{name: torch.tensor(values).to(params[0].dtype) for name, values in out.items()}, **ends}


def main():
    torch.set_num_threads(1)
    make_models.disable_progress_bar()
    recipe = yaml.safe_load((OUT / "recipe.yaml").read_text())
    documents = (OUT / recipe["data"]["train"]).read_bytes().decode().split(recipe["data"]["separator"])
    assert all(text.strip() for text in documents)
    tokenizer = write_model(documents)
    single = train(make_models.load(OUT / "model"), recipe, batches_of(recipe, documents, tokenizer))
    model = make_models.load(OUT / "model")
    with make_models.all_double():
        double = train(make_models.to_double(model), recipe, batches_of(recipe, documents, tokenizer))
    save_file({name: t.float() for name, t in double.items()}, OUT / "expected.safetensors", {"format": "pt"})
    for name in ("losses", "norms", "rates", "targets"):
        print(name, json.dumps([float(f"{x:.5g}") for x in double[name]]))
    for prefix in ("losses", "norms", "end."):
        apart = max((single[k] - double[k]).abs().max().item() for k in single if k.startswith(prefix))
        print(f"{prefix} |float32 - float64| {apart:.1e}")
    for path in sorted(OUT.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:8} {path.relative_to(OUT)}")


if __name__ == "__main__":
    main()
