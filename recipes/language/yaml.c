/* yaml.c - see yaml.h. libyaml gives events; a stack of open maps and lists makes the tree. */
#include "recipes/language/yaml.h"

#include <stdio.h>
#include <string.h>

#include <yaml.h>

struct level {
    struct lorac_node *node;  // the open map or list
    struct lorac_node **tail; // where its next child goes
    const char *key;          // map: the key that waits for its value, or NULL
    yaml_mark_t key_mark;
};

struct reader {
    yaml_parser_t parser;
    const struct lorac_source *source;
    struct lorac_arena *arena;          // borrowed
    struct lorac_recipe_errors *errors; // borrowed
    struct lorac_err *err;
    struct lorac_node *root;
    size_t n_nodes, n_documents;
    size_t depth;
    struct level levels[LORAC_YAML_MAX_DEPTH];
    bool stop;   // the end, or nothing sensible can follow
    bool broken; // stopped before the end
};

static enum lorac_status complain(struct reader *r, yaml_mark_t at, const char *what)
{
    return lorac_complain(r->errors, r->source, at.line + 1, at.column + 1, r->err, "%s", what);
}

static enum lorac_status stop(struct reader *r, yaml_mark_t at, const char *what)
{
    r->stop = r->broken = true;
    return complain(r, at, what);
}

static enum lorac_status no_memory(struct reader *r)
{
    return lorac_fail(r->err, LORAC_ENOMEM, "%s: no memory", r->source->name);
}

static bool wants_key(const struct reader *r)
{
    return r->depth && r->levels[r->depth - 1].node->kind == LORAC_NODE_MAP &&
           !r->levels[r->depth - 1].key;
}

/* Hang `node` under what is open. A key that the map has already is reported and dropped. */
static enum lorac_status attach(struct reader *r, struct lorac_node *node)
{
    if (!r->depth) {
        if (!r->root) { r->root = node; }
        return LORAC_OK;
    }
    struct level *top = &r->levels[r->depth - 1];
    if (top->node->kind == LORAC_NODE_MAP) {
        const char *key = top->key;
        const struct lorac_node *old = lorac_node_find(top->node, key);
        top->key = NULL;
        if (old) {
            return lorac_complain(r->errors, r->source, top->key_mark.line + 1,
                                  top->key_mark.column + 1, r->err,
                                  "duplicate key '%.80s', first in line %zu", key, old->key_line);
        }
        node->key = key;
        node->key_line = top->key_mark.line + 1;
        node->key_column = top->key_mark.column + 1;
    }
    *top->tail = node;
    top->tail = &node->next;
    return LORAC_OK;
}

static enum lorac_status add_node(struct lorac_node **out, struct reader *r,
                                  enum lorac_node_kind kind, yaml_mark_t at)
{
    if (++r->n_nodes > LORAC_YAML_MAX_NODES) {
        return stop(r, at, "more than 10000 values, this is no recipe");
    }
    struct lorac_node *node = lorac_arena_take(r->arena, 1, sizeof *node);
    if (!node) { return no_memory(r); }
    node->kind = kind;
    node->line = at.line + 1;
    node->column = at.column + 1;
    node->source = r->source;
    *out = node;
    return attach(r, node);
}

static enum lorac_status on_scalar(struct reader *r, const yaml_event_t *e)
{
    const char *bytes = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    if (memchr(bytes, '\0', n)) { return stop(r, e->start_mark, "text with a NUL character"); }
    char *text = lorac_arena_string(r->arena, bytes, n);
    if (!text) { return no_memory(r); }
    if (wants_key(r)) {
        r->levels[r->depth - 1].key = text;
        r->levels[r->depth - 1].key_mark = e->start_mark;
        if (++r->n_nodes > LORAC_YAML_MAX_NODES) {
            return stop(r, e->start_mark, "more than 10000 values, this is no recipe");
        }
        return LORAC_OK;
    }
    struct lorac_node *node = NULL;
    enum lorac_status st = add_node(&node, r, LORAC_NODE_SCALAR, e->start_mark);
    if (node) {
        node->text = text;
        node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    }
    return st;
}

static enum lorac_status on_open(struct reader *r, enum lorac_node_kind kind, yaml_mark_t at)
{
    if (wants_key(r)) { return stop(r, at, "a key must be text, found a map or list"); }
    if (r->depth == LORAC_YAML_MAX_DEPTH) {
        return stop(r, at, "maps and lists nested more than 16 deep");
    }
    struct lorac_node *node = NULL;
    enum lorac_status st = add_node(&node, r, kind, at);
    if (st || r->stop) { return st; }
    r->levels[r->depth++] = (struct level){.node = node, .tail = &node->first};
    return LORAC_OK;
}

/* Anchors and tags change what a value means elsewhere or which type it has: refused by name. */
static enum lorac_status refuse(struct reader *r, yaml_mark_t at, const yaml_char_t *anchor,
                                const yaml_char_t *tag)
{
    enum lorac_status st = LORAC_OK;
    if (anchor) {
        st =
            lorac_complain(r->errors, r->source, at.line + 1, at.column + 1, r->err,
                           "anchors are not part of recipes, found '&%.80s'", (const char *)anchor);
    }
    if (!st && tag) {
        st = lorac_complain(r->errors, r->source, at.line + 1, at.column + 1, r->err,
                            "tags are not part of recipes, found '%.80s'; the key decides the type",
                            (const char *)tag);
    }
    return st;
}

static enum lorac_status on_alias(struct reader *r, const yaml_event_t *e)
{
    enum lorac_status st = lorac_complain(
        r->errors, r->source, e->start_mark.line + 1, e->start_mark.column + 1, r->err,
        "aliases are not part of recipes, found '*%.80s'; use ${KEY} in text",
        (const char *)e->data.alias.anchor);
    if (wants_key(r)) { r->stop = r->broken = true; }
    struct lorac_node *node = NULL;
    if (!st && !r->stop) { st = add_node(&node, r, LORAC_NODE_BAD, e->start_mark); }
    return st;
}

static enum lorac_status on_event(struct reader *r, const yaml_event_t *e)
{
    enum lorac_status st = LORAC_OK;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++r->n_documents > 1) {
            st = stop(r, e->start_mark, "a second document starts here, a recipe is one document");
        }
        break;
    case YAML_ALIAS_EVENT:
        st = on_alias(r, e);
        break;
    case YAML_SCALAR_EVENT:
        st = refuse(r, e->start_mark, e->data.scalar.anchor, e->data.scalar.tag);
        if (!st) { st = on_scalar(r, e); }
        break;
    case YAML_SEQUENCE_START_EVENT:
        st = refuse(r, e->start_mark, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        if (!st) { st = on_open(r, LORAC_NODE_LIST, e->start_mark); }
        break;
    case YAML_MAPPING_START_EVENT:
        st = refuse(r, e->start_mark, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        if (!st) { st = on_open(r, LORAC_NODE_MAP, e->start_mark); }
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        break;
    case YAML_STREAM_END_EVENT:
        r->stop = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return st;
}

static enum lorac_status syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) { return no_memory(r); }
    const char *why = p->problem ? p->problem : "unreadable";
    const char *tab = p->problem && strstr(p->problem, "cannot start any token")
                          ? " (a tab, or text that needs quotes?)"
                          : "";
    if (p->error == YAML_READER_ERROR) { // has an offset only
        return lorac_complain(r->errors, r->source, 0, 0, r->err, "not YAML: %s at byte %zu", why,
                              p->problem_offset);
    }
    return lorac_complain(r->errors, r->source, p->problem_mark.line + 1,
                          p->problem_mark.column + 1, r->err, "not YAML: %s%s", why, tab);
}

enum lorac_status lorac_yaml_parse(struct lorac_node **root, bool *broken, const char *text,
                                   size_t n, const struct lorac_source *source,
                                   struct lorac_arena *arena, struct lorac_recipe_errors *errors,
                                   struct lorac_err *err)
{
    struct reader r = {.source = source, .arena = arena, .errors = errors, .err = err};
    enum lorac_status st = LORAC_OK;
    *root = NULL;
    if (!yaml_parser_initialize(&r.parser)) { return no_memory(&r); }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    while (!st && !r.stop) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r.parser, &e)) {
            r.broken = true;
            st = syntax_error(&r);
            break;
        }
        st = on_event(&r, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&r.parser);
    if (!st && !r.root) {
        yaml_mark_t start = {0};
        r.depth = 0;
        r.n_nodes = 0;
        st = add_node(&r.root, &r, LORAC_NODE_MAP, start);
    }
    *broken = *broken || r.broken;
    *root = st ? NULL : r.root;
    return st;
}

struct lorac_node *lorac_node_find(const struct lorac_node *map, const char *key)
{
    struct lorac_node *node = map->kind == LORAC_NODE_MAP ? map->first : NULL;
    while (node && strcmp(node->key, key) != 0) {
        node = node->next;
    }
    return node;
}

bool lorac_node_is_null(const struct lorac_node *node)
{
    return node->kind == LORAC_NODE_SCALAR && node->plain &&
           (!node->text[0] || strcmp(node->text, "null") == 0 || strcmp(node->text, "~") == 0);
}

const char *lorac_node_words(char *words, size_t size, const struct lorac_node *node)
{
    if (node->kind == LORAC_NODE_MAP) {
        (void)snprintf(words, size, "a map");
    } else if (node->kind == LORAC_NODE_LIST) {
        (void)snprintf(words, size, "a list");
    } else if (node->kind == LORAC_NODE_SCALAR && lorac_node_is_null(node)) {
        (void)snprintf(words, size, "%s", node->text[0] ? node->text : "nothing");
    } else {
        char shown[44];
        const char *text = node->text ? node->text : "";
        (void)snprintf(words, size, "'%s'", lorac_visible(shown, sizeof shown, text, strlen(text)));
    }
    return words;
}
