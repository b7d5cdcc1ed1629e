#!/usr/bin/env python3
"""ngram.py - how well does a byte n-gram model predict a text? The baseline for bits per byte.

    python tools/bench/ngram.py --train TEXT... --test TEXT... [--order 5] [--separator '<|endoftext|>\\n']

Prints, for each test file and for all of them, bits and perplexity per byte under two smoothings, with C the count
of an n-gram, h its context, w its last byte and h' the context without its first byte:

    Witten-Bell   P(w|h) = (C(hw) + T(h) P(w|h')) / (C(h) + T(h))     T(h): distinct bytes seen behind h
                  (Witten and Bell 1991, method C; interpolated)
    Kneser-Ney    P(w|h) = (C(hw) - D(C(hw)) + L(h) P(w|h')) / C(h)   L(h): all that was taken away behind h
                  (modified, interpolated: Chen and Goodman 1998, section 3; discounts D for counts of 1, 2, 3 and
                  more from the counts of counts; lower orders count the distinct bytes before an n-gram)

and P(w) = 1/256 under both at the end. A document starts with no context but its beginning, all its bytes and its
end are predicted: the end is the byte 0xFF, which no UTF-8 holds. Only the standard library; 5 MB take seconds.
"""
import argparse
import math
import sys
from collections import Counter, defaultdict

EDGE = b"\xff"  # before a document and behind it
BYTES = 256


def documents(path, separator):
    """Bodies between the separators, each between edges; blank ones are left out."""
    with open(path, "rb") as f:
        text = f.read()
    if EDGE in text:
        sys.exit(f"{path}: byte 0xFF at {text.index(EDGE)}: not UTF-8")
    bodies = [body for body in text.split(separator.encode()) if body.strip()]
    if not bodies:
        sys.exit(f"{path}: holds no document")
    return bodies


def count(bodies, order):
    """counts[k] of k-grams that end in a byte that is predicted, k from 1."""
    counts = [Counter() for _ in range(order + 1)]
    for body in bodies:
        text = EDGE * (order - 1) + body + EDGE
        for k in range(1, order + 1):
            counts[k].update(text[i - k:i] for i in range(order, len(text) + 1))
    return counts


class WittenBell:
    def __init__(self, counts):
        self.counts = counts
        self.behind = [None]  # of each context: C(h), T(h)
        for grams in counts[1:]:
            behind = defaultdict(lambda: [0, 0])
            for gram, n in grams.items():
                at = behind[gram[:-1]]
                at[0] += n
                at[1] += 1
            self.behind.append(dict(behind))

    def probability(self, gram):
        p = 1 / BYTES
        for k in range(1, len(gram) + 1):
            at = self.behind[k].get(gram[-k:-1])
            if at is None:
                break
            p = (self.counts[k].get(gram[-k:], 0) + at[1] * p) / (at[0] + at[1])
        return p


class KneserNey:
    def __init__(self, counts):
        order = len(counts) - 1
        self.counts = [None] * order + [counts[order]]
        for k in range(1, order):  # nothing stands before an edge: such n-grams keep their counts
            before = Counter(gram[1:] for gram in counts[k + 1])
            if k > 1:
                before.update({gram: n - before[gram] for gram, n in counts[k].items() if gram[:1] == EDGE})
            self.counts[k] = before
        self.discounts, self.behind = [None], [None]  # of each context: C(h), L(h)
        for grams in self.counts[1:]:
            d = self.discounts_of(grams)
            behind = defaultdict(lambda: [0, 0.0])
            for gram, n in grams.items():
                at = behind[gram[:-1]]
                at[0] += n
                at[1] += d[min(n, 3)]
            self.discounts.append(d)
            self.behind.append(dict(behind))

    @staticmethod
    def discounts_of(grams):
        of = Counter(min(n, 5) for n in grams.values())
        n = [0] + [of[i] for i in range(1, 5)]
        if not all(n[1:4]):  # too few n-grams to estimate by
            return [0.0, 0.5, 0.5, 0.5]
        y = n[1] / (n[1] + 2 * n[2])
        d = [0.0] + [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        return [min(max(d[i], 0.0), i) for i in range(4)]

    def probability(self, gram):
        p = 1 / BYTES
        for k in range(1, len(gram) + 1):
            at = self.behind[k].get(gram[-k:-1])
            if at is None:
                break
            n = self.counts[k].get(gram[-k:], 0)
            p = (n - self.discounts[k][min(n, 3)] + at[1] * p) / at[0]
        return p


def check(model, contexts):
    """Behind any context the probabilities of all bytes sum to 1."""
    for h in contexts:
        total = math.fsum(model.probability(h + bytes([w])) for w in range(BYTES))
        assert abs(total - 1) < 1e-9, (h, total)


def bits(model, bodies, order):
    total = 0.0
    for body in bodies:
        text = EDGE * (order - 1) + body + EDGE
        total -= math.fsum(math.log2(model.probability(text[i - order:i])) for i in range(order, len(text) + 1))
    return total


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--train", nargs="+", required=True, metavar="TEXT")
    a.add_argument("--test", nargs="+", required=True, metavar="TEXT")
    a.add_argument("--order", type=int, default=5)
    a.add_argument("--separator", default="<|endoftext|>\n")
    a = a.parse_args()
    if not 1 <= a.order <= 16:
        sys.exit(f"--order must be from 1 to 16, found {a.order}")
    train = [body for path in a.train for body in documents(path, a.separator)]
    counts = count(train, a.order)
    models = {"Witten-Bell": WittenBell(counts), "Kneser-Ney": KneserNey(counts)}
    for model in models.values():
        check(model, [EDGE * (a.order - 1)] + [body[:a.order - 1] for body in train[:20]])
    print(f"byte {a.order}-grams of {len(train)} documents, {sum(map(len, train))} bytes; "
          f"{len(counts[a.order])} distinct")
    columns = "".join(f"{name + ' bits':>18}{'perplexity':>12}" for name in models)
    print(f"{'test file':<40}{'documents':>10}{'bytes':>10}{columns}")
    sums = Counter()
    for path in a.test:
        bodies = documents(path, a.separator)
        row = {"documents": len(bodies), "bytes": sum(map(len, bodies)),
               **{name: bits(model, bodies, a.order) for name, model in models.items()}}
        sums.update(row)
        show(path, row, models)
    show("all", sums, models)
    best = min(models, key=lambda name: sums[name])
    print(f"the better: {best}, {sums[best] / sums['bytes']:.4f} bits, "
          f"perplexity {2 ** (sums[best] / sums['bytes']):.4f} per byte")


def show(name, row, models):
    line = f"{name[-38:]:<40}{row['documents']:>10}{row['bytes']:>10}"
    for model in models:
        per_byte = row[model] / row["bytes"]
        line += f"{per_byte:>18.4f}{2 ** per_byte:>12.4f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
