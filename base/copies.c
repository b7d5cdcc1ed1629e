/* copies.c - copies of weights, packed for their products; see model.h. */
#include "base/arch/arch.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/model.h"

/* Integers are for the layers, whose rows are many and whose errors the next norm takes out again.
 */
enum lorac_compute lorac_module_compute(const struct lorac_model *m, const struct lorac_module *l)
{
    bool rough = m->compute == LORAC_INT8 && l->role != LORAC_ROLE_LINEAR;
    bool fast = rough && !m->dev->ops->lacks(m->dev, LORAC_BFLOAT16);
    return fast ? LORAC_BFLOAT16 : rough ? LORAC_FLOAT32 : m->compute;
}

static bool is_multiplied(const struct lorac_model *m, size_t i)
{
    return m->module[i].role == LORAC_ROLE_LINEAR || i == m->head;
}

/* The first module that backward products come to where so many layers are frozen. */
static size_t lowest_of(const struct lorac_model *m, size_t frozen)
{
    const struct lorac_program *p = m->config.program;
    size_t end = p->front.n + m->config.L * p->layer.n + m->config.head->steps.n;
    size_t i = frozen > m->config.L ? end : frozen ? p->front.n + frozen * p->layer.n : 0;
    while (i < end && m->step[i] == LORAC_NO_MODULE) {
        i++;
    }
    return i < end ? m->step[i] : m->n_modules;
}

/* Bytes of copies, of weights stored in the type of their products (`own`) or in others: those of
 * backward products as well from module `lowest` on. */
static size_t copies_of(const struct lorac_model *m, bool own, size_t lowest)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        enum lorac_compute compute = lorac_module_compute(m, l);
        bool is_own = compute == LORAC_BFLOAT16 && l->dtype == LORAC_BF16;
        if (!is_multiplied(m, i) || is_own != own) { continue; }
        bytes += m->dev->ops->weight_bytes(m->dev, l->dtype, l->OC, l->C, compute, i >= lowest);
    }
    return bytes;
}

/* Are copies made before they are needed? Those of forward products alone, *lowest then no module,
 * where all are too many: evaluations and recomputed layers read them, too. */
static bool are_made(const struct lorac_model *m, size_t *lowest)
{
    size_t most = lorac_machine_memory() / 4;
    if (copies_of(m, false, *lowest) + copies_of(m, true, *lowest) <= most) { return true; }
    *lowest = m->n_modules;
    return copies_of(m, false, *lowest) + copies_of(m, true, *lowest) <= most;
}

size_t lorac_model_copies(const struct lorac_model *m, size_t frozen, size_t *left_out)
{
    size_t lowest = lowest_of(m, frozen);
    size_t made_from = lowest;
    size_t own = are_made(m, &made_from) ? copies_of(m, true, made_from) : 0;
    if (left_out) { *left_out = copies_of(m, true, lowest) - own; }
    return copies_of(m, false, lowest) + own;
}

void lorac_model_prepare(const struct lorac_model *m, size_t frozen)
{
    size_t lowest = lowest_of(m, frozen);
    if (m->compute == LORAC_FLOAT32 || !are_made(m, &lowest)) { return; }
    const struct lorac_weight **w = lorac_mem_new(m->n_modules, sizeof *w);
    if (!w) { return; }
    size_t n = 0;
    size_t below = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        if (!is_multiplied(m, i)) { continue; }
        below += i < lowest;
        w[n++] = m->module[i].w;
    }
    m->dev->ops->weights_prepare(m->dev, w, below, false);
    m->dev->ops->weights_prepare(m->dev, w + below, n - below, true);
    lorac_mem_free(w);
    lorac_checkpoint_forget(m->files); // products read the copies from now on
}
