/*
 * norm.c - normalisers, as src/normalizers of the reference: each maps marked text to
 * marked text. Bytes that come from several keep a mark only where all of these had it.
 */
#include "base/tokenizer/impl.h"

#include "base/core/mem.h"

#include <string.h>
#include <utf8proc.h>

static char common_mark(const char *mark, size_t n)
{
    unsigned all = n ? (unsigned char)mark[0] : 0;
    for (size_t i = 1; i < n; i++) {
        all &= (unsigned char)mark[i];
    }
    return (char)all;
}

static void prepend(struct lorac_marked *out, const struct lorac_marked *in,
                    const struct lorac_norm *norm)
{
    if (in->text.n == 0) { return; }
    lorac_marked_fill(out, norm->text, norm->n, (char)(in->mark.at[0] | MARK_PREFIX));
    lorac_marked_add(out, in->text.at, in->text.n, in->mark.at);
}

static enum lorac_status replace(struct lorac_marked *out, const struct lorac_marked *in,
                                 const struct lorac_norm *norm, struct lorac_matcher *m,
                                 size_t limit, struct lorac_err *err)
{
    const char *s = in->text.at;
    const size_t n = in->text.n;
    struct lorac_cursor cursor = {0};
    for (size_t done = 0; n > 0;) {
        size_t begin = 0;
        size_t end = 0;
        enum lorac_status st =
            lorac_pattern_next(&begin, &end, &cursor, &norm->pattern, m, s, n, err);
        if (st) { return st; }
        size_t stop = begin > n ? n : begin;
        lorac_marked_add(out, s + done, stop - done, in->mark.at + done);
        if (begin > n) { break; }
        lorac_marked_fill(out, norm->text, norm->n, common_mark(in->mark.at + begin, end - begin));
        if (out->text.n > limit) { break; } // refused by the caller
        done = end;
    }
    return LORAC_OK;
}

/* Code points of one chunk; UTF-8 after utf8proc_reencode. */
struct points {
    utf8proc_int32_t *at;
    size_t cap;
};

static enum lorac_status compose_chunk(struct lorac_marked *out, struct points *p, const char *s,
                                       size_t n, char mark, utf8proc_option_t options,
                                       struct lorac_err *err)
{
    const utf8proc_uint8_t *u = (const utf8proc_uint8_t *)s;
    utf8proc_ssize_t length = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        length =
            utf8proc_decompose(u, (utf8proc_ssize_t)n, p->at, (utf8proc_ssize_t)p->cap, options);
        if (length < 0 || (size_t)length < p->cap) { break; } // one is for the NUL of reencode
        utf8proc_int32_t *larger =
            lorac_mem_grow(p->at, 0, &p->cap, (size_t)length + 1, sizeof *p->at);
        if (!larger) { return lorac_no_memory(err); }
        p->at = larger;
    }
    if (length >= 0) { length = utf8proc_reencode(p->at, length, options); }
    if (length < 0) {
        return lorac_fail(err, LORAC_EFORMAT, "Unicode normalisation failed: %s",
                          utf8proc_errmsg(length));
    }
    lorac_marked_fill(out, (const char *)p->at, (size_t)length, mark);
    return LORAC_OK;
}

/* NFC, NFD, NFKC, NFKD. ASCII characters neither decompose nor combine with what is before them, so
 * the text falls into chunks: an ASCII character and what follows it. */
static enum lorac_status compose(struct lorac_marked *out, const struct lorac_marked *in,
                                 utf8proc_option_t options, struct lorac_err *err)
{
    struct points p = {0};
    const char *s = in->text.at;
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0, end = 0; i < in->text.n && !st; i = end) {
        for (end = i; end < in->text.n && (unsigned char)s[end] < 0x80; end++) {}
        const bool more = end < in->text.n;
        const size_t plain =
            more && end > i ? end - 1 : end; // the last may combine with what comes
        lorac_marked_add(out, s + i, plain - i, in->mark.at + i);
        for (; end < in->text.n && (unsigned char)s[end] >= 0x80; end++) {}
        if (plain < end) {
            st = compose_chunk(out, &p, s + plain, end - plain,
                               common_mark(in->mark.at + plain, end - plain), options, err);
        }
    }
    lorac_mem_free(p.at);
    return st;
}

/* The ideographs of bert.rs, which leaves out U+2B820 to U+2B91F. */
static bool is_ideograph(uint32_t cp)
{
    static const uint32_t ranges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0x2F800, 0x2FA1F}};
    bool is = false;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        is |= cp >= ranges[i][0] && cp <= ranges[i][1];
    }
    return is;
}

/* Tabs and line ends are white space here, not control characters. */
static bool is_cleaned(uint32_t cp)
{
    return cp != '\t' && cp != '\n' && cp != '\r' && (cp == 0xFFFD || lorac_char_is_other(cp));
}

/* What the character s[0,n) becomes, in `to`. Lower case is that of Rust's char::to_lowercase,
 * where U+0130 is the one that becomes two. */
static size_t map_char(char to[8], enum norm_kind kind, uint32_t cp, const char *s, size_t n)
{
    if (kind == NORM_LOWERCASE && cp != 0x130) {
        return lorac_utf8_put(to, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
    }
    if (kind == NORM_LOWERCASE) {
        memcpy(to, "i\xCC\x87", 3);
        return 3;
    }
    if (kind == NORM_CLEAN && is_cleaned(cp)) { return 0; }
    if (kind == NORM_NONSPACING && lorac_char_is_nonspacing(cp)) { return 0; }
    if (kind == NORM_CLEAN && lorac_char_is_space(cp)) {
        to[0] = ' ';
        return 1;
    }
    const bool spaced = kind == NORM_SPACE_CJK && is_ideograph(cp);
    memcpy(to + spaced, s, n);
    if (spaced) { to[0] = to[n + 1] = ' '; }
    return n + 2 * (size_t)spaced;
}

static void map_chars(struct lorac_marked *out, const struct lorac_marked *in, enum norm_kind kind)
{
    const char *s = in->text.at;
    uint32_t cp = 0;
    for (size_t i = 0, len = 0; i < in->text.n; i += len) {
        char to[8];
        len = lorac_utf8_next(s + i, in->text.n - i, &cp);
        const size_t n = map_char(to, kind, cp, s + i, len);
        lorac_marked_fill(out, to, n, in->mark.at[i]);
    }
}

void lorac_strip(size_t *begin, size_t *end, const char *s, bool left, bool right)
{
    uint32_t cp = 0;
    while (left && *begin < *end) {
        size_t len = lorac_utf8_next(s + *begin, *end - *begin, &cp);
        if (!lorac_char_is_space(cp)) { break; }
        *begin += len;
    }
    while (right && *end > *begin) {
        size_t at = *end - 1;
        for (; at > *begin && ((unsigned char)s[at] & 0xC0) == 0x80; at--) {}
        (void)lorac_utf8_next(s + at, *end - at, &cp);
        if (!lorac_char_is_space(cp)) { break; }
        *end = at;
    }
}

static void strip(struct lorac_marked *out, const struct lorac_marked *in,
                  const struct lorac_norm *norm)
{
    size_t begin = 0;
    size_t end = in->text.n;
    lorac_strip(&begin, &end, in->text.at, norm->left, norm->right);
    if (begin < end) {
        lorac_marked_add(out, in->text.at + begin, end - begin, in->mark.at + begin);
    }
}

static enum lorac_status apply(struct lorac_marked *out, const struct lorac_marked *in,
                               const struct lorac_norm *norm, struct lorac_matcher *m, size_t limit,
                               struct lorac_err *err)
{
    const utf8proc_option_t stable = UTF8PROC_STABLE;
    switch (norm->kind) {
    case NORM_PREPEND:
        prepend(out, in, norm);
        return LORAC_OK;
    case NORM_REPLACE:
        return replace(out, in, norm, m, limit, err);
    case NORM_NFC:
        return compose(out, in, stable | UTF8PROC_COMPOSE, err);
    case NORM_NFD:
        return compose(out, in, stable | UTF8PROC_DECOMPOSE, err);
    case NORM_NFKC:
        return compose(out, in, stable | UTF8PROC_COMPAT | UTF8PROC_COMPOSE, err);
    case NORM_NFKD:
        return compose(out, in, stable | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, err);
    case NORM_LOWERCASE:
    case NORM_CLEAN:
    case NORM_SPACE_CJK:
    case NORM_NONSPACING:
        map_chars(out, in, norm->kind);
        return LORAC_OK;
    case NORM_STRIP:
        strip(out, in, norm);
        return LORAC_OK;
    }
    return LORAC_OK;
}

enum lorac_status lorac_normalize(struct lorac_marked *in, struct lorac_marked *tmp,
                                  const struct lorac_tokenizer *t, struct lorac_matcher *m,
                                  struct lorac_err *err)
{
    const size_t given = in->text.n;
    const size_t limit = lorac_growth_limit(given);
    for (size_t i = 0; i < t->n_norm && in->text.n > 0; i++) {
        lorac_marked_clear(tmp);
        enum lorac_status st = apply(tmp, in, &t->norm[i], m, limit, err);
        if (st) { return st; }
        if (tmp->text.no_memory || tmp->mark.no_memory) { return lorac_no_memory(err); }
        if (tmp->text.n > limit) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "normalizer %zu makes more than %zu bytes of %zu bytes of text", i,
                              limit, given);
        }
        struct lorac_marked swap = *in;
        *in = *tmp;
        *tmp = swap;
    }
    return LORAC_OK;
}
