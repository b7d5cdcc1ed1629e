/* types.c - reading and printing by the key's type, and what types share. See types.h. */
#include "recipes/language/types.h"

#include "base/core/mem.h"

#include <string.h>

enum lorac_status lorac_value_wrong(const struct lorac_value *v, const struct lorac_node *node,
                                    const char *expected)
{
    char words[128];
    return lorac_reading_complain(v->rd, node, v->key, "must be %s, found %s", expected,
                                  lorac_node_words(words, sizeof words, node));
}

bool lorac_node_is_scalar(const struct lorac_node *node)
{
    return node->kind == LORAC_NODE_SCALAR;
}

const char *lorac_node_text(const struct lorac_node *node)
{
    return lorac_node_is_scalar(node) ? node->text : "";
}

size_t lorac_node_count(const struct lorac_node *node)
{
    size_t n = 0;
    for (const struct lorac_node *c = node->first; c; c = c->next) {
        n++;
    }
    return n;
}

enum lorac_status lorac_value_take(void **out, const struct lorac_value *v, size_t n, size_t size)
{
    *out = lorac_arena_take(v->rd->recipe->arena, n ? n : 1, size);
    return *out ? LORAC_OK : lorac_reading_no_memory(v->rd);
}

enum lorac_status lorac_value_read(struct lorac_reading *rd, size_t i)
{
    const struct lorac_key *key = &lorac_keys[i];
    const struct lorac_node *node = rd->nodes[i];
    if (!node || node->kind == LORAC_NODE_BAD || !key->type->read) { return LORAC_OK; }
    struct lorac_value v = {
        .rd = rd, .key = key, .node = node, .field = (char *)rd->recipe + key->offset};
    bool may_be_null = !key->otherwise || (key->flags & LORAC_KEY_NULLABLE);
    if (lorac_node_is_null(node)) {
        if (may_be_null && !(key->flags & LORAC_KEY_REQUIRED)) { return LORAC_OK; } // zero: none
        return lorac_reading_complain(rd, node, key, "has no value%s%s",
                                      key->otherwise ? "; leave the key out for its default " : "",
                                      key->otherwise ? key->otherwise : "");
    }
    rd->busy[i] = true;
    enum lorac_status st = key->type->read(&v);
    rd->busy[i] = false;
    return st;
}

void lorac_value_print(struct lorac_buf *buf, const struct lorac_recipe *recipe,
                       const struct lorac_key *key)
{
    if (key->type->print) { key->type->print(buf, key, (const char *)recipe + key->offset); }
}

enum lorac_status lorac_value_is_default(bool *out, struct lorac_reading *rd, size_t i)
{
    const struct lorac_key *key = &lorac_keys[i];
    struct lorac_recipe *blank = lorac_arena_take(rd->arena, 1, sizeof *blank);
    struct lorac_node *node = NULL;
    struct lorac_buf diff = {0};
    enum lorac_status st = blank ? LORAC_OK : lorac_reading_no_memory(rd);
    if (!st && key->otherwise) {
        st = lorac_yaml_parse(&node, &rd->broken, key->otherwise, strlen(key->otherwise),
                              rd->defaults, rd->arena, rd->errors, rd->err);
    }
    if (!st && node) {
        struct lorac_value v = {
            .rd = rd, .key = key, .node = node, .field = (char *)blank + key->offset};
        st = key->type->read(&v);
    }
    if (st) { return st; }
    lorac_key_diff(&diff, blank, rd->recipe, key);
    *out = diff.n == 0;
    if (diff.no_memory) { st = lorac_reading_no_memory(rd); }
    lorac_buf_free(&diff);
    return st;
}
