/*
 * recipe.c - reading a recipe: layers to one tree, the tree to the nodes of the table's keys, the
 * nodes to the struct. See recipe.h.
 *
 *   extends ---+
 *   recipe  ---+-- merge --> tree -- walk --> nodes[key] -- types --> struct lorac_recipe
 *   --set   ---+                  defaults ------^
 */
#include "recipes/language/recipe.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/suggest.h"
#include "recipes/language/types.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PATH_TEXT = 256 };

/* What is being read, and where it came from. */
struct input {
    struct lorac_source main, extended, defaults;
    bool may_extend;
    const struct lorac_recipe_set *sets;
    size_t n_sets;
    const struct lorac_variation *varied;
    size_t n_varied;
};

/* `folder` as an absolute path in the arena. */
static enum lorac_status absolute(const char **out, struct lorac_reading *rd, const char *folder)
{
    char *path = NULL;
    enum lorac_status st = lorac_path_absolute(&path, folder, rd->err);
    if (st) { return st; }
    if (!lorac_utf8_valid(path, strlen(path))) {
        st = lorac_fail(rd->err, LORAC_EUSER, "%s: the folder's name is not UTF-8", path);
    } else {
        *out = lorac_arena_string(rd->arena, path, strlen(path));
        if (!*out) { st = lorac_reading_no_memory(rd); }
    }
    lorac_mem_free(path);
    return st;
}

/* ---- layers ---- */

/* Put `over` over `base`: maps merge, everything else replaces. Depth is at most the reader's. */
static void merge(struct lorac_node *base, struct lorac_node *over) // NOLINT(misc-no-recursion)
{
    for (struct lorac_node *c = over->first; c;) {
        struct lorac_node *next = c->next;
        struct lorac_node **slot = &base->first;
        while (*slot && strcmp((*slot)->key, c->key) != 0) {
            slot = &(*slot)->next;
        }
        if (*slot && (*slot)->kind == LORAC_NODE_MAP && c->kind == LORAC_NODE_MAP) {
            merge(*slot, c);
        } else {
            c->next = *slot ? (*slot)->next : NULL;
            *slot = c;
        }
        c = next;
    }
}

/* Where a section that has a short form is a single value: a map of that one key. */
static enum lorac_status spread(struct lorac_node *root, struct lorac_reading *rd)
{
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        char path[MAX_PATH_TEXT];
        if (!(key->flags & LORAC_KEY_SHORT)) { continue; }
        (void)snprintf(path, sizeof path, "%s", key->path);
        struct lorac_node *at = root;
        for (char *name = path; at; name += strlen(name) + 1) {
            char *dot = strchr(name, '.');
            if (!dot) { break; } // `at` is the section
            *dot = '\0';
            at = at->kind == LORAC_NODE_MAP ? lorac_node_find(at, name) : NULL;
        }
        if (!at || at->kind != LORAC_NODE_SCALAR || lorac_node_is_null(at)) { continue; }
        struct lorac_node *value = lorac_arena_take(rd->arena, 1, sizeof *value);
        if (!value) { return lorac_reading_no_memory(rd); }
        *value = *at;
        value->key = lorac_key_last(key->path);
        value->next = NULL;
        at->kind = LORAC_NODE_MAP;
        at->first = value;
    }
    return LORAC_OK;
}

/* A document must be a map; an empty one is an empty map. */
static enum lorac_status parse_map(struct lorac_node **root, struct lorac_reading *rd,
                                   const char *text, size_t n, const struct lorac_source *source)
{
    enum lorac_status st =
        lorac_yaml_parse(root, &rd->broken, text, n, source, rd->arena, rd->errors, rd->err);
    if (!st && (*root)->kind == LORAC_NODE_MAP) { return spread(*root, rd); }
    if (st) { return st; }
    struct lorac_node *node = *root;
    if (!lorac_node_is_null(node) && node->kind != LORAC_NODE_BAD) {
        char words[128];
        st = lorac_complain(rd->errors, source, node->line, node->column, rd->err,
                            "a recipe is a map of keys, found %s",
                            lorac_node_words(words, sizeof words, node));
    }
    *node = (struct lorac_node){.kind = LORAC_NODE_MAP, .line = 1, .column = 1, .source = source};
    return st;
}

/* Read the file that `node` (the value of extends) names and put `tree` over it. */
static enum lorac_status extend(struct lorac_node **tree, struct lorac_reading *rd,
                                struct input *in, const struct lorac_node *node)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_err why = {0};
    struct lorac_node *base = NULL;
    const struct lorac_node *again = NULL;
    char *path = NULL;
    char *text = NULL;
    char *folder = NULL;
    size_t n = 0;
    const struct lorac_key *key = lorac_key_find("extends");
    bool fits = node->kind == LORAC_NODE_SCALAR && node->text[0] && !strstr(node->text, "${");
    if (!fits) { return lorac_reading_complain(rd, node, key, "must be a path without ${}"); }
    if (!in->may_extend) {
        return lorac_reading_complain(rd, node, key, "this recipe comes from memory, not a file");
    }
    path = lorac_path_join(node->source->folder, node->text);
    folder = path ? lorac_path_dir(path) : NULL;
    in->extended.name = lorac_arena_string(rd->arena, node->text, strlen(node->text));
    in->extended.folder = folder ? lorac_arena_string(rd->arena, folder, strlen(folder)) : NULL;
    if (!in->extended.name || !in->extended.folder) {
        st = lorac_reading_no_memory(rd);
        goto done;
    }
    st = lorac_file_read(&text, &n, path, LORAC_RECIPE_MAX_BYTES, &why);
    if (st == LORAC_ENOMEM) { st = lorac_fail(rd->err, st, "%s", why.text); }
    if (st == LORAC_EIO || st == LORAC_EFORMAT) {
        st = lorac_reading_complain(rd, node, key, "%s", why.text);
        goto done;
    }
    if (!st) { st = parse_map(&base, rd, text, n, &in->extended); }
    if (st) { goto done; }
    again = lorac_node_find(base, "extends");
    if (again) {
        st = lorac_reading_complain(rd, again, key, "one level only, this file is extended itself");
    }
    merge(base, *tree);
    *tree = base;
done:
    lorac_mem_free(folder);
    lorac_mem_free(text);
    lorac_mem_free(path);
    return st;
}

/* ---- --set and --unset ---- */

/* The slot of `key` in a map: where it stands, or the end. */
static struct lorac_node **slot_of(struct lorac_node *map, const char *key)
{
    struct lorac_node **slot = &map->first;
    while (*slot && strcmp((*slot)->key, key) != 0) {
        slot = &(*slot)->next;
    }
    return slot;
}

/* Put `value` at `path`, making the sections on the way. A map for a section is merged into it, so
 * that `adapter={rank: 4}` leaves adapter.alpha alone; other values replace. */
static enum lorac_status put(struct lorac_node *tree, struct lorac_reading *rd, char *path,
                             struct lorac_node *value)
{
    bool section = value->kind == LORAC_NODE_MAP && lorac_key_is_section(path);
    struct lorac_node *map = tree;
    for (char *name = path;;) {
        char *dot = strchr(name, '.');
        if (dot) { *dot = '\0'; }
        struct lorac_node **slot = slot_of(map, name);
        struct lorac_node *next = *slot ? (*slot)->next : NULL;
        if (!dot && section && *slot && (*slot)->kind == LORAC_NODE_MAP) {
            merge(*slot, value);
            return LORAC_OK;
        }
        if (!dot) {
            value->key = name;
            value->key_line = value->key_column = 1;
            value->next = next;
            *slot = value;
            return LORAC_OK;
        }
        if (!*slot || (*slot)->kind != LORAC_NODE_MAP) {
            struct lorac_node *node = lorac_arena_take(rd->arena, 1, sizeof *node);
            if (!node) { return lorac_reading_no_memory(rd); }
            *node = (struct lorac_node){.kind = LORAC_NODE_MAP,
                                        .key = name,
                                        .line = 1,
                                        .column = 1,
                                        .key_line = 1,
                                        .key_column = 1,
                                        .source = value->source,
                                        .next = next};
            *slot = node;
        }
        map = *slot;
        name = dot + 1;
    }
}

/* Remove `path`; what is not there stays not there. */
static void cut(struct lorac_node *tree, char *path)
{
    struct lorac_node *map = tree;
    for (char *name = path; map && map->kind == LORAC_NODE_MAP;) {
        char *dot = strchr(name, '.');
        if (dot) { *dot = '\0'; }
        struct lorac_node **slot = slot_of(map, name);
        if (!dot) {
            if (*slot) { *slot = (*slot)->next; }
            return;
        }
        map = *slot;
        name = dot + 1;
    }
}

/* A path of names between dots: what --set and --unset need before the table is asked. */
static bool is_key_path(const char *path)
{
    size_t dots = 0;
    for (const char *s = path; *s; s++) {
        dots += *s == '.';
        if (*s == '.' && (s == path || !s[1] || s[1] == '.')) { return false; }
    }
    return *path && dots < LORAC_YAML_MAX_DEPTH - 1;
}

static enum lorac_status unset(struct lorac_node *tree, struct lorac_reading *rd, char *path,
                               const struct lorac_source *source)
{
    // An entry of a map (data.columns.text) may be removed too, so any prefix may be the key.
    bool known = lorac_key_find(path) || lorac_key_is_section(path);
    for (size_t i = 0; i < lorac_n_keys && !known; i++) {
        size_t n = strlen(lorac_keys[i].path);
        known = lorac_keys[i].type == &lorac_type_map &&
                strncmp(path, lorac_keys[i].path, n) == 0 && path[n] == '.';
    }
    char hint[160];
    if (!known) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err, "%.80s: unknown key%s", path,
                              lorac_key_hint(hint, sizeof hint, path));
    }
    cut(tree, path);
    return LORAC_OK;
}

/* A value that is one character for a key of one, as it stands: to YAML, which ',' and ';' mean
 * something to, or nothing, it would have to be quoted, and for the shell once more. */
static bool is_bare_char(const char *path, const char *value)
{
    const struct lorac_key *key = lorac_key_find(path);
    bool one = (value[0] && !value[1]) || strcmp(value, "\\t") == 0;
    return key && key->type == &lorac_type_char && one;
}

static enum lorac_status apply_set(struct lorac_node *tree, struct lorac_reading *rd,
                                   const struct lorac_recipe_set *set, size_t layer)
{
    struct lorac_source *source = lorac_arena_take(rd->arena, 1, sizeof *source);
    size_t size = strlen(set->text) + sizeof "--unset ";
    char *name = lorac_arena_take(rd->arena, size, 1);
    const char *equals = set->unset ? NULL : strchr(set->text, '=');
    size_t n = equals ? (size_t)(equals - set->text) : strlen(set->text);
    char *path = lorac_arena_string(rd->arena, set->text, n);
    const struct lorac_key *in_short = path && !set->unset ? lorac_key_short(path) : NULL;
    if (!source || !name || !path) { return lorac_reading_no_memory(rd); }
    (void)snprintf(name, size, "%s %s", set->unset ? "--unset" : "--set", set->text);
    *source = (struct lorac_source){.name = name, .layer = layer, .is_option = true};
    enum lorac_status st = absolute(&source->folder, rd, ".");
    if (st) { return st; }
    if (!lorac_utf8_valid(set->text, strlen(set->text))) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err, "not UTF-8");
    }
    if (!is_key_path(path) || (!set->unset && !equals)) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err, "expected %s",
                              set->unset ? "KEY, as in adapter.rank"
                                         : "KEY=VALUE, as in adapter.rank=4");
    }
    if (strcmp(path, "extends") == 0) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err,
                              "extends: only a recipe can extend another, not an option");
    }
    if (set->unset) { return unset(tree, rd, path, source); }
    struct lorac_node *value = NULL;
    if (is_bare_char(path, equals + 1)) {
        value = lorac_arena_take(rd->arena, 1, sizeof *value);
        char *text = lorac_arena_string(rd->arena, equals + 1, strlen(equals + 1));
        if (!value || !text) { return lorac_reading_no_memory(rd); }
        *value = (struct lorac_node){.kind = LORAC_NODE_SCALAR, .text = text, .source = source};
        return put(tree, rd, path, value);
    }
    bool broken = false; // a broken option leaves the tree whole
    st = lorac_yaml_parse(&value, &broken, equals + 1, strlen(equals + 1), source, rd->arena,
                          rd->errors, rd->err);
    if (st || broken) { return st; }
    if (value->kind == LORAC_NODE_MAP && !value->first &&
        equals[1 + strspn(equals + 1, " ")] != '{') {
        value->kind = LORAC_NODE_SCALAR; // nothing behind the '=': no value
        value->plain = true;
        value->text = "";
    }
    if (in_short && value->kind == LORAC_NODE_SCALAR && !lorac_node_is_null(value)) {
        path = lorac_arena_string(rd->arena, in_short->path, strlen(in_short->path));
        if (!path) { return lorac_reading_no_memory(rd); }
    }
    return put(tree, rd, path, value);
}

/* ---- values of a sweep ---- */

/* A tree of its own: later layers change what they find. Depth is at most the reader's. */
static struct lorac_node *copy_of(struct lorac_reading *rd, // NOLINT(misc-no-recursion)
                                  const struct lorac_node *node)
{
    struct lorac_node *copy = lorac_arena_take(rd->arena, 1, sizeof *copy);
    if (!copy) { return NULL; }
    *copy = *node;
    copy->first = copy->next = NULL;
    struct lorac_node **tail = &copy->first;
    for (const struct lorac_node *c = node->first; c; c = c->next) {
        *tail = copy_of(rd, c);
        if (!*tail) { return NULL; }
        tail = &(*tail)->next;
    }
    return copy;
}

static enum lorac_status apply_variation(struct lorac_node *tree, struct lorac_reading *rd,
                                         const struct lorac_variation *v)
{
    struct lorac_node *value = copy_of(rd, v->node);
    char *path = lorac_arena_string(rd->arena, v->key->path, strlen(v->key->path));
    if (!value || !path) { return lorac_reading_no_memory(rd); }
    return put(tree, rd, path, value);
}

/* ---- from the tree to the keys ---- */

static enum lorac_status unknown_key(struct lorac_reading *rd, const struct lorac_node *node,
                                     const char *path)
{
    char hint[160];
    char shown[160];
    lorac_visible(shown, sizeof shown, path, strlen(path));
    const char *dot = strchr(node->key, '.');
    if (dot && lorac_key_find(node->key)) {
        return lorac_complain(rd->errors, node->source, node->key_line, node->key_column, rd->err,
                              "%s: a dot in a key; write '%.*s:' and below it '%s:'", path,
                              (int)(dot - node->key), node->key, dot + 1);
    }
    if (lorac_key_is_planned(path)) {
        return lorac_complain(rd->errors, node->source, node->key_line, node->key_column, rd->err,
                              "%s: not supported by this version", path);
    }
    return lorac_complain(rd->errors, node->source, node->key_line, node->key_column, rd->err,
                          "%s: unknown key%s", shown, lorac_key_hint(hint, sizeof hint, path));
}

/* Note the node of each key below `map`; recursion ends at the sections of the table. */
static enum lorac_status walk(struct lorac_reading *rd, // NOLINT(misc-no-recursion)
                              const struct lorac_node *map, const char *prefix)
{
    enum lorac_status st = LORAC_OK;
    for (const struct lorac_node *c = map->first; c && !st; c = c->next) {
        char path[MAX_PATH_TEXT];
        (void)snprintf(path, sizeof path, "%s%s%.100s", prefix, prefix[0] ? "." : "", c->key);
        const struct lorac_key *key = strchr(c->key, '.') ? NULL : lorac_key_find(path);
        char words[128];
        if (key) {
            rd->nodes[key - lorac_keys] = c;
        } else if (strchr(c->key, '.') || !lorac_key_is_section(path)) {
            st = unknown_key(rd, c, path);
        } else if (c->kind == LORAC_NODE_MAP) {
            st = walk(rd, c, path);
        } else if (c->kind != LORAC_NODE_BAD && !lorac_node_is_null(c)) {
            st = lorac_complain(rd->errors, c->source, c->line, c->column, rd->err,
                                "%s: must be a map of keys, found %s", path,
                                lorac_node_words(words, sizeof words, c));
        }
    }
    return st;
}

/* The node of the run's name where none is given: the recipe's file name without its ending. */
static enum lorac_status default_name(struct lorac_reading *rd, const struct input *in)
{
    size_t i = (size_t)(lorac_key_find("name") - lorac_keys);
    if (rd->nodes[i] && !lorac_node_is_null(rd->nodes[i])) { return LORAC_OK; }
    const char *slash = strrchr(in->main.name, '/');
    const char *base = slash ? slash + 1 : in->main.name;
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    if (!lorac_utf8_valid(base, n)) {
        return lorac_complain(rd->errors, &in->defaults, 0, 0, rd->err,
                              "name: the file's name is not UTF-8, give the recipe a name");
    }
    struct lorac_node *node = lorac_arena_take(rd->arena, 1, sizeof *node);
    // `${` in a file's name is no reference.
    struct lorac_buf text = {0};
    for (size_t k = 0; k < n; k++) {
        if (base[k] == '$' && base[k + 1] == '{') { lorac_buf_str(&text, "$"); }
        lorac_buf_add(&text, &base[k], 1);
    }
    char *copy = text.no_memory ? NULL : lorac_arena_string(rd->arena, text.at, text.n);
    lorac_buf_free(&text);
    if (!node || !copy) { return lorac_reading_no_memory(rd); }
    *node = (struct lorac_node){.kind = LORAC_NODE_SCALAR, .text = copy, .source = &in->defaults};
    rd->nodes[i] = node;
    return LORAC_OK;
}

/* Give each key without a value its default; train.steps takes the place of train.epochs. */
static enum lorac_status add_defaults(struct lorac_reading *rd, const struct input *in)
{
    static const char *const instead[][2] = {{"train.epochs", "train.steps"},
                                             {"train.batch_tokens", "train.batch_size"}};
    enum lorac_status st = default_name(rd, in);
    const struct lorac_node *kind = rd->nodes[lorac_key_find("template.kind") - lorac_keys];
    bool chat = kind && strcmp(lorac_node_text(kind), "chat") == 0;
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (rd->nodes[i] || !key->otherwise) { continue; }
        bool replaced = false;
        for (size_t k = 0; k < sizeof instead / sizeof *instead; k++) {
            const struct lorac_node *other = rd->nodes[lorac_key_find(instead[k][1]) - lorac_keys];
            replaced = replaced || (strcmp(key->path, instead[k][0]) == 0 && other &&
                                    !lorac_node_is_null(other));
        }
        if (replaced) { continue; }
        struct lorac_node *node = NULL;
        bool answers = chat && strcmp(key->path, "template.train_on") == 0;
        const char *otherwise = answers ? "assistant" : key->otherwise;
        st = lorac_yaml_parse(&node, &rd->broken, otherwise, strlen(otherwise), &in->defaults,
                              rd->arena, rd->errors, rd->err);
        rd->nodes[i] = node;
    }
    return st;
}

/* ---- the whole ---- */

static enum lorac_status read_layers(struct lorac_node **out, struct lorac_reading *rd,
                                     struct input *in, const char *text, size_t n)
{
    struct lorac_node *tree = NULL;
    *out = NULL;
    if (n > LORAC_RECIPE_MAX_BYTES) {
        rd->broken = true;
        return lorac_complain(rd->errors, &in->main, 0, 0, rd->err,
                              "holds %zu bytes, at most %d are read", n, LORAC_RECIPE_MAX_BYTES);
    }
    enum lorac_status st = parse_map(&tree, rd, text, n, &in->main);
    const struct lorac_node *extends = st ? NULL : lorac_node_find(tree, "extends");
    bool has = extends && extends->kind != LORAC_NODE_BAD && !lorac_node_is_null(extends);
    if (has) { st = extend(&tree, rd, in, extends); }
    for (size_t i = 0; i < in->n_sets && !st; i++) {
        st = apply_set(tree, rd, &in->sets[i], i + 2);
    }
    for (size_t i = 0; i < in->n_varied && !st; i++) {
        st = apply_variation(tree, rd, &in->varied[i]);
    }
    *out = st ? NULL : tree;
    return st;
}

static enum lorac_status read_all(struct lorac_reading *rd, struct input *in, const char *text,
                                  size_t n)
{
    struct lorac_node *tree = NULL;
    enum lorac_status st = read_layers(&tree, rd, in, text, n);
    // After broken YAML half of the keys would be called missing.
    if (st || rd->broken) { return st; }
    st = walk(rd, tree, "");
    if (!st) { st = add_defaults(rd, in); }
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        st = lorac_value_read(rd, i);
    }
    return st ? st : lorac_reading_check(rd);
}

static enum lorac_status prepare(struct lorac_reading *rd, struct input *in, const char *folder)
{
    rd->arena = lorac_arena_new();
    rd->recipe = lorac_mem_new(1, sizeof *rd->recipe);
    if (rd->recipe) { rd->recipe->arena = lorac_arena_new(); }
    if (!rd->arena || !rd->recipe || !rd->recipe->arena) { return lorac_reading_no_memory(rd); }
    in->may_extend = folder != NULL;
    enum lorac_status st = absolute(&in->main.folder, rd, folder ? folder : ".");
    in->extended = in->main;
    in->extended.layer = 0;
    in->defaults = in->main;
    in->defaults.is_option = true;
    rd->defaults = &in->defaults;
    return st;
}

/* Read what `in` says into a recipe. */
static enum lorac_status read_recipe(struct lorac_recipe **out, const char *text, size_t n,
                                     struct input *in, const char *folder,
                                     struct lorac_recipe_errors *errors, struct lorac_err *err)
{
    struct lorac_recipe_errors own = {0};
    struct lorac_reading rd = {
        .errors = errors ? errors : &own, .err = err, .has_options = in->n_sets > 0};
    enum lorac_status st = prepare(&rd, in, folder);
    if (!st) { st = read_all(&rd, in, text, n); }
    lorac_recipe_errors_sort(rd.errors);
    if (!st && rd.errors->n) { st = lorac_fail(err, LORAC_EUSER, "%s", rd.errors->at[0].text); }
    *out = st ? NULL : rd.recipe;
    if (st) { lorac_recipe_free(rd.recipe); }
    lorac_arena_free(rd.arena);
    lorac_recipe_errors_free(&own);
    return st;
}

enum lorac_status lorac_recipe_parse(struct lorac_recipe **out, const char *text, size_t n,
                                     const char *name, const char *folder,
                                     const struct lorac_recipe_set *sets, size_t n_sets,
                                     struct lorac_recipe_errors *errors, struct lorac_err *err)
{
    struct input in = {.main = {.name = name, .layer = 1}, .sets = sets, .n_sets = n_sets};
    return read_recipe(out, text, n, &in, folder, errors, err);
}

enum lorac_status lorac_recipe_vary(struct lorac_recipe **out, const char *path,
                                    const struct lorac_recipe_set *sets, size_t n_sets,
                                    const struct lorac_variation *varied, size_t n_varied,
                                    struct lorac_recipe_errors *errors, struct lorac_err *err)
{
    struct input in = {.main = {.name = path, .layer = 1},
                       .sets = sets,
                       .n_sets = n_sets,
                       .varied = varied,
                       .n_varied = n_varied};
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    char *folder = lorac_path_dir(path);
    enum lorac_status st = folder ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
    if (!st) { st = lorac_file_read(&text, &n, path, LORAC_RECIPE_MAX_BYTES, err); }
    if (!st) { st = read_recipe(out, text, n, &in, folder, errors, err); }
    lorac_mem_free(text);
    lorac_mem_free(folder);
    return st;
}

enum lorac_status lorac_recipe_open(struct lorac_recipe **out, const char *path,
                                    const struct lorac_recipe_set *sets, size_t n_sets,
                                    struct lorac_recipe_errors *errors, struct lorac_err *err)
{
    return lorac_recipe_vary(out, path, sets, n_sets, NULL, 0, errors, err);
}

bool lorac_recipe_is_default(const struct lorac_recipe *recipe, const char *key)
{
    static const char least[] = "{recipe: 1, model: {path: x}, data: {train: x}, "
                                "template: {prompt: x, completion: x}}";
    struct lorac_recipe *r = NULL;
    struct lorac_buf diff = {0};
    if (lorac_recipe_parse(&r, least, sizeof least - 1, "x", NULL, NULL, 0, NULL, NULL)) {
        return true;
    }
    lorac_key_diff(&diff, r, recipe, lorac_key_find(key));
    bool same = diff.n == 0;
    lorac_buf_free(&diff);
    lorac_recipe_free(r);
    return same;
}

void lorac_recipe_free(struct lorac_recipe *recipe)
{
    if (recipe) { lorac_arena_free(recipe->arena); }
    lorac_mem_free(recipe);
}
