/*
 * regex.c - the file's patterns: written for Oniguruma (Ruby syntax), run by PCRE2.
 *
 * Where the two read a pattern differently it is rewritten or refused, never guessed:
 *   \s \S \w     Oniguruma: White_Space; Alphabetic, M, Nd, Pc. PCRE2 counts U+180E as space and,
 *                in some versions, no mark as word: rewritten with Unicode properties.
 *   \p{L} ..     Oniguruma knows newer characters (unicode.c); \p{Han} is the script.
 *   ^ $          begin and end of a line in Ruby: PCRE2_MULTILINE.
 *   {n,m}+       Ruby: repeat the group; PCRE2: possessive. {,m}; \h \b \R..; &&, [..[..]..];
 *                flags other than i; (?i) in the middle: refused.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/tokenizer/impl.h"

#include "base/core/mem.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PATTERN = 8192, MAX_STEPS = 10 * 1000 * 1000, MAX_HEAP_KIB = 64 * 1024 };

static void *pcre2_new(size_t n, void *data)
{
    (void)data;
    return lorac_mem_new(n, 1);
}

static void pcre2_release(void *p, void *data)
{
    (void)data;
    lorac_mem_free(p);
}

static enum lorac_status refuse(const struct lorac_json *at, const char *what,
                                struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s': the pattern holds %s, which is not supported",
                      at->file, at->where, what);
}

/* \p{..}, \P{..} at `s` = "p{..}": general categories with what newer versions of Unicode add,
 * other names as scripts (PCRE2 alone would take script extensions). Returns the length of "{..}".
 */
static size_t translate_property(struct lorac_buf *b, const char *s, bool in_class,
                                 const char **what)
{
    const size_t n = s[1] == '{' ? strcspn(s + 2, "}") : 0;
    const bool negated = s[0] == 'P';
    if (n == 0 || n > 40 || s[2 + n] != '}' || s[2] == '^') {
        *what = "a property in a form";
        return 0;
    }
    const char *more = lorac_class_more(s + 2, n);
    const char *script = n > 2 ? "sc:" : "";
    if (negated && in_class && *more) {
        *what = "a negated property in a class";
    } else if (*more) {
        lorac_buf_printf(b, "%s\\p{%.*s}%s%s",
                         in_class  ? ""
                         : negated ? "[^"
                                   : "[",
                         (int)n, s + 2, more, in_class ? "" : "]");
    } else {
        lorac_buf_printf(b, "\\%c{%s%.*s}", s[0], script, (int)n, s + 2);
    }
    return n + 2;
}

static const char word[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

/* The escape whose letter is s[0]; `*what` where it is refused. Returns the characters of `s` used
 * beyond the letter. */
static size_t translate_escape(struct lorac_buf *b, const char *s, bool in_class, const char **what)
{
    const char c = s[0];
    if (c == 'p' || c == 'P') { return translate_property(b, s, in_class, what); }
    if (c == 's') {
        lorac_buf_str(b, "\\p{White_Space}");
    } else if (c == 'S') {
        lorac_buf_str(b, "\\P{White_Space}");
    } else if (c == 'd') {
        (void)translate_property(b, "p{Nd}", in_class, what);
    } else if (c == 'w' || (c == 'W' && !in_class)) {
        lorac_buf_printf(b, "%s%s%s%s",
                         in_class   ? ""
                         : c == 'w' ? "["
                                    : "[^",
                         word, lorac_class_more("w", 1), in_class ? "" : "]");
    } else if (c == 'v') {
        lorac_buf_str(b, "\\x0b");
    } else if (c == 'u' && strspn(s + 1, "0123456789abcdefABCDEF") >= 4) {
        lorac_buf_printf(b, "\\x{%.4s}", s + 1);
        return 4;
    } else if (c == '\0' || strchr("bBhHRXGKkgQEWDoNyYuCMc", c) || (c >= '0' && c <= '9')) {
        *what = "an escape (word border, reference, hexadecimal digit or other)";
    } else {
        lorac_buf_printf(b, "\\%c", c); // a byte of a longer character is followed by its rest
    }
    return 0;
}

/* "(?": which groups mean the same in both. */
static const char *check_group(const char *s, bool at_start)
{
    const char *const same[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (strncmp(s, same[i], strlen(same[i])) == 0) { return NULL; }
    }
    if (at_start && strncmp(s, "(?i)", 4) == 0) { return NULL; }
    return "a kind of group or a flag";
}

/* What stands at `s` outside a class and means something else in Ruby; NULL: nothing. */
static const char *check_outside(const char *s, bool at_start)
{
    if (strncmp(s, "(?", 2) == 0) { return check_group(s, at_start); }
    if (strncmp(s, "(*", 2) == 0) { return "a verb"; }
    if (strncmp(s, "}+", 2) == 0) { return "'{n,m}+'"; }
    return strncmp(s, "{,", 2) == 0 ? "'{,m}'" : NULL;
}

/* `regex` for PCRE2; what is refused, or NULL. */
static const char *translate(struct lorac_buf *b, const char *regex)
{
    bool in_class = false;
    const char *what = NULL;
    for (const char *s = regex; *s && !what; s++) {
        if (*s == '\\') {
            s++;
            s += translate_escape(b, s, in_class, &what);
            if (*s == '\0') { break; }
            continue;
        }
        if (in_class && (*s == '[' || strncmp(s, "&&", 2) == 0)) {
            what = "a class within a class";
        }
        if (!in_class) { what = check_outside(s, s == regex); }
        in_class = in_class ? *s != ']' : *s == '[';
        lorac_buf_add(b, s, 1);
    }
    return what;
}

static pcre2_code *compile_in(pcre2_compile_context *context, const char *text, size_t n,
                              const struct lorac_json *at, struct lorac_err *err)
{
    int code = 0;
    PCRE2_SIZE where = 0;
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *pattern = pcre2_compile(
        (PCRE2_SPTR)text, n, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &where, context);
    if (pattern) {
        (void)pcre2_jit_compile(pattern, PCRE2_JIT_COMPLETE); // where it fails, PCRE2 interprets
    } else if (code == PCRE2_ERROR_HEAP_FAILED) {
        (void)lorac_no_memory(err);
    } else {
        PCRE2_UCHAR why[120];
        (void)pcre2_get_error_message(code, why, sizeof why);
        (void)lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is no regular expression: %s", at->file,
                         at->where, (const char *)why);
    }
    return pattern;
}

static enum lorac_status compile(pcre2_code **out, const char *text, size_t n,
                                 const struct lorac_json *at, struct lorac_err *err)
{
    struct lorac_err failed = {0};
    pcre2_compile_context *context = NULL;
    pcre2_general_context *general = pcre2_general_context_create(pcre2_new, pcre2_release, NULL);
    if (general) { context = pcre2_compile_context_create(general); }
    *out = context ? compile_in(context, text, n, at, &failed) : NULL;
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    if (*out) { return LORAC_OK; }
    return context ? lorac_fail(err, failed.code, "%s", failed.text) : lorac_no_memory(err);
}

enum lorac_status lorac_pattern_regex(struct lorac_pattern *p, const char *regex,
                                      const struct lorac_json *at, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    pcre2_code *code = NULL;
    enum lorac_status st = LORAC_OK;
    if (strlen(regex) > MAX_PATTERN) { return refuse(at, "more than 8192 bytes", err); }
    const char *what = translate(&b, regex);
    if (what) {
        st = refuse(at, what, err);
    } else if (b.no_memory) {
        st = lorac_no_memory(err);
    } else {
        st = compile(&code, b.at ? b.at : "", b.n, at, err);
    }
    p->code = code;
    lorac_buf_free(&b);
    return st;
}

void lorac_pattern_release(struct lorac_pattern *p)
{
    lorac_mem_free(p->literal);
    pcre2_code_free(p->code);
    *p = (struct lorac_pattern){0};
}

void lorac_matcher_release(struct lorac_matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    *m = (struct lorac_matcher){0};
}

static enum lorac_status matcher_init(struct lorac_matcher *m, struct lorac_err *err)
{
    pcre2_general_context *general = pcre2_general_context_create(pcre2_new, pcre2_release, NULL);
    if (general) {
        m->data = pcre2_match_data_create(1, general);
        m->context = pcre2_match_context_create(general);
    }
    pcre2_general_context_free(general);
    if (!m->data || !m->context) {
        lorac_matcher_release(m);
        return lorac_no_memory(err);
    }
    (void)pcre2_set_match_limit(m->context, MAX_STEPS);
    (void)pcre2_set_heap_limit(m->context, MAX_HEAP_KIB);
    return LORAC_OK;
}

static enum lorac_status next_regex(size_t *begin, size_t *end, size_t from,
                                    const struct lorac_pattern *p, struct lorac_matcher *m,
                                    const char *s, size_t n, struct lorac_err *err)
{
    enum lorac_status st = m->data ? LORAC_OK : matcher_init(m, err);
    if (st) { return st; }
    int rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         m->data, m->context);
    }
    if (rc == PCRE2_ERROR_NOMEMORY) { return lorac_no_memory(err); }
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "the tokenizer's pattern needs too many steps on this text (PCRE2 error "
                          "%d at byte %zu)",
                          rc, from);
    }
    const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(m->data);
    *begin = rc < 0 ? n + 1 : ovector[0];
    *end = rc < 0 ? n + 1 : ovector[1];
    return LORAC_OK;
}

static void next_literal(size_t *begin, size_t *end, size_t from, const struct lorac_pattern *p,
                         const char *s, size_t n)
{
    *begin = *end = n + 1;
    for (size_t i = from; i < n && p->n <= n - i; i++) {
        const char *hit = memchr(s + i, p->literal[0], n - i);
        if (!hit) { return; }
        i = (size_t)(hit - s);
        if (p->n <= n - i && memcmp(hit, p->literal, p->n) == 0) {
            *begin = i;
            *end = i + p->n;
            return;
        }
    }
}

/* Empty matches follow onig's find_iter: one right behind a match is skipped. */
enum lorac_status lorac_pattern_next(size_t *begin, size_t *end, struct lorac_cursor *at,
                                     const struct lorac_pattern *p, struct lorac_matcher *m,
                                     const char *s, size_t n, struct lorac_err *err)
{
    *begin = *end = n + 1;
    for (size_t start = at->from; start <= n;) {
        enum lorac_status st = LORAC_OK;
        if (p->literal) {
            next_literal(begin, end, start, p, s, n);
        } else {
            st = next_regex(begin, end, start, p, m, s, n, err);
        }
        if (st) { return st; }
        if (*begin != *end || *begin > n || !at->any || *end != at->from) {
            at->from = *end;
            at->any = true;
            return LORAC_OK;
        }
        uint32_t cp = 0;
        size_t step = lorac_utf8_next(s + start, n - start, &cp);
        start += step ? step : 1;
        *begin = *end = n + 1;
    }
    at->from = n + 1;
    return LORAC_OK;
}
