/*
 * peft_tensors.c - see peft_tensors.h.
 *
 *   base_model.model.<module>.lora_A.weight     (R,C)     a pair
 *   base_model.model.<module>.lora_B.weight     (OC,R)
 *   base_model.model.<module>.weight            (OC,C)    a full copy; of a norm (C)
 *   base_model.model.<module>.bias              (OC)      of a LayerNorm (C)
 *   base_model.model.<module>.base_layer.bias   (OC)      where the module has a pair, too
 *
 * (huggingface/peft: utils/save_and_load.py)
 */
#include "lora/peft_tensors.h"

#include "base/core/mem.h"
#include "lora/methods/methods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_site(struct lorac_peft_tensors *list, const struct lorac_adapter *a, size_t i)
{
    for (size_t k = 0; k < LORAC_SITE_TENSORS && a->method->tensor[k]; k++) {
        struct lorac_shape shape = a->method->shape(&a->site[i], k);
        struct lorac_peft_tensor *t = &list->at[list->n++];
        *t = (struct lorac_peft_tensor){.part = LORAC_PEFT_SITE,
                                        .i = i,
                                        .k = k,
                                        .n_dims = shape.n_dims,
                                        .dims = {shape.dims[0], shape.dims[1]}};
        lorac_site_tensor_name(t->name, a, i, k);
    }
}

/* The tensors of a vector: a bias, or what a norm has. */
static void add_vector(struct lorac_peft_tensors *list, const struct lorac_adapter *a, size_t i,
                       const struct lorac_module *module)
{
    const struct lorac_full *f = &a->full[i];
    size_t parts = lorac_vector_parts(&a->model->config, module);
    size_t n = (f->first + f->n) / parts;
    bool pair = a->at[f->m] >= 0;
    for (size_t k = f->first / n; k < parts; k++) {
        struct lorac_peft_tensor *t = &list->at[list->n++];
        *t = (struct lorac_peft_tensor){
            .part = LORAC_PEFT_FULL, .i = i, .first = k * n - f->first, .n_dims = 1, .dims = {n}};
        (void)snprintf(t->name, sizeof t->name, "base_model.model.%s%s.%s", module->name,
                       pair ? ".base_layer" : "", lorac_vector_name(module, k));
    }
}

/* `module`: under which name; the second of a tied pair has an entry of the first. */
static void add_full(struct lorac_peft_tensors *list, const struct lorac_adapter *a, size_t i,
                     size_t module)
{
    const struct lorac_full *f = &a->full[i];
    if (f->vector) {
        add_vector(list, a, i, &a->model->module[module]);
        return;
    }
    struct lorac_peft_tensor *t = &list->at[list->n++];
    const struct lorac_module *l = &a->model->module[f->m];
    *t = (struct lorac_peft_tensor){
        .part = LORAC_PEFT_FULL,
        .i = i,
        .n_dims = 2,
        .dims = {l->transposed ? l->C : l->OC, l->transposed ? l->OC : l->C}};
    (void)snprintf(t->name, sizeof t->name, "base_model.model.%s.weight",
                   a->model->module[module].name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct lorac_peft_tensor *)a)->name,
                  ((const struct lorac_peft_tensor *)b)->name);
}

enum lorac_status lorac_peft_tensors(struct lorac_peft_tensors *out, const struct lorac_adapter *a,
                                     struct lorac_err *err)
{
    size_t most = LORAC_SITE_TENSORS * a->n + 2 * a->n_full + 1; // a vector may be two
    *out = (struct lorac_peft_tensors){.at = lorac_mem_new(most, sizeof *out->at)};
    if (!out->at) { return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu tensors", most); }
    for (size_t i = 0; i < a->n; i++) {
        add_site(out, a, i);
    }
    for (size_t i = 0; i < a->n_full; i++) {
        const struct lorac_full *f = &a->full[i];
        add_full(out, a, i, f->m);
        bool both = a->tie == LORAC_TIE_KEEP && f->m == a->model->embed;
        if (both) { add_full(out, a, i, a->model->head); }
    }
    qsort(out->at, out->n, sizeof *out->at, by_name);
    return LORAC_OK;
}

const struct lorac_peft_tensor *lorac_peft_tensor_find(const struct lorac_peft_tensors *list,
                                                       const char *name)
{
    struct lorac_peft_tensor key = {.n_dims = 0};
    (void)snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, list->at, list->n, sizeof key, by_name);
}

size_t lorac_peft_tensor_size(const struct lorac_peft_tensor *t)
{
    return t->dims[0] * (t->n_dims == 2 ? t->dims[1] : 1);
}

size_t lorac_peft_tensors_largest(const struct lorac_peft_tensors *list)
{
    size_t most = 0;
    for (size_t i = 0; i < list->n; i++) {
        size_t n = lorac_peft_tensor_size(&list->at[i]);
        most = n > most ? n : most;
    }
    return most;
}

enum lorac_status lorac_peft_tensor_read(float *host, const struct lorac_adapter *a,
                                         const struct lorac_peft_tensor *t, struct lorac_err *err)
{
    struct lorac_device *dev = a->model->dev;
    if (t->part != LORAC_PEFT_FULL) { return lorac_site_read(host, a, t->i, t->k, err); }
    dev->ops->read(dev, host, a->full[t->i].p + t->first, lorac_peft_tensor_size(t) * sizeof *host);
    return LORAC_OK;
}

enum lorac_status lorac_peft_tensor_write(struct lorac_adapter *a,
                                          const struct lorac_peft_tensor *t, const float *host,
                                          struct lorac_err *err)
{
    struct lorac_device *dev = a->model->dev;
    if (t->part != LORAC_PEFT_FULL) { return lorac_site_write(a, t->i, t->k, host, err); }
    dev->ops->write(dev, a->full[t->i].p + t->first, host,
                    lorac_peft_tensor_size(t) * sizeof *host);
    return LORAC_OK;
}
