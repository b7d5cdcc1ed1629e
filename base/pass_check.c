/* pass_check.c - what a batch asks of a pass and its model, before it is run; see pass_impl.h. */
#include "base/pass_impl.h"

enum lorac_status lorac_pass_check(const struct lorac_pass *p, const struct lorac_batch *batch,
                                   const struct lorac_cache *cache, struct lorac_err *err)
{
    if (batch->N == 0 || batch->N > p->o.max_rows) {
        return lorac_fail(err, LORAC_EUSER, "a batch of %zu rows does not fit a pass of 1 to %zu",
                          batch->N, p->o.max_rows);
    }
    for (size_t n = 0; n < batch->N; n++) {
        if (batch->ids[n] < 0 || (size_t)batch->ids[n] >= p->m->config.V) {
            return lorac_fail(err, LORAC_EUSER,
                              "token id %d is outside the model's vocabulary of %zu", batch->ids[n],
                              p->m->config.V);
        }
        size_t types = p->m->config.types; // a model without looks at none
        if (types > 0 && (batch->type[n] < 0 || (size_t)batch->type[n] >= types)) {
            return lorac_fail(err, LORAC_EUSER, "token type %d is outside the model's %zu",
                              batch->type[n], types);
        }
        if (batch->position[n] >= p->o.max_positions) {
            return lorac_fail(err, LORAC_EUSER,
                              "position %u is past the %zu that this model can read",
                              batch->position[n], p->o.max_positions);
        }
    }
    for (size_t t = 0; t < batch->T; t++) {
        if (batch->target[t] < 0 || (size_t)batch->target[t] >= p->m->config.Z) {
            bool lm = p->m->config.task == LORAC_TASK_LM;
            return lorac_fail(err, LORAC_EUSER,
                              lm ? "token id %d is outside the model's vocabulary of %zu"
                                 : "label %d is outside the model's %zu",
                              batch->target[t], p->m->config.Z);
        }
    }
    for (size_t s = 0; s < batch->S; s++) {
        const struct lorac_segment *seg = &batch->segments[s];
        size_t rows = (size_t)seg->past + (seg->keep ? seg->n : 0);
        if (p->m->config.bidirectional && (rows || seg->parent >= 0)) {
            return lorac_fail(err, LORAC_EUSER,
                              "segment %zu goes on from another, which an encoder (%s) can't: each "
                              "row sees its whole text",
                              s, p->m->config.kind->type);
        }
        if (rows == 0) { continue; }
        if (!cache || rows > cache->rows || seg->cached > cache->rows - rows) {
            return lorac_fail(err, LORAC_EUSER,
                              "segment %zu needs rows up to %zu of the cache, which has %zu", s,
                              seg->cached + rows, cache ? cache->rows : 0);
        }
    }
    return LORAC_OK;
}
