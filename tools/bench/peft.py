"""Training speed of lorac and of transformers + PEFT on one recipe: the same model, table, template and adapter.

    python tools/bench/peft.py RECIPE [--lorac build/release/lorac] [--rows N] [--steps 6] [--rounds 3]
           [--compute float32 bfloat16 int8] [--tokens 512 2048] [--types float32 bfloat16 autocast] [--batch 8 16 32]
           [--describe 200] [--labels 4] [--threads 2] [--json]

PEFT is run as someone would who knows it: sdpa attention, rows of one batch alike in length and padded to the longest
of them, fused AdamW, no cache; with weights in float32 or bfloat16, or float32 weights under autocast. lorac packs
`--tokens` tokens into a step, in each `--compute`. All take turns, a process each, so that all see the same machine; a
process's first two steps are left out. Speed is of real tokens: padding is not counted, and what lorac runs once for
rows that begin alike counts for each of them. The table's value is the median over all steps of all rounds. `start` is
from the start of the process to the end of its first step (lorac's: when metrics.csv has it), less a step; both read
and tokenise the whole table first, PEFT in one call of its tokenizer (or N rows of it: --rows).

--describe N puts a task description of N tokens in front of every row, on both sides. --labels N measures, instead of
training, the choice among the labels of the recipe behind N prompts of its test rows (lorac: all of them), rows a
second: PEFT scores all labels of a row in one padded batch.

A recipe whose objective is classify compares training a head and adapters on one text (template.prompt) a row.

Keys of the recipe that are read: model.path and max_length, data.train and test with their format, columns and
labels.map or column, template, adapter, optimizer.lr, betas, eps, weight_decay and clip_norm, seed. What PEFT
has no word for is refused (PEFT_HAS), and so is a comparison where it trains another number of
parameters than lorac. Needs torch, transformers, peft; see tests/golden/README.md. Unset
OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE.
"""

import argparse
import csv
import json
import os
import random
import re
import resource
import statistics
import string
import subprocess
import sys
import tempfile
import time

WARMUP = 2
PEFT_HAS = {  # what PEFT's side is run with; all else of these keys is refused
    "adapter.method": ["lora", "dora"], "adapter.scaling": ["standard", "rslora"],
    "adapter.init": ["default", "gaussian", "pissa", "olora"], "adapter.from": [None],
    "adapter.feedforward": [[]], "adapter.bias": ["none", "lora_only", "all"],
    "adapter.overrides": [[]], "adapter.train_also": [[]], "adapter.tie": [None],
    "data.kind": ["table"], "template.kind": ["text"], "objective.kind": ["causal_lm", "classify"],
    "train.accumulate": [1], "optimizer.name": ["adamw"],
    "optimizer.lr_ratio_b": [1.0]}
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # this file is no package of that name


DESCRIPTION = (
    "You read short texts that people have written, and answer in the way that is described here. Read the whole text "
    "before you answer. The answer stands on the last line, in the words that the examples use, without an explanation "
    "and without quotation marks. Texts may hold mistakes, abbreviations, names of places and amounts of money; take "
    "them as they are, and do not correct them. Where a text could mean two things, take the one that most people "
    "would mean who write such a text, and where it means nothing that you know, take the answer that is nearest. Do "
    "not add what the text does not say. Numbers are written as they stand there, with their units. ")


def resolved(options):
    import yaml

    sets = []
    if options.describe:
        from transformers import AutoTokenizer

        plain = yaml.safe_load(output_of([options.lorac, "recipe", "check", options.recipe]))
        tokenizer = AutoTokenizer.from_pretrained(plain["model"]["path"])
        ids = tokenizer(DESCRIPTION * (1 + options.describe // 100), add_special_tokens=False)["input_ids"]
        text = tokenizer.decode(ids[: options.describe]).replace("{", "").replace("}", "")
        sets = [f"template.prompt={json.dumps(text + chr(10) + plain['template']['prompt'])}",
                f"model.max_length={plain['model']['max_length'] + options.describe + 8}"]
    options.sets = [word for key in sets for word in ("--set", key)]
    return yaml.safe_load(output_of([options.lorac, "recipe", "check", options.recipe, *options.sets]))


def check(r, name):
    """Nothing is measured where PEFT would do other work than lorac."""
    for key, words in PEFT_HAS.items():
        section, word = key.split(".")
        found = r[section][word]
        if found not in words:
            sys.exit(f"{name}: {key}: found {shown(found)}, which PEFT's side does not do; "
                     f"expected {' or '.join(shown(x) for x in words)}")
    a = r["adapter"]
    regex = isinstance(a["targets"], str) and a["targets"] != "all-linear"
    if regex and a["layers"] != "all":
        sys.exit(f"{name}: adapter.layers: found {shown(a['layers'])}, which PEFT refuses beside "
                 "adapter.targets that are a regex; expected all")


def shown(value):
    return value if isinstance(value, str) else json.dumps(value)


def output_of(command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return done.stdout


def cells(r, most, table="train"):
    """Rows of a table as {variable: text}."""
    form = r["data"]["format"]
    quoting = {"quotechar": form["quote"]} if form["quote"] else {"quoting": csv.QUOTE_NONE}
    with open(r["data"][table], encoding=form["encoding"], newline="") as f:
        rows = csv.reader(f, delimiter=form["delimiter"], **quoting)
        header = next(rows) if form["header"] else None
        found = list(rows)
    random.Random(r["seed"]).shuffle(found)
    labels = (r["data"]["labels"] or {}).get("map") or {}
    names = r["data"]["columns"] or {name: name for name in header}
    for row in found[:most]:
        values = {}
        for name, column in names.items():
            at = header.index(column) if header and column in header else int(column) - 1
            values[name] = row[at]
        if "label" in values:
            values["label"] = labels.get(values["label"], values["label"])
        yield values


def filled(template, rows):
    return [string.Formatter().vformat(template, (), values) for values in rows]


def examples(r, tokenizer, most):
    """(ids, tokens of the prompt) of each row, as lorac makes them."""
    rows = list(cells(r, most))
    prompts = tokenizer(filled(r["template"]["prompt"], rows))["input_ids"]
    answers = tokenizer(filled(r["template"]["completion"], rows), add_special_tokens=False)["input_ids"]
    for prompt, answer in zip(prompts, answers):
        ids = prompt + answer + [tokenizer.eos_token_id]
        if len(ids) <= r["model"]["max_length"]:
            yield ids, len(prompt)


def is_head(r):
    return r["objective"]["kind"] == "classify"


def labelled(r, tokenizer, most, table="train"):
    """(ids, index of the label) of each row."""
    labels = sorted({v["label"] for v in targets(r, None, "train")})
    rows = list(targets(r, most, table))
    for ids, values in zip(tokenizer(filled(r["template"]["prompt"], rows))["input_ids"], rows):
        if len(ids) <= r["model"]["max_length"]:
            yield ids, labels.index(values["label"])


def targets(r, most, table):
    """Rows as {variable: text}, what a head should say under "label"."""
    for values in cells(r, most, table):
        values["label"] = values[r["data"]["labels"]["column"]]
        yield values


def layers_of(word, L):
    """adapter.layers as indices."""
    if isinstance(word, list):
        return word
    if word.startswith("last:"):
        return list(range(L - int(word[5:]), L))
    first, last = word.split("-")
    return list(range(int(first), int(last) + 1))


def adapted(model, r, task):
    """The model with the recipe's adapter, in PEFT's words."""
    from peft import LoraConfig, get_peft_model
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    a = r["adapter"]
    names, layers = a["targets"], None
    if a["layers"] != "all":
        L = model.config.get_text_config().num_hidden_layers
        layers = layers_of(a["layers"], L)
        if names == "all-linear":  # PEFT has layers of a list alone
            linear = [name for name, module in model.named_modules()
                      if isinstance(module, (Linear, Conv1D)) and re.search(r"\.\d+\.", name)]
            names = sorted({name.split(".")[-1] for name in linear})
    return get_peft_model(model, LoraConfig(
        r=a["rank"], lora_alpha=a["alpha"], lora_dropout=a["dropout"], target_modules=names,
        layers_to_transform=layers, exclude_modules=a["exclude"] or None, bias=a["bias"],
        use_dora=a["method"] == "dora", use_rslora=a["scaling"] == "rslora",
        init_lora_weights=True if a["init"] == "default" else a["init"], task_type=task))


def classifier(r, kind):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(r["model"]["path"])
    K = len({v["label"] for v in targets(r, None, "train")})
    model = AutoModelForSequenceClassification.from_pretrained(r["model"]["path"], dtype=kind, num_labels=K,
                                                               attn_implementation="sdpa")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
    return adapted(model, r, "SEQ_CLS"), tokenizer


def padded(rows, pad):
    """ids, mask (rows,longest)"""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    return (torch.tensor([x + [pad] * (longest - len(x)) for x, _ in rows]),
            torch.tensor([[1] * len(x) + [0] * (longest - len(x)) for x, _ in rows]))


def batches(rows, size, seed):
    """As Trainer's group_by_length: windows of 50 batches, sorted within."""
    rows = list(rows)
    draw = random.Random(seed)
    draw.shuffle(rows)
    out = []
    for i in range(0, len(rows), 50 * size):
        window = sorted(rows[i : i + 50 * size], key=lambda x: len(x[0]), reverse=True)
        out += [window[k : k + size] for k in range(0, len(window), size)]
    draw.shuffle(out)
    return [b for b in out if len(b) == size]


def child(spec):
    """One process of PEFT: prints its speeds, start and memory as JSON."""
    begin = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started_at_boot())
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    r = spec["recipe"]
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(r["seed"])
    kind = torch.bfloat16 if spec["type"] == "bfloat16" else torch.float32
    head = is_head(r)
    if head:
        model, tokenizer = classifier(r, kind)
    else:
        tokenizer = AutoTokenizer.from_pretrained(r["model"]["path"])
        model = AutoModelForCausalLM.from_pretrained(r["model"]["path"], dtype=kind, attn_implementation="sdpa")
        model = adapted(model, r, "CAUSAL_LM")
    trained = [p for p in model.parameters() if p.requires_grad]
    parameters = sum(p.numel() for p in trained)
    if parameters != spec["parameters"]:
        sys.exit(f"adapter: found {parameters} parameters that PEFT trains, expected lorac's "
                 f"{spec['parameters']} (adapter.targets, exclude, layers)")
    if spec["labels"]:
        print(json.dumps(choose(spec, model, tokenizer)))
        return
    model.train()
    o = r["optimizer"]
    optimizer = torch.optim.AdamW(trained, lr=o["lr"], betas=o["betas"], eps=float(o["eps"]),
                                  weight_decay=o["weight_decay"], fused=True)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    made = labelled if head else examples
    todo = batches(made(r, tokenizer, spec["rows"]), spec["batch"], spec["round"])
    out = {"speed": [], "seconds": [], "loss": []}
    for step in range(WARMUP + spec["steps"]):
        t = time.perf_counter()
        rows = todo[step % len(todo)]
        ids, mask = padded(rows, pad)
        longest = ids.shape[1]
        if head:
            wanted = {"labels": torch.tensor([k for _, k in rows])}
        else:
            wanted = {"use_cache": False, "labels": torch.tensor(
                [[-100] * p + x[p:] + [-100] * (longest - len(x)) for x, p in rows])}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=spec["type"] == "autocast"):
            loss = model(input_ids=ids, attention_mask=mask, **wanted).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, o["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()
        took = time.perf_counter() - t
        if step == 0:
            out["first"] = time.time() - begin
        if step >= WARMUP:
            out["speed"].append(int(mask.sum()) / took)
            out["seconds"].append(took)
            out["loss"].append(loss.item())
    out["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(out))


def choose(spec, model, tokenizer):
    """Rows a second of scoring every label behind a prompt, one row's labels in a batch."""
    import torch

    r = spec["recipe"]
    model.eval()
    labels = list(dict.fromkeys(filled(r["template"]["completion"], cells(r, None))))
    answers = [tokenizer(x, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] for x in labels]
    longest = max(len(a) for a in answers)
    speed = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=spec["type"] == "autocast"):
        for text in filled(r["template"]["prompt"], cells(r, spec["labels"] + 1, "test")):
            prompt = tokenizer(text)["input_ids"]
            t = time.perf_counter()
            ids = torch.tensor([prompt + a + [0] * (longest - len(a)) for a in answers])
            mask = torch.tensor([[1] * (len(prompt) + len(a)) + [0] * (longest - len(a)) for a in answers])
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False,
                           logits_to_keep=longest + 1).logits[:, :-1].float().log_softmax(-1)
            scored = logits.gather(2, ids[:, len(prompt):, None])[:, :, 0] * mask[:, len(prompt):]
            scored.sum(1).argmax().item()
            speed.append(1.0 / (time.perf_counter() - t))
    return {"speed": speed[1:], "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def started_at_boot():
    ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def run_peft(spec):
    return json.loads(output_of([sys.executable, __file__, "--child"], json.dumps(spec)).splitlines()[-1])


def first_step(command, metrics):
    """Runs lorac; seconds until its first step is in the run's metrics.csv, looked at each 5 ms."""
    begin = time.time()
    first = None
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            if first is None and os.path.exists(metrics):
                with open(metrics, encoding="utf-8") as f:
                    first = time.time() - begin if ",train," in f.read() else None
            time.sleep(0.005)
        if process.returncode:
            said.seek(0)
            sys.exit(said.read()[-2000:])
    return first if first is not None else time.time() - begin


def run_lorac(options, compute, tokens, number):
    with tempfile.TemporaryDirectory() as home:
        keys = [f"output.dir={home}/run", f"train.steps={WARMUP + options.steps}", f"train.threads={options.threads}",
                f"train.batch_tokens={tokens}", f"seed={number + 1}", "output.save_every=end", "eval.every=end",
                "output.log=[csv]", f"model.compute={compute}"]
        sets = [word for key in keys for word in ("--set", key)]
        unsets = [word for key in ("data.valid", "train.epochs", "train.batch_size", "eval.metrics", "eval.best",
                                   "eval.early_stop.metric", "eval.early_stop.patience",
                                   "eval.early_stop.min_delta") for word in ("--unset", key)]
        first = first_step([options.lorac, "train", options.recipe, *options.sets, *sets, *unsets, "--json"],
                           f"{home}/run/metrics.csv")
        with open(f"{home}/run/metrics.csv", encoding="utf-8") as f:
            steps = [row for row in csv.DictReader(f) if row["split"] == "train"]
        with open(f"{home}/run/run.json", encoding="utf-8") as f:
            result = json.load(f)
    return {"speed": [int(row["tokens"]) * options.a_row_more / float(row["seconds"]) for row in steps[WARMUP:]],
            "seconds": [float(row["seconds"]) for row in steps[WARMUP:]],
            "loss": [float(row["loss"]) for row in steps[WARMUP:]],
            "first": first, "peak": result["peak_bytes"]}


def choose_lorac(options, compute):
    bench = os.path.join(os.path.dirname(options.lorac), "lorac_bench")
    found = json.loads(output_of([bench, "labels", options.recipe, "--base", "--split", "test", "--rounds", "1", "--json",
                                  "--set", f"train.threads={options.threads}", "--set", f"model.compute={compute}",
                                  *options.sets]))
    return {"speed": [found["rows"] / found["eval_seconds"]["median"]], "peak": found["peak_bytes"]}


def summary(kind, batch, runs):
    speeds = [s for run in runs for s in run["speed"]]
    out = {"what": kind, "batch": batch, "speed": statistics.median(speeds), "least": min(speeds), "most": max(speeds),
           "peak_bytes": max(run["peak"] for run in runs), "measurements": len(speeds)}
    if "first" in runs[0]:
        out["start"] = statistics.median(run["first"] - statistics.median(run["seconds"]) for run in runs)
    return out


def ratios(x, best):
    out = {"speed": x["speed"] / best["speed"], "memory": x["peak_bytes"] / best["peak_bytes"]}
    if "start" in x and best.get("start", 0.0) > 0.0:
        out["start"] = x["start"] / best["start"]
    return out


def step_of(x):
    return f"{x['batch']} {'tokens' if x['what'].startswith('lorac') else 'rows'}" if x["batch"] else ""


def title(x):
    return f"{x['what']}, {step_of(x)}" if x["batch"] else x["what"]


def show(table, best, unit):
    print(f"{'':18}{'a step':>12}{unit:>10}{'least':>8}{'most':>8}{'start':>9}{'peak':>11}")
    for x in table:
        start = f"{x['start']:.1f} s" if "start" in x else ""
        digits = 0 if x["speed"] >= 100 else 2
        print(f"{x['what']:18}{step_of(x):>12}{x['speed']:>10.{digits}f}{x['least']:>8.{digits}f}{x['most']:>8.{digits}f}"
              f"{start:>9}{x['peak_bytes'] / 2**20:>7.0f} MiB")
    for x in table:
        if x["what"].startswith("lorac") and best:
            print(f"{title(x)} over {title(best)}: "
                  + ", ".join(f"{what} {value:.3f}" for what, value in ratios(x, best).items()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe")
    p.add_argument("--lorac", default="build/release/lorac")
    p.add_argument("--compute", nargs="*", default=["float32"])
    p.add_argument("--rows", type=int)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--types", nargs="*", default=["float32", "bfloat16", "autocast"])
    p.add_argument("--batch", nargs="*", type=int, default=[8, 16, 32])
    p.add_argument("--tokens", nargs="*", type=int, default=[2048])
    p.add_argument("--describe", type=int, default=0)
    p.add_argument("--labels", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", action="store_true")
    options = p.parse_args()
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if name in os.environ:
            print(f"warning: {name} is set and holds OpenBLAS to other kernels than it would choose", file=sys.stderr)
    recipe = resolved(options)
    check(recipe, options.recipe)
    whole = json.loads(output_of([options.lorac, "plan", options.recipe, *options.sets, "--json"]))
    plan = whole["train"]
    ahead = 0 if is_head(recipe) else plan["rows"]  # the last token of each is only a target
    options.a_row_more = plan["tokens"] / (plan["tokens"] - ahead)
    sizes = [("lorac", options.compute, options.tokens), ("PEFT", options.types, options.batch)]
    sides = [(f"{program} {kind}", size) for program, kinds, steps in sizes for kind in kinds
             for size in ([0] if options.labels else steps)]
    found = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sides:
            program, kind = side[0].split()
            if program == "PEFT":
                run = run_peft({"recipe": recipe, "type": kind, "batch": side[1], "round": number,
                                "rows": options.rows, "steps": options.steps, "labels": options.labels,
                                "threads": options.threads,
                                "parameters": whole["parameters"]})
            else:
                run = choose_lorac(options, kind) if options.labels else run_lorac(options, kind, side[1], number)
            found[side].append(run)
    table = [summary(*side, runs) for side, runs in found.items()]
    best = max((x for x in table if x["what"].startswith("PEFT")), key=lambda x: x["speed"], default=None)
    unit = "rows/s" if options.labels else "tokens/s"
    if options.json:
        over = {title(x): ratios(x, best) for x in table if x["what"].startswith("lorac")} if best else {}
        print(json.dumps({"recipe": options.recipe, "threads": options.threads, "describe": options.describe,
                          "unit": unit, "table": table, "best": best, "lorac_over_best": over}))
        return
    show(table, best, unit)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        child(json.load(sys.stdin))
    else:
        main()
