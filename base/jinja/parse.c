/* parse.c - the statements of a template; see impl.h. Source: jinja2/parser.py. */
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/jinja/impl.h"
#include "base/tokenizer/impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lorac_jnode *lorac_jparse_fail(struct lorac_jparser *p, enum lorac_status code,
                                      const char *fmt, ...)
{
    if (p->st) { return NULL; }
    char what[300];
    va_list args;
    va_start(args, fmt);
    (void)lorac_vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    struct lorac_jstr found = p->at->text;
    static const char *const ends[] = {[T_END] = "the template's end",
                                       [T_BLOCK_END] = "%}",
                                       [T_PRINT_END] = "}}",
                                       [T_OPERATOR] = NULL};
    const char *end = p->at->kind <= T_OPERATOR ? ends[p->at->kind] : NULL;
    p->st = lorac_fail(p->err, code, "%s:%d:%d: %s, found %s%.*s", p->t->name, p->at->line,
                       p->at->column, what, end ? end : "",
                       end            ? 0
                       : found.n < 40 ? (int)found.n
                                      : 40,
                       found.at);
    return NULL;
}

struct lorac_jnode *lorac_jparse_node(struct lorac_jparser *p, enum lorac_jop op)
{
    struct lorac_jnode *n = lorac_arena_take(p->t->arena, 1, sizeof *n);
    if (!n) {
        if (!p->st) { p->st = lorac_fail(p->err, LORAC_ENOMEM, "no memory for a template"); }
        return NULL;
    }
    n->op = op;
    n->line = p->at->line;
    n->column = p->at->column;
    return n;
}

bool lorac_jparse_enter(struct lorac_jparser *p)
{
    if (++p->depth <= JINJA_MAX_DEPTH) { return true; }
    (void)lorac_jparse_fail(p, LORAC_ENOTSUP, "this is nested deeper than %d", JINJA_MAX_DEPTH);
    return false;
}

bool lorac_jparse_is(const struct lorac_jparser *p, const char *word)
{
    return (p->at->kind == T_NAME || p->at->kind == T_OPERATOR) && lorac_jstr_is(p->at->text, word);
}

bool lorac_jparse_skip(struct lorac_jparser *p, const char *word)
{
    bool is = lorac_jparse_is(p, word);
    p->at += is;
    return is;
}

void lorac_jparse_expect(struct lorac_jparser *p, const char *word)
{
    if (!p->st && !lorac_jparse_skip(p, word)) {
        (void)lorac_jparse_fail(p, LORAC_EFORMAT, "'%s' was expected", word);
    }
}

static struct lorac_jstr expect_name(struct lorac_jparser *p)
{
    struct lorac_jstr name = p->at->text;
    if (p->at->kind != T_NAME) {
        (void)lorac_jparse_fail(p, LORAC_EFORMAT, "a name was expected");
    } else {
        p->at++;
    }
    return name;
}

static void end_tag(struct lorac_jparser *p)
{
    if (p->st) { return; }
    if (p->at->kind == T_BLOCK_END) {
        p->at++;
    } else {
        (void)lorac_jparse_fail(p, LORAC_EFORMAT, "the end of the tag (%%}) was expected");
    }
}

static struct lorac_jnode *statements(struct lorac_jparser *p, const char *const *ends,
                                      const char *of);

/* Statements up to one of `ends`, on whose name the parser then is. */
static struct lorac_jnode *body(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                const char *const *ends, const char *of)
{
    end_tag(p);
    return statements(p, ends, of);
}

static const char *const *only(const char *end)
{
    static const char *const lists[][2] = {
        {"endfor", NULL},    {"endset", NULL},  {"endmacro", NULL},
        {"endfilter", NULL}, {"endcall", NULL}, {"endgeneration", NULL},
    };
    size_t i = 0;
    while (strcmp(lists[i][0], end) != 0) {
        i++;
    }
    return lists[i];
}

/* A body whose last tag is `end`. */
static void closed_body(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                        struct lorac_jnode *n, const char *end, const char *of)
{
    struct lorac_jnode *first = body(p, only(end), of);
    if (n) { n->body = first; }
    lorac_jparse_expect(p, end);
    end_tag(p);
}

static struct lorac_jnode *parse_for(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct lorac_jnode *n = lorac_jparse_node(p, N_FOR);
    struct lorac_jnode *targets = lorac_jparse_tuple(p, true);
    lorac_jparse_expect(p, "in");
    struct lorac_jnode *items = p->st ? NULL : lorac_jparse_or(p);
    if (p->st || !n) { return NULL; }
    n->child[0] = targets;
    n->child[1] = items;
    if (lorac_jparse_skip(p, "if")) { n->child[2] = lorac_jparse_expr(p); }
    if (lorac_jparse_is(p, "recursive")) {
        return lorac_jparse_fail(p, LORAC_ENOTSUP, "recursive loops are not supported");
    }
    p->loops++;
    n->body = body(p, ends, "for");
    p->loops--;
    if (lorac_jparse_skip(p, "else")) { n->orelse = body(p, only("endfor"), "for"); }
    lorac_jparse_expect(p, "endfor");
    end_tag(p);
    return n;
}

static struct lorac_jnode *parse_if(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    static const char *const ends[] = {"endif", "else", "elif", NULL};
    struct lorac_jnode *first = NULL;
    struct lorac_jnode **place = &first;
    do {
        struct lorac_jnode *n = lorac_jparse_node(p, N_IF);
        struct lorac_jnode *test = lorac_jparse_tuple(p, false);
        struct lorac_jnode *then = p->st ? NULL : body(p, ends, "if");
        if (p->st || !n) { return NULL; }
        n->child[0] = test;
        n->body = then;
        *place = n;
        place = &n->orelse;
    } while (lorac_jparse_skip(p, "elif"));
    if (lorac_jparse_skip(p, "else")) {
        static const char *const last[] = {"endif", NULL};
        *place = body(p, last, "if");
    }
    lorac_jparse_expect(p, "endif");
    end_tag(p);
    return first;
}

static struct lorac_jnode *input_of_block(struct lorac_jparser *p)
{
    return lorac_jparse_node(p, N_INPUT);
}

static struct lorac_jnode *parse_set(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_SET);
    struct lorac_jnode *targets = lorac_jparse_tuple(p, true);
    if (p->st || !n) { return NULL; }
    n->child[0] = targets;
    if (lorac_jparse_skip(p, "=")) {
        n->child[1] = lorac_jparse_tuple(p, false);
        end_tag(p);
        return n;
    }
    n->op = N_SET_BLOCK;
    if (lorac_jparse_skip(p, "|")) { n->child[1] = lorac_jparse_filters(p, input_of_block(p)); }
    closed_body(p, n, "endset", "set");
    return n;
}

/* (a, b=1) behind macro and call. */
static struct lorac_jnode *parameters(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *first = NULL;
    struct lorac_jnode **end = &first;
    bool defaults = false;
    lorac_jparse_expect(p, "(");
    while (!p->st && !lorac_jparse_is(p, ")")) {
        struct lorac_jnode *n = lorac_jparse_node(p, N_NAME);
        struct lorac_jstr name = expect_name(p);
        if (p->st || !n) { return NULL; }
        n->text = name;
        if (lorac_jparse_skip(p, "=")) {
            n->child[0] = lorac_jparse_expr(p);
            defaults = true;
        } else if (defaults) {
            return lorac_jparse_fail(
                p, LORAC_EFORMAT, "a parameter without a default stands behind one that has one");
        }
        *end = n;
        end = &n->next;
        if (!lorac_jparse_skip(p, ",")) { break; }
    }
    lorac_jparse_expect(p, ")");
    return first;
}

static struct lorac_jnode *parse_macro(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_MACRO);
    int loops = p->loops;
    struct lorac_jstr name = expect_name(p);
    struct lorac_jnode *params = p->st ? NULL : parameters(p);
    if (p->st || !n) { return NULL; }
    n->text = name;
    n->child[0] = params;
    p->loops = 0;
    closed_body(p, n, "endmacro", "macro");
    p->loops = loops;
    return n;
}

static struct lorac_jnode *parse_call(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_CALL_BLOCK);
    int loops = p->loops;
    struct lorac_jnode *params = lorac_jparse_is(p, "(") ? parameters(p) : NULL;
    struct lorac_jnode *call = p->st ? NULL : lorac_jparse_expr(p);
    if (p->st || !n) { return NULL; }
    if (!call || call->op != N_CALL) {
        return lorac_jparse_fail(p, LORAC_EFORMAT, "a call was expected");
    }
    n->child[0] = params;
    n->child[1] = call;
    p->loops = 0;
    closed_body(p, n, "endcall", "call");
    p->loops = loops;
    return n;
}

static struct lorac_jnode *parse_filter(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_FILTER_BLOCK);
    struct lorac_jnode *filters = lorac_jparse_filters(p, input_of_block(p));
    if (p->st || !n) { return NULL; }
    n->child[0] = filters;
    closed_body(p, n, "endfilter", "filter");
    return n;
}

static struct lorac_jnode *parse_generation(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_GENERATION);
    p->t->generates = true;
    closed_body(p, n, "endgeneration", "generation");
    return n;
}

static struct lorac_jnode *parse_jump(struct lorac_jparser *p, enum lorac_jop op)
{
    struct lorac_jnode *n = lorac_jparse_node(p, op);
    if (p->loops == 0) {
        p->at--;
        return lorac_jparse_fail(p, LORAC_EFORMAT, "this stands in no loop");
    }
    end_tag(p);
    return n;
}

static struct lorac_jnode *parse_break(struct lorac_jparser *p)
{
    return parse_jump(p, N_BREAK);
}

static struct lorac_jnode *parse_continue(struct lorac_jparser *p)
{
    return parse_jump(p, N_CONTINUE);
}

static struct lorac_jnode *statement(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    static const struct {
        const char *word;
        struct lorac_jnode *(*parse)(struct lorac_jparser *p);
    } table[] = {{"for", parse_for},
                 {"if", parse_if},
                 {"set", parse_set},
                 {"macro", parse_macro},
                 {"call", parse_call},
                 {"filter", parse_filter},
                 {"break", parse_break},
                 {"continue", parse_continue},
                 {"generation", parse_generation}};
    static const char *const other[] = {"block", "extends", "include",    "import", "from",
                                        "with",  "raw",     "autoescape", "do",     "trans"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (lorac_jparse_skip(p, table[i].word)) { return table[i].parse(p); }
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        if (!lorac_jparse_is(p, other[i])) { continue; }
        return lorac_jparse_fail(p, LORAC_ENOTSUP, "this statement is not supported");
    }
    return lorac_jparse_fail(p, LORAC_EFORMAT, "a statement was expected");
}

static struct lorac_jnode *piece(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = NULL;
    if (p->at->kind == T_DATA) {
        n = lorac_jparse_node(p, N_TEXT);
        if (n) { n->value = lorac_jstring(p->at->text); }
        p->at++;
        return n;
    }
    if (p->at->kind == T_PRINT_BEGIN) {
        p->at++;
        n = lorac_jparse_node(p, N_PRINT);
        struct lorac_jnode *value = lorac_jparse_tuple(p, false);
        if (p->st || !n) { return NULL; }
        n->child[0] = value;
        if (p->at->kind != T_PRINT_END) {
            return lorac_jparse_fail(p, LORAC_EFORMAT, "the end of the tag (}}) was expected");
        }
        p->at++;
        return n;
    }
    p->at++; // {%
    return statement(p);
}

/* Whether a tag with one of these names comes next. */
static bool at_end(const struct lorac_jparser *p, const char *const *ends)
{
    for (size_t i = 0; p->at->kind == T_BLOCK_BEGIN && ends && ends[i]; i++) {
        if (p->at[1].kind == T_NAME && lorac_jstr_is(p->at[1].text, ends[i])) { return true; }
    }
    return false;
}

static struct lorac_jnode *statements(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                      const char *const *ends, const char *of)
{
    struct lorac_jnode *first = NULL;
    struct lorac_jnode **end = &first;
    if (!lorac_jparse_enter(p)) { return NULL; }
    while (!p->st && p->at->kind != T_END && !at_end(p, ends)) {
        struct lorac_jnode *n = piece(p);
        if (!n) { break; }
        *end = n;
        while (n->next) {
            n = n->next;
        }
        end = &n->next;
    }
    p->depth--;
    if (!p->st && ends && p->at->kind == T_END) {
        return lorac_jparse_fail(p, LORAC_EFORMAT, "'%s' of '%s' was expected", ends[0], of);
    }
    if (!p->st && ends) { p->at++; } // {%
    return first;
}

static enum lorac_status parse(struct lorac_jinja *t, const char *text, size_t n,
                               struct lorac_err *err)
{
    struct lorac_jtoken *tokens = NULL;
    enum lorac_status st = lorac_jinja_lex(&tokens, t, text, n, err);
    if (st) { return st; }
    struct lorac_jparser p = {.t = t, .at = tokens, .err = err};
    t->body = statements(&p, NULL, "template");
    return p.st;
}

enum lorac_status lorac_jinja_parse(struct lorac_jinja **out, const char *text, size_t n,
                                    const char *name, struct lorac_err *err)
{
    *out = NULL;
    if (n > LORAC_JINJA_MAX_TEXT) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: this template has %zu bytes, at most %d are read", name, n,
                          LORAC_JINJA_MAX_TEXT);
    }
    size_t bad = lorac_utf8_check(text, n);
    if (bad < n) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: this template is not UTF-8 at byte %zu", name,
                          bad);
    }
    struct lorac_jinja *t = lorac_mem_new(1, sizeof *t);
    enum lorac_status st = LORAC_OK;
    if (t) { t->arena = lorac_arena_new(); }
    if (t && t->arena) { t->name = lorac_arena_string(t->arena, name, strlen(name)); }
    if (!t || !t->name) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for a template");
    } else {
        st = parse(t, text, n, err);
    }
    if (st) {
        lorac_jinja_free(t);
        return st;
    }
    *out = t;
    return LORAC_OK;
}

void lorac_jinja_free(struct lorac_jinja *t)
{
    if (!t) { return; }
    lorac_arena_free(t->arena);
    lorac_mem_free(t);
}

bool lorac_jinja_generates(const struct lorac_jinja *t)
{
    return t->generates;
}
