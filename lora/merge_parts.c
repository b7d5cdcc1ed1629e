/* merge_parts.c - which tensors a merged checkpoint has; see merge_impl.h. */
#include "lora/merge_impl.h"

#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

/* Does a tied pair part, and is there a matrix to store beside the one that is? */
static void look_at_pair(struct lorac_merger *g)
{
    if (!lorac_model_is_tied(g->m)) { return; }
    size_t head = g->m->head;
    (void)snprintf(g->embed_name, LORAC_MERGE_NAME, "%s.weight", g->m->module[g->m->embed].file);
    (void)snprintf(g->head_name, LORAC_MERGE_NAME, "%s.weight", g->m->module[head].file);
    const struct lorac_full *e = lorac_merge_full(g, g->m->embed, false, 0);
    const struct lorac_full *h = lorac_merge_full(g, head, false, 0);
    g->untied = e != h || lorac_merge_adapts(g, head, true);
    const struct lorac_tensor *stored_e = lorac_checkpoint_find(g->m->files, g->embed_name);
    const struct lorac_tensor *stored_h = lorac_checkpoint_find(g->m->files, g->head_name);
    if (!g->untied || (stored_e && stored_h)) { return; }
    g->twin = stored_e ? stored_e : stored_h;
}

/* The second matrix of the pair, in the type and shape of the first. */
static struct lorac_merge_part twin_part(const struct lorac_merger *g)
{
    bool embed = strcmp(g->twin->name, g->embed_name) == 0;
    return lorac_merge_part_of(g, g->twin, embed ? g->head_name : g->embed_name);
}

enum lorac_status lorac_merge_list(struct lorac_merger *g, struct lorac_err *err)
{
    size_t stored = lorac_checkpoint_count(g->m->files);
    g->parts = lorac_mem_new(stored + 1, sizeof *g->parts);
    if (!g->parts) { return lorac_fail(err, LORAC_ENOMEM, "no memory to merge"); }
    look_at_pair(g);
    for (size_t i = 0; i < stored; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(g->m->files, i);
        g->parts[g->n++] = lorac_merge_part_of(g, t, t->name);
    }
    if (g->twin) { g->parts[g->n++] = twin_part(g); }
    return LORAC_OK;
}
