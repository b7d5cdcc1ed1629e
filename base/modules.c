/* modules.c - the list of modules that a program has under a configuration. */
#include "base/arch/arch.h"
#include "base/core/mem.h"
#include "base/model.h"

#include <stdio.h>
#include <string.h>

size_t lorac_slot_width(const struct lorac_config *c, enum lorac_slot slot)
{
    const size_t width[LORAC_SLOTS] = {
        [SLOT_X] = c->C,
        [SLOT_Y] = c->C,
        [SLOT_N] = c->C,
        [SLOT_N2] = c->C,
        [SLOT_QKV] = (c->H + 2 * c->G) * c->D,
        [SLOT_Q0] = c->H * c->D,
        [SLOT_K0] = c->G * c->D,
        [SLOT_Q] = c->H * c->D,
        [SLOT_K] = c->G * c->D,
        [SLOT_V] = c->G * c->D,
        [SLOT_A] = c->H * c->D,
        [SLOT_LSE] = c->H,
        [SLOT_O] = c->C,
        [SLOT_M] = c->C,
        [SLOT_G] = c->F,
        [SLOT_U] = c->F,
        [SLOT_H] = c->F,
        [SLOT_GU] = 2 * c->F,
        [SLOT_P] = c->C,
        [SLOT_Z] = c->Z,
    };
    return width[slot];
}

struct listing {
    const struct lorac_config *config;
    struct lorac_module *module;
    uint32_t *step;
    size_t n, n_steps;
};

static bool has_bias(const struct lorac_config *c, unsigned flags)
{
    return ((flags & BIAS_QKV) && c->qkv_bias) || ((flags & BIAS_O) && c->o_bias) ||
           ((flags & BIAS_MLP) && c->mlp_bias) || ((flags & BIAS_DENSE) && c->dense_bias) ||
           ((flags & BIAS_DECODER) && c->decoder_bias) || (flags & BIAS_HEAD);
}

/* Is the slot that step i writes added to what another step left, as it is? */
static bool is_added(const struct lorac_steps *steps, size_t i)
{
    bool yes = false;
    for (size_t k = i + 1; k < steps->n && !yes; k++) {
        yes = steps->at[k].op == OP_ADD && steps->at[k].out[0] == steps->at[i].out[0];
    }
    return yes;
}

static void add_module(struct listing *g, const struct lorac_steps *steps, size_t i)
{
    const struct lorac_step *s = &steps->at[i];
    const struct lorac_config *c = g->config;
    struct lorac_module *m = &g->module[g->n];
    size_t OC = lorac_slot_width(c, s->out[0]);
    if (s->op == OP_EMBED) {
        bool positions = s->flags & EMBED_POSITIONS;
        bool types = s->flags & EMBED_TYPES;
        m->role = positions ? LORAC_ROLE_POSITIONS
                  : types   ? LORAC_ROLE_TYPES
                            : LORAC_ROLE_EMBEDDING;
        m->OC = positions ? c->position_offset + c->max_positions : types ? c->types : c->V;
        m->C = OC;
    } else if (s->op == OP_NORM) {
        m->role = LORAC_ROLE_NORM;
        m->n = (s->flags & NORM_HEADS ? c->D : OC) * (lorac_config_shifts(c) ? 2 : 1);
    } else {
        m->role = s->out[0] == SLOT_Z ? LORAC_ROLE_HEAD : LORAC_ROLE_LINEAR;
        m->OC = OC;
        m->C = lorac_slot_width(c, s->in[0]);
        m->transposed = s->flags & STORED_TURNED;
        m->n = has_bias(c, s->flags) ? OC : 0;
        m->residual = is_added(steps, i) || (s->flags & DRAWN_NARROW);
    }
    g->n++;
}

/* The modules of some steps; `layer` is before their names, or NULL; `first`: of the first layer.
 */
static void add_steps(struct listing *g, const struct lorac_steps *steps, const char *layer,
                      bool first)
{
    for (size_t i = 0; i < steps->n; i++) {
        const struct lorac_step *s = &steps->at[i];
        bool has = s->module && !(first && (s->flags & NOT_FIRST));
        g->step[g->n_steps] = has ? (uint32_t)g->n : LORAC_NO_MODULE;
        g->n_steps++;
        if (!has) { continue; }
        struct lorac_module *m = &g->module[g->n];
        (void)snprintf(m->name, sizeof m->name, "%s%s", layer ? layer : "", s->module);
        (void)snprintf(m->file, sizeof m->file, "%s", m->name);
        m->is_head = s->flags & HEAD_OWN;
        m->may_lack = s->flags & MAY_LACK;
        add_module(g, steps, i);
    }
}

enum lorac_status lorac_modules_list(struct lorac_module **out, size_t *n, uint32_t **step,
                                     const struct lorac_config *c, struct lorac_err *err)
{
    const struct lorac_program *p = c->program;
    const struct lorac_steps *head = &c->head->steps;
    size_t steps = p->front.n + c->L * p->layer.n + head->n; // L is at most 1024
    struct listing g = {.config = c};
    char layer[LORAC_MODULE_NAME];
    *out = g.module = lorac_mem_new(steps, sizeof *g.module);
    *step = g.step = lorac_mem_new(steps, sizeof *g.step);
    if (!g.module || !g.step) {
        lorac_mem_free(g.module);
        lorac_mem_free(g.step);
        *out = NULL;
        *step = NULL;
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the list of modules");
    }
    add_steps(&g, &p->front, NULL, false);
    for (size_t l = 0; l < c->L; l++) {
        (void)snprintf(layer, sizeof layer, "%s.%zu.", p->layers, l);
        add_steps(&g, &p->layer, layer, l == 0);
    }
    add_steps(&g, head, NULL, false);
    *n = g.n;
    return LORAC_OK;
}

size_t lorac_vector_parts(const struct lorac_config *c, const struct lorac_module *m)
{
    return m->n == 0 ? 0 : m->role == LORAC_ROLE_NORM && lorac_config_shifts(c) ? 2 : 1;
}

const char *lorac_vector_name(const struct lorac_module *m, size_t k)
{
    return m->role == LORAC_ROLE_NORM && k == 0 ? "weight" : "bias";
}

size_t lorac_module_find(const struct lorac_model *m, const char *name)
{
    size_t i = 0;
    while (i < m->n_modules && strcmp(m->module[i].name, name) != 0) {
        i++;
    }
    return i;
}
