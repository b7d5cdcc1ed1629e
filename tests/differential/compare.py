"""Run, a folder in which lorac is run, and comparisons of what it wrote there: generators of a line a difference."""

import csv
import json
import math
import os
import shlex
import struct
import subprocess

# What rounding may do to a loss, relative. bfloat16 and int8 round anew what was rounded otherwise.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "int8": 4e-2}
# What lorac refuses in a way without being wrong: texts that training would have skipped, or that it cannot ask for.
REFUSED = ("is blank, expected text", "no row is left of")


class Untried(Exception):
    """The case is none for the way; or lorac refused it, with this reason."""


class Failed(Exception):
    """A command that had to work did not."""


class Refused(Failed):
    """... and said why."""


class Run:
    """A case's folder, and what was run there: `commands`, as shell lines."""

    def __init__(self, lorac, case, folder, limit):
        self.lorac, self.case, self.folder, self.limit = lorac, case, folder, limit
        self.exact = case.recipe["model"]["compute"] == "float32"
        self.tolerance = TOLERANCE[case.recipe["model"]["compute"]]
        self.commands = []
        self.sets = {}  # of each training, by the name of its folder
        self.draw = None  # a way's own random numbers, set before it starts

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, words, environment=None, before=()):
        command = [*before, self.lorac, *words]
        settings = "".join(f"{key}={value} " for key, value in (environment or {}).items())
        self.commands.append(settings + shlex.join(command))
        return subprocess.Popen(command, cwd=self.folder, env={**os.environ, **(environment or {})},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def call(self, *words, environment=None, before=(), expect=0):
        """Standard output of lorac with these words, which ends with that exit status."""
        process = self.start(words, environment, before)
        try:
            out, err = process.communicate(timeout=self.limit)
        except BaseException as stopped:
            process.kill()
            process.communicate()
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise Failed(f"not done after {self.limit} s") from None
            raise
        message = err.decode(errors="replace").rpartition("lorac: ")[2].strip()
        if process.returncode == expect:
            return out.decode()
        if any(reason in message for reason in REFUSED):
            raise Untried(message)
        if process.returncode in (1, 2):
            raise Refused(message[:300])
        raise Failed(f"exit status {process.returncode}: {message[-300:]}")

    def train(self, out, *sets, recipe="recipe.yaml", resume=False, **options):
        """Trains as the recipe says but for sets, in the folder out."""
        self.sets[out] = sets
        words = [word for key in (f"output.dir={out}", *sets) for word in ("--set", key)]
        self.call("train", recipe, *words, *(["--resume"] if resume else []), **options)

    def result(self, name="run"):
        with open(self.path(name, "run.json"), encoding="utf-8") as f:
            return json.load(f)

    def metrics(self, name="run"):
        with open(self.path(name, "metrics.csv"), encoding="utf-8", newline="") as f:
            return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(f)]


# Comparisons

COUNTED = ("accuracy", "macro_f1", "micro_f1", "matthews", "entity_f1", "exact_match")
CORRELATIONS = ("pearson", "spearman", "r2")


def near(a, b, relative, absolute=1e-6):
    if a == b:
        return True
    try:
        a, b = float(a), float(b)
    except (TypeError, ValueError):
        return False
    return abs(a - b) <= absolute + relative * max(abs(a), abs(b)) or math.isnan(a) and math.isnan(b)


def near_metric(run, name, a, b, relative):
    """Whether two values of a metric differ by no more than rounding of the loss by `relative` explains."""
    if name in COUNTED:  # answers, which rounding decides where two labels are as likely: in float32 they seldom are
        return near(a, b, 0, 1e-6 if run.exact else 1)
    if name in CORRELATIONS:  # of a few rows
        return near(a, b, 0, 1e-3 + 50 * relative)
    return near(a, b, relative * {"perplexity": 30, "grad_norm": 20}.get(name, 1))


def read(path):
    with open(path, encoding="utf-8", newline="") as f:
        return f.read()


def tensors(path):
    with open(path, "rb") as f:
        content = f.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (entry["shape"], content[8 + size:][slice(*entry["data_offsets"])]) for name, entry in header.items()}


def numbers(content):
    return struct.unpack(f"<{len(content) // 4}f", content)


def difference(x, y, wrong):
    return f"step {x['step']} {x['split']}: " + ", ".join(f"{k} {x[k]} | {y.get(k)}" for k in wrong)


def same_bytes(run, name, base="run"):
    """The same metrics, and bytes of adapters."""
    a, b = run.metrics(base), run.metrics(name)
    if len(a) != len(b):
        yield f"{base} {len(a)} rows of metrics, {name} {len(b)}"
    for x, y in zip(a, b):
        if x != y:
            yield difference(x, y, [k for k in x if x[k] != y.get(k)])
    for folder in ("last", "best"):
        file = os.path.join(folder, "adapter_model.safetensors")
        if os.path.exists(run.path(base, folder)) != os.path.exists(run.path(name, folder)):
            yield f"{folder}/ is in one of {base} and {name}"
        elif os.path.exists(run.path(base, file)):
            x, y = tensors(run.path(base, file)), tensors(run.path(name, file))
            if x != y:
                wrong = [key for key in {**x, **y} if x.get(key) != y.get(key)]
                yield f"{file}: {len(wrong)} of {len(x)} tensors, the first {wrong[0]}"


def same_losses(run, name, base="run", relative=None):
    """The same metrics and, in float32, adapters, but for rounding."""
    found = list(other_losses(run, name, base, relative or run.tolerance))
    steady = steady_rows(run, base) if found else 0
    yield from (line for row, line in found if row < steady)


def other_losses(run, name, base, relative):
    """(row of metrics, what differs there)"""
    a, b = run.metrics(base), run.metrics(name)
    for i, (x, y) in enumerate(zip(a, b)):
        wrong = [k for k in x if not near_metric(run, k, x[k], y.get(k), relative)]
        if wrong:
            yield i, difference(x, y, wrong)
    if len(a) != len(b):
        yield min(len(a), len(b)) - 1, f"{base} {len(a)} rows of metrics, {name} {len(b)}"
    if not run.exact or run.case.recipe["adapter"].get("init") in ("pissa", "olora"):  # saved less what they began with
        return
    x, y = (tensors(run.path(folder, "last", "adapter_model.safetensors")) for folder in (base, name))
    if x.keys() != y.keys():
        yield 0, "adapters of other tensors: " + ", ".join(sorted(x.keys() ^ y.keys()))
        return
    for key in x:
        if x[key] == y[key] or key.endswith(".bias"):  # a key's has no gradient but of rounding, which Adam follows
            continue
        p, q = numbers(x[key][1]), numbers(y[key][1])
        # Adam moves a number whose gradient is but rounding by a whole rate, so a tensor's are compared all together
        apart, length = math.dist(p, q) if len(p) == len(q) else math.inf, math.dist(p, [0] * len(p))
        if apart > .02 * max(length, 1e-6):
            yield len(a) - 1, f"adapter tensor {key}: {apart:.3g} apart, {length:.3g} long"


def steady_rows(run, base):
    """How many rows of its metrics a run keeps where its rate is another by a tenth of the tolerance. Behind these, any
    rounding leads it elsewhere, as where rates are too high."""
    name = base + "_nudged"
    if name not in run.sets:
        rate = run.case.recipe["optimizer"]["lr"] * (1 + run.tolerance / 10)
        run.train(name, *run.sets[base], f"optimizer.lr={rate:.9g}")
    a, b = run.metrics(base), run.metrics(name)
    same = [all(near_metric(run, k, x[k], y.get(k), run.tolerance / 3) for k in x if k != "lr") for x, y in zip(a, b)]
    return same.index(False) if False in same else len(a)


def same_result(run, result, relative=None):
    """The metrics of the run's best evaluation, in what eval --json printed."""
    best, found = run.result()["best"], json.loads(result)
    for name, value in best.items():
        if not near_metric(run, name, value, found.get(name), relative or run.tolerance):
            yield f"{name} {value} in run.json | {found.get(name)}"
