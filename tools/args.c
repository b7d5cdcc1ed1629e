/* args.c - see args.h. */
#include "tools/args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_AT = 29 }; // column of the options' help

static const char *program_of(const struct verb *v)
{
    return v->program ? v->program : "lorac";
}

static const struct option *find_option(const struct verb *v, const char *name, size_t n)
{
    for (const struct option *o = v->options; o->name; o++) {
        if (strlen(o->name) == n && strncmp(o->name, name, n) == 0) { return o; }
    }
    return NULL;
}

/* A number of the range as `text` says it, all of it. */
static bool parse_number(double *out, const char *text, double min, double max)
{
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && !errno && *out >= min && *out <= max;
}

static bool parse_whole(double *out, const char *text, double min, double max)
{
    return parse_number(out, text, min, max) && *out == floor(*out);
}

static bool parse_count(double *out, const char *text)
{
    return parse_whole(out, text, 0.0, 1e15);
}

const char *args_types(char words[64], const char *between)
{
    size_t n = 0;
    for (enum lorac_dtype t = 0; t < LORAC_N_DTYPES; t++) {
        if (!lorac_dtype_is_float(t) || !lorac_dtype_torch(t)) { continue; }
        n += (size_t)snprintf(words + n, 64 - n, "%s%s", n ? between : "", lorac_dtype_torch(t));
    }
    return words;
}

/* "a|b|c": these words alone; "RECIPE|RUN" names what a value may be. */
static bool is_choice(const char *words)
{
    return strchr(words, '|') && *words >= 'a' && *words <= 'z';
}

static bool is_word_of(const char *words, const char *value)
{
    size_t n = strlen(value);
    for (size_t k = 0;; words += k + 1) {
        k = strcspn(words, "|");
        if (k == n && strncmp(words, value, n) == 0) { return true; }
        if (!words[k]) { return false; }
    }
}

static enum lorac_status not_of(const struct option *o, const char *value, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    const char *last = strrchr(o->value, '|');
    for (const char *c = o->value; *c; c++) {
        const char *between = c == last ? " or " : ", ";
        lorac_buf_add(&b, *c == '|' ? between : c, *c == '|' ? strlen(between) : 1);
    }
    enum lorac_status st = lorac_fail(err, LORAC_EUSER, "%s must be %s, found '%s'", o->name,
                                      b.no_memory || !b.at ? o->value : b.at, value);
    lorac_buf_free(&b);
    return st;
}

/* NULL: none was given. The words that stand for a value in the table say its form, too. */
static enum lorac_status check_value(const struct option *o, const char *value,
                                     struct lorac_err *err)
{
    double v = 0.0;
    char types[64];
    enum lorac_dtype type;
    if (!o->value && !value) { return LORAC_OK; }
    if (!o->value) {
        return lorac_fail(err, LORAC_EUSER, "%s takes no value, found '%s'", o->name, value);
    }
    if (!value) { return lorac_fail(err, LORAC_EUSER, "%s needs a value: %s", o->name, o->value); }
    if (strcmp(o->value, "TYPE") == 0 && !lorac_dtype_find_torch(&type, value)) {
        return lorac_fail(err, LORAC_EUSER, "%s must be %s, found '%s'", o->name,
                          args_types(types, " or "), value);
    }
    if (is_choice(o->value) && !is_word_of(o->value, value)) { return not_of(o, value, err); }
    if (strcmp(o->value, "N") == 0 && !parse_count(&v, value)) {
        return lorac_fail(err, LORAC_EUSER, "%s must be a whole number, 0 or more, found '%s'",
                          o->name, value);
    }
    const char *dots = strstr(o->value, "..");
    double min = dots ? strtod(o->value, NULL) : 0.0;
    double max = dots ? strtod(dots + 2, NULL) : 0.0;
    if (dots && !parse_whole(&v, value, min, max)) {
        return lorac_fail(err, LORAC_EUSER, "%s must be a whole number from %g to %g, found '%s'",
                          o->name, min, max, value);
    }
    bool pair = strchr(o->value, '=') != NULL;
    if (pair && (value[0] == '=' || !strchr(value, '='))) {
        return lorac_fail(err, LORAC_EUSER, "%s must be %s, found '%s'", o->name, o->value, value);
    }
    return LORAC_OK;
}

static enum lorac_status unknown(const struct verb *v, const char *word, size_t n,
                                 struct lorac_err *err)
{
    char given[64];
    char hint[64];
    (void)snprintf(given, sizeof given, "%.*s", (int)(n < 63 ? n : 63), word);
    struct lorac_near near = {.word = given, .most = 2};
    for (const struct option *o = v->options; o->name; o++) {
        (void)lorac_near_try(&near, o->name);
    }
    return lorac_fail(err, LORAC_EUSER, "unknown option %s%s; see %s %s --help", given,
                      lorac_near_hint(hint, sizeof hint, near.best), program_of(v), v->name);
}

/* Take the option at argv[*i]; *i moves on to its value where that is a word of its own. */
static enum lorac_status add_option(struct args *a, const struct verb *v, int *i, int argc,
                                    char **argv, struct lorac_err *err)
{
    const char *word = argv[*i];
    size_t n = strcspn(word, "=");
    const char *value = word[n] ? word + n + 1 : NULL;
    const struct option *o = find_option(v, word, n);
    if (!o) { return unknown(v, word, n, err); }
    if (!o->many && args_has(a, o->name)) {
        return lorac_fail(err, LORAC_EUSER, "%s is given twice", o->name);
    }
    if (o->value && !value && *i + 1 < argc) { value = argv[++*i]; }
    enum lorac_status st = check_value(o, value, err);
    if (st) { return st; }
    if (a->n_given == MAX_GIVEN) { return lorac_fail(err, LORAC_EUSER, "too many options"); }
    a->given[a->n_given] = o;
    a->values[a->n_given++] = value;
    return LORAC_OK;
}

enum lorac_status args_parse(struct args *out, const struct verb *v, int argc, char **argv,
                             struct lorac_err *err)
{
    *out = (struct args){.verb = v->name, .options = v->options};
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            out->help = true;
            return LORAC_OK;
        }
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            enum lorac_status st = add_option(out, v, &i, argc, argv, err);
            if (st) { return st; }
        } else if (out->n_positional == v->max_positional) {
            return lorac_fail(err, LORAC_EUSER, "'%s' is one word too many; usage: %s %s %s",
                              argv[i], program_of(v), v->name, v->usage);
        } else {
            out->positional[out->n_positional++] = argv[i];
        }
    }
    if (out->n_positional < v->min_positional) {
        return lorac_fail(err, LORAC_EUSER, "something is missing; usage: %s %s %s", program_of(v),
                          v->name, v->usage);
    }
    for (const struct option *o = v->options; o->name; o++) {
        if (o->required && !args_has(out, o->name)) {
            return lorac_fail(err, LORAC_EUSER, "%s %s is missing; usage: %s %s %s", o->name,
                              o->value, program_of(v), v->name, v->usage);
        }
    }
    return LORAC_OK;
}

/* Words in lines of at most WIDTH columns; the cursor is in column `at`, lines behind the first one
 * begin in column `indent`. */
static void put_filled(const char *text, size_t n, size_t at, size_t indent)
{
    enum { WIDTH = 80 };
    const char *end = text + n;
    bool first = true; // of its line
    for (text += strspn(text, " \n"); text < end; text += strspn(text, " \n")) {
        size_t word = strcspn(text, " \n");
        if (!first && at + 1 + word > WIDTH) {
            printf("\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", (int)word, text);
        at += word + !first;
        first = false;
        text += word;
    }
    printf("\n");
}

/* Lines that begin with a blank and empty ones as they are, all others filled. */
static void put_about(const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n == 0 || *text == ' ') {
            printf("%.*s\n", (int)n, text);
        } else {
            const char *end = strstr(text, "\n\n");
            n = end ? (size_t)(end - text) : strlen(text);
            put_filled(text, n, 0, 0);
        }
        text += n;
        text += *text == '\n';
    }
}

void args_help(const struct verb *v)
{
    char line[512];
    int n = snprintf(line, sizeof line, "usage: %s %s %s", program_of(v), v->name, v->usage);
    put_filled(line, n > 0 ? (size_t)n : 0, 0, 7);
    printf("\n%s\n\n", v->summary);
    if (v->about) {
        put_about(v->about);
        printf("\n");
    }
    printf("options:\n");
    for (const struct option *o = v->options; o->name; o++) {
        n = printf("  %s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("%*s", n < HELP_AT - 1 ? HELP_AT - n : 1, "");
        int k = snprintf(line, sizeof line, "%s%s%s", o->help, o->required ? " (required)" : "",
                         o->many ? " (may be repeated)" : "");
        put_filled(line, k > 0 ? (size_t)k : 0, n < HELP_AT - 1 ? HELP_AT : (size_t)n + 1, HELP_AT);
    }
    printf("  %-26s %s\n", "--help", "show this");
}

const char *args_each(const struct args *a, const char *name, size_t i)
{
    for (size_t k = 0; k < a->n_given; k++) {
        if (strcmp(a->given[k]->name, name) == 0 && i-- == 0) { return a->values[k]; }
    }
    return NULL;
}

const char *args_text(const struct args *a, const char *name, const char *otherwise)
{
    const char *value = args_each(a, name, 0);
    return value ? value : otherwise;
}

bool args_has(const struct args *a, const char *name)
{
    for (size_t k = 0; k < a->n_given; k++) {
        if (strcmp(a->given[k]->name, name) == 0) { return true; }
    }
    return false;
}

enum lorac_status args_number(double *out, const struct args *a, const char *name, double min,
                              double max, struct lorac_err *err)
{
    const char *text = args_text(a, name, NULL);
    double v = 0.0;
    if (!text) { return LORAC_OK; }
    if (!parse_number(&v, text, min, max)) {
        return lorac_fail(err, LORAC_EUSER, "%s must be a number from %g to %g, found '%s'", name,
                          min, max, text);
    }
    *out = v;
    return LORAC_OK;
}

enum lorac_status args_count(size_t *out, const struct args *a, const char *name,
                             struct lorac_err *err)
{
    const char *text = args_text(a, name, NULL);
    double v = 0.0;
    if (!text) { return LORAC_OK; }
    if (!parse_count(&v, text)) {
        return lorac_fail(err, LORAC_EUSER, "%s must be a whole number, 0 or more, found '%s'",
                          name, text);
    }
    *out = (size_t)v;
    return LORAC_OK;
}

static void add_word(struct lorac_buf *b, const char *word)
{
    lorac_buf_str(b, " ");
    lorac_buf_word(b, word);
}

void args_again(struct lorac_buf *b, const struct args *a)
{
    lorac_buf_printf(b, "lorac %s", a->verb);
    for (size_t i = 0; i < a->n_positional; i++) {
        add_word(b, a->positional[i]);
    }
    for (size_t i = 0; i < a->n_given; i++) {
        const struct option *o = a->given[i];
        if (strcmp(o->name, "--resume") == 0 || strcmp(o->name, "--overwrite") == 0) { continue; }
        add_word(b, o->name);
        if (o->value) { add_word(b, a->values[i]); }
    }
}
