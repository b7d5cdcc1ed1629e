/* parts.c - the lists of tokenizer.json: normalisers, pre-tokenizers, decoders, and the
 * post-processor. One function per kind; a type that has none is refused by name. */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

static enum lorac_status unknown(const struct lorac_json *at, const char *type,
                                 struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s' is of type %.60s, which is not supported",
                      at->file, at->where, type);
}

static enum lorac_status room(size_t n, const struct lorac_json *at, struct lorac_err *err)
{
    if (n < TOK_MAX_PARTS) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is more than part %d", at->file, at->where,
                      TOK_MAX_PARTS);
}

static enum lorac_status copy_text(char **out, size_t *n, const struct lorac_json *at,
                                   const char *key, struct lorac_err *err)
{
    const char *s = NULL;
    enum lorac_status st = lorac_json_string(&s, at, key, true, err);
    if (st) { return st; }
    *n = strlen(s);
    if (*n > TOK_MAX_TOKEN) {
        struct lorac_json text = lorac_json_get(at, key);
        return lorac_json_fail(&text, "text of at most 4096 bytes", err);
    }
    *out = lorac_mem_string(s, *n);
    return *out ? LORAC_OK : lorac_no_memory(err);
}

static enum lorac_status read_replace(struct lorac_pattern *pattern, char **text, size_t *n,
                                      const struct lorac_json *at, struct lorac_err *err)
{
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type", "pattern", "content"), err);
    if (!st) { st = lorac_json_pattern(pattern, at, "pattern", err); }
    if (!st) { st = copy_text(text, n, at, "content", err); }
    return st;
}

/* ---- normalisers ---- */

/* clean_text, then ideographs, then accents, then case (bert.rs); strip_accents is null where it
 * goes with lower case. */
static enum lorac_status read_bert_norm(struct lorac_tokenizer *t, const struct lorac_json *at,
                                        struct lorac_err *err)
{
    bool clean = true;
    bool ideographs = true;
    bool lower = true;
    enum lorac_status st = lorac_json_only(
        at, LORAC_KEYS("type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"),
        err);
    if (!st) { st = lorac_json_bool(&clean, at, "clean_text", false, err); }
    if (!st) { st = lorac_json_bool(&ideographs, at, "handle_chinese_chars", false, err); }
    if (!st) { st = lorac_json_bool(&lower, at, "lowercase", false, err); }
    bool accents = lower;
    if (!st) { st = lorac_json_bool(&accents, at, "strip_accents", false, err); }
    const struct {
        bool asked;
        enum norm_kind kind;
    } steps[] = {{clean, NORM_CLEAN},
                 {ideographs, NORM_SPACE_CJK},
                 {accents, NORM_NFD},
                 {accents, NORM_NONSPACING},
                 {lower, NORM_LOWERCASE}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !st; i++) {
        if (!steps[i].asked) { continue; }
        st = room(t->n_norm, at, err);
        if (!st) { t->norm[t->n_norm++].kind = steps[i].kind; }
    }
    return st;
}

enum lorac_status lorac_read_norm(struct lorac_tokenizer *t, const struct lorac_json *at,
                                  const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
    static const struct {
        const char *type;
        enum norm_kind kind;
    } plain[] = {{"NFC", NORM_NFC},
                 {"NFD", NORM_NFD},
                 {"NFKC", NORM_NFKC},
                 {"NFKD", NORM_NFKD},
                 {"Lowercase", NORM_LOWERCASE}};
    const char *const prepend[] = {"type", "prepend", NULL};
    if (strcmp(type, "BertNormalizer") == 0) { return read_bert_norm(t, at, err); }
    enum lorac_status st = room(t->n_norm, at, err);
    if (st) { return st; }
    struct lorac_norm *norm = &t->norm[t->n_norm++];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(type, plain[i].type) == 0) {
            norm->kind = plain[i].kind;
            return lorac_json_only(at, LORAC_KEYS("type"), err);
        }
    }
    if (strcmp(type, "Prepend") == 0) {
        norm->kind = NORM_PREPEND;
        st = lorac_json_only(at, prepend, err);
        return st ? st : copy_text(&norm->text, &norm->n, at, "prepend", err);
    }
    if (strcmp(type, "Replace") == 0) {
        norm->kind = NORM_REPLACE;
        return read_replace(&norm->pattern, &norm->text, &norm->n, at, err);
    }
    if (strcmp(type, "Strip") == 0) {
        norm->kind = NORM_STRIP;
        st = lorac_json_only(at, LORAC_KEYS("type", "strip_left", "strip_right"), err);
        if (!st) { st = lorac_json_bool(&norm->left, at, "strip_left", true, err); }
        if (!st) { st = lorac_json_bool(&norm->right, at, "strip_right", true, err); }
        return st;
    }
    return unknown(at, type, err);
}

/* ---- pre-tokenizers ---- */

// as byte_level.rs has it
const char lorac_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static enum lorac_status read_byte_level(struct lorac_pre *pre, const struct lorac_json *at,
                                         struct lorac_err *err)
{
    bool prefix = true;
    bool regex = true;
    enum lorac_status st = lorac_json_only(
        at, LORAC_KEYS("type", "add_prefix_space", "trim_offsets", "use_regex"), err);
    if (!st) { st = lorac_json_bool(&prefix, at, "add_prefix_space", true, err); }
    if (!st) { st = lorac_json_bool(&regex, at, "use_regex", false, err); }
    if (st) { return st; }
    pre->kind = PRE_BYTE_LEVEL;
    pre->prefix = prefix ? PREFIX_ALWAYS : PREFIX_NEVER;
    pre->has_pattern = regex;
    return regex ? lorac_pattern_regex(&pre->pattern, lorac_gpt2_pattern, at, err) : LORAC_OK;
}

static const char *const behaviors[] = {"Removed",        "Isolated",   "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous", NULL};

static enum lorac_status read_split(struct lorac_pre *pre, const struct lorac_json *at,
                                    struct lorac_err *err)
{
    int behavior = -1;
    enum lorac_status st =
        lorac_json_only(at, LORAC_KEYS("type", "pattern", "behavior", "invert"), err);
    if (!st) { st = lorac_json_pattern(&pre->pattern, at, "pattern", err); }
    if (!st) { st = lorac_json_choice(&behavior, at, "behavior", behaviors, err); }
    if (!st) { st = lorac_json_bool(&pre->invert, at, "invert", true, err); }
    if (!st && behavior < 0) {
        struct lorac_json missing = lorac_json_get(at, "behavior");
        st = lorac_json_fail(&missing, "how to split", err);
    }
    if (st) { return st; }
    pre->kind = PRE_SPLIT;
    pre->behavior = (enum pre_behavior)behavior;
    return LORAC_OK;
}

/* The old add_prefix_space: true says nothing, false demands (and in the oldest files means)
 * "never". */
static enum lorac_status read_scheme(enum pre_prefix *out, const struct lorac_json *at,
                                     struct lorac_err *err)
{
    const char *const schemes[] = {"never", "first", "always", NULL};
    struct lorac_json scheme_at = lorac_json_get(at, "prepend_scheme");
    int scheme = PREFIX_ALWAYS;
    bool old = true;
    enum lorac_status st = lorac_json_choice(&scheme, at, "prepend_scheme", schemes, err);
    if (!st) { st = lorac_json_bool(&old, at, "add_prefix_space", false, err); }
    if (st) { return st; }
    if (!old && scheme != PREFIX_NEVER) {
        if (!scheme_at.value) { scheme_at = lorac_json_get(at, "add_prefix_space"); }
        return lorac_json_fail(&scheme_at, "\"never\" where add_prefix_space is false", err);
    }
    *out = (enum pre_prefix)scheme;
    return LORAC_OK;
}

static const char *const metaspace_keys[] = {
    "type", "replacement", "add_prefix_space", "split", "str_rep", "prepend_scheme", NULL};

static enum lorac_status read_metaspace(struct lorac_pre *pre, const struct lorac_json *at,
                                        struct lorac_err *err)
{
    pre->kind = PRE_METASPACE;
    pre->split = true;
    enum lorac_status st = lorac_json_only(at, metaspace_keys, err);
    if (!st) { st = lorac_json_char(pre->mark, at, "replacement", err); }
    if (!st) { st = lorac_json_bool(&pre->split, at, "split", false, err); }
    return st ? st : read_scheme(&pre->prefix, at, err);
}

static enum lorac_status read_digits(struct lorac_pre *pre, const struct lorac_json *at,
                                     struct lorac_err *err)
{
    bool each = false;
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type", "individual_digits"), err);
    if (!st) { st = lorac_json_bool(&each, at, "individual_digits", true, err); }
    pre->kind = PRE_DIGITS;
    pre->behavior = each ? PRE_ISOLATED : PRE_CONTIGUOUS;
    return st;
}

static enum lorac_status read_punctuation(struct lorac_pre *pre, const struct lorac_json *at,
                                          struct lorac_err *err)
{
    int behavior = PRE_ISOLATED;
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type", "behavior"), err);
    if (!st) { st = lorac_json_choice(&behavior, at, "behavior", behaviors, err); }
    pre->kind = PRE_PUNCTUATION;
    pre->behavior = (enum pre_behavior)behavior;
    return st;
}

static enum lorac_status read_whitespace(struct lorac_pre *pre, const struct lorac_json *at,
                                         bool words, struct lorac_err *err)
{
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type"), err);
    if (st) { return st; }
    pre->kind = words ? PRE_SPLIT : PRE_WHITESPACE_SPLIT;
    pre->behavior = PRE_REMOVED;
    pre->invert = words;
    return words ? lorac_pattern_regex(&pre->pattern, "\\w+|[^\\w\\s]+", at, err) : LORAC_OK;
}

/* Words between white space, then each punctuation mark alone (bert.rs). */
static enum lorac_status read_bert_pre(struct lorac_tokenizer *t, const struct lorac_json *at,
                                       struct lorac_err *err)
{
    enum lorac_status st = room(t->n_pre + 1, at, err);
    if (!st) { st = read_whitespace(&t->pre[t->n_pre++], at, false, err); }
    if (!st) { st = read_punctuation(&t->pre[t->n_pre++], at, err); }
    return st;
}

enum lorac_status lorac_read_pre(struct lorac_tokenizer *t, const struct lorac_json *at,
                                 const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
    if (strcmp(type, "BertPreTokenizer") == 0) { return read_bert_pre(t, at, err); }
    enum lorac_status st = room(t->n_pre, at, err);
    if (st) { return st; }
    struct lorac_pre *pre = &t->pre[t->n_pre++];
    if (strcmp(type, "ByteLevel") == 0) { return read_byte_level(pre, at, err); }
    if (strcmp(type, "Split") == 0) { return read_split(pre, at, err); }
    if (strcmp(type, "Metaspace") == 0) { return read_metaspace(pre, at, err); }
    if (strcmp(type, "Digits") == 0) { return read_digits(pre, at, err); }
    if (strcmp(type, "Punctuation") == 0) { return read_punctuation(pre, at, err); }
    if (strcmp(type, "Whitespace") == 0) { return read_whitespace(pre, at, true, err); }
    if (strcmp(type, "WhitespaceSplit") == 0) { return read_whitespace(pre, at, false, err); }
    return unknown(at, type, err);
}

/* ---- decoders ---- */

static enum lorac_status read_dec_strip(struct lorac_dec *dec, const struct lorac_json *at,
                                        struct lorac_err *err)
{
    size_t stop = 0;
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type", "content", "start", "stop"), err);
    if (!st) { st = lorac_json_char(dec->mark, at, "content", err); }
    if (!st) { st = lorac_json_size(&dec->start, at, "start", true, 0, 1000, err); }
    // a stream could not show text that the end may still lose
    if (!st) { st = lorac_json_size(&stop, at, "stop", true, 0, 0, err); }
    return st;
}

static enum lorac_status read_dec_metaspace(struct lorac_dec *dec, const struct lorac_json *at,
                                            struct lorac_err *err)
{
    enum pre_prefix prefix = PREFIX_ALWAYS;
    enum lorac_status st = lorac_json_only(at, metaspace_keys, err);
    if (!st) { st = lorac_json_char(dec->mark, at, "replacement", err); }
    if (!st) { st = read_scheme(&prefix, at, err); }
    dec->prefix = prefix != PREFIX_NEVER;
    return st;
}

static enum lorac_status read_dec_wordpiece(struct lorac_dec *dec, const struct lorac_json *at,
                                            struct lorac_err *err)
{
    dec->cleanup = true;
    enum lorac_status st = lorac_json_only(at, LORAC_KEYS("type", "prefix", "cleanup"), err);
    if (!st) { st = copy_text(&dec->text, &dec->n, at, "prefix", err); }
    if (!st) { st = lorac_json_bool(&dec->cleanup, at, "cleanup", false, err); }
    return st;
}

/* The order that decode.c promises to streams. */
static enum lorac_status check_order(struct lorac_tokenizer *t, struct lorac_dec *dec,
                                     const struct lorac_json *at, const char *type,
                                     struct lorac_err *err)
{
    bool whole = false; // the tokens are one text by now
    bool bytes = false;
    for (const struct lorac_dec *d = t->dec; d < dec; d++) {
        whole |= d->kind == DEC_FUSE || d->kind == DEC_BYTE_LEVEL;
        bytes |= d->kind == DEC_BYTE_FALLBACK;
    }
    bool fits = true;
    switch (dec->kind) {
    case DEC_REPLACE:
    case DEC_METASPACE:
    case DEC_BYTE_FALLBACK:
    case DEC_BYTE_LEVEL:
    case DEC_WORDPIECE:
        fits = !whole && !bytes;
        break;
    case DEC_FUSE:
        break;
    case DEC_STRIP:
        dec->whole = whole;
        fits = whole || !bytes;
        break;
    }
    if (fits) { return LORAC_OK; }
    return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s': %s in this place is not supported", at->file,
                      at->where, type);
}

enum lorac_status lorac_read_dec(struct lorac_tokenizer *t, const struct lorac_json *at,
                                 const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
    enum lorac_status st = room(t->n_dec, at, err);
    if (st) { return st; }
    struct lorac_dec *dec = &t->dec[t->n_dec++];
    if (strcmp(type, "Replace") == 0) {
        dec->kind = DEC_REPLACE;
        st = read_replace(&dec->pattern, &dec->text, &dec->n, at, err);
    } else if (strcmp(type, "Strip") == 0) {
        dec->kind = DEC_STRIP;
        st = read_dec_strip(dec, at, err);
    } else if (strcmp(type, "Metaspace") == 0) {
        dec->kind = DEC_METASPACE;
        st = read_dec_metaspace(dec, at, err);
    } else if (strcmp(type, "ByteFallback") == 0) {
        dec->kind = DEC_BYTE_FALLBACK;
        st = lorac_json_only(at, LORAC_KEYS("type"), err);
    } else if (strcmp(type, "Fuse") == 0) {
        dec->kind = DEC_FUSE;
        st = lorac_json_only(at, LORAC_KEYS("type"), err);
    } else if (strcmp(type, "ByteLevel") == 0) {
        dec->kind = DEC_BYTE_LEVEL;
        st = lorac_json_only(
            at, LORAC_KEYS("type", "add_prefix_space", "trim_offsets", "use_regex"), err);
    } else if (strcmp(type, "WordPiece") == 0) {
        dec->kind = DEC_WORDPIECE;
        st = read_dec_wordpiece(dec, at, err);
    } else {
        st = unknown(at, type, err);
    }
    return st ? st : check_order(t, dec, at, type, err);
}

/* ---- the post-processor ---- */

static enum lorac_status token_id(struct lorac_ids *ids, const struct lorac_tokenizer *t,
                                  const struct lorac_json *id, struct lorac_err *err)
{
    const json_int_t v = json_is_integer(id->value) ? json_integer_value(id->value) : -1;
    size_t n = 0;
    if (v < 0 || v >= TOK_MAX_ID ||
        (!lorac_vocab_text(&t->vocab, (int32_t)v, &n) &&
         !lorac_vocab_text(&t->names, (int32_t)v, &n))) {
        return lorac_json_fail(id, "the id of a token", err);
    }
    return lorac_ids_add(ids, (int32_t)v, err);
}

/* The ids of the special token `name` in the template's own table, each with its type. */
static enum lorac_status template_ids(struct lorac_ids *ids, struct lorac_ids *types,
                                      const struct lorac_tokenizer *t, const struct lorac_json *at,
                                      const char *name, size_t type, struct lorac_err *err)
{
    struct lorac_json tokens = lorac_json_get(at, "special_tokens");
    struct lorac_json token = lorac_json_get(&tokens, name);
    struct lorac_json list = lorac_json_get(&token, "ids");
    if (!json_is_array(list.value)) { return lorac_json_fail(&list, "a list of ids", err); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < json_array_size(list.value) && !st; i++) {
        struct lorac_json id = lorac_json_at(&list, i);
        st = token_id(ids, t, &id, err);
        if (!st) { st = lorac_ids_add(types, (int32_t)type, err); }
    }
    return st;
}

/* One piece of a template of n sequences, *seen of which stand before it. */
static enum lorac_status read_piece(struct lorac_pair_form *out, const struct lorac_tokenizer *t,
                                    const struct lorac_json *at, const struct lorac_json *piece,
                                    size_t *seen, size_t n, struct lorac_err *err)
{
    struct lorac_json special = lorac_json_get(piece, "SpecialToken");
    struct lorac_json sequence = lorac_json_get(piece, "Sequence");
    const struct lorac_json *one = special.value ? &special : &sequence;
    const char *id = NULL;
    size_t type = 0;
    enum lorac_status st = lorac_json_only(piece, LORAC_KEYS("SpecialToken", "Sequence"), err);
    if (!st) { st = lorac_json_only(one, LORAC_KEYS("id", "type_id"), err); }
    if (!st) { st = lorac_json_string(&id, one, "id", true, err); }
    if (!st) { st = lorac_json_size(&type, one, "type_id", false, 0, n - 1, err); }
    if (st) { return st; }
    if (special.value) {
        return template_ids(&out->ids[*seen], &out->types[*seen], t, at, id, type, err);
    }
    if (*seen == n || strcmp(id, *seen ? "B" : "A") != 0) {
        return lorac_json_fail(piece, n == 1 ? "the sequence A once" : "the sequences A and B once",
                               err);
    }
    out->type[(*seen)++] = (int32_t)type;
    return LORAC_OK;
}

static enum lorac_status read_pieces(struct lorac_pair_form *out, const struct lorac_tokenizer *t,
                                     const struct lorac_json *at, const char *key, size_t n,
                                     struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(at, key);
    size_t seen = 0;
    enum lorac_status st = LORAC_OK;
    if (!json_is_array(list.value)) { return lorac_json_fail(&list, "a list", err); }
    for (size_t i = 0; i < json_array_size(list.value) && !st; i++) {
        struct lorac_json piece = lorac_json_at(&list, i);
        st = read_piece(out, t, at, &piece, &seen, n, err);
    }
    if (!st && seen < n) {
        st = lorac_json_fail(
            &list, n == 1 ? "a list with the sequence A" : "a list with the sequences A and B",
            err);
    }
    return st;
}

/* What stands before and behind one text; "pair" is empty, or not there, where none are framed. */
static enum lorac_status read_template(struct lorac_tokenizer *t, const struct lorac_json *at,
                                       struct lorac_err *err)
{
    struct lorac_pair_form single = {0};
    enum lorac_status st =
        lorac_json_only(at, LORAC_KEYS("type", "single", "pair", "special_tokens"), err);
    if (!st) { st = read_pieces(&single, t, at, "single", 1, err); }
    t->before = single.ids[0];
    t->after = single.ids[1];
    lorac_ids_free(&single.types[0]);
    lorac_ids_free(&single.types[1]);
    t->has_pair = json_array_size(lorac_json_get(at, "pair").value) > 0;
    if (!st && t->has_pair) { st = read_pieces(&t->pair, t, at, "pair", 2, err); }
    return st;
}

/* BERT's: [CLS] A [SEP] B [SEP], the second text of type 1; RoBERTa's: <s> A </s></s> B </s>, all
 * of type 0. */
static enum lorac_status read_pair(struct lorac_tokenizer *t, const struct lorac_json *at,
                                   bool roberta, struct lorac_err *err)
{
    enum lorac_status st = lorac_json_only(
        at, LORAC_KEYS("type", "sep", "cls", "trim_offsets", "add_prefix_space"), err);
    struct lorac_json cls = lorac_json_get(at, "cls"); // ["</s>", 2]
    struct lorac_json sep = lorac_json_get(at, "sep");
    cls = lorac_json_at(&cls, 1);
    sep = lorac_json_at(&sep, 1);
    struct lorac_pair_form *pair = &t->pair;
    const int32_t second = roberta ? 0 : 1;
    const struct {
        struct lorac_ids *ids, *types;
        const struct lorac_json *id;
        int32_t type;
    } puts[] = {{&t->before, NULL, &cls, 0},
                {&t->after, NULL, &sep, 0},
                {&pair->ids[0], &pair->types[0], &cls, 0},
                {&pair->ids[1], &pair->types[1], &sep, 0},
                {&pair->ids[2], &pair->types[2], &sep, second},
                {&pair->ids[1], &pair->types[1], &sep, 0}};
    for (size_t i = 0; i < (roberta ? 6 : 5) && !st; i++) {
        st = token_id(puts[i].ids, t, puts[i].id, err);
        if (!st && puts[i].types) { st = lorac_ids_add(puts[i].types, puts[i].type, err); }
    }
    pair->type[1] = second;
    t->has_pair = true;
    return st;
}

enum lorac_status lorac_read_post(struct lorac_tokenizer *t, const struct lorac_json *at,
                                  const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
    if (strcmp(type, "ByteLevel") == 0) {
        return lorac_json_only(
            at, LORAC_KEYS("type", "add_prefix_space", "trim_offsets", "use_regex"), err);
    } // offsets
    const bool bert = strcmp(type, "BertProcessing") == 0;
    const bool roberta = strcmp(type, "RobertaProcessing") == 0;
    const bool pieces = strcmp(type, "TemplateProcessing") == 0;
    if ((bert || roberta || pieces) && (t->before.n || t->after.n)) {
        return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s': a second template is not supported",
                          at->file, at->where);
    }
    if (pieces) { return read_template(t, at, err); }
    if (bert || roberta) { return read_pair(t, at, roberta, err); }
    return unknown(at, type, err);
}
