#!/usr/bin/env python3
"""make_encoders.py - golden files of encoders: masked language models, classifiers of texts and of tokens.

    python tests/golden/make_encoders.py [case ...]        writes tests/golden/models/<case>/

As make_models.py, which does the work, with three differences. batch.json says what is trained as those of
heads/ do (`scored`: row, column, weight and value of each target; `targets` or `labels` is the same for this
script), and names token types where the model has them. Logits of a classifier of texts are (S,K). And `hidden`
(N,C) is what leaves the body, of the base: a case ...-bare holds the same body without head and prefix, as
AutoModel saves it.
"""
import json
import shutil
import sys

import make_models as mm
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForMaskedLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)
from transformers.utils.logging import disable_progress_bar

LABELS, TAGS, MASK = 3, 5, 3
BERT = dict(vocab_size=67, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=16, layer_norm_eps=1e-3, pad_token_id=0)
ROBERTA = dict(BERT, max_position_embeddings=18, type_vocab_size=1, pad_token_id=1)
DISTILBERT = dict(vocab_size=67, dim=16, hidden_dim=24, n_layers=2, n_heads=2, max_position_embeddings=16)
# Layers 1 and 2 see 3 tokens to either side.
MODERNBERT = dict(vocab_size=67, hidden_size=16, intermediate_size=24, num_hidden_layers=4,
                  num_attention_heads=2, max_position_embeddings=16, norm_eps=1e-3, local_attention=6,
                  pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
                  rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                                   "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}})
mm.SHAPES.update({"bert": BERT, "roberta": ROBERTA, "xlm-roberta": ROBERTA, "distilbert": DISTILBERT,
                  "modernbert": MODERNBERT})

KINDS = {"lm": AutoModelForMaskedLM, "classify": AutoModelForSequenceClassification,
         "tag": AutoModelForTokenClassification}
TASKS = {"lm": None, "classify": "SEQ_CLS", "tag": "TOKEN_CLS"}
LINEAR = {"bert": ["query", "key", "value", "dense"], "distilbert": [
    "q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2", "vocab_transform"], "modernbert": ["Wqkv", "Wo", "Wi", "dense"]}
LINEAR["roberta"] = LINEAR["xlm-roberta"] = LINEAR["bert"]


def old_bert(tensors, config):
    """As the first published BERT: TensorFlow's names of norms, pooler and the head for the next sentence
    beside the one for masked tokens, the tied matrix twice, positions 0, 1, 2, ..."""
    C, V = config.hidden_size, config.vocab_size
    tensors = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
               for name, t in tensors.items()}
    return {**tensors, "bert.pooler.dense.weight": torch.ones(C, C), "bert.pooler.dense.bias": torch.ones(C),
            "cls.seq_relationship.weight": torch.ones(2, C), "cls.seq_relationship.bias": torch.ones(2),
            "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"].clone(),
            "bert.embeddings.position_ids": torch.arange(config.max_position_embeddings)[None]}


def old_roberta(tensors, config):
    C = config.hidden_size
    return {**tensors, "lm_head.decoder.weight": tensors["roberta.embeddings.word_embeddings.weight"].clone(),
            "lm_head.decoder.bias": tensors["lm_head.bias"].clone(),
            "roberta.pooler.dense.weight": torch.ones(C, C), "roberta.pooler.dense.bias": torch.ones(C),
            "roberta.embeddings.position_ids": torch.arange(config.max_position_embeddings)[None]}


def old_distilbert(tensors, config):
    return {**tensors,
            "vocab_projector.weight": tensors["distilbert.embeddings.word_embeddings.weight"].clone()}


def old_body(tensors, config):
    """MiniLM and kin."""
    C = config.hidden_size
    return {**tensors, "pooler.dense.weight": torch.ones(C, C), "pooler.dense.bias": torch.ones(C),
            "embeddings.position_ids": torch.arange(config.max_position_embeddings)[None]}


OLD_MODERNBERT = dict(global_attn_every_n_layers=3, global_rope_theta=1000.0, local_rope_theta=50.0,
                      layer_norm_eps=1e-5, position_embedding_type="absolute")
NOT_OLD_MODERNBERT = ("rope_theta", "rope_local_base_freq", "rope_scaling")
# As make_models.CASES; task: whose head it has. bare: also written without head, the tensors of the file through
# this. loss: of the labels, where it is not one class of several.
CASES = {
    "bert-lm": dict(model="bert", task="lm", bare=old_body, without=dict(layer_norm_eps=1e-12, hidden_act="relu")),
    "bert-old": dict(model="bert", task="lm", seed="bert-lm", stored=old_bert,
                     old=dict(position_embedding_type="absolute", gradient_checkpointing=False),
                     left_out=("bos_token_id", "eos_token_id", "add_cross_attention", "classifier_dropout",
                               "is_decoder", "tie_word_embeddings", "type_vocab_size", "initializer_range",
                               "use_cache")),
    "bert-classify": dict(model="bert", task="classify"),
    "bert-multi": dict(model="bert", task="classify", loss="binary", config=dict(
        problem_type="multi_label_classification")),
    "bert-regress": dict(model="bert", task="classify", loss="squared", config=dict(
        problem_type="regression", num_labels=1)),
    "bert-tag": dict(model="bert", task="tag"),
    "roberta-lm": dict(model="roberta", task="lm", bare=lambda tensors, config: tensors, stored=old_roberta, old={},
                       left_out=("tie_word_embeddings",)),
    "roberta-classify": dict(model="roberta", task="classify"),
    "roberta-tag": dict(model="roberta", task="tag", config=dict(type_vocab_size=2)),
    "xlm-roberta-lm": dict(model="xlm-roberta", task="lm"),
    "distilbert-lm": dict(model="distilbert", task="lm", bare=lambda tensors, config: tensors,
                          stored=old_distilbert, old=dict(tie_weights_=True), left_out=("tie_word_embeddings",),
                          without=dict(activation="relu")),
    "distilbert-classify": dict(model="distilbert", task="classify",
                                lora=dict(modules_to_save=["pre_classifier"])),
    "distilbert-tag": dict(model="distilbert", task="tag", config=dict(sinusoidal_pos_embds=True)),
    "modernbert-lm": dict(model="modernbert", task="lm", bare=lambda tensors, config: tensors, without=dict(
        local_attention=8, norm_eps=1e-5, classifier_activation="relu", layer_types=["full_attention"] * 4)),
    "modernbert-classify": dict(model="modernbert", task="classify", config=dict(classifier_pooling="mean"),
                                old=OLD_MODERNBERT, left_out=NOT_OLD_MODERNBERT,
                                without=dict(classifier_pooling="cls")),
    "modernbert-cls": dict(model="modernbert", task="classify"),
    "modernbert-tag": dict(model="modernbert", task="tag", config=dict(
        attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True, decoder_bias=False)),
}


def labels_of(case, g):
    S = len(mm.LENGTHS)
    if case.get("loss") == "binary":
        return torch.randint(0, 2, (S, LABELS), generator=g).tolist()
    if case.get("loss") == "squared":
        return [[round(x, 3)] for x in torch.randn(S, generator=g).tolist()]
    return torch.randint(0, LABELS, (S,), generator=g).tolist()


def new_batch(case, seed):
    g = torch.Generator().manual_seed(seed)
    segments = [torch.randint(4, 67, (n,), generator=g).tolist() for n in mm.LENGTHS]
    batch = {"segments": segments}
    if case["model"] == "bert":
        batch["types"] = [[int(n >= 5 and t >= n // 2) for t in range(n)] for n in mm.LENGTHS]
    if case["task"] == "classify":
        return scored({**batch, "labels": labels_of(case, g)}, case)
    targets = []
    for ids in segments:
        chosen = torch.rand(len(ids), generator=g) < 0.4
        other = torch.randint(0, TAGS, (len(ids),), generator=g).tolist()
        targets.append([(ids[t] if case["task"] == "lm" else other[t]) if chosen[t] else -1
                        for t in range(len(ids))])
        for t in range(len(ids)):
            if case["task"] == "lm" and chosen[t] and torch.rand((), generator=g) < 0.8:
                ids[t] = MASK
    assert 0 < sum(t >= 0 for row in targets for t in row)
    return scored({**batch, "targets": targets}, case)


def scored(batch, case):
    """What tests read: [row, column, weight, value] of each target."""
    out, first = [], 0
    for s, ids in enumerate(batch["segments"]):
        if "targets" in batch:
            out += [[first + t, k, 1.0, 0] for t, k in enumerate(batch["targets"][s]) if k >= 0]
        elif isinstance(batch["labels"][s], int):
            out.append([first, batch["labels"][s], 1.0, 0])
        else:
            out += [[first, k, 1.0, value] for k, value in enumerate(batch["labels"][s])]
        first += len(ids)
    K = {"lm": 0, "classify": case.get("config", {}).get("num_labels", LABELS), "tag": TAGS}[case["task"]]
    return {**batch, "scored": out, "weight": float(len(out)), "K": K, "loss": case.get("loss", "softmax"),
            "task": TASKS[case["task"]] or "LM"}


def complete(case):
    """As make_models.py takes it."""
    labels = {"lm": {}, "classify": dict(num_labels=LABELS), "tag": dict(num_labels=TAGS)}[case["task"]]
    lora = {"target_modules": LINEAR[case["model"]], "task_type": TASKS[case["task"]], **case.get("lora", {})}
    return {**case, "kind": KINDS[case["task"]], "config": {**labels, **case.get("config", {})}, "lora": lora}


def hidden_of(model, batch):
    body = getattr(model, model.base_model_prefix, model)
    kinds = [{"token_type_ids": torch.tensor([types])} for types in batch.get("types", ())]
    return torch.cat([body(torch.tensor([ids]), **kind).last_hidden_state[0] for ids, kind in
                      zip(batch["segments"], kinds or [{}] * len(batch["segments"]))]).detach()


def write_bare(name, case, batch, hidden):
    """The body alone, saved as such."""
    folder = mm.OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = mm.load(mm.OUT / name.replace("-bare", "-lm"))
    getattr(model, model.base_model_prefix).save_pretrained(folder)
    file = folder / "model.safetensors"
    save_file(case["bare"](load_file(file), model.config), file, {"format": "pt"})
    (folder / "batch.json").write_text(json.dumps({key: batch[key] for key in ("segments", "types")
                                                   if key in batch}) + "\n")
    assert torch.equal(hidden_of(mm.load(folder), batch), hidden)
    save_file({"hidden": hidden}, folder / "expected.safetensors", {"format": "pt"})


def write_case(name):
    case = CASES[name]
    mm.write_case(name, complete(case), lambda seed: new_batch(case, seed))
    folder = mm.OUT / name
    batch = json.loads((folder / "batch.json").read_text())
    hidden = hidden_of(mm.load(folder), batch)
    expected = load_file(folder / "expected.safetensors")
    save_file({**expected, "hidden": hidden}, folder / "expected.safetensors", {"format": "pt"})
    if "bare" in case:
        write_bare(name.replace("-lm", "-bare"), case, batch, hidden)


def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    for name in sys.argv[1:] or list(CASES):
        write_case(name)


if __name__ == "__main__":
    main()
