/*
 * peft.c - reading a PEFT adapter folder. The writer is peft_save.c.
 *
 *   adapter_config.json         modules, ranks, alphas, what trains in full      peft_config.h
 *   adapter_model.safetensors   the tensors that follow from it                  peft_tensors.c
 *   its metadata                lorac.base: fingerprint of the base; lorac.template: the prompt
 *                               template
 *
 * The two files must tell the same story: the modules that the config gives this model are exactly
 * those that have tensors, and ranks agree with shapes. (huggingface/peft: utils/save_and_load.py)
 */
#include "lora/peft_files.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/methods/methods.h"
#include "lora/nearest.h"
#include "lora/peft_config.h"
#include "lora/peft_names.h"
#include "lora/peft_tensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a tensor's name ends with. */
enum part { PART_PAIR, PART_BASE, PART_BIAS, PART_ECHO, PART_OTHER };

struct reader {
    const struct lorac_model *m; // or `old`
    struct lorac_model old;      // the same by the names that the file has for its modules
    char *config_path, *tensor_path;
    struct lorac_peft_config config;
    struct lorac_checkpoint *files;
    struct lorac_match *match;          // (n_modules) what the config says
    enum lorac_tie tie;                 // and of a tied pair
    struct lorac_adapter *outline;      // the same with shapes
    struct lorac_peft_tensors expected; // and its tensors
    unsigned char *seen;                // (expected.n)
};

static const char prefix[] = "base_model.model.";

static bool cut_end(char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    if (n < k || strcmp(name + n - k, end) != 0) { return false; }
    name[n - k] = '\0';
    return true;
}

/* The end of a tensor that some method has at a site. */
static bool cut_tensor(char *name)
{
    bool found = false;
    for (size_t i = 0; lorac_methods[i] && !found; i++) {
        for (size_t k = 0; k < LORAC_SITE_TENSORS && lorac_methods[i]->tensor[k] && !found; k++) {
            char end[64];
            (void)snprintf(end, sizeof end, ".%s", lorac_methods[i]->tensor[k]);
            found = cut_end(name, end);
        }
    }
    return found;
}

/* Within a block that trains in full PEFT's wrapper stands in the middle of a name:
 * "X.modules_to_save.default.Y" and "X.original_module.Y" are X.Y. False: there is none. */
static bool unwrap(char *name)
{
    static const char own[] = ".modules_to_save.";
    static const char base[] = ".original_module.";
    char *at = strstr(name, own);
    const char *end = at ? strchr(at + sizeof own - 1, '.') : NULL; // behind the adapter's name
    if (!at) {
        at = strstr(name, base);
        end = at ? at + sizeof base - 2 : NULL;
    }
    if (!end) { return false; }
    memmove(at, end, strlen(end) + 1);
    return true;
}

/* The module and the part that a tensor's name stands for. */
static enum part split(char module[LORAC_NAME_SIZE], const char *name)
{
    static const struct {
        const char *end;
        enum part part;
    } ends[] = {
        {".base_layer.weight", PART_BASE},    {".weight", PART_BASE},
        {".modules_to_save.bias", PART_ECHO}, {".lora_B.bias", PART_OTHER},
        {".base_layer.bias", PART_BIAS},      {".bias", PART_BIAS},
    };
    module[0] = '\0';
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) { return PART_OTHER; }
    (void)snprintf(module, LORAC_NAME_SIZE, "%s", name + sizeof prefix - 1);
    if (cut_tensor(module)) { return strstr(module, ".lora_") ? PART_OTHER : PART_PAIR; }
    bool wrapped = unwrap(module);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (!cut_end(module, ends[i].end)) { continue; }
        if (strstr(module, ".lora_")) { return PART_OTHER; }
        return ends[i].part == PART_BIAS && wrapped ? PART_ECHO : ends[i].part;
    }
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

/* *same: two tensors have one shape and, as float32, equal values. */
static enum lorac_status compare(bool *same, const struct reader *r, const struct lorac_tensor *t,
                                 const struct lorac_tensor *like, struct lorac_err *err)
{
    float *got = NULL;
    float *want = NULL;
    *same = like->n_dims == t->n_dims && like->n == t->n &&
            memcmp(like->dims, t->dims, t->n_dims * sizeof t->dims[0]) == 0;
    if (!*same) { return LORAC_OK; }
    enum lorac_status st = decode(&got, r->tensor_path, t, err);
    if (!st) { st = decode(&want, r->m->dir, like, err); }
    *same = !st && memcmp(got, want, t->n * sizeof *got) == 0;
    lorac_mem_free(got);
    lorac_mem_free(want);
    return st;
}

/* Only the number of rows differs: somebody added tokens to the base that the adapter was trained
 * on. */
static bool is_resized(const struct lorac_tensor *t, const struct lorac_tensor *base)
{
    return t->n_dims == 2 && base->n_dims == 2 && t->dims[0] != base->dims[0] &&
           t->dims[1] == base->dims[1];
}

static void explain_resized(struct lorac_err *err)
{
    lorac_err_add(err,
                  ": tokens were added to the base that it was trained on; PEFT adds them, too, "
                  "and makes a model that is read: in the adapter's folder, python -c \"from "
                  "peft import AutoPeftModelForCausalLM as M; M.from_pretrained('.')"
                  ".merge_and_unload().save_pretrained('../merged')\" (and the tokenizer's files "
                  "beside it)");
}

/* PEFT also stores the embedding and the output matrix of the base where an adapter sits on one, or
 * when told to. As long as they are the base's own they say nothing; trained ones would be lost. */
static enum lorac_status check_base_copy(const struct reader *r, const struct lorac_tensor *t,
                                         const char *module, struct lorac_err *err)
{
    char name[LORAC_NAME_SIZE + 8];
    bool same = false;
    size_t m = lorac_module_find(r->m, module);
    bool known = m < r->m->n_modules;
    (void)snprintf(name, sizeof name, "%s.weight", known ? r->m->module[m].file : module);
    const struct lorac_tensor *base = lorac_checkpoint_find(r->m->files, name);
    if (!base && lorac_model_is_tied(r->m) && m == r->m->head) {
        (void)snprintf(name, sizeof name, "%s.weight", r->m->module[r->m->embed].file);
        base = lorac_checkpoint_find(r->m->files, name);
    }
    if (!base) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s' is neither an A or B of LoRA nor a weight of the base",
                          r->tensor_path, t->name);
    }
    enum lorac_status st = compare(&same, r, t, base, err);
    if (st || same) { return st; }
    if (is_resized(t, base)) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' has %zu rows, the base's '%s' has %zu",
                        r->tensor_path, t->name, t->dims[0], base->name, base->dims[0]);
        explain_resized(err);
        return st;
    }
    return lorac_fail(
        err, LORAC_EFORMAT,
        "%s: tensor '%s' differs from the base's '%s', and modules_to_save of %s does "
        "not name its module",
        r->tensor_path, t->name, base->name, LORAC_PEFT_CONFIG);
}

/* With bias: all PEFT stores the bias of a module trained in full three times: as the module's own,
 * and under the names that its wrapper has in memory. They must say the same. */
static enum lorac_status check_echo(const struct reader *r, const struct lorac_tensor *t,
                                    const char *module, struct lorac_err *err)
{
    char name[LORAC_NAME_SIZE + 32];
    bool own = strstr(t->name, ".modules_to_save.") != NULL;
    bool same = false;
    size_t m = lorac_module_find(r->m, module);
    bool known = m < r->m->n_modules;
    const char *file = known ? r->m->module[m].file : module;        // as the base has it
    if (!own && known && r->m->module[m].fresh) { return LORAC_OK; } // the base has none
    (void)snprintf(name, sizeof name, own ? "base_model.model.%s.bias" : "%s.bias",
                   own ? module : file);
    const struct lorac_tensor *like = lorac_checkpoint_find(own ? r->files : r->m->files, name);
    enum lorac_status st = like ? compare(&same, r, t, like, err) : LORAC_OK;
    if (st || same) { return st; }
    return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' is not the same as '%s' of %s",
                      r->tensor_path, t->name, name, own ? "this file" : "the base");
}

static enum lorac_status no_such_part(const struct reader *r, const struct lorac_tensor *t,
                                      struct lorac_err *err)
{
    char why[160] = "is not named base_model.model.<module>.";
    for (size_t k = 0; k < LORAC_SITE_TENSORS && r->outline->method->tensor[k]; k++) {
        size_t n = strlen(why);
        (void)snprintf(why + n, sizeof why - n, "%s%s", k ? " or " : "",
                       r->outline->method->tensor[k]);
    }
    if (strstr(t->name, ".lora_embedding_")) {
        (void)snprintf(why, sizeof why, "adapts an embedding, which is not supported");
    }
    if (strstr(t->name, ".lora_B.bias")) {
        (void)snprintf(why, sizeof why, "is a bias on B, which is not supported");
    }
    return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' %s", r->tensor_path, t->name, why);
}

/* Behind a pair that doesn't fit the model: it may be another's. */
static void name_base(const struct reader *r, struct lorac_err *err)
{
    const char *base = r->config.base_name;
    if (base && *base) {
        lorac_err_add(err, "; %s names its base: %.120s", LORAC_PEFT_CONFIG, base);
    }
}

/* An A or B that the config does not ask for. */
static enum lorac_status no_such_pair(const struct reader *r, const struct lorac_tensor *t,
                                      const char *module, struct lorac_err *err)
{
    size_t m = lorac_module_find(r->m, module);
    if (m < r->m->n_modules && lorac_module_is_linear(&r->m->module[m])) {
        bool full = r->match[m].weight;
        if (r->match[m].rank) {
            return lorac_fail(
                err, LORAC_EFORMAT, "%s: tensor '%s' is no part of %s, which is the method of %s",
                r->tensor_path, t->name, lorac_adapter_title(r->outline), LORAC_PEFT_CONFIG);
        }
        return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s': %s of %s %s", r->tensor_path,
                          t->name, full ? "modules_to_save" : "target_modules", LORAC_PEFT_CONFIG,
                          full ? "takes this module, which then has no pair"
                               : "does not name this module");
    }
    char near[200];
    lorac_nearest_modules(near, sizeof near, r->m, false, module);
    enum lorac_status st =
        lorac_fail(err, LORAC_EFORMAT,
                   "%s: tensor '%.120s': the model has no such linear layer; the nearest are %s",
                   r->tensor_path, t->name, near);
    name_base(r, err);
    return st;
}

/* A tensor of a part that is not run. Targets like q_proj take that of a vision tower, too; trained
 * on texts alone its B stays zero, and the pair says nothing. */
static enum lorac_status check_beside(const struct reader *r, const struct lorac_tensor *t,
                                      struct lorac_err *err)
{
    char name[LORAC_NAME_SIZE];
    float *b = NULL;
    (void)snprintf(name, sizeof name, "%s", t->name);
    char *a = strstr(name, ".lora_A.weight");
    if (a) { memcpy(a, ".lora_B", strlen(".lora_B")); }
    const struct lorac_tensor *pair = lorac_checkpoint_find(r->files, name);
    bool zero = pair && strstr(name, ".lora_B.weight") && lorac_dtype_is_float(pair->dtype);
    if (zero) {
        enum lorac_status st = decode(&b, r->tensor_path, pair, err);
        if (st) { return st; }
        for (size_t i = 0; i < pair->n; i++) {
            zero = zero && !(fabsf(b[i]) > 0.0F);
        }
        lorac_mem_free(b);
    }
    if (zero) { return LORAC_OK; }
    if (strstr(t->name, ".pooler.")) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: tensor '%s' changes the pooler, whose output nothing here reads: "
                          "vectors are made of what leaves the last layer (lorac embed), and this "
                          "adapter was trained for others",
                          r->tensor_path, t->name);
    }
    return lorac_fail(
        err, LORAC_ENOTSUP,
        "%s: tensor '%s' changes a part of the model that is not run here, where texts "
        "alone are read; in PEFT, merge_and_unload() and save_pretrained() put the "
        "adapter into a model that is read",
        r->tensor_path, t->name);
}

static enum lorac_status unexpected(const struct reader *r, const struct lorac_tensor *t,
                                    struct lorac_err *err)
{
    char module[LORAC_NAME_SIZE];
    enum part part = split(module, t->name);
    bool runs = lorac_module_find(r->m, module) < r->m->n_modules; // a pooler may, or not
    if (!runs && lorac_model_leaves_out(r->m, module)) { return check_beside(r, t, err); }
    switch (part) {
    case PART_PAIR:
        return no_such_pair(r, t, module, err);
    case PART_BASE:
        return check_base_copy(r, t, module, err);
    case PART_ECHO:
        return check_echo(r, t, module, err);
    case PART_BIAS:
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s': neither bias nor modules_to_save of %s asks for it",
                          r->tensor_path, t->name, LORAC_PEFT_CONFIG);
    case PART_OTHER:
        break;
    }
    return no_such_part(r, t, err);
}

static enum lorac_status check_shape(const struct reader *r, const struct lorac_tensor *t,
                                     const struct lorac_peft_tensor *want, struct lorac_err *err)
{
    if (!lorac_dtype_is_float(t->dtype)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' is %s, expected floats",
                          r->tensor_path, t->name, lorac_dtype_name(t->dtype));
    }
    char shape[100];
    if (t->n_dims == want->n_dims &&
        memcmp(t->dims, want->dims, want->n_dims * sizeof want->dims[0]) == 0) {
        return LORAC_OK;
    }
    (void)shape_text(shape, sizeof shape, t);
    if (want->n_dims == 1) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' has shape (%s), expected (%zu)",
                          r->tensor_path, t->name, shape, want->dims[0]);
    }
    char rank[40] = "";
    if (want->part != LORAC_PEFT_FULL && lorac_adapter_has_rank(r->outline)) {
        (void)snprintf(rank, sizeof rank, " for rank %zu", r->outline->site[want->i].R);
    }
    enum lorac_status st =
        lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' has shape (%s), expected (%zu,%zu)%s",
                   r->tensor_path, t->name, shape, want->dims[0], want->dims[1], rank);
    if (want->part != LORAC_PEFT_FULL) { name_base(r, err); }
    bool rows = t->n_dims == 2 && t->dims[0] != want->dims[0] && t->dims[1] == want->dims[1];
    bool ends = strstr(t->name, ".embed_tokens.") || strstr(t->name, ".lm_head.");
    if (want->part == LORAC_PEFT_FULL && rows && ends) { explain_resized(err); }
    return st;
}

static enum lorac_status check_tensors(struct reader *r, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_checkpoint_count(r->files) && !st; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(r->files, i);
        const struct lorac_peft_tensor *want = lorac_peft_tensor_find(&r->expected, t->name);
        st = want ? check_shape(r, t, want, err) : unexpected(r, t, err);
        if (want) { r->seen[want - r->expected.at] = 1; }
    }
    for (size_t i = 0; i < r->expected.n && !st; i++) {
        bool full = r->expected.at[i].part == LORAC_PEFT_FULL;
        if (r->seen[i]) { continue; }
        st = lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s' is missing; %s of %s names its module",
                        r->tensor_path, r->expected.at[i].name,
                        full ? "modules_to_save or bias" : "target_modules", LORAC_PEFT_CONFIG);
    }
    return st;
}

static enum lorac_status check_base(const struct reader *r, bool force, struct lorac_err *err)
{
    const char *base = lorac_checkpoint_metadata(r->files, LORAC_PEFT_BASE);
    if (force || !base || strcmp(base, r->m->fingerprint) == 0) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: was made for another base: it names fingerprint %.16s..., the model %s "
                      "has %.16s...",
                      r->tensor_path, base, r->m->dir, r->m->fingerprint);
}

static enum lorac_status open_files(struct reader *r, const char *dir, struct lorac_err *err)
{
    r->config_path = lorac_path_join(dir, LORAC_PEFT_CONFIG);
    r->tensor_path = lorac_path_join(dir, LORAC_PEFT_TENSORS);
    r->match = lorac_mem_new(r->m->n_modules, sizeof *r->match);
    enum lorac_status st = LORAC_OK;
    if (!r->config_path || !r->tensor_path || !r->match) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to read the adapter", dir);
        goto done;
    }
    st = lorac_peft_missing(dir, r->config_path, r->tensor_path, err);
    if (!st) { st = lorac_peft_config_load(&r->config, r->config_path, err); }
    if (st) { goto done; }
    st = lorac_checkpoint_open(&r->files, r->tensor_path, err);
    if (!st) { st = lorac_peft_names(r->files, r->tensor_path, err); }
done:
    return st;
}

/* Where the file has old names for modules, its config means them as well: they are the model's
 * from here on. */
static enum lorac_status take_names(struct reader *r, struct lorac_err *err)
{
    struct lorac_module *old = NULL;
    enum lorac_status st = lorac_peft_old_modules(&old, r->m, r->files, err);
    if (st || !old) { return st; }
    r->old = *r->m;
    r->old.module = old;
    r->m = &r->old;
    return LORAC_OK;
}

/* What the base lacks the adapter must bring: what was drawn for it here is not what it was trained
 * with. */
static enum lorac_status check_drawn(const struct reader *r, struct lorac_err *err)
{
    for (size_t m = 0; m < r->m->n_modules; m++) {
        const struct lorac_module *module = &r->m->module[m];
        bool whole = module->role == LORAC_ROLE_NORM ? r->match[m].vector && !r->match[m].shift
                                                     : r->match[m].weight;
        if (!module->fresh || whole) { continue; } // a bias alone is not what it was trained with
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: does not name '%s' among modules_to_save, and the base lacks it: the "
            "adapter was trained on a base that has it",
            r->config_path, module->name);
    }
    return LORAC_OK;
}

/* Which tensors the file must hold, without memory for their values: its lengths aren't believed
 * yet. */
static enum lorac_status expect_tensors(struct reader *r, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = &r->config.options;
    enum lorac_status st = lorac_peft_config_match(r->match, &r->config, r->m, err);
    bool ends =
        lorac_model_is_tied(r->m) && (r->match[r->m->embed].weight || r->match[r->m->head].weight);
    r->tie = ends ? o->tie : LORAC_TIE_UNSET; // elsewhere it says nothing
    if (!st) {
        st = lorac_adapter_outline(&r->outline, r->m, r->match, o->method, o->scaling, r->tie, err);
        if (st) { lorac_err_prefix(err, "%s: ", r->config_path); }
        if (st == LORAC_EUSER) { st = LORAC_EFORMAT; } // of a file, not of what a user asks for
    }
    if (!st) { st = check_drawn(r, err); }
    if (!st) { st = lorac_peft_tensors(&r->expected, r->outline, err); }
    if (st) { return st; }
    if (r->expected.n == 0) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: names no module of the model", r->config_path);
    }
    r->seen = lorac_mem_new(r->expected.n, 1);
    return r->seen ? LORAC_OK
                   : lorac_fail(err, LORAC_ENOMEM, "%s: no memory to read it", r->tensor_path);
}

static enum lorac_status read_values(struct lorac_adapter *a, const struct reader *r,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < r->expected.n && !st; i++) {
        const struct lorac_peft_tensor *t = &r->expected.at[i];
        float *x = NULL;
        st = decode(&x, r->tensor_path, lorac_checkpoint_find(r->files, t->name), err);
        if (!st) { st = lorac_peft_tensor_write(a, t, x, err); }
        lorac_mem_free(x);
    }
    return st;
}

/* What is stored under two names must be one matrix. */
static enum lorac_status check_tied(const struct reader *r, struct lorac_err *err)
{
    const struct lorac_model *m = r->m;
    char embed[LORAC_NAME_SIZE];
    char head[LORAC_NAME_SIZE];
    bool same = false;
    if (r->outline->tie != LORAC_TIE_KEEP) { return LORAC_OK; }
    (void)snprintf(embed, sizeof embed, "base_model.model.%s.weight", m->module[m->embed].name);
    (void)snprintf(head, sizeof head, "base_model.model.%s.weight", m->module[m->head].name);
    enum lorac_status st = compare(&same, r, lorac_checkpoint_find(r->files, embed),
                                   lorac_checkpoint_find(r->files, head), err);
    if (st || same) { return st; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "%s: tensors '%s' and '%s' differ, but ensure_weight_tying of %s makes them "
                      "one",
                      r->tensor_path, embed, head, LORAC_PEFT_CONFIG);
}

static enum lorac_status make_adapter(struct lorac_adapter **out, const struct lorac_model *m,
                                      const struct reader *r, const char *dir,
                                      struct lorac_err *err)
{
    const struct lorac_adapter_options *o = &r->config.options;
    enum lorac_status st =
        lorac_adapter_alloc(out, m, r->match, o->method, o->scaling, r->tie, err);
    if (st) {
        lorac_err_prefix(err, "%s: ", r->tensor_path);
        return st;
    }
    struct lorac_adapter *a = *out;
    const char *template_json = lorac_checkpoint_metadata(r->files, LORAC_PEFT_TEMPLATE);
    a->init = o->init;
    a->bias = o->bias;
    lorac_adapter_set_dropout(a, o->dropout, 0);
    a->name = lorac_mem_string(dir, strlen(dir));
    if (template_json) {
        a->template_json = lorac_mem_string(template_json, strlen(template_json));
    }
    if (!a->name || (template_json && !a->template_json)) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    }
    st = read_values(a, r, err);
    return st ? st : lorac_adapter_refresh(a, err);
}

enum lorac_status lorac_peft_load(struct lorac_adapter **out, const struct lorac_model *m,
                                  const char *dir, bool force, struct lorac_err *err)
{
    struct reader r = {.m = m};
    *out = NULL;
    enum lorac_status st = open_files(&r, dir, err);
    if (!st) { st = check_base(&r, force, err); }
    r.config.idle_patterns = force;
    if (!st) { st = lorac_peft_check_task(&r.config, r.files, r.tensor_path, m, err); }
    if (!st) { st = take_names(&r, err); }
    if (!st) { st = expect_tensors(&r, err); }
    if (!st) { st = check_tensors(&r, err); }
    if (!st) { st = check_tied(&r, err); }
    if (!st) { st = make_adapter(out, m, &r, dir, err); }
    if (st) {
        lorac_adapter_free(*out);
        *out = NULL;
    }
    lorac_checkpoint_close(r.files);
    lorac_peft_config_free(&r.config);
    lorac_adapter_free(r.outline);
    lorac_mem_free(r.old.module);
    lorac_mem_free(r.match);
    lorac_mem_free(r.expected.at);
    lorac_mem_free(r.seen);
    lorac_mem_free(r.config_path);
    lorac_mem_free(r.tensor_path);
    return st;
}
