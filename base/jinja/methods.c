/* methods.c - methods of texts, lists, dicts and loops, as Python's; see impl.h. */
#include "base/jinja/words.h"

#include <string.h>
#include <utf8proc.h>

/* ---- letters ---- */

static bool is_letter(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

static uint32_t upper_of(uint32_t cp)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

static uint32_t lower_of(uint32_t cp)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

/* The letters of more than one that upper case has: the German sharp s is the one in use. */
static void add_upper(struct lorac_jrun *r, struct lorac_jtext *t, uint32_t cp, char mark,
                      bool title)
{
    if (cp == 0xDF) {
        lorac_jtext_char(r, t, 'S', mark);
        lorac_jtext_char(r, t, title ? 's' : 'S', mark);
    } else {
        lorac_jtext_char(
            r, t, title ? (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp) : upper_of(cp), mark);
    }
}

/* Whether a word of the title filter begins behind cp. */
static bool begins_word(uint32_t cp)
{
    struct lorac_jstr none = {(char[]){(char)cp}, NULL, 1};
    bool space = cp < 0x80 && lorac_jstr_strip(none, NULL, true, true).n == 0;
    return space || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<';
}

struct lorac_jvalue lorac_jword_case(struct lorac_jrun *r, struct lorac_jstr s,
                                     enum lorac_jcase how)
{
    struct lorac_jtext t = {0};
    bool first = true; // of what is written large
    for (size_t i = 0, n = 0; i < s.n && !r->st; i += n) {
        uint32_t cp = lorac_jstr_at(s, i, &n);
        char mark = s.mark ? s.mark[i] : 0;
        if (how == JW_UPPER || (first && how != JW_LOWER)) {
            add_upper(r, &t, cp, mark, how != JW_UPPER);
        } else {
            lorac_jtext_char(r, &t, lower_of(cp), mark);
        }
        first = how == JW_TITLE_FILTER ? begins_word(cp) : how == JW_TITLE_METHOD && !is_letter(cp);
    }
    return lorac_jtext_value(&t);
}

struct lorac_jvalue lorac_jword_replace(struct lorac_jrun *r, struct lorac_jstr s,
                                        struct lorac_jstr old, struct lorac_jstr new, int64_t most)
{
    struct lorac_jtext t = {0};
    size_t from = 0;
    for (int64_t k = 0; (most < 0 || k < most) && !r->st; k++) {
        size_t at = lorac_jstr_find(s, old, from);
        if (at == SIZE_MAX) { break; }
        lorac_jtext_add(r, &t, lorac_jstr_cut(s, from, at));
        lorac_jtext_add(r, &t, new);
        from = at + old.n;
        if (old.n > 0) { continue; }
        size_t n = 0; // an empty text is before each character and at the end
        if (at == s.n) { break; }
        (void)lorac_jstr_at(s, at, &n);
        lorac_jtext_add(r, &t, lorac_jstr_cut(s, at, at + n));
        from = at + n;
    }
    lorac_jtext_add(r, &t, lorac_jstr_cut(s, from, s.n));
    return lorac_jtext_value(&t);
}

/* ---- methods of texts ---- */

/* Argument i as a text; fails where it is none. */
static struct lorac_jstr text_arg(struct lorac_jrun *r, const struct lorac_jargs *args, size_t i)
{
    if (args->at[i].kind == J_STRING) { return args->at[i].s; }
    (void)lorac_jinja_fail(r, LORAC_EUSER, "a text was expected as argument %zu, found %s", i + 1,
                           lorac_jkind_name(args->at[i]));
    return lorac_jstr("");
}

static bool is_absent(struct lorac_jvalue v)
{
    return v.kind == J_UNDEFINED || v.kind == J_NONE;
}

static int64_t number_arg(struct lorac_jrun *r, const struct lorac_jargs *args, size_t i,
                          int64_t otherwise)
{
    if (args->at[i].kind == J_UNDEFINED) { return otherwise; }
    if (args->at[i].kind == J_INT) { return args->at[i].i; }
    (void)lorac_jinja_fail(r, LORAC_EUSER, "a whole number was expected as argument %zu", i + 1);
    return otherwise;
}

static struct lorac_jvalue strip_sides(struct lorac_jrun *r, struct lorac_jvalue v,
                                       const struct lorac_jargs *args, bool left, bool right)
{
    bool set = !is_absent(args->at[0]);
    struct lorac_jstr chars = set ? text_arg(r, args, 0) : lorac_jstr("");
    return lorac_jstring(lorac_jstr_strip(v.s, set ? &chars : NULL, left, right));
}

JFN_IS(strip, strip_sides(r, v, args, true, true))
JFN_IS(lstrip, strip_sides(r, v, args, true, false))
JFN_IS(rstrip, strip_sides(r, v, args, false, true))

/* Between runs of white space, at most `most` times; what is left keeps its end. */
static struct lorac_jvalue split_blanks(struct lorac_jrun *r, struct lorac_jstr s, int64_t most)
{
    struct lorac_jvalue out = lorac_jlist(r, JF_LIST);
    for (int64_t k = 0; !r->st; k++) {
        s = lorac_jstr_strip(s, NULL, true, false);
        if (s.n == 0) { break; }
        size_t to = 0;
        for (size_t n = 0; to < s.n; to += n) {
            (void)lorac_jstr_at(s, to, &n);
            if (lorac_jstr_strip(lorac_jstr_cut(s, to, to + n), NULL, true, false).n == 0) {
                break;
            }
        }
        if (most >= 0 && k == most) {
            lorac_jlist_add(r, out, lorac_jstring(s)); // Python: with the blanks at its end
            break;
        }
        lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(s, 0, to)));
        s = lorac_jstr_cut(s, to, s.n);
    }
    return out;
}

JFN(split)
{
    int64_t most = number_arg(r, args, 1, -1);
    if (is_absent(args->at[0])) { return split_blanks(r, v.s, most); }
    struct lorac_jstr by = text_arg(r, args, 0);
    struct lorac_jvalue out = lorac_jlist(r, JF_LIST);
    if (by.n == 0) { return lorac_jinja_fail(r, LORAC_EUSER, "split by an empty text"); }
    size_t from = 0;
    for (int64_t k = 0; (most < 0 || k < most) && !r->st; k++) {
        size_t at = lorac_jstr_find(v.s, by, from);
        if (at == SIZE_MAX) { break; }
        lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(v.s, from, at)));
        from = at + by.n;
    }
    lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(v.s, from, v.s.n)));
    return out;
}

/* Where `what` is last before byte `to`; SIZE_MAX: nowhere. */
static size_t find_last(struct lorac_jstr s, struct lorac_jstr what, size_t to)
{
    for (size_t at = to >= what.n ? to - what.n + 1 : 0; at-- > 0;) {
        if (memcmp(s.at + at, what.at, what.n) == 0) { return at; }
    }
    return SIZE_MAX;
}

JFN(rsplit)
{
    int64_t most = number_arg(r, args, 1, -1);
    if (is_absent(args->at[0]) && most < 0) { return split_blanks(r, v.s, -1); }
    struct lorac_jstr by = text_arg(r, args, 0);
    struct lorac_jvalue out = lorac_jlist(r, JF_LIST);
    if (!r->st && by.n == 0) { return lorac_jinja_fail(r, LORAC_EUSER, "split by an empty text"); }
    size_t to = v.s.n;
    for (int64_t k = 0; (most < 0 || k < most) && !r->st; k++) {
        size_t at = find_last(v.s, by, to);
        if (at == SIZE_MAX) { break; }
        lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(v.s, at + by.n, to)));
        to = at;
    }
    lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(v.s, 0, to)));
    if (!r->st) { lorac_jturn(out.list); }
    return out;
}

JFN(splitlines)
{
    bool keep = lorac_jtruth(args->at[0]);
    struct lorac_jvalue out = lorac_jlist(r, JF_LIST);
    for (size_t from = 0; from < v.s.n && !r->st;) {
        size_t to = from;
        while (to < v.s.n && v.s.at[to] != '\n' && v.s.at[to] != '\r') {
            to++;
        }
        size_t end = to < v.s.n ? to + 1 : to;
        if (to + 1 < v.s.n && v.s.at[to] == '\r' && v.s.at[to + 1] == '\n') { end++; }
        lorac_jlist_add(r, out, lorac_jstring(lorac_jstr_cut(v.s, from, keep ? end : to)));
        from = end;
    }
    return out;
}

/* Whether the text begins or ends with one of the texts given. */
static struct lorac_jvalue has_side(struct lorac_jrun *r, struct lorac_jvalue v,
                                    const struct lorac_jargs *args, bool end)
{
    struct lorac_jvalue one = lorac_jlist(r, JF_TUPLE);
    bool several = args->at[0].kind == J_LIST && args->at[0].list->form == JF_TUPLE;
    if (!several) { lorac_jlist_add(r, one, args->at[0]); }
    const struct lorac_jlist *texts = several ? args->at[0].list : one.list;
    for (size_t i = 0; !r->st && i < texts->n; i++) {
        if (texts->at[i].kind != J_STRING) {
            return lorac_jinja_fail(r, LORAC_EUSER, "a text was expected, found %s",
                                    lorac_jkind_name(texts->at[i]));
        }
        struct lorac_jstr s = texts->at[i].s;
        if (s.n > v.s.n) { continue; }
        size_t from = end ? v.s.n - s.n : 0;
        if (lorac_jstr_same(lorac_jstr_cut(v.s, from, from + s.n), s)) { return lorac_jbool(true); }
    }
    return lorac_jbool(false);
}

JFN_IS(startswith, has_side(r, v, args, false))
JFN_IS(endswith, has_side(r, v, args, true))
JFN_IS(replace, lorac_jword_replace(r, v.s, text_arg(r, args, 0), text_arg(r, args, 1),
                                    number_arg(r, args, 2, -1)))
JFN_IS(upper, lorac_jword_case(r, v.s, JW_UPPER))
JFN_IS(lower, lorac_jword_case(r, v.s, JW_LOWER))
JFN_IS(capitalize, lorac_jword_case(r, v.s, JW_CAPITALIZE))
JFN_IS(title, lorac_jword_case(r, v.s, JW_TITLE_METHOD))

JFN(join)
{
    struct lorac_jtext t = {0};
    const struct lorac_jlist *items = lorac_jitems(r, args->at[0]);
    for (size_t i = 0; items && i < items->n && !r->st; i++) {
        if (items->at[i].kind != J_STRING) {
            return lorac_jinja_fail(r, LORAC_EUSER, "a text was expected, found %s",
                                    lorac_jkind_name(items->at[i]));
        }
        if (i) { lorac_jtext_add(r, &t, v.s); }
        lorac_jtext_add(r, &t, items->at[i].s);
    }
    return lorac_jtext_value(&t);
}

/* In characters; -1: nowhere. */
JFN(find)
{
    size_t at = lorac_jstr_find(v.s, text_arg(r, args, 0), 0);
    if (at == SIZE_MAX) { return lorac_jint(-1); }
    return lorac_jint((int64_t)lorac_jstr_length(lorac_jstr_cut(v.s, 0, at)));
}

JFN(count)
{
    struct lorac_jstr what = text_arg(r, args, 0);
    int64_t n = 0;
    if (what.n == 0) { return lorac_jint((int64_t)lorac_jstr_length(v.s) + 1); }
    for (size_t at = lorac_jstr_find(v.s, what, 0); at != SIZE_MAX && !r->st;
         at = lorac_jstr_find(v.s, what, at + what.n)) {
        n++;
    }
    return lorac_jint(n);
}

JFN(isdigit_of)
{
    bool all = v.s.n > 0;
    for (size_t i = 0, n = 0; i < v.s.n && all; i += n) {
        uint32_t cp = lorac_jstr_at(v.s, i, &n);
        all = utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
    }
    return lorac_jbool(all);
}

const struct lorac_jrow lorac_jinja_string_methods[] = {
    {"capitalize", capitalize, "", 0},
    {"count", count, "sub", 1},
    {"endswith", endswith, "suffix", 1},
    {"find", find, "sub", 1},
    {"isdigit", isdigit_of, "", 0},
    {"join", join, "iterable", 1},
    {"lower", lower, "", 0},
    {"lstrip", lstrip, "chars", 0},
    {"replace", replace, "old,new,count", 2},
    {"rsplit", rsplit, "sep,maxsplit", 0},
    {"rstrip", rstrip, "chars", 0},
    {"split", split, "sep,maxsplit", 0},
    {"splitlines", splitlines, "keepends", 0},
    {"startswith", startswith, "prefix", 1},
    {"strip", strip, "chars", 0},
    {"title", title, "", 0},
    {"upper", upper, "", 0},
    {0},
};

/* ---- lists, dicts, loops ---- */

JFN_IS(changes,
       lorac_jinja_fail(r, LORAC_EUSER,
                        "this changes a %s, which the sandbox of the reference forbids, too",
                        lorac_jkind_name(v)))

JFN(list_index)
{
    for (size_t i = 0; i < v.list->n; i++) {
        if (lorac_jsame(r, v.list->at[i], args->at[0])) { return lorac_jint((int64_t)i); }
    }
    return lorac_jinja_fail(r, LORAC_EUSER, "this is not in the list");
}

JFN(list_count)
{
    int64_t n = 0;
    for (size_t i = 0; i < v.list->n; i++) {
        n += lorac_jsame(r, v.list->at[i], args->at[0]);
    }
    return lorac_jint(n);
}

const struct lorac_jrow lorac_jinja_list_methods[] = {
    {"append", changes, NULL, 0},
    {"clear", changes, NULL, 0},
    {"count", list_count, "value", 1},
    {"extend", changes, NULL, 0},
    {"index", list_index, "value", 1},
    {"insert", changes, NULL, 0},
    {"pop", changes, NULL, 0},
    {"remove", changes, NULL, 0},
    {"reverse", changes, NULL, 0},
    {"sort", changes, NULL, 0},
    {0},
};

JFN(dict_get)
{
    const struct lorac_jvalue *found = lorac_jdict_find(v, args->at[0]);
    if (found) { return *found; }
    return args->at[1].kind == J_UNDEFINED ? lorac_jnone() : args->at[1];
}

JFN_IS(dict_items, lorac_jword_items(r, v, JF_VIEW))

JFN(dict_keys)
{
    struct lorac_jvalue out = lorac_jlist(r, JF_VIEW);
    for (size_t i = 0; i < v.dict->n && !r->st; i++) {
        lorac_jlist_add(r, out, v.dict->at[i].key);
    }
    return out;
}

JFN(dict_values)
{
    struct lorac_jvalue out = lorac_jlist(r, JF_VIEW);
    for (size_t i = 0; i < v.dict->n && !r->st; i++) {
        lorac_jlist_add(r, out, v.dict->at[i].value);
    }
    return out;
}

const struct lorac_jrow lorac_jinja_dict_methods[] = {
    {"clear", changes, NULL, 0},      {"get", dict_get, "key,default", 1},
    {"items", dict_items, "", 0},     {"keys", dict_keys, "", 0},
    {"pop", changes, NULL, 0},        {"popitem", changes, NULL, 0},
    {"setdefault", changes, NULL, 0}, {"update", changes, NULL, 0},
    {"values", dict_values, "", 0},   {0},
};

JFN(loop_cycle)
{
    if (args->n == 0) { return lorac_jinja_fail(r, LORAC_EUSER, "loop.cycle() without values"); }
    return args->at[v.loop->at % args->n];
}

const struct lorac_jrow lorac_jinja_loop_methods[] = {
    {"cycle", loop_cycle, NULL, 0},
    {0},
};
