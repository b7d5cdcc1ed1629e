"""Make tests/golden/tokenizer_folder.json: what AutoTokenizer of transformers 5.24 makes of folders.

Each case is the files of a folder, and ids of a few texts with what the tokenizer puts around them and without;
"error" where transformers refuses the folder. Vocabulary and merges are trained on make_tokenizer.py's text.

    python tests/golden/make_tokenizer_folder.py
"""
import json
import os
import pathlib
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer
from transformers.utils import logging

from make_tokenizer import train, wordpieces

here = pathlib.Path(__file__).parent
END, PAD = "<|endoftext|>", "<|padding|>"
TEXTS = ["the mill", "Mill <mask>the[MASK] \u4e2d\u6587\u00e9", " It'S 1234 sacks,\n\n  and flour", "perche\u0301 gr\u00f6\u00dfer", "a" + END + " b" + PAD, ""]


def vocabularies():
    """Without the special tokens, with them in front, as GPT-NeoX has them, and RoBERTa's; WordPiece's lines."""
    m = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 280, [], pre_tokenizers.ByteLevel.alphabet())
    merges = "#version: 0.2\n" + "".join(f"{' '.join(x) if isinstance(x, list) else x}\n" for x in m["merges"])
    first = {END: 0, PAD: 1, **{token: id + 2 for token, id in m["vocab"].items()}}
    names = ["<s>", "<pad>", "</s>", "<unk>", *m["vocab"], "<mask>"]
    lines = json.loads(wordpieces().to_str())["model"]["vocab"]
    return {"plain": m["vocab"], "first": first, "roberta": {token: id for id, token in enumerate(names)},
            "lines": "".join(f"{token}\n" for token in sorted(lines, key=lines.get))}, merges


def template(*names):
    """A tokenizer.json of three tokens whose post-processor puts <s> in front, </s> behind, both or nothing."""
    ids = {"<s>": 1, "</s>": 2}
    single = [{"SpecialToken": {"id": n, "type_id": 0}} for n in names]
    single.insert(names[0] == "<s>" if names else 0, {"Sequence": {"id": "A", "type_id": 0}})
    post = {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {n: {"id": n, "ids": [ids[n]], "tokens": [n]} for n in names}}
    added = [{"id": i, "content": n, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for n, i in ids.items()]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": post if names else None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {"a": 0, "<s>": 1, "</s>": 2}, "merges": []}}


def cases():
    """name: (vocabulary or None, other files)."""
    out = {}
    for type in ("gpt2", "qwen2", "qwen3", "gpt_neox", "llama"):
        for vocab in ("plain", "first"):
            out[f"{type}, {vocab}"] = vocab, {"config.json": {"model_type": type}}
    neox, gpt2 = {"model_type": "gpt_neox"}, {"model_type": "gpt2"}
    out["an empty tokenizer_config"] = "first", {"config.json": gpt2, "tokenizer_config.json": {}}
    out["bos"] = "first", {"config.json": gpt2, "tokenizer_config.json": {"add_bos_token": True}}
    out["bos and eos"] = "first", {"config.json": neox,
                                   "tokenizer_config.json": {"add_bos_token": True, "add_eos_token": True}}
    out["another eos"] = "first", {"config.json": gpt2,
                                   "tokenizer_config.json": {"eos_token": "</s>", "add_eos_token": True}}
    out["eos of the map"] = "plain", {"config.json": gpt2, "special_tokens_map.json": {"eos_token": "</s>"},
                                      "tokenizer_config.json": {"add_bos_token": True, "add_eos_token": True}}
    out["no names"] = "plain", {"config.json": gpt2, "tokenizer_config.json": {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}}
    out["class of config.json"] = "plain", {"config.json": {"model_type": "llama", "tokenizer_class": "GPT2Tokenizer"}}
    for type in ("qwen2", "qwen3", "gpt2", "gpt_neox"):
        out[f"{type}, but GPT2TokenizerFast"] = "plain", {
            "config.json": {"model_type": type}, "tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast"}}
    out["no config"] = "plain", {}
    out["an unknown class"] = "plain", {"config.json": gpt2,
                                        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    out["old added tokens"] = "plain", {"config.json": gpt2, "added_tokens.json": {"<tool>": 280}}
    roberta, bert = {"model_type": "roberta"}, {"model_type": "bert"}
    out["roberta"] = "roberta", {"config.json": roberta}
    out["roberta, another mask"] = "roberta", {"config.json": roberta, "tokenizer_config.json": {"mask_token": {
        "__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False,
        "normalized": False, "special": True}}}
    out["bert"] = "lines", {"config.json": bert}
    out["distilbert"] = "lines", {"config.json": {"model_type": "distilbert"}}
    out["a class of bert"] = "lines", {"config.json": bert, "tokenizer_config.json": {
        "tokenizer_class": "DistilBertTokenizer", "do_lower_case": False, "cls_token": "[MASK]"}}
    out["bert, accents and ideographs"] = "lines", {"config.json": bert, "tokenizer_config.json": {
        "strip_accents": False, "tokenize_chinese_chars": False, "tokenizer_class": "BertTokenizer"}}
    out["bert, all null"] = "lines", {"config.json": bert, "tokenizer_config.json": {"strip_accents": None}}
    whole = json.loads((here / "tokenizer" / "bert.json").read_text())["tokenizer"]
    for kind, key in (("BertTokenizer", "do_lower_case"), ("BertTokenizer", "strip_accents"), (None, "do_lower_case"),
                      ("DistilBertTokenizerFast", "tokenize_chinese_chars"),
                      ("PreTrainedTokenizerFast", "do_lower_case")):
        config = ({"tokenizer_class": kind} if kind else {}) | {key: False, "pad_token": "[PAD]"}
        out[f"tokenizer.json of bert, {kind}, {key}"] = None, {
            "config.json": bert, "tokenizer.json": whole, "tokenizer_config.json": config}
    for names in ((), ("<s>",), ("</s>",)):
        for bos in (None, False, True):
            for eos in (None, True):
                config = {"tokenizer_class": "TokenizersBackend", "bos_token": "<s>", "eos_token": "</s>"}
                config |= {} if bos is None else {"add_bos_token": bos}
                config |= {} if eos is None else {"add_eos_token": eos}
                out[f"tokenizer.json puts {''.join(names) or 'nothing'}, bos {bos}, eos {eos}"] = None, {
                    "tokenizer.json": template(*names), "tokenizer_config.json": config}
    return out


def ask(folder, texts):
    try:
        t = AutoTokenizer.from_pretrained(folder)
    except ValueError:
        return {"error": True}
    rows = [{"text": text, "alone": t(text, add_special_tokens=False).input_ids, "whole": t(text).input_ids}
            for text in texts]
    return {"size": len(t), "bos": t.bos_token_id, "eos": t.eos_token_id, "pad": t.pad_token_id, "rows": rows}


def main():
    logging.set_verbosity_error()
    vocabs, merges = vocabularies()
    out = []
    for name, (vocab, files) in cases().items():
        with tempfile.TemporaryDirectory() as dir:
            folder = pathlib.Path(dir)
            for file, content in files.items():
                (folder / file).write_text(json.dumps(content))
            if vocab == "lines":
                (folder / "vocab.txt").write_text(vocabs[vocab], encoding="utf-8")
            elif vocab:
                (folder / "vocab.json").write_text(json.dumps(vocabs[vocab], ensure_ascii=False), encoding="utf-8")
                (folder / "merges.txt").write_text(merges, encoding="utf-8")
            answer = ask(folder, TEXTS if vocab or name.startswith("tokenizer.json of bert") else ["a", "aa"])
        out.append({"name": name, "vocab": vocab, "files": files, **answer})
    parts = [f'"merges": {json.dumps(merges)}'] + [f'"{n}": {json.dumps(v)}' for n, v in vocabs.items()]
    rows = ",\n".join(f"  {json.dumps(case)}" for case in out)
    path = here / "tokenizer_folder.json"
    path.write_text("{" + ",\n".join(parts) + ',\n"cases": [\n' + rows + "\n]}\n")


if __name__ == "__main__":
    main()
