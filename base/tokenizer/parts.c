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
    const char *const keys[] = {"type", "pattern", "content", NULL};
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (!st) { st = lorac_json_pattern(pattern, at, "pattern", err); }
    if (!st) { st = copy_text(text, n, at, "content", err); }
    return st;
}

/* ---- normalisers ---- */

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
    const char *const only_type[] = {"type", NULL};
    const char *const prepend[] = {"type", "prepend", NULL};
    const char *const strip[] = {"type", "strip_left", "strip_right", NULL};
    enum lorac_status st = room(t->n_norm, at, err);
    if (st) { return st; }
    struct lorac_norm *norm = &t->norm[t->n_norm++];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(type, plain[i].type) == 0) {
            norm->kind = plain[i].kind;
            return lorac_json_only(at, only_type, err);
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
        st = lorac_json_only(at, strip, err);
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
    const char *const keys[] = {"type", "add_prefix_space", "trim_offsets", "use_regex", NULL};
    bool prefix = true;
    bool regex = true;
    enum lorac_status st = lorac_json_only(at, keys, err);
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
    const char *const keys[] = {"type", "pattern", "behavior", "invert", NULL};
    int behavior = -1;
    enum lorac_status st = lorac_json_only(at, keys, err);
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
    const char *const keys[] = {"type", "individual_digits", NULL};
    bool each = false;
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (!st) { st = lorac_json_bool(&each, at, "individual_digits", true, err); }
    pre->kind = PRE_DIGITS;
    pre->behavior = each ? PRE_ISOLATED : PRE_CONTIGUOUS;
    return st;
}

static enum lorac_status read_punctuation(struct lorac_pre *pre, const struct lorac_json *at,
                                          struct lorac_err *err)
{
    const char *const keys[] = {"type", "behavior", NULL};
    int behavior = PRE_ISOLATED;
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (!st) { st = lorac_json_choice(&behavior, at, "behavior", behaviors, err); }
    pre->kind = PRE_PUNCTUATION;
    pre->behavior = (enum pre_behavior)behavior;
    return st;
}

static enum lorac_status read_whitespace(struct lorac_pre *pre, const struct lorac_json *at,
                                         bool words, struct lorac_err *err)
{
    const char *const keys[] = {"type", NULL};
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (st) { return st; }
    pre->kind = words ? PRE_SPLIT : PRE_WHITESPACE_SPLIT;
    pre->behavior = PRE_REMOVED;
    pre->invert = words;
    return words ? lorac_pattern_regex(&pre->pattern, "\\w+|[^\\w\\s]+", at, err) : LORAC_OK;
}

enum lorac_status lorac_read_pre(struct lorac_tokenizer *t, const struct lorac_json *at,
                                 const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
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
    const char *const keys[] = {"type", "content", "start", "stop", NULL};
    size_t stop = 0;
    enum lorac_status st = lorac_json_only(at, keys, err);
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
    const char *const only_type[] = {"type", NULL};
    const char *const byte_level[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                      NULL};
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
        st = lorac_json_only(at, only_type, err);
    } else if (strcmp(type, "Fuse") == 0) {
        dec->kind = DEC_FUSE;
        st = lorac_json_only(at, only_type, err);
    } else if (strcmp(type, "ByteLevel") == 0) {
        dec->kind = DEC_BYTE_LEVEL;
        st = lorac_json_only(at, byte_level, err);
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

/* The ids of the special token `name` in the template's own table. */
static enum lorac_status template_ids(struct lorac_ids *ids, const struct lorac_tokenizer *t,
                                      const struct lorac_json *at, const char *name,
                                      struct lorac_err *err)
{
    struct lorac_json tokens = lorac_json_get(at, "special_tokens");
    struct lorac_json token = lorac_json_get(&tokens, name);
    struct lorac_json list = lorac_json_get(&token, "ids");
    if (!json_is_array(list.value)) { return lorac_json_fail(&list, "a list of ids", err); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < json_array_size(list.value) && !st; i++) {
        struct lorac_json id = lorac_json_at(&list, i);
        st = token_id(ids, t, &id, err);
    }
    return st;
}

static enum lorac_status read_piece(struct lorac_tokenizer *t, const struct lorac_json *at,
                                    const struct lorac_json *piece, bool *seen,
                                    struct lorac_err *err)
{
    const char *const keys[] = {"SpecialToken", "Sequence", NULL};
    const char *const inner[] = {"id", "type_id", NULL};
    struct lorac_json special = lorac_json_get(piece, "SpecialToken");
    struct lorac_json sequence = lorac_json_get(piece, "Sequence");
    const struct lorac_json *one = special.value ? &special : &sequence;
    const char *id = NULL;
    enum lorac_status st = lorac_json_only(piece, keys, err);
    if (!st) { st = lorac_json_only(one, inner, err); }
    if (!st) { st = lorac_json_string(&id, one, "id", true, err); }
    if (st) { return st; }
    if (special.value) { return template_ids(*seen ? &t->after : &t->before, t, at, id, err); }
    if (*seen || strcmp(id, "A") != 0) {
        return lorac_json_fail(piece, "the sequence A once", err);
    }
    *seen = true;
    return LORAC_OK;
}

static enum lorac_status read_template(struct lorac_tokenizer *t, const struct lorac_json *at,
                                       struct lorac_err *err)
{
    const char *const keys[] = {"type", "single", "pair", "special_tokens", NULL};
    struct lorac_json single = lorac_json_get(at, "single");
    bool seen = false;
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (st) { return st; }
    if (!json_is_array(single.value)) { return lorac_json_fail(&single, "a list", err); }
    if (t->before.n || t->after.n) {
        return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s': a second template is not supported",
                          at->file, at->where);
    }
    for (size_t i = 0; i < json_array_size(single.value) && !st; i++) {
        struct lorac_json piece = lorac_json_at(&single, i);
        st = read_piece(t, at, &piece, &seen, err);
    }
    if (!st && !seen) { st = lorac_json_fail(&single, "a list with the sequence A", err); }
    return st;
}

/* BERT's and RoBERTa's: a token in front, one behind. */
static enum lorac_status read_pair(struct lorac_tokenizer *t, const struct lorac_json *at,
                                   struct lorac_err *err)
{
    const char *const keys[] = {"type", "sep", "cls", "trim_offsets", "add_prefix_space", NULL};
    const char *const names[] = {"cls", "sep"};
    enum lorac_status st = lorac_json_only(at, keys, err);
    if (!st && (t->before.n || t->after.n)) {
        st = lorac_fail(err, LORAC_ENOTSUP, "%s: '%s': a second template is not supported",
                        at->file, at->where);
    }
    for (size_t i = 0; i < 2 && !st; i++) {
        struct lorac_json pair = lorac_json_get(at, names[i]); // ["</s>", 2]
        struct lorac_json id = lorac_json_at(&pair, 1);
        st = token_id(i ? &t->after : &t->before, t, &id, err);
    }
    return st;
}

enum lorac_status lorac_read_post(struct lorac_tokenizer *t, const struct lorac_json *at,
                                  const char *type, int depth, struct lorac_err *err)
{
    (void)depth;
    const char *const byte_level[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                      NULL};
    if (strcmp(type, "ByteLevel") == 0) { return lorac_json_only(at, byte_level, err); } // offsets
    if (strcmp(type, "TemplateProcessing") == 0) { return read_template(t, at, err); }
    bool pair = strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0;
    if (pair) { return read_pair(t, at, err); }
    return unknown(at, type, err);
}
