"""Training speed of lorac and of transformers + PEFT on one recipe: the same model, table, template and adapter.

    python tools/bench/peft.py RECIPE [--lorac build/release/lorac] [--rows 1024] [--steps 6] [--rounds 3]
           [--types float32 bfloat16 autocast] [--batch 8 16 32] [--tokens 2048] [--threads 2] [--json]

PEFT is run as someone would who knows it: sdpa attention, rows of one batch alike in length and padded to the longest
of them, fused AdamW, no cache; with weights in float32 or bfloat16, or float32 weights under autocast. lorac packs
`--tokens` tokens into a step. The two take turns, a process each, so that both see the same machine; a process's first
two steps are left out. Speed is of real tokens, padding not counted; the table's value is the median over all steps of
all rounds. `start` is from the start of the process to the end of its first step, less a step.

Keys of the recipe that are read: model.path and max_length, data.train with its format, columns and labels.map,
template, adapter.rank, alpha and targets: all-linear, optimizer.lr, weight_decay and clip_norm, seed.
Needs torch, transformers, peft; see tests/golden/README.md. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE.
"""

import argparse
import csv
import json
import os
import random
import resource
import statistics
import string
import subprocess
import sys
import tempfile
import time

WARMUP = 2
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # this file is no package of that name


def resolved(lorac, recipe):
    import yaml

    return yaml.safe_load(output_of([lorac, "recipe", "check", recipe]))


def output_of(command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return done.stdout


def cells(r, most):
    """The rows of the training table as {variable: text}."""
    form = r["data"]["format"]
    quoting = {"quotechar": form["quote"]} if form["quote"] else {"quoting": csv.QUOTE_NONE}
    with open(r["data"]["train"], encoding=form["encoding"], newline="") as f:
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


def examples(r, tokenizer, most):
    """(ids, tokens of the prompt) of each row, as lorac makes them."""
    fill = string.Formatter()
    for values in cells(r, most):
        prompt = tokenizer(fill.vformat(r["template"]["prompt"], (), values))["input_ids"]
        answer = tokenizer(fill.vformat(r["template"]["completion"], (), values), add_special_tokens=False)["input_ids"]
        ids = prompt + answer + [tokenizer.eos_token_id]
        if len(ids) <= r["model"]["max_length"]:
            yield ids, len(prompt)


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
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    r = spec["recipe"]
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(r["seed"])
    kind = torch.bfloat16 if spec["type"] == "bfloat16" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(r["model"]["path"])
    model = AutoModelForCausalLM.from_pretrained(r["model"]["path"], dtype=kind, attn_implementation="sdpa")
    config = LoraConfig(r=r["adapter"]["rank"], lora_alpha=r["adapter"]["alpha"], target_modules="all-linear",
                        task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    o = r["optimizer"]
    optimizer = torch.optim.AdamW(trained, lr=o["lr"], weight_decay=o["weight_decay"], fused=True)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    todo = batches(examples(r, tokenizer, spec["rows"]), spec["batch"], spec["round"])
    out = {"speed": [], "seconds": [], "loss": []}
    for step in range(WARMUP + spec["steps"]):
        t = time.perf_counter()
        rows = todo[step % len(todo)]
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([x + [pad] * (longest - len(x)) for x, _ in rows])
        mask = torch.tensor([[1] * len(x) + [0] * (longest - len(x)) for x, _ in rows])
        wanted = torch.tensor([[-100] * p + x[p:] + [-100] * (longest - len(x)) for x, p in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=spec["type"] == "autocast"):
            loss = model(input_ids=ids, attention_mask=mask, labels=wanted, use_cache=False).loss
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


def started_at_boot():
    ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def run_peft(spec):
    return json.loads(output_of([sys.executable, __file__, "--child"], json.dumps(spec)).splitlines()[-1])


def run_lorac(options, number):
    with tempfile.TemporaryDirectory() as home:
        keys = [f"output.dir={home}/run", f"train.steps={WARMUP + options.steps}", f"train.threads={options.threads}",
                f"train.batch_tokens={options.tokens}", f"seed={number + 1}", "output.save_every=end", "eval.every=end",
                "output.log=[csv]"]
        sets = [word for key in keys for word in ("--set", key)]
        unsets = [word for key in ("data.valid", "train.epochs", "train.batch_size", "eval.metrics", "eval.best",
                                   "eval.early_stop.metric", "eval.early_stop.patience",
                                   "eval.early_stop.min_delta") for word in ("--unset", key)]
        begin = time.time()
        output_of([options.lorac, "train", options.recipe, *sets, *unsets, "--json"])
        whole = time.time() - begin
        with open(f"{home}/run/metrics.csv", encoding="utf-8") as f:
            steps = [row for row in csv.DictReader(f) if row["split"] == "train"]
        with open(f"{home}/run/run.json", encoding="utf-8") as f:
            result = json.load(f)
    took = [float(row["seconds"]) for row in steps]
    return {"speed": [int(row["tokens"]) / float(row["seconds"]) for row in steps[WARMUP:]],
            "seconds": took[WARMUP:], "loss": [float(row["loss"]) for row in steps[WARMUP:]],
            "first": whole - sum(took[1:]), "peak": result["peak_bytes"]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe")
    p.add_argument("--lorac", default="build/release/lorac")
    p.add_argument("--rows", type=int, default=1024)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--types", nargs="*", default=["float32", "bfloat16", "autocast"])
    p.add_argument("--batch", nargs="*", type=int, default=[8, 16, 32])
    p.add_argument("--tokens", type=int, default=2048)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", action="store_true")
    options = p.parse_args()
    recipe = resolved(options.lorac, options.recipe)
    sides = [("lorac", options.tokens)] + [(t, b) for t in options.types for b in options.batch]
    found = {side: [] for side in sides}
    for number in range(options.rounds):
        for kind, batch in sides:
            if kind == "lorac":
                found[kind, batch].append(run_lorac(options, number))
            else:
                found[kind, batch].append(run_peft({"recipe": recipe, "type": kind, "batch": batch, "round": number,
                                                    "rows": options.rows, "steps": options.steps,
                                                    "threads": options.threads}))
    table = []
    for (kind, batch), runs in found.items():
        speeds = [s for run in runs for s in run["speed"]]
        table.append({"what": kind if kind == "lorac" else f"PEFT {kind}", "batch": batch,
                      "tokens_per_second": statistics.median(speeds), "least": min(speeds), "most": max(speeds),
                      "start": statistics.median(run["first"] - statistics.median(run["seconds"]) for run in runs),
                      "peak_bytes": max(run["peak"] for run in runs), "steps": len(speeds)})
    best = max(table[1:], key=lambda x: x["tokens_per_second"], default=table[0])
    if options.json:
        print(json.dumps({"recipe": options.recipe, "threads": options.threads, "table": table,
                          "ratio": table[0]["tokens_per_second"] / best["tokens_per_second"],
                          "memory": table[0]["peak_bytes"] / best["peak_bytes"]}))
        return
    print(f"{'':16}{'a step':>12}{'tokens/s':>10}{'least':>8}{'most':>8}{'start':>9}{'peak':>11}")
    for x in table:
        unit = "tokens" if x["what"] == "lorac" else "rows"
        print(f"{x['what']:16}{x['batch']:>5} {unit:6}{x['tokens_per_second']:>10.0f}{x['least']:>8.0f}"
              f"{x['most']:>8.0f}{x['start']:>7.1f} s{x['peak_bytes'] / 2**20:>7.0f} MiB")
    print(f"lorac over PEFT's best: {table[0]['tokens_per_second'] / best['tokens_per_second']:.2f} x the speed, "
          f"{table[0]['peak_bytes'] / best['peak_bytes']:.2f} of the memory, start {table[0]['start'] / max(best['start'], 1e-9):.3f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        child(json.load(sys.stdin))
    else:
        main()
