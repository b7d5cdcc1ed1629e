/*
 * impl.h - what the files of the tokenizer share; nobody else includes it.
 *
 *   texts --join, check UTF-8--> marked bytes
 *         --added.c: added tokens that are not normalised--> stretches
 *         --norm.c: normalisers--> --added.c: the normalised added tokens--> stretches
 *         --pre.c: pre-tokenizers--> pieces --bpe.c, wordpiece.c--> ids   (encode.c runs this)
 *   ids   --decode.c: token texts, decoders--> text
 *
 * The reference is huggingface/tokenizers, tokenizers/src; each file names the module it follows.
 */
#ifndef LORAC_BASE_TOKENIZER_IMPL_H
#define LORAC_BASE_TOKENIZER_IMPL_H

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/tokenizer/tokenizer.h"

enum {
    TOK_MAX_VOCAB = 1 << 20, // entries
    TOK_MAX_ID = 1 << 21,    // ids are below
    TOK_MAX_TOKEN = 4096,    // bytes of one token
    TOK_MAX_JSON = 64 << 20, // bytes of one file
    TOK_MAX_PARTS = 64,      // normalisers, pre-tokenizers, decoders: each
    TOK_MAX_DEPTH = 8,       // of nested Sequences
    TOK_MAX_TEXT = 1 << 30,  // bytes of one call's text, also after each step
    TOK_KNOWN = 1 << 16,     // pieces that an encoder remembers,
    TOK_KNOWN_BYTES = 64,    // each no longer than this
};

/* What `given` bytes of text may become in one call's steps: a hostile file could double them at
 * each. */
size_t lorac_growth_limit(size_t given);

/* ---- text.c: UTF-8 and character classes ---- */

/* Length of the character at `s` (n bytes left), its code point in `*cp`; 0: no valid UTF-8. */
size_t lorac_utf8_next(const char *s, size_t n, uint32_t *cp);
size_t lorac_utf8_put(char out[4], uint32_t cp);
/* The offset of the first byte that is no UTF-8; `n` where all is. */
size_t lorac_utf8_check(const char *s, size_t n);
/* Append `s`, each maximal ill-formed part as U+FFFD. Returns the bytes of output that stand for a
 * character which more bytes could still complete (0 or 3). */
size_t lorac_utf8_lossy(struct lorac_buf *out, const char *s, size_t n);
/* norm.c: s[*begin,*end), which is UTF-8, without the white space on its left, on its right. */
void lorac_strip(size_t *begin, size_t *end, const char *s, bool left, bool right);
bool lorac_char_is_space(uint32_t cp);      // White_Space
bool lorac_char_is_word(uint32_t cp);       // \w
bool lorac_char_is_number(uint32_t cp);     // general category N
bool lorac_char_is_punct(uint32_t cp);      // ASCII punctuation or general category P; this and the
                                            // next two as Unicode 8 has them, as in the reference
bool lorac_char_is_nonspacing(uint32_t cp); // general category Mn
bool lorac_char_is_other(uint32_t cp);      // Cc, Cf and Co

/* ---- unicode.c ---- */

/* What belongs into a bracket expression beside \p{name}: newer characters, see there. "w": of \w.
 */
const char *lorac_class_more(const char *name, size_t n);
/* Was it assigned as P, Mn or Cf, or moved there, after Unicode 8? Of other characters it may say
 * either. */
bool lorac_char_is_recent(uint32_t cp);

/* ---- regex.c: patterns of the file, in Oniguruma's Ruby syntax, run by PCRE2 ---- */

struct lorac_pattern {
    char *literal; // owned; or NULL: `code` is the pattern
    size_t n;
    void *code; // pcre2_code
};
/* What one thread needs to match; zeroed = empty. */
struct lorac_matcher {
    void *data, *context; // pcre2_match_data, pcre2_match_context
};
LORAC_MUST_CHECK enum lorac_status lorac_pattern_regex(struct lorac_pattern *p, const char *regex,
                                                       const struct lorac_json *at,
                                                       struct lorac_err *err);
void lorac_pattern_release(struct lorac_pattern *p);
void lorac_matcher_release(struct lorac_matcher *m);
/* Where a search stands. Zeroed = at the beginning. */
struct lorac_cursor {
    size_t from; // the end of the last match
    bool any;    // there was one
};
/* The next match in s[0,n): [*begin,*end); *begin = n + 1 where there is none. `s` must be UTF-8.
 */
LORAC_MUST_CHECK enum lorac_status lorac_pattern_next(size_t *begin, size_t *end,
                                                      struct lorac_cursor *at,
                                                      const struct lorac_pattern *p,
                                                      struct lorac_matcher *m, const char *s,
                                                      size_t n, struct lorac_err *err);

/* ---- vocab.c: two hash tables ---- */

/* Texts and ids, one to one. Zeroed = empty. */
struct lorac_vocab {
    char *arena;               // token texts, each NUL-terminated
    uint32_t *at;              // (cap_ids) offset of the id's text + 1; 0: unused id
    uint32_t *length;          // (cap_ids) bytes
    size_t size, count;        // ids are below size; count of them are used
    size_t used, cap, cap_ids; // bytes of the arena; room for ids
    int32_t *slots;            // (mask + 1) ids, -1 empty
    size_t mask;
};
/* Room for `n` more tokens of together `bytes` bytes, ids below n_ids. */
LORAC_MUST_CHECK enum lorac_status lorac_vocab_reserve(struct lorac_vocab *v, size_t n,
                                                       size_t n_ids, size_t bytes,
                                                       struct lorac_err *err);
/* Into the room; the caller checked that neither the text nor the id is known. */
void lorac_vocab_put(struct lorac_vocab *v, int32_t id, const char *s, size_t n);
const char *lorac_vocab_text(const struct lorac_vocab *v, int32_t id, size_t *n); // NULL: unused
int32_t lorac_vocab_find(const struct lorac_vocab *v, const char *s, size_t n);   // -1: none
void lorac_vocab_release(struct lorac_vocab *v);

struct lorac_merge {
    int32_t a, b; // the pair; a = -1: empty slot
    uint32_t rank;
    int32_t id; // what the pair becomes
};
struct lorac_merges {
    struct lorac_merge *slots;
    size_t mask;
};
LORAC_MUST_CHECK enum lorac_status lorac_merges_init(struct lorac_merges *m, size_t n,
                                                     struct lorac_err *err);
bool lorac_merges_put(struct lorac_merges *m, struct lorac_merge merge); // false: pair is known
const struct lorac_merge *lorac_merges_find(const struct lorac_merges *m, int32_t a, int32_t b);

/* ---- the parts that the file lists ---- */

/* PRETOKENIZE of GPT-2's encoder.py: what a ByteLevel with use_regex splits with. */
extern const char lorac_gpt2_pattern[];

enum norm_kind {
    NORM_PREPEND,
    NORM_REPLACE,
    NORM_NFC,
    NORM_NFD,
    NORM_NFKC,
    NORM_NFKD,
    NORM_LOWERCASE,
    NORM_STRIP,
    NORM_CLEAN,      // BertNormalizer's steps: control characters go, white space becomes ' ',
    NORM_SPACE_CJK,  // a space on both sides of each ideograph,
    NORM_NONSPACING, // marks that NFD has split off go
};
struct lorac_norm {
    enum norm_kind kind;
    struct lorac_pattern pattern; // Replace
    char *text;                   // Prepend, Replace: what is put; owned
    size_t n;
    bool left, right; // Strip
};

enum pre_kind {
    PRE_BYTE_LEVEL,
    PRE_SPLIT,
    PRE_METASPACE,
    PRE_DIGITS,
    PRE_WHITESPACE_SPLIT,
    PRE_PUNCTUATION,
};
enum pre_behavior { PRE_REMOVED, PRE_ISOLATED, PRE_PREVIOUS, PRE_NEXT, PRE_CONTIGUOUS };
enum pre_prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS };
struct lorac_pre {
    enum pre_kind kind;
    struct lorac_pattern pattern; // Split; ByteLevel with use_regex
    bool has_pattern, invert;
    enum pre_behavior behavior;
    enum pre_prefix prefix; // ByteLevel add_prefix_space = ALWAYS; Metaspace
    bool split;             // Metaspace; Digits: each alone
    char mark[5];           // Metaspace: what a space becomes
};

enum dec_kind {
    DEC_REPLACE,
    DEC_STRIP,
    DEC_METASPACE,
    DEC_BYTE_FALLBACK,
    DEC_FUSE,
    DEC_BYTE_LEVEL,
    DEC_WORDPIECE,
};
struct lorac_dec {
    enum dec_kind kind;
    struct lorac_pattern pattern;
    char *text; // Replace; WordPiece: its prefix; owned
    size_t n;
    char mark[5]; // Strip, Metaspace: one character
    size_t start; // Strip: at most so many
    bool whole;   // Strip after Fuse or ByteLevel: only where the text begins
    bool prefix;  // Metaspace: the first token loses its mark
    bool cleanup; // WordPiece: no space in front of punctuation
};

struct lorac_added {
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    char *match; // what is searched: content, or its normalised form; owned
    size_t n;
};
/* Those searched in one of the two passes, ordered by first byte, longest first. */
struct lorac_added_set {
    const struct lorac_added **at; // owned array of borrowed
    uint32_t begin[257];
};

struct lorac_wordpiece {
    bool is; // the model is one; otherwise it is a BPE
    char prefix[16];
    size_t n;         // bytes of it
    size_t max_chars; // of a word that is cut
    size_t longest;   // bytes of a token
};

struct lorac_tokenizer {
    struct lorac_vocab vocab; // of the model
    struct lorac_wordpiece wordpiece;
    struct lorac_vocab names; // of the added tokens, also of those that the model has
    struct lorac_merges merges;
    int32_t unk;        // -1: none
    int32_t bytes[256]; // "<0x00>".. where byte_fallback, else -1
    int32_t chars[512]; // id of the one-character tokens of U+0000..U+01FF, -1: none
    bool fuse_unk, byte_fallback, ignore_merges;
    bool cut;        // texts may be cut in front of a U+2581, see bpe.c,
    bool glued[256]; // but not behind a character with such a last byte
    struct lorac_added *added;
    size_t n_added, cap_added;
    int32_t *added_of; // (size) id -> index into added, -1
    size_t size;       // ids are below
    struct lorac_added_set raw, normalized;
    struct lorac_norm norm[TOK_MAX_PARTS];
    struct lorac_pre pre[TOK_MAX_PARTS];
    struct lorac_dec dec[TOK_MAX_PARTS];
    size_t n_norm, n_pre, n_dec;
    struct lorac_ids before, after; // of the post-processor
    struct lorac_pair_form pair;    // of it, for two texts
    bool has_pair;
    int32_t bos, eos, pad, mask; // -1: none
    struct lorac_ids ends;
    char note[256]; // lorac_tokenizer_note(); "" where there is none
};

/* The added token of an id, or NULL. */
const struct lorac_added *lorac_added_find(const struct lorac_tokenizer *t, int32_t id);

/* ---- reading ---- */

/* LORAC_ENOTSUP where the object holds another key than those of the NULL-terminated list. */
#define LORAC_KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})
LORAC_MUST_CHECK enum lorac_status lorac_json_only(const struct lorac_json *object,
                                                   const char *const *keys, struct lorac_err *err);
/* One of `names` (NULL-terminated) as its index; absent: `*out` stays. */
LORAC_MUST_CHECK enum lorac_status lorac_json_choice(int *out, const struct lorac_json *object,
                                                     const char *key, const char *const *names,
                                                     struct lorac_err *err);
/* `key` as {"String": s} or {"Regex": r}. */
LORAC_MUST_CHECK enum lorac_status lorac_json_pattern(struct lorac_pattern *out,
                                                      const struct lorac_json *object,
                                                      const char *key, struct lorac_err *err);
/* Exactly one character. */
LORAC_MUST_CHECK enum lorac_status lorac_json_char(char out[5], const struct lorac_json *object,
                                                   const char *key, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_json_type(const char **out, const struct lorac_json *at,
                                                   struct lorac_err *err);
/* The parts below add themselves to `t`; an absent `at` adds nothing. */
typedef enum lorac_status lorac_part_reader(struct lorac_tokenizer *t, const struct lorac_json *at,
                                            const char *type, int depth, struct lorac_err *err);
/* Calls `read` for `at`, or for each element of the Sequence that it is (in its member `list`). */
LORAC_MUST_CHECK enum lorac_status lorac_read_parts(struct lorac_tokenizer *t,
                                                    const struct lorac_json *at, const char *list,
                                                    lorac_part_reader *read, int depth,
                                                    struct lorac_err *err);
lorac_part_reader lorac_read_norm, lorac_read_pre, lorac_read_dec, lorac_read_post;

LORAC_MUST_CHECK enum lorac_status lorac_read_model(struct lorac_tokenizer *t,
                                                    const struct lorac_json *model,
                                                    struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_read_wordpiece(struct lorac_tokenizer *t,
                                                        const struct lorac_json *model,
                                                        struct lorac_err *err);
/* Texts to ids, one to one. */
LORAC_MUST_CHECK enum lorac_status lorac_read_vocab(struct lorac_tokenizer *t,
                                                    const struct lorac_json *vocab,
                                                    struct lorac_err *err);
/* The id of s[0,n); `at` needs it: LORAC_EFORMAT where it is no token. */
LORAC_MUST_CHECK enum lorac_status lorac_find_token(int32_t *id, const struct lorac_tokenizer *t,
                                                    const char *s, size_t n,
                                                    const struct lorac_json *at,
                                                    struct lorac_err *err);
/* One added token: flags from the object `at`, content checked against the vocabulary. A known one
 * gets the flags of this one. */
LORAC_MUST_CHECK enum lorac_status lorac_added_read(struct lorac_tokenizer *t,
                                                    const struct lorac_json *at, int32_t id,
                                                    struct lorac_err *err);
/* `name` is special, whatever the file says; its id in `*id`. An unknown one is LORAC_EFORMAT where
 * it must be a token; elsewhere it becomes the next, as in transformers, and does no harm as long
 * as no text holds it. */
LORAC_MUST_CHECK enum lorac_status lorac_added_special(int32_t *id, struct lorac_tokenizer *t,
                                                       const struct lorac_json *at,
                                                       const char *name, bool must_be,
                                                       struct lorac_err *err);
/* Once all are read: their normalised forms and the two sets. */
LORAC_MUST_CHECK enum lorac_status lorac_added_build(struct lorac_tokenizer *t, const char *file,
                                                     struct lorac_err *err);
/* All of a tokenizer.json but lorac_added_build. */
LORAC_MUST_CHECK enum lorac_status lorac_read_tokenizer(struct lorac_tokenizer *t,
                                                        const struct lorac_json *root,
                                                        struct lorac_err *err);
/* The special tokens that have names: "bos_token", ... */
enum { TOK_BOS, TOK_EOS, TOK_UNK, TOK_PAD, TOK_SEP, TOK_CLS, TOK_MASK, TOK_NAMES };
extern const char *const lorac_special_names[TOK_NAMES];

/* A class of transformers, by which a folder without tokenizer.json is read. */
struct lorac_class {
    const char *name;
    const char *types[3]; // the "model_type" of config.json that stand for it
    const char *frame;    // tokenizer.json but for the vocabulary
    const char *post;     // the post-processor that puts cls in front and sep behind, or NULL
    bool lines;           // the vocabulary is vocab.txt, of WordPiece
    const char *named[TOK_NAMES]; // the special tokens where the folder names none, or NULL
};
/* What BertTokenizer's normaliser takes of tokenizer_config.json, into that of `root`, of
 * tokenizer.json, where the folder's class is BERT's: it makes the normaliser anew (transformers
 * models/bert/tokenization_bert.py). */
LORAC_MUST_CHECK enum lorac_status lorac_read_bert_keys(struct lorac_tokenizer *t,
                                                        struct lorac_json *root, const char *dir,
                                                        struct lorac_err *err);
/* A file of the folder; root->value NULL where it is not there. Borrows `path`. */
LORAC_MUST_CHECK enum lorac_status lorac_read_file(struct lorac_json *root, char path[LORAC_PATH],
                                                   const char *dir, const char *name,
                                                   struct lorac_err *err);
/* tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json of a folder.
 */
LORAC_MUST_CHECK enum lorac_status lorac_read_folder(struct lorac_tokenizer *t, const char *dir,
                                                     const struct lorac_class *class, // or NULL
                                                     struct lorac_err *err);
/* vocab.json and merges.txt in place of tokenizer.json. *class: what stands for it. */
LORAC_MUST_CHECK enum lorac_status lorac_read_vocab_files(struct lorac_tokenizer *t,
                                                          const struct lorac_class **class,
                                                          const char *dir, struct lorac_err *err);

/* ---- encoding ---- */

enum { MARK_SPECIAL = 1, MARK_PREFIX = 2 }; // special tokens may be here; a dummy prefix

/* Text and one byte of MARK_ flags for each of its bytes. */
struct lorac_marked {
    struct lorac_buf text, mark;
};
void lorac_marked_add(struct lorac_marked *m, const char *s, size_t n, const char *mark);
void lorac_marked_fill(struct lorac_marked *m, const char *s, size_t n, char mark);
void lorac_marked_clear(struct lorac_marked *m);
void lorac_marked_free(struct lorac_marked *m);

/* Pieces of text, one behind the other. */
struct lorac_lane {
    struct lorac_buf text;
    size_t *end; // (n) where each piece ends
    size_t n, cap;
    bool first; // piece 0 begins where the whole text begins
};
/* What was added to the text since the last call is a piece. */
LORAC_MUST_CHECK enum lorac_status lorac_lane_close(struct lorac_lane *l, bool keep_empty,
                                                    struct lorac_err *err);
void lorac_lane_clear(struct lorac_lane *l);
void lorac_lane_free(struct lorac_lane *l);

/* A stretch of marked text: an added token (id >= 0) or text between them. */
struct lorac_stretch {
    size_t begin, end;
    int32_t id;
};
struct lorac_stretches {
    struct lorac_stretch *at;
    size_t n, cap;
};
LORAC_MUST_CHECK enum lorac_status lorac_added_split(struct lorac_stretches *out,
                                                     const struct lorac_added_set *set,
                                                     const struct lorac_marked *text, size_t begin,
                                                     size_t end, struct lorac_err *err);

/* Normalise `in` in place, with `tmp` for scratch. */
LORAC_MUST_CHECK enum lorac_status lorac_normalize(struct lorac_marked *in,
                                                   struct lorac_marked *tmp,
                                                   const struct lorac_tokenizer *t,
                                                   struct lorac_matcher *m, struct lorac_err *err);

struct lorac_pre_scratch { // zeroed = empty
    struct lorac_lane lane, pieces;
    struct lorac_buf text;
};
void lorac_pre_release(struct lorac_pre_scratch *s);
/* Split the one piece in `lane`; `continues`: no prefix in front of the first. */
LORAC_MUST_CHECK enum lorac_status lorac_pretokenize(struct lorac_lane *lane,
                                                     struct lorac_pre_scratch *scratch,
                                                     const struct lorac_tokenizer *t,
                                                     struct lorac_matcher *m, bool continues,
                                                     struct lorac_err *err);
/* The characters that stand for bytes in byte-level vocabularies: byte -> code point, and back
 * (-1). */
uint32_t lorac_byte_char(unsigned char byte);
int lorac_char_byte(uint32_t cp);

struct lorac_symbol {
    int32_t id; // -1: merged into its left neighbour
    uint32_t prev, next;
};
struct lorac_candidate {
    uint32_t rank, at;
    int32_t id;
};
struct lorac_bpe { // scratch; zeroed = empty
    struct lorac_symbol *symbols;
    struct lorac_candidate *heap;
    size_t n, cap, n_heap, cap_heap;
    /* Pieces met before: number k of `known` became ids[k ? end[k-1] : 0, end[k]). */
    struct lorac_vocab known;
    struct lorac_ids ids, end;
};
LORAC_MUST_CHECK enum lorac_status lorac_bpe_encode(struct lorac_ids *out, struct lorac_bpe *b,
                                                    const struct lorac_tokenizer *t, const char *s,
                                                    size_t n, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_wordpiece_encode(struct lorac_ids *out,
                                                          const struct lorac_tokenizer *t,
                                                          const char *s, size_t n,
                                                          struct lorac_err *err);
/* Set t->cut and t->glued, once vocabulary and merges are read. */
void lorac_bpe_find_cuts(struct lorac_tokenizer *t);
void lorac_bpe_release(struct lorac_bpe *b);

/* Here, so that compilers and analysers see that it never looks like success. */
static inline enum lorac_status lorac_no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "out of memory in the tokenizer");
}

#endif
