/*
 * peft.c - reading a PEFT adapter folder. The writer is peft_save.c.
 *
 *   adapter_config.json         modules, ranks, alphas           peft_config.h
 *   adapter_model.safetensors   base_model.model.<module>.lora_A.weight  (R,C)
 *                               base_model.model.<module>.lora_B.weight  (OC,R)
 *   its metadata                lorac.base: fingerprint of the base; lorac.template: the prompt template
 *
 * The two files must tell the same story: the modules that the config gives this model are exactly those
 * that have tensors, and ranks agree with shapes. (huggingface/peft: utils/save_and_load.py)
 */
#include "lora/peft_files.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/nearest.h"
#include "lora/peft_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum part { PART_A, PART_B, PART_BASE, PART_OTHER };
enum { SEEN_A = 1, SEEN_B = 2 };

struct reader {
    const struct lorac_model *m;
    char *config_path, *tensor_path;
    struct lorac_peft_config config;
    struct lorac_checkpoint *files;
    struct lorac_match *match; // (n_modules) what the config says
    unsigned char *seen;       // (n_modules)
};

static bool cut_end(char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    if (n < k || strcmp(name + n - k, end) != 0) { return false; }
    name[n - k] = '\0';
    return true;
}

/* The module and the part that a tensor's name stands for. */
static enum part split(char module[LORAC_NAME_SIZE], const char *name)
{
    static const char prefix[] = "base_model.model.";
    module[0] = '\0';
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) { return PART_OTHER; }
    (void)snprintf(module, LORAC_NAME_SIZE, "%s", name + sizeof prefix - 1);
    if (cut_end(module, ".lora_A.weight")) { return PART_A; }
    if (cut_end(module, ".lora_B.weight")) { return PART_B; }
    if (cut_end(module, ".base_layer.weight") || cut_end(module, ".weight")) { return PART_BASE; }
    return PART_OTHER;
}

static const char *shape_text(char *text, size_t size, const struct lorac_tensor *t)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < t->n_dims && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%zu", i ? "," : "", t->dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}

/* Elements to a new block of floats (lorac_mem_free), all finite. */
static enum lorac_status decode(float **out, const char *file, const struct lorac_tensor *t,
                                struct lorac_err *err)
{
    float *x = lorac_mem_new(t->n, sizeof *x);
    *out = NULL;
    if (!x) {
        (void)lorac_fail(err, LORAC_ENOMEM, "%s: no memory for '%s'", file, t->name);
        return LORAC_ENOMEM;
    }
    lorac_dtype_decode(x, t->data, t->dtype, t->n);
    for (size_t i = 0; i < t->n; i++) {
        if (!isfinite(x[i])) {
            (void)lorac_fail(err, LORAC_EFORMAT,
                             "%s: tensor '%s': element %zu is %f, a finite number was expected",
                             file, t->name, i, (double)x[i]);
            lorac_mem_free(x);
            return LORAC_EFORMAT;
        }
    }
    *out = x;
    return LORAC_OK;
}

/* PEFT also stores the embedding and the output matrix of the base where an adapter sits on one, or when told
 * to. As long as they are the base's own they say nothing; trained ones would be lost. */
static enum lorac_status check_base_copy(const struct reader *r, const struct lorac_tensor *t,
                                         const char *module, struct lorac_err *err)
{
    char name[LORAC_NAME_SIZE + 8];
    float *got = NULL;
    float *want = NULL;
    (void)snprintf(name, sizeof name, "%s.weight", module);
    const struct lorac_tensor *base = lorac_checkpoint_find(r->m->files, name);
    if (!base && r->m->config.tie && strcmp(module, "lm_head") == 0) {
        base = lorac_checkpoint_find(r->m->files, "model.embed_tokens.weight");
    }
    if (!base) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s' is neither an A or B of LoRA nor a weight of the base",
                          r->tensor_path, t->name);
    }
    bool same = base->n_dims == t->n_dims && base->n == t->n &&
                memcmp(base->dims, t->dims, t->n_dims * sizeof t->dims[0]) == 0;
    enum lorac_status st = same ? decode(&got, r->tensor_path, t, err) : LORAC_OK;
    if (!st && same) { st = decode(&want, r->m->dir, base, err); }
    if (!st && (!same || memcmp(got, want, t->n * sizeof *got) != 0)) {
        st = lorac_fail(err, LORAC_EFORMAT,
                        "%s: tensor '%s' differs from the base's '%s'; weights of the base that "
                        "were trained are not supported",
                        r->tensor_path, t->name, base->name);
    }
    lorac_mem_free(got);
    lorac_mem_free(want);
    return st;
}

static enum lorac_status no_such_part(const struct reader *r, const struct lorac_tensor *t,
                                      struct lorac_err *err)
{
    const char *why = "is not named base_model.model.<module>.lora_A.weight or lora_B.weight";
    if (strstr(t->name, ".lora_magnitude_vector")) {
        why = "belongs to DoRA, which is not supported";
    }
    if (strstr(t->name, ".lora_embedding_")) {
        why = "adapts an embedding, which is not supported";
    }
    if (strstr(t->name, ".bias")) { why = "is a trained bias, which is not supported"; }
    return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' %s", r->tensor_path, t->name, why);
}

static enum lorac_status check_tensor(struct reader *r, const struct lorac_tensor *t,
                                      struct lorac_err *err)
{
    char module[LORAC_NAME_SIZE];
    enum part part = split(module, t->name);
    if (part == PART_OTHER) { return no_such_part(r, t, err); }
    if (part == PART_BASE) { return check_base_copy(r, t, module, err); }
    size_t m = 0;
    while (m < r->m->n_linear && strcmp(r->m->linear[m].name, module) != 0) {
        m++;
    }
    if (m == r->m->n_linear) {
        char near[200];
        lorac_nearest_modules(near, sizeof near, r->m, module);
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: tensor '%.120s': the model has no such linear layer; the nearest are "
            "%s",
            r->tensor_path, t->name, near);
    }
    size_t rank = r->match[m].rank;
    if (rank == 0) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s': target_modules of %s does not name this module",
                          r->tensor_path, t->name, LORAC_PEFT_CONFIG);
    }
    const struct lorac_weight *w = &r->m->linear[m].w;
    size_t rows = part == PART_A ? rank : w->OC;
    size_t cols = part == PART_A ? w->C : rank;
    if (t->n_dims != 2 || t->dims[0] != rows || t->dims[1] != cols) {
        char shape[100];
        return lorac_fail(
            err, LORAC_EFORMAT, "%s: tensor '%s' has shape (%s), expected (%zu,%zu) for rank %zu",
            r->tensor_path, t->name, shape_text(shape, sizeof shape, t), rows, cols, rank);
    }
    r->seen[m] |= part == PART_A ? SEEN_A : SEEN_B;
    return LORAC_OK;
}

static enum lorac_status check_tensors(struct reader *r, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_checkpoint_count(r->files) && !st; i++) {
        st = check_tensor(r, lorac_checkpoint_at(r->files, i), err);
    }
    for (size_t m = 0; m < r->m->n_linear && !st; m++) {
        if (r->match[m].rank && r->seen[m] != (SEEN_A | SEEN_B)) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "%s: tensor 'base_model.model.%s.lora_%c.weight' is missing; "
                            "target_modules of %s names its module",
                            r->tensor_path, r->m->linear[m].name, r->seen[m] & SEEN_A ? 'B' : 'A',
                            LORAC_PEFT_CONFIG);
        }
    }
    return st;
}

static enum lorac_status check_base(const struct reader *r, bool force, struct lorac_err *err)
{
    const char *base = lorac_checkpoint_metadata(r->files, LORAC_PEFT_BASE);
    if (force || !base || strcmp(base, r->m->fingerprint) == 0) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: was made for another base: it names fingerprint %.16s..., the model %s "
                      "has %.16s... (--force loads it all the same)",
                      r->tensor_path, base, r->m->dir, r->m->fingerprint);
}

static enum lorac_status open_files(struct reader *r, const char *dir, struct lorac_err *err)
{
    r->config_path = lorac_path_join(dir, LORAC_PEFT_CONFIG);
    r->tensor_path = lorac_path_join(dir, LORAC_PEFT_TENSORS);
    char *legacy = lorac_path_join(dir, "adapter_model.bin");
    r->match = lorac_mem_new(r->m->n_modules, sizeof *r->match);
    r->seen = lorac_mem_new(r->m->n_modules, 1);
    enum lorac_status st = LORAC_OK;
    if (!r->config_path || !r->tensor_path || !legacy || !r->match || !r->seen) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to read the adapter", dir);
        goto done;
    }
    st = lorac_peft_config_load(&r->config, r->config_path, err);
    if (st) { goto done; }
    if (!lorac_path_exists(r->tensor_path) && lorac_path_exists(legacy)) {
        st = lorac_fail(err, LORAC_ENOTSUP,
                        "%s: a pickle, which is a program and is not run; load it in PEFT and save "
                        "it again to get %s",
                        legacy, LORAC_PEFT_TENSORS);
        goto done;
    }
    st = lorac_checkpoint_open(&r->files, r->tensor_path, err);
done:
    lorac_mem_free(legacy);
    return st;
}

static enum lorac_status read_values(struct lorac_adapter *a, const struct reader *r,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < 2 * a->n && !st; i++) {
        char name[LORAC_NAME_SIZE];
        float *x = NULL;
        lorac_lora_tensor_name(name, a, i / 2, i % 2);
        st = decode(&x, r->tensor_path, lorac_checkpoint_find(r->files, name), err);
        if (!st) { st = lorac_lora_write(a, i / 2, i % 2, x, err); }
        lorac_mem_free(x);
    }
    return st;
}

static enum lorac_status make_adapter(struct lorac_adapter **out, const struct reader *r,
                                      const char *dir, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = &r->config.options;
    enum lorac_status st = lorac_adapter_alloc(out, r->m, r->match, o->scaling, o->tie, err);
    if (st) {
        lorac_err_prefix(err, "%s: ", r->tensor_path);
        return st;
    }
    struct lorac_adapter *a = *out;
    const char *template_json = lorac_checkpoint_metadata(r->files, LORAC_PEFT_TEMPLATE);
    a->init = o->init;
    lorac_adapter_set_dropout(a, o->dropout, 0);
    a->name = lorac_mem_string(dir, strlen(dir));
    if (template_json) {
        a->template_json = lorac_mem_string(template_json, strlen(template_json));
    }
    if (!a->name || (template_json && !a->template_json)) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    }
    return read_values(a, r, err);
}

enum lorac_status lorac_peft_load(struct lorac_adapter **out, const struct lorac_model *m,
                                  const char *dir, bool force, struct lorac_err *err)
{
    struct reader r = {.m = m};
    *out = NULL;
    enum lorac_status st = open_files(&r, dir, err);
    if (!st) { st = check_base(&r, force, err); }
    if (!st) { st = lorac_peft_config_match(r.match, &r.config, m, err); }
    if (!st) { st = check_tensors(&r, err); }
    if (!st) { st = make_adapter(out, &r, dir, err); }
    if (st) {
        lorac_adapter_free(*out);
        *out = NULL;
    }
    lorac_checkpoint_close(r.files);
    lorac_peft_config_free(&r.config);
    lorac_mem_free(r.match);
    lorac_mem_free(r.seen);
    lorac_mem_free(r.config_path);
    lorac_mem_free(r.tensor_path);
    return st;
}
