/* filters.c - filters and tests of the template language; see impl.h. Source: jinja2/filters.py,
 * jinja2/tests.py, and tojson of transformers. */
#include "base/jinja/impl.h"
#include "base/jinja/words.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct lorac_jrow *lorac_jinja_row(const struct lorac_jrow *rows, struct lorac_jstr name)
{
    for (; rows->name; rows++) {
        if (lorac_jstr_is(name, rows->name)) { return rows; }
    }
    return NULL;
}

static bool given(const struct lorac_jargs *args, size_t i)
{
    return args->at[i].kind != J_UNDEFINED;
}

/* ---- texts ---- */

JFN_IS(string, lorac_jstring(lorac_jprint(r, v)))
JFN_IS(upper, lorac_jword_case(r, lorac_jprint(r, v), JW_UPPER))
JFN_IS(lower, lorac_jword_case(r, lorac_jprint(r, v), JW_LOWER))
JFN_IS(capitalize, lorac_jword_case(r, lorac_jprint(r, v), JW_CAPITALIZE))
JFN_IS(title, lorac_jword_case(r, lorac_jprint(r, v), JW_TITLE_FILTER))

JFN(trim)
{
    bool set = given(args, 0) && args->at[0].kind != J_NONE;
    struct lorac_jstr chars = set ? lorac_jprint(r, args->at[0]) : lorac_jstr("");
    return lorac_jstring(lorac_jstr_strip(lorac_jprint(r, v), set ? &chars : NULL, true, true));
}

JFN(replace)
{
    int64_t most = args->at[2].kind == J_INT ? args->at[2].i : -1;
    return lorac_jword_replace(r, lorac_jprint(r, v), lorac_jprint(r, args->at[0]),
                               lorac_jprint(r, args->at[1]), most);
}

/* Each line but the first behind `width` blanks, empty ones only where `blank`. */
JFN(indent)
{
    struct lorac_jtext t = {0};
    struct lorac_jtext blanks = {0};
    struct lorac_jstr s = lorac_jprint(r, v);
    int64_t width = args->at[0].kind == J_INT ? args->at[0].i : 4;
    bool first = lorac_jtruth(args->at[1]);
    bool blank = lorac_jtruth(args->at[2]);
    for (int64_t i = 0; args->at[0].kind != J_STRING && i < width && !r->st; i++) {
        lorac_jtext_char(r, &blanks, ' ', 0);
    }
    struct lorac_jstr by =
        args->at[0].kind == J_STRING ? args->at[0].s : lorac_jtext_value(&blanks).s;
    for (size_t from = 0; from <= s.n && !r->st;) {
        size_t to = lorac_jstr_find(s, lorac_jstr("\n"), from);
        size_t end = to == SIZE_MAX ? s.n : to;
        if (from == 0 ? first : blank || end > from) { lorac_jtext_add(r, &t, by); }
        lorac_jtext_add(r, &t, lorac_jstr_cut(s, from, to == SIZE_MAX ? s.n : to + 1));
        if (to == SIZE_MAX) { break; }
        from = to + 1;
    }
    return lorac_jtext_value(&t);
}

JFN(as_json)
{
    struct lorac_jtext t = {0};
    struct lorac_jdumps o = {.ascii = lorac_jtruth(args->at[0]),
                             .indent = args->at[1].kind == J_INT ? (int)args->at[1].i : -1,
                             .sorted = lorac_jtruth(args->at[3]),
                             .key = lorac_jstr(": ")};
    if (o.indent > 100) { return lorac_jinja_fail(r, LORAC_ENOTSUP, "an indent of more than 100"); }
    o.item = lorac_jstr(o.indent >= 0 ? "," : ", ");
    if (given(args, 2) && args->at[2].kind != J_NONE) {
        const struct lorac_jvalue *s = &args->at[2];
        bool two = s->kind == J_LIST && s->list->n == 2 && s->list->at[0].kind == J_STRING &&
                   s->list->at[1].kind == J_STRING;
        if (!two) { return lorac_jinja_fail(r, LORAC_EUSER, "separators are two texts"); }
        o.item = s->list->at[0].s;
        o.key = s->list->at[1].s;
    }
    lorac_jto_json(r, &t, v, &o, 0);
    return lorac_jtext_value(&t);
}

/* ---- numbers ---- */

/* int(), or `default` where it is no number. */
JFN(whole)
{
    struct lorac_jvalue other = given(args, 0) ? args->at[0] : lorac_jint(0);
    char text[40] = "";
    char *end = text;
    if (given(args, 1) && !(args->at[1].kind == J_INT && args->at[1].i == 10)) {
        return lorac_jinja_fail(r, LORAC_ENOTSUP, "numbers of another base than 10");
    }
    if (v.kind == J_INT) { return v; }
    if (v.kind == J_BOOL) { return lorac_jint(v.b); }
    if (v.kind == J_FLOAT) { return fabs(v.f) < 9e18 ? lorac_jint((int64_t)v.f) : other; }
    if (v.kind != J_STRING) { return other; }
    struct lorac_jstr s = lorac_jstr_strip(v.s, NULL, true, true);
    if (s.n == 0 || s.n >= sizeof text) { return other; }
    memcpy(text, s.at, s.n);
    errno = 0;
    long long i = strtoll(text, &end, 10);
    if (!*end && errno == 0) { return lorac_jint(i); }
    double f = lorac_strtod(text, &end);
    return !*end && fabs(f) < 9e18 ? lorac_jint((int64_t)f) : other;
}

JFN(absolute)
{
    if (v.kind == J_FLOAT) { return lorac_jfloat(fabs(v.f)); }
    if (v.kind == J_INT && v.i > INT64_MIN) { return lorac_jint(v.i < 0 ? -v.i : v.i); }
    return lorac_jinja_fail(r, LORAC_EUSER, "%s has no absolute value", lorac_jkind_name(v));
}

/* ---- lists ---- */

JFN(length)
{
    bool list = v.kind == J_LIST && v.list->form != JF_GENERATOR;
    if (v.kind == J_UNDEFINED) { return lorac_jint(0); }
    if (v.kind == J_STRING) { return lorac_jint((int64_t)lorac_jstr_length(v.s)); }
    if (v.kind == J_DICT) { return lorac_jint((int64_t)v.dict->n); }
    if (list) { return lorac_jint((int64_t)v.list->n); }
    return lorac_jinja_fail(r, LORAC_EUSER, "%s has no length", lorac_jkind_name(v));
}

/* A copy of the items, to be changed. */
static struct lorac_jvalue copy(struct lorac_jrun *r, struct lorac_jvalue v, enum lorac_jform form)
{
    const struct lorac_jlist *items = lorac_jitems(r, v);
    struct lorac_jvalue out = lorac_jlist(r, form);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        lorac_jlist_add(r, out, items->at[i]);
    }
    return out;
}

JFN_IS(list, copy(r, v, JF_LIST))

JFN(first)
{
    const struct lorac_jlist *items = lorac_jitems(r, v);
    return items && items->n ? items->at[0] : lorac_jundefined(lorac_jstr("first"));
}

JFN(last)
{
    const struct lorac_jlist *items = lorac_jitems(r, v);
    return items && items->n ? items->at[items->n - 1] : lorac_jundefined(lorac_jstr("last"));
}

JFN(reverse)
{
    const struct lorac_jlist *items = lorac_jitems(r, v);
    struct lorac_jtext t = {0};
    struct lorac_jvalue out = lorac_jlist(r, JF_GENERATOR);
    for (size_t i = items ? items->n : 0; i-- > 0 && !r->st;) {
        if (v.kind == J_STRING) {
            lorac_jtext_add(r, &t, items->at[i].s);
        } else {
            lorac_jlist_add(r, out, items->at[i]);
        }
    }
    return v.kind == J_STRING ? lorac_jtext_value(&t) : out;
}

/* The member that "a.b.0" names. */
static struct lorac_jvalue by_path(struct lorac_jrun *r, struct lorac_jvalue v,
                                   struct lorac_jvalue path)
{
    if (path.kind != J_STRING) { return lorac_jinja_item(r, v, path); }
    for (size_t from = 0; from <= path.s.n && !r->st;) {
        size_t to = lorac_jstr_find(path.s, lorac_jstr("."), from);
        struct lorac_jstr part = lorac_jstr_cut(path.s, from, to == SIZE_MAX ? path.s.n : to);
        char *end = NULL;
        char text[20] = "";
        if (part.n < sizeof text) { memcpy(text, part.at, part.n); }
        long index = strtol(text, &end, 10);
        bool is_index = end > text && !*end;
        v = lorac_jinja_item(r, v, is_index ? lorac_jint(index) : lorac_jstring(part));
        if (to == SIZE_MAX) { break; }
        from = to + 1;
    }
    return v;
}

struct sorting {
    struct lorac_jvalue path; // undefined: the item itself
    bool cased;
};

static struct lorac_jvalue sort_key(struct lorac_jrun *r, struct lorac_jvalue item, void *self)
{
    const struct sorting *s = self;
    struct lorac_jvalue key = s->path.kind == J_UNDEFINED ? item : by_path(r, item, s->path);
    bool fold = key.kind == J_STRING && !s->cased;
    return fold ? lorac_jword_case(r, key.s, JW_LOWER) : key;
}

/* sort(reverse, case_sensitive, attribute); equal ones stay as they were, also in reverse. */
JFN(sort)
{
    struct sorting s = {args->at[2], lorac_jtruth(args->at[1])};
    struct lorac_jvalue out = copy(r, v, JF_LIST);
    bool backwards = lorac_jtruth(args->at[0]);
    if (args->at[2].kind == J_NONE) { s.path.kind = J_UNDEFINED; }
    if (!r->st) { lorac_jsort(r, out.list, backwards, sort_key, &s); }
    return out;
}

JFN(unique)
{
    struct sorting s = {args->at[1], lorac_jtruth(args->at[0])};
    const struct lorac_jlist *items = lorac_jitems(r, v);
    struct lorac_jvalue seen = lorac_jdict(r, J_DICT);
    struct lorac_jvalue out = lorac_jlist(r, JF_GENERATOR);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        struct lorac_jvalue key = sort_key(r, items->at[i], &s);
        if (r->st || lorac_jdict_find(seen, key)) { continue; }
        lorac_jdict_set(r, seen, key, lorac_jnone());
        lorac_jlist_add(r, out, items->at[i]);
    }
    return out;
}

JFN(join)
{
    struct lorac_jtext t = {0};
    struct lorac_jstr between = given(args, 0) ? lorac_jprint(r, args->at[0]) : lorac_jstr("");
    const struct lorac_jlist *items = lorac_jitems(r, v);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        struct lorac_jvalue item =
            given(args, 1) ? by_path(r, items->at[i], args->at[1]) : items->at[i];
        if (i) { lorac_jtext_add(r, &t, between); }
        lorac_jtext_add(r, &t, lorac_jprint(r, item));
    }
    return lorac_jtext_value(&t);
}

/* [(key, value), ...] */
struct lorac_jvalue lorac_jword_items(struct lorac_jrun *r, struct lorac_jvalue dict,
                                      enum lorac_jform form)
{
    struct lorac_jvalue out = lorac_jlist(r, form);
    for (size_t i = 0; dict.kind == J_DICT && i < dict.dict->n && !r->st; i++) {
        struct lorac_jvalue pair = lorac_jlist(r, JF_TUPLE);
        lorac_jlist_add(r, pair, dict.dict->at[i].key);
        lorac_jlist_add(r, pair, dict.dict->at[i].value);
        lorac_jlist_add(r, out, pair);
    }
    return out;
}

JFN(items_of)
{
    if (v.kind == J_DICT || v.kind == J_UNDEFINED) { return lorac_jword_items(r, v, JF_GENERATOR); }
    return lorac_jinja_fail(r, LORAC_EUSER, "%s has no items of key and value",
                            lorac_jkind_name(v));
}

/* dictsort(case_sensitive, by, reverse) */
JFN(dictsort)
{
    bool by_value = args->at[1].kind == J_STRING && lorac_jstr_is(args->at[1].s, "value");
    struct sorting s = {lorac_jint(by_value), lorac_jtruth(args->at[0])};
    bool backwards = lorac_jtruth(args->at[2]);
    if (v.kind != J_DICT) {
        return lorac_jinja_fail(r, LORAC_EUSER, "%s is no dict to sort", lorac_jkind_name(v));
    }
    struct lorac_jvalue out = lorac_jword_items(r, v, JF_LIST);
    if (!r->st) { lorac_jsort(r, out.list, backwards, sort_key, &s); }
    return out;
}

/* Arguments from the k-th on. */
static struct lorac_jargs behind(const struct lorac_jargs *args, size_t k)
{
    return (struct lorac_jargs){args->at + k, args->name, args->n - k, args->n_named};
}

static struct lorac_jvalue named_arg(const struct lorac_jargs *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++) {
        if (lorac_jstr_is(args->name[i], name)) { return args->at[args->n + i]; }
    }
    return lorac_jundefined(lorac_jstr(name));
}

/* map("filter", ...), map(attribute="x", default=...); of what is false, None too, nothing. */
JFN(map)
{
    struct lorac_jvalue path = named_arg(args, "attribute");
    struct lorac_jvalue other = named_arg(args, "default");
    const struct lorac_jrow *row = NULL;
    if (path.kind == J_UNDEFINED) {
        bool is_name = args->n && args->at[0].kind == J_STRING;
        row = is_name ? lorac_jinja_row(lorac_jinja_filters, args->at[0].s) : NULL;
        if (!row) {
            return lorac_jinja_fail(r, LORAC_ENOTSUP, "map takes a filter's name, or attribute=");
        }
    }
    const struct lorac_jargs rest = row ? behind(args, 1) : *args;
    const struct lorac_jlist *items = lorac_jtruth(v) ? lorac_jitems(r, v) : NULL;
    struct lorac_jvalue out = lorac_jlist(r, JF_GENERATOR);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        struct lorac_jvalue item = row ? lorac_jinja_apply(r, row, "filter", items->at[i], &rest)
                                       : by_path(r, items->at[i], path);
        bool missing = !row && item.kind == J_UNDEFINED && other.kind != J_UNDEFINED;
        lorac_jlist_add(r, out, missing ? other : item);
    }
    return out;
}

/* The items that a test holds of, of the item or of its member; without one those that are true. */
static struct lorac_jvalue pick(struct lorac_jrun *r, struct lorac_jvalue v,
                                const struct lorac_jargs *args, bool member, bool wanted)
{
    size_t at = member ? 1 : 0;
    if (member && args->n == 0) {
        return lorac_jinja_fail(r, LORAC_EUSER, "the name of a member is missing");
    }
    const struct lorac_jrow *row = NULL;
    if (args->n > at) {
        bool is_name = args->at[at].kind == J_STRING;
        row = is_name ? lorac_jinja_row(lorac_jinja_tests, args->at[at].s) : NULL;
        if (!row) {
            struct lorac_jstr name = lorac_jprint(r, args->at[at]);
            return lorac_jinja_fail(r, LORAC_ENOTSUP, "there is no test '%.*s'", (int)name.n,
                                    name.at);
        }
    }
    const struct lorac_jargs rest = row ? behind(args, at + 1) : *args;
    const struct lorac_jlist *items = lorac_jtruth(v) ? lorac_jitems(r, v) : NULL;
    struct lorac_jvalue out = lorac_jlist(r, JF_GENERATOR);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        struct lorac_jvalue x = member ? by_path(r, items->at[i], args->at[0]) : items->at[i];
        if (row && !r->st) { x = lorac_jinja_apply(r, row, "test", x, &rest); }
        if (!r->st && lorac_jtruth(x) == wanted) { lorac_jlist_add(r, out, items->at[i]); }
    }
    return out;
}

JFN_IS(select_items, pick(r, v, args, false, true))
JFN_IS(reject, pick(r, v, args, false, false))
JFN_IS(selectattr, pick(r, v, args, true, true))
JFN_IS(rejectattr, pick(r, v, args, true, false))

JFN(otherwise)
{
    bool none = v.kind == J_UNDEFINED || (lorac_jtruth(args->at[1]) && !lorac_jtruth(v));
    return !none ? v : given(args, 0) ? args->at[0] : lorac_jstring(lorac_jstr(""));
}

const struct lorac_jrow lorac_jinja_filters[] = {
    {"abs", absolute, "", 0},
    {"capitalize", capitalize, "", 0},
    {"count", length, "", 0},
    {"d", otherwise, "default_value,boolean", 0},
    {"default", otherwise, "default_value,boolean", 0},
    {"dictsort", dictsort, "case_sensitive,by,reverse", 0},
    {"first", first, "", 0},
    {"indent", indent, "width,first,blank", 0},
    {"int", whole, "default,base", 0},
    {"items", items_of, "", 0},
    {"join", join, "d,attribute", 0},
    {"last", last, "", 0},
    {"length", length, "", 0},
    {"list", list, "", 0},
    {"lower", lower, "", 0},
    {"map", map, NULL, 0},
    {"reject", reject, NULL, 0},
    {"rejectattr", rejectattr, NULL, 0},
    {"replace", replace, "old,new,count", 2},
    {"reverse", reverse, "", 0},
    {"safe", string, "", 0},
    {"select", select_items, NULL, 0},
    {"selectattr", selectattr, NULL, 0},
    {"sort", sort, "reverse,case_sensitive,attribute", 0},
    {"string", string, "", 0},
    {"title", title, "", 0},
    {"tojson", as_json, "ensure_ascii,indent,separators,sort_keys", 0},
    {"trim", trim, "chars", 0},
    {"unique", unique, "case_sensitive,attribute", 0},
    {"upper", upper, "", 0},
    {0},
};
