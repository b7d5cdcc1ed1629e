/* print.c - values as YAML, the resolved recipe, and how two recipes differ. See recipe.h. */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

/* What YAML takes as it is between double quotes, line breaks of any kind excluded. */
static bool is_printable(utf8proc_int32_t c)
{
    return (c >= 0x20 && c < 0x7F) || (c >= 0xA0 && c < 0x2028) || (c > 0x2029 && c < 0xD800) ||
           (c >= 0xE000 && c < 0xFFFE && c != 0xFEFF) || c >= 0x10000;
}

void lorac_yaml_quote(struct lorac_buf *buf, const char *text, bool expands)
{
    lorac_buf_str(buf, "\"");
    for (size_t n = strlen(text); n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
        k = k > 0 ? k : 1; // recipes hold valid UTF-8
        if (expands && text[0] == '$' && text[1] == '{') { lorac_buf_str(buf, "$"); }
        if (c == '"' || c == '\\') {
            lorac_buf_printf(buf, "\\%c", (char)c);
        } else if (c == '\n') {
            lorac_buf_str(buf, "\\n");
        } else if (c == '\t') {
            lorac_buf_str(buf, "\\t");
        } else if (is_printable(c)) {
            lorac_buf_add(buf, text, (size_t)k);
        } else {
            lorac_buf_printf(buf, "\\u%04x", (unsigned)c);
        }
        text += k;
        n -= (size_t)k;
    }
    lorac_buf_str(buf, "\"");
}

static void print_text(struct lorac_buf *buf, const char *text)
{
    if (text) {
        lorac_yaml_quote(buf, text, true);
    } else {
        lorac_buf_str(buf, "null");
    }
}

static void print_list(struct lorac_buf *buf, const struct lorac_recipe_list *list)
{
    lorac_buf_str(buf, "[");
    for (size_t i = 0; i < list->n; i++) {
        lorac_buf_str(buf, i ? ", " : "");
        print_text(buf, list->at[i]);
    }
    lorac_buf_str(buf, "]");
}

static void print_map(struct lorac_buf *buf, const struct lorac_recipe_map *map)
{
    lorac_buf_str(buf, "{");
    for (size_t i = 0; i < map->n; i++) {
        // YAML finds a key before its colon only within 1024 characters; `?` announces longer ones.
        bool is_long = strlen(map->at[i].key) > 100;
        lorac_buf_str(buf, i ? ", " : "");
        lorac_buf_str(buf, is_long ? "? " : "");
        lorac_yaml_quote(buf, map->at[i].key, false);
        lorac_buf_str(buf, is_long ? " : " : ": ");
        print_text(buf, map->at[i].value);
    }
    lorac_buf_str(buf, "}");
}

static void print_choice(struct lorac_buf *buf, const struct lorac_key *key, size_t i)
{
    char word[64] = "";
    (void)lorac_key_choice(word, sizeof word, key->choices, i);
    lorac_buf_str(buf, word);
}

static void print_choices(struct lorac_buf *buf, const struct lorac_key *key, unsigned bits)
{
    const char *between = "[";
    for (unsigned i = 0; i < 32; i++) {
        if (!(bits >> i & 1u)) { continue; }
        lorac_buf_str(buf, between);
        print_choice(buf, key, i);
        between = ", ";
    }
    lorac_buf_str(buf, bits ? "]" : "[]");
}

static void print_targets(struct lorac_buf *buf, const struct lorac_recipe_targets *t)
{
    switch (t->kind) {
    case LORAC_RECIPE_TARGETS_ALL_LINEAR:
        lorac_buf_str(buf, "all-linear");
        break;
    case LORAC_RECIPE_TARGETS_LIST:
        print_list(buf, &t->names);
        break;
    case LORAC_RECIPE_TARGETS_REGEX:
        print_text(buf, t->regex);
        break;
    }
}

static void print_modules(struct lorac_buf *buf, const struct lorac_recipe_modules *m)
{
    if (m->all) {
        lorac_buf_str(buf, "all");
    } else {
        print_list(buf, &m->names);
    }
}

static void print_layers(struct lorac_buf *buf, const struct lorac_recipe_layers *l)
{
    switch (l->kind) {
    case LORAC_RECIPE_LAYERS_ALL:
        lorac_buf_str(buf, "all");
        break;
    case LORAC_RECIPE_LAYERS_LAST:
        lorac_buf_printf(buf, "last:%zu", l->last);
        break;
    case LORAC_RECIPE_LAYERS_RANGE:
        lorac_buf_printf(buf, "%zu-%zu", l->first, l->to);
        break;
    case LORAC_RECIPE_LAYERS_LIST:
        for (size_t i = 0; i < l->n; i++) {
            lorac_buf_printf(buf, "%s%zu", i ? ", " : "[", l->at[i]);
        }
        lorac_buf_str(buf, "]");
        break;
    }
}

static void print_overrides(struct lorac_buf *buf, const struct lorac_recipe_overrides *list)
{
    lorac_buf_str(buf, "[");
    for (size_t i = 0; i < list->n; i++) {
        const struct lorac_recipe_override *o = &list->at[i];
        lorac_buf_str(buf, i ? ", {match: " : "{match: ");
        print_text(buf, o->match);
        if (o->rank) { lorac_buf_printf(buf, ", rank: %zu", o->rank); }
        if (o->alpha > 0.0) {
            lorac_buf_str(buf, ", alpha: ");
            lorac_number_print(buf, o->alpha);
        }
        lorac_buf_str(buf, "}");
    }
    lorac_buf_str(buf, "]");
}

static void print_paths(struct lorac_buf *buf, const struct lorac_recipe_list *list)
{
    if (list->n > 1) {
        print_list(buf, list);
    } else {
        print_text(buf, list->n ? list->at[0] : NULL);
    }
}

static void print_split(struct lorac_buf *buf, const struct lorac_recipe_split *s)
{
    switch (s->kind) {
    case LORAC_RECIPE_SPLIT_NONE:
        lorac_buf_str(buf, "null");
        break;
    case LORAC_RECIPE_SPLIT_PATH:
        print_paths(buf, &s->paths);
        break;
    case LORAC_RECIPE_SPLIT_FRACTION:
        lorac_buf_str(buf, "{split: ");
        lorac_number_print(buf, s->fraction);
        lorac_buf_str(buf, ", stratify: ");
        print_text(buf, s->stratify);
        lorac_buf_str(buf, "}");
        break;
    }
}

static void print_amount(struct lorac_buf *buf, const struct lorac_recipe_amount *a)
{
    if (!a->is_percent) {
        lorac_buf_printf(buf, "%zu", a->steps);
        return;
    }
    lorac_number_print(buf, a->percent);
    lorac_buf_str(buf, "%");
}

static void print_interval(struct lorac_buf *buf, const struct lorac_recipe_interval *i)
{
    switch (i->unit) {
    case LORAC_RECIPE_EVERY_STEPS:
        lorac_buf_printf(buf, "%zu step%s", i->steps, i->steps == 1 ? "" : "s");
        break;
    case LORAC_RECIPE_EVERY_END:
        lorac_buf_str(buf, "end");
        break;
    case LORAC_RECIPE_EVERY_EPOCHS:
        lorac_number_print(buf, i->epochs);
        lorac_buf_str(buf, " epoch");
        break;
    }
}

static void print_count(struct lorac_buf *buf, const struct lorac_key *key, size_t n)
{
    bool none = n == 0 && (!key->otherwise || (key->flags & LORAC_KEY_NULLABLE));
    if (none) {
        lorac_buf_str(buf, "null");
    } else {
        lorac_buf_printf(buf, "%zu", n);
    }
}

static void print_number(struct lorac_buf *buf, const struct lorac_key *key, double x)
{
    if (!key->otherwise && !(x > key->min)) { // such a key is LORAC_KEY_ABOVE_MIN
        lorac_buf_str(buf, "null");
    } else {
        lorac_number_print(buf, x);
    }
}

static void print_count_or_auto(struct lorac_buf *buf, size_t n)
{
    if (n) {
        lorac_buf_printf(buf, "%zu", n);
    } else {
        lorac_buf_str(buf, "auto");
    }
}

void lorac_value_print(struct lorac_buf *buf, const struct lorac_recipe *recipe,
                       const struct lorac_key *key)
{
    const void *field = (const char *)recipe + key->offset;
    unsigned choice = 0;
    switch (key->type) {
    case LORAC_KEY_EXTENDS:
        break;
    case LORAC_KEY_TEXT:
    case LORAC_KEY_PATH:
        print_text(buf, *(char *const *)field);
        break;
    case LORAC_KEY_PATHS:
        print_paths(buf, field);
        break;
    case LORAC_KEY_CHAR: {
        char text[2] = {*(const char *)field, '\0'};
        lorac_yaml_quote(buf, text, false);
        break;
    }
    case LORAC_KEY_SEED:
        lorac_buf_printf(buf, "%" PRIu64, *(const uint64_t *)field);
        break;
    case LORAC_KEY_COUNT:
        print_count(buf, key, *(const size_t *)field);
        break;
    case LORAC_KEY_COUNT_OR_AUTO:
        print_count_or_auto(buf, *(const size_t *)field);
        break;
    case LORAC_KEY_NUMBER:
        print_number(buf, key, *(const double *)field);
        break;
    case LORAC_KEY_BETAS:
        lorac_buf_str(buf, "[");
        lorac_number_print(buf, ((const double *)field)[0]);
        lorac_buf_str(buf, ", ");
        lorac_number_print(buf, ((const double *)field)[1]);
        lorac_buf_str(buf, "]");
        break;
    case LORAC_KEY_BOOL:
        lorac_buf_str(buf, *(const bool *)field ? "true" : "false");
        break;
    case LORAC_KEY_CHOICE:
        memcpy(&choice, field, sizeof choice);
        print_choice(buf, key, choice);
        break;
    case LORAC_KEY_CHOICE_OR_NONE:
        choice = *(const unsigned *)field;
        if (choice) { print_choice(buf, key, choice - 1); }
        lorac_buf_str(buf, choice ? "" : "null");
        break;
    case LORAC_KEY_CHOICES:
        print_choices(buf, key, *(const unsigned *)field);
        break;
    case LORAC_KEY_LIST:
        print_list(buf, field);
        break;
    case LORAC_KEY_MAP:
        print_map(buf, field);
        break;
    case LORAC_KEY_TARGETS:
        print_targets(buf, field);
        break;
    case LORAC_KEY_MODULES:
        print_modules(buf, field);
        break;
    case LORAC_KEY_LAYERS:
        print_layers(buf, field);
        break;
    case LORAC_KEY_OVERRIDES:
        print_overrides(buf, field);
        break;
    case LORAC_KEY_SPLIT:
        print_split(buf, field);
        break;
    case LORAC_KEY_AMOUNT:
        print_amount(buf, field);
        break;
    case LORAC_KEY_INTERVAL:
        print_interval(buf, field);
        break;
    }
}

void lorac_key_open_sections(struct lorac_buf *buf, const char *path, const char *last)
{
    size_t same = 0; // bytes of the sections that both paths are in
    for (size_t i = 0; path[i] && path[i] == last[i]; i++) {
        if (path[i] == '.') { same = i + 1; }
    }
    for (const char *dot = strchr(path + same, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t start = same;
        lorac_key_indent(buf, path, start);
        lorac_buf_add(buf, path + start, (size_t)(dot - path) - start);
        lorac_buf_str(buf, ":\n");
        same = (size_t)(dot - path) + 1;
    }
}

void lorac_key_indent(struct lorac_buf *buf, const char *path, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lorac_buf_str(buf, path[i] == '.' ? "  " : "");
    }
}

void lorac_recipe_resolved(struct lorac_buf *buf, const struct lorac_recipe *recipe)
{
    const char *last = "";
    lorac_buf_str(buf, "# a resolved recipe: every key with the value that the run used\n");
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (key->type == LORAC_KEY_EXTENDS) { continue; }
        lorac_key_open_sections(buf, key->path, last);
        lorac_key_indent(buf, key->path, strlen(key->path));
        lorac_buf_printf(buf, "%s: ", lorac_key_last(key->path));
        lorac_value_print(buf, recipe, key);
        lorac_buf_str(buf, "\n");
        last = key->path;
    }
}

enum lorac_status lorac_recipe_write(const struct lorac_recipe *recipe, const char *path,
                                     struct lorac_err *err)
{
    struct lorac_buf text = {0};
    struct lorac_buf again = {0};
    struct lorac_recipe *copy = NULL;
    enum lorac_status st = LORAC_OK;
    lorac_recipe_resolved(&text, recipe);
    if (text.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
        goto done;
    }
    st = lorac_recipe_parse(&copy, text.at, text.n, path, NULL, NULL, 0, NULL, err);
    if (st) { goto done; }
    lorac_recipe_resolved(&again, copy);
    if (again.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
    } else if (again.n != text.n || memcmp(again.at, text.at, text.n) != 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: the resolved recipe reads back differently", path);
    } else {
        st = lorac_file_write(path, text.at, text.n, err);
    }
done:
    lorac_recipe_free(copy);
    lorac_buf_free(&again);
    lorac_buf_free(&text);
    return st;
}

void lorac_key_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                    const struct lorac_recipe *b, const struct lorac_key *key)
{
    struct lorac_buf x = {0};
    struct lorac_buf y = {0};
    lorac_value_print(&x, a, key);
    lorac_value_print(&y, b, key);
    if (x.no_memory || y.no_memory) { // never in silence: "no difference" would be wrong
        buf->no_memory = true;
    } else if (x.n != y.n || (x.n && memcmp(x.at, y.at, x.n) != 0)) {
        lorac_buf_printf(buf, "%s: %s -> %s\n", key->path, x.at, y.at);
    }
    lorac_buf_free(&x);
    lorac_buf_free(&y);
}

void lorac_recipe_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                       const struct lorac_recipe *b)
{
    for (size_t i = 0; i < lorac_n_keys; i++) {
        lorac_key_diff(buf, a, b, &lorac_keys[i]);
    }
}
