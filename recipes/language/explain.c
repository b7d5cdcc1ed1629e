/* explain.c - the table of keys for people and for editors: help, JSON Schema, template. See
 * recipe.h. */
#include "base/core/json.h"
#include "recipes/language/suggest.h"
#include "recipes/language/sweep_keys.h"

#include <stdio.h>
#include <string.h>

static bool has(const struct lorac_key *key, unsigned flag)
{
    return (key->flags & flag) != 0;
}

static void explain_key(struct lorac_buf *buf, const struct lorac_key *key)
{
    const char *none = has(key, LORAC_KEY_REQUIRED) ? "required" : "none";
    lorac_buf_printf(buf, "%s: %s\n  values:  ", key->path, key->help);
    lorac_buf_str(buf, key->type->words);
    if (key->type->add_words) { key->type->add_words(buf, key); }
    lorac_buf_printf(buf, "\n  default: %s\n", key->otherwise ? key->otherwise : none);
    if (key->more) { lorac_buf_printf(buf, "  %s\n", key->more); }
}

const char *lorac_recipe_key(size_t i)
{
    return i < lorac_n_keys ? lorac_keys[i].path : NULL;
}

const char *lorac_recipe_key_word(size_t i, size_t k)
{
    static const char *const truth[] = {"true", "false"};
    const struct lorac_key *key = &lorac_keys[i];
    if (key->type == &lorac_type_flag) { return k < 2 ? truth[k] : NULL; }
    return key->row || key->words ? lorac_key_word(key, k) : NULL;
}

/* "sweep" and "sweep.vary": the keys of a sweep's file, or one of them. False: `key` is none. */
static bool explain_sweep(struct lorac_buf *buf, const char *key)
{
    bool all = strcmp(key, "sweep") == 0;
    bool found = false;
    for (size_t i = 0; i < LORAC_SWEEP_KEYS; i++) {
        const char *path = lorac_sweep_keys[i].path;
        bool one = strncmp(key, "sweep.", 6) == 0 && strcmp(key + 6, path) == 0;
        if (!all && !one) { continue; }
        explain_key(buf, &lorac_sweep_keys[i]);
        found = true;
    }
    return found;
}

enum lorac_status lorac_recipe_explain(struct lorac_buf *buf, const char *key,
                                       struct lorac_err *err)
{
    size_t n = key ? strlen(key) : 0;
    if (key && explain_sweep(buf, key)) {
        return buf->no_memory ? lorac_fail(err, LORAC_ENOMEM, "explain: no memory") : LORAC_OK;
    }
    bool all = !key || lorac_key_is_section(key);
    if (!all && !lorac_key_find(key)) {
        char hint[160];
        return lorac_fail(err, LORAC_EUSER, "%.80s: unknown key%s", key,
                          lorac_key_hint(hint, sizeof hint, key));
    }
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const char *path = lorac_keys[i].path;
        bool inside = !key || (strncmp(path, key, n) == 0 && (path[n] == '.' || !path[n]));
        if (inside) { explain_key(buf, &lorac_keys[i]); }
    }
    if (!key) {
        lorac_buf_str(buf, "\nA sweep's file (lorac sweep) has keys of its own:\n\n");
        (void)explain_sweep(buf, "sweep");
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

static void add_type(struct lorac_buf *buf, const struct lorac_key *key)
{
    if (key->type->schema) { lorac_buf_str(buf, key->type->schema); }
    if (key->type->add_schema) { key->type->add_schema(buf, key); }
}

/* "NAME": {"description": ..., and the schema is left open. */
static void begin_property(struct lorac_buf *buf, const struct lorac_key *key, const char *name)
{
    lorac_buf_json(buf, name, strlen(name));
    lorac_buf_str(buf, ": {\"description\": ");
    lorac_buf_json(buf, key->help, strlen(key->help));
    lorac_buf_str(buf, ", ");
}

static void add_property(struct lorac_buf *buf, const struct lorac_key *key)
{
    begin_property(buf, key, lorac_key_last(key->path));
    add_type(buf, key);
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
        lorac_buf_json(buf, name, strcspn(name, ".")); // a section with a required key is required
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
    char section[64];
    (void)snprintf(section, sizeof section, "%.*s", (int)(start + n), path);
    lorac_buf_json(buf, path + start, n);
    lorac_buf_str(buf, ": {\"additionalProperties\": false, ");
    bool required = add_required(buf, path, start + n + 1);
    lorac_buf_printf(buf, "\"type\": [\"object\"%s%s], \"properties\": {\n",
                     lorac_key_short(section) ? ", \"string\"" : "", required ? "" : ", \"null\"");
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

/* ---- of a sweep ---- */

/* Keys of a recipe by their whole names, with one value each or with several to try. */
static void add_values(struct lorac_buf *buf, bool several)
{
    const char *between = "";
    lorac_buf_str(buf, ", \"additionalProperties\": false, \"properties\": {\n");
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (!key->type->read) { continue; }
        lorac_buf_str(buf, between);
        between = ",\n";
        begin_property(buf, key, key->path);
        if (several) {
            lorac_buf_str(buf, "\"anyOf\": [{\"type\": \"object\", \"required\": [\"from\", "
                               "\"to\"]}, {\"type\": \"array\", \"minItems\": 1, \"items\": {");
        }
        add_type(buf, key);
        lorac_buf_str(buf, several ? "}}]}" : "}");
    }
    lorac_buf_str(buf, "}");
}

void lorac_sweep_schema_json(struct lorac_buf *buf)
{
    lorac_buf_str(buf, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                       "\"title\": \"lorac sweep, version 1\", \"type\": \"object\",\n"
                       "\"additionalProperties\": false, \"required\": [\"sweep\", \"recipe\"], "
                       "\"properties\": {\n");
    for (size_t i = 0; i < LORAC_SWEEP_KEYS; i++) {
        const struct lorac_key *key = &lorac_sweep_keys[i];
        bool rows = strcmp(key->path, "zip") == 0 || strcmp(key->path, "skip") == 0;
        begin_property(buf, key, key->path);
        add_type(buf, key);
        if (strcmp(key->path, "vary") == 0) { add_values(buf, true); }
        if (rows) {
            lorac_buf_str(buf, ", \"items\": {\"type\": \"object\", \"minProperties\": 1");
            add_values(buf, false);
            lorac_buf_str(buf, "}");
        }
        lorac_buf_str(buf, i + 1 < LORAC_SWEEP_KEYS ? "},\n" : "}\n");
    }
    lorac_buf_str(buf, "}}\n");
}
