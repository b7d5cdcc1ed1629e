/* optim_impl.h - what an optimiser is: one row, in a file of its own. Internal to lora. */
#ifndef LORAC_LORA_OPTIM_IMPL_H
#define LORAC_LORA_OPTIM_IMPL_H

#include "lora/lora.h"

struct lorac_optim {
    const struct lorac_optimiser *kind;
    struct lorac_optim_options o;
    struct lorac_adapter *a; // borrowed
    float *moments;          // (n_blocks,n_params) device memory
    size_t steps;            // done
};

struct lorac_optimiser {
    const char *name;     // as a recipe writes it
    size_t n_blocks;      // moments kept, at most 2
    const char *block[2]; // their names in the resume state
    const char *reads[3]; // options that others do not have: "betas", "eps", "momentum"
    /* Parameters first .. first+n-1: their gradients are sums that count g_scale; decay by wd. */
    void (*step)(struct lorac_optim *o, size_t first, size_t n, double g_scale, double lr,
                 double wd);
};

extern const struct lorac_optimiser lorac_adamw; // optim_adamw.c
extern const struct lorac_optimiser lorac_sgd;   // optim_sgd.c

/* The table's own name, or NULL where there is none such. NULL is the first. */
const char *lorac_schedule_find(const char *name);

#endif
