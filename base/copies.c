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

/* Do products read its own weight? */
static bool is_multiplied(const struct lorac_model *m, const struct lorac_socket *socket, size_t i)
{
    bool replaced = socket && socket->weight && socket->weight(socket->self, i);
    return (m->module[i].role == LORAC_ROLE_LINEAR || i == m->head) && !replaced;
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

/* Is it stored in the type of its products? They are faster with a copy then, but need none. */
static bool is_own(const struct lorac_model *m, size_t i)
{
    const struct lorac_module *l = &m->module[i];
    return lorac_module_compute(m, l) == LORAC_BFLOAT16 && l->dtype == LORAC_BF16;
}

/* Bytes of copies, of weights stored in the type of their products (`own`) or in others: those of
 * backward products as well from module `lowest` on. */
static size_t copies_of(const struct lorac_model *m, const struct lorac_socket *socket, bool own,
                        size_t lowest)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        enum lorac_compute compute = lorac_module_compute(m, l);
        if (!is_multiplied(m, socket, i) || is_own(m, i) != own) { continue; }
        bytes += m->dev->ops->weight_bytes(m->dev, l->dtype, l->OC, l->C, compute, i >= lowest);
    }
    return bytes;
}

/* Are copies made that no product needs? Those of forward products alone, *lowest then no module,
 * where all are too many: evaluations and recomputed layers read them, too. */
static bool own_are_made(const struct lorac_model *m, const struct lorac_socket *socket,
                         size_t *lowest)
{
    size_t most = lorac_machine_memory() / 4;
    for (int i = 0; i < 2; i++, *lowest = m->n_modules) {
        size_t needed = copies_of(m, socket, false, *lowest);
        if (needed + copies_of(m, socket, true, *lowest) <= most) { return true; }
    }
    return false;
}

size_t lorac_model_copies(const struct lorac_model *m, const struct lorac_socket *socket,
                          size_t frozen, size_t *left_out)
{
    size_t lowest = lowest_of(m, frozen);
    size_t made_from = lowest;
    bool made = own_are_made(m, socket, &made_from);
    size_t own = made ? copies_of(m, socket, true, made_from) : 0;
    if (left_out) { *left_out = copies_of(m, socket, true, lowest) - own; }
    return copies_of(m, socket, false, lowest) + own;
}

/* ---- making them ---- */

enum { AT_ONCE = 64 << 20 }; // bytes of stored weights that are in memory for it

/* Those of n weights, whose pages are not read again. */
static void make(const struct lorac_model *m, const struct lorac_weight *const *w, size_t n,
                 bool back)
{
    if (n == 0) { return; }
    m->dev->ops->weights_prepare(m->dev, w, n, back);
    lorac_checkpoint_forget(m->files);
}

void lorac_model_prepare(const struct lorac_model *m, const struct lorac_socket *socket,
                         size_t frozen)
{
    if (m->compute == LORAC_FLOAT32) { return; }
    size_t lowest = lowest_of(m, frozen);
    size_t own_lowest = lowest;
    bool own = own_are_made(m, socket, &own_lowest);
    const struct lorac_weight **w = lorac_mem_new(m->n_modules, sizeof *w);
    size_t n = 0;
    size_t bytes = 0; // of them, as they are stored
    bool back = false;
    for (size_t i = 0; i < m->n_modules && w; i++) {
        const struct lorac_module *l = &m->module[i];
        bool skip = lorac_module_compute(m, l) == LORAC_FLOAT32 || (is_own(m, i) && !own);
        if (!is_multiplied(m, socket, i) || skip) { continue; }
        bool both = i >= (is_own(m, i) ? own_lowest : lowest);
        if (both != back || bytes >= AT_ONCE) {
            make(m, w, n, back);
            n = bytes = 0;
        }
        back = both;
        w[n++] = l->w;
        bytes += lorac_dtype_bytes(l->dtype, l->OC * l->C);
    }
    make(m, w, n, back);
    lorac_mem_free(w);
}

size_t lorac_model_let_go(const struct lorac_model *m, const struct lorac_socket *socket)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        enum lorac_compute compute = lorac_module_compute(m, l);
        bool looked_up = i == m->head && lorac_model_is_tied(m);
        if (!is_multiplied(m, socket, i) || is_own(m, i) || looked_up || l->drawn) { continue; }
        bool copied = m->dev->ops->weight_bytes(m->dev, l->dtype, l->OC, l->C, compute, false);
        bytes += copied ? lorac_dtype_bytes(l->dtype, l->OC * l->C) : 0;
    }
    return bytes;
}
