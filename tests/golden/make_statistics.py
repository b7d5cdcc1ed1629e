#!/usr/bin/env python3
"""Writes statistics.json: intervals and tests as scipy 1.x, statsmodels 0.14 and scikit-learn 1.x compute them.

    venv/bin/pip install scipy statsmodels scikit-learn
    venv/bin/python tests/golden/make_statistics.py
"""
import json, pathlib
import numpy as np, scipy, scipy.stats, sklearn, statsmodels
import statsmodels.api as sm
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(1)
out = {"versions": {m.__name__: m.__version__ for m in (np, scipy, sklearn, statsmodels)}}

out["wilson"] = [dict(zip(("right", "n", "low", "high"), (k, n, *map(float, proportion_confint(k, n, 0.05, "wilson")))))
                 for k, n in ((0, 1), (1, 1), (0, 20), (20, 20), (3, 7), (88, 100), (277, 307), (1821, 1821), (5, 100000))]

out["mcnemar"] = [{"b": b, "c": c, "p": float(mcnemar([[0, b], [c, 0]], exact=b + c <= 1000).pvalue)}
                  for b, c in ((0, 0), (0, 1), (5, 5), (0, 6), (1, 9), (12, 3), (40, 71), (480, 520), (430, 570), (500, 501),
                               (900, 1000), (6000, 5000))]

n = 40
tokens = rng.integers(1, 9, n)
a, b = rng.gamma(2.0, 0.5, n), rng.gamma(2.0, 0.55, n)
right = (rng.random(n) < 0.7).astype(float), (rng.random(n) < 0.5).astype(float)


def plain(x):
    return [float(v) for v in scipy.stats.norm.interval(0.95, np.mean(x), scipy.stats.sem(x))]


def clustered(x, w):  # each row is a cluster of its tokens
    rows = np.repeat(np.arange(len(x)), w)
    fit = sm.OLS(np.repeat(x, w), np.ones(len(rows))).fit(cov_type="cluster", cov_kwds={"groups": rows})
    return [float(v) for v in fit.conf_int(0.05)[0]]


out["mean"] = {"value": a.tolist(), "other": b.tolist(), "tokens": tokens.tolist(), "plain": plain(a),
               "clustered": clustered(a, tokens), "difference": float(np.mean(a - b)),
               "variance": float(scipy.stats.sem(a - b) ** 2), "deviation": float(np.std(a, ddof=1)),
               "p": float(2 * scipy.stats.norm.sf(abs(np.mean(a - b)) / scipy.stats.sem(a - b)))}

n, K = 120, 4
truth = rng.integers(0, K, n)
answer = np.where(rng.random(n) < 0.7, truth, rng.integers(0, K, n))
answer[answer == 3] = np.where(rng.random((answer == 3).sum()) < 0.5, 3, 0)


def f1(t, p):
    return f1_score(t, p, average="macro", zero_division=0)


low, high = scipy.stats.bootstrap((truth, answer), f1, paired=True, vectorized=False, method="percentile",
                                  n_resamples=20000, random_state=2).confidence_interval
out["macro_f1"] = {"truth": truth.tolist(), "answer": answer.tolist(), "f1": float(f1(truth, answer)),
                   "low": float(low), "high": float(high)}

path = pathlib.Path(__file__).with_name("statistics.json")
path.write_text(json.dumps(out, indent=1).replace("\n   ", " ").replace("\n  ]", "]").replace("\n  }", "}") + "\n")
