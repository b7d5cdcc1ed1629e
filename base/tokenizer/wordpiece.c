/*
 * wordpiece.c - WordPiece encoding of one piece, as models/wordpiece/mod.rs of the reference: the
 * longest token that the word begins with, then the longest of what is left, which is looked up
 * with the prefix of continuing tokens ("##") in front. A word with a part that is no token, and
 * one that is too long, is the unknown token as a whole.
 */
#include "base/tokenizer/impl.h"

#include <string.h>

/* The longest token of s[0,n), which `prefix` goes before: its id and the bytes of s that it takes;
 * -1: none. */
static int32_t longest(size_t *taken, const struct lorac_tokenizer *t, const char *prefix,
                       size_t n_prefix, const char *s, size_t n)
{
    char name[2 * TOK_MAX_TOKEN];
    const size_t most = t->wordpiece.longest > n_prefix ? t->wordpiece.longest - n_prefix : 0;
    size_t end = n < most ? n : most;
    memcpy(name, prefix, n_prefix);
    memcpy(name + n_prefix, s, end);
    for (; end > 0; end--) {
        int32_t id = lorac_vocab_find(&t->vocab, name, n_prefix + end);
        if (id >= 0) {
            *taken = end;
            return id;
        }
    }
    return -1;
}

static size_t count_chars(const char *s, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++) {
        chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    }
    return chars;
}

enum lorac_status lorac_wordpiece_encode(struct lorac_ids *out, const struct lorac_tokenizer *t,
                                         const char *s, size_t n, struct lorac_err *err)
{
    const struct lorac_wordpiece *w = &t->wordpiece;
    const size_t before = out->n;
    bool known = count_chars(s, n) <= w->max_chars;
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0, taken = 0; i < n && known && !st; i += taken) {
        int32_t id = longest(&taken, t, i ? w->prefix : "", i ? w->n : 0, s + i, n - i);
        known = id >= 0;
        if (known) { st = lorac_ids_add(out, id, err); }
    }
    if (st || known) { return st; }
    out->n = before;
    return lorac_ids_add(out, t->unk, err);
}

enum lorac_status lorac_read_wordpiece(struct lorac_tokenizer *t, const struct lorac_json *model,
                                       struct lorac_err *err)
{
    struct lorac_wordpiece *w = &t->wordpiece;
    struct lorac_json vocab = lorac_json_get(model, "vocab");
    const char *unk = "[UNK]";
    const char *prefix = "##";
    w->max_chars = 100;
    enum lorac_status st =
        lorac_json_only(model,
                        LORAC_KEYS("type", "unk_token", "continuing_subword_prefix",
                                   "max_input_chars_per_word", "vocab"),
                        err);
    if (!st) { st = lorac_json_string(&unk, model, "unk_token", false, err); }
    if (!st) { st = lorac_json_string(&prefix, model, "continuing_subword_prefix", false, err); }
    if (!st) {
        st = lorac_json_size(&w->max_chars, model, "max_input_chars_per_word", false, 0,
                             TOK_MAX_TOKEN, err);
    }
    if (!st) { st = lorac_read_vocab(t, &vocab, err); }
    if (st) { return st; }
    w->n = strlen(prefix);
    if (w->n >= sizeof w->prefix) {
        struct lorac_json at = lorac_json_get(model, "continuing_subword_prefix");
        return lorac_json_fail(&at, "at most 15 bytes", err);
    }
    memcpy(w->prefix, prefix, w->n + 1);
    for (size_t id = 0; id < t->vocab.size; id++) {
        size_t n = 0;
        if (lorac_vocab_text(&t->vocab, (int32_t)id, &n) && n > w->longest) { w->longest = n; }
    }
    struct lorac_json at = lorac_json_get(model, "unk_token");
    at = at.value ? at : *model;
    t->wordpiece.is = true;
    return lorac_find_token(&t->unk, t, unk, strlen(unk), &at, err);
}
