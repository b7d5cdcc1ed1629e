/* globals.c - functions that every template can call; see impl.h. Source: jinja2/defaults.py, and
 * what transformers adds (utils/chat_template_utils.py). */
#define _POSIX_C_SOURCE 200809L // localtime_r
#include "base/core/number.h"
#include "base/jinja/impl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

JFN(raise_exception)
{
    struct lorac_jstr s = lorac_jprint(r, args->at[0]);
    return lorac_jinja_fail(r, LORAC_EUSER, "the template refuses: %.*s", (int)s.n, s.at);
}

/* The named arguments as members. */
static struct lorac_jvalue members(struct lorac_jrun *r, const struct lorac_jargs *args,
                                   enum lorac_jkind kind)
{
    struct lorac_jvalue out = lorac_jdict(r, kind);
    if (args->n > 1 || (args->n && args->at[0].kind != J_DICT)) {
        return lorac_jinja_fail(r, LORAC_EUSER, "a dict or named values were expected");
    }
    for (size_t i = 0; args->n && i < args->at[0].dict->n && !r->st; i++) {
        lorac_jdict_set(r, out, args->at[0].dict->at[i].key, args->at[0].dict->at[i].value);
    }
    for (size_t i = 0; i < args->n_named && !r->st; i++) {
        lorac_jdict_set(r, out, lorac_jstring(args->name[i]), args->at[args->n + i]);
    }
    return out;
}

JFN_IS(new_namespace, members(r, args, J_NAMESPACE))
JFN_IS(new_dict, members(r, args, J_DICT))

/* range(stop), range(start, stop), range(start, stop, step) */
JFN(range)
{
    int64_t bound[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3 || args->n_named) {
        return lorac_jinja_fail(r, LORAC_EUSER, "range takes from 1 to 3 whole numbers");
    }
    for (size_t i = 0; i < args->n; i++) {
        if (args->at[i].kind != J_INT && args->at[i].kind != J_BOOL) {
            return lorac_jinja_fail(r, LORAC_EUSER, "range takes whole numbers, found %s",
                                    lorac_jkind_name(args->at[i]));
        }
        bound[args->n == 1 ? 1 : i] = args->at[i].kind == J_BOOL ? args->at[i].b : args->at[i].i;
    }
    if (bound[2] == 0) { return lorac_jinja_fail(r, LORAC_EUSER, "range by steps of 0"); }
    struct lorac_jvalue out = lorac_jlist(r, JF_RANGE);
    int64_t i = bound[0];
    while (!r->st && (bound[2] > 0 ? i < bound[1] : i > bound[1])) {
        lorac_jlist_add(r, out, lorac_jint(i));
        if (out.list->n > JINJA_MAX_RANGE) {
            return lorac_jinja_fail(r, LORAC_ENOTSUP, "a range of more than %d numbers",
                                    JINJA_MAX_RANGE);
        }
        if (__builtin_add_overflow(i, bound[2], &i)) { break; }
    }
    return out;
}

JFN(strftime_now)
{
    char format[200] = "";
    char text[1000] = "";
    struct tm tm;
    time_t now = (time_t)r->now;
    if (args->at[0].kind != J_STRING || args->at[0].s.n >= sizeof format) {
        return lorac_jinja_fail(r, LORAC_EUSER, "strftime_now takes the form of a date");
    }
    memcpy(format, args->at[0].s.at, args->at[0].s.n);
    void *locale = lorac_locale_begin();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    bool fits = localtime_r(&now, &tm) && (!*format || strftime(text, sizeof text, format, &tm));
#pragma GCC diagnostic pop
    lorac_locale_end(locale);
    if (!fits) { return lorac_jinja_fail(r, LORAC_EUSER, "no date of this form"); }
    size_t n = strlen(text);
    char *at = lorac_jinja_take(r, n + 1, 1);
    if (!at) { return lorac_jnone(); }
    memcpy(at, text, n);
    return lorac_jstring((struct lorac_jstr){at, NULL, n});
}

const struct lorac_jrow lorac_jinja_globals[] = {
    {"dict", new_dict, NULL, 0},
    {"namespace", new_namespace, NULL, 0},
    {"raise_exception", raise_exception, "message", 1},
    {"range", range, NULL, 0},
    {"strftime_now", strftime_now, "format", 1},
    {0},
};
