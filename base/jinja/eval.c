/* eval.c - expressions: nodes to values; see impl.h. */
#include "base/jinja/impl.h"

#include <math.h>
#include <string.h>

/* ---- members ---- */

static struct lorac_jvalue bind(struct lorac_jrun *r, const struct lorac_jrow *row,
                                struct lorac_jvalue self)
{
    struct lorac_jbound *bound = lorac_jinja_take(r, 1, sizeof *bound);
    if (!bound) { return lorac_jnone(); }
    *bound = (struct lorac_jbound){row, self};
    return (struct lorac_jvalue){.kind = J_FUNCTION, .bound = bound};
}

static struct lorac_jvalue neighbour(const struct lorac_jloop *l, struct lorac_jstr name, bool next)
{
    bool there = next ? l->at + 1 < l->items->n : l->at > 0;
    return there ? l->items->at[next ? l->at + 1 : l->at - 1] : lorac_jundefined(name);
}

static struct lorac_jvalue loop_member(const struct lorac_jloop *l, struct lorac_jstr name)
{
    const struct {
        const char *name;
        size_t value;
    } counts[] = {{"index", l->at + 1},
                  {"index0", l->at},
                  {"revindex", l->items->n - l->at},
                  {"revindex0", l->items->n - l->at - 1},
                  {"length", l->items->n},
                  {"depth", 1}, // of recursive loops alone it would be more
                  {"depth0", 0}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (lorac_jstr_is(name, counts[i].name)) { return lorac_jint((int64_t)counts[i].value); }
    }
    if (lorac_jstr_is(name, "first")) { return lorac_jbool(l->at == 0); }
    if (lorac_jstr_is(name, "last")) { return lorac_jbool(l->at + 1 == l->items->n); }
    if (lorac_jstr_is(name, "previtem")) { return neighbour(l, name, false); }
    if (lorac_jstr_is(name, "nextitem")) { return neighbour(l, name, true); }
    return lorac_jundefined(name);
}

static const struct lorac_jrow *method(struct lorac_jvalue v, struct lorac_jstr name)
{
    switch ((int)v.kind) {
    case J_STRING:
        return lorac_jinja_row(lorac_jinja_string_methods, name);
    case J_LIST:
        return lorac_jinja_row(lorac_jinja_list_methods, name);
    case J_DICT:
        return lorac_jinja_row(lorac_jinja_dict_methods, name);
    case J_LOOP:
        return lorac_jinja_row(lorac_jinja_loop_methods, name);
    default:
        return NULL;
    }
}

/* environment.getattr(): a method before a member of that name. */
struct lorac_jvalue lorac_jinja_attr(struct lorac_jrun *r, struct lorac_jvalue v,
                                     struct lorac_jstr name)
{
    if (v.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, v); }
    const struct lorac_jrow *row = method(v, name);
    if (row) { return bind(r, row, v); }
    if (v.kind == J_LOOP) { return loop_member(v.loop, name); }
    const struct lorac_jvalue *found = NULL;
    if (v.kind == J_DICT || v.kind == J_NAMESPACE) {
        found = lorac_jdict_find(v, lorac_jstring(name));
    }
    return found ? *found : lorac_jundefined(name);
}

/* Item i of n, from the end where i < 0; false: there is none. */
static bool index_of(size_t *at, struct lorac_jvalue key, size_t n)
{
    int64_t i = key.kind == J_BOOL ? key.b : key.i;
    if (i < 0) { i += (int64_t)n; }
    *at = (size_t)i;
    return i >= 0 && (size_t)i < n;
}

static struct lorac_jvalue character(struct lorac_jstr s, size_t index)
{
    size_t i = 0;
    size_t n = 0;
    for (size_t k = 0; k <= index; k++) {
        i += n;
        (void)lorac_jstr_at(s, i, &n);
    }
    return lorac_jstring(lorac_jstr_cut(s, i, i + n));
}

/* environment.getitem(): a member before a method of that name. */
struct lorac_jvalue lorac_jinja_item(struct lorac_jrun *r, struct lorac_jvalue v,
                                     struct lorac_jvalue key)
{
    size_t at = 0;
    bool whole = key.kind == J_INT || key.kind == J_BOOL;
    if (v.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, v); }
    if (v.kind == J_DICT) {
        const struct lorac_jvalue *found = lorac_jdict_find(v, key);
        if (found) { return *found; }
    }
    bool indexed = v.kind == J_LIST && v.list->form != JF_GENERATOR && v.list->form != JF_VIEW;
    if (indexed && whole && index_of(&at, key, v.list->n)) { return v.list->at[at]; }
    if (v.kind == J_STRING && whole && index_of(&at, key, lorac_jstr_length(v.s))) {
        return character(v.s, at);
    }
    if (key.kind == J_STRING) { return lorac_jinja_attr(r, v, key.s); }
    return lorac_jundefined(lorac_jprint(r, key));
}

/* ---- slices ---- */

/* A bound of a slice as Python takes it: from the end where negative, then kept within low .. high.
 */
static bool bound_of(struct lorac_jrun *r, int64_t *to, const struct lorac_jnode *n, int64_t given,
                     int64_t length, int64_t low, int64_t high)
{
    *to = given;
    if (!n) { return true; }
    struct lorac_jvalue v = lorac_jinja_eval(r, n);
    if (v.kind == J_NONE) { return true; }
    if (v.kind != J_INT && v.kind != J_BOOL) {
        (void)lorac_jinja_fail(r, LORAC_EUSER, "a slice is bounded by %s", lorac_jkind_name(v));
        return false;
    }
    int64_t i = v.kind == J_BOOL ? v.b : v.i;
    if (i < 0) { i += length; }
    *to = i < low ? low : i > high ? high : i;
    return true;
}

/* Characters of a text, as a list, or the items of a list. */
static struct lorac_jvalue slice(struct lorac_jrun *r, const struct lorac_jnode *n)
{
    struct lorac_jvalue v = lorac_jinja_eval(r, n->child[0]);
    if (v.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, v); }
    bool sliced = v.kind == J_STRING || (v.kind == J_LIST && v.list->form != JF_GENERATOR);
    if (!sliced) { return lorac_jundefined(lorac_jstr("slice")); }
    const struct lorac_jlist *items = lorac_jitems(r, v);
    struct lorac_jvalue step = n->child[3] ? lorac_jinja_eval(r, n->child[3]) : lorac_jint(1);
    if (step.kind == J_NONE) { step = lorac_jint(1); }
    if (step.kind != J_INT || step.i == 0) {
        return lorac_jinja_fail(r, LORAC_EUSER, "the step of a slice is 0, or no whole number");
    }
    if (!items) { return lorac_jnone(); }
    int64_t length = (int64_t)items->n;
    bool up = step.i > 0;
    int64_t from = 0;
    int64_t to = 0;
    int64_t low = up ? 0 : -1;
    int64_t high = up ? length : length - 1;
    if (!bound_of(r, &from, n->child[1], up ? 0 : length - 1, length, low, high) ||
        !bound_of(r, &to, n->child[2], up ? length : -1, length, low, high)) {
        return lorac_jnone();
    }
    struct lorac_jtext text = {0};
    struct lorac_jvalue out =
        lorac_jlist(r, v.kind == J_LIST && v.list->form == JF_TUPLE ? JF_TUPLE : JF_LIST);
    int64_t stride = step.i > length ? length + 1 : step.i < -length ? -length - 1 : step.i;
    for (int64_t i = from; !r->st && (up ? i < to : i > to); i += stride) {
        if (v.kind == J_STRING) {
            lorac_jtext_add(r, &text, items->at[i].s);
        } else {
            lorac_jlist_add(r, out, items->at[i]);
        }
    }
    return v.kind == J_STRING ? lorac_jtext_value(&text) : out;
}

/* ---- operators ---- */

static struct lorac_jvalue binary(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                  const struct lorac_jnode *n)
{
    struct lorac_jvalue a = lorac_jinja_eval(r, n->child[0]);
    struct lorac_jvalue b = lorac_jinja_eval(r, n->child[1]);
    if (r->st) { return lorac_jnone(); }
    r->at = n;
    if (n->op == N_CONCAT) {
        a = lorac_jstring(lorac_jprint(r, a));
        return lorac_jinja_operate(r, N_ADD, a, lorac_jstring(lorac_jprint(r, b)));
    }
    return lorac_jinja_operate(r, n->op, a, b);
}

static struct lorac_jvalue sign(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                const struct lorac_jnode *n)
{
    struct lorac_jvalue v = lorac_jinja_eval(r, n->child[0]);
    struct lorac_jvalue zero = v.kind == J_FLOAT ? lorac_jfloat(-0.0) : lorac_jint(0);
    return r->st ? v : lorac_jinja_operate(r, n->op == N_NEGATE ? N_SUB : N_ADD, zero, v);
}

/* ---- comparing ---- */

static bool holds(struct lorac_jrun *r, enum lorac_jcompare op, struct lorac_jvalue a,
                  struct lorac_jvalue b)
{
    switch ((int)op) {
    case C_EQ:
        return lorac_jsame(r, a, b);
    case C_NE:
        return !lorac_jsame(r, a, b);
    case C_IN:
        return lorac_jin(r, a, b);
    case C_NOT_IN:
        return !lorac_jin(r, a, b);
    default:
        break;
    }
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) {
        (void)lorac_jinja_undefined(r, a.kind == J_UNDEFINED ? a : b);
        return false;
    }
    if ((a.kind == J_FLOAT && isnan(a.f)) || (b.kind == J_FLOAT && isnan(b.f))) { return false; }
    int order = lorac_jorder(r, a, b);
    return op == C_LT ? order < 0 : op == C_LE ? order <= 0 : op == C_GT ? order > 0 : order >= 0;
}

/* a < b < c is a < b and b < c. */
static struct lorac_jvalue compare(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                   const struct lorac_jnode *n)
{
    struct lorac_jvalue a = lorac_jinja_eval(r, n->child[0]);
    bool all = true;
    for (const struct lorac_jnode *link = n->child[1]; link && all && !r->st; link = link->next) {
        struct lorac_jvalue b = lorac_jinja_eval(r, link->child[0]);
        r->at = link;
        all = !r->st && holds(r, link->sub, a, b);
        a = b;
    }
    return lorac_jbool(all);
}

/* ---- calls ---- */

/* The arguments from node `first` on. */
static bool arguments(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                      struct lorac_jargs *args, const struct lorac_jnode *first)
{
    struct lorac_jvalue all = lorac_jlist(r, JF_LIST);
    size_t named = 0;
    for (const struct lorac_jnode *a = first; a && !r->st; a = a->next) {
        struct lorac_jvalue v =
            lorac_jinja_eval(r, a->op >= N_NAMED && a->op <= N_SPREAD ? a->child[0] : a);
        const struct lorac_jlist *items = a->op == N_SPREAD ? lorac_jitems(r, v) : NULL;
        for (size_t i = 0; items && i < items->n; i++) {
            lorac_jlist_add(r, all, items->at[i]);
        }
        if (a->op != N_SPREAD) { lorac_jlist_add(r, all, v); }
        named += a->op == N_NAMED;
    }
    struct lorac_jstr *name = lorac_jinja_take(r, named + 1, sizeof *name);
    if (r->st) { return false; }
    *args = (struct lorac_jargs){all.list->at, name, all.list->n - named, 0};
    for (const struct lorac_jnode *a = first; a; a = a->next) { // they stand behind the others
        if (a->op == N_NAMED) { name[args->n_named++] = a->text; }
    }
    return true;
}

/* Where parameter `name` stands in "a,b,c"; SIZE_MAX: nowhere. */
static size_t parameter(const char *params, struct lorac_jstr name, size_t *many)
{
    size_t found = SIZE_MAX;
    *many = 0;
    while (*params) {
        size_t n = strcspn(params, ",");
        if (n == name.n && memcmp(params, name.at, n) == 0) { found = *many; }
        ++*many;
        params += n + (params[n] == ',');
    }
    return found;
}

struct lorac_jvalue lorac_jinja_apply(struct lorac_jrun *r, const struct lorac_jrow *row,
                                      const char *kind, struct lorac_jvalue self,
                                      const struct lorac_jargs *args)
{
    enum { MOST = 8 };
    struct lorac_jvalue at[MOST];
    size_t many = 0;
    if (!row->params) { return row->fn(r, self, args); }
    (void)parameter(row->params, lorac_jstr("-"), &many);
    for (size_t i = 0; i < MOST; i++) {
        at[i] = i < args->n ? args->at[i] : lorac_jundefined(lorac_jstr("argument"));
    }
    if (args->n > many || args->n + args->n_named < row->required) {
        return lorac_jinja_fail(r, LORAC_EUSER, "%s %s takes from %zu to %zu arguments, not %zu",
                                kind, row->name, row->required, many, args->n + args->n_named);
    }
    for (size_t i = 0; i < args->n_named; i++) {
        size_t k = parameter(row->params, args->name[i], &many);
        if (k == SIZE_MAX || k < args->n) {
            return lorac_jinja_fail(r, LORAC_EUSER, "%s %s takes no argument '%.*s'", kind,
                                    row->name, (int)args->name[i].n, args->name[i].at);
        }
        at[k] = args->at[args->n + i];
    }
    const struct lorac_jargs placed = {.at = at, .n = many};
    return row->fn(r, self, &placed);
}

struct lorac_jvalue lorac_jinja_call(struct lorac_jrun *r, struct lorac_jvalue f,
                                     const struct lorac_jargs *args)
{
    if (r->st) { return lorac_jnone(); }
    if (f.kind == J_FUNCTION) {
        return lorac_jinja_apply(r, f.bound->row, "function", f.bound->self, args);
    }
    if (f.kind == J_MACRO) { return lorac_jinja_macro(r, f, args); }
    if (f.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, f); }
    return lorac_jinja_fail(r, LORAC_EUSER, "%s cannot be called", lorac_jkind_name(f));
}

static struct lorac_jvalue call(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                const struct lorac_jnode *n)
{
    struct lorac_jargs args;
    struct lorac_jvalue f = lorac_jinja_eval(r, n->child[0]);
    if (r->st || !arguments(r, &args, n->child[1])) { return lorac_jnone(); }
    r->at = n;
    return lorac_jinja_call(r, f, &args);
}

static struct lorac_jvalue filtered(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                    const struct lorac_jnode *n)
{
    struct lorac_jargs args;
    bool test = n->op == N_TEST;
    struct lorac_jvalue v = lorac_jinja_eval(r, n->child[0]);
    if (r->st || !arguments(r, &args, n->child[1])) { return lorac_jnone(); }
    r->at = n;
    const struct lorac_jrow *row =
        lorac_jinja_row(test ? lorac_jinja_tests : lorac_jinja_filters, n->text);
    if (!row) {
        return lorac_jinja_fail(r, LORAC_ENOTSUP, "there is no %s '%.*s'", test ? "test" : "filter",
                                (int)n->text.n, n->text.at);
    }
    struct lorac_jvalue out = lorac_jinja_apply(r, row, test ? "test" : "filter", v, &args);
    return test ? lorac_jbool(lorac_jtruth(out) != n->flag) : out;
}

/* ---- nodes ---- */

static struct lorac_jvalue items_of(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                    const struct lorac_jnode *n)
{
    struct lorac_jvalue list = lorac_jlist(r, n->op == N_TUPLE ? JF_TUPLE : JF_LIST);
    for (const struct lorac_jnode *i = n->child[0]; i && !r->st; i = i->next) {
        lorac_jlist_add(r, list, lorac_jinja_eval(r, i));
    }
    return list;
}

static struct lorac_jvalue members_of(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                      const struct lorac_jnode *n)
{
    struct lorac_jvalue dict = lorac_jdict(r, J_DICT);
    for (const struct lorac_jnode *k = n->child[0]; k && k->next && !r->st; k = k->next->next) {
        struct lorac_jvalue key = lorac_jinja_eval(r, k);
        lorac_jdict_set(r, dict, key, lorac_jinja_eval(r, k->next));
    }
    return dict;
}

static struct lorac_jvalue choose(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                  const struct lorac_jnode *n)
{
    bool first = lorac_jtruth(lorac_jinja_eval(r, n->child[1]));
    if (r->st) { return lorac_jnone(); }
    if (first) { return lorac_jinja_eval(r, n->child[0]); }
    return n->child[2] ? lorac_jinja_eval(r, n->child[2]) : lorac_jundefined(lorac_jstr("else"));
}

static struct lorac_jvalue evaluate(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                    const struct lorac_jnode *n)
{
    struct lorac_jvalue v = lorac_jnone();
    switch ((int)n->op) {
    case N_CONST:
        return n->value;
    case N_NAME:
        return lorac_jinja_lookup(r, n->text);
    case N_INPUT:
        return r->input;
    case N_LIST:
    case N_TUPLE:
        return items_of(r, n);
    case N_DICT:
        return members_of(r, n);
    case N_ATTR:
        v = lorac_jinja_eval(r, n->child[0]);
        r->at = n;
        return r->st ? v : lorac_jinja_attr(r, v, n->text);
    case N_ITEM: {
        v = lorac_jinja_eval(r, n->child[0]);
        struct lorac_jvalue key = lorac_jinja_eval(r, n->child[1]);
        r->at = n;
        return r->st ? v : lorac_jinja_item(r, v, key);
    }
    case N_SLICE:
        return slice(r, n);
    case N_CALL:
        return call(r, n);
    case N_FILTER:
    case N_TEST:
        return filtered(r, n);
    case N_NOT:
        return lorac_jbool(!lorac_jtruth(lorac_jinja_eval(r, n->child[0])));
    case N_NEGATE:
    case N_PLUS:
        return sign(r, n);
    case N_AND:
    case N_OR:
        v = lorac_jinja_eval(r, n->child[0]);
        return r->st || lorac_jtruth(v) == (n->op == N_OR) ? v : lorac_jinja_eval(r, n->child[1]);
    case N_COMPARE:
        return compare(r, n);
    case N_IF_ELSE:
        return choose(r, n);
    default:
        return binary(r, n);
    }
}

struct lorac_jvalue lorac_jinja_eval(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                     const struct lorac_jnode *n)
{
    if (r->st || !lorac_jinja_enter(r)) { return lorac_jnone(); }
    r->at = n;
    struct lorac_jvalue v = evaluate(r, n);
    lorac_jinja_leave(r);
    return r->st ? lorac_jnone() : v;
}
