/*
 * lex.c - the text of a template as tokens; see impl.h.
 *
 * Source: jinja2/lexer.py, with trim_blocks and lstrip_blocks on and keep_trailing_newline off:
 *   - every line end is \n, and one at the template's end is dropped;
 *   - one line end behind %} and #} goes, and so do blanks before {% and {# from the line's start;
 *   - {%- and -%} (and their kin) take all white space on their side, {%+ and +%} leave it.
 */
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/jinja/impl.h"
#include "base/tokenizer/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    struct lorac_jinja *t;
    const char *s; // with \n alone
    size_t n, i;
    struct lorac_jtoken *tok;
    size_t n_tok, cap;
    size_t line_at; // where the line of `placed` begins
    size_t placed;  // up to where lines were counted
    int line;
    bool line_start; // what comes next begins a line
    struct lorac_err *err;
};

static bool begins(const struct lexer *x, size_t i, const char *what)
{
    size_t n = strlen(what);
    return n <= x->n - i && memcmp(x->s + i, what, n) == 0;
}

static void count_lines(struct lexer *x, size_t to)
{
    for (; x->placed < to; x->placed++) {
        if (x->s[x->placed] != '\n') { continue; }
        x->line++;
        x->line_at = x->placed + 1;
    }
}

static enum lorac_status fail_at(struct lexer *x, size_t i, const char *what)
{
    count_lines(x, i);
    return lorac_fail(x->err, LORAC_EFORMAT, "%s:%d:%zu: %s", x->t->name, x->line,
                      i - x->line_at + 1, what);
}

static enum lorac_status add(struct lexer *x, enum lorac_jtok kind, size_t from, size_t to)
{
    if (x->n_tok == x->cap) {
        struct lorac_jtoken *p = lorac_mem_grow(x->tok, x->n_tok, &x->cap, x->n_tok + 1, sizeof *p);
        if (!p) { return lorac_fail(x->err, LORAC_ENOMEM, "no memory for a template"); }
        x->tok = p;
    }
    count_lines(x, from);
    x->tok[x->n_tok++] = (struct lorac_jtoken){.kind = kind,
                                               .text = {x->s + from, NULL, to - from},
                                               .line = x->line,
                                               .column = (int)(from - x->line_at) + 1};
    return LORAC_OK;
}

static size_t skip_space(const struct lexer *x, size_t i)
{
    uint32_t cp = 0;
    for (size_t len = 0; i < x->n; i += len) {
        len = lorac_utf8_next(x->s + i, x->n - i, &cp);
        if (!lorac_char_is_space(cp)) { break; }
    }
    return i;
}

static size_t skip_space_back(const struct lexer *x, size_t from, size_t to)
{
    uint32_t cp = 0;
    while (to > from) {
        size_t at = to - 1;
        for (; at > from && ((unsigned char)x->s[at] & 0xC0) == 0x80; at--) {}
        if (!lorac_utf8_next(x->s + at, to - at, &cp) || !lorac_char_is_space(cp)) { break; }
        to = at;
    }
    return to;
}

/* ---- text between tags ---- */

/* Text up to the next tag, at `tag`. */
static enum lorac_status add_data(struct lexer *x, size_t tag)
{
    size_t from = x->i;
    size_t to = tag;
    char sign = tag + 2 < x->n ? x->s[tag + 2] : ' ';
    if (tag < x->n && sign == '-') {
        to = skip_space_back(x, from, to);
    } else if (tag < x->n && sign != '+' && x->s[tag + 1] != '{') {
        size_t line = to;
        while (line > from && (x->s[line - 1] != '\n')) {
            line--;
        }
        bool at_start = line > from || x->line_start;
        if (at_start && skip_space_back(x, line, to) == line) { to = line; }
    }
    x->i = tag;
    return to > from ? add(x, T_DATA, from, to) : LORAC_OK;
}

static size_t next_tag(const struct lexer *x)
{
    size_t i = x->i;
    while (i < x->n && !(begins(x, i, "{{") || begins(x, i, "{%") || begins(x, i, "{#"))) {
        i++;
    }
    return i;
}

/* Behind the end of a block or comment at x->i. */
static void end_block(struct lexer *x, char sign)
{
    x->line_start = false;
    if (sign != '-' && sign != '+' && x->i < x->n && x->s[x->i] == '\n') {
        x->i++;
        x->line_start = true;
    }
    if (sign == '-') { // what it takes may end a line
        size_t to = skip_space(x, x->i);
        x->line_start = to > x->i && x->s[to - 1] == '\n';
        x->i = to;
    }
}

static enum lorac_status skip_comment(struct lexer *x)
{
    size_t i = x->i + 2;
    while (i < x->n && !begins(x, i, "#}")) {
        i++;
    }
    if (i >= x->n) { return fail_at(x, x->i, "this comment has no end (#})"); }
    char sign = i > x->i + 2 ? x->s[i - 1] : ' ';
    x->i = i + 2;
    end_block(x, sign);
    return LORAC_OK;
}

/* ---- within tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80 || (!first && is_digit(c));
}

/* Digits with single underscores between them, from i on. */
static size_t digits(const struct lexer *x, size_t i)
{
    while (i < x->n &&
           (is_digit(x->s[i]) || (x->s[i] == '_' && i + 1 < x->n && is_digit(x->s[i + 1])))) {
        i++;
    }
    return i;
}

/* 12, 1_000, 1.5, 1e-5; behind a point only whole (a.0.1). */
static enum lorac_status add_number(struct lexer *x)
{
    char text[64];
    size_t from = x->i;
    size_t to = digits(x, from);
    bool real = false;
    bool after_point = from > 0 && x->s[from - 1] == '.';
    if (!after_point && to + 1 < x->n && x->s[to] == '.' && is_digit(x->s[to + 1])) {
        to = digits(x, to + 1);
        real = true;
    }
    size_t e = to;
    if (!after_point && e < x->n && (x->s[e] == 'e' || x->s[e] == 'E')) {
        e++;
        if (e < x->n && (x->s[e] == '+' || x->s[e] == '-')) { e++; }
        if (e < x->n && is_digit(x->s[e])) {
            to = digits(x, e);
            real = true;
        }
    }
    size_t n = 0;
    for (size_t i = from; i < to && n + 1 < sizeof text; i++) {
        if (x->s[i] != '_') { text[n++] = x->s[i]; }
    }
    text[n] = '\0';
    if (to - from >= sizeof text || (to < x->n && is_name(x->s[to], true))) {
        return fail_at(x, from, "this is no number");
    }
    enum lorac_status st = add(x, real ? T_FLOAT : T_INT, from, to);
    if (st) { return st; }
    errno = 0;
    x->tok[x->n_tok - 1].value = real ? lorac_jfloat(lorac_strtod(text, NULL))
                                      : lorac_jint((int64_t)strtoll(text, NULL, 10));
    if (!real && errno == ERANGE) { return fail_at(x, from, "this number is too large"); }
    x->i = to;
    return LORAC_OK;
}

static int hex(char c)
{
    if (is_digit(c)) { return c - '0'; }
    if (c >= 'a' && c <= 'f') { return c - 'a' + 10; }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The code point of \xNN, \uNNNN, \UNNNNNNNN, whose digits begin at i; false: they are not so many,
 * or no character. */
static bool read_hex(const struct lexer *x, size_t i, size_t many, uint32_t *cp)
{
    *cp = 0;
    for (size_t k = 0; k < many; k++) {
        int h = i + k < x->n ? hex(x->s[i + k]) : -1;
        if (h < 0 || *cp > 0x10FFFF) { return false; }
        *cp = *cp << 4 | (uint32_t)h;
    }
    return *cp <= 0x10FFFF && (*cp < 0xD800 || *cp > 0xDFFF);
}

/* Python's escapes (unicode_escape); one that it does not know keeps its backslash. i is behind the
 * backslash; returns the bytes taken from there, 0: a bad one. */
static size_t unescape(struct lorac_buf *b, const struct lexer *x, size_t i)
{
    static const char names[] = "\\'\"abfnrtv";
    static const char values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = x->s[i];
    char out[4];
    uint32_t cp = 0;
    const char *known = strchr(names, c);
    if (c == '\n') { return 1; }
    if (c && known) {
        lorac_buf_add(b, values + (known - names), 1);
        return 1;
    }
    if (c >= '0' && c <= '7') {
        size_t k = 0;
        for (; k < 3 && i + k < x->n && x->s[i + k] >= '0' && x->s[i + k] <= '7'; k++) {
            cp = cp << 3 | (uint32_t)(x->s[i + k] - '0');
        }
        lorac_buf_add(b, out, lorac_utf8_put(out, cp));
        return k;
    }
    size_t many = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (many) {
        if (!read_hex(x, i + 1, many, &cp)) { return 0; }
        lorac_buf_add(b, out, lorac_utf8_put(out, cp));
        return many + 1;
    }
    lorac_buf_add(b, x->s + i - 1, 2);
    return 1;
}

static enum lorac_status add_string(struct lexer *x)
{
    size_t from = x->i;
    char quote = x->s[from];
    struct lorac_buf b = {0};
    size_t i = from + 1;
    enum lorac_status st = LORAC_OK;
    while (i < x->n && x->s[i] != quote && !st) {
        size_t plain = i;
        while (i < x->n && x->s[i] != quote && x->s[i] != '\\') {
            i++;
        }
        lorac_buf_add(&b, x->s + plain, i - plain);
        if (i + 1 >= x->n && i < x->n && x->s[i] == '\\') { i++; } // nothing is behind it
        if (i >= x->n || x->s[i] != '\\') { continue; }
        size_t taken = unescape(&b, x, i + 1);
        if (taken == 0) { st = fail_at(x, i, "this escape is no character"); }
        i += 1 + taken;
    }
    if (!st && i >= x->n) { st = fail_at(x, from, "this text has no closing quote"); }
    if (!st) { st = add(x, T_STRING, from, i + 1); }
    if (!st) {
        const char *at = lorac_arena_string(x->t->arena, b.at ? b.at : "", b.n);
        x->tok[x->n_tok - 1].text = (struct lorac_jstr){at, NULL, b.n};
        if (!at || b.no_memory) { st = lorac_fail(x->err, LORAC_ENOMEM, "no memory"); }
    }
    lorac_buf_free(&b);
    x->i = i + 1;
    return st;
}

static enum lorac_status add_operator(struct lexer *x)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "*",
                                            "/",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        if (!begins(x, x->i, operators[k])) { continue; }
        size_t n = strlen(operators[k]);
        enum lorac_status st = add(x, T_OPERATOR, x->i, x->i + n);
        x->i += n;
        return st;
    }
    return fail_at(x, x->i, "this character means nothing here");
}

static enum lorac_status add_token(struct lexer *x)
{
    char c = x->s[x->i];
    if (is_digit(c)) { return add_number(x); }
    if (c == '"' || c == '\'') { return add_string(x); }
    if (!is_name(c, true)) { return add_operator(x); }
    size_t to = x->i;
    while (to < x->n && is_name(x->s[to], false)) {
        to++;
    }
    enum lorac_status st = add(x, T_NAME, x->i, to);
    x->i = to;
    return st;
}

/* Whether the tag ends at i, with what sign before its end. */
static bool ends_tag(const struct lexer *x, bool block, char *sign)
{
    const char *end = block ? "%}" : "}}";
    *sign = x->s[x->i] == '-' || x->s[x->i] == '+' ? x->s[x->i] : ' ';
    return begins(x, x->i + (*sign != ' '), end) && (block || *sign != '+');
}

/* Everything of a tag, from its {% or {{ on. Within brackets }} closes no tag. */
static enum lorac_status add_tag(struct lexer *x)
{
    bool block = x->s[x->i + 1] == '%';
    size_t from = x->i;
    int brackets = 0;
    enum lorac_status st = add(x, block ? T_BLOCK_BEGIN : T_PRINT_BEGIN, from, from + 2);
    x->i += 2;
    if (x->i < x->n && (x->s[x->i] == '-' || x->s[x->i] == '+')) { x->i++; }
    while (!st) {
        char sign = ' ';
        x->i = skip_space(x, x->i);
        if (x->i >= x->n) {
            return fail_at(x, from,
                           block ? "this tag has no end (%})" : "this tag has no end (}})");
        }
        if (brackets == 0 && ends_tag(x, block, &sign)) {
            st = add(x, block ? T_BLOCK_END : T_PRINT_END, x->i, x->i + 2);
            x->i += sign == ' ' ? 2 : 3;
            if (block || sign == '-') {
                end_block(x, sign);
            } else {
                x->line_start = false;
            }
            return st;
        }
        char c = x->s[x->i];
        brackets += c == '(' || c == '[' || c == '{';
        brackets -= c == ')' || c == ']' || c == '}';
        if (brackets < 0) { return fail_at(x, x->i, "this closes nothing"); }
        st = add_token(x);
    }
    return st;
}

static enum lorac_status lex(struct lexer *x)
{
    enum lorac_status st = LORAC_OK;
    x->line_start = true;
    while (x->i < x->n && !st) {
        size_t tag = next_tag(x);
        st = add_data(x, tag);
        if (st || tag >= x->n) { continue; }
        st = x->s[tag + 1] == '#' ? skip_comment(x) : add_tag(x);
    }
    return st ? st : add(x, T_END, x->n, x->n);
}

/* \r\n and \r as \n, the last one dropped. */
static char *with_plain_lines(struct lorac_jinja *t, const char *text, size_t *n)
{
    char *s = lorac_arena_string(t->arena, text, *n);
    size_t k = 0;
    for (size_t i = 0; s && i < *n; i++) {
        s[k++] = text[i] == '\r' ? '\n' : text[i];
        if (text[i] == '\r' && i + 1 < *n && text[i + 1] == '\n') { i++; }
    }
    if (k && s[k - 1] == '\n') { k--; }
    *n = k;
    return s;
}

enum lorac_status lorac_jinja_lex(struct lorac_jtoken **out, struct lorac_jinja *t,
                                  const char *text, size_t n, struct lorac_err *err)
{
    struct lexer x = {.t = t, .n = n, .line = 1, .err = err};
    *out = NULL;
    x.s = with_plain_lines(t, text, &x.n);
    if (!x.s) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a template"); }
    enum lorac_status st = lex(&x);
    if (!st) {
        *out = lorac_arena_take(t->arena, x.n_tok, sizeof **out);
        if (*out) {
            memcpy(*out, x.tok, x.n_tok * sizeof **out);
        } else {
            st = lorac_fail(err, LORAC_ENOMEM, "no memory for a template");
        }
    }
    lorac_mem_free(x.tok);
    return st;
}
