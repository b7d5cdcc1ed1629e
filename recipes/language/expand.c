/* expand.c - ${env:NAME}, ${section.key} and $${ in text; see reading.h. */
#include "base/checkpoint/hub.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/suggest.h"
#include "recipes/language/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum { MAX_TEXT = 1 << 16, MAX_EXPANSIONS = 10000, MAX_NAME = 127 };

enum lorac_status lorac_reading_no_memory(struct lorac_reading *rd)
{
    return lorac_fail(rd->err, LORAC_ENOMEM, "recipe: no memory");
}

enum lorac_status lorac_reading_complain(struct lorac_reading *rd, const struct lorac_node *at,
                                         const struct lorac_key *key, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)lorac_vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return lorac_complain(rd->errors, at->source, at->line, at->column, rd->err, "%s: %s",
                          key->path, text);
}

bool lorac_utf8_valid(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        if (k <= 0) { return false; }
        i += (size_t)k;
    }
    return true;
}

struct expansion {
    struct lorac_reading *rd;
    struct lorac_buf *out;
    const struct lorac_node *node; // whose place errors name
    const struct lorac_key *key;   // whose name errors carry
    bool is_path;
    bool bad; // an error was reported
};

static enum lorac_status expand(struct expansion *x, const char *text); // mutual recursion

/* `${env:NAME}` stands for nothing: what it should be follows from what stands around it. */
static enum lorac_status complain_env(struct expansion *x, const char *name, const char *state,
                                      const char *rest)
{
    const struct lorac_key *key = x->key;
    char what[300] = "set it";
    bool first = x->is_path && x->out->n == 0;
    if (first && !*rest) {
        (void)snprintf(what, sizeof what, "set it to this path (%s)", key->help);
    } else if (first && *rest == '/' && rest[1] && !strchr(rest, '$')) {
        (void)snprintf(what, sizeof what, "set it to the folder that '%s' lies in", rest + 1);
    }
    x->bad = true;
    return lorac_reading_complain(x->rd, x->node, key,
                                  "the environment variable '%s' is %s; %s, or give --set %s=VALUE",
                                  name, state, what, key->path);
}

/* `rest` is the text behind the reference. */
static enum lorac_status add_env(struct expansion *x, const char *name, const char *rest)
{
    const char *value = getenv(name); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    if (!value) { return complain_env(x, name, "not set", rest); }
    if (!*value && x->is_path && x->out->n == 0) { // "/rest" is not what was meant
        return complain_env(x, name, "empty", rest);
    }
    if (!lorac_utf8_valid(value, strlen(value))) {
        x->bad = true;
        return lorac_reading_complain(x->rd, x->node, x->key,
                                      "the environment variable '%s' is not UTF-8", name);
    }
    lorac_buf_str(x->out, value);
    return LORAC_OK;
}

/* Append the absolute form of `text`, relative to the folder of the file that wrote it. */
static enum lorac_status add_path(struct lorac_reading *rd, struct lorac_buf *out, const char *text,
                                  const struct lorac_node *node)
{
    while (text[0] == '.' && text[1] == '/') {
        text += 2 + strspn(text + 2, "/");
    }
    bool here = !text[0] || strcmp(text, ".") == 0;
    char *path = lorac_path_join(node->source->folder, here ? "" : text);
    if (!path) { return lorac_reading_no_memory(rd); }
    size_t n = strlen(path);
    if (here && n > 1 && path[n - 1] == '/') { n--; }
    lorac_buf_add(out, path, n);
    lorac_mem_free(path);
    return LORAC_OK;
}

/* The value of another key. Recursion ends: each key on the way is busy. */
static enum lorac_status add_key(struct expansion *x, const char *name) // NOLINT(misc-no-recursion)
{
    const struct lorac_key *key = lorac_key_find(name);
    struct lorac_reading *rd = x->rd;
    char words[160];
    if (!key || key->type == &lorac_type_extends) {
        x->bad = true;
        return lorac_reading_complain(rd, x->node, x->key,
                                      "'${%s}' names no key%s; a literal ${ is written $${", name,
                                      lorac_key_hint(words, sizeof words, name));
    }
    size_t i = (size_t)(key - lorac_keys);
    const struct lorac_node *node = rd->nodes[i];
    if (rd->busy[i]) {
        x->bad = true;
        return lorac_reading_complain(rd, x->node, x->key, "'${%s}' leads back to itself", name);
    }
    if (!node || lorac_node_is_null(node)) {
        x->bad = true;
        return lorac_reading_complain(rd, x->node, x->key, "'${%s}' has no value", name);
    }
    if (node->kind != LORAC_NODE_SCALAR) {
        x->bad = true;
        return lorac_reading_complain(rd, x->node, x->key, "'${%s}' is %s, not one value", name,
                                      lorac_node_words(words, sizeof words, node));
    }
    struct lorac_buf value = {0};
    struct expansion inner = {.rd = rd, .out = &value, .node = x->node, .key = x->key};
    rd->busy[i] = true;
    enum lorac_status st = expand(&inner, node->text);
    rd->busy[i] = false;
    x->bad = x->bad || inner.bad;
    const char *text = value.at ? value.at : "";
    bool is_path = key->type == &lorac_type_path || key->type == &lorac_type_paths;
    if (!st && is_path) { st = add_path(rd, x->out, text, node); }
    if (!st && !is_path) { lorac_buf_str(x->out, text); }
    if (!st && value.no_memory) { st = lorac_reading_no_memory(rd); }
    lorac_buf_free(&value);
    return st;
}

static bool is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return n > 0 && s[n] == '\0' && !(s[0] >= '0' && s[0] <= '9');
}

/* One reference: `at` stands behind its "${", `n` bytes before its "}". */
static enum lorac_status add_reference(struct expansion *x, // NOLINT(misc-no-recursion)
                                       const char *at, size_t n)
{
    char name[MAX_NAME + 1];
    if (n == 0 || n > MAX_NAME) {
        x->bad = true;
        return lorac_reading_complain(x->rd, x->node, x->key,
                                      "between ${ and } a name of 1 to %d characters is expected",
                                      MAX_NAME);
    }
    memcpy(name, at, n);
    name[n] = '\0';
    if (++x->rd->n_expansions > MAX_EXPANSIONS) {
        x->bad = true;
        if (x->rd->n_expansions > MAX_EXPANSIONS + 1) { return LORAC_OK; } // said already
        return lorac_reading_complain(x->rd, x->node, x->key, "more than %d references in a recipe",
                                      MAX_EXPANSIONS);
    }
    if (strncmp(name, "env:", 4) != 0) { return add_key(x, name); }
    if (!is_name(name + 4)) {
        x->bad = true;
        return lorac_reading_complain(x->rd, x->node, x->key,
                                      "'%s' is no name of an environment variable", name + 4);
    }
    return add_env(x, name + 4, at + n + 1);
}

static enum lorac_status expand(struct expansion *x, const char *text) // NOLINT(misc-no-recursion)
{
    enum lorac_status st = LORAC_OK;
    while (*text && !st && !x->bad) {
        size_t n = strcspn(text, "$");
        if (n) {
            lorac_buf_add(x->out, text, n);
            text += n;
        } else if (strncmp(text, "$${", 3) == 0) {
            lorac_buf_str(x->out, "${");
            text += 3;
        } else if (text[1] != '{') {
            lorac_buf_str(x->out, "$");
            text++;
        } else {
            const char *end = strchr(text, '}');
            n = end ? (size_t)(end - text) - 2 : 0;
            st = add_reference(x, text + 2, n);
            text += n + 3 <= strlen(text) ? n + 3 : strlen(text);
        }
        if (x->out->n > MAX_TEXT && !x->bad) {
            x->bad = true;
            st = lorac_reading_complain(x->rd, x->node, x->key, "text over %d bytes", MAX_TEXT);
        }
    }
    return st;
}

/* A path of the Hub's: in place of it, the snapshot that it means. What is no folder stays; opening
 * it tells. */
static enum lorac_status find_in_cache(struct lorac_buf *path, struct lorac_reading *rd,
                                       const struct lorac_key *key, const char *text)
{
    struct lorac_err why = {0};
    char *found = NULL;
    struct lorac_recipe *r = rd->recipe;
    enum lorac_status st = lorac_hub_find(&found, path->at, text, &why);
    if (st == LORAC_ENOMEM) { return lorac_reading_no_memory(rd); }
    if (st || strcmp(found, path->at) != 0) {
        char *given = lorac_arena_string(r->arena, text, strlen(text));
        *(strcmp(key->path, "model.path") == 0 ? &r->model.given : &r->adapter.given) = given;
        if (!given) { st = LORAC_ENOMEM; }
    }
    if (!st) {
        lorac_buf_clear(path);
        lorac_buf_str(path, found);
    }
    lorac_mem_free(found);
    return st == LORAC_ENOMEM ? lorac_reading_no_memory(rd) : LORAC_OK;
}

static enum lorac_status expand_scalar(char **out, struct lorac_reading *rd,
                                       const struct lorac_node *node, const struct lorac_key *key,
                                       bool is_path)
{
    struct lorac_buf text = {0};
    struct lorac_buf path = {0};
    struct expansion x = {.rd = rd, .out = &text, .node = node, .key = key, .is_path = is_path};
    const struct lorac_buf *b = is_path ? &path : &text;
    *out = NULL;
    enum lorac_status st = expand(&x, node->text);
    if (st || x.bad) { goto done; }
    lorac_buf_str(&text, "");
    if (text.no_memory) { st = lorac_reading_no_memory(rd); }
    if (st) { goto done; }
    if (is_path && (!text.at[0] || strncmp(text.at, "~/", 2) == 0 || strcmp(text.at, "~") == 0)) {
        st = lorac_reading_complain(rd, node, key,
                                    text.at[0] ? "~ is not expanded, write ${env:HOME}"
                                               : "a path must not be empty");
        goto done;
    }
    if (is_path) { st = add_path(rd, &path, text.at, node); }
    if (!st && is_path && !path.no_memory && (key->flags & LORAC_KEY_HUB)) {
        st = find_in_cache(&path, rd, key, text.at);
    }
    if (st) { goto done; }
    if (!b->no_memory) { *out = lorac_arena_string(rd->recipe->arena, b->at, b->n); }
    if (!*out) { st = lorac_reading_no_memory(rd); }
done:
    lorac_buf_free(&path);
    lorac_buf_free(&text);
    return st;
}

enum lorac_status lorac_expand_text(char **out, struct lorac_reading *rd,
                                    const struct lorac_node *node, const struct lorac_key *key)
{
    return expand_scalar(out, rd, node, key, false);
}

enum lorac_status lorac_expand_path(char **out, struct lorac_reading *rd,
                                    const struct lorac_node *node, const struct lorac_key *key)
{
    return expand_scalar(out, rd, node, key, true);
}
