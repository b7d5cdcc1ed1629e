/*
 * merge_parts.c - which tensors a merged checkpoint has; see merge_impl.h.
 *
 * Those of the base, in their places. The second matrix of a tied pair that has parted. Where the
 * head of a task is new, a checkpoint as transformers would save it with that head: the body's
 * tensors under the names of a model with one, those of the old head and tables that nothing reads
 * left out, and the new head's behind the last of the last file.
 */
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

/* ---- a head that the files don't have ---- */

/* The tensors of a drawn module, of the type of the embedding; values come from an adapter's
 * copies. */
static void make_tensors(struct lorac_merger *g, const struct lorac_module *l)
{
    size_t parts = lorac_vector_parts(&g->m->config, l);
    struct lorac_tensor like = {.dtype = g->m->module[g->m->embed].dtype,
                                .shard = lorac_checkpoint_shards(g->m->files) - 1};
    if (l->role != LORAC_ROLE_NORM) {
        struct lorac_tensor *t = &g->made[g->n_made++];
        *t = like;
        (void)snprintf(t->name, sizeof t->name, "%s.weight", l->name);
        t->n_dims = 2;
        t->dims[0] = l->transposed ? l->C : l->OC;
        t->dims[1] = l->transposed ? l->OC : l->C;
        t->n = l->OC * l->C;
    }
    for (size_t k = 0; k < parts; k++) {
        struct lorac_tensor *t = &g->made[g->n_made++];
        *t = like;
        (void)snprintf(t->name, sizeof t->name, "%s.%s", l->name, lorac_vector_name(l, k));
        t->n_dims = 1;
        t->dims[0] = t->n = l->n / parts;
    }
}

/* What a tensor of the files is called beside the head; false: it has no part in it. */
static bool keep_name(char name[LORAC_NAME_SIZE], const struct lorac_merger *g,
                      const struct lorac_tensor *t)
{
    size_t module = lorac_merge_module(g, t->name);
    char own[LORAC_NAME_SIZE];
    if (t == lorac_model_embedding(g->m)) { module = g->m->embed; } // maybe as the old head
    (void)snprintf(name, LORAC_NAME_SIZE, "%s", t->name);
    if (lorac_model_is_part(g->m)) { // its names are those of the whole
        return module < g->m->n_modules || lorac_model_leaves_out(g->m, t->name);
    }
    if (module == g->m->n_modules) { return false; }
    lorac_tensor_own_name(own, g->m, t->name);
    (void)snprintf(name, LORAC_NAME_SIZE, "%s%s", g->m->module[module].name, strrchr(own, '.'));
    return true;
}

/* A drawn module of the head, from the adapter that brings it. */
static enum lorac_status add_drawn(struct lorac_merger *g, const struct lorac_module *l,
                                   struct lorac_err *err)
{
    size_t from = g->n_made;
    make_tensors(g, l);
    for (size_t i = from; i < g->n_made; i++) {
        const struct lorac_tensor *t = &g->made[i];
        char name[LORAC_NAME_SIZE]; // as the files would have it
        (void)snprintf(name, sizeof name, "%s%s", l->file, strrchr(t->name, '.'));
        struct lorac_merge_part p = lorac_merge_part_of(g, t, name);
        p.name = t->name;
        if (!p.full) {
            return lorac_fail(
                err, LORAC_EUSER,
                "%s: has no '%s', and no adapter brings it: without it there is no head "
                "for %s",
                g->m->dir, t->name, lorac_task_text(g->m->config.task));
        }
        g->parts[g->n++] = p;
    }
    return LORAC_OK;
}

enum lorac_status lorac_merge_list(struct lorac_merger *g, struct lorac_err *err)
{
    size_t stored = lorac_checkpoint_count(g->m->files);
    size_t drawn = 0; // tensors at the most
    for (size_t i = 0; i < g->m->n_modules; i++) {
        drawn += g->m->module[i].fresh ? 3 : 0;
    }
    g->new_head = drawn > 0;
    g->parts = lorac_mem_new(stored + 1 + drawn, sizeof *g->parts);
    g->made = lorac_mem_new(drawn, sizeof *g->made);
    g->names = lorac_mem_new(g->new_head ? stored : 0, sizeof *g->names);
    if (!g->parts || !g->made || !g->names) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory to merge");
    }
    look_at_pair(g);
    for (size_t i = 0; i < stored; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(g->m->files, i);
        if (g->new_head && !keep_name(g->names[i], g, t)) { continue; }
        struct lorac_merge_part *p = &g->parts[g->n++];
        char file[LORAC_MERGE_NAME];
        bool embed = g->new_head && t == lorac_model_embedding(g->m);
        (void)snprintf(file, sizeof file, "%s.weight", g->m->module[g->m->embed].file);
        *p = lorac_merge_part_of(g, t, embed ? file : t->name);
        p->name = g->new_head ? g->names[i] : t->name;
    }
    if (g->twin) { g->parts[g->n++] = twin_part(g); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < g->m->n_modules && !st; i++) {
        if (g->m->module[i].fresh) { st = add_drawn(g, &g->m->module[i], err); }
    }
    return st;
}
