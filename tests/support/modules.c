/* modules.c - see modules.h. */
#include "tests/support/modules.h"

#include "base/arch/arch.h"
#include "base/core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

size_t modules_find(const struct lorac_model *m, const char *name)
{
    size_t i = lorac_module_find(m, name);
    if (i == m->n_modules) { fail_msg("no module '%s'", name); }
    return i;
}

size_t modules_layer(const struct lorac_model *m, size_t layer, const char *kind)
{
    char name[LORAC_MODULE_NAME];
    (void)snprintf(name, sizeof name, "model.layers.%zu.%s", layer, kind);
    return modules_find(m, name);
}

size_t modules_count_linear(const struct lorac_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        n += lorac_module_is_linear(&m->module[i]);
    }
    return n;
}

static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

struct lorac_model modules_llama(size_t L, bool biased)
{
    struct lorac_err err = {0};
    struct lorac_model m = {.config = {.kind = &lorac_arch_llama,
                                       .program = &lorac_program_llama,
                                       .head = &lorac_arch_llama.heads[LORAC_TASK_LM],
                                       .C = 1,
                                       .L = L,
                                       .H = 1,
                                       .G = 1,
                                       .D = 1,
                                       .F = 1,
                                       .V = 1,
                                       .Z = 1,
                                       .qkv_bias = biased,
                                       .o_bias = biased}};
    if (lorac_modules_list(&m.module, &m.n_modules, &m.step, &m.config, &err)) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < m.n_modules; i++) {
        struct lorac_module *at = &m.module[i];
        if (ends(at->name, "k_proj") || ends(at->name, "v_proj")) { at->n = 0; }
    }
    m.embed = modules_find(&m, "model.embed_tokens");
    m.head = modules_find(&m, "lm_head");
    return m;
}

void modules_free(struct lorac_model *m)
{
    lorac_mem_free(m->module);
    lorac_mem_free(m->step);
    *m = (struct lorac_model){0};
}
