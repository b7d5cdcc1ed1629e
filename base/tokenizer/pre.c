/*
 * pre.c - pre-tokenizers, as src/pre_tokenizers and NormalizedString::split of the
 * reference: each maps pieces to pieces, which no merge crosses.
 */
#include "base/tokenizer/impl.h"

#include <string.h>

/* encoder.py of GPT-2: printable Latin-1 stands for itself, the 68 others for U+0100 and up. */
static bool is_printable(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

static unsigned rank_of_unprintable(unsigned byte)
{
    return byte <= ' ' ? byte : byte <= 0xA0 ? byte - 0x7F + 33 : 67;
}

uint32_t lorac_byte_char(unsigned char byte)
{
    return is_printable(byte) ? byte : 256 + rank_of_unprintable(byte);
}

int lorac_char_byte(uint32_t cp)
{
    if (cp < 256) { return is_printable(cp) ? (int)cp : -1; }
    const uint32_t rank = cp - 256;
    if (rank > 67) { return -1; }
    return (int)(rank <= 32 ? rank : rank < 67 ? rank - 33 + 0x7F : 0xAD);
}

/* A piece is cut into matches and what is between them; the last cut waits here, because the next
 * may join it. */
struct splitter {
    struct lorac_lane *out;
    const char *s;
    enum pre_behavior behavior;
    bool invert;
    bool pending, after_match; // there is a last cut; it ends with a match
    size_t begin, end;         // of the last cut
    bool removed_first;        // the piece's beginning was removed
};

static enum lorac_status flush(struct splitter *w, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (w->pending && w->end > w->begin) {
        lorac_buf_add(&w->out->text, w->s + w->begin, w->end - w->begin);
        st = lorac_lane_close(w->out, false, err);
    }
    w->pending = false;
    return st;
}

/* What is pending goes on with the next cut: the behaviours of SplitDelimiterBehavior. A match is
 * joined to the text before it (PREVIOUS: one match only), to the text behind it (NEXT), or runs of
 * matches to one (CONTIGUOUS). */
static bool joins(const struct splitter *w, bool match)
{
    if (!w->pending) { return false; }
    switch (w->behavior) {
    case PRE_PREVIOUS:
        return match && !w->after_match;
    case PRE_NEXT:
        return !match && w->after_match;
    case PRE_CONTIGUOUS:
        return match == w->after_match;
    case PRE_REMOVED:
    case PRE_ISOLATED:
        return false;
    }
    return false;
}

static enum lorac_status add_cut(struct splitter *w, size_t begin, size_t end, bool match,
                                 struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    match = match != w->invert;
    if (w->behavior == PRE_REMOVED && match) {
        w->removed_first |= begin == 0 && end > 0;
        return flush(w, err);
    }
    if (!joins(w, match)) {
        st = flush(w, err);
        w->begin = begin;
    }
    w->pending = true;
    w->end = end;
    w->after_match = match;
    return st;
}

static enum lorac_status split_pattern(struct splitter *w, size_t n,
                                       const struct lorac_pattern *pattern, struct lorac_matcher *m,
                                       struct lorac_err *err)
{
    struct lorac_cursor cursor = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t done = 0; !st && done <= n;) {
        size_t begin = 0;
        size_t end = 0;
        st = lorac_pattern_next(&begin, &end, &cursor, pattern, m, w->s, n, err);
        if (st) { return st; }
        const size_t stop = begin > n ? n : begin;
        if (stop > done) { st = add_cut(w, done, stop, false, err); }
        if (begin > n) { break; }
        if (!st) { st = add_cut(w, begin, end, true, err); }
        done = end;
    }
    return st ? st : flush(w, err);
}

/* A pattern that is a class of characters: each is a match of its own. */
static enum lorac_status split_chars(struct splitter *w, size_t n, bool (*is)(uint32_t),
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t from = 0;
    uint32_t cp = 0;
    for (size_t i = 0, len = 0; i < n && !st; i += len) {
        len = lorac_utf8_next(w->s + i, n - i, &cp);
        if (!is(cp)) { continue; }
        if (from < i) { st = add_cut(w, from, i, false, err); }
        if (!st) { st = add_cut(w, i, i + len, true, err); }
        from = i + len;
    }
    if (!st && from < n) { st = add_cut(w, from, n, false, err); }
    return st ? st : flush(w, err);
}

static enum lorac_status split_metaspace(struct splitter *w, size_t n, const char *mark,
                                         struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    const size_t len = strlen(mark);
    size_t from = 0;
    for (size_t i = 0; i + len <= n && !st;) {
        if (memcmp(w->s + i, mark, len) != 0) {
            i++;
            continue;
        }
        if (from < i) { st = add_cut(w, from, i, false, err); }
        if (!st) { st = add_cut(w, i, i + len, true, err); }
        i += len;
        from = i;
    }
    if (!st && from < n) { st = add_cut(w, from, n, false, err); }
    return st ? st : flush(w, err);
}

/* Spaces become the mark; `text` is scratch. */
static enum lorac_status metaspace(struct lorac_lane *out, const struct lorac_pre *pre,
                                   const char *s, size_t n, bool prefix, struct lorac_buf *text,
                                   struct lorac_err *err)
{
    const size_t len = strlen(pre->mark);
    lorac_buf_clear(text);
    const bool marked = s[0] == ' ' || (n >= len && memcmp(s, pre->mark, len) == 0);
    if (prefix && !marked) { lorac_buf_str(text, pre->mark); }
    for (size_t i = 0; i < n;) {
        const char *space = memchr(s + i, ' ', n - i);
        const size_t stop = space ? (size_t)(space - s) : n;
        lorac_buf_add(text, s + i, stop - i);
        if (space) { lorac_buf_str(text, pre->mark); }
        i = stop + 1;
    }
    if (text->no_memory) { return lorac_no_memory(err); }
    if (pre->split) {
        struct splitter w = {.out = out, .s = text->at, .behavior = PRE_NEXT};
        return split_metaspace(&w, text->n, pre->mark, err);
    }
    lorac_buf_add(&out->text, text->at, text->n);
    return lorac_lane_close(out, false, err);
}

static enum lorac_status to_bytes(struct lorac_lane *out, const char *s, size_t n,
                                  struct lorac_err *err)
{
    char block[512];
    for (size_t i = 0; i < n;) {
        size_t used = 0;
        for (; i < n && used + 4 <= sizeof block; i++) {
            used += lorac_utf8_put(block + used, lorac_byte_char((unsigned char)s[i]));
        }
        lorac_buf_add(&out->text, block, used);
    }
    return lorac_lane_close(out, false, err);
}

static enum lorac_status byte_level(struct lorac_lane *out, const struct lorac_pre *pre,
                                    const char *s, size_t n, bool prefix, struct lorac_buf *text,
                                    struct lorac_lane *pieces, struct lorac_matcher *m,
                                    struct lorac_err *err)
{
    if (prefix && s[0] != ' ') {
        lorac_buf_clear(text);
        lorac_buf_str(text, " ");
        lorac_buf_add(text, s, n);
        if (text->no_memory) { return lorac_no_memory(err); }
        s = text->at;
        n = text->n;
    }
    if (!pre->has_pattern) { return to_bytes(out, s, n, err); }
    lorac_lane_clear(pieces);
    struct splitter w = {.out = pieces, .s = s, .behavior = PRE_ISOLATED};
    enum lorac_status st = split_pattern(&w, n, &pre->pattern, m, err);
    for (size_t i = 0, from = 0; i < pieces->n && !st; from = pieces->end[i++]) {
        st = to_bytes(out, pieces->text.at + from, pieces->end[i] - from, err);
    }
    return st;
}

/* `is_first`: the piece stands where the text begins. Sets out->first for piece 0. */
static enum lorac_status apply(struct lorac_lane *out, const struct lorac_pre *pre, const char *s,
                               size_t n, bool is_first, bool continues,
                               struct lorac_pre_scratch *scratch, struct lorac_matcher *m,
                               struct lorac_err *err)
{
    const bool prefix = !(is_first && continues) &&
                        (pre->prefix == PREFIX_ALWAYS || (pre->prefix == PREFIX_FIRST && is_first));
    struct splitter w = {.out = out, .s = s, .behavior = pre->behavior, .invert = pre->invert};
    enum lorac_status st = LORAC_OK;
    switch (pre->kind) {
    case PRE_BYTE_LEVEL:
        st = byte_level(out, pre, s, n, prefix, &scratch->text, &scratch->pieces, m, err);
        break;
    case PRE_METASPACE:
        st = metaspace(out, pre, s, n, prefix, &scratch->text, err);
        break;
    case PRE_SPLIT:
        st = split_pattern(&w, n, &pre->pattern, m, err);
        break;
    case PRE_DIGITS:
        st = split_chars(&w, n, lorac_char_is_number, err);
        break;
    case PRE_WHITESPACE_SPLIT:
        st = split_chars(&w, n, lorac_char_is_space, err);
        break;
    case PRE_PUNCTUATION:
        st = split_chars(&w, n, lorac_char_is_punct, err);
        break;
    }
    if (is_first) { out->first = !w.removed_first; }
    return st;
}

enum lorac_status lorac_pretokenize(struct lorac_lane *lane, struct lorac_pre_scratch *scratch,
                                    const struct lorac_tokenizer *t, struct lorac_matcher *m,
                                    bool continues, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_lane *tmp = &scratch->lane;
    const size_t given = lane->text.n;
    const size_t limit = lorac_growth_limit(given);
    for (size_t i = 0; i < t->n_pre && !st; i++) {
        lorac_lane_clear(tmp);
        for (size_t k = 0, from = 0; k < lane->n && !st; from = lane->end[k++]) {
            st = apply(tmp, &t->pre[i], lane->text.at + from, lane->end[k] - from,
                       k == 0 && lane->first, continues, scratch, m, err);
        }
        if (!st && tmp->text.n > limit) { // a step makes at most four bytes of one
            st = lorac_fail(err, LORAC_EFORMAT,
                            "pre-tokenizer %zu makes more than %zu bytes of %zu bytes of text", i,
                            limit, given);
        }
        struct lorac_lane swap = *lane;
        *lane = *tmp;
        *tmp = swap;
    }
    return st;
}

void lorac_pre_release(struct lorac_pre_scratch *s)
{
    lorac_lane_free(&s->lane);
    lorac_lane_free(&s->pieces);
    lorac_buf_free(&s->text);
}
