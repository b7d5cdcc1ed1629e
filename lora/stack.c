/* stack.c - several adapters beside one base, each with its own factor; nothing here trains. */
#include "lora/methods/methods.h"

/* Which adapter before the i-th holds module k in full, as it does; i: none. */
static size_t other_of(const struct lorac_stack *s, size_t i, size_t k)
{
    const struct lorac_adapter *a = s->adapter[i];
    size_t j = 0;
    for (; j < i; j++) {
        const struct lorac_adapter *b = s->adapter[j];
        if (a->weight_at[k] >= 0 && b->weight_at[k] >= 0) { break; }
        if (a->vector_at[k] >= 0 && b->vector_at[k] >= 0) { break; }
    }
    return j;
}

/* What a method that doesn't add up does to a layer can neither be scaled nor shared. */
static enum lorac_status check_sites(const struct lorac_stack *s, size_t i, struct lorac_err *err)
{
    const struct lorac_adapter *a = s->adapter[i];
    if (a->n && !a->method->adds && s->factor[i] != 1.0F) {
        return lorac_fail(err, LORAC_EUSER,
                          "adapter %zu has the factor %g, but is %s, which cannot be scaled", i + 1,
                          (double)s->factor[i], a->method->title);
    }
    for (size_t j = 0; j < i; j++) {
        const struct lorac_adapter *b = s->adapter[j];
        if (a->method->adds && b->method->adds) { continue; }
        for (size_t k = 0; k < a->model->n_modules; k++) {
            if (a->at[k] < 0 || b->at[k] < 0) { continue; }
            return lorac_fail(err, LORAC_EUSER,
                              "adapters %zu (%s) and %zu (%s) both sit on '%s': only LoRA adds up",
                              j + 1, b->method->title, i + 1, a->method->title,
                              a->model->module[k].name);
        }
    }
    return LORAC_OK;
}

enum lorac_status lorac_stack_check(const struct lorac_stack *s, struct lorac_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_adapter *a = s->adapter[i];
        enum lorac_status st = check_sites(s, i, err);
        if (st) { return st; }
        if (a->n_full == 0) { continue; }
        if (s->factor[i] != 1.0F) {
            return lorac_fail(
                err, LORAC_EUSER,
                "adapter %zu has the factor %g, but holds '%s' trained in full, which "
                "cannot be scaled",
                i + 1, (double)s->factor[i], a->model->module[a->full[0].m].name);
        }
        for (size_t k = 0; k < a->model->n_modules; k++) {
            size_t j = other_of(s, i, k);
            if (j == i) { continue; }
            return lorac_fail(err, LORAC_EUSER,
                              "adapters %zu and %zu both hold '%s' trained in full: one of them "
                              "would be lost",
                              j + 1, i + 1, a->model->module[k].name);
        }
    }
    return LORAC_OK;
}

static bool adapts(const void *self, size_t m)
{
    const struct lorac_stack *s = self;
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        any = any || lorac_adapter_holds(s->adapter[i], m);
    }
    return any;
}

/* At most one adapter of a stack has a copy of a tensor, with factor 1 (lorac_stack_check). */
static const struct lorac_weight *weight(const void *self, size_t m)
{
    const struct lorac_stack *s = self;
    for (size_t i = 0; i < s->n; i++) {
        int32_t at = s->adapter[i]->weight_at[m];
        if (at >= 0) { return s->adapter[i]->full[at].w; }
    }
    return NULL;
}

static const float *vector(const void *self, size_t m, size_t first)
{
    const struct lorac_stack *s = self;
    for (size_t i = 0; i < s->n; i++) {
        int32_t at = s->adapter[i]->vector_at[m];
        if (at < 0) { continue; }
        const struct lorac_full *f = &s->adapter[i]->full[at];
        return first >= f->first ? f->p + (first - f->first) : NULL;
    }
    return NULL;
}

static bool trains(const void *self, size_t m)
{
    (void)self;
    (void)m;
    return false;
}

static const struct lorac_site *site_of(const struct lorac_stack *s, size_t i, size_t m)
{
    int32_t at = s->adapter[i]->at[m];
    return at >= 0 ? &s->adapter[i]->site[at] : NULL;
}

static size_t saved_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_stack *s = self;
    size_t most = 0; // one adapter after the other uses the same memory
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_site *site = site_of(s, i, m);
        size_t n = site ? s->adapter[i]->method->saved_floats(site, N) : 0;
        most = n > most ? n : most;
    }
    return most;
}

/* The first runs the layer, the others add to its output; where none has a pair, it runs alone,
 * with what stands in for the base's tensors. */
static void forward(void *self, float *y, const float *x, const struct lorac_linear *l)
{
    const struct lorac_stack *s = self;
    struct lorac_linear at = *l;
    at.training = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_site *site = site_of(s, i, l->m);
        if (!site) { continue; }
        struct lorac_site scaled = *site;
        scaled.scale *= s->factor[i];
        s->adapter[i]->method->forward(s->adapter[i], &scaled, y, x, &at);
        at.w = NULL;
    }
    lorac_linear_forward(&at, y, x); // nothing where one ran it
}

struct lorac_socket lorac_stack_socket(struct lorac_stack *s)
{
    return (struct lorac_socket){
        .self = s,
        .adapts = adapts,
        .trains = trains,
        .saved_floats = saved_floats,
        .forward = forward,
        .weight = weight,
        .vector = vector,
    };
}
