"""Make tests/golden/tokenizer/*.json with Hugging Face tokenizers (tokenizers 0.23).

Each file holds a small tokenizer, trained here on text written for it, and what the reference
makes of a list of texts: ids with special tokens recognised, ids with special tokens as plain
text, ids with the post-processor, and the decoded text with and without special tokens; where the
tokenizer frames pairs, ids and types of each text with the next. characters.json tells which
characters of all BERT's normaliser and pre-tokenizer take away, set apart and cut off.

    python tests/golden/make_tokenizer.py
"""
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).parent / "tokenizer"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

CORPUS = """The miller's daughter carried the flour to the mill, and the mill ground it again.
She'd said that she wouldn't, but they'll see: we've 12 sacks and 345 stones, I'm sure.
La figlia del mugnaio portava la farina al mulino; perché non c'era più pane, andò così.
Der Müller mahlt das Mehl, die Mühle mahlt, und das Mehl wird größer und größer.
def mill(stones):
    for stone in stones:
        if stone > 0:
            return stone * 2
La farine, le moulin, l'été déjà passé; où est le garçon? À côté, bien sûr.
the the the and and that that mill mill mill ground ground flour flour flour again again
"""

TEXTS = [
    "", " ", "  ", "a", "The mill", " The mill", "  The mill ", "the mill\n", "\n", "\n\n\nx", "\t\tx\r\n y",
    "flour and  ground   flour    again", "She'd said: we've, they'LL, I'M, it'S", "it'\u017f",
    "12 123 1234 12345678", "3.14159, -7e+10 50% $9", "x" * 40, "ab " * 20, "mill" * 15,
    "perch\u00e9 perche\u0301 gr\u00f6\u00dfer", "A\u030angstr\u00f6m \u212b \u00c5", "e\u0301\u0327\u0301 \u0344",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1ee\U0001f1f9",
    "\u65e5\u672c\u8a9e\u306e\u6587\u3002\u4e2d\u6587\uff0c\ud55c\uae00",
    "\u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \u05e9\u05dc\u05d5\u05dd",
    "a\x00b\x01c\x1f\x7f\x85d", "\u00a0\u2003\u3000\u2028\u180e|\u200b|\ufeff", "\ufffd\u2581\u2581x \u2581",
    "\ufb01ne \u00bd \u2460 \uff21\uff22", "\u0130stanbul I\u0131 \u03a3\u03c2 \u01c5",
    "<s>", "<s>the mill</s>", "the mill</s> again", "a<s>b <s> c", "<|user|>the mill<|end|>",
    " <|user|> \n the <|end|>  mill", "<|use<|user|>r|>", "<|end|><|end|>", "<tool>x</tool>", "a <tool> b",
    "word wordy sword a word.", "  [pad]  x", "<0x41>", "<unk>", "\U0001f600", "\u00e9", "q\u0301Q",
    "\U0003194a're \U0001fae8", "don't  stop\u2019til; (ok) [x]{y}~`@#^&*_=+\\|/<>?!",
    "    def mill(stones):\n        return stones\n", CORPUS[:300],
]


def train(pre, size, specials, alphabet):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre
    t.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False))
    return json.loads(t.to_str())["model"]


def special(*names):
    return [AddedToken(n, special=True, normalized=False) for n in names]


def gpt2():
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False)
    m = train(pre, 420, [], pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE(m["vocab"], [tuple(x) for x in m["merges"]]))
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.add_tokens([AddedToken("<|end|>", special=True, normalized=True)])
    t.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("word", single_word=True)])
    return t


def llama3():
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    pre = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    m = train(pre, 400, [], pre_tokenizers.ByteLevel.alphabet())
    m["vocab"]["wordy"] = len(m["vocab"])  # reached only through ignore_merges
    t = Tokenizer(models.BPE(m["vocab"], [tuple(x) for x in m["merges"]], ignore_merges=True))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.add_tokens(special("<s>", "</s>", "<|user|>", "<|end|>", "<tool>", "<tool>x"))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[
            ("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))])])
    return t


def sentencepiece_model(split=False, **options):
    m = train(pre_tokenizers.Metaspace(split=split), 320, [], [])
    names = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + list(m["vocab"])
    vocab = {n: i for i, n in enumerate(dict.fromkeys(names))}
    return models.BPE(vocab, [tuple(x) for x in m["merges"]], unk_token="<unk>", fuse_unk=True, **options)


def strip_decoder():
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                              decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def llama2():
    # as in Llama 2 no token has U+2581 behind another character; in mistral() some do
    t = Tokenizer(sentencepiece_model(split=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = strip_decoder()
    t.add_tokens([AddedToken(n, special=True, normalized=True) for n in ("<unk>", "<s>", "</s>")])
    t.add_tokens([AddedToken("<|user|>", special=True, normalized=False, rstrip=True),
                  AddedToken("<|end|>", special=True, normalized=False, lstrip=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def mistral():
    t = Tokenizer(sentencepiece_model(byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = strip_decoder()
    t.add_tokens(special("<unk>", "<s>", "</s>", "<|user|>"))
    return t


def metaspace():
    t = Tokenizer(sentencepiece_model())  # no bytes: unknown characters are <unk>
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s{2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Punctuation("merged_with_previous")])
    t.decoder = decoders.Metaspace()
    t.add_tokens(special("<unk>", "<s>", "</s>"))
    t.add_tokens([AddedToken("[PAD]", normalized=True), AddedToken("<tool>", lstrip=True, rstrip=True)])
    return t


def words():
    t = Tokenizer(sentencepiece_model())
    t.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFD(), normalizers.Lowercase(),
                                          normalizers.Replace(Regex("q*$"), "!")])  # also empty matches
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("(?=u)"), "isolated"),
        pre_tokenizers.Split("mill", "merged_with_next"),
        pre_tokenizers.Split(Regex("[aeiou]+"), "contiguous"), pre_tokenizers.Digits(),
        pre_tokenizers.Split(Regex(r"\w+"), "merged_with_previous", invert=True)])
    t.add_tokens(special("<unk>", "<s>"))
    t.add_tokens([AddedToken("[PAD]", normalized=True), AddedToken("Word", normalized=True)])
    return t


def wordpieces(**options):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=False)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator([CORPUS, CORPUS.lower(), "grosser peut-etre perche deja \u4e2d \u6587 ' n't 's ? , 7"],
                          trainers.WordPieceTrainer(vocab_size=300, show_progress=False, special_tokens=[
                              "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
                              continuing_subword_prefix=options.get("continuing_subword_prefix", "##")))
    return Tokenizer(models.WordPiece(json.loads(t.to_str())["model"]["vocab"], unk_token="[UNK]", **options))


def bert():
    t = wordpieces()
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.add_tokens(special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", t.token_to_id("[CLS]")), ("[SEP]", t.token_to_id("[SEP]"))])
    return t


def bert_cased():
    t = wordpieces(continuing_subword_prefix="@@", max_input_chars_per_word=12)
    t.normalizer = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, lowercase=False)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="@@", cleanup=False)
    t.add_tokens(special("[PAD]", "[UNK]", "[CLS]", "[SEP]") + [AddedToken("[MASK]", special=True, lstrip=True)])
    t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    return t


def roberta():
    t = gpt2()
    t.add_tokens(special("<s>", "</s>") + [AddedToken("<mask>", special=True, lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    return t


def ranges(chars):
    out = []
    for c in chars:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def characters():
    """Ranges of code points: [[first, last], ...]."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    norm = lambda **on: normalizers.BertNormalizer(**{**dict(
        clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False), **on}).normalize_str
    clean, apart, accents = norm(clean_text=True), norm(handle_chinese_chars=True), norm(strip_accents=True)
    cut = lambda c: [s for s, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str("a%sa" % chr(c))]
    return {"removed": ranges(c for c in points if clean(chr(c)) == ""),
            "space": ranges(c for c in points if clean(chr(c)) == " "),
            "ideographs": ranges(c for c in points if apart(chr(c)) == " %s " % chr(c)),
            "nonspacing": ranges(c for c in points if accents(chr(c)) == ""),
            "punctuation": ranges(c for c in points if cut(c) == ["a", chr(c), "a"])}


def ids(t, text, plain=False, **options):
    t.encode_special_tokens = plain
    return t.encode(text, **options).ids


(OUT / "characters.json").write_text(json.dumps(characters(), separators=(",", ":")) + "\n")
for make in (gpt2, llama3, llama2, mistral, metaspace, words, bert, bert_cased, roberta):
    t = Tokenizer.from_str(make().to_str())
    specials = {i for i, a in t.get_added_tokens_decoder().items() if a.special}
    vectors = []
    for text, other in zip(TEXTS, TEXTS[1:] + TEXTS[:1]):
        got = ids(t, text, add_special_tokens=False)
        vectors.append({
            "text": text, "ids": got,
            "plain": ids(t, text, plain=True, add_special_tokens=False),
            "whole": ids(t, text, add_special_tokens=True),
            "decoded": t.decode(got, skip_special_tokens=False),
            # not by skip_special_tokens: 0.23 does not skip special tokens that are normalised
            "skipped": t.decode([i for i in got if i not in specials], skip_special_tokens=False)})
        if make in (bert, bert_cased, roberta):
            t.encode_special_tokens = False
            pair = t.encode(text, other)
            vectors[-1].update(pair=pair.ids, types=pair.type_ids)
    body = ",\n".join(json.dumps(v, separators=(",", ":")) for v in vectors)
    (OUT / (make.__name__ + ".json")).write_text(
        '{"tokenizer":' + json.dumps(json.loads(t.to_str()), separators=(",", ":"), ensure_ascii=True)
        + ',\n"vectors":[\n' + body + "]}\n")
