/*
 * expr.c - expressions of the template language; see impl.h. Source: jinja2/parser.py. From loose
 * to tight: a if b else c; or; and; not; comparisons; + -; ~; * / // %; **; unary + -; x.y x[y]
 * x(y); filters and tests.
 */
#include "base/jinja/impl.h"

static bool is_operator(const struct lorac_jparser *p, const char *word)
{
    return p->at->kind == T_OPERATOR && lorac_jstr_is(p->at->text, word);
}

static struct lorac_jnode *two(struct lorac_jparser *p, enum lorac_jop op, struct lorac_jnode *a,
                               struct lorac_jnode *b)
{
    struct lorac_jnode *n = lorac_jparse_node(p, op);
    if (!n) { return NULL; }
    n->child[0] = a;
    n->child[1] = b;
    if (a) {
        n->line = a->line;
        n->column = a->column;
    }
    return n;
}

/* Behind what `list` ends with. */
static void append(struct lorac_jnode ***end, struct lorac_jnode *n)
{
    if (!n) { return; }
    **end = n;
    *end = &n->next;
}

/* ---- what stands alone ---- */

static struct lorac_jnode *constant(struct lorac_jparser *p, struct lorac_jvalue v)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_CONST);
    if (n) { n->value = v; }
    p->at++;
    return n;
}

static struct lorac_jnode *name(struct lorac_jparser *p)
{
    static const struct {
        const char *word, *other;
        enum lorac_jkind kind;
        bool b;
    } words[] = {{"true", "True", J_BOOL, true},
                 {"false", "False", J_BOOL, false},
                 {"none", "None", J_NONE, false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!lorac_jparse_is(p, words[i].word) && !lorac_jparse_is(p, words[i].other)) { continue; }
        return constant(p, (struct lorac_jvalue){.kind = words[i].kind, .b = words[i].b});
    }
    struct lorac_jnode *n = lorac_jparse_node(p, N_NAME);
    if (n) { n->text = p->at->text; }
    p->at++;
    return n;
}

/* Texts one behind the other are one. */
static struct lorac_jnode *string(struct lorac_jparser *p)
{
    struct lorac_jnode *n = constant(p, lorac_jstring(p->at->text));
    while (n && p->at->kind == T_STRING) {
        struct lorac_jnode *next = constant(p, lorac_jstring(p->at->text));
        n = two(p, N_CONCAT, n, next);
    }
    return n;
}

static struct lorac_jnode *list(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_LIST);
    struct lorac_jnode **end = n ? &n->child[0] : NULL;
    p->at++;
    while (!p->st && !lorac_jparse_is(p, "]")) {
        append(&end, lorac_jparse_expr(p));
        if (!lorac_jparse_skip(p, ",")) { break; }
    }
    lorac_jparse_expect(p, "]");
    return n;
}

static struct lorac_jnode *dict(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = lorac_jparse_node(p, N_DICT);
    struct lorac_jnode **end = n ? &n->child[0] : NULL;
    p->at++;
    while (!p->st && !lorac_jparse_is(p, "}")) {
        append(&end, lorac_jparse_expr(p));
        lorac_jparse_expect(p, ":");
        append(&end, lorac_jparse_expr(p));
        if (!lorac_jparse_skip(p, ",")) { break; }
    }
    lorac_jparse_expect(p, "}");
    return n;
}

/* (a), (a, b), () */
static struct lorac_jnode *parenthesis(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = NULL;
    p->at++;
    if (lorac_jparse_is(p, ")")) {
        n = lorac_jparse_node(p, N_TUPLE);
    } else {
        n = lorac_jparse_tuple(p, false);
    }
    lorac_jparse_expect(p, ")");
    return n;
}

static struct lorac_jnode *primary(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    switch ((int)p->at->kind) {
    case T_NAME:
        return name(p);
    case T_STRING:
        return string(p);
    case T_INT:
    case T_FLOAT:
        return constant(p, p->at->value);
    default:
        break;
    }
    if (is_operator(p, "(")) { return parenthesis(p); }
    if (is_operator(p, "[")) { return list(p); }
    if (is_operator(p, "{")) { return dict(p); }
    return lorac_jparse_fail(p, LORAC_EFORMAT, "a value was expected");
}

/* ---- what stands behind ---- */

struct lorac_jnode *lorac_jparse_args(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *first = NULL;
    struct lorac_jnode **end = &first;
    bool named = false;
    while (!p->st && !lorac_jparse_is(p, ")")) {
        if (is_operator(p, "**")) {
            return lorac_jparse_fail(p, LORAC_ENOTSUP, "arguments from a dict are not supported");
        }
        if (is_operator(p, "*")) {
            struct lorac_jnode *n = lorac_jparse_node(p, N_SPREAD);
            p->at++;
            if (!n) { return NULL; }
            n->child[0] = lorac_jparse_expr(p);
            append(&end, n);
        } else if (p->at->kind == T_NAME && p->at[1].kind == T_OPERATOR &&
                   lorac_jstr_is(p->at[1].text, "=")) {
            struct lorac_jnode *n = lorac_jparse_node(p, N_NAMED);
            if (!n) { return NULL; }
            n->text = p->at->text;
            p->at += 2;
            n->child[0] = lorac_jparse_expr(p);
            append(&end, n);
            named = true;
        } else if (named) {
            return lorac_jparse_fail(p, LORAC_EFORMAT,
                                     "an argument without a name stands behind "
                                     "one with a name");
        } else {
            append(&end, lorac_jparse_expr(p));
        }
        if (!lorac_jparse_skip(p, ",")) { break; }
    }
    lorac_jparse_expect(p, ")");
    return first;
}

static struct lorac_jnode *attribute(struct lorac_jparser *p, struct lorac_jnode *of)
{
    p->at++;
    if (p->at->kind == T_NAME) {
        struct lorac_jnode *n = two(p, N_ATTR, of, NULL);
        if (n) { n->text = p->at->text; }
        p->at++;
        return n;
    }
    if (p->at->kind == T_INT) {
        struct lorac_jnode *index = constant(p, p->at->value);
        return two(p, N_ITEM, of, index);
    }
    return lorac_jparse_fail(p, LORAC_EFORMAT, "a name was expected behind the point");
}

/* x[1], x[1:2:3], each bound may be left out */
static struct lorac_jnode *subscript(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                     struct lorac_jnode *of)
{
    struct lorac_jnode *bound[3] = {NULL};
    size_t k = 0;
    p->at++;
    if (!lorac_jparse_is(p, ":")) { bound[0] = lorac_jparse_expr(p); }
    while (!p->st && k < 2 && lorac_jparse_skip(p, ":")) {
        k++;
        if (!lorac_jparse_is(p, ":") && !lorac_jparse_is(p, "]")) {
            bound[k] = lorac_jparse_expr(p);
        }
    }
    lorac_jparse_expect(p, "]");
    struct lorac_jnode *n = two(p, k ? N_SLICE : N_ITEM, of, bound[0]);
    if (n) {
        n->child[2] = bound[1];
        n->child[3] = bound[2];
    }
    return n;
}

static struct lorac_jnode *call(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                struct lorac_jnode *of)
{
    p->at++;
    struct lorac_jnode *args = lorac_jparse_args(p);
    return two(p, N_CALL, of, args);
}

static struct lorac_jnode *postfix(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                   struct lorac_jnode *n)
{
    while (!p->st) {
        if (is_operator(p, ".")) {
            n = attribute(p, n);
        } else if (is_operator(p, "[")) {
            n = subscript(p, n);
        } else if (is_operator(p, "(")) {
            n = call(p, n);
        } else {
            break;
        }
    }
    return n;
}

/* The name of a filter or test, which may have points. */
static struct lorac_jnode *named(struct lorac_jparser *p, enum lorac_jop op, struct lorac_jnode *of)
{
    if (p->at->kind != T_NAME) {
        return lorac_jparse_fail(p, LORAC_EFORMAT, "the name of a %s was expected",
                                 op == N_FILTER ? "filter" : "test");
    }
    struct lorac_jnode *n = two(p, op, of, NULL);
    if (n) {
        n->text = p->at->text;
        n->line = p->at->line;
        n->column = p->at->column;
    }
    p->at++;
    return n;
}

static struct lorac_jnode *filter(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                  struct lorac_jnode *input)
{
    struct lorac_jnode *n = named(p, N_FILTER, input);
    if (n && is_operator(p, "(")) {
        p->at++;
        n->child[1] = lorac_jparse_args(p);
    }
    return n;
}

struct lorac_jnode *lorac_jparse_filters(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                         struct lorac_jnode *input)
{
    struct lorac_jnode *n = filter(p, input);
    while (!p->st && lorac_jparse_skip(p, "|")) {
        n = filter(p, n);
    }
    return n;
}

/* Whether a test's one argument may stand here without brackets. */
static bool begins_argument(const struct lorac_jparser *p)
{
    static const char *const words[] = {"else", "or", "and", "if", "in", "not"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (lorac_jparse_is(p, words[i])) { return false; }
    }
    return p->at->kind == T_NAME || p->at->kind == T_STRING || p->at->kind == T_INT ||
           p->at->kind == T_FLOAT || is_operator(p, "[") || is_operator(p, "{");
}

static struct lorac_jnode *test(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                struct lorac_jnode *of)
{
    bool negated = lorac_jparse_skip(p, "not");
    struct lorac_jnode *n = named(p, N_TEST, of);
    if (!n) { return NULL; }
    n->flag = negated;
    if (is_operator(p, "(")) {
        p->at++;
        n->child[1] = lorac_jparse_args(p);
    } else if (lorac_jparse_is(p, "is")) {
        return lorac_jparse_fail(p, LORAC_EFORMAT, "one test stands behind another");
    } else if (begins_argument(p)) {
        struct lorac_jnode *arg = primary(p);
        n->child[1] = postfix(p, arg);
    }
    return n;
}

/* ---- operators ---- */

static struct lorac_jnode *unary(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                 bool with_filters)
{
    struct lorac_jnode *n = NULL;
    if (is_operator(p, "-") || is_operator(p, "+")) {
        enum lorac_jop op = is_operator(p, "-") ? N_NEGATE : N_PLUS;
        n = lorac_jparse_node(p, op);
        p->at++;
        struct lorac_jnode *of = lorac_jparse_enter(p) ? unary(p, false) : NULL;
        p->depth--;
        if (n) { n->child[0] = of; }
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    while (!p->st && with_filters) {
        if (lorac_jparse_skip(p, "|")) {
            n = filter(p, n);
        } else if (lorac_jparse_skip(p, "is")) {
            n = test(p, n);
        } else if (is_operator(p, "(")) {
            n = call(p, n);
        } else {
            break;
        }
    }
    return n;
}

/* Operators that stand beside each other: a op b op c, from the left. */
struct level {
    struct {
        const char *word;
        enum lorac_jop op;
    } ops[5];                                             // ended by a word NULL
    struct lorac_jnode *(*next)(struct lorac_jparser *p); // what they join; NULL: the next level
};
static struct lorac_jnode *negation(struct lorac_jparser *p);
static struct lorac_jnode *with_filters(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    return unary(p, true);
}
enum { OR = 0, SUM = 2 };
static const struct level levels[] = {
    {{{"or", N_OR}}, NULL},
    {{{"and", N_AND}}, negation},
    {{{"+", N_ADD}, {"-", N_SUB}}, NULL},
    {{{"~", N_CONCAT}}, NULL},
    {{{"*", N_MUL}, {"//", N_FLOORDIV}, {"/", N_DIV}, {"%", N_MOD}}, NULL},
    {{{"**", N_POW}}, with_filters},
};

static struct lorac_jnode *chain(struct lorac_jparser *p, // NOLINT(misc-no-recursion)
                                 const struct level *l)
{
    struct lorac_jnode *n = l->next ? l->next(p) : chain(p, l + 1);
    for (size_t i = 0; l->ops[i].word && !p->st;) {
        if (!lorac_jparse_skip(p, l->ops[i].word)) {
            i++;
            continue;
        }
        struct lorac_jnode *right = l->next ? l->next(p) : chain(p, l + 1);
        n = two(p, l->ops[i].op, n, right);
        i = 0;
    }
    return n;
}

static bool comparison(struct lorac_jparser *p, enum lorac_jcompare *sub)
{
    static const char *const words[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *sub = (enum lorac_jcompare)i;
        if (lorac_jparse_skip(p, words[i])) { return true; }
    }
    *sub = C_NOT_IN;
    bool not_in =
        lorac_jparse_is(p, "not") && p->at[1].kind == T_NAME && lorac_jstr_is(p->at[1].text, "in");
    if (not_in) { p->at += 2; }
    return not_in;
}

static struct lorac_jnode *compare(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = chain(p, &levels[SUM]);
    struct lorac_jnode *links = NULL;
    struct lorac_jnode **end = &links;
    enum lorac_jcompare sub = C_EQ;
    while (!p->st && comparison(p, &sub)) {
        struct lorac_jnode *link = lorac_jparse_node(p, N_LINK);
        if (!link) { return NULL; }
        link->sub = sub;
        link->child[0] = chain(p, &levels[SUM]);
        append(&end, link);
    }
    return links ? two(p, N_COMPARE, n, links) : n;
}

static struct lorac_jnode *negation(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    struct lorac_jnode *n = NULL;
    if (!lorac_jparse_is(p, "not")) { return compare(p); }
    n = lorac_jparse_node(p, N_NOT);
    p->at++;
    struct lorac_jnode *of = lorac_jparse_enter(p) ? negation(p) : NULL;
    p->depth--;
    if (n) { n->child[0] = of; }
    return n;
}

struct lorac_jnode *lorac_jparse_or(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    return chain(p, &levels[OR]);
}

struct lorac_jnode *lorac_jparse_expr(struct lorac_jparser *p) // NOLINT(misc-no-recursion)
{
    if (!lorac_jparse_enter(p)) { return NULL; }
    struct lorac_jnode *n = lorac_jparse_or(p);
    while (!p->st && lorac_jparse_skip(p, "if")) {
        struct lorac_jnode *test_node = lorac_jparse_or(p);
        struct lorac_jnode *orelse = lorac_jparse_skip(p, "else") ? lorac_jparse_expr(p) : NULL;
        n = two(p, N_IF_ELSE, n, test_node);
        if (n) { n->child[2] = orelse; }
    }
    p->depth--;
    return n;
}

/* What a `for` or `set` gives values to: names, and members of a namespace. */
static struct lorac_jnode *target(struct lorac_jparser *p)
{
    if (p->at->kind != T_NAME) {
        return lorac_jparse_fail(p, LORAC_EFORMAT, "the name of a variable was expected");
    }
    struct lorac_jnode *n = lorac_jparse_node(p, N_NAME);
    if (!n) { return NULL; }
    n->text = p->at->text;
    p->at++;
    return is_operator(p, ".") ? attribute(p, n) : n;
}

struct lorac_jnode *lorac_jparse_tuple(struct lorac_jparser *p,
                                       bool targets) // NOLINT(misc-no-recursion)
{
    bool bracket = targets && lorac_jparse_skip(p, "(");
    struct lorac_jnode *first = targets ? target(p) : lorac_jparse_expr(p);
    if (lorac_jparse_is(p, ",")) {
        struct lorac_jnode *n = two(p, N_TUPLE, first, NULL);
        struct lorac_jnode **end = first ? &first->next : NULL;
        while (!p->st && end && lorac_jparse_skip(p, ",")) {
            bool more = p->at->kind != T_BLOCK_END && !lorac_jparse_is(p, ")") &&
                        !lorac_jparse_is(p, "in") && !lorac_jparse_is(p, "=");
            if (more) { append(&end, targets ? target(p) : lorac_jparse_expr(p)); }
        }
        first = n;
    }
    if (bracket) { lorac_jparse_expect(p, ")"); }
    return first;
}
