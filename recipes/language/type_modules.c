/* type_modules.c - which modules: targets, name ends, layers, overrides. See types.h. */
#include "lora/pattern.h"
#include "recipes/language/types.h"

#include <string.h>

/* A pattern as the adapter's placing will compile it (lora/pattern.h). */
static enum lorac_status read_regex(char **out, const struct lorac_value *v,
                                    const struct lorac_node *node, enum lorac_pattern_kind kind)
{
    struct lorac_pattern *pattern = NULL;
    struct lorac_err why = {0};
    enum lorac_status st = lorac_read_text_at(out, v, node);
    if (st || !*out) { return st; }
    st = lorac_pattern_new(&pattern, *out, kind, &why);
    lorac_pattern_free(pattern);
    if (st == LORAC_ENOMEM) { return lorac_reading_no_memory(v->rd); }
    return st ? lorac_reading_complain(v->rd, node, v->key, "%s", why.text) : LORAC_OK;
}

static enum lorac_status read_targets(const struct lorac_value *v)
{
    struct lorac_recipe_targets *t = v->field;
    if (v->node->kind == LORAC_NODE_LIST) {
        t->kind = LORAC_RECIPE_TARGETS_LIST;
        if (!v->node->first) {
            return lorac_value_wrong(v, v->node, "a list of at least one suffix");
        }
        return lorac_read_list_at(&t->names, v, v->node);
    }
    if (!lorac_node_is_scalar(v->node) || !v->node->text[0]) {
        return lorac_value_wrong(v, v->node, "all-linear, a list of name suffixes, or a regex");
    }
    if (strcmp(v->node->text, "all-linear") == 0) {
        t->kind = LORAC_RECIPE_TARGETS_ALL_LINEAR;
        return LORAC_OK;
    }
    t->kind = LORAC_RECIPE_TARGETS_REGEX;
    return read_regex(&t->regex, v, v->node, LORAC_PATTERN_FULL);
}

static void print_targets(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_targets *t = field;
    switch (t->kind) {
    case LORAC_RECIPE_TARGETS_ALL_LINEAR:
        lorac_buf_str(buf, "all-linear");
        break;
    case LORAC_RECIPE_TARGETS_LIST:
        lorac_print_list(buf, &t->names);
        break;
    case LORAC_RECIPE_TARGETS_REGEX:
        lorac_print_text(buf, t->regex);
        break;
    }
}

const struct lorac_key_type lorac_type_targets = {
    read_targets, print_targets, .words = "all-linear, a list of text, or a regex",
    .schema = "\"type\": [\"array\", \"string\"], " LORAC_SCHEMA_LIST ", \"minItems\": 1"};

static enum lorac_status read_modules(const struct lorac_value *v)
{
    struct lorac_recipe_modules *m = v->field;
    if (v->node->kind == LORAC_NODE_LIST) { return lorac_read_list_at(&m->names, v, v->node); }
    if (!lorac_node_is_scalar(v->node) || strcmp(v->node->text, "all") != 0) {
        return lorac_value_wrong(v, v->node, "all, or a list of name ends");
    }
    m->all = true;
    return LORAC_OK;
}

static void print_modules(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_modules *m = field;
    if (m->all) {
        lorac_buf_str(buf, "all");
    } else {
        lorac_print_list(buf, &m->names);
    }
}

const struct lorac_key_type lorac_type_modules = {
    read_modules, print_modules, .words = "a list of text, or all",
    .schema = "\"type\": [\"array\", \"string\"], " LORAC_SCHEMA_LIST};

static enum lorac_status read_layer_list(struct lorac_recipe_layers *l, const struct lorac_value *v)
{
    void *at = NULL;
    l->kind = LORAC_RECIPE_LAYERS_LIST;
    if (!v->node->first) { return lorac_value_wrong(v, v->node, "a list of at least one layer"); }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(v->node), sizeof *l->at);
    l->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        size_t layer = SIZE_MAX;
        st = lorac_read_whole_at(&layer, v, c, 0, 65535, "");
        for (size_t i = 0; i < l->n && !st && layer != SIZE_MAX; i++) {
            if (l->at[i] == layer) {
                st = lorac_reading_complain(v->rd, c, v->key, "layer %zu is listed twice", layer);
            }
        }
        l->at[l->n++] = layer;
    }
    return st;
}

static enum lorac_status read_layers(const struct lorac_value *v)
{
    struct lorac_recipe_layers *l = v->field;
    const char *s = lorac_node_text(v->node);
    uint64_t a = 0;
    uint64_t b = 0;
    if (v->node->kind == LORAC_NODE_LIST) { return read_layer_list(l, v); }
    if (strcmp(s, "all") == 0) {
        l->kind = LORAC_RECIPE_LAYERS_ALL;
        return LORAC_OK;
    }
    if (strncmp(s, "last:", 5) == 0 && lorac_whole_parse(&a, s + 5, strlen(s + 5), 65536) && a) {
        l->kind = LORAC_RECIPE_LAYERS_LAST;
        l->last = (size_t)a;
        return LORAC_OK;
    }
    size_t n = strcspn(s, "-");
    if (s[n] == '-' && lorac_whole_parse(&a, s, n, 65535) &&
        lorac_whole_parse(&b, s + n + 1, strlen(s + n + 1), 65535) && a <= b) {
        l->kind = LORAC_RECIPE_LAYERS_RANGE;
        l->first = (size_t)a;
        l->to = (size_t)b;
        return LORAC_OK;
    }
    return lorac_value_wrong(v, v->node, "all, last:6, [0, 1, 11] or 4-11");
}

static void print_layers(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_layers *l = field;
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

const struct lorac_key_type lorac_type_layers = {
    read_layers, print_layers, .words = "all, last:6, [0, 1, 11] or 4-11",
    .schema = "\"type\": [\"string\", \"array\"], \"minItems\": 1, \"uniqueItems\": true, "
              "\"items\": {\"type\": \"integer\", \"minimum\": 0}"};

static enum lorac_status read_override(struct lorac_override *o, const struct lorac_value *v,
                                       const struct lorac_node *node)
{
    enum lorac_status st = LORAC_OK;
    if (node->kind != LORAC_NODE_MAP) {
        return lorac_value_wrong(v, node, "a map {match, rank, alpha}");
    }
    bool matches = false;
    for (const struct lorac_node *c = node->first; c && !st; c = c->next) {
        struct lorac_key alpha = *lorac_key_find("adapter.alpha");
        alpha.path = v->key->path;
        struct lorac_value inner = {.rd = v->rd, .key = &alpha, .node = c};
        if (strcmp(c->key, "match") == 0) {
            matches = true;
            char *match = NULL;
            st = read_regex(&match, v, c, LORAC_PATTERN_TAIL);
            o->match = match;
        } else if (strcmp(c->key, "rank") == 0) {
            st = lorac_read_whole_at(&o->rank, v, c, v->key->min, v->key->max, "");
        } else if (strcmp(c->key, "alpha") == 0) {
            st = lorac_read_number_at(&o->alpha, &inner, c);
        } else {
            st = lorac_complain(v->rd->errors, c->source, c->key_line, c->key_column, v->rd->err,
                                "%s: unknown key '%.80s', an entry has match, rank and alpha",
                                v->key->path, c->key);
        }
    }
    if (!st && !matches) { st = lorac_reading_complain(v->rd, node, v->key, "'match' is missing"); }
    if (!st && matches && node->first && !node->first->next) {
        st = lorac_reading_complain(v->rd, node, v->key, "neither 'rank' nor 'alpha' is given");
    }
    return st;
}

static enum lorac_status read_overrides(const struct lorac_value *v)
{
    struct lorac_recipe_overrides *list = v->field;
    void *at = NULL;
    if (v->node->kind != LORAC_NODE_LIST) {
        return lorac_value_wrong(v, v->node, "a list of {match, rank, alpha}");
    }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(v->node), sizeof *list->at);
    list->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        st = read_override(&list->at[list->n++], v, c);
    }
    return st;
}

static void print_overrides(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_overrides *list = field;
    lorac_buf_str(buf, "[");
    for (size_t i = 0; i < list->n; i++) {
        const struct lorac_override *o = &list->at[i];
        lorac_buf_str(buf, i ? ", {match: " : "{match: ");
        lorac_print_text(buf, o->match);
        if (o->rank) { lorac_buf_printf(buf, ", rank: %zu", o->rank); }
        if (o->alpha > 0.0) {
            lorac_buf_str(buf, ", alpha: ");
            lorac_number_print(buf, o->alpha);
        }
        lorac_buf_str(buf, "}");
    }
    lorac_buf_str(buf, "]");
}

static void add_overrides_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"type\": \"array\", \"items\": {\"type\": \"object\", \"required\": "
                       "[\"match\"], \"additionalProperties\": false, \"properties\": {\"match\": "
                       "{\"type\": \"string\"}, \"rank\": {\"type\": \"integer\", ");
    lorac_add_bounds(buf, key);
    lorac_buf_str(buf, "}, \"alpha\": {\"type\": [\"number\", \"string\"], "
                       "\"exclusiveMinimum\": 0}}}");
}

const struct lorac_key_type lorac_type_overrides = {read_overrides, print_overrides,
                                                    .words = "a list of {match, rank, alpha}",
                                                    .add_schema = add_overrides_schema};
