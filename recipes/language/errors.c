/* errors.c - the list of all that is wrong with a recipe. See yaml.h, recipe.h. */
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/language/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum lorac_status no_memory(struct lorac_err *err, const struct lorac_source *source)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", source->name);
}

/* An option for text that YAML takes for a map: its value must stand in quotes of its own. */
static bool wants_quotes(const struct lorac_source *source)
{
    const char *value = source->is_option ? strchr(source->name, '=') : NULL;
    bool text = value && strncmp(source->name, "--set template.", strlen("--set template.")) == 0;
    bool quoted = text && (value[1] == '"' || value[1] == '\'');
    return text && !quoted && (strchr(value, '{') || strstr(value, ": "));
}

enum lorac_status lorac_complain(struct lorac_recipe_errors *errors,
                                 const struct lorac_source *source, size_t line, size_t column,
                                 struct lorac_err *err, const char *fmt, ...)
{
    if (errors->n == LORAC_RECIPE_MAX_ERRORS) { return LORAC_OK; }
    struct lorac_recipe_error *at =
        lorac_mem_grow(errors->at, errors->n, &errors->cap, errors->n + 1, sizeof *at);
    if (!at) { return no_memory(err, source); }
    errors->at = at;
    char text[1024];
    size_t used = 0;
    if (line && !source->is_option) {
        (void)snprintf(text, sizeof text, "%.400s:%zu:%zu: ", source->name, line, column);
    } else {
        (void)snprintf(text, sizeof text, "%.400s: ", source->name);
    }
    used = strlen(text);
    if (errors->n + 1 == LORAC_RECIPE_MAX_ERRORS) {
        (void)snprintf(text + used, sizeof text - used, "too many errors, the rest is not shown");
    } else {
        va_list args;
        va_start(args, fmt);
        (void)lorac_vsnprintf(text + used, sizeof text - used, fmt, args);
        va_end(args);
        used = strlen(text);
        if (wants_quotes(source)) {
            (void)snprintf(text + used, sizeof text - used,
                           "; text with { or : in it stands in quotes: --set 'KEY=\"TEXT\"'");
        }
    }
    for (char *c = text; *c; c++) { // one line, whatever the recipe holds
        if ((unsigned char)*c < 0x20 || *c == 0x7F) { *c = '?'; }
    }
    char *copy = lorac_mem_string(text, strlen(text));
    if (!copy) { return no_memory(err, source); }
    errors->at[errors->n++] = (struct lorac_recipe_error){.text = copy,
                                                          .line = source->is_option ? 0 : line,
                                                          .column = source->is_option ? 0 : column,
                                                          .layer = source->layer};
    return LORAC_OK;
}

static bool later(const struct lorac_recipe_error *a, const struct lorac_recipe_error *b)
{
    if (a->layer != b->layer) { return a->layer > b->layer; }
    // An error without a place, as a missing key, comes after those of its file.
    if (!a->line != !b->line) { return !a->line; }
    return a->line != b->line ? a->line > b->line : a->column > b->column;
}

void lorac_recipe_errors_sort(struct lorac_recipe_errors *errors)
{
    for (size_t i = 1; i < errors->n; i++) {
        struct lorac_recipe_error e = errors->at[i];
        size_t j = i;
        for (; j > 0 && later(&errors->at[j - 1], &e); j--) {
            errors->at[j] = errors->at[j - 1];
        }
        errors->at[j] = e;
    }
}

void lorac_recipe_errors_free(struct lorac_recipe_errors *errors)
{
    for (size_t i = 0; i < errors->n; i++) {
        lorac_mem_free(errors->at[i].text);
    }
    lorac_mem_free(errors->at);
    *errors = (struct lorac_recipe_errors){0};
}
