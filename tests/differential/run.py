"""Random runs, each done again another way: what must come to the same is compared.

    python3 tests/differential/run.py --lorac build/release/lorac --seeds 0-199 [--only cache,resume] [--seconds 600]
            [--model DIR ...] [--limit 120]

A seed makes a recipe and its tables (recipes.py): model, adapter, objective, template, batches, optimiser, with what
users' tables hold, such as quotes, line ends in cells, empty ones, texts that begin alike, rare labels. It is trained.
Then it is done again in other ways (ways.py): with frozen layers kept or not, stopped and resumed, by other threads,
processes or kernels, evaluated in other batches, predicted row by row, merged. Where lorac promises the same bytes they
must be the same; elsewhere numbers may differ as rounding explains (compare.py). So are wrong numbers found that no
test expects, because nobody thought of those two features together. The models are tiny, with random weights, one of
each architecture, made anew each time; --model adds a checkpoint, which is drawn as often as each of them.

A finding is printed with the commands that show it, as lines for a shell; its folder is kept below TMPDIR. Once more:

    python3 tests/differential/run.py --lorac build/release/lorac --seeds 1234 --only cache

with the same --model, if any. All else is removed. The exit status is 1 where something differed. The end tells on how
many cases each way was tried, and why lorac refused a recipe or a case was none for a way: what these lines count most
is tried least. A way that --only names is tried on every case, otherwise on a share of them.

A comparison is added as one function and one row in ways.py; a key, or an oddity of tables, as a draw in recipes.py. A
new draw changes what seeds mean: a finding is quoted by its commands and its recipe. Seeds have no end, so neither
ctest nor CI runs this: run it after changes to what computes, batches, keeps or resumes. Needs Python 3.8 alone.
"""

import argparse
import collections
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the tree
import compare
import recipes
import ways


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def words_of_ways(text):
    words = text.split(",")
    for word in words:
        if word not in ways.WAYS:
            raise argparse.ArgumentTypeError(f"{word}: expected some of {', '.join(ways.WAYS)}")
    return words


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--lorac", required=True, help="the program")
    parser.add_argument("--seeds", type=seeds, default="0-199", help="FIRST-LAST (default: 0-199)")
    parser.add_argument("--only", type=words_of_ways, help=f"some of {','.join(ways.WAYS)}")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so long")
    parser.add_argument("--model", action="append", default=[], help="a further checkpoint's folder (may be repeated)")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a command may take (default: 120)")
    return parser.parse_args()


def begin(text):
    """What a reason begins with, without what differs from case to case."""
    words = [word for word in text.split() if not any(c in word for c in "/0123456789'")]
    return " ".join(words[:9])


class Report:
    def __init__(self):
        self.tried, self.differed, self.untried = (collections.Counter() for _ in range(3))

    def finding(self, case, word, folder, commands, lines):
        self.differed[word] += 1
        _, _, done, promise = ways.WAYS.get(word, (None, 1, "the recipe", "a run or a reason"))
        print(f"\nseed {case.seed} ({case.name}): {word}: {done}; promised: {promise}; found:")
        more = [f"... {len(lines)} lines"] if len(lines) > 6 else []
        print("\n".join(f"  {line}" for line in [*lines[:6], *more]))
        print("\n".join(f"    {line}" for line in [f"cd {folder} && rm -rf */", *commands]), flush=True)

    def end(self, cases, seconds, words):
        print(f"\n{cases} cases in {seconds:.0f} s\n\n{'way':12} {'tried':>6} {'differed':>9}  promise")
        for word in words:
            _, _, done, promise = ways.WAYS[word]
            print(f"{word:12} {self.tried[word]:6} {self.differed[word]:9}  {done}: {promise}")
        for (word, reason), count in sorted(self.untried.items(), key=lambda item: -item[1])[:30]:
            print(f"{count:6} not tried: {word}: {reason}")


def one(options, models, seed, folder, report):
    """A case; whether nothing differed."""
    case = recipes.draw_case(seed, models)
    case.write(folder)
    run = compare.Run(options.lorac, case, folder, options.limit)
    try:
        run.train("run")
    except (compare.Refused, compare.Untried) as reason:
        report.untried["recipe", begin(str(reason))] += 1
        return True
    except compare.Failed as failed:
        report.finding(case, "train", folder, run.commands, [str(failed)])
        return False
    base, good = run.commands[0], True
    for word, (way, share, _, _) in ways.WAYS.items():
        run.draw = recipes.Draw(f"{seed} {word}")
        if word not in options.only if options.only else not run.draw.maybe(share):
            continue
        run.commands, lines = [], []
        try:
            lines.extend(way(run))
        except compare.Untried as reason:
            if not lines:
                report.untried[word, begin(str(reason))] += 1
                continue
        except compare.Failed as failed:
            lines.append(str(failed))
        except (OSError, ValueError, LookupError, subprocess.TimeoutExpired) as unread:
            lines.append(f"what lorac wrote is not as expected: {unread!r}")
        report.tried[word] += 1
        if lines:
            report.finding(case, word, folder, [base, *run.commands], lines)
            good = False
    return good


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.lorac = os.path.abspath(options.lorac)
    start, report, cases, good = time.monotonic(), Report(), 0, True
    folder = tempfile.mkdtemp(prefix="lorac-differential-")
    try:
        models = recipes.make_models(options.lorac, os.path.join(folder, "models"))
        models += [recipes.Model.read(path) for path in options.model]
        for seed in options.seeds:
            if time.monotonic() - start > options.seconds:
                break
            cases += 1
            where = os.path.join(folder, str(seed))
            if one(options, models, seed, where, report):
                shutil.rmtree(where)
            else:
                good = False
    except KeyboardInterrupt:
        print("stopped")
    finally:
        report.end(cases, time.monotonic() - start, options.only or ways.WAYS)
        if good:
            shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
