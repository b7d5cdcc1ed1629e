#!/usr/bin/env python3
"""Writes metrics.json: metrics of labels, scores, numbers and tags as scikit-learn 1.x, scipy 1.x and seqeval 1.2 compute them.

    venv/bin/pip install scipy scikit-learn seqeval
    venv/bin/python tests/golden/make_metrics.py

null: it is not defined (scikit-learn calls R2 of equal numbers 0 or 1; ours is not defined, either).
"""
import json, math, pathlib, warnings
import numpy as np, scipy, scipy.stats, seqeval, sklearn
import sklearn.metrics as sk
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

warnings.simplefilter("ignore")
rng = np.random.default_rng(3)
out = {"versions": {m.__name__: m.__version__ for m in (np, scipy, sklearn)} | {"seqeval": "1.2.2"}}


def value(x):
    x = float(x)
    return x if math.isfinite(x) else None


# ---- labels: one a row; K and above: none of them ----
def labels(truth, answer, K):
    truth, answer = np.array(truth), np.array(answer)
    known = list(range(K))
    seen = sorted((set(truth) | set(answer)) & set(known))
    p, r, f, s = sk.precision_recall_fscore_support(truth, answer, labels=known, zero_division=0)
    case = {"K": K, "truth": truth.tolist(), "answer": answer.tolist(), "precision": p.tolist(), "recall": r.tolist(),
            "f1": f.tolist(), "support": s.tolist(), "accuracy": value(sk.accuracy_score(truth, answer)),
            "matthews": value(sk.matthews_corrcoef(truth, answer))}
    for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        case["macro_" + name] = value(score(truth, answer, labels=seen, average="macro", zero_division=0))
        case["micro_" + name] = value(score(truth, answer, labels=known, average="micro", zero_division=0))
    case["weighted_f1"] = value(sk.f1_score(truth, answer, labels=known, average="weighted", zero_division=0))
    return case


def noisy(n, K, right):
    truth = rng.integers(0, K, n)
    return truth, np.where(rng.random(n) < right, truth, rng.integers(0, K, n))


four = noisy(60, 4, 0.6)
gap = [np.where(x == 2, 1, x) for x in noisy(40, 5, 0.7)]  # no row has or gets label 2
unknown = noisy(50, 4, 0.5)
unknown[1][unknown[1] == 3] = 0  # 3 is none of three labels, and no answer
out["labels"] = [labels(*four, 4), labels(*gap, 5), labels(*unknown, 3), labels(*noisy(30, 2, 0.8), 2),
                 labels([1] * 6, [1] * 6, 3), labels([1] * 6, [1, 1, 0, 1, 0, 1], 3), labels([0, 1, 2, 0], [1] * 4, 3),
                 labels([0], [0], 2), labels([0], [1], 2)]


# ---- labels: several a row ----
def several(truth, answer):
    rows, K = truth.shape
    p, r, f, s = sk.precision_recall_fscore_support(truth, answer, zero_division=0)
    case = {"truth": truth.tolist(), "answer": answer.tolist(), "f1": f.tolist(), "support": s.tolist()}
    for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        seen = (truth.sum(0) + answer.sum(0)) > 0
        case["macro_" + name] = value(score(truth, answer, labels=np.where(seen)[0], average="macro", zero_division=0))
        case["micro_" + name] = value(score(truth, answer, average="micro", zero_division=0))
    case["weighted_f1"] = value(sk.f1_score(truth, answer, average="weighted", zero_division=0))
    return case


truth = (rng.random((30, 5)) < 0.3).astype(int)
answer = np.where(rng.random(truth.shape) < 0.8, truth, 1 - truth)
truth[:, 3] = answer[:, 3] = 0
answer[:, 4] = 0
out["several"] = [several(truth, answer)]


# ---- scores ----
def auc(positive, score):
    return {"positive": [int(x) for x in positive], "score": [float(x) for x in score],
            "auc": value(sk.roc_auc_score(positive, score)) if 0 < sum(positive) < len(positive) else None}


positive = (rng.random(50) < 0.4).astype(int)
out["auc"] = [auc(positive, rng.normal(positive, 1.0)), auc(positive, np.round(rng.normal(positive, 1.0))),
              auc(positive, np.zeros(50)), auc([0, 0, 1], [0.1, 0.2, 0.3]), auc([1, 0], [0.1, 0.2]), auc([1, 1], [0.1, 0.2]),
              auc([0], [0.5])]


# ---- numbers ----
def fit(given, wanted):
    given, wanted = np.array(given, float), np.array(wanted, float)
    two = len(given) > 1
    return {"given": given.tolist(), "wanted": wanted.tolist(), "mse": value(sk.mean_squared_error(wanted, given)),
            "pearson": value(scipy.stats.pearsonr(given, wanted)[0]) if two else None,
            "spearman": value(scipy.stats.spearmanr(given, wanted)[0]) if two else None,
            "r2": value(sk.r2_score(wanted, given)) if two and len(set(wanted)) > 1 else None}


wanted = rng.normal(3.0, 2.0, 40)
out["fit"] = [fit(wanted + rng.normal(0, 1, 40), wanted), fit(np.round(wanted), np.round(wanted + rng.normal(0, 2, 40))),
              fit(-wanted, wanted), fit(wanted, wanted), fit([0.1] * 3, [1, 2, 4]), fit([1, 2, 4], [0.1] * 3),
              fit([0.1] * 3, [0.1] * 3), fit([2.5], [1.5]), fit([1, 2], [2, 1])]


# ---- tags ----
def tags(truth, answer, names):
    want, got = [], []
    for i in range(len(truth)):
        want += [(i, *e) for e in get_entities(truth[i])]
        got += [(i, *e) for e in get_entities(answer[i])]
    types = sorted({e[1] for e in want + got})
    count = {t: [sum(e[1] == t for e in want), sum(e[1] == t for e in got), len({e for e in want if e[1] == t} & set(got))]
             for t in types}
    case = {"labels": names, "truth": truth, "answer": answer, "count": {"" if t == "_" else t: c for t, c in count.items()}}
    for average in ("micro", "macro", "weighted"):
        p, r, f, _ = precision_recall_fscore_support(truth, answer, average=average, zero_division=0)
        case[average] = [value(p), value(r), value(f)]
    return case


def sentences(names, n, right):
    truth = [[names[k] for k in rng.integers(0, len(names), rng.integers(1, 9))] for _ in range(n)]
    return truth, [[t if rng.random() < right else names[rng.integers(0, len(names))] for t in s] for s in truth], names


iob = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
out["tags"] = [tags(*sentences(iob, 20, 0.8)), tags(*sentences(["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B"], 20, 0.8)),
               tags(*sentences(["O", "I-A", "I-B-c"], 12, 0.7)), tags(*sentences(["B", "I", "O"], 12, 0.7)),
               tags([["O", "O"], ["B-PER"]], [["O", "O"], ["O"]], iob), tags([["O"]], [["O"]], iob),
               tags([["B-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-LOC", "B-LOC"]],
                    [["I-PER", "I-PER", "B-LOC", "O", "B-LOC", "B-LOC", "I-LOC"]], iob)]

text = json.dumps(out)
for key in list(out) + ["}, {"]:
    text = text.replace(f'"{key}": ', f'\n"{key}": ') if key != "}, {" else text.replace("}, {", "},\n {")
pathlib.Path(__file__).with_name("metrics.json").write_text(text + "\n")
