/* render.c - statements, scopes and macros of a template; see impl.h. */
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/jinja/impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names that statements gave values to. A loop's every turn, a macro's every call and a block have
 * their own; `if` has none. */
struct binding {
    struct lorac_jstr name;
    struct lorac_jvalue value;
    struct binding *next;
};
struct lorac_jscope {
    struct lorac_jscope *up;
    struct binding *first;
};

/* ---- a run ---- */

struct lorac_jvalue lorac_jinja_fail(struct lorac_jrun *r, enum lorac_status code, const char *fmt,
                                     ...)
{
    char what[600];
    va_list args;
    if (r->st) { return lorac_jnone(); }
    va_start(args, fmt);
    (void)lorac_vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    r->st = lorac_fail(r->err, code, "%s:%d:%d: %s", r->t ? r->t->name : "template",
                       r->at ? r->at->line : 1, r->at ? r->at->column : 1, what);
    return lorac_jnone();
}

void *lorac_jinja_take(struct lorac_jrun *r, size_t n, size_t size)
{
    size_t bytes = 0;
    if (r->st) { return NULL; }
    if (!lorac_mul(n, size, &bytes) || bytes > JINJA_MAX_MEMORY - r->bytes) {
        (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "this needs more than %d MiB of memory",
                               JINJA_MAX_MEMORY >> 20);
        return NULL;
    }
    void *p = lorac_arena_take(r->arena, n, size);
    r->bytes += bytes;
    if (!p) { r->st = lorac_fail(r->err, LORAC_ENOMEM, "no memory to render a chat template"); }
    return p;
}

bool lorac_jinja_enter(struct lorac_jrun *r)
{
    if (r->depth >= JINJA_MAX_CALLS) {
        (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "this is nested deeper than %d", JINJA_MAX_CALLS);
    } else if (++r->steps > JINJA_MAX_STEPS) {
        (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "this takes more than %d steps", JINJA_MAX_STEPS);
    }
    if (r->st) { return false; }
    r->depth++;
    return true;
}

void lorac_jinja_leave(struct lorac_jrun *r)
{
    r->depth--;
}

/* ---- names ---- */

static struct binding *find(const struct lorac_jscope *s, struct lorac_jstr name)
{
    struct binding *b = s->first;
    while (b && !lorac_jstr_same(b->name, name)) {
        b = b->next;
    }
    return b;
}

struct lorac_jvalue lorac_jinja_lookup(struct lorac_jrun *r, struct lorac_jstr name)
{
    for (const struct lorac_jscope *s = r->scope; s; s = s->up) {
        const struct binding *b = find(s, name);
        if (b) { return b->value; }
    }
    const struct lorac_jrow *row = lorac_jinja_row(lorac_jinja_globals, name);
    struct lorac_jbound *bound = row ? lorac_jinja_take(r, 1, sizeof *bound) : NULL;
    if (!bound) { return lorac_jundefined(name); }
    bound->row = row;
    return (struct lorac_jvalue){.kind = J_FUNCTION, .bound = bound};
}

static void set(struct lorac_jrun *r, struct lorac_jstr name, struct lorac_jvalue v)
{
    struct binding *b = r->st ? NULL : find(r->scope, name);
    if (!b) { b = lorac_jinja_take(r, 1, sizeof *b); }
    if (!b) { return; }
    if (!b->name.at) {
        b->name = name;
        b->next = r->scope->first;
        r->scope->first = b;
    }
    b->value = v;
}

static struct lorac_jscope *new_scope(struct lorac_jrun *r, struct lorac_jscope *up)
{
    struct lorac_jscope *s = lorac_jinja_take(r, 1, sizeof *s);
    if (s) { s->up = up; }
    return s;
}

/* a = v; ns.a = v; a, b = v */
static void assign(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                   const struct lorac_jnode *target, struct lorac_jvalue v)
{
    if (r->st) { return; }
    r->at = target;
    if (target->op == N_NAME) {
        set(r, target->text, v);
    } else if (target->op == N_ATTR) {
        struct lorac_jvalue of = lorac_jinja_eval(r, target->child[0]);
        if (!r->st && of.kind != J_NAMESPACE) {
            (void)lorac_jinja_fail(r, LORAC_EUSER, "only a namespace's members can be set");
        }
        if (!r->st) { lorac_jdict_set(r, of, lorac_jstring(target->text), v); }
    } else {
        const struct lorac_jlist *items = lorac_jitems(r, v);
        size_t n = 0;
        for (const struct lorac_jnode *t = target->child[0]; t; t = t->next) {
            n++;
        }
        if (!items) { return; }
        if (items->n != n) {
            (void)lorac_jinja_fail(r, LORAC_EUSER, "%zu values for %zu names", items->n, n);
            return;
        }
        size_t i = 0;
        for (const struct lorac_jnode *t = target->child[0]; t; t = t->next) {
            assign(r, t, items->at[i++]);
        }
    }
}

/* ---- output ---- */

static void emit(struct lorac_jrun *r, struct lorac_jstr s)
{
    size_t from = r->out->n;
    lorac_jtext_add(r, r->out, s);
    for (size_t i = from; i < r->out->n && r->generated; i++) {
        r->out->mark[i] |= r->generated;
    }
}

/* What statements print, as a text, in scope `s`. */
static struct lorac_jvalue capture(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                   const struct lorac_jnode *first, struct lorac_jscope *s)
{
    struct lorac_jtext text = {0};
    struct lorac_jtext *out = r->out;
    struct lorac_jscope *scope = r->scope;
    char generated = r->generated;
    if (!s) { return lorac_jnone(); }
    r->out = &text;
    r->scope = s;
    r->generated = 0; // what prints the text says whether it is
    (void)lorac_jinja_statements(r, first);
    r->out = out;
    r->scope = scope;
    r->generated = generated;
    return lorac_jtext_value(&text);
}

/* ---- macros ---- */

/* The value of parameter i, called `p`. */
static struct lorac_jvalue argument(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                    const struct lorac_jnode *p, size_t i,
                                    const struct lorac_jargs *args, size_t *used)
{
    if (i < args->n) { return args->at[i]; }
    for (size_t k = 0; k < args->n_named; k++) {
        if (!lorac_jstr_same(args->name[k], p->text)) { continue; }
        ++*used;
        return args->at[args->n + k];
    }
    return p->child[0] ? lorac_jinja_eval(r, p->child[0]) : lorac_jundefined(p->text);
}

struct lorac_jvalue lorac_jinja_macro(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                      struct lorac_jvalue macro, const struct lorac_jargs *args)
{
    const struct lorac_jnode *n = macro.macro->node;
    struct lorac_jscope *scope = new_scope(r, macro.macro->scope);
    struct lorac_jscope *caller = r->scope;
    size_t i = 0;
    size_t used = 0;
    if (!scope || !lorac_jinja_enter(r)) { return lorac_jnone(); }
    r->scope = scope;
    for (const struct lorac_jnode *p = n->child[0]; p && !r->st; p = p->next, i++) {
        set(r, p->text, argument(r, p, i, args, &used));
    }
    for (size_t k = 0; k < args->n_named; k++) {
        if (!lorac_jstr_is(args->name[k], "caller")) { continue; }
        set(r, args->name[k], args->at[args->n + k]);
        used++;
    }
    r->scope = caller;
    struct lorac_jvalue v = lorac_jnone();
    if (args->n > i || used < args->n_named) {
        v = lorac_jinja_fail(r, LORAC_EUSER, "macro %.*s takes %zu arguments, not these",
                             (int)n->text.n, n->text.at, i);
    } else if (!r->st) {
        v = capture(r, n->body, scope);
    }
    lorac_jinja_leave(r);
    return v;
}

static struct lorac_jvalue new_macro(struct lorac_jrun *r, const struct lorac_jnode *n)
{
    struct lorac_jmacro *m = lorac_jinja_take(r, 1, sizeof *m);
    if (!m) { return lorac_jnone(); }
    *m = (struct lorac_jmacro){n, r->scope};
    return (struct lorac_jvalue){.kind = J_MACRO, .macro = m};
}

/* {% call(x) f(y) %} body {% endcall %}: f is given the body as `caller`. */
static void call_block(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                       const struct lorac_jnode *n)
{
    struct lorac_jnode caller = {.op = N_CONST, .value = new_macro(r, n)};
    struct lorac_jnode named = {.op = N_NAMED, .text = lorac_jstr("caller"), .child = {&caller}};
    struct lorac_jnode call = *n->child[1];
    struct lorac_jnode *args = NULL;
    struct lorac_jnode **end = &args;
    for (const struct lorac_jnode *a = call.child[1]; a; a = a->next) { // a list of our own
        *end = lorac_jinja_take(r, 1, sizeof **end);
        if (!*end) { return; }
        **end = *a;
        end = &(*end)->next;
    }
    *end = &named;
    call.child[1] = args;
    emit(r, lorac_jprint(r, lorac_jinja_eval(r, &call)));
}

/* ---- loops ---- */

/* The items that the condition of `for x in items if condition` lets through. */
static const struct lorac_jlist *sieve(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                       const struct lorac_jnode *n, const struct lorac_jlist *items)
{
    struct lorac_jvalue kept = lorac_jlist(r, JF_LIST);
    struct lorac_jscope *outer = r->scope;
    for (size_t i = 0; i < items->n && !r->st; i++) {
        r->scope = new_scope(r, outer);
        if (!r->scope) { break; }
        assign(r, n->child[0], items->at[i]);
        if (!r->st && lorac_jtruth(lorac_jinja_eval(r, n->child[2]))) {
            lorac_jlist_add(r, kept, items->at[i]);
        }
    }
    r->scope = outer;
    return r->st ? NULL : kept.list;
}

static enum lorac_jflow loop(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                             const struct lorac_jnode *n)
{
    const struct lorac_jlist *items = lorac_jitems(r, lorac_jinja_eval(r, n->child[1]));
    if (items && n->child[2]) { items = sieve(r, n, items); }
    struct lorac_jloop *l = items ? lorac_jinja_take(r, 1, sizeof *l) : NULL;
    if (!l) { return F_ON; }
    struct lorac_jscope *outer = r->scope;
    l->items = items;
    enum lorac_jflow flow = F_ON;
    for (; l->at < items->n && flow != F_BREAK && !r->st; l->at++) {
        r->scope = new_scope(r, outer);
        if (!r->scope) { break; }
        set(r, lorac_jstr("loop"), (struct lorac_jvalue){.kind = J_LOOP, .loop = l});
        assign(r, n->child[0], items->at[l->at]);
        flow = lorac_jinja_statements(r, n->body);
    }
    r->scope = outer;
    if (items->n == 0 && !r->st) {
        r->scope = new_scope(r, outer);
        if (r->scope) { flow = lorac_jinja_statements(r, n->orelse); }
        r->scope = outer;
        return flow;
    }
    return F_ON;
}

/* ---- statements ---- */

static void set_block(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                      const struct lorac_jnode *n)
{
    struct lorac_jvalue before = r->input;
    struct lorac_jvalue v = capture(r, n->body, new_scope(r, r->scope));
    if (n->child[1]) {
        r->input = v;
        v = lorac_jinja_eval(r, n->child[1]);
        r->input = before;
    }
    assign(r, n->child[0], v);
}

static void filter_block(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                         const struct lorac_jnode *n)
{
    struct lorac_jvalue before = r->input;
    r->input = capture(r, n->body, new_scope(r, r->scope));
    struct lorac_jvalue v = lorac_jinja_eval(r, n->child[0]);
    r->input = before;
    emit(r, lorac_jprint(r, v));
}

static enum lorac_jflow generation(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                   const struct lorac_jnode *n)
{
    struct lorac_jscope *outer = r->scope;
    char before = r->generated;
    r->scope = new_scope(r, outer);
    r->generated = LORAC_JINJA_GENERATED;
    enum lorac_jflow flow = r->scope ? lorac_jinja_statements(r, n->body) : F_ON;
    r->scope = outer;
    r->generated = before;
    return flow;
}

static enum lorac_jflow statement(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                  const struct lorac_jnode *n)
{
    r->at = n;
    switch ((int)n->op) {
    case N_TEXT:
        emit(r, n->value.s);
        break;
    case N_PRINT: {
        struct lorac_jvalue v = lorac_jinja_eval(r, n->child[0]);
        if (!r->st) { emit(r, lorac_jprint(r, v)); }
        break;
    }
    case N_IF: {
        bool then = lorac_jtruth(lorac_jinja_eval(r, n->child[0]));
        return r->st ? F_ON : lorac_jinja_statements(r, then ? n->body : n->orelse);
    }
    case N_FOR:
        return loop(r, n);
    case N_SET:
        assign(r, n->child[0], lorac_jinja_eval(r, n->child[1]));
        break;
    case N_SET_BLOCK:
        set_block(r, n);
        break;
    case N_MACRO:
        set(r, n->text, new_macro(r, n));
        break;
    case N_CALL_BLOCK:
        call_block(r, n);
        break;
    case N_FILTER_BLOCK:
        filter_block(r, n);
        break;
    case N_GENERATION:
        return generation(r, n);
    case N_BREAK:
        return F_BREAK;
    case N_CONTINUE:
        return F_CONTINUE;
    default:
        break;
    }
    return F_ON;
}

enum lorac_jflow lorac_jinja_statements(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                        const struct lorac_jnode *first)
{
    enum lorac_jflow flow = F_ON;
    if (!lorac_jinja_enter(r)) { return flow; }
    for (const struct lorac_jnode *n = first; n && flow == F_ON && !r->st; n = n->next) {
        if (++r->steps > JINJA_MAX_STEPS) {
            (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "this takes more than %d steps",
                                   JINJA_MAX_STEPS);
        }
        flow = statement(r, n);
    }
    lorac_jinja_leave(r);
    return flow;
}

/* ---- the whole ---- */

void lorac_jinja_text_free(struct lorac_jinja_text *t)
{
    lorac_buf_free(&t->text);
    lorac_buf_free(&t->mark);
}

/* The members of `object` as variables. */
static void set_all(struct lorac_jrun *r, const json_t *object, bool input)
{
    struct lorac_jvalue all = object ? lorac_jfrom_json(r, object, input) : lorac_jnone();
    for (size_t i = 0; all.kind == J_DICT && i < all.dict->n && !r->st; i++) {
        set(r, all.dict->at[i].key.s, all.dict->at[i].value);
    }
}

enum lorac_status lorac_jinja_render(struct lorac_jinja_text *out, const struct lorac_jinja *t,
                                     const json_t *own, const json_t *input, int64_t now,
                                     struct lorac_err *err)
{
    struct lorac_jtext text = {0};
    struct lorac_jscope variables = {0};
    struct lorac_jscope top = {.up = &variables};
    struct lorac_jrun r = {.t = t, .now = now, .out = &text, .scope = &variables, .err = err};
    r.arena = lorac_arena_new();
    if (!r.arena) { return lorac_fail(err, LORAC_ENOMEM, "no memory to render a chat template"); }
    set_all(&r, own, false);
    set_all(&r, input, true);
    r.scope = &top;
    if (!r.st) { (void)lorac_jinja_statements(&r, t->body); }
    if (!r.st) {
        lorac_buf_clear(&out->text);
        lorac_buf_clear(&out->mark);
        lorac_buf_add(&out->text, text.at ? text.at : "", text.n);
        lorac_buf_add(&out->mark, text.mark ? text.mark : "", text.n);
        if (out->text.no_memory || out->mark.no_memory) {
            r.st = lorac_fail(err, LORAC_ENOMEM, "no memory to render a chat template");
        }
    }
    lorac_arena_free(r.arena);
    return r.st;
}
