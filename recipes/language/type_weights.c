/* type_weights.c - what labels weigh. See types.h. */
#include "recipes/language/types.h"

#include <string.h>

static enum lorac_status read_weights(const struct lorac_value *v)
{
    struct lorac_recipe_weights *w = v->field;
    void *at = NULL;
    if (strcmp(lorac_node_text(v->node), "balanced") == 0) {
        w->balanced = true;
        return LORAC_OK;
    }
    if (v->node->kind != LORAC_NODE_MAP) {
        return lorac_value_wrong(v, v->node, "balanced, or a map of labels to numbers");
    }
    enum lorac_status st = lorac_value_take(&at, v, lorac_node_count(v->node), sizeof *w->at);
    w->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        w->at[w->n].label = lorac_arena_string(v->rd->recipe->arena, c->key, strlen(c->key));
        if (!w->at[w->n].label) { return lorac_reading_no_memory(v->rd); }
        st = lorac_read_number_at(&w->at[w->n++].weight, v, c);
    }
    return st;
}

static void print_weights(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    (void)key;
    const struct lorac_recipe_weights *w = field;
    if (w->balanced) {
        lorac_buf_str(buf, "balanced");
        return;
    }
    lorac_buf_str(buf, "{");
    for (size_t i = 0; i < w->n; i++) {
        lorac_buf_str(buf, i ? ", " : "");
        lorac_yaml_quote(buf, w->at[i].label, false);
        lorac_buf_str(buf, ": ");
        lorac_number_print(buf, w->at[i].weight);
    }
    lorac_buf_str(buf, "}");
}

const struct lorac_key_type lorac_type_weights = {
    read_weights, print_weights, .words = "balanced, or a map of labels to numbers",
    .schema = "\"type\": [\"string\", \"object\"], \"additionalProperties\": {\"type\": "
              "[\"number\", \"string\"]}"};
