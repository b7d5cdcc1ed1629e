/* names.c - what modules and tensors are called in files that write them otherwise, and which parts
 * of them are not run: the tables of an architecture (arch.h). */
#include "base/names.h"

#include "base/arch/arch.h"

#include <stdio.h>
#include <string.h>

/* `name` with another end, where a row of `r` has it: from file to own, or from own to file. */
static bool swap_end(char out[LORAC_NAME_SIZE], const char *name, const struct lorac_rename *r,
                     bool to_own)
{
    for (; r && r->name; r++) {
        const char *from = to_own ? r->file : r->name;
        size_t n = strlen(name);
        size_t k = strlen(from);
        if (n < k || strcmp(name + n - k, from) != 0) { continue; }
        (void)snprintf(out, LORAC_NAME_SIZE, "%.*s%s", (int)(n - k), name,
                       to_own ? r->name : r->file);
        return true;
    }
    return false;
}

bool lorac_tensor_other_name(char other[LORAC_NAME_SIZE], const struct lorac_model *m,
                             const char *name)
{
    const struct lorac_arch *a = m->config.kind;
    return swap_end(other, name, a->tensors, false) || swap_end(other, name, a->old_tensors, false);
}

void lorac_tensor_own_name(char own[LORAC_NAME_SIZE], const struct lorac_model *m, const char *name)
{
    const struct lorac_arch *a = m->config.kind;
    if (swap_end(own, name, a->tensors, true) || swap_end(own, name, a->old_tensors, true)) {
        return;
    }
    (void)snprintf(own, LORAC_NAME_SIZE, "%s", name);
}

void lorac_tensor_file_name(char file[LORAC_NAME_SIZE], const struct lorac_config *c,
                            const char *name)
{
    if (!swap_end(file, name, c->kind->tensors, false)) {
        (void)snprintf(file, LORAC_NAME_SIZE, "%s", name);
    }
}

bool lorac_model_is_part(const struct lorac_model *m)
{
    return m->config.kind->inner != NULL;
}

bool lorac_model_leaves_out(const struct lorac_model *m, const char *name)
{
    const char *const *part = m->config.kind->ignored;
    bool yes = false;
    for (; part && *part && !yes; part++) {
        yes = **part != '.' && strncmp(name, *part, strlen(*part)) == 0;
    }
    return yes;
}

void lorac_module_other_name(char other[LORAC_MODULE_NAME], const struct lorac_model *m,
                             const struct lorac_module *module)
{
    const struct lorac_rename *r = m->config.kind->renames;
    (void)snprintf(other, LORAC_MODULE_NAME, "%s", module->name);
    for (; r && r->name; r++) {
        size_t n = strlen(r->name);
        if (strncmp(module->name, r->name, n) != 0) { continue; }
        (void)snprintf(other, LORAC_MODULE_NAME, "%s%s", r->file, module->name + n);
        return;
    }
}
