/* json.c - values from JSON, and as Python's json.dumps() writes them; see impl.h. */
#include "base/core/number.h"
#include "base/jinja/impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- from JSON ---- */

static struct lorac_jstr text_of(struct lorac_jrun *r, const char *s, size_t n, bool input)
{
    char *mark = NULL;
    char *at = lorac_jinja_take(r, n + 1, 1);
    if (input && n) { mark = at ? lorac_jinja_take(r, n, 1) : NULL; }
    if (!at || (input && n && !mark)) { return lorac_jstr(""); }
    memcpy(at, s, n);
    if (mark) { memset(mark, LORAC_JINJA_INPUT, n); }
    return (struct lorac_jstr){at, mark, n};
}

/* A role names a token of the template ('<|' + role + '|>'): a plain word cannot do harm there. */
static bool is_plain_role(const char *key, const json_t *value)
{
    const char *s = json_string_value(value);
    if (!s || strcmp(key, "role") != 0) { return false; }
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

// bounded by lorac_jinja_enter()
struct lorac_jvalue lorac_jfrom_json(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                                     const json_t *j, bool input)
{
    struct lorac_jvalue v = lorac_jnone();
    if (!lorac_jinja_enter(r)) { return v; }
    switch (json_typeof(j)) {
    case JSON_OBJECT: {
        const char *key = NULL;
        json_t *member = NULL;
        v = lorac_jdict(r, J_DICT);
        json_object_foreach((json_t *)(uintptr_t)j, key, member)
        {
            bool marked = input && !is_plain_role(key, member);
            struct lorac_jvalue name = lorac_jstring(text_of(r, key, strlen(key), input));
            lorac_jdict_set(r, v, name, lorac_jfrom_json(r, member, marked));
            if (r->st) { break; }
        }
        break;
    }
    case JSON_ARRAY:
        v = lorac_jlist(r, JF_LIST);
        for (size_t i = 0; i < json_array_size(j) && !r->st; i++) {
            lorac_jlist_add(r, v, lorac_jfrom_json(r, json_array_get(j, i), input));
        }
        break;
    case JSON_STRING:
        v = lorac_jstring(text_of(r, json_string_value(j), json_string_length(j), input));
        break;
    case JSON_INTEGER:
        v = lorac_jint(json_integer_value(j));
        break;
    case JSON_REAL:
        v = lorac_jfloat(json_real_value(j));
        break;
    case JSON_TRUE:
        v = lorac_jbool(true);
        break;
    case JSON_FALSE:
        v = lorac_jbool(false);
        break;
    case JSON_NULL:
        break;
    }
    lorac_jinja_leave(r);
    return v;
}

/* ---- to JSON ---- */

static void add(struct lorac_jrun *r, struct lorac_jtext *to, const char *s, char mark)
{
    for (; *s; s++) {
        lorac_jtext_char(r, to, (unsigned char)*s, mark);
    }
}

/* py_encode_basestring of json/encoder.py. */
static void add_string(struct lorac_jrun *r, struct lorac_jtext *to, struct lorac_jstr s,
                       bool ascii)
{
    static const char escaped[] = "\"\\\n\r\t\f\b";
    static const char letters[] = "\"\\nrtfb";
    char escape[16];
    lorac_jtext_add(r, to, lorac_jstr("\""));
    for (size_t i = 0, n = 0; i < s.n && !r->st; i += n) {
        uint32_t cp = lorac_jstr_at(s, i, &n);
        char mark = s.mark ? s.mark[i] : 0;
        const char *known = cp && cp < 0x80 ? strchr(escaped, (int)cp) : NULL;
        escape[0] = '\0';
        if (known) {
            (void)snprintf(escape, sizeof escape, "\\%c", letters[known - escaped]);
        } else if (cp < 0x20 || (ascii && cp > 0x7E && cp < 0x10000)) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)cp);
        } else if (ascii && cp >= 0x10000) {
            (void)snprintf(escape, sizeof escape, "\\u%04x\\u%04x",
                           (unsigned)(0xD800 + ((cp - 0x10000) >> 10)),
                           (unsigned)(0xDC00 + ((cp - 0x10000) & 0x3FF)));
        }
        if (escape[0]) {
            add(r, to, escape, mark);
        } else {
            lorac_jtext_add(r, to, lorac_jstr_cut(s, i, i + n));
        }
    }
    lorac_jtext_add(r, to, lorac_jstr("\""));
}

static void add_float(struct lorac_jrun *r, struct lorac_jtext *to, double f)
{
    char text[40];
    (void)lorac_jfloat_print(text, f);
    bool finite = isfinite(f);
    add(r, to, finite ? text : isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity", 0);
}

static void new_line(struct lorac_jrun *r, struct lorac_jtext *to, const struct lorac_jdumps *o,
                     int level)
{
    if (o->indent < 0) { return; }
    lorac_jtext_add(r, to, lorac_jstr("\n"));
    for (int i = 0; i < o->indent * level && !r->st; i++) {
        lorac_jtext_add(r, to, lorac_jstr(" "));
    }
}

/* A key is a text; None, booleans and numbers become one. */
static void add_key(struct lorac_jrun *r, struct lorac_jtext *to, struct lorac_jvalue key,
                    const struct lorac_jdumps *o)
{
    if (key.kind == J_STRING) {
        add_string(r, to, key.s, o->ascii);
        return;
    }
    lorac_jtext_add(r, to, lorac_jstr("\""));
    lorac_jto_json(r, to, key, o, 0);
    lorac_jtext_add(r, to, lorac_jstr("\""));
}

static struct lorac_jvalue key_of(struct lorac_jrun *r, struct lorac_jvalue item, void *self)
{
    (void)r;
    (void)self;
    return item.list->at[0];
}

/* The members in the order of their keys. */
static struct lorac_jvalue sorted(struct lorac_jrun *r, struct lorac_jvalue dict)
{
    struct lorac_jvalue pairs = lorac_jlist(r, JF_LIST);
    struct lorac_jvalue out = lorac_jdict(r, J_DICT);
    for (size_t i = 0; i < dict.dict->n && !r->st; i++) {
        struct lorac_jvalue pair = lorac_jlist(r, JF_TUPLE);
        lorac_jlist_add(r, pair, dict.dict->at[i].key);
        lorac_jlist_add(r, pair, dict.dict->at[i].value);
        lorac_jlist_add(r, pairs, pair);
    }
    if (!r->st) { lorac_jsort(r, pairs.list, false, key_of, NULL); }
    for (size_t i = 0; !r->st && i < pairs.list->n; i++) {
        const struct lorac_jvalue *pair = pairs.list->at[i].list->at;
        lorac_jdict_set(r, out, pair[0], pair[1]);
    }
    return r->st ? dict : out;
}

// bounded by lorac_jinja_enter()
static void add_items(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                      struct lorac_jtext *to, struct lorac_jvalue v, const struct lorac_jdumps *o,
                      int level)
{
    bool dict = v.kind == J_DICT;
    if (dict && o->sorted) { v = sorted(r, v); }
    size_t n = dict ? v.dict->n : v.list->n;
    lorac_jtext_add(r, to, lorac_jstr(dict ? "{" : "["));
    for (size_t i = 0; i < n && !r->st; i++) {
        if (i) { lorac_jtext_add(r, to, o->item); }
        new_line(r, to, o, level + 1);
        const struct lorac_jpair *pair = dict ? &v.dict->at[i] : NULL;
        if (pair) {
            add_key(r, to, pair->key, o);
            lorac_jtext_add(r, to, o->key);
        }
        lorac_jto_json(r, to, pair ? pair->value : v.list->at[i], o, level + 1);
    }
    if (n) { new_line(r, to, o, level); }
    lorac_jtext_add(r, to, lorac_jstr(dict ? "}" : "]"));
}

void lorac_jto_json(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                    struct lorac_jtext *to, struct lorac_jvalue v, const struct lorac_jdumps *o,
                    int level)
{
    char number[32];
    if (!lorac_jinja_enter(r)) { return; }
    switch ((int)v.kind) {
    case J_NONE:
        add(r, to, "null", 0);
        break;
    case J_BOOL:
        add(r, to, v.b ? "true" : "false", 0);
        break;
    case J_INT:
        (void)snprintf(number, sizeof number, "%lld", (long long)v.i);
        add(r, to, number, 0);
        break;
    case J_FLOAT:
        add_float(r, to, v.f);
        break;
    case J_STRING:
        add_string(r, to, v.s, o->ascii);
        break;
    default:
        if (v.kind == J_DICT || (v.kind == J_LIST && v.list->form <= JF_TUPLE)) {
            add_items(r, to, v, o, level);
        } else {
            (void)lorac_jinja_fail(r, LORAC_EUSER, "%s cannot be written as JSON",
                                   lorac_jkind_name(v));
        }
    }
    lorac_jinja_leave(r);
}
