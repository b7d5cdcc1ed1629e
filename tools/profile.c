/* profile.c - where a training's time went, as a table of 80 columns and as JSON; see
 * cmd_recipes.h. */
#include "tools/cmd_recipes.h"

#include <string.h>

static double seconds_of(const struct lorac_profile_row *r)
{
    return r->forward.seconds + r->backward.seconds;
}

/* All rows in one. */
static struct lorac_profile_row sum_of(const struct lorac_profile *f)
{
    struct lorac_profile_row all = {.name = "all"};
    for (size_t i = 0; i < f->n; i++) {
        struct lorac_cost *to[] = {&all.forward, &all.backward};
        const struct lorac_cost *from[] = {&f->row[i].forward, &f->row[i].backward};
        for (size_t k = 0; k < 2; k++) {
            to[k]->calls += from[k]->calls;
            to[k]->seconds += from[k]->seconds;
            to[k]->flops += from[k]->flops;
            to[k]->alone += from[k]->alone;
        }
    }
    return all;
}

static void add_row(struct lorac_buf *out, const struct lorac_profile_row *r, double all)
{
    double seconds = seconds_of(r);
    double flops = r->forward.flops + r->backward.flops;
    double alone = r->forward.alone + r->backward.alone;
    if (!(seconds > 0.0)) { return; }
    lorac_buf_printf(out, "%-25.25s %7zu %9.3f %9.3f %6.1f %%", r->name,
                     r->forward.calls + r->backward.calls, r->forward.seconds, r->backward.seconds,
                     100.0 * seconds / all);
    if (flops > 0.0 && alone > 0.0) {
        lorac_buf_printf(out, " %8.0f %7.2f", flops / seconds * 1e-9, alone / seconds);
    }
    lorac_buf_str(out, "\n");
}

/* The program's operations in its order, then what is no step of it. */
void profile_text(struct lorac_buf *out, const struct lorac_profile *f)
{
    struct lorac_profile_row all = sum_of(f);
    double total = seconds_of(&all);
    double alone = all.forward.alone + all.backward.alone;
    size_t steps = f->row[LORAC_PROFILE_REST].forward.calls;
    lorac_buf_printf(out, "%-25s %7s %9s %9s %8s %8s %7s\n", "seconds of", "calls", "forward",
                     "backward", "share", "GFLOP/s", "ceiling");
    for (size_t i = 0; i < f->n && steps; i++) {
        add_row(out, &f->row[(i + LORAC_PROFILE_STEPS) % f->n], total);
    }
    if (!steps) { return; }
    lorac_buf_printf(out, "%-25s %7zu %9.3f %9.3f\n", "all", steps, all.forward.seconds,
                     all.backward.seconds);
    lorac_buf_printf(out,
                     "A step took %.3f s. Its products with weights take %.3f s where each is "
                     "run\nalone (ceiling 1), which is %.2f of that. Where LoRA runs within its "
                     "layer's\nproduct, its time is counted there; GFLOP/s are the product's "
                     "alone.\n",
                     total / (double)steps, alone / (double)steps, alone / total);
}

static void add_cost(struct out *j, const char *key, const struct lorac_cost *c)
{
    out_begin(j, key, "{}");
    out_count(j, "calls", c->calls);
    out_real(j, "seconds", c->seconds);
    if (c->flops > 0.0) {
        out_real(j, "flops", c->flops);
        out_real(j, "alone_seconds", c->alone);
    }
    out_end(j);
}

void profile_json(struct lorac_buf *out, const struct lorac_profile *f)
{
    struct out j = {0};
    out_begin(&j, NULL, "[]");
    for (size_t i = 0; i < f->n; i++) {
        const struct lorac_profile_row *r = &f->row[(i + LORAC_PROFILE_STEPS) % f->n];
        out_begin(&j, NULL, "{}");
        out_str(&j, "operation", r->name);
        add_cost(&j, "forward", &r->forward);
        add_cost(&j, "backward", &r->backward);
        out_end(&j);
    }
    out_end(&j);
    *out = j.b;
}
