"""The ways to do a run again, and what is promised of each. WAYS, at the end, is the table.

A way is a function of the base run, a Run, whose adapter and metrics lie in the folder run. It runs lorac, and yields a
line for each difference. It raises Untried where the case is none for it. To add one is such a function and a row.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from compare import (Failed, Refused, Untried, difference, near, near_metric, read, same_bytes, same_losses,
                     same_result)
from recipes import HEADS, RANKED

BYTES, ROUNDING = "to the byte", "but for rounding"
# As tests/tools/support_ranks.sh sets it: as root, on a machine of any size, in a container.
RANKS = ("mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca", "plm", "isolated",
         "--mca", "btl", "self,vader", "--mca", "btl_vader_single_copy_mechanism", "none",
         "--mca", "mpi_yield_when_idle", "1", "-n", "2")


# Ways to train again


def again(run):
    run.train("again")
    yield from same_bytes(run, "again")


def on_and_off(run, key):
    run.train(f"{key}_off", f"train.{key}=off")
    yield from same_losses(run, f"{key}_off")
    try:
        run.train(f"{key}_on", f"train.{key}=on")
    except Refused as reason:
        if "has no effect" not in str(reason):
            raise
        if run.metrics() == run.metrics(f"{key}_off"):  # nor had auto
            raise Untried(reason) from None
    else:
        yield from same_losses(run, f"{key}_on")


def cache(run):
    yield from on_and_off(run, "cache_frozen_prefix")


def share(run):
    yield from on_and_off(run, "share_prefix")


def activations(run):
    for word in ("all", "layers"):
        run.train(f"keep_{word}", f"train.keep_activations={word}")
        yield from same_losses(run, f"keep_{word}")


def threads(run):
    count = run.draw.choice([2, 3])
    run.train("threads", f"train.threads={count}")
    yield from same_losses(run, "threads")


def reference(run):
    few = ("train.epochs=null", "train.steps=3", "train.batch_tokens=null", "train.batch_size=2", "train.accumulate=1",
           "eval.every=end")  # ref takes a hundred times as long
    run.train("three", *few)
    run.train("reference", *few, environment={"LORAC_BACKEND": "ref"})
    yield from same_losses(run, "reference", "three", 1e-3 if run.exact else None)


def micro(run):
    """Four rows a step, as one micro-batch, two and four. Where an epoch ends with fewer, steps have other rows."""
    if "dropout" in run.case.recipe["adapter"] or run.case.task == "masked_lm":
        raise Untried("random numbers of a place in the micro-batch")
    for accumulate in (1, 2, 4):
        run.train(f"micro_{accumulate}", "train.batch_tokens=null", f"train.batch_size={4 // accumulate}",
                  f"train.accumulate={accumulate}", "train.epochs=null", "train.steps=6")
    steps = [[row["tokens"] for row in run.metrics(f"micro_{accumulate}")] for accumulate in (1, 2, 4)]
    if not steps[0] == steps[1] == steps[2]:
        raise Untried("epochs end within a step")
    for accumulate in (2, 4):
        yield from same_losses(run, f"micro_{accumulate}", "micro_1")


def resume(run):
    """Stopped by the watchdog behind one or two random steps."""
    last = max(int(row["step"]) for row in run.metrics()) - 1
    stops = sorted({run.draw.randint(1, max(last, 1)) for _ in range(run.draw.choice([1, 2]))})
    done = 0
    for stop in stops:
        run.train("resumed", "train.watchdog.loss_above=1e-12", f"train.watchdog.patience={stop - done}",
                  resume=done > 0, expect=1)
        done = stop
    run.train("resumed", resume=True)
    yield from same_bytes(run, "resumed")


def until_done(run, words, saved, times):
    """Runs words, stopped by a signal up to six times, each after one of these times, and resumed where the file saved
    is there. To see again what is found this way may need several tries."""
    name = run.draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    for attempt in range(7):
        process = run.start([*words, "--resume" if os.path.exists(run.path(saved)) else "--overwrite"])
        try:
            _, err = process.communicate(timeout=run.draw.choice(times) if attempt < 6 else run.limit)
        except subprocess.TimeoutExpired:
            run.commands[-1] += f"    # {name.name}"
            process.send_signal(name)
            _, err = process.communicate(timeout=run.limit)
        if process.returncode == 0:
            return
        if process.returncode not in (-name, 128 + name):
            raise Failed(f"exit status {process.returncode}: {err.decode(errors='replace')[-300:]}")


def kill(run):
    sets = ["train.epochs=null", "train.steps=40", "output.save_every=3"]
    run.train("whole", *sets)
    words = [word for key in ("output.dir=killed", *sets) for word in ("--set", key)]
    until_done(run, ["train", "recipe.yaml", *words], "killed/state/state.safetensors", [.08, .15, .25, .4, .8])
    yield from same_bytes(run, "killed", "whole")


def ranks(run):
    if not shutil.which("mpirun"):
        raise Untried("no mpirun here")
    out, err = run.start(["inspect", run.case.model.path], before=RANKS).communicate(timeout=run.limit)
    if b"mpirun started" not in err:
        raise Untried("lorac is built without MPI")
    run.train("ranks", before=RANKS)
    yield from same_losses(run, "ranks")
    if run.case.tables.rows and run.exact:
        for name, before in (("one", ()), ("two", RANKS)):
            run.call("predict", "run", "--in", "valid", "--out", name, "--overwrite", *most_tokens(run), before=before)
        if read(run.path("one")) != read(run.path("two")):
            yield "predict: the table one, of one process, is other than two, of two"


VARIED = {"optimizer.lr": [1e-3, 4e-3], "seed": [1, 2], "train.steps": [2, 5], "train.shuffle": [True, False],
          "train.cache_frozen_prefix": ["off", "auto"], "train.share_prefix": ["off", "auto"],
          "model.compute": ["float32", "bfloat16"], "model.max_length": [80, 150], "optimizer.weight_decay": [0, .1]}
VARIED_ADAPTER = {"adapter.layers": ["last:1", "last:2"], "adapter.rank": [2, 5], "adapter.dropout": [0, .2]}


def sweep(run):
    """Trials, which share what they have read of model and tables, against runs of their own."""
    keys = {**VARIED, **(VARIED_ADAPTER if "rank" in run.case.recipe["adapter"] else {})}
    if "epochs" in run.case.recipe["train"]:
        del keys["train.steps"]
    if "overrides" in run.case.recipe["adapter"]:
        keys.pop("adapter.layers", None)  # each must match a module still
    if isinstance(run.case.recipe["data"].get("valid"), dict):
        del keys["seed"]  # each label must keep a training row
    vary = {key: keys[key] for key in run.draw.sample(sorted(keys), 2)}
    with open(run.path("sweep.yaml"), "w", encoding="utf-8") as f:
        f.write(f"sweep: 1\nrecipe: recipe.yaml\nvary: {json.dumps(vary)}\ndir: sweep\n")
    run.call("sweep", "sweep.yaml", "--jobs", run.draw.choice(["1", "1", "2"]))
    trials = [name for name in os.listdir(run.path("sweep")) if os.path.exists(run.path("sweep", name, "run.json"))]
    if len(trials) != 4:
        yield f"{len(trials)} of 4 trials"
    for trial in trials:
        run.train(run.path("own_" + trial), recipe=f"sweep/{trial}/recipe.resolved.yaml")
        yield from same_bytes(run, "own_" + trial, f"sweep/{trial}")


def onward(run):
    """adapter.from, at a rate that changes nothing: the first evaluation is the run's last."""
    run.case.write_recipe(run.folder, "onward.yaml", without=("adapter", "optimizer"))
    run.train("onward", "adapter.from=run/last", "optimizer.lr=1e-12", "train.epochs=null", "train.steps=2",
              "eval.every=1", recipe="onward.yaml")
    was = [row for row in run.metrics() if row["split"] == "valid"][-1]
    for row in run.metrics("onward"):
        wrong = [k for k in was if k not in ("step", "epoch")
                 and not near_metric(run, k, was[k], row[k], run.tolerance)]
        if row["split"] == "valid" and wrong:
            yield difference(was, row, wrong)


# Ways to use what was trained

def evaluate(run):
    sets = [[], ["--unset", "train.batch_size", "--set", "train.batch_tokens=17"], ["--set", "train.share_prefix=off"],
            ["--unset", "train.batch_size", "--set", "train.batch_tokens=3000"], ["--set", "train.threads=2"]]
    for words in run.draw.sample(sets, 3):
        yield from same_result(run, run.call("eval", "recipe.yaml", "--adapter", "run/best", "--json", *words))


def merge(run):
    run.call("merge", "--model", run.case.model.path, "--adapter", "run/best", "--out", "merged", "--verify",
             "--dtype", "float32")
    run.case.write_recipe(run.folder, "merged.yaml", without=("adapter", "optimizer"))
    yield from same_result(run, run.call("eval", "merged.yaml", "--set", "model.path=merged", "--json"),
                           1e-3 if run.exact else .1)


def probabilities(row):
    """{label: probability} of a predicted row with --scores."""
    found = {}
    while True:
        end = f"_{len(found) + 1}" if found else ""
        if row.get("prediction" + end) in ("", None):
            return found
        found[row["prediction" + end]] = float(row["probability" + end])


def most_tokens(run):
    return ["--max-tokens", "9"] if run.case.task in ("free", "chat") else []


def near_probability(run, a, b):
    return near(a, b, 10 * run.tolerance, 1e-5 if run.exact else 5e-2)


PREDICT = ("predict", "run", "--adapter", "run/best")


def predicted_again(run):
    """The validation rows' predictions; and with probabilities, where there are some."""
    if not run.case.tables.rows:
        raise Untried("no table of rows to predict")
    if run.case.task in ("free", "chat") and not run.exact:
        raise Untried("what is generated goes another way after the first rounding")
    some = most_tokens(run)
    rows = run.case.tables.decode(run.call(*PREDICT, "--in", "valid", "--out", "-", *some))
    scores = [None] * len(rows)
    if run.case.task in RANKED:
        scored = run.call(*PREDICT, "--in", "valid", "--out", "-", "--scores")
        scores = [probabilities(row) for row in run.case.tables.decode(scored)]
    return rows, scores, some


def predict(run):
    """A table's answers against those of all probabilities, of training's best evaluation, and its accuracy."""
    rows, scores, _ = predicted_again(run)
    if len(rows) != len(run.case.tables.rows):
        yield f"{len(rows)} rows of {len(run.case.tables.rows)}"
        return
    chosen = run.case.task in ("labels", "classify")
    for i, (row, score) in enumerate(zip(rows, scores)):
        if chosen and not likeliest(run, row["prediction"], score):
            yield f"row {i}: {row['prediction']} | --scores {score}"
        if chosen and not near_probability(run, row["probability"], score.get(row["prediction"])):
            yield f"row {i}: probability {row['probability']} | --scores {score.get(row['prediction'])}"
        if chosen and not near(sum(score.values()), 1, 1e-4):
            yield f"row {i}: probabilities sum to {sum(score.values())}"
    result = run.result()
    if run.case.task not in ("labels", *HEADS) or result["best"]["rows"] != len(rows):
        return
    file = run.path("run", "predictions", f"{result['best_step']}.csv")
    best = list(csv.DictReader(io.StringIO(read(file), newline=""))) if os.path.exists(file) else []
    for i, (row, was, score) in enumerate(zip(rows, best, scores) if len(best) == len(rows) else []):
        answer, found = was["answer"], row["prediction"]
        if run.case.task == "multilabel":
            same = sorted(answer.split("; ")) == sorted(found.split(";") if isinstance(found, str) else found)
        elif run.case.task == "regress":
            same = near(answer, found, 10 * run.tolerance, 1e-3)
        elif run.case.task == "tag":
            same = answer.split() == [tag for tag in found.split() if tag != "_"]  # of words that max_length cut away
        else:
            same = answer == found or chosen and likeliest(run, answer, score)
        if not same and (run.exact or run.case.task == "regress"):
            yield f"row {i}: {answer} in predictions/{result['best_step']}.csv | {found}"
    if chosen and len(best) == len(rows):
        right = sum(row["prediction"] == wanted["label"] for row, wanted in zip(rows, run.case.tables.rows)) / len(rows)
        if not near(right, result["best"]["accuracy"], 0, 1e-6 if run.exact else 1):
            yield f"accuracy {result['best']['accuracy']} in run.json | {right} counted"


def likeliest(run, label, score):
    return score.get(label, 0) >= max(score.values()) * (1 - 10 * run.tolerance) - (0 if run.exact else 5e-2)


def alone(run):
    """Rows by --text against the same rows in a table."""
    rows, scores, some = predicted_again(run)
    some += ["--scores"] if run.case.task in RANKED else []
    for i in run.draw.sample(range(len(rows)), min(4, len(rows))):
        wanted = run.case.tables.rows[i]
        if wanted["text"] == "-":
            continue
        field = ["--field", f"more={wanted['more']}"] if "more" in wanted else []
        found = json.loads(run.call(*PREDICT, f"--text={wanted['text']}", "--json", *field, *some))
        if scores[i]:
            by_label = {entry["label"]: entry["probability"] for entry in found["top"]}
            wrong = [f"{label} {p} | {by_label.get(label)}" for label, p in scores[i].items()
                     if not near_probability(run, p, by_label.get(label))]
            if wrong:
                yield f"row {i}: " + ", ".join(wrong[:3])
        elif run.case.task == "regress":
            if not near(found["prediction"], rows[i]["prediction"], 10 * run.tolerance, 1e-3 if run.exact else .1):
                yield f"row {i}: {rows[i]['prediction']} | {found['prediction']}"
        elif run.exact and found["prediction"].replace("\0", " ") != rows[i]["prediction"]:  # no table holds a NUL
            yield f"row {i}: {rows[i]['prediction']!r} | {found['prediction']!r}"


def answers(run):
    """A long table, predicted at once, and stopped and resumed."""
    if not run.case.tables.rows:
        raise Untried("no table of rows to predict")
    table = run.draw.choices(run.case.tables.rows, k=run.draw.choice([100, 600]))
    with open(run.path("long"), "wb") as f:
        f.write(run.case.tables.encode(table))
    words = ["predict", "run", "--in", "long", *most_tokens(run)]
    run.call(*words, "--out", "whole.out", "--overwrite")
    until_done(run, [*words, "--out", "answers.out"], "answers.out.part", [.05, .1, .2, .4])
    if read(run.path("whole.out")) != read(run.path("answers.out")):
        yield "whole.out and answers.out differ"


def serve(run):
    """/classify of lorac serve, against predict --scores."""
    if run.case.task != "labels" or not run.case.tables.rows:
        raise Untried("no labels, no rows")
    _, scores, _ = predicted_again(run)
    process = run.start(["serve", "--model", run.case.model.path, "--name", "base", "--port", "0", "--threads", "1",
                         "--adapter", "a=run/best", "--compute", run.case.recipe["model"]["compute"]])
    try:
        line = process.stdout.readline().decode()  # base at http://127.0.0.1:PORT/v1
        if not line.startswith("base at "):
            raise Failed("it does not start: " + line)
        address = line.split()[2].rpartition("/v1")[0] + "/classify"
        for i, row in enumerate(run.case.tables.rows[:3]):
            body = json.dumps({"model": "a", "input": row["text"]}).encode()
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=run.limit) as f:
                    found = json.load(f)
            except urllib.error.HTTPError as refused:
                if refused.code != 400:  # too long a text, or a blank one
                    yield f"row {i}: {refused.code} {refused.read().decode()}"
                continue
            served = dict(zip(found["labels"], found["data"][0]["probs"]))
            wrong = [f"{label} {p} | {served.get(label)}" for label, p in scores[i].items()
                     if not near_probability(run, p, served.get(label))]
            # what predict cuts to model.max_length, serve reads whole
            if wrong and found["usage"]["prompt_tokens"] + 10 <= run.case.recipe["model"]["max_length"]:
                yield f"row {i}: " + ", ".join(wrong[:3])
    finally:
        process.terminate()
        process.communicate(timeout=run.limit)


def vectors(run, name, texts):
    with open(run.path(name + ".jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    run.call("embed", "--model", run.case.model.path, "--data", name + ".jsonl", "--column", "text",
             "--out", name + ".csv", "--overwrite", "--compute", run.case.recipe["model"]["compute"])
    _, *rows = csv.reader(io.StringIO(read(run.path(name + ".csv"))))
    return [[float(x) for x in row[1:]] for row in rows]


def embed(run):
    """Vectors of texts in a table against those of the same texts alone. The adapter takes no part."""
    texts = [row["text"] for row in run.case.tables.rows if row["text"].strip()]
    if not texts:
        raise Untried("no table of rows to embed")
    together = vectors(run, "together", texts)
    for i in run.draw.sample(range(len(texts)), min(2, len(texts))):
        worst = max(abs(x - y) for x, y in zip(together[i], vectors(run, "alone", [texts[i]])[0]))
        if not worst <= (1e-5 if run.exact else 5e-2):
            yield f"text {i}: by {worst}"


WAYS = {  # word of --only: (function, share of the cases that it is tried on, what is done, what is promised)
    "again": (again, .1, "the same command once more", BYTES),
    "cache": (cache, .8, "train.cache_frozen_prefix on and off", ROUNDING),
    "share": (share, .6, "train.share_prefix on and off", ROUNDING),
    "activations": (activations, .3, "train.keep_activations all and layers", ROUNDING),
    "threads": (threads, .3, "two or three threads", ROUNDING),
    "reference": (reference, .15, "the backend ref, three steps", "relative 1e-3; less with bfloat16, int8"),
    "micro": (micro, .35, "a step of four rows, cut into micro-batches", ROUNDING),
    "resume": (resume, .7, "stopped behind some step, resumed", BYTES),
    "kill": (kill, .2, "stopped by signals, resumed", BYTES),
    "ranks": (ranks, .2, "mpirun -n 2: train, predict", ROUNDING),
    "sweep": (sweep, .15, "trials of a sweep, each trained alone", BYTES),
    "onward": (onward, .3, "adapter.from, learning nothing", ROUNDING),
    "evaluate": (evaluate, .7, "eval of best/, in other batches", ROUNDING),
    "merge": (merge, .4, "merge, then eval", "relative 1e-3; 0.1 with bfloat16, int8"),
    "predict": (predict, .8, "predict, against --scores and training's evaluation", ROUNDING),
    "alone": (alone, .5, "predict of one text, against that of a table", ROUNDING),
    "answers": (answers, .15, "predict of a table, stopped by signals, resumed", BYTES),
    "serve": (serve, .3, "serve's /classify, against predict --scores", ROUNDING),
    "embed": (embed, .1, "embed of one text, against that of a table", ROUNDING)}
