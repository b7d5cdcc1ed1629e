/* model.c - the "model" of tokenizer.json: its kind, its vocabulary, the merges of a BPE. */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <stdio.h>
#include <string.h>

static enum lorac_status check_token(const struct lorac_json *vocab, const char *token, size_t n,
                                     json_t *id, struct lorac_err *err)
{
    if (n > TOK_MAX_TOKEN) { // Whisper's vocabulary has the empty token: no text becomes it
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: '%s': token '%.40s' holds %zu bytes, at most %d were expected",
                          vocab->file, vocab->where, token, n, TOK_MAX_TOKEN);
    }
    if (!json_is_integer(id) || json_integer_value(id) < 0 ||
        json_integer_value(id) >= TOK_MAX_ID) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: '%s': the id of token '%.80s' must be a whole number below %d",
                          vocab->file, vocab->where, token, TOK_MAX_ID);
    }
    return LORAC_OK;
}

enum lorac_status lorac_read_vocab(struct lorac_tokenizer *t, const struct lorac_json *vocab,
                                   struct lorac_err *err)
{
    if (!json_is_object(vocab->value)) { return lorac_json_fail(vocab, "an object", err); }
    const size_t count = json_object_size(vocab->value);
    if (count == 0 || count > TOK_MAX_VOCAB) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' holds %zu tokens, 1 to %d were expected",
                          vocab->file, vocab->where, count, TOK_MAX_VOCAB);
    }
    size_t bytes = 0;
    size_t n_ids = 0;
    const char *token = NULL;
    json_t *value = NULL;
    enum lorac_status st = LORAC_OK;
    json_object_foreach(vocab->value, token, value)
    {
        const size_t n = strlen(token);
        st = check_token(vocab, token, n, value, err);
        if (st) { return st; }
        const size_t id = (size_t)json_integer_value(value);
        n_ids = id >= n_ids ? id + 1 : n_ids;
        bytes += n;
    }
    if (n_ids > 2 * count + 1024) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' holds %zu tokens, but an id of %zu",
                          vocab->file, vocab->where, count, n_ids - 1);
    }
    st = lorac_vocab_reserve(&t->vocab, count, n_ids, bytes, err);
    if (st) { return st; }
    json_object_foreach(vocab->value, token, value)
    {
        const int32_t id = (int32_t)json_integer_value(value);
        size_t n = 0;
        const char *other = lorac_vocab_text(&t->vocab, id, &n);
        if (other) {
            return lorac_fail(err, LORAC_EFORMAT, "%s: '%s': '%.80s' and '%.80s' both have id %d",
                              vocab->file, vocab->where, other, token, (int)id);
        }
        lorac_vocab_put(&t->vocab, id, token, strlen(token));
    }
    return LORAC_OK;
}

/* A merge is "a b" or ["a","b"]: the two texts, borrowed. */
static enum lorac_status merge_texts(const char *texts[2], size_t lengths[2],
                                     const struct lorac_json *at, struct lorac_err *err)
{
    const char *s = json_string_value(at->value);
    if (s) {
        const size_t n = json_string_length(at->value);
        const char *space = memchr(s, ' ', n);
        const size_t left = space ? (size_t)(space - s) : 0;
        if (!space || left == 0 || left + 1 == n || memchr(space + 1, ' ', n - left - 1)) {
            return lorac_json_fail(at, "two tokens with one space between", err);
        }
        texts[0] = s;
        texts[1] = space + 1;
        lengths[0] = left;
        lengths[1] = n - left - 1;
        return LORAC_OK;
    }
    for (size_t i = 0; i < 2; i++) {
        json_t *part = json_array_get(at->value, i);
        texts[i] = json_string_value(part);
        lengths[i] = json_string_length(part);
        if (!texts[i] || !lengths[i] || json_array_size(at->value) != 2) {
            return lorac_json_fail(at, "two tokens", err);
        }
    }
    return LORAC_OK;
}

enum lorac_status lorac_find_token(int32_t *id, const struct lorac_tokenizer *t, const char *s,
                                   size_t n, const struct lorac_json *at, struct lorac_err *err)
{
    *id = lorac_vocab_find(&t->vocab, s, n);
    if (*id >= 0) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' needs '%.*s', which is no token", at->file,
                      at->where, n > 80 ? 80 : (int)n, s);
}

static enum lorac_status read_merge(struct lorac_tokenizer *t, const char *const texts[2],
                                    const size_t lengths[2], size_t rank,
                                    const struct lorac_json *at, struct lorac_err *err)
{
    struct lorac_merge m = {.rank = (uint32_t)rank};
    char both[2 * TOK_MAX_TOKEN] = "";
    enum lorac_status st = lorac_find_token(&m.a, t, texts[0], lengths[0], at, err);
    if (!st) { st = lorac_find_token(&m.b, t, texts[1], lengths[1], at, err); }
    if (st || !texts[0] || !texts[1]) { return st; } // neither is NULL where both were found
    memcpy(both, texts[0], lengths[0]); // each is a token, so at most TOK_MAX_TOKEN bytes
    memcpy(both + lengths[0], texts[1], lengths[1]);
    st = lorac_find_token(&m.id, t, both, lengths[0] + lengths[1], at, err);
    if (!st && !lorac_merges_put(&t->merges, m)) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is a merge that was listed before", at->file,
                        at->where);
    }
    return st;
}

static enum lorac_status read_merges(struct lorac_tokenizer *t, const struct lorac_json *merges,
                                     struct lorac_err *err)
{
    if (!json_is_array(merges->value)) { return lorac_json_fail(merges, "a list", err); }
    const size_t n = json_array_size(merges->value);
    if (n > (size_t)2 * TOK_MAX_VOCAB) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' holds %zu merges, at most %d were expected",
                          merges->file, merges->where, n, 2 * TOK_MAX_VOCAB);
    }
    enum lorac_status st = lorac_merges_init(&t->merges, n, err);
    for (size_t i = 0; i < n && !st; i++) {
        struct lorac_json at = lorac_json_at(merges, i);
        const char *texts[2] = {0};
        size_t lengths[2] = {0};
        st = merge_texts(texts, lengths, &at, err);
        if (!st) { st = read_merge(t, texts, lengths, i, &at, err); }
    }
    return st;
}

/* What would change how merges work; the reference writes null, "" or 0 where it is not used. */
static enum lorac_status refuse_variants(const struct lorac_json *model, struct lorac_err *err)
{
    const char *const keys[] = {"continuing_subword_prefix", "end_of_word_suffix", "dropout"};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_json at = lorac_json_get(model, keys[i]);
        const bool empty = json_is_string(at.value) && json_string_length(at.value) == 0;
        const bool zero = json_is_number(at.value) && json_number_value(at.value) == 0;
        if (at.value && !(i < 2 ? empty : zero)) {
            struct lorac_buf text = {0};
            lorac_json_text(&text, at.value, JSON_ENCODE_ANY);
            enum lorac_status st =
                lorac_fail(err, LORAC_ENOTSUP, "%s: '%s' of %.40s is not supported", at.file,
                           at.where, text.no_memory ? "?" : text.at);
            lorac_buf_free(&text);
            return st;
        }
    }
    return LORAC_OK;
}

static void model_tables(struct lorac_tokenizer *t)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "<0x%02X>", i);
        t->bytes[i] = t->byte_fallback ? lorac_vocab_find(&t->vocab, name, 6) : -1;
    }
    for (uint32_t cp = 0; cp < 512; cp++) {
        char s[4];
        t->chars[cp] = lorac_vocab_find(&t->vocab, s, lorac_utf8_put(s, cp));
    }
}

static enum lorac_status read_bpe(struct lorac_tokenizer *t, const struct lorac_json *model,
                                  struct lorac_err *err)
{
    const char *unk = NULL;
    struct lorac_json vocab = lorac_json_get(model, "vocab");
    struct lorac_json merges = lorac_json_get(model, "merges");
    enum lorac_status st =
        lorac_json_only(model,
                        LORAC_KEYS("type", "dropout", "unk_token", "continuing_subword_prefix",
                                   "end_of_word_suffix", "fuse_unk", "byte_fallback",
                                   "ignore_merges", "vocab", "merges"),
                        err);
    if (!st) { st = refuse_variants(model, err); }
    if (!st) { st = lorac_json_bool(&t->fuse_unk, model, "fuse_unk", false, err); }
    if (!st) { st = lorac_json_bool(&t->byte_fallback, model, "byte_fallback", false, err); }
    if (!st) { st = lorac_json_bool(&t->ignore_merges, model, "ignore_merges", false, err); }
    if (!st) { st = lorac_json_string(&unk, model, "unk_token", false, err); }
    if (!st) { st = lorac_read_vocab(t, &vocab, err); }
    if (!st) { st = read_merges(t, &merges, err); }
    if (!st && unk && *unk) { // "" where there is none
        struct lorac_json at = lorac_json_get(model, "unk_token");
        st = lorac_find_token(&t->unk, t, unk, strlen(unk), &at, err);
    }
    if (!st) {
        model_tables(t);
        lorac_bpe_find_cuts(t);
    }
    return st;
}

/* The kinds of models, and the member by which one is known in old files, which have no type. */
static const struct {
    const char *type, *member;
    enum lorac_status (*read)(struct lorac_tokenizer *t, const struct lorac_json *model,
                              struct lorac_err *err);
} kinds[] = {
    {"BPE", "merges", read_bpe},
    {"WordPiece", "max_input_chars_per_word", lorac_read_wordpiece},
};

enum lorac_status lorac_read_model(struct lorac_tokenizer *t, const struct lorac_json *model,
                                   struct lorac_err *err)
{
    const char *type = NULL;
    if (!json_is_object(model->value)) { return lorac_json_fail(model, "an object", err); }
    enum lorac_status st = lorac_json_string(&type, model, "type", false, err);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !st; i++) {
        bool is = type ? strcmp(type, kinds[i].type) == 0
                       : lorac_json_get(model, kinds[i].member).value != NULL;
        if (is) { return kinds[i].read(t, model, err); }
    }
    if (st) { return st; }
    return lorac_fail(err, LORAC_ENOTSUP,
                      "%s: the model is of type %s, only BPE and WordPiece are supported",
                      model->file, type ? type : "(none, and has no merges)");
}
