/* type_path.c - paths, and the validation rows: paths or a share of the training rows. See types.h.
 */
#include "recipes/language/types.h"

#include <string.h>

static enum lorac_status read_path(const struct lorac_value *v)
{
    if (!lorac_node_is_scalar(v->node)) { return lorac_value_wrong(v, v->node, "a path"); }
    return lorac_expand_path(v->field, v->rd, v->node, v->key);
}

static void print_path(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_print_text(buf, *(char *const *)field);
}

#define ONE_PATH "a path, relative to the recipe's folder"

const struct lorac_key_type lorac_type_path = {read_path, print_path, .words = ONE_PATH,
                                               .schema = LORAC_SCHEMA_TEXT};

const struct lorac_key_type lorac_type_extends = {.words = ONE_PATH, .schema = LORAC_SCHEMA_TEXT};

static enum lorac_status read_paths_at(struct lorac_recipe_list *list, const struct lorac_value *v,
                                       const char *expected)
{
    const struct lorac_node *first = lorac_node_is_scalar(v->node) ? v->node : v->node->first;
    void *at = NULL;
    if (!first || v->node->kind == LORAC_NODE_MAP) {
        return lorac_value_wrong(v, v->node, expected);
    }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(v->node), sizeof(char *));
    list->at = at;
    for (const struct lorac_node *c = first; c && !st; c = c == v->node ? NULL : c->next) {
        if (c->kind == LORAC_NODE_BAD) { continue; }
        if (!lorac_node_is_scalar(c)) { return lorac_value_wrong(v, c, "a path"); }
        st = lorac_expand_path(&list->at[list->n++], v->rd, c, v->key);
    }
    return st;
}

static enum lorac_status read_paths(const struct lorac_value *v)
{
    return read_paths_at(v->field, v, "a path or a list of at least one");
}

static void print_paths(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_list *list = field;
    if (list->n > 1) {
        lorac_print_list(buf, list);
    } else {
        lorac_print_text(buf, list->n ? list->at[0] : NULL);
    }
}

const struct lorac_key_type lorac_type_paths = {
    read_paths, print_paths, .words = "a path or a list of paths, relative to the recipe's folder",
    .schema =
        "\"type\": [\"array\", \"string\", \"null\"], " LORAC_SCHEMA_LIST ", \"minItems\": 1"};

static enum lorac_status read_split(const struct lorac_value *v)
{
    struct lorac_recipe_split *s = v->field;
    if (v->node->kind != LORAC_NODE_MAP) {
        s->kind = LORAC_RECIPE_SPLIT_PATH;
        return read_paths_at(&s->paths, v,
                             "a path, a list of at least one, or {split: 0.1, stratify: COLUMN}");
    }
    s->kind = LORAC_RECIPE_SPLIT_FRACTION;
    enum lorac_status st = LORAC_OK;
    bool split = false;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        if (strcmp(c->key, "split") == 0) {
            split = true;
            bool fits = lorac_node_is_scalar(c) &&
                        lorac_number_parse(&s->fraction, c->text) == LORAC_NUMBER_OK &&
                        s->fraction > 0.0 && s->fraction < 1.0;
            if (!fits) { st = lorac_value_wrong(v, c, "a share above 0 and below 1"); }
        } else if (strcmp(c->key, "stratify") == 0) {
            if (!lorac_node_is_null(c)) { st = lorac_read_text_at(&s->stratify, v, c); }
        } else {
            st = lorac_complain(v->rd->errors, c->source, c->key_line, c->key_column, v->rd->err,
                                "%s: unknown key '%.80s', expected split and stratify",
                                v->key->path, c->key);
        }
    }
    if (!st && !split) {
        st = lorac_reading_complain(v->rd, v->node, v->key, "'split' is missing");
    }
    return st;
}

static void print_split(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    const struct lorac_recipe_split *s = field;
    switch (s->kind) {
    case LORAC_RECIPE_SPLIT_NONE:
        lorac_buf_str(buf, "null");
        break;
    case LORAC_RECIPE_SPLIT_PATH:
        print_paths(buf, key, &s->paths);
        break;
    case LORAC_RECIPE_SPLIT_FRACTION:
        lorac_buf_str(buf, "{split: ");
        lorac_number_print(buf, s->fraction);
        lorac_buf_str(buf, ", stratify: ");
        lorac_print_text(buf, s->stratify);
        lorac_buf_str(buf, "}");
        break;
    }
}

static const char split_schema[] =
    "\"type\": [\"string\", \"array\", \"null\", \"object\"], " LORAC_SCHEMA_LIST ", "
    "\"minItems\": 1, \"required\": [\"split\"], \"additionalProperties\": false, "
    "\"properties\": {\"split\": {\"type\": [\"number\", \"string\"], "
    "\"exclusiveMinimum\": 0, \"exclusiveMaximum\": 1}, \"stratify\": {" LORAC_SCHEMA_TEXT "}}";

const struct lorac_key_type lorac_type_split = {
    read_split, print_split, .words = "a path, a list of paths, or {split: 0.1, stratify: COLUMN}",
    .schema = split_schema};
