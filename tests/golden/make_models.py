#!/usr/bin/env python3
"""make_models.py - golden files that pin the model's and the adapters' mathematics.

    python tests/golden/make_models.py [case ...]        writes tests/golden/models/<case>/

Pinned, per architecture and per LoRA option: logits of the base, with an adapter and merged; the loss;
the gradient of the summed loss by every A and B and by all that trains in full; the adapter after ten steps
of AdamW.
The judge is PyTorch + transformers + PEFT, with eager attention; each segment of a batch runs alone, so
there is neither padding nor attention across segments. README.md beside this file says what each file is.

Made with Python 3.11, torch 2.15.0, transformers 5.24.0, peft 0.21.2, safetensors 0.8.0, one thread.
Seeded by the case's name: a second run with the same versions on the same CPU type writes the same bytes.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import sys
import zlib
from unittest import mock

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is made here

import torch
import transformers
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from peft.utils.constants import EMBEDDING_LAYER_NAMES
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

OUT = pathlib.Path(__file__).parent / "models"
# ensure_weight_tying goes by the names embed_tokens and lm_head; of a base that calls its embedding otherwise PEFT
# 0.21 saves such an adapter under both names, but loads it to train on with a head that stands still.
EMBEDDING_LAYER_NAMES.append("wte")
LENGTHS = (7, 1, 12, 5)  # of the batch's segments; the second has nothing to predict
WINDOW = 5               # shorter than two of the segments
STEPS = 10

# The norms' epsilon and the rotary base are not the defaults, so that a reader must have read them.
SHAPE = dict(vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
             bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-3,
             rope_parameters={"rope_type": "default", "rope_theta": 1000.0})
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
SMALL = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1)

QWEN3 = dict(head_dim=12)
GEMMA3 = dict(head_dim=12, query_pre_attn_scalar=20, sliding_window=WINDOW, rms_norm_eps=1e-2,
              pad_token_id=0, layer_types=["sliding_attention", "full_attention"],
              rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                               "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}})
# As the larger published ones: positions divided by 8 in full layers, all else at its default.
GEMMA3_WIDE = dict(GEMMA3, rms_norm_eps=1e-6, query_pre_attn_scalar=256, rope_parameters={
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})
GEMMA3_DEFAULTS = ("attention_bias", "attention_dropout", "attn_logit_softcapping", "bos_token_id",
                   "eos_token_id", "final_logit_softcapping", "hidden_activation", "initializer_range",
                   "max_position_embeddings", "pad_token_id", "query_pre_attn_scalar", "rms_norm_eps",
                   "rope_local_base_freq", "rope_theta", "tie_word_embeddings", "use_cache",
                   "use_bidirectional_attention", "_sliding_window_pattern")
# The least vision model that transformers builds; a text never meets it.
VISION = dict(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
              image_size=4, patch_size=2, vision_use_head=False)
IMAGES = dict(vision_config=VISION, mm_tokens_per_image=4, boi_token_index=64, eoi_token_index=65,
              image_token_index=66)
TEXT_PART = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
GPT2 = dict(vocab_size=67, n_embd=32, n_inner=48, n_layer=2, n_head=4, n_positions=16,
            bos_token_id=1, eos_token_id=2, layer_norm_epsilon=1e-3)
GPT2_SMALL = dict(n_embd=16, n_inner=24, n_head=2)
NEOX = dict(vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
            layer_norm_eps=1e-3, rope_parameters={"rope_type": "default", "rope_theta": 1000.0,
                                                  "partial_rotary_factor": 0.25})
# A bias of keys that aren't rotated has no gradient but rounding, which AdamW would make steps of.
NEOX_SMALL = dict(hidden_size=16, intermediate_size=24,
                  rope_parameters=dict(NEOX["rope_parameters"], partial_rotary_factor=1.0))
SHAPES = {"gpt2": GPT2, "gpt_neox": NEOX, "gemma3": IMAGES}  # of the others: SHAPE


# Parts of which a text's logits don't depend; what is added to all scores of a query alike is the last.
UNSEEN = ["vision", "multi_modal", "self.key.bias", "k_lin.bias"]


# How files in the world hold what transformers 5 would write otherwise.
def bare_gpt2(tensors, config):
    """The file of the first GPT-2: no prefix, and each layer's causal mask (1,1,positions,positions)."""
    tensors = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    for l in range(config.n_layer):
        tensors[f"h.{l}.attn.bias"] = torch.ones(1, 1, config.n_positions, config.n_positions).tril()
    return tensors


def old_neox(tensors, config):
    """Those of Pythia: masks, what masked scores were set to, and rotary frequencies, in every layer."""
    rope = config.rope_parameters
    D = int(config.hidden_size // config.num_attention_heads * rope["partial_rotary_factor"])
    for l in range(config.num_hidden_layers):
        of = f"gpt_neox.layers.{l}.attention."
        tensors[of + "bias"] = torch.ones(1, 1, 64, 64, dtype=torch.uint8 if l else torch.bool).tril()
        tensors[of + "masked_bias"] = torch.tensor(-1e9)
        tensors[of + "rotary_emb.inv_freq"] = rope["rope_theta"] ** (-torch.arange(0, D, 2) / D)
    return tensors


def old_gemma3(tensors, config):
    """The vision model was one level deeper."""
    return {re.sub(r"^vision_tower\.", "vision_tower.vision_model.", name): t
            for name, t in tensors.items()}


# model, config, lora: what differs from the model's shape and from r=4, alpha=8 on "all-linear"; ia3: IA3 instead.
# old: write config.json with the keys from before transformers 5, plus these; left_out: without these.
# stored: what the tensors of the file become. published: as many adapter_config.json have it, which PEFT loads alike.
# without: settings each of which must change the logits, or the case would not pin its feature.
# seed: make the same weights as that case. shard: bfloat16, in files of at most this size.
CASES = {
    "llama": dict(model="llama", old={}),
    "llama-tied-bias": dict(model="llama", config=dict(tie_word_embeddings=True,
                                                       attention_bias=True, mlp_bias=True)),
    "llama3-rope": dict(model="llama", config=dict(max_position_embeddings=32, rope_parameters=LLAMA3),
                        old={}, without=dict(rope_parameters={"rope_type": "default",
                                                              "rope_theta": 500.0})),
    "llama-mha-rslora": dict(model="llama", config=dict(num_key_value_heads=4, head_dim=12),
                             lora=dict(use_rslora=True)),
    "mistral": dict(model="mistral", config=dict(sliding_window=WINDOW),
                    without=dict(sliding_window=None)),
    # Files of this family name a window and then switch it off; it must stay off.
    "qwen2": dict(model="qwen2", config=dict(tie_word_embeddings=True, max_window_layers=1),
                  old=dict(sliding_window=WINDOW)),
    "qwen2-window": dict(model="qwen2", config=dict(use_sliding_window=True, max_window_layers=1,
                                                    sliding_window=WINDOW),
                         without=dict(layer_types=["full_attention"] * 2)),
    "llama-patterns": dict(model="llama", lora=dict(
        target_modules=["q_proj", "down_proj"], layers_to_transform=[1],
        rank_pattern={"down_proj": 2}, alpha_pattern={"down_proj": 3})),
    "llama-head": dict(model="llama", lora=dict(target_modules=["lm_head", "o_proj"])),
    "llama-sharded": dict(model="llama", old={}, seed="llama", shard="16KB"),

    # Modules trained in full, and biases.
    "full-mixed": dict(model="llama", config=SMALL, lora=dict(
        modules_to_save=["embed_tokens", "layers.1.input_layernorm", "lm_head", "model.norm", "o_proj"])),
    "full-keep": dict(model="llama", config=dict(SMALL, tie_word_embeddings=True), lora=dict(
        target_modules=["q_proj", "down_proj"], modules_to_save=["embed_tokens"],
        ensure_weight_tying=True)),
    "full-untie": dict(model="llama", config=dict(SMALL, tie_word_embeddings=True), lora=dict(
        target_modules=["q_proj", "down_proj"], modules_to_save=["embed_tokens", "lm_head"])),
    # PEFT then stores the biases of k_proj three times.
    "full-bias": dict(model="qwen2", config=dict(SMALL, tie_word_embeddings=True), lora=dict(
        target_modules=["q_proj", "up_proj"], modules_to_save=["k_proj"], bias="all")),
    "full-lora-bias": dict(model="llama", config=dict(SMALL, attention_bias=True, mlp_bias=True),
                           lora=dict(target_modules=["q_proj", "down_proj"], bias="lora_only")),
    "full-all": dict(model="llama", config=dict(SMALL, attention_bias=True), lora=dict(
        target_modules="dummy-target-modules",
        modules_to_save=["down_proj", "embed_tokens", "gate_proj", "input_layernorm", "k_proj", "lm_head",
                         "model.norm", "o_proj", "post_attention_layernorm", "q_proj", "up_proj",
                         "v_proj"])),

    # Further architectures.
    "qwen3": dict(model="qwen3", config=QWEN3, without=dict(rms_norm_eps=1e-6)),
    "qwen3-tied": dict(model="qwen3", config=dict(QWEN3, tie_word_embeddings=True),
                       old=dict(head_dim=12, sliding_window=None)),
    "qwen3-window": dict(model="qwen3", config=dict(
        QWEN3, attention_bias=True, use_sliding_window=True, max_window_layers=1, sliding_window=WINDOW),
        without=dict(layer_types=["full_attention"] * 2)),
    "full-qwen3": dict(model="qwen3", config=dict(SMALL, head_dim=12, tie_word_embeddings=True),
                       lora=dict(target_modules=["q_proj", "down_proj"], ensure_weight_tying=True,
                                 modules_to_save=["embed_tokens", "k_norm", "q_norm"])),
    "gemma3": dict(model="gemma3_text", config=GEMMA3, without=dict(
        query_pre_attn_scalar=12, sliding_window=64, rms_norm_eps=1e-6,
        layer_types=["full_attention", "sliding_attention"],
        rope_parameters={**GEMMA3["rope_parameters"],
                         "sliding_attention": GEMMA3["rope_parameters"]["full_attention"]})),
    "gemma3-old": dict(model="gemma3_text", config=GEMMA3_WIDE, old=dict(
        head_dim=12, sliding_window_pattern=2, cache_implementation="hybrid"),
        left_out=("tie_word_embeddings", "use_bidirectional_attention", "_sliding_window_pattern"),
        without=dict(sliding_window=64, rope_parameters=dict(
            GEMMA3_WIDE["rope_parameters"],
            full_attention={"rope_type": "default", "rope_theta": 1000000.0}))),
    "gemma3-folder": dict(model="gemma3", config=dict(text_config={**SHAPE, **GEMMA3}), seed="gemma3",
                          lora=dict(target_modules=TEXT_PART)),
    "gemma3-folder-old": dict(model="gemma3", config=dict(text_config={**SHAPE, **GEMMA3_WIDE}),
                              seed="gemma3-old", lora=dict(target_modules=TEXT_PART),
                              old=dict(head_dim=12, sliding_window_pattern=2), stored=old_gemma3,
                              left_out=GEMMA3_DEFAULTS),
    "full-gemma3": dict(model="gemma3_text", config=dict(GEMMA3, **SMALL), lora=dict(
        target_modules=["v_proj", "gate_proj"], ensure_weight_tying=True,
        modules_to_save=["embed_tokens", "k_norm", "layers.0.post_feedforward_layernorm", "model.norm",
                         "post_attention_layernorm", "pre_feedforward_layernorm", "q_norm"])),

    "gpt2": dict(model="gpt2", lora=dict(fan_in_fan_out=True), without=dict(layer_norm_epsilon=1e-5)),
    "gpt2-inverse": dict(model="gpt2", config=dict(scale_attn_by_inverse_layer_idx=True,
                                                   tie_word_embeddings=False),
                         lora=dict(fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"],
                                   rank_pattern={"mlp.c_proj": 2}),
                         without=dict(scale_attn_by_inverse_layer_idx=False)),
    "gpt2-bare": dict(model="gpt2", config=dict(n_inner=None, layer_norm_epsilon=1e-5),
                      lora=dict(target_modules=["c_attn"]), published=dict(fan_in_fan_out=False),
                      stored=bare_gpt2, old=dict(n_ctx=16),
                      left_out=("add_cross_attention", "n_inner", "pad_token_id", "torch_dtype",
                                "reorder_and_upcast_attn", "scale_attn_by_inverse_layer_idx",
                                "scale_attn_weights", "tie_word_embeddings", "use_cache")),
    "full-gpt2": dict(model="gpt2", config=dict(GPT2_SMALL, scale_attn_weights=False), lora=dict(
        fan_in_fan_out=True, target_modules=["c_attn", "mlp.c_proj"],
        modules_to_save=["c_fc", "h.1.attn.c_proj", "h.0.ln_1", "ln_2", "ln_f", "wpe"]),
        without=dict(scale_attn_weights=True)),
    "full-gpt2-keep": dict(model="gpt2", config=GPT2_SMALL, lora=dict(
        fan_in_fan_out=True, target_modules=["c_attn"], modules_to_save=["lm_head", "wte"],
        ensure_weight_tying=True)),
    "full-gpt2-wte": dict(model="gpt2", config=GPT2_SMALL, lora=dict(
        fan_in_fan_out=True, target_modules=["c_attn"], modules_to_save=["wte"])),
    "full-gpt2-untie": dict(model="gpt2", config=GPT2_SMALL, lora=dict(
        fan_in_fan_out=True, target_modules=["c_attn"], modules_to_save=["wte", "lm_head"])),
    "full-gpt2-bias": dict(model="gpt2", config=GPT2_SMALL, lora=dict(
        fan_in_fan_out=True, target_modules=["c_proj", "c_fc"], bias="lora_only")),

    "neox": dict(model="gpt_neox", without=dict(
        use_parallel_residual=False, layer_norm_eps=1e-5,
        rope_parameters=dict(NEOX["rope_parameters"], partial_rotary_factor=0.5))),
    "neox-sequential": dict(model="gpt_neox", config=dict(
        use_parallel_residual=False, num_attention_heads=4,
        rope_parameters=dict(NEOX["rope_parameters"], partial_rotary_factor=1.0)),
        old={}, stored=old_neox, left_out=("attention_bias", "is_decoder", "pad_token_id"),
        without=dict(use_parallel_residual=True)),
    "neox-head": dict(model="gpt_neox", config=dict(attention_bias=False),
                      lora=dict(target_modules=["query_key_value", "lm_head"])),
    "full-neox": dict(model="gpt_neox", config=NEOX_SMALL, lora=dict(
        target_modules=["dense_4h_to_h"], modules_to_save=[
            "dense", "embed_in", "final_layer_norm", "layers.0.input_layernorm", "lm_head",
            "post_attention_layernorm", "query_key_value"])),
    "full-neox-bias": dict(model="gpt_neox", config=dict(NEOX_SMALL, tie_word_embeddings=True), lora=dict(
        target_modules=["query_key_value", "dense_h_to_4h"], bias="all")),

    # Further methods.
    "dora-llama": dict(model="llama", lora=dict(use_dora=True)),
    "dora-qwen2": dict(model="qwen2", config=dict(tie_word_embeddings=True), lora=dict(
        use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"down_proj": 2},
        alpha_pattern={"v_proj": 3})),
    "dora-gpt2": dict(model="gpt2", lora=dict(use_dora=True, use_rslora=True, fan_in_fan_out=True)),
    "ia3-llama": dict(model="llama", ia3=dict(target_modules=["k_proj", "v_proj", "down_proj"],
                                              feedforward_modules=["down_proj"])),
    "ia3-gpt2": dict(model="gpt2", ia3=dict(fan_in_fan_out=True, target_modules=["c_attn", "mlp.c_proj"],
                                            feedforward_modules=["mlp.c_proj"])),
}


@contextlib.contextmanager
def all_double():
    """The models raise norms, softmax and rotary angles to float32 by name; here that means float64."""
    with mock.patch.object(torch, "float32", torch.float64), \
            mock.patch.object(torch, "float", torch.float64), \
            mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        yield


def to_double(model):
    """In place; under all_double() only. The rotary frequencies are computed anew, not widened."""
    model.double()
    for module in list(model.modules()):
        if hasattr(module, "rotary_emb"):
            module.rotary_emb = type(module.rotary_emb)(module.config)
    return model


def load(folder, **kw):
    """As config.json names it: with the head that it has there."""
    config = json.loads((folder / "config.json").read_text())
    kind = getattr(transformers, config.get("architectures", ["AutoModelForCausalLM"])[0])
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **kw).eval()
    for p in model.parameters():  # mapped weights lie unaligned, and products then round otherwise
        p.data = p.data.clone()
    return model


def logits_of(model, batch):
    """(N,V): all rows of all segments in order, each segment on its own. (S,K) of a classifier of texts."""
    kinds = [{"token_type_ids": torch.tensor([types])} for types in batch.get("types", ())]
    runs = [model(torch.tensor([ids]), **kind)
            for ids, kind in zip(batch["segments"], kinds or [{}] * len(batch["segments"]))]
    return torch.cat([run.logits.reshape(-1, run.logits.shape[-1]) for run in runs])


def loss_of_labels(logits, labels):
    """Sum over texts: a number is a class; of a list each is 1 where its label applies, or what is wanted."""
    if isinstance(labels[0], int):
        return cross_entropy(logits, torch.tensor(labels), reduction="sum"), len(labels)
    want = torch.tensor(labels).to(logits.dtype)
    if isinstance(labels[0][0], int):
        return binary_cross_entropy_with_logits(logits, want, reduction="sum"), want.numel()
    return ((logits - want) ** 2).sum(), want.numel()


def loss_of(logits, batch):
    """Sum of -log p(token) over the trained tokens, and their number."""
    if "labels" in batch:
        return loss_of_labels(logits, batch["labels"])
    if "targets" in batch:  # of each row its own, -1 is none
        targets = torch.tensor(sum(batch["targets"], []))
        return cross_entropy(logits, targets, ignore_index=-1, reduction="sum"), int((targets >= 0).sum())
    rows, targets, first = [], [], 0
    for ids, trained in zip(batch["segments"], batch["trained"]):
        for t in range(1, len(ids)):
            if trained[t]:
                rows.append(first + t - 1)
                targets.append(ids[t])
        first += len(ids)
    return cross_entropy(logits[rows], torch.tensor(targets), reduction="sum"), len(rows)


def adapter_of(model):
    """The trainable parameters, under their names in adapter_model.safetensors without the prefix."""
    return {name.removeprefix("base_model.model.").replace(".modules_to_save.default.", ".")
                .replace("_magnitude_vector.default.weight", "_magnitude_vector")
                .replace(".default.", ".").removesuffix(".default"): p
            for name, p in model.named_parameters() if p.requires_grad}


def measure(folder, batch, double):
    """Everything that expected.safetensors holds, from the files, in one precision."""
    base = load(folder)
    model = PeftModel.from_pretrained(load(folder), folder / "adapter", is_trainable=True).eval()
    start = PeftModel.from_pretrained(load(folder), folder / "start", is_trainable=True).eval()
    if not double:
        return run(base, model, start, batch)
    with all_double():
        return run(to_double(base), to_double(model), to_double(start), batch)


def run(base, model, start, batch):
    """The base, the base with adapter/ and with start/, all of one type, on one batch."""
    out = {"base_logits": logits_of(base, batch), "logits": logits_of(model, batch)}
    out["loss_sum"], n = loss_of(out["logits"], batch)
    out["loss_sum"].backward()
    for name, p in adapter_of(model).items():
        out["grad." + name] = p.grad
    out["merged_logits"] = logits_of(model.merge_and_unload(), batch)
    out["losses"] = train(start, batch)
    for name, p in adapter_of(start).items():
        out["end." + name] = p
    out = {name: t.detach() for name, t in out.items()}
    assert {t.dtype for t in out.values()} == {next(base.parameters()).dtype}
    return {**out, "n_trained": torch.tensor(float(n))}


def train(model, batch):
    """STEPS steps of AdamW on the whole batch. Returns the mean loss before each."""
    vectors, matrices = [], []
    for name, p in adapter_of(model).items():  # PEFT stores IA3's vectors as (OC,1) and (1,C)
        (vectors if p.ndim == 1 or name.endswith("ia3_l") else matrices).append(p)
    optimiser = torch.optim.AdamW(
        [dict(params=matrices, weight_decay=0.01), dict(params=vectors, weight_decay=0.1)],
        lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        total, n = loss_of(logits_of(model, batch), batch)
        (total / n).backward()
        optimiser.step()
        losses.append(total.detach() / n)
    return torch.stack(losses)


def at_start(model, name):
    """What a norm's gain is before training; 0 for all else, and for Gemma's gains of 1 + w."""
    gain = name.endswith("weight") and ("norm" in name.lower() or ".ln_" in name)
    return 1.0 if gain and "gemma3" not in model.config.model_type else 0.0


@torch.no_grad()
def all_vectors_matter(model, batch, logits):
    """Who ignores one norm's gain, or one bias, must see it."""
    for name, p in model.named_parameters():
        if p.ndim == 1 and not any(part in name for part in UNSEEN):
            kept = p.clone()
            p.fill_(at_start(model, name))
            changed = (logits_of(model, batch) - logits).abs().max()
            assert changed > 1e-3 * logits.abs().max(), (name, changed)
            p.copy_(kept)


def new_base(case, seed):
    """A model whose every parameter is random: logits that are not flat, gains and biases that matter."""
    config = AutoConfig.for_model(case["model"],
                                  **{**SHAPES.get(case["model"], SHAPE), **case.get("config", {})})
    model = case.get("kind", AutoModelForCausalLM).from_config(config, attn_implementation="eager").eval()
    g = torch.Generator().manual_seed(seed)
    text_first = sorted(model.named_parameters(), key=lambda at: at[0].startswith("model.vision_tower")
                        or at[0].startswith("model.multi_modal_projector"))
    with torch.no_grad():
        for name, p in text_first:
            p.normal_(0.0, 0.2, generator=g)
            p.add_(at_start(model, name))
            if "shard" in case:
                p.copy_(p.bfloat16())
    return model


def new_batch(seed):
    g = torch.Generator().manual_seed(seed)
    segments = [torch.randint(0, SHAPE["vocab_size"], (n,), generator=g).tolist() for n in LENGTHS]
    trained = [[int(t > 0 and torch.rand((), generator=g) < 0.6) for t in range(n)] for n in LENGTHS]
    assert 0 < sum(map(sum, trained)) < sum(LENGTHS) - len(LENGTHS)
    return {"segments": segments, "trained": trained}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def old_rope(rope):
    """rope_parameters under the names that transformers 4 had for them."""
    old = {}
    if "sliding_attention" in rope:
        old["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    rope = dict(rope)
    theta, part = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None)
    old.update({"rope_theta": theta} if part is None else {"rotary_emb_base": theta, "rotary_pct": part})
    return {**old, "rope_scaling": rope if rope["rope_type"] != "default" else None}


def write_old_config(path, extra, left_out):
    """The keys that transformers 4 wrote and that most files in the world have."""
    whole = json.loads(path.read_text())
    config = whole.get("text_config", whole)
    if "rope_parameters" in config:
        config.update(old_rope(config.pop("rope_parameters")))
    whole["torch_dtype"] = whole.pop("dtype")
    whole.pop("transformers_version")
    for newer in ("head_dim", "layer_types"):
        config.pop(newer, None)
    config.update(extra)
    for key in left_out:
        del config[key]
    write_json(path, whole)


def save_adapter(model, folder, name, published):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    for key in ("target_modules", "modules_to_save", "feedforward_modules"):
        if isinstance(config.get(key), list):
            config[key].sort()  # PEFT writes a set: its order changes from run to run
    config["base_model_name_or_path"] = name
    write_json(folder / "adapter_config.json", {**config, **published})


def config_of(case):
    if "ia3" in case:
        return IA3Config(task_type="CAUSAL_LM", **case["ia3"])
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM",
                         **case.get("lora", {})})


def write_case(name, case, new_batch=new_batch):
    folder = OUT / name
    seed = zlib.crc32(case.get("seed", name).encode())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    batch = new_batch(seed + 1)
    (folder / "batch.json").write_text(json.dumps(batch) + "\n")

    base = new_base(case, seed)
    base_logits = logits_of(base, batch).detach()
    all_vectors_matter(base, batch, base_logits)
    shard = {"max_shard_size": case["shard"]} if "shard" in case else {}
    (base.bfloat16() if shard else base).save_pretrained(folder, **shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "stored" in case:
        file = folder / "model.safetensors"
        save_file(case["stored"](load_file(file), base.config), file, {"format": "pt"})
    if "old" in case:
        write_old_config(folder / "config.json", case["old"], case.get("left_out", ()))

    torch.manual_seed(seed + 2)
    model = get_peft_model(load(folder), config_of(case)).eval()
    save_adapter(model, folder / "start", name, case.get("published", {}))
    assert torch.equal(logits_of(model, batch), base_logits)  # B = 0 or IA3's 1; the reloaded base is the base
    with torch.no_grad():
        for key, p in adapter_of(model).items():
            if ".lora_B." in key:
                p.normal_(0.0, 0.1)
            elif ".lora_A." not in key:
                p.add_(torch.randn_like(p), alpha=0.1)
    save_adapter(model, folder / "adapter", name, case.get("published", {}))

    single, double = measure(folder, batch, False), measure(folder, batch, True)
    assert torch.equal(single["base_logits"], base_logits)
    if "seed" in case and not shard:
        same = load_file(OUT / case["seed"] / "expected.safetensors")
        assert torch.equal(base_logits, same["base_logits"])
    assert torch.equal(single["logits"], logits_of(model, batch))  # the reloaded adapter is the adapter
    expected = {key: double[key].to(torch.float32) if key.startswith("end.") or key == "losses" else t
                for key, t in single.items()}
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})
    report(name, case, folder, batch, single, double)


def report(name, case, folder, batch, single, double):
    """One line: bytes, and how far float32 lies from float64."""
    def apart(prefix):
        return max((single[k] - double[k]).abs().max().item() for k in single if k.startswith(prefix))

    def largest(prefix):
        return max(double[k].abs().max().item() for k in double if k.startswith(prefix))

    files = [f for f in folder.rglob("*") if f.is_file()]
    line = f"{name:17}{sum(f.stat().st_size for f in files):8}{max(f.stat().st_size for f in files):8}"
    for prefix in ("logits", "merged_logits", "loss_sum", "grad.", "end.", "losses"):
        line += f"  {apart(prefix):.1e}/{largest(prefix):<6.3g}"
    for key, value in case.get("without", {}).items():
        config = AutoConfig.from_pretrained(folder)
        setattr(config, key, value)
        changed = (logits_of(load(folder, config=config), batch) - single["base_logits"]).abs()
        assert changed.max() > 0.01, (key, changed.max())
        line += f"  without {key}: {changed.max().item():.2f}," \
                f" from row {int((changed.amax(1) > 0).nonzero()[0])}"
    print(line, flush=True)


def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    names = sys.argv[1:] or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"{unknown[0]}: no such case; expected one of {', '.join(CASES)}")
    print("case                bytes largest  max |float32 - float64| / max |float64| of"
          " logits, merged, loss, gradients, ends, losses")
    for name in names:
        write_case(name, CASES[name])


if __name__ == "__main__":
    main()
