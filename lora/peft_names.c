/* peft_names.c - see peft_names.h. */
#include "lora/peft_names.h"

#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "base_model.model.";

/* The adapter's name in a tensor's, with the dot before it: "X.lora_A[.default].weight". False:
 * there is none. */
static bool find_adapter(size_t *at, size_t *n, const char *name)
{
    static const char *const parts[] = {".lora_", ".modules_to_save."};
    const char *part = NULL;
    for (size_t i = 0; i < 2 && !part; i++) {
        for (const char *s = strstr(name, parts[i]); s; s = strstr(s + 1, parts[i])) {
            part = s;
        }
    }
    if (!part) { return false; }
    const char *begin = part + 1 + strcspn(part + 1, "."); // behind "lora_A"
    if (!*begin) { return false; }
    const char *end = begin + 1 + strcspn(begin + 1, ".");
    bool bare = strncmp(part, ".lora_embedding_", 16) == 0; // has no ".weight"
    bool one = *end == '.' && !strchr(end + 1, '.');
    if (end == begin + 1 || (bare ? *end != '\0' : !one)) { return false; }
    *at = (size_t)(begin - name);
    *n = (size_t)(end - begin);
    return true;
}

/* What the names of a file have in common. */
struct spelling {
    bool bare;         // none has the prefix
    const char *first; // a tensor with an adapter's name, or NULL
    size_t at, n;      // the name in it
};

static enum lorac_status look(struct spelling *s, const struct lorac_checkpoint *files,
                              const char *path, struct lorac_err *err)
{
    bool pairs = false;
    *s = (struct spelling){.bare = true};
    for (size_t i = 0; i < lorac_checkpoint_count(files); i++) {
        const char *name = lorac_checkpoint_at(files, i)->name;
        size_t at = 0;
        size_t n = 0;
        s->bare = s->bare && strncmp(name, prefix, sizeof prefix - 1) != 0;
        pairs = pairs || strstr(name, ".lora_A") || strstr(name, ".lora_B");
        if (!find_adapter(&at, &n, name)) { continue; }
        if (s->first && (s->n != n || memcmp(s->first + s->at, name + at, n) != 0)) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: holds tensors of two adapters, '%.*s' and '%.*s'; expected one",
                              path, (int)s->n - 1, s->first + s->at + 1, (int)n - 1, name + at + 1);
        }
        if (!s->first) { *s = (struct spelling){s->bare, name, at, n}; }
    }
    s->bare = s->bare && pairs;
    return LORAC_OK;
}

static void put(void *self, char to[LORAC_NAME_SIZE], const char *name)
{
    const struct spelling *s = self;
    size_t at = strlen(name);
    size_t n = 0;
    if (!find_adapter(&at, &n, name)) { n = 0; }
    const char *tail = name + at + n;
    const char *bare = ".lora_magnitude_vector"; // a module in memory, a tensor in the file
    size_t b = strlen(bare);
    if (n && at >= b && memcmp(name + at - b, bare, b) == 0) { tail = ""; }
    const char *wrapper = ".modules_to_save";
    size_t k = strlen(wrapper);
    if (n && at >= k && memcmp(name + at - k, wrapper, k) == 0) { at -= k; }
    (void)snprintf(to, LORAC_NAME_SIZE, "%s%.*s%s", s->bare ? prefix : "", (int)at, name, tail);
}

enum lorac_status lorac_peft_names(struct lorac_checkpoint *files, const char *path,
                                   struct lorac_err *err)
{
    struct spelling s;
    enum lorac_status st = look(&s, files, path, err);
    if (st || (!s.first && !s.bare)) { return st; }
    char first[LORAC_NAME_SIZE] = "";
    if (s.first) { // the names below change
        (void)snprintf(first, sizeof first, "%s", s.first);
        s.first = first;
    }
    return lorac_checkpoint_rename(files, put, &s, err);
}

static bool holds_module(const struct lorac_checkpoint *files, const char *module)
{
    size_t n = strlen(module);
    bool yes = false;
    for (size_t i = 0; i < lorac_checkpoint_count(files) && !yes; i++) {
        const char *name = lorac_checkpoint_at(files, i)->name;
        yes = strncmp(name, prefix, sizeof prefix - 1) == 0 &&
              strncmp(name + sizeof prefix - 1, module, n) == 0 &&
              name[sizeof prefix - 1 + n] == '.';
    }
    return yes;
}

enum lorac_status lorac_peft_old_modules(struct lorac_module **out, const struct lorac_model *m,
                                         const struct lorac_checkpoint *files,
                                         struct lorac_err *err)
{
    struct lorac_module *old = lorac_mem_new(m->n_modules, sizeof *old);
    bool used = false;
    *out = NULL;
    if (!old) { return lorac_fail(err, LORAC_ENOMEM, "no memory for names of modules"); }
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *module = &m->module[i];
        old[i] = *module;
        lorac_module_other_name(old[i].name, m, module);
        used = used || (strcmp(old[i].name, module->name) != 0 && holds_module(files, old[i].name));
    }
    if (used) {
        *out = old;
    } else {
        lorac_mem_free(old);
    }
    return LORAC_OK;
}
