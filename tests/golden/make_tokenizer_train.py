"""Make tests/golden/tokenizer_train/expected.json with Hugging Face tokenizers (tokenizers 0.23).

For each case what BpeTrainer learns from mill.txt (written for it), cut into documents at its special tokens
and its separator, and the ids of a text that it has not seen.

    python tests/golden/make_tokenizer_train.py [DIR]

With DIR, which holds promessi-sposi/ and grimm/, it also prints the hash of the merges of that much text.
"""
import hashlib
import json
import pathlib
import re
import sys

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).parent / "tokenizer_train"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CASES = [
    {"specials": ["<|endoftext|>"], "separator": None, "pattern": None, "vocab_size": 512, "min_frequency": 2},
    {"specials": ["<s>", "<|endoftext|>"], "separator": "\n\n", "pattern": LLAMA3, "vocab_size": 640,
     "min_frequency": 1},
    {"specials": [], "separator": "<|endoftext|>", "pattern": r"[^\n]*\n", "vocab_size": 400, "min_frequency": 3},
]
UNSEEN = ("The baker's daughter won't count sacks; la figlia del fornaio non conterà i sacchi.\n\n\t27 turns, "
          "1.250 giri — aaaaaaa ====== \U0001f408\U0001f35e\r\n  end")



def train(case, texts):
    cuts = case["specials"] + [s for s in [case["separator"]] if s]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not case["pattern"])
    if case["pattern"]:
        split = pre_tokenizers.Split(Regex(case["pattern"]), "isolated")
        t.pre_tokenizer = pre_tokenizers.Sequence([split, t.pre_tokenizer])
    documents = [d for text in texts for d in re.split("|".join(map(re.escape, cuts)), text)]
    t.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=case["vocab_size"], min_frequency=case["min_frequency"], special_tokens=case["specials"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t, [" ".join(m) for m in json.loads(t.to_str())["model"]["merges"]]


lines = []
for case in CASES:
    t, merges = train(case, [(OUT / "mill.txt").read_bytes().decode()])
    lines.append(json.dumps({**case, "size": t.get_vocab_size(), "merges": merges, "unseen": UNSEEN,
                             "ids": t.encode(UNSEEN, add_special_tokens=False).ids}, ensure_ascii=True))
    print(t.get_vocab_size(), "entries,", len(merges), "merges")
(OUT / "expected.json").write_text("[" + ",\n".join(lines) + "]\n")

if len(sys.argv) > 1:
    files = ["promessi-sposi/promessi_sposi.txt", "grimm/GrimmsFairyTales.txt"]
    texts = [(pathlib.Path(sys.argv[1]) / f).read_bytes().decode() for f in files]
    t, merges = train({**CASES[0], "vocab_size": 4096}, texts)
    print(len(merges), "merges:", hashlib.sha256("".join(m + "\n" for m in merges).encode()).hexdigest())
