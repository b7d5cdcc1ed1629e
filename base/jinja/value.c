/* value.c - values of the template language, compared as Python does; see impl.h. */
#define _GNU_SOURCE // memmem
#include "base/jinja/impl.h"

#include "base/tokenizer/impl.h"

#include <math.h>
#include <string.h>

/* ---- texts ---- */

struct lorac_jstr lorac_jstr(const char *s)
{
    return (struct lorac_jstr){s, NULL, strlen(s)};
}

bool lorac_jstr_same(struct lorac_jstr a, struct lorac_jstr b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

bool lorac_jstr_is(struct lorac_jstr s, const char *word)
{
    return lorac_jstr_same(s, lorac_jstr(word));
}

struct lorac_jstr lorac_jstr_cut(struct lorac_jstr s, size_t from, size_t to)
{
    return (struct lorac_jstr){s.at + from, s.mark ? s.mark + from : NULL, to - from};
}

uint32_t lorac_jstr_at(struct lorac_jstr s, size_t i, size_t *bytes)
{
    uint32_t cp = 0xFFFD;
    *bytes = lorac_utf8_next(s.at + i, s.n - i, &cp);
    if (*bytes == 0) { *bytes = 1; } // never: what comes in is UTF-8
    return cp;
}

size_t lorac_jstr_length(struct lorac_jstr s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.at[i] & 0xC0) != 0x80;
    }
    return n;
}

size_t lorac_jstr_find(struct lorac_jstr s, struct lorac_jstr what, size_t from)
{
    if (from > s.n || what.n > s.n - from) { return SIZE_MAX; }
    if (what.n == 0) { return from; }
    const char *at = memmem(s.at + from, s.n - from, what.at, what.n);
    return at ? (size_t)(at - s.at) : SIZE_MAX;
}

/* str.isspace(): White_Space, and four separators of ASCII. */
static bool is_stripped(uint32_t cp, const struct lorac_jstr *set)
{
    if (!set) { return lorac_char_is_space(cp) || (cp >= 0x1C && cp <= 0x1F); }
    for (size_t i = 0, n = 0; i < set->n; i += n) {
        if (lorac_jstr_at(*set, i, &n) == cp) { return true; }
    }
    return false;
}

struct lorac_jstr lorac_jstr_strip(struct lorac_jstr s, const struct lorac_jstr *set, bool left,
                                   bool right)
{
    size_t from = 0;
    size_t to = s.n;
    size_t n = 0;
    while (left && from < to && is_stripped(lorac_jstr_at(s, from, &n), set)) {
        from += n;
    }
    while (right && to > from) {
        size_t at = to - 1;
        for (; at > from && ((unsigned char)s.at[at] & 0xC0) == 0x80; at--) {}
        if (!is_stripped(lorac_jstr_at(s, at, &n), set)) { break; }
        to = at;
    }
    return lorac_jstr_cut(s, from, to);
}

/* ---- making values ---- */

struct lorac_jvalue lorac_jundefined(struct lorac_jstr name)
{
    return (struct lorac_jvalue){.kind = J_UNDEFINED, .s = name};
}

struct lorac_jvalue lorac_jnone(void)
{
    return (struct lorac_jvalue){.kind = J_NONE};
}

struct lorac_jvalue lorac_jbool(bool b)
{
    return (struct lorac_jvalue){.kind = J_BOOL, .b = b};
}

struct lorac_jvalue lorac_jint(int64_t i)
{
    return (struct lorac_jvalue){.kind = J_INT, .i = i};
}

struct lorac_jvalue lorac_jfloat(double f)
{
    return (struct lorac_jvalue){.kind = J_FLOAT, .f = f};
}

struct lorac_jvalue lorac_jstring(struct lorac_jstr s)
{
    return (struct lorac_jvalue){.kind = J_STRING, .s = s};
}

/* Twice the room for n things of `size` bytes at `p`, of which `cap` have room; NULL: it failed. */
static void *grow(struct lorac_jrun *r, const void *p, size_t n, size_t *cap, size_t want,
                  size_t size)
{
    size_t more = *cap ? *cap : 4;
    while (more < want) {
        more *= 2;
    }
    void *q = lorac_jinja_take(r, more, size);
    if (!q) { return NULL; }
    if (n) { memcpy(q, p, n * size); }
    *cap = more;
    return q;
}

struct lorac_jvalue lorac_jlist(struct lorac_jrun *r, enum lorac_jform form)
{
    struct lorac_jlist *list = lorac_jinja_take(r, 1, sizeof *list);
    if (!list) { return lorac_jnone(); }
    list->form = form;
    return (struct lorac_jvalue){.kind = J_LIST, .list = list};
}

void lorac_jlist_add(struct lorac_jrun *r, struct lorac_jvalue list, struct lorac_jvalue item)
{
    if (r->st) { return; }
    struct lorac_jlist *l = list.list;
    if (l->n == l->cap) {
        struct lorac_jvalue *p = grow(r, l->at, l->n, &l->cap, l->n + 1, sizeof *p);
        if (!p) { return; }
        l->at = p;
    }
    l->at[l->n++] = item;
}

struct lorac_jvalue lorac_jdict(struct lorac_jrun *r, enum lorac_jkind kind)
{
    struct lorac_jdict *dict = lorac_jinja_take(r, 1, sizeof *dict);
    if (!dict) { return lorac_jnone(); }
    return (struct lorac_jvalue){.kind = kind, .dict = dict};
}

static bool same_key(struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (a.kind == J_STRING && b.kind == J_STRING) { return lorac_jstr_same(a.s, b.s); }
    struct lorac_jrun none = {0}; // of keys nothing fails
    return a.kind != J_STRING && b.kind != J_STRING && lorac_jsame(&none, a, b);
}

const struct lorac_jvalue *lorac_jdict_find(struct lorac_jvalue dict, struct lorac_jvalue key)
{
    for (size_t i = 0; i < dict.dict->n; i++) {
        if (same_key(dict.dict->at[i].key, key)) { return &dict.dict->at[i].value; }
    }
    return NULL;
}

void lorac_jdict_set(struct lorac_jrun *r, struct lorac_jvalue dict, struct lorac_jvalue key,
                     struct lorac_jvalue value)
{
    if (r->st) { return; }
    struct lorac_jdict *d = dict.dict;
    if (key.kind >= J_LIST && !(key.kind == J_LIST && key.list->form == JF_TUPLE)) {
        (void)lorac_jinja_fail(r, LORAC_EUSER, "%s cannot be a key", lorac_jkind_name(key));
        return;
    }
    for (size_t i = 0; i < d->n; i++) {
        if (!same_key(d->at[i].key, key)) { continue; }
        d->at[i].value = value;
        return;
    }
    if (d->n == JINJA_MAX_MEMBERS) {
        (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "a dict of more than %d members",
                               JINJA_MAX_MEMBERS);
        return;
    }
    if (d->n == d->cap) {
        struct lorac_jpair *p = grow(r, d->at, d->n, &d->cap, d->n + 1, sizeof *p);
        if (!p) { return; }
        d->at = p;
    }
    d->at[d->n++] = (struct lorac_jpair){key, value};
}

/* ---- building texts ---- */

static bool make_room(struct lorac_jrun *r, struct lorac_jtext *t, size_t more)
{
    if (r->st) { return false; }
    if (t->n > LORAC_JINJA_MAX_OUTPUT - more) {
        (void)lorac_jinja_fail(r, LORAC_ENOTSUP, "this makes more than %d MiB of text",
                               LORAC_JINJA_MAX_OUTPUT >> 20);
        return false;
    }
    if (t->n + more <= t->cap) { return true; }
    size_t cap = t->cap ? t->cap : 64;
    size_t marks = cap;
    char *at = grow(r, t->at, t->n, &cap, t->n + more, 1);
    char *mark = at ? grow(r, t->mark, t->n, &marks, t->n + more, 1) : NULL;
    if (!mark) { return false; }
    t->at = at;
    t->mark = mark;
    t->cap = cap;
    return true;
}

void lorac_jtext_add(struct lorac_jrun *r, struct lorac_jtext *t, struct lorac_jstr s)
{
    if (s.n == 0 || s.n > LORAC_JINJA_MAX_OUTPUT || !make_room(r, t, s.n)) { return; }
    memcpy(t->at + t->n, s.at, s.n);
    if (s.mark) {
        memcpy(t->mark + t->n, s.mark, s.n);
    } else {
        memset(t->mark + t->n, 0, s.n);
    }
    t->n += s.n;
}

void lorac_jtext_char(struct lorac_jrun *r, struct lorac_jtext *t, uint32_t cp, char mark)
{
    char out[4];
    char marks[4] = {mark, mark, mark, mark};
    lorac_jtext_add(r, t, (struct lorac_jstr){out, marks, lorac_utf8_put(out, cp)});
}

struct lorac_jvalue lorac_jtext_value(const struct lorac_jtext *t)
{
    return lorac_jstring((struct lorac_jstr){t->at ? t->at : "", t->mark, t->n});
}

/* ---- what values are ---- */

const char *lorac_jkind_name(struct lorac_jvalue v)
{
    static const char *const names[] = {
        [J_UNDEFINED] = "an undefined value",
        [J_NONE] = "None",
        [J_BOOL] = "a bool",
        [J_INT] = "an int",
        [J_FLOAT] = "a float",
        [J_STRING] = "a str",
        [J_LIST] = "a list",
        [J_DICT] = "a dict",
        [J_NAMESPACE] = "a namespace",
        [J_LOOP] = "a loop",
        [J_MACRO] = "a macro",
        [J_FUNCTION] = "a function",
    };
    static const char *const forms[] = {"a list", "a tuple", "a generator", "a view of a dict",
                                        "a range"};
    return v.kind == J_LIST ? forms[v.list->form] : names[v.kind];
}

bool lorac_jtruth(struct lorac_jvalue v)
{
    switch ((int)v.kind) {
    case J_UNDEFINED:
    case J_NONE:
        return false;
    case J_BOOL:
        return v.b;
    case J_INT:
        return v.i != 0;
    case J_FLOAT:
        return v.f != 0.0;
    case J_STRING:
        return v.s.n > 0;
    case J_LIST:
        return v.list->form == JF_GENERATOR || v.list->n > 0;
    case J_DICT:
        return v.dict->n > 0;
    default:
        return true;
    }
}

static bool is_number(struct lorac_jvalue v)
{
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}

static int64_t whole(struct lorac_jvalue v)
{
    return v.kind == J_BOOL ? v.b : v.i;
}

static int order_numbers(struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (a.kind != J_FLOAT && b.kind != J_FLOAT) {
        return (whole(a) > whole(b)) - (whole(a) < whole(b));
    }
    double x = a.kind == J_FLOAT ? a.f : (double)whole(a);
    double y = b.kind == J_FLOAT ? b.f : (double)whole(b);
    return (x > y) - (x < y);
}

static bool same_lists(struct lorac_jrun *r, const struct lorac_jlist *a,
                       const struct lorac_jlist *b)
{
    if (a->form != b->form || a->form == JF_GENERATOR || a->n != b->n) { return a == b; }
    for (size_t i = 0; i < a->n; i++) {
        if (!lorac_jsame(r, a->at[i], b->at[i])) { return false; }
    }
    return true;
}

static bool same_dicts(struct lorac_jrun *r, struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (a.dict->n != b.dict->n) { return false; }
    for (size_t i = 0; i < a.dict->n; i++) {
        const struct lorac_jvalue *other = lorac_jdict_find(b, a.dict->at[i].key);
        if (!other || !lorac_jsame(r, a.dict->at[i].value, *other)) { return false; }
    }
    return true;
}

// bounded by lorac_jinja_enter()
bool lorac_jsame(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                 struct lorac_jvalue a, struct lorac_jvalue b)
{
    bool same = true; // None, undefined
    if (is_number(a) && is_number(b)) {
        bool nan = (a.kind == J_FLOAT && isnan(a.f)) || (b.kind == J_FLOAT && isnan(b.f));
        return !nan && order_numbers(a, b) == 0;
    }
    if (a.kind != b.kind || !lorac_jinja_enter(r)) { return false; }
    switch ((int)a.kind) {
    case J_STRING:
        same = lorac_jstr_same(a.s, b.s);
        break;
    case J_LIST:
        same = same_lists(r, a.list, b.list);
        break;
    case J_DICT:
        same = same_dicts(r, a, b);
        break;
    case J_NAMESPACE:
        same = a.dict == b.dict;
        break;
    case J_LOOP:
        same = a.loop == b.loop;
        break;
    case J_MACRO:
        same = a.macro == b.macro;
        break;
    case J_FUNCTION:
        same = a.bound == b.bound;
        break;
    default:
        break;
    }
    lorac_jinja_leave(r);
    return same;
}

// bounded by lorac_jinja_enter() of lorac_jsame()
int lorac_jorder(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                 struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (is_number(a) && is_number(b)) { return order_numbers(a, b); }
    if (a.kind == J_STRING && b.kind == J_STRING) {
        int c = memcmp(a.s.at, b.s.at, a.s.n < b.s.n ? a.s.n : b.s.n);
        return c ? c : (a.s.n > b.s.n) - (a.s.n < b.s.n);
    }
    if (a.kind == J_LIST && b.kind == J_LIST && a.list->form == b.list->form &&
        a.list->form <= JF_TUPLE) {
        for (size_t i = 0; i < a.list->n && i < b.list->n; i++) {
            if (!lorac_jsame(r, a.list->at[i], b.list->at[i])) {
                return r->st ? 0 : lorac_jorder(r, a.list->at[i], b.list->at[i]);
            }
        }
        return (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    (void)lorac_jinja_fail(r, LORAC_EUSER, "%s and %s have no order", lorac_jkind_name(a),
                           lorac_jkind_name(b));
    return 0;
}

bool lorac_jin(struct lorac_jrun *r, struct lorac_jvalue item, struct lorac_jvalue in)
{
    if (in.kind == J_STRING) {
        if (item.kind == J_STRING) { return lorac_jstr_find(in.s, item.s, 0) != SIZE_MAX; }
        (void)lorac_jinja_fail(r, LORAC_EUSER, "%s cannot be in a text", lorac_jkind_name(item));
        return false;
    }
    if (in.kind == J_DICT) { return lorac_jdict_find(in, item) != NULL; }
    const struct lorac_jlist *items = lorac_jitems(r, in);
    for (size_t i = 0; items && i < items->n; i++) {
        if (lorac_jsame(r, items->at[i], item)) { return true; }
    }
    return false;
}

struct lorac_jlist *lorac_jitems(struct lorac_jrun *r, struct lorac_jvalue v)
{
    if (r->st) { return NULL; }
    if (v.kind == J_LIST && v.list->form != JF_GENERATOR) { return v.list; }
    struct lorac_jvalue list = lorac_jlist(r, JF_LIST);
    if (r->st) { return NULL; }
    if (v.kind == J_LIST) {
        if (!v.list->spent) { *list.list = *v.list; }
        v.list->spent = true;
    } else if (v.kind == J_STRING) {
        for (size_t i = 0, n = 0; i < v.s.n && !r->st; i += n) {
            (void)lorac_jstr_at(v.s, i, &n);
            lorac_jlist_add(r, list, lorac_jstring(lorac_jstr_cut(v.s, i, i + n)));
        }
    } else if (v.kind == J_DICT) {
        for (size_t i = 0; i < v.dict->n && !r->st; i++) {
            lorac_jlist_add(r, list, v.dict->at[i].key);
        }
    } else if (v.kind != J_UNDEFINED) {
        (void)lorac_jinja_fail(r, LORAC_EUSER, "%s has no items to go through",
                               lorac_jkind_name(v));
    }
    return r->st ? NULL : list.list;
}

/* ---- sorting ---- */

struct keyed {
    struct lorac_jvalue key, item;
};

/* Merge the sorted halves of a (n) by way of b (n). */
static void merge(struct lorac_jrun *r, struct keyed *a, struct keyed *b, size_t n)
{
    size_t half = n / 2;
    memcpy(b, a, n * sizeof *a);
    for (size_t i = 0, k = half, to = 0; to < n; to++) {
        bool left = k >= n || (i < half && lorac_jorder(r, b[i].key, b[k].key) <= 0);
        a[to] = left ? b[i++] : b[k++];
    }
}

static void merge_sort(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                       struct keyed *a, struct keyed *b, size_t n)
{
    if (n < 2 || r->st) { return; }
    merge_sort(r, a, b, n / 2);
    merge_sort(r, a + n / 2, b, n - n / 2);
    merge(r, a, b, n);
}

void lorac_jturn(struct lorac_jlist *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        struct lorac_jvalue v = list->at[i];
        list->at[i] = list->at[list->n - 1 - i];
        list->at[list->n - 1 - i] = v;
    }
}

void lorac_jsort(struct lorac_jrun *r, struct lorac_jlist *list, bool backwards, lorac_jkey *key,
                 void *self)
{
    if (backwards) { lorac_jturn(list); }
    struct keyed *a = lorac_jinja_take(r, 2 * list->n + 1, sizeof *a);
    for (size_t i = 0; i < list->n && !r->st; i++) {
        a[i] = (struct keyed){key(r, list->at[i], self), list->at[i]};
    }
    if (r->st) { return; }
    merge_sort(r, a, a + list->n, list->n);
    for (size_t i = 0; i < list->n; i++) {
        list->at[i] = a[i].item;
    }
    if (backwards) { lorac_jturn(list); }
}
