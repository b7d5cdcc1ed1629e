/* copies.c - copies of weights, packed for their products; see model.h. */
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

/* Bytes of copies, of weights stored in the type of their products (`own`) or in others: those of
 * backward products as well where `back`. */
static size_t copies_of(const struct lorac_model *m, bool own, bool back)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        enum lorac_compute compute = lorac_module_compute(m, l);
        bool is_own = compute == LORAC_BFLOAT16 && l->dtype == LORAC_BF16;
        if (!is_multiplied(m, i) || is_own != own) { continue; }
        bytes += m->dev->ops->weight_bytes(m->dev, l->dtype, l->OC, l->C, compute, back);
    }
    return bytes;
}

/* For how many directions copies are made before they are needed: forward first, whose copies
 * evaluations and recomputed layers read, too. */
static int directions(const struct lorac_model *m, bool back)
{
    size_t most = lorac_machine_memory() / 4;
    size_t needed = copies_of(m, false, back);
    if (needed + copies_of(m, true, back) <= most) { return 1 + back; }
    return needed + copies_of(m, true, false) <= most;
}

size_t lorac_model_copies(const struct lorac_model *m, size_t *left_out)
{
    int made = directions(m, true);
    size_t own = made ? copies_of(m, true, made > 1) : 0;
    if (left_out) { *left_out = copies_of(m, true, true) - own; }
    return copies_of(m, false, true) + own;
}

void lorac_model_prepare(const struct lorac_model *m, bool back)
{
    int made = m->compute == LORAC_FLOAT32 ? 0 : directions(m, back);
    if (!made) { return; }
    const struct lorac_weight **w = lorac_mem_new(m->n_modules, sizeof *w);
    size_t n = 0;
    for (size_t i = 0; i < m->n_modules && w; i++) {
        if (is_multiplied(m, i)) { w[n++] = m->module[i].w; }
    }
    m->dev->ops->weights_prepare(m->dev, w, n, made > 1);
    lorac_mem_free(w);
    lorac_checkpoint_forget(m->files); // products read the copies from now on
}
