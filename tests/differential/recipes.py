"""Random recipes: `draw_case(seed, models)` gives a Case, whose files a user might have written. The same seed and the
same models give the same case. A key of recipes/language/schema.c that no line below names is never tried.

lorac may refuse what is drawn (a bias that no module has), and run.py counts that. Keep such draws few, not none: what
is refused today may be taken tomorrow.
"""

import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field


class Draw(random.Random):
    def maybe(self, share):
        return self.random() < share

    def weighted(self, weights):
        """A key of {key: weight}."""
        return self.choices(list(weights), list(weights.values()))[0]


# Models: six narrow layers, one of each architecture, with windows shorter than the texts and both kinds of layers. The
# numbers are large (initializer_range), so that a change anywhere reaches the loss.

SHAPE = {"hidden-size": 48, "num-hidden-layers": 6, "num-attention-heads": 4, "intermediate-size": 96,
         "max-position-embeddings": 512, "initializer-range": 0.15, "seed": 9}
KINDS = ["sliding_attention", "sliding_attention", "full_attention"] * 2  # of layers
ROPE = {"full_attention": {"rope_type": "default", "rope_theta": 1000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}
MODELS = {  # folder: (options of lorac init beside SHAPE, keys of config.json beside those that it writes)
    "llama": ({"arch": "llama", "num-key-value-heads": 2, "tie-word-embeddings": "true"}, {}),
    "llama_bfloat16": ({"arch": "llama", "num-key-value-heads": 2, "dtype": "bfloat16"}, {}),
    "mistral": ({"arch": "mistral", "num-key-value-heads": 2, "head-dim": 16}, {"sliding_window": 17}),
    "qwen2": ({"arch": "qwen2", "num-key-value-heads": 2, "tie-word-embeddings": "true"},
              {"use_sliding_window": True, "sliding_window": 9, "layer_types": KINDS[2:] + KINDS[:2]}),
    "qwen3": ({"arch": "qwen3", "num-key-value-heads": 2, "head-dim": 12}, {"attention_bias": True}),
    "gemma3": ({"arch": "gemma3_text", "num-key-value-heads": 2, "head-dim": 16, "tie-word-embeddings": "true"},
               {"sliding_window": 20, "layer_types": KINDS, "rope_parameters": ROPE, "query_pre_attn_scalar": 20}),
    "gpt2": ({"arch": "gpt2", "tie-word-embeddings": "true"}, {}),
    "neox": ({"arch": "gpt_neox", "hidden-size": 64}, {}),
    "neox_sequential": ({"arch": "gpt_neox", "hidden-size": 64}, {"use_parallel_residual": False, "rotary_pct": 0.5}),
    "bert": ({"arch": "bert"}, {}), "roberta": ({"arch": "roberta"}, {}), "distilbert": ({"arch": "distilbert"}, {}),
    "modernbert": ({"arch": "modernbert"}, {"local_attention": 12, "layer_types": KINDS[2:] + KINDS[:2],
                                            "rope_parameters": ROPE})}
# Names by model_type; of any other those of Llama.
PROJECTIONS = (["q_proj", "v_proj"], ["k_proj"], ["o_proj", "up_proj"], ["down_proj"], ["gate_proj", "q_proj"])
TARGETS = {"gpt2": (["c_attn"], ["attn.c_proj"], ["mlp.c_proj", "c_fc"]),
           "gpt_neox": (["query_key_value"], ["dense"], ["dense_4h_to_h", "dense_h_to_4h"]),
           "bert": (["query", "value"], ["key"], ["output.dense"]),
           "distilbert": (["q_lin", "v_lin"], ["lin1", "lin2"]), "modernbert": (["Wqkv"], ["Wo", "Wi"])}
TARGETS["roberta"] = TARGETS["bert"]
MODULES = ("model.norm", "input_layernorm", "lm_head", "embed_tokens", "layers.1.mlp.down_proj")
TRAIN_ALSO = {"gpt2": ("ln_f", "wte", "ln_1", "h.2.mlp.c_fc"),
              "gpt_neox": ("final_layer_norm", "embed_in", "embed_out", "layers.2.mlp.dense_4h_to_h"),
              "bert": ("encoder.layer.1.output.dense", "word_embeddings"), "distilbert": ("layer.1.ffn.lin2",),
              "modernbert": ("final_norm", "mlp_norm", "layers.1.mlp.Wo")}
TRAIN_ALSO["roberta"] = TRAIN_ALSO["bert"]
CHAT = ("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
ENCODERS = ("bert", "roberta", "distilbert", "modernbert")


@dataclass
class Model:
    path: str
    kind: str      # model_type
    layers: int
    tied: bool
    chat: bool     # has a chat template

    @staticmethod
    def read(path):
        with open(os.path.join(path, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(path, "tokenizer_config.json"), encoding="utf-8") as f:
            chat = "chat_template" in json.load(f) or os.path.exists(os.path.join(path, "chat_template.jinja"))
        layers = next(config[key] for key in ("num_hidden_layers", "n_layer", "n_layers") if key in config)
        return Model(os.path.abspath(path), config["model_type"], layers, config.get("tie_word_embeddings", True), chat)


def init(lorac, out, options, config=None):
    """Makes a model with random weights."""
    words = [word for key, value in options.items() for word in ("--" + key, str(value))]
    done = subprocess.run([lorac, "init", "--out", out, *words, *(["--config", config] if config else [])],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def make_models(lorac, folder):
    """Writes MODELS with random weights below folder. Encoders have a tokenizer with a mask, of letters and WORDS."""
    tokenizer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "pretrain", "model")
    words = os.path.join(folder, "words")
    os.makedirs(words)
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *["##" + c for c in letters],
                  *sorted(set(WORDS))]
    with open(os.path.join(words, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(vocabulary) + "\n")
    with open(os.path.join(words, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]"}, f)
    for name, (options, more) in MODELS.items():
        out, encoder = os.path.join(folder, name), options["arch"] in ENCODERS
        settings = {**SHAPE, **options, "tokenizer": words if encoder else tokenizer}
        init(lorac, out, settings)
        config = os.path.join(folder, "config.json")
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            plain = json.load(f)
        with open(config, "w", encoding="utf-8") as f:
            json.dump({**plain, **more}, f)
        shutil.rmtree(out)
        init(lorac, out, {key: settings[key] for key in ("tokenizer", "seed", "dtype") if key in settings}, config)
        if not encoder:
            with open(os.path.join(out, "chat_template.jinja"), "w", encoding="utf-8") as f:
                f.write(CHAT)
    return [Model.read(os.path.join(folder, name)) for name in MODELS]


# Tables

WORDS = ("the quick brown fox jumps over a lazy dog near an old house while some people watch it from windows and "
         "think of nothing but their dinner soup bread wine cheese salt pepper so very good bad warm cold flat").split()
ODD = ["naïve café", "日本語のテキスト", "emoji 😀🎉 here", "\"quoted\" text", "\"", "tab\there",
       "line\nbreak", "end\r\nof line", "  lead", "trail  ", "x", "a,b;c", "<|endoftext|>", "[MASK] [SEP]", "{braces}", "${x}",
       "%s %d", "\\n back", "'", "0.5", "Ünïcödé ß ǅ", "NULL", "…", "#", "--json"]
ALIKE = ("Consider the following remark of a customer, and say in one word what the customer thinks of it, as well as "
         "you can: ")
LABELS = ["good", "bad", "so so", "so good", "so", "very bad", "bad soup"] + [f"label {i}" for i in range(20)]
PAIRS = ("classify", "multilabel", "regress")  # tasks that may read pairs of texts
HEADS = ("classify", "multilabel", "regress", "tag")  # tasks of a head, by the name of their objective
RANKED = ("labels", "classify", "multilabel")  # tasks whose answers have a probability each


@dataclass
class Tables:
    data: dict                                    # the recipe's section
    files: dict = field(default_factory=dict)     # name: bytes
    rows: list = field(default_factory=list)      # of the validation table: {"text", "label", perhaps "more"}
    dialect: dict = field(default_factory=dict)   # of CSV; JSON lines have none
    encoding: str = "utf-8"
    pair: bool = False                            # rows have "more"

    def encode(self, rows):
        if not self.dialect:
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), **self.dialect)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode(self.encoding)

    def decode(self, text):
        """Rows of such a table that lorac wrote, which is UTF-8."""
        if not self.dialect:
            return [json.loads(line) for line in text.splitlines()]
        return list(csv.DictReader(io.StringIO(text, newline=""), **self.dialect))


def phrase(draw, least, most):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(least, most)))


def rows_of(draw, task, count, style, labels, all_labels):
    """Rows of a table; with all_labels each label has one. The last labels are rare."""
    weights = [style["rarity"] ** k for k in range(len(labels))]
    rows = []
    for i in range(count):
        if rows and draw.maybe(style["repeated"]):
            rows.append(dict(draw.choice(rows)))
            continue
        text = phrase(draw, 1, style["longest"])
        if draw.maybe(style["alike"]):
            text = ALIKE + text
        if rows and draw.maybe(style["continued"]):
            earlier = draw.choice(rows)["text"]
            text = earlier[:draw.randint(0, len(earlier))] + text
        if draw.maybe(style["odd"]):
            text = draw.choice(ODD)
        label = labels[i] if all_labels and i < len(labels) else draw.choices(labels, weights)[0]
        if task == "multilabel":
            some = labels if all_labels and i == 0 else draw.choices(labels, weights, k=draw.randint(1, 3))
            label = ";".join(sorted(set(some)))
        elif task == "regress":
            label = str(round(draw.uniform(-5, 50), 3))
        elif task == "tag":
            words = text.split()[:40] or ["x"]
            text = " ".join(words)
            label = " ".join(draw.choice(["O", "B-P", "I-P", "B-Q", "I-Q"]) for _ in words)
        elif task in ("free", "chat"):
            label = phrase(draw, 1, draw.choice([1, 3, 12]))
        row = {"text": text, "label": label}
        if style["pair"]:
            row["more"] = phrase(draw, 1, 10)
        rows.append(row)
    return rows


def conversation(draw, style):
    messages = [{"role": "system", "content": ALIKE}] if draw.maybe(style["alike"]) else []
    for turn in range(draw.choice([1, 1, 2, 4])):
        asked = draw.choice(ODD).strip() if draw.maybe(style["odd"]) else phrase(draw, 1, style["longest"])
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": phrase(draw, 1, draw.choice([1, 5, 20]))})
        if turn and draw.maybe(.1):
            messages[-1]["weight"] = 0
    return {"messages": messages}


def draw_tables(draw, task, model):
    style = {"longest": draw.choice([2, 8, 20, 90]), "alike": draw.choice([0, 0, .8]),
             "odd": draw.choice([0, 0, 0, .3]), "repeated": draw.choice([0, 0, .2]), "rarity": draw.choice([1, .5]),
             "continued": draw.choice([0, 0, .3, .9]),
             "pair": task in PAIRS and model.kind in ENCODERS and draw.maybe(.4)}
    counts = {"train": draw.choice([8, 8, 12, 24, 120]), "valid": draw.choice([1, 3, 9, 17, 90])}
    tables = Tables({"train": "train", "valid": "valid"}, pair=style["pair"])
    data = tables.data
    if task in ("text", "masked_lm"):
        data["kind"] = "text"
        between = draw.choice(["\n\n", "\n---\n"])
        if draw.maybe(.8):
            data["separator"] = between
        for name, count in counts.items():
            documents = [phrase(draw, 1, draw.choice([2, 30, 200])) for _ in range(count)]
            tables.files[name] = between.join(documents).encode()
        if draw.maybe(.2):
            tables.files["more"] = phrase(draw, 1, 200).encode()
            data["train"] = ["train", "more"]
        return tables
    data["on_too_long"] = draw.choice(["truncate_prompt", "skip"])
    if task in PAIRS and draw.maybe(.3):
        data["on_too_long"] = "truncate_end"
    if draw.maybe(.3):
        data["duplicates"] = draw.choice(["keep", "drop"])
    if task == "messages":
        data["format"] = "jsonl"
        for name, count in counts.items():
            tables.files[name] = tables.encode([conversation(draw, style) for _ in range(count)])
        return tables
    labels = LABELS[:draw.choice([2, 3, 5, 20])]
    train = rows_of(draw, task, max(counts["train"], len(labels)), style, labels, True)
    tables.rows = rows_of(draw, task, counts["valid"], style, labels, False)
    if draw.maybe(.2):
        data["format"] = "jsonl"
    else:
        tables.dialect = {"delimiter": draw.choice([",", ",", ";", "\t"]),
                          "lineterminator": draw.choice(["\n", "\r\n"]),
                          "quoting": draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])}
        tables.encoding = draw.choice(["utf-8"] * 6 + ["utf-16"])
        data["format"] = {"delimiter": tables.dialect["delimiter"], "encoding": tables.encoding}
        if task != "tag" and draw.maybe(.1):
            train.insert(len(labels), {**train[0], "text": ""})
            data["on_empty"] = draw.choice(["skip", "keep"])
    if task in HEADS:
        data["labels"] = "label"
    if task == "labels":
        data["labels"] = {"map": {label: label for label in labels}}
    tables.files = {"train": tables.encode(train), "valid": tables.encode(tables.rows)}
    if draw.maybe(.08):
        data["valid"] = {"split": .3}
        if task in ("labels", "classify") and draw.maybe(.5):
            data["valid"]["stratify"] = "label"
        tables.rows = []  # which ones, lorac says
    return tables


# Adapters, and the rest of a recipe

def draw_layers(draw, count):
    first, last = sorted((draw.randrange(count), draw.randrange(count)))
    return draw.choice(["all", *[f"last:{draw.randint(1, count - 1)}"] * 3,
                        f"{first}-{last}", sorted(draw.sample(range(count), draw.randint(1, count)))])


def draw_adapter(draw, task, model):
    if draw.maybe(.03):
        return {"method": "lora", "train_also": "all"}
    method = draw.weighted({"lora": 7, "dora": 2, "ia3": 2, "none": 1})
    adapter = {"method": method}
    if method == "none":
        if task not in HEADS or draw.maybe(.5):
            adapter["layers"] = f"last:{draw.randint(1, 2)}"
        return adapter
    adapter["layers"] = draw_layers(draw, model.layers)
    targets = TARGETS.get(model.kind, PROJECTIONS)
    if draw.maybe(.5):
        adapter["targets"] = draw.choice(targets)
    elif draw.maybe(.15):
        adapter["exclude"] = draw.choice(targets)
    if method == "ia3":
        if "targets" in adapter and draw.maybe(.4):
            adapter["feedforward"] = adapter["targets"][:1]
        return adapter
    adapter["rank"], adapter["alpha"] = draw.choice([1, 2, 4, 8, 13]), draw.choice([4, 16, 32])
    if method == "lora":
        adapter["init"] = draw.weighted({"default": 6, "gaussian": 1, "pissa": 1, "olora": 1})
    if draw.maybe(.2):
        adapter["scaling"] = "rslora"
    if draw.maybe(.3):
        adapter["dropout"] = draw.choice([.1, .5])
    if draw.maybe(.1):
        adapter["overrides"] = [{"match": ".*[13][.].*", "rank": 3, "alpha": 5}]
    if draw.maybe(.15):
        adapter["bias"] = draw.choice(["all", "lora_only"])
    if draw.maybe(.2):
        adapter["train_also"] = [draw.choice(TRAIN_ALSO.get(model.kind, MODULES))]
        if model.tied and adapter["train_also"][0] in ("lm_head", "embed_tokens", "wte"):
            adapter["tie"] = draw.choice(["keep", "untie"])
    return adapter


def draw_template(draw, task, pair, on_all_rows):
    begin = ALIKE if on_all_rows else ""
    if task in ("labels", "free"):
        template = {"prompt": begin + draw.choice(["{text}", "{text} is", "Q: {text}\nA:"]),
                    "completion": draw.choice([" {label}", "{label}"])}
        if draw.maybe(.15):
            template["train_on"] = "all"
        if draw.maybe(.15):
            template["append_eos"] = False
        return template
    if task == "chat":
        system = {"system": begin} if on_all_rows else {}
        return {"kind": "chat", "prompt": "{text}", "completion": "{label}", **system}
    if task == "messages":
        return {"kind": "chat", "train_on": draw.choice(["assistant", "last"])}
    if pair:
        return {"prompt": begin + "{text}", "pair": "{more}"}
    if task in HEADS and on_all_rows and task != "tag":
        return {"prompt": begin + "{text}"}
    if task == "text" and draw.maybe(.2):
        return {"append_eos": False}
    return {}


METRICS = {"labels": ["loss", "accuracy", "macro_f1", "micro_f1"], "free": ["loss", "perplexity", "exact_match"],
           "chat": ["loss", "perplexity"], "messages": ["loss"], "text": ["loss"], "masked_lm": ["loss"],
           "classify": ["loss", "accuracy", "macro_f1", "matthews"], "multilabel": ["loss", "micro_f1", "macro_f1"],
           "regress": ["loss", "mse", "pearson", "spearman", "r2"], "tag": ["loss", "accuracy", "entity_f1"]}
TASKS = {"labels": 7, "free": 2, "text": 1.5, "chat": 1.5, "messages": 1, "classify": 4, "multilabel": 2, "regress": 2,
         "tag": 2, "masked_lm": 1.5}


def draw_training(draw, task, adapter):
    train = {"threads": 1, "accumulate": draw.choice([1, 1, 1, 2, 3]), "shuffle": draw.maybe(.85),
             **draw.choice([{"steps": draw.choice([4, 7, 10, 20])}] * 6 + [{"epochs": 1}]),
             **draw.choice([{"batch_size": draw.choice([1, 2, 3, 4, 8])},
                            {"batch_tokens": draw.choice([16, 64, 128, 512])}])}
    if draw.maybe(.2):
        train["keep_activations"] = draw.choice(["all", "layers"])
    optimizer = {"name": draw.weighted({"adamw": 3, "sgd": 1}), "lr": draw.choice([1e-3, 3e-3, 1e-2]),
                 "schedule": draw.weighted({"cosine": 4, "linear": 1, "constant": 1}),
                 "warmup": draw.choice([0, 0, 2, "20%"]), "weight_decay": draw.choice([0, .01]),
                 "clip_norm": draw.choice([1, 1, 0, .1])}
    if adapter["method"] in ("dora", "ia3") or "train_also" in adapter:
        optimizer["vector_decay"] = draw.choice([0, .1])
    if adapter["method"] == "lora" and draw.maybe(.15):
        optimizer["lr_ratio_b"] = 4
    if optimizer["schedule"] != "constant":
        optimizer["final_lr_ratio"] = draw.choice([0, 0, .3])
    if optimizer["name"] == "sgd":
        optimizer["momentum"] = draw.choice([0, .9])
    elif draw.maybe(.15):
        optimizer["betas"], optimizer["eps"] = [.8, .95], 1e-6
    evaluation = {"every": draw.choice([2, 3, 4, "end"]), "metrics": METRICS[task]}
    if task not in HEADS and task != "masked_lm":
        evaluation["samples"] = 0
    if draw.maybe(.15):
        evaluation["early_stop"] = {"metric": "loss", "patience": draw.choice([1, 2])}
    elif draw.maybe(.1):
        evaluation["best"] = "loss"
    if task == "multilabel" and draw.maybe(.3):
        evaluation["threshold"] = .3
    return train, optimizer, evaluation


def draw_objective(draw, task):
    if task == "masked_lm":
        return {"kind": task, "mask_share": draw.choice([.15, .15, .4])}
    objective = {"kind": task if task in HEADS else "causal_lm"}
    if task in ("classify", "tag", "multilabel") and draw.maybe(.3):
        objective["class_weights"] = draw.choice(["balanced", {"O" if task == "tag" else LABELS[1]: 3}])
    if task in ("classify", "tag") and draw.maybe(.3):
        objective["label_smoothing"] = .1
    return objective


def fits(task, model):
    if task in HEADS:
        return True
    return (model.kind in ENCODERS) == (task == "masked_lm") and (model.chat or task not in ("chat", "messages"))


@dataclass
class Case:
    seed: int
    task: str       # a key of TASKS
    model: Model
    tables: Tables
    recipe: dict

    @property
    def name(self):
        return (f"{os.path.basename(self.model.path)}, {self.task}, {self.recipe['adapter']['method']}, "
                f"{self.recipe['model']['compute']}")

    def write(self, folder):
        os.makedirs(folder)
        for name, content in self.tables.files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)
        self.write_recipe(folder, "recipe.yaml")

    def write_recipe(self, folder, name, without=()):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.writelines(f"{key}: {json.dumps(value)}\n" for key, value in self.recipe.items() if key not in without)


def draw_case(seed, models):
    draw = Draw(seed)
    task = draw.weighted({task: weight for task, weight in TASKS.items() if any(fits(task, m) for m in models)})
    model = draw.choice([m for m in models if fits(task, m)])
    tables = draw_tables(draw, task, model)
    adapter = draw_adapter(draw, task, model)
    train, optimizer, evaluation = draw_training(draw, task, adapter)
    template = draw_template(draw, task, tables.pair, on_all_rows=draw.maybe(.25))
    recipe = {"recipe": 1, "seed": draw.randint(1, 999),
              "model": {"path": model.path, "max_length": draw.choice([80, 120, 200, 400]),
                        "compute": draw.weighted({"float32": 6, "bfloat16": 2, "int8": 2})},
              "adapter": adapter, "data": tables.data, "objective": draw_objective(draw, task), "train": train,
              "optimizer": optimizer, "eval": evaluation,
              "output": {"dir": "run", "save_every": draw.choice([1, 3, 100, "end"]), "log": ["csv"]},
              **({"template": template} if template else {})}
    return Case(seed, task, model, tables, recipe)
