/* explain.c - the table of keys for people and for editors: help, JSON Schema, template. See
 * recipe.h. */
#include "base/core/json.h"
#include "recipes/language/reading.h"
#include "recipes/language/suggest.h"

#include <stdio.h>
#include <string.h>

static bool has(const struct lorac_key *key, unsigned flag)
{
    return (key->flags & flag) != 0;
}

/* The words of a choice that this version takes, with `between` between them. */
static void add_choices(struct lorac_buf *buf, const struct lorac_key *key, const char *between,
                        bool quote)
{
    char word[64];
    size_t n = 0;
    for (size_t i = 0; lorac_key_choice(word, sizeof word, key->choices, i); i++) {
        char later[64];
        bool refused = false;
        for (size_t k = 0; lorac_key_choice(later, sizeof later, key->later, k); k++) {
            refused = refused || strcmp(later, word) == 0;
        }
        if (refused) { continue; }
        lorac_buf_str(buf, n++ ? between : "");
        if (quote) {
            lorac_json_quote(buf, word, strlen(word));
        } else {
            lorac_buf_str(buf, word);
        }
    }
}

static void add_range(struct lorac_buf *buf, const struct lorac_key *key, const char *noun)
{
    lorac_buf_printf(buf, "%s %s %.15g %s %.15g", noun,
                     has(key, LORAC_KEY_ABOVE_MIN) ? "above" : "from", key->min,
                     has(key, LORAC_KEY_BELOW_MAX) ? "and below" : "to", key->max);
}

/* What may stand there, in words. */
static void add_type(struct lorac_buf *buf, const struct lorac_key *key)
{
    switch (key->type) {
    case LORAC_KEY_EXTENDS:
    case LORAC_KEY_PATH:
        lorac_buf_str(buf, "a path, relative to the recipe's folder");
        break;
    case LORAC_KEY_PATHS:
        lorac_buf_str(buf, "a path or a list of paths, relative to the recipe's folder");
        break;
    case LORAC_KEY_TEXT:
        lorac_buf_str(buf, "text");
        break;
    case LORAC_KEY_CHAR:
        lorac_buf_str(buf, key->min == 0.0 ? "one ASCII character, or '' for none"
                                           : "one ASCII character");
        break;
    case LORAC_KEY_SEED:
        lorac_buf_str(buf, "a whole number from 0 to 18446744073709551615");
        break;
    case LORAC_KEY_COUNT:
        add_range(buf, key, "a whole number");
        break;
    case LORAC_KEY_COUNT_OR_AUTO:
        add_range(buf, key, "auto, or a whole number");
        break;
    case LORAC_KEY_NUMBER:
        add_range(buf, key, "a number");
        break;
    case LORAC_KEY_BETAS:
        add_range(buf, key, "a list of two numbers, each");
        break;
    case LORAC_KEY_BOOL:
        lorac_buf_str(buf, "true or false");
        break;
    case LORAC_KEY_CHOICE:
    case LORAC_KEY_CHOICE_OR_NONE:
        add_choices(buf, key, " | ", false);
        break;
    case LORAC_KEY_CHOICES:
        lorac_buf_str(buf, "a list of ");
        add_choices(buf, key, ", ", false);
        break;
    case LORAC_KEY_LIST:
        lorac_buf_str(buf, "a list of text");
        break;
    case LORAC_KEY_MAP:
        lorac_buf_str(buf, "a map of text to text");
        break;
    case LORAC_KEY_TARGETS:
        lorac_buf_str(buf, "all-linear, a list of text, or a regex");
        break;
    case LORAC_KEY_MODULES:
        lorac_buf_str(buf, "a list of text, or all");
        break;
    case LORAC_KEY_LAYERS:
        lorac_buf_str(buf, "all, last:6, [0, 1, 11] or 4-11");
        break;
    case LORAC_KEY_OVERRIDES:
        lorac_buf_str(buf, "a list of {match, rank, alpha}");
        break;
    case LORAC_KEY_SPLIT:
        lorac_buf_str(buf, "a path, a list of paths, or {split: 0.1, stratify: COLUMN}");
        break;
    case LORAC_KEY_AMOUNT:
        lorac_buf_str(buf, "steps (100) or a percentage (5%)");
        break;
    case LORAC_KEY_INTERVAL:
        lorac_buf_str(buf, "100 (steps), 0.25 epoch, or end");
        break;
    }
}

static void explain_key(struct lorac_buf *buf, const struct lorac_key *key)
{
    const char *none = has(key, LORAC_KEY_REQUIRED) ? "required" : "none";
    lorac_buf_printf(buf, "%s: %s\n  values:  ", key->path, key->help);
    add_type(buf, key);
    lorac_buf_printf(buf, "\n  default: %s\n", key->otherwise ? key->otherwise : none);
    if (key->later) { lorac_buf_printf(buf, "  not yet: %s\n", key->later); }
    if (key->more) { lorac_buf_printf(buf, "  %s\n", key->more); }
}

enum lorac_status lorac_recipe_explain(struct lorac_buf *buf, const char *key,
                                       struct lorac_err *err)
{
    size_t n = key ? strlen(key) : 0;
    bool all = !key || lorac_key_is_section(key);
    if (!all && !lorac_key_find(key)) {
        char words[128];
        const char *near = lorac_suggest_key(words, sizeof words, key);
        return lorac_fail(err, LORAC_EUSER, "%.80s: unknown key%s%s%s", key,
                          near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const char *path = lorac_keys[i].path;
        bool inside = !key || (strncmp(path, key, n) == 0 && (path[n] == '.' || !path[n]));
        if (inside) { explain_key(buf, &lorac_keys[i]); }
    }
    return buf->no_memory ? lorac_fail(err, LORAC_ENOMEM, "explain: no memory") : LORAC_OK;
}

/* ---- the commented template ---- */

void lorac_recipe_template(struct lorac_buf *buf)
{
    enum { HELP_AT = 44 }; // column of the comments
    const char *last = "";
    lorac_buf_str(buf,
                  "# what this recipe does\n#   lorac train recipe.yaml\n# what it measured\n");
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        bool required = has(key, LORAC_KEY_REQUIRED);
        size_t section = strcspn(key->path, ".") + 1;
        bool same = strncmp(key->path, last, section) == 0;
        if (strchr(key->path, '.') ? !same : strchr(last, '.') != NULL) {
            lorac_buf_str(buf, "\n");
        }
        lorac_key_open_sections(buf, key->path, last);
        size_t start = buf->n;
        lorac_key_indent(buf, key->path, strlen(key->path));
        // A required key stands there empty, so that forgetting it is an error at its place.
        lorac_buf_printf(buf, "%s%s:", key->otherwise || required ? "" : "# ",
                         lorac_key_last(key->path));
        if (key->otherwise) { lorac_buf_printf(buf, " %s", key->otherwise); }
        if (strcmp(key->path, "recipe") == 0) { lorac_buf_str(buf, " 1"); }
        do {
            lorac_buf_str(buf, " ");
        } while (!buf->no_memory && buf->n - start < HELP_AT);
        lorac_buf_printf(buf, "# %s%s\n", key->help, required ? "; required" : "");
        last = key->path;
    }
}

/* ---- JSON Schema ---- */

static void add_bounds(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_printf(buf, "\"%s\": %.15g, \"%s\": %.15g",
                     has(key, LORAC_KEY_ABOVE_MIN) ? "exclusiveMinimum" : "minimum", key->min,
                     has(key, LORAC_KEY_BELOW_MAX) ? "exclusiveMaximum" : "maximum", key->max);
}

static const char TEXT[] = "\"type\": [\"string\", \"number\", \"boolean\", \"null\"]";

static void add_overrides_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"type\": \"array\", \"items\": {\"type\": \"object\", \"required\": "
                       "[\"match\"], \"additionalProperties\": false, \"properties\": {\"match\": "
                       "{\"type\": \"string\"}, \"rank\": {\"type\": \"integer\", ");
    add_bounds(buf, key);
    lorac_buf_str(buf, "}, \"alpha\": {\"type\": [\"number\", \"string\"], "
                       "\"exclusiveMinimum\": 0}}}");
}

static void add_split_schema(struct lorac_buf *buf)
{
    lorac_buf_printf(buf,
                     "\"type\": [\"string\", \"array\", \"null\", \"object\"], \"items\": {%s}, "
                     "\"minItems\": 1, \"required\": [\"split\"], "
                     "\"additionalProperties\": false, \"properties\": {\"split\": {\"type\": "
                     "[\"number\", \"string\"], \"exclusiveMinimum\": 0, \"exclusiveMaximum\": 1}, "
                     "\"stratify\": {%s}}",
                     TEXT, TEXT);
}

/* A list of text; but for LIST one text may stand for it. */
static void add_list_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    const char *more = key->type == LORAC_KEY_LIST    ? ""
                       : key->type == LORAC_KEY_PATHS ? ", \"string\", \"null\""
                                                      : ", \"string\"";
    bool some = key->type == LORAC_KEY_PATHS || key->type == LORAC_KEY_TARGETS;
    lorac_buf_printf(buf, "\"type\": [\"array\"%s], \"items\": {%s}%s", more, TEXT,
                     some ? ", \"minItems\": 1" : "");
}

/* Members of a schema object, without braces. Text may look like any scalar in YAML. */
static void add_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    switch (key->type) {
    case LORAC_KEY_EXTENDS:
    case LORAC_KEY_TEXT:
    case LORAC_KEY_PATH:
        lorac_buf_str(buf, TEXT);
        break;
    case LORAC_KEY_CHAR:
        lorac_buf_printf(buf, "\"type\": \"string\", \"minLength\": %d, \"maxLength\": 1",
                         (int)key->min);
        break;
    case LORAC_KEY_SEED:
        lorac_buf_str(buf, "\"type\": \"integer\", \"minimum\": 0");
        break;
    case LORAC_KEY_COUNT:
        lorac_buf_printf(buf, "\"type\": [\"integer\"%s], ",
                         has(key, LORAC_KEY_NULLABLE) || !key->otherwise ? ", \"null\"" : "");
        add_bounds(buf, key);
        break;
    case LORAC_KEY_COUNT_OR_AUTO:
        lorac_buf_str(buf, "\"anyOf\": [{\"const\": \"auto\"}, {\"type\": \"integer\", ");
        add_bounds(buf, key);
        lorac_buf_str(buf, "}]");
        break;
    case LORAC_KEY_NUMBER: // 1e-5 is a string to YAML 1.1, so a string may stand there
        lorac_buf_printf(buf, "\"type\": [\"number\", \"string\"%s], ",
                         key->otherwise ? "" : ", \"null\"");
        add_bounds(buf, key);
        break;
    case LORAC_KEY_BETAS:
        lorac_buf_str(buf, "\"type\": \"array\", \"minItems\": 2, \"maxItems\": 2, \"items\": "
                           "{\"type\": [\"number\", \"string\"], ");
        add_bounds(buf, key);
        lorac_buf_str(buf, "}");
        break;
    case LORAC_KEY_BOOL:
        lorac_buf_str(buf, "\"type\": \"boolean\"");
        break;
    case LORAC_KEY_CHOICE:
    case LORAC_KEY_CHOICE_OR_NONE:
        lorac_buf_str(buf, "\"enum\": [");
        add_choices(buf, key, ", ", true);
        lorac_buf_str(buf, key->type == LORAC_KEY_CHOICE ? "]" : ", null]");
        break;
    case LORAC_KEY_CHOICES:
        lorac_buf_str(buf, "\"type\": \"array\", \"uniqueItems\": true, \"items\": {\"enum\": [");
        add_choices(buf, key, ", ", true);
        lorac_buf_str(buf, "]}");
        break;
    case LORAC_KEY_MAP:
        lorac_buf_printf(buf, "\"type\": \"object\", \"additionalProperties\": {%s}", TEXT);
        break;
    case LORAC_KEY_LIST:
    case LORAC_KEY_PATHS:
    case LORAC_KEY_TARGETS:
    case LORAC_KEY_MODULES:
        add_list_schema(buf, key);
        break;
    case LORAC_KEY_LAYERS:
        lorac_buf_str(buf,
                      "\"type\": [\"string\", \"array\"], \"minItems\": 1, \"uniqueItems\": true, "
                      "\"items\": {\"type\": \"integer\", \"minimum\": 0}");
        break;
    case LORAC_KEY_OVERRIDES:
        add_overrides_schema(buf, key);
        break;
    case LORAC_KEY_SPLIT:
        add_split_schema(buf);
        break;
    case LORAC_KEY_AMOUNT:
        lorac_buf_str(buf, "\"type\": [\"integer\", \"string\"], \"minimum\": 0, \"pattern\": "
                           "\"^[0-9.eE+-]+%?$\"");
        break;
    case LORAC_KEY_INTERVAL:
        lorac_buf_str(buf, "\"type\": [\"integer\", \"string\"], \"minimum\": 1, \"pattern\": "
                           "\"^(end|[0-9]+( steps?)?|[0-9.eE+-]+ epochs?)$\"");
        break;
    }
}

static void add_property(struct lorac_buf *buf, const struct lorac_key *key)
{
    const char *name = lorac_key_last(key->path);
    lorac_json_quote(buf, name, strlen(name));
    lorac_buf_str(buf, ": {\"description\": ");
    lorac_json_quote(buf, key->help, strlen(key->help));
    lorac_buf_str(buf, ", ");
    add_schema(buf, key);
    lorac_buf_str(buf, "}");
}

/* Sections close after the last key that is in them: count the dots that the next path keeps. */
static size_t shared_sections(const char *a, const char *b)
{
    size_t n = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++) {
        n += a[i] == '.';
    }
    return n;
}

static size_t depth_of(const char *path)
{
    size_t n = 0;
    for (; *path; path++) {
        n += *path == '.';
    }
    return n;
}

/* The required keys of the section whose path is the first `n` bytes of `path`, if any. */
static bool add_required(struct lorac_buf *buf, const char *path, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (strncmp(key->path, path, n) != 0 || !has(key, LORAC_KEY_REQUIRED)) { continue; }
        const char *name = key->path + n;
        lorac_buf_str(buf, any ? ", " : "\"required\": [");
        lorac_json_quote(buf, name,
                         strcspn(name, ".")); // a section with a required key is required
        any = true;
    }
    lorac_buf_str(buf, any ? "], " : "");
    return any;
}

static void add_section_start(struct lorac_buf *buf, const char *path, size_t level)
{
    size_t start = 0;
    for (size_t i = 0; i < level; i++) {
        start += strcspn(path + start, ".") + 1;
    }
    size_t n = strcspn(path + start, ".");
    lorac_json_quote(buf, path + start, n);
    lorac_buf_str(buf, ": {\"additionalProperties\": false, ");
    bool required = add_required(buf, path, start + n + 1);
    lorac_buf_printf(buf, "\"type\": [\"object\"%s], \"properties\": {\n",
                     required ? "" : ", \"null\"");
}

void lorac_recipe_schema_json(struct lorac_buf *buf)
{
    const char *last = "";
    lorac_buf_str(buf, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                       "\"title\": \"lorac recipe, version 1\", \"type\": \"object\",\n"
                       "\"additionalProperties\": false, ");
    (void)add_required(buf, "", 0);
    lorac_buf_str(buf, "\"properties\": {\n");
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const char *path = lorac_keys[i].path;
        size_t shared = shared_sections(path, last);
        for (size_t k = depth_of(last); k > shared; k--) {
            lorac_buf_str(buf, "}}");
        }
        lorac_buf_str(buf, i ? ",\n" : "");
        for (size_t k = shared; k < depth_of(path); k++) {
            add_section_start(buf, path, k);
        }
        add_property(buf, &lorac_keys[i]);
        last = path;
    }
    for (size_t k = depth_of(last); k > 0; k--) {
        lorac_buf_str(buf, "}}");
    }
    lorac_buf_str(buf, "}}\n");
}
