"""Conversations as token ids, and which of them the assistant said: chat_rows.json.

    python tests/golden/make_chat_rows.py [SMOLLM2-FOLDER]

transformers 5.24: apply_chat_template(return_assistant_tokens_mask) with the template of
tests/datasets/data/chat, which marks what is generated, on the bytes tokenizer of the tests. SmolLM2's
own template has no marks: its mask is made of the ids alone, from behind "<|im_start|>assistant\n"
up to the next "<|im_end|>", that one included. Rows with several turns train all of them. An answer
that begins with white space is SmolLM2's alone without it: there transformers has one token for the
line end of the prompt and the blank of the answer, which lorac keeps apart.
"""
import json
import pathlib
import sys

import transformers

HERE = pathlib.Path(__file__).parent
CHAT = HERE.parent / "datasets" / "data"


def turns(*texts):
    """u/a/u/a, a system's in front where the first is a tuple."""
    out = []
    for text in texts:
        if isinstance(text, tuple):
            out.append({"role": "system", "content": text[0]})
        else:
            out.append({"role": ("user", "assistant")[sum(m["role"] != "system" for m in out) % 2],
                        "content": text})
    return out


CONVERSATIONS = [
    turns("hi", "Hello! I am Lorac."),
    turns(("Be brief.",), "What is 2 + 2?", "4"),
    turns("Name a colour.", "red", "Another one.", "blue", "And one more, please:", "  green\n"),
    turns(("Sei gentile.",), "Perché è così?", "Perché sì.\n\nDavvero: « è » 🙂", "日本語?", "はい。"),
    turns("assistant\nuser", "user\nassistant"),
    turns("a" * 40, "b"),
]


def with_marks(messages):
    t = transformers.PreTrainedTokenizerFast(tokenizer_file=str(CHAT / "bytes" / "tokenizer.json"),
                                             bos_token="<s>", eos_token="</s>")
    t.chat_template = (CHAT / "chat" / "chat_template.jinja").read_text()
    out = t.apply_chat_template(messages, tokenize=True, return_dict=True,
                                return_assistant_tokens_mask=True)
    return out["input_ids"], out["assistant_masks"]


def by_ids(ids, start, end, header):
    mask, i = [0] * len(ids), 0
    while i < len(ids):
        if ids[i] == start and ids[i + 1:i + 1 + len(header)] == header:
            i += 1 + len(header)
            while ids[i] != end:
                mask[i] = 1
                i += 1
            mask[i] = 1
        i += 1
    return mask


def smollm2(folder, messages):
    for m in messages:
        m["content"] = m["content"].lstrip()
    t = transformers.AutoTokenizer.from_pretrained(folder)
    ids = t.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    header = t.encode("assistant\n", add_special_tokens=False)
    return ids, by_ids(ids, t.convert_tokens_to_ids("<|im_start|>"),
                       t.convert_tokens_to_ids("<|im_end|>"), header)


def main():
    sets = [("bytes", with_marks)]
    if len(sys.argv) > 1:
        sets.append(("smollm2", lambda m: smollm2(sys.argv[1], m)))
    out = []
    for name, encode in sets:
        for messages in CONVERSATIONS:
            messages = [dict(m) for m in messages]
            ids, mask = encode(messages)
            assert len(ids) == len(mask) and sum(mask)
            out.append({"tokenizer": name, "messages": messages, "ids": ids, "mask": mask})
    lines = ",\n".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) for x in out)
    (HERE / "chat_rows.json").write_text("[\n" + lines + "\n]\n")


if __name__ == "__main__":
    main()
