/* text.c - UTF-8, classes of characters, and the two kinds of growing text. */
#include "base/tokenizer/impl.h"

#include "base/core/mem.h"

#include <string.h>
#include <utf8proc.h>

size_t lorac_growth_limit(size_t given)
{
    return given < TOK_MAX_TEXT / 512 ? 65536 + 256 * given : TOK_MAX_TEXT;
}

/* Table 3-7 of the Unicode standard: the second byte's range depends on the first. */
size_t lorac_utf8_next(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    if (n == 0) { return 0; }
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    size_t len = u[0] >= 0xC2 && u[0] < 0xE0 ? 2 : (u[0] & 0xF0) == 0xE0 ? 3 : 4;
    if (u[0] < 0xC2 || u[0] > 0xF4 || n < 2) { return 0; }
    unsigned low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    if (u[1] < low || u[1] > high || n < len) { return 0; }
    uint32_t c = u[0] & (0xFFU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80) { return 0; }
        c = c << 6 | (u[i] & 0x3F);
    }
    *cp = c;
    return len;
}

size_t lorac_utf8_put(char out[4], uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)cp, (utf8proc_uint8_t *)out);
}

size_t lorac_utf8_check(const char *s, size_t n)
{
    size_t i = 0;
    for (uint32_t cp = 0; i < n;) {
        if ((unsigned char)s[i] < 0x80) {
            i++;
            continue;
        }
        size_t len = lorac_utf8_next(s + i, n - i, &cp);
        if (len == 0) { return i; }
        i += len;
    }
    return n;
}

/* Length of the ill-formed part at `s`: as many bytes as could begin a character (at least one).
 * `*open` where it ends because the text does. */
static size_t bad_part(const char *s, size_t n, bool *open)
{
    const unsigned char *u = (const unsigned char *)s;
    *open = false;
    if (u[0] < 0xC2 || u[0] > 0xF4) { return 1; }
    size_t len = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    unsigned low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    size_t i = 1;
    for (; i < len && i < n; i++) {
        if (u[i] < low || u[i] > high) { return i; }
        low = 0x80;
        high = 0xBF;
    }
    *open = i == n;
    return i;
}

size_t lorac_utf8_lossy(struct lorac_buf *out, const char *s, size_t n)
{
    bool open = false;
    size_t from = 0;
    size_t i = 0;
    for (uint32_t cp = 0; i < n;) {
        size_t len = lorac_utf8_next(s + i, n - i, &cp);
        if (len == 0) {
            lorac_buf_add(out, s + from, i - from);
            lorac_buf_str(out, "\xEF\xBF\xBD");
            len = bad_part(s + i, n - i, &open);
            from = i + len;
        }
        i += len;
    }
    if (from < n) { lorac_buf_add(out, s + from, n - from); }
    return open ? 3 : 0;
}

bool lorac_char_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

/* Alphabetic, M, Nd, Pc and Join_Control (UTS 18, Annex C); the marks and the four ranges of
 * symbols are what Alphabetic adds to L and Nl. */
bool lorac_char_is_word(uint32_t cp)
{
    utf8proc_category_t c = category(cp);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC ||
           cp == 0x200C || cp == 0x200D || (cp >= 0x24B6 && cp <= 0x24E9) ||
           (cp >= 0x1F130 && cp <= 0x1F149) || (cp >= 0x1F150 && cp <= 0x1F169) ||
           (cp >= 0x1F170 && cp <= 0x1F189);
}

bool lorac_char_is_number(uint32_t cp)
{
    if (cp < 0x80) { return cp >= '0' && cp <= '9'; }
    utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool lorac_char_is_punct(uint32_t cp)
{
    if (cp < 0x80) {
        return (cp > ' ' && cp < '0') || (cp > '9' && cp < 'A') || (cp > 'Z' && cp < 'a') ||
               (cp > 'z' && cp < 0x7F);
    }
    utf8proc_category_t c = category(cp);
    bool is = c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
    return cp == 0x166D || cp == 0x111C9 ||
           (is && !lorac_char_is_recent(cp)); // two that have moved
}

bool lorac_char_is_nonspacing(uint32_t cp)
{
    bool is = category(cp) == UTF8PROC_CATEGORY_MN;
    return cp == 0x1734 || (is && !lorac_char_is_recent(cp)); // has moved
}

bool lorac_char_is_other(uint32_t cp)
{
    utf8proc_category_t c = category(cp);
    return c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CO ||
           (c == UTF8PROC_CATEGORY_CF && !lorac_char_is_recent(cp));
}

void lorac_marked_add(struct lorac_marked *m, const char *s, size_t n, const char *mark)
{
    lorac_buf_add(&m->text, s, n);
    lorac_buf_add(&m->mark, mark, n);
}

void lorac_marked_fill(struct lorac_marked *m, const char *s, size_t n, char mark)
{
    char same[64];
    memset(same, mark, sizeof same);
    lorac_buf_add(&m->text, s, n);
    for (size_t left = n; left > 0;) {
        size_t part = left < sizeof same ? left : sizeof same;
        lorac_buf_add(&m->mark, same, part);
        left -= part;
    }
}

void lorac_marked_clear(struct lorac_marked *m)
{
    lorac_buf_clear(&m->text);
    lorac_buf_clear(&m->mark);
}

void lorac_marked_free(struct lorac_marked *m)
{
    lorac_buf_free(&m->text);
    lorac_buf_free(&m->mark);
}

enum lorac_status lorac_lane_close(struct lorac_lane *l, bool keep_empty, struct lorac_err *err)
{
    if (l->text.no_memory) { return lorac_no_memory(err); }
    if (!keep_empty && l->text.n == (l->n ? l->end[l->n - 1] : 0)) { return LORAC_OK; }
    if (l->n == l->cap) {
        size_t *p = lorac_mem_grow(l->end, l->n, &l->cap, l->n + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        l->end = p;
    }
    l->end[l->n++] = l->text.n;
    return LORAC_OK;
}

void lorac_lane_clear(struct lorac_lane *l)
{
    lorac_buf_clear(&l->text);
    l->n = 0;
    l->first = false;
}

void lorac_lane_free(struct lorac_lane *l)
{
    lorac_buf_free(&l->text);
    lorac_mem_free(l->end);
    *l = (struct lorac_lane){0};
}
