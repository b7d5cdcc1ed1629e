/* print.c - values as Python's str() and repr() write them; see impl.h. */
#include "base/core/number.h"
#include "base/jinja/impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

size_t lorac_jfloat_print(char to[40], double f)
{
    char digits[40];
    if (isnan(f)) { return (size_t)snprintf(to, 40, "nan"); }
    if (isinf(f)) { return (size_t)snprintf(to, 40, "%sinf", f < 0 ? "-" : ""); }
    int precision = 0; // the shortest that reads back
    do {
        (void)lorac_snprintf(digits, sizeof digits, "%.*e", precision, f);
    } while (lorac_strtod(digits, NULL) != f && ++precision < 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        return (size_t)snprintf(to, 40, "%.*se%c%02d", (int)(strchr(digits, 'e') - digits), digits,
                                exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
    }
    int places = precision - exponent;
    return (size_t)lorac_snprintf(to, 40, "%.*f", places < 1 ? 1 : places, f);
}

static bool is_printable(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    bool space =
        c == UTF8PROC_CATEGORY_ZS || c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP;
    bool other = c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF ||
                 c == UTF8PROC_CATEGORY_CS || c == UTF8PROC_CATEGORY_CO ||
                 c == UTF8PROC_CATEGORY_CN;
    return cp == ' ' || (!space && !other);
}

static void add_ascii(struct lorac_jrun *r, struct lorac_jtext *t, const char *s, char mark)
{
    for (; *s; s++) {
        lorac_jtext_char(r, t, (unsigned char)*s, mark);
    }
}

/* repr() of a text: in single quotes, unless it holds some and no double ones. */
static void add_repr(struct lorac_jrun *r, struct lorac_jtext *t, struct lorac_jstr s)
{
    bool has_single = s.n && memchr(s.at, '\'', s.n);
    bool has_double = s.n && memchr(s.at, '"', s.n);
    uint32_t quote = has_single && !has_double ? '"' : '\'';
    char escape[16];
    lorac_jtext_char(r, t, quote, 0);
    for (size_t i = 0, n = 0; i < s.n && !r->st; i += n) {
        uint32_t cp = lorac_jstr_at(s, i, &n);
        char mark = s.mark ? s.mark[i] : 0;
        escape[0] = '\0';
        if (cp == quote || cp == '\\') {
            (void)snprintf(escape, sizeof escape, "\\%c", (int)cp);
        } else if (cp == '\n' || cp == '\r' || cp == '\t') {
            (void)snprintf(escape, sizeof escape, "\\%c",
                           cp == '\n'   ? 'n'
                           : cp == '\r' ? 'r'
                                        : 't');
        } else if (!is_printable(cp)) {
            (void)snprintf(escape, sizeof escape, "\\%c%0*x",
                           cp < 0x100     ? 'x'
                           : cp < 0x10000 ? 'u'
                                          : 'U',
                           cp < 0x100     ? 2
                           : cp < 0x10000 ? 4
                                          : 8,
                           (unsigned)cp);
        }
        if (escape[0]) {
            add_ascii(r, t, escape, mark);
        } else {
            lorac_jtext_add(r, t, lorac_jstr_cut(s, i, i + n));
        }
    }
    lorac_jtext_char(r, t, quote, 0);
}

static void add_value(struct lorac_jrun *r, struct lorac_jtext *t, struct lorac_jvalue v,
                      bool repr);

// bounded by lorac_jinja_enter()
static void add_list(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                     struct lorac_jtext *t, struct lorac_jlist *l)
{
    bool tuple = l->form == JF_TUPLE;
    if (l->form > JF_TUPLE) {
        struct lorac_jvalue v = {.kind = J_LIST, .list = l};
        (void)lorac_jinja_fail(r, LORAC_EUSER, "%s is printed: `| list` makes a list of it",
                               lorac_jkind_name(v));
        return;
    }
    lorac_jtext_add(r, t, lorac_jstr(tuple ? "(" : "["));
    for (size_t i = 0; i < l->n && !r->st; i++) {
        if (i) { lorac_jtext_add(r, t, lorac_jstr(", ")); }
        add_value(r, t, l->at[i], true);
    }
    if (tuple && l->n == 1) { lorac_jtext_add(r, t, lorac_jstr(",")); }
    lorac_jtext_add(r, t, lorac_jstr(tuple ? ")" : "]"));
}

// bounded by lorac_jinja_enter()
static void add_dict(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                     struct lorac_jtext *t, const struct lorac_jdict *d)
{
    lorac_jtext_add(r, t, lorac_jstr("{"));
    for (size_t i = 0; i < d->n && !r->st; i++) {
        if (i) { lorac_jtext_add(r, t, lorac_jstr(", ")); }
        add_value(r, t, d->at[i].key, true);
        lorac_jtext_add(r, t, lorac_jstr(": "));
        add_value(r, t, d->at[i].value, true);
    }
    lorac_jtext_add(r, t, lorac_jstr("}"));
}

static void add_value(struct lorac_jrun *r, // NOLINT(misc-no-recursion)
                      struct lorac_jtext *t, struct lorac_jvalue v, bool repr)
{
    char number[40] = "";
    if (!lorac_jinja_enter(r)) { return; }
    switch ((int)v.kind) {
    case J_UNDEFINED:
        (void)snprintf(number, sizeof number, "%s", repr ? "Undefined" : "");
        break;
    case J_NONE:
        (void)snprintf(number, sizeof number, "None");
        break;
    case J_BOOL:
        (void)snprintf(number, sizeof number, "%s", v.b ? "True" : "False");
        break;
    case J_INT:
        (void)snprintf(number, sizeof number, "%lld", (long long)v.i);
        break;
    case J_FLOAT:
        (void)lorac_jfloat_print(number, v.f);
        break;
    case J_STRING:
        if (repr) {
            add_repr(r, t, v.s);
        } else {
            lorac_jtext_add(r, t, v.s);
        }
        break;
    case J_LIST:
        add_list(r, t, v.list);
        break;
    case J_DICT:
        add_dict(r, t, v.dict);
        break;
    default:
        (void)lorac_jinja_fail(r, LORAC_EUSER, "%s is no text", lorac_jkind_name(v));
    }
    lorac_jtext_add(r, t, lorac_jstr(number));
    lorac_jinja_leave(r);
}

struct lorac_jstr lorac_jprint(struct lorac_jrun *r, struct lorac_jvalue v)
{
    if (v.kind == J_STRING) { return v.s; }
    struct lorac_jtext t = {0};
    add_value(r, &t, v, false);
    return lorac_jtext_value(&t).s;
}
