/* type_text.c - text, a character, lists and maps of text. See types.h. */
#include "recipes/language/types.h"

#include <string.h>

enum lorac_status lorac_read_text_at(char **out, const struct lorac_value *v,
                                     const struct lorac_node *node)
{
    *out = NULL;
    if (node->kind == LORAC_NODE_BAD) { return LORAC_OK; }
    if (!lorac_node_is_scalar(node)) { return lorac_value_wrong(v, node, "text"); }
    if (node->plain && !node->text[0]) {
        return lorac_value_wrong(v, node, "text ('' for empty text)");
    }
    return lorac_expand_text(out, v->rd, node, v->key);
}

static enum lorac_status read_text(const struct lorac_value *v)
{
    char **text = v->field;
    enum lorac_status st = lorac_read_text_at(text, v, v->node);
    if (st || !*text || strcmp(v->key->path, "name") != 0) { return st; }
    bool bad = !**text || strchr(*text, '/') || strcmp(*text, ".") == 0 || strcmp(*text, "..") == 0;
    return bad ? lorac_value_wrong(v, v->node, "a name that a folder can have") : LORAC_OK;
}

void lorac_print_text(struct lorac_buf *buf, const char *text)
{
    if (text) {
        lorac_yaml_quote(buf, text, true);
    } else {
        lorac_buf_str(buf, "null");
    }
}

static void print_text(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_print_text(buf, *(char *const *)field);
}

const struct lorac_key_type lorac_type_text = {read_text, print_text, .words = "text",
                                               .schema = LORAC_SCHEMA_TEXT};

static enum lorac_status read_char(const struct lorac_value *v)
{
    const char *s = lorac_node_text(v->node);
    s = strcmp(s, "\\t") ? s : "\t"; // '\t', or --set: nothing else could be meant
    bool may_be_empty = v->key->min == 0.0;
    bool one = s[0] && !s[1] && (unsigned char)s[0] < 0x80 && s[0] != '\n' && s[0] != '\r';
    bool empty = may_be_empty && lorac_node_is_scalar(v->node) && !s[0];
    const char *expected = may_be_empty ? "one ASCII character, or '' for none"
                                        : "one ASCII character (a tab is \"\\t\")";
    if (!one && !empty) { return lorac_value_wrong(v, v->node, expected); }
    *(char *)v->field = s[0];
    return LORAC_OK;
}

static void print_char(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    char text[2] = {*(const char *)field, '\0'};
    lorac_yaml_quote(buf, text, false);
}

static void add_char_words(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, key->min == 0.0 ? ", or '' for none" : "");
}

static void add_char_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_printf(buf, "\"type\": \"string\", \"minLength\": %d, \"maxLength\": 1",
                     (int)key->min);
}

const struct lorac_key_type lorac_type_char = {
    read_char, print_char, .words = "one ASCII character", .add_words = add_char_words,
    .add_schema = add_char_schema};

enum lorac_status lorac_read_list_at(struct lorac_recipe_list *list, const struct lorac_value *v,
                                     const struct lorac_node *node)
{
    void *at = NULL;
    if (node->kind != LORAC_NODE_LIST) { return lorac_value_wrong(v, node, "a list"); }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(node), sizeof(char *));
    list->at = at;
    for (const struct lorac_node *c = node->first; c && !st; c = c->next) {
        st = lorac_read_text_at(&list->at[list->n++], v, c);
    }
    return st;
}

static enum lorac_status read_list(const struct lorac_value *v)
{
    return lorac_read_list_at(v->field, v, v->node);
}

void lorac_print_list(struct lorac_buf *buf, const struct lorac_recipe_list *list)
{
    lorac_buf_str(buf, "[");
    for (size_t i = 0; i < list->n; i++) {
        lorac_buf_str(buf, i ? ", " : "");
        lorac_print_text(buf, list->at[i]);
    }
    lorac_buf_str(buf, "]");
}

static void print_list(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_print_list(buf, field);
}

const struct lorac_key_type lorac_type_list = {read_list, print_list, .words = "a list of text",
                                               .schema =
                                                   "\"type\": [\"array\"], " LORAC_SCHEMA_LIST};

static enum lorac_status read_map(const struct lorac_value *v)
{
    struct lorac_recipe_map *map = v->field;
    void *at = NULL;
    if (v->node->kind != LORAC_NODE_MAP) { return lorac_value_wrong(v, v->node, "a map"); }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(v->node), sizeof *map->at);
    map->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        struct lorac_recipe_pair *pair = &map->at[map->n++];
        pair->key = lorac_arena_string(v->rd->recipe->arena, c->key, strlen(c->key));
        st = pair->key ? lorac_read_text_at(&pair->value, v, c) : lorac_reading_no_memory(v->rd);
    }
    return st;
}

static void print_map(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_map *map = field;
    lorac_buf_str(buf, "{");
    for (size_t i = 0; i < map->n; i++) {
        // YAML finds a key before its colon only within 1024 characters; `?` announces longer ones.
        bool is_long = strlen(map->at[i].key) > 100;
        lorac_buf_str(buf, i ? ", " : "");
        lorac_buf_str(buf, is_long ? "? " : "");
        lorac_yaml_quote(buf, map->at[i].key, false);
        lorac_buf_str(buf, is_long ? " : " : ": ");
        lorac_print_text(buf, map->at[i].value);
    }
    lorac_buf_str(buf, "}");
}

const struct lorac_key_type lorac_type_map = {
    read_map, print_map, .words = "a map of text to text",
    .schema = "\"type\": \"object\", \"additionalProperties\": {" LORAC_SCHEMA_TEXT "}"};
