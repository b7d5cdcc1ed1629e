/*
 * added.c - added tokens: read, and found in text before the model sees it, as
 * src/tokenizer/added_vocabulary.rs of the reference.
 *
 * Those with normalized = false are searched in the text as given, the others, in their normalised
 * form, in the normalised text between. Leftmost-longest; a token that special tokens forbid here
 * (see allowed()) hides shorter ones, as it does in the reference.
 */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <stdlib.h>
#include <string.h>

static enum lorac_status add_stretch(struct lorac_stretches *out, size_t begin, size_t end,
                                     int32_t id, struct lorac_err *err)
{
    if (out->n == out->cap) {
        struct lorac_stretch *p = lorac_mem_grow(out->at, out->n, &out->cap, out->n + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        out->at = p;
    }
    out->at[out->n++] = (struct lorac_stretch){.begin = begin, .end = end, .id = id};
    return LORAC_OK;
}

/* The text before ends with a word, or the text behind begins with one. */
static bool touches_word(const struct lorac_added *a, const char *s, size_t begin, size_t lower,
                         size_t upper)
{
    const size_t end = begin + a->n;
    uint32_t cp = 0;
    if (begin > lower) {
        size_t at = begin - 1;
        for (; at > lower && ((unsigned char)s[at] & 0xC0) == 0x80; at--) {}
        if (lorac_utf8_next(s + at, begin - at, &cp) && lorac_char_is_word(cp)) { return true; }
    }
    return lorac_utf8_next(s + end, upper - end, &cp) && lorac_char_is_word(cp);
}

static size_t skip_spaces_back(const char *s, size_t from, size_t lower)
{
    uint32_t cp = 0;
    while (from > lower) {
        size_t at = from - 1;
        for (; at > lower && ((unsigned char)s[at] & 0xC0) == 0x80; at--) {}
        if (!lorac_utf8_next(s + at, from - at, &cp) || !lorac_char_is_space(cp)) { break; }
        from = at;
    }
    return from;
}

static size_t skip_spaces(const char *s, size_t from, size_t upper)
{
    uint32_t cp = 0;
    for (size_t len = 0; from < upper; from += len) {
        len = lorac_utf8_next(s + from, upper - from, &cp);
        if (!len || !lorac_char_is_space(cp)) { break; }
    }
    return from;
}

enum permission { ALLOWED, PLAIN, STRADDLES };

/* A special token is one only where all its bytes are in text that may carry special tokens; in
 * text that may not it is plain; one that lies across the border of both is not there at all. */
static enum permission allowed(const struct lorac_added *a, const char *mark)
{
    if (!a->special) { return ALLOWED; }
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        n += (mark[i] & MARK_SPECIAL) != 0;
    }
    return n == a->n ? ALLOWED : n == 0 ? PLAIN : STRADDLES;
}

/* The longest token at s[i]; NULL: none. */
static const struct lorac_added *match_at(const struct lorac_added_set *set,
                                          const struct lorac_marked *text, size_t i, size_t end,
                                          enum permission *permission)
{
    const char *s = text->text.at;
    const unsigned char first = (unsigned char)s[i];
    for (uint32_t k = set->begin[first]; k < set->begin[first + 1]; k++) {
        const struct lorac_added *a = set->at[k];
        if (a->n <= end - i && memcmp(a->match, s + i, a->n) == 0) {
            *permission = allowed(a, text->mark.at + i);
            if (*permission != STRADDLES) { return a; }
        }
    }
    return NULL;
}

/* find_matches() of the reference, within [begin,end). */
enum lorac_status lorac_added_split(struct lorac_stretches *out, const struct lorac_added_set *set,
                                    const struct lorac_marked *text, size_t begin, size_t end,
                                    struct lorac_err *err)
{
    const char *s = text->text.at;
    enum lorac_status st = LORAC_OK;
    size_t from = begin; // behind the last token and the spaces that it took
    for (size_t i = begin; set->at && i < end && !st;) {
        enum permission permission = ALLOWED;
        const struct lorac_added *a = match_at(set, text, i, end, &permission);
        if (!a) {
            i++;
            continue;
        }
        size_t start = i;
        size_t stop = i + a->n;
        i = stop;
        if (permission == PLAIN) { continue; }
        if (a->single_word && touches_word(a, s, i - a->n, begin, end)) { continue; }
        if (a->lstrip) {
            start = skip_spaces_back(s, start, begin);
            start = start < from ? from : start;
        }
        if (a->rstrip) { stop = skip_spaces(s, stop, end); }
        if (from < start) { st = add_stretch(out, from, start, -1, err); }
        if (!st) { st = add_stretch(out, start, stop, a->id, err); }
        from = stop;
    }
    if (!st && from < end) { st = add_stretch(out, from, end, -1, err); }
    return st;
}

/* ---- reading ---- */

const struct lorac_added *lorac_added_find(const struct lorac_tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->size || t->added_of[id] < 0) { return NULL; }
    return &t->added[t->added_of[id]];
}

static struct lorac_added *known(struct lorac_tokenizer *t, int32_t id)
{
    for (size_t i = t->n_added; i-- > 0;) {
        if (t->added[i].id == id) { return &t->added[i]; }
    }
    return NULL;
}

/* The id that the reference would give a token that the model does not have. */
static int32_t next_id(const struct lorac_tokenizer *t)
{
    size_t n = t->vocab.count;
    return (int32_t)(t->names.size > n ? t->names.size : n);
}

static enum lorac_status put_added(struct lorac_added **out, struct lorac_tokenizer *t, int32_t id,
                                   const char *content, size_t n, struct lorac_err *err)
{
    enum lorac_status st = lorac_vocab_reserve(&t->names, 1, (size_t)id + 1, n, err);
    if (st) { return st; }
    if (t->n_added == t->cap_added) {
        struct lorac_added *p =
            lorac_mem_grow(t->added, t->n_added, &t->cap_added, t->n_added + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        t->added = p;
    }
    lorac_vocab_put(&t->names, id, content, n);
    *out = &t->added[t->n_added++];
    **out = (struct lorac_added){.id = id};
    return LORAC_OK;
}

static enum lorac_status check_id(struct lorac_tokenizer *t, const struct lorac_json *at,
                                  int32_t id, const char *content, size_t n, struct lorac_err *err)
{
    int32_t want = lorac_vocab_find(&t->vocab, content, n);
    if (want < 0) { want = lorac_vocab_find(&t->names, content, n); }
    if (want < 0) { want = next_id(t); }
    if (id != want) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s': token '%.80s' has id %d, %d was expected",
                          at->file, at->where, content, (int)id, (int)want);
    }
    return LORAC_OK;
}

static enum lorac_status read_flags(struct lorac_added *a, const struct lorac_json *at,
                                    struct lorac_err *err)
{
    a->normalized = !a->special; // AddedToken::from
    enum lorac_status st = lorac_json_bool(&a->single_word, at, "single_word", false, err);
    if (!st) { st = lorac_json_bool(&a->lstrip, at, "lstrip", false, err); }
    if (!st) { st = lorac_json_bool(&a->rstrip, at, "rstrip", false, err); }
    if (!st) { st = lorac_json_bool(&a->normalized, at, "normalized", false, err); }
    return st;
}

enum lorac_status lorac_added_read(struct lorac_tokenizer *t, const struct lorac_json *at,
                                   int32_t id, struct lorac_err *err)
{
    const char *content = NULL;
    enum lorac_status st = lorac_json_only(at,
                                           LORAC_KEYS("id", "content", "single_word", "lstrip",
                                                      "rstrip", "normalized", "special", "__type"),
                                           err);
    if (!st) { st = lorac_json_string(&content, at, "content", true, err); }
    if (st) { return st; }
    const size_t n = strlen(content);
    if (n > TOK_MAX_TOKEN) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: '%s.content' holds %zu bytes, at most %d were expected", at->file,
                          at->where, n, TOK_MAX_TOKEN);
    }
    if (n == 0) { return LORAC_OK; } // as the reference: it adds nothing
    st = check_id(t, at, id, content, n, err);
    if (st) { return st; }
    struct lorac_added *a = lorac_vocab_find(&t->names, content, n) >= 0 ? known(t, id) : NULL;
    if (!a) { st = put_added(&a, t, id, content, n, err); }
    if (st || !a) { return st; }
    st = lorac_json_bool(&a->special, at, "special", false, err);
    return st ? st : read_flags(a, at, err);
}

enum lorac_status lorac_added_special(int32_t *id, struct lorac_tokenizer *t,
                                      const struct lorac_json *at, const char *name, bool must_be,
                                      struct lorac_err *err)
{
    const size_t n = strlen(name);
    *id = lorac_vocab_find(&t->names, name, n);
    if (*id >= 0) { return LORAC_OK; }
    *id = lorac_vocab_find(&t->vocab, name, n);
    const int32_t next = next_id(t);
    const bool taken = next >= TOK_MAX_ID || lorac_token_text(t, next);
    if (*id < 0 && (must_be || n > TOK_MAX_TOKEN || taken)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' names '%.80s', which is no token", at->file,
                          at->where, name);
    }
    if (*id < 0) { *id = next; }
    struct lorac_added *a = NULL;
    enum lorac_status st = put_added(&a, t, *id, name, n, err);
    if (st || !a) { return st; }
    a->special = true;
    return json_is_object(at->value) ? read_flags(a, at, err) : LORAC_OK;
}

/* By first byte, longest first. */
static int by_match(const void *x, const void *y)
{
    const struct lorac_added *a = *(const struct lorac_added *const *)x;
    const struct lorac_added *b = *(const struct lorac_added *const *)y;
    const unsigned char p = (unsigned char)a->match[0];
    const unsigned char q = (unsigned char)b->match[0];
    if (p != q) { return p < q ? -1 : 1; }
    if (a->n != b->n) { return a->n > b->n ? -1 : 1; }
    return memcmp(a->match, b->match, a->n);
}

static enum lorac_status build_set(struct lorac_added_set *set, const struct lorac_tokenizer *t,
                                   bool normalized, const char *file, struct lorac_err *err)
{
    size_t n = 0;
    lorac_mem_free(set->at);
    const size_t width = sizeof set->at[0]; // NOLINT(bugprone-sizeof-expression): of pointers
    set->at = lorac_mem_new(t->n_added + 1, width);
    if (!set->at) { return lorac_no_memory(err); }
    for (size_t i = 0; i < t->n_added; i++) {
        if (t->added[i].normalized == normalized) { set->at[n++] = &t->added[i]; }
    }
    qsort(set->at, n, width, by_match);
    for (size_t i = 1; i < n; i++) {
        if (by_match(&set->at[i - 1], &set->at[i]) == 0) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: added tokens %d and %d are the same text, '%.80s'", file,
                              (int)set->at[i - 1]->id, (int)set->at[i]->id, set->at[i]->match);
        }
    }
    for (size_t first = 0, k = 0; first <= 256; first++) {
        while (k < n && (unsigned char)set->at[k]->match[0] < first) {
            k++;
        }
        set->begin[first] = (uint32_t)k;
    }
    return LORAC_OK;
}

/* What to search for. */
static enum lorac_status set_match(struct lorac_added *a, const struct lorac_tokenizer *t,
                                   struct lorac_marked *text, struct lorac_marked *tmp,
                                   struct lorac_matcher *m, const char *file, struct lorac_err *err)
{
    size_t n = 0;
    const char *content = lorac_vocab_text(&t->names, a->id, &n);
    lorac_marked_clear(text);
    lorac_marked_fill(text, content, n, 0);
    if (text->text.no_memory || text->mark.no_memory) { return lorac_no_memory(err); }
    if (a->normalized) {
        enum lorac_status st = lorac_normalize(text, tmp, t, m, err);
        if (st) { return st; }
    }
    if (text->text.n == 0 || text->text.n > (size_t)4 * TOK_MAX_TOKEN) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: the normalizer makes %zu bytes of added token '%.80s'", file,
                          text->text.n, content);
    }
    lorac_mem_free(a->match);
    a->n = text->text.n;
    a->match = lorac_mem_string(text->text.at, a->n);
    return a->match ? LORAC_OK : lorac_no_memory(err);
}

enum lorac_status lorac_added_build(struct lorac_tokenizer *t, const char *file,
                                    struct lorac_err *err)
{
    struct lorac_marked text = {0};
    struct lorac_marked tmp = {0};
    struct lorac_matcher m = {0};
    enum lorac_status st = LORAC_OK;
    t->size = t->vocab.size > t->names.size ? t->vocab.size : t->names.size;
    lorac_mem_free(t->added_of);
    t->added_of = lorac_mem_new(t->size, sizeof *t->added_of);
    if (!t->added_of) {
        st = lorac_no_memory(err);
        goto done;
    }
    memset(t->added_of, 0xFF, t->size * sizeof *t->added_of); // -1
    for (size_t i = 0; i < t->n_added && !st; i++) {
        t->added_of[t->added[i].id] = (int32_t)i;
        st = set_match(&t->added[i], t, &text, &tmp, &m, file, err);
    }
    if (!st) { st = build_set(&t->raw, t, false, file, err); }
    if (!st) { st = build_set(&t->normalized, t, true, file, err); }
done:
    lorac_marked_free(&text);
    lorac_marked_free(&tmp);
    lorac_matcher_release(&m);
    return st;
}
