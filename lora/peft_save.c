/* peft_save.c - writing a PEFT adapter folder; the format is described in peft.c. */
#include "lora/card.h"
#include "lora/peft_files.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/sibling.h"
#include "lora/methods/methods.h"
#include "lora/peft_config.h"
#include "lora/peft_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const struct lorac_adapter *a;
    struct lorac_peft_tensors tensors;
    struct lorac_tensor_spec *specs;
    enum lorac_dtype dtype;
    float *host; // the largest tensor
};

static enum lorac_status fill(void *self, void *to, size_t i, struct lorac_err *err)
{
    struct writer *w = self;
    const struct lorac_peft_tensor *e = &w->tensors.at[i];
    size_t n = lorac_peft_tensor_size(e);
    enum lorac_status st = lorac_peft_tensor_read(w->host, w->a, e, err);
    if (st) { return st; }
    for (size_t j = 0; j < n; j++) {
        if (!isfinite(w->host[j])) {
            return lorac_fail(err, LORAC_EUSER,
                              "'%s': element %zu is %f and will not be saved; training went wrong",
                              e->name, j, (double)w->host[j]);
        }
    }
    lorac_dtype_encode(to, w->host, w->dtype, n);
    return LORAC_OK;
}

static enum lorac_status write_tensors(const char *path, struct writer *w, struct lorac_err *err)
{
    const struct lorac_adapter *a = w->a;
    enum lorac_status st = lorac_peft_tensors(&w->tensors, a, err);
    if (st) { return st; }
    size_t n = w->tensors.n;
    w->specs = lorac_mem_new(n, sizeof *w->specs);
    w->host = lorac_mem_new(lorac_peft_tensors_largest(&w->tensors), sizeof *w->host);
    if (!w->specs || !w->host) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write the adapter", path);
    }
    for (size_t i = 0; i < n; i++) {
        const struct lorac_peft_tensor *t = &w->tensors.at[i];
        w->specs[i] = (struct lorac_tensor_spec){
            .name = t->name,
            .dtype = w->dtype,
            .n_dims = t->n_dims,
            .dims = {t->dims[0], t->dims[1]},
        };
    }
    const char *meta[6] = {LORAC_PEFT_VERSION,    LORAC_VERSION,       LORAC_PEFT_BASE,
                           a->model->fingerprint, LORAC_PEFT_TEMPLATE, a->template_json};
    return lorac_safetensors_write(path, w->specs, n, meta, a->template_json ? 3 : 2, fill, w, err);
}

static enum lorac_status write_config(const char *path, const struct lorac_adapter *a,
                                      const char *base_name, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_peft_config_text(&text, a, base_name, err);
    if (!st) { st = lorac_file_write(path, text.at, text.n, err); }
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status write_card(const char *path, const struct lorac_adapter *a,
                                    const char *base_name, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    size_t lowest = a->n ? a->site[0].R : 0;
    size_t highest = lowest;
    for (size_t i = 0; i < a->n; i++) {
        lowest = a->site[i].R < lowest ? a->site[i].R : lowest;
        highest = a->site[i].R > highest ? a->site[i].R : highest;
    }
    lorac_buf_str(&text, "---\n");
    if (base_name) {
        lorac_buf_str(&text, "base_model: ");
        lorac_buf_json(&text, base_name, strlen(base_name)); // JSON text is YAML text
        lorac_buf_str(&text, "\n");
    }
    enum lorac_task task = a->model->config.task;
    lorac_buf_printf(&text,
                     "library_name: peft\npipeline_tag: %s\ntags:\n- %s\n---\n\n# %s adapter\n\n",
                     task == LORAC_TASK_CLASSIFY      ? "text-classification"
                     : task == LORAC_TASK_TAG         ? "token-classification"
                     : task == LORAC_TASK_BODY        ? "feature-extraction"
                     : a->model->config.bidirectional ? "fill-mask"
                                                      : "text-generation",
                     a->method->name, a->method->title);
    lorac_buf_printf(&text, "- Base: %s\n", base_name ? base_name : "not named");
    lorac_buf_printf(&text, "- Modules: %zu", a->n);
    if (a->n && a->method->ranked) { lorac_buf_printf(&text, ", rank %zu", lowest); }
    if (highest != lowest) { lorac_buf_printf(&text, " to %zu", highest); }
    if (a->n_full) { lorac_buf_printf(&text, "; %zu tensors trained in full", a->n_full); }
    lorac_buf_printf(&text, "; %zu parameters\n", a->n_params);
    lorac_buf_printf(&text, "- Made with lorac %s\n", LORAC_VERSION);
    enum lorac_status st =
        lorac_card_usage(&text, a->template_json, base_name, false, &a->model->config, err);
    if (!st && text.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write it", path);
    }
    if (!st) { st = lorac_file_write(path, text.at, text.n, err); }
    lorac_buf_free(&text);
    return st;
}

/* The chat template that it was trained with, where transformers looks for one. */
static enum lorac_status write_chat(const char *dir, const struct lorac_adapter *a,
                                    struct lorac_err *err)
{
    struct lorac_saved *saved = NULL;
    enum lorac_status st = lorac_saved_read(&saved, a->template_json, err);
    const char *text = saved ? saved->chat : NULL;
    char *path = text ? lorac_path_join(dir, "chat_template.jinja") : NULL;
    if (!st && text && !path) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    if (!st && text) { st = lorac_file_write(path, text, strlen(text), err); }
    lorac_mem_free(path);
    lorac_mem_free(saved);
    return st;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Every number of `got`, which was read from the file, against the adapter in memory. */
static enum lorac_status compare_values(const struct lorac_adapter *got, struct writer *w,
                                        const char *dir, struct lorac_err *err)
{
    size_t most = lorac_peft_tensors_largest(&w->tensors);
    float *back = lorac_mem_new(most, sizeof *back);
    float *stored = lorac_mem_new(most, sizeof *stored);
    enum lorac_status st = LORAC_OK;
    if (!back || !stored) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to compare it", dir);
        goto done;
    }
    for (size_t k = 0; k < w->tensors.n && !st; k++) {
        const struct lorac_peft_tensor *t = &w->tensors.at[k];
        size_t n = lorac_peft_tensor_size(t);
        st = lorac_peft_tensor_read(back, got, t, err);
        if (!st) { st = lorac_peft_tensor_read(w->host, w->a, t, err); }
        if (st) { break; }
        lorac_dtype_encode(stored, w->host, w->dtype, n);
        lorac_dtype_decode(w->host, stored, w->dtype, n);
        if (memcmp(back, w->host, n * sizeof *back) != 0) {
            st = lorac_fail(err, LORAC_EIO, "%s: tensor '%s' reads back with other values", dir,
                            t->name);
        }
    }
done:
    lorac_mem_free(back);
    lorac_mem_free(stored);
    return st;
}

static enum lorac_status compare(const char *dir, struct writer *w, struct lorac_err *err)
{
    const struct lorac_adapter *a = w->a;
    struct lorac_adapter *got = NULL;
    enum lorac_status st = lorac_peft_load(&got, a->model, dir, false, err);
    if (st) {
        lorac_err_prefix(err, "reading back what was saved: ");
        return st;
    }
    bool same = got->n == a->n && got->n_full == a->n_full && got->scaling == a->scaling &&
                got->init == a->init && got->dropout == a->dropout &&
                (got->method == a->method || a->n == 0) && got->tie == a->tie &&
                got->bias == a->bias && same_text(got->template_json, a->template_json);
    for (size_t i = 0; i < a->n && same; i++) {
        same = got->site[i].m == a->site[i].m && got->site[i].R == a->site[i].R &&
               got->site[i].alpha == a->site[i].alpha && got->site[i].input == a->site[i].input;
    }
    for (size_t i = 0; i < a->n_full && same; i++) {
        same = got->full[i].m == a->full[i].m && got->full[i].vector == a->full[i].vector &&
               got->full[i].first == a->full[i].first;
    }
    st = same ? compare_values(got, w, dir, err)
              : lorac_fail(err, LORAC_EIO, "%s: the settings read back differ", dir);
    lorac_adapter_free(got);
    return st;
}

/* Replacing a folder removes what is in it, so it must be ours alone. */
static enum lorac_status check_target(const char *dir, struct lorac_err *err)
{
    static const char *const ours[] = {LORAC_PEFT_CONFIG, LORAC_PEFT_TENSORS, LORAC_PEFT_CARD,
                                       "chat_template.jinja"};
    char **names = NULL;
    if (!lorac_path_exists(dir)) { return LORAC_OK; }
    if (!lorac_path_is_dir(dir)) {
        return lorac_fail(err, LORAC_EUSER, "%s: is a file; an adapter is a folder", dir);
    }
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++) {
            known = known || strcmp(names[i], ours[k]) == 0;
        }
        if (!known) {
            st = lorac_fail(err, LORAC_EUSER,
                            "%s: holds '%s', which replacing the folder would remove; give another "
                            "folder",
                            dir, names[i]);
        }
    }
    lorac_mem_free(names);
    return st;
}

static enum lorac_status write_all(const char *temp, struct writer *w, const char *base_name,
                                   struct lorac_err *err)
{
    char *config = lorac_path_join(temp, LORAC_PEFT_CONFIG);
    char *tensors = lorac_path_join(temp, LORAC_PEFT_TENSORS);
    char *card = lorac_path_join(temp, LORAC_PEFT_CARD);
    enum lorac_status st = config && tensors && card
                               ? lorac_dir_make(temp, err)
                               : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", temp);
    if (!st) { st = write_config(config, w->a, base_name, err); }
    if (!st) { st = write_tensors(tensors, w, err); }
    if (!st) { st = write_card(card, w->a, base_name, err); }
    if (!st) { st = write_chat(temp, w->a, err); }
    if (!st) { st = compare(temp, w, err); }
    lorac_mem_free(config);
    lorac_mem_free(tensors);
    lorac_mem_free(card);
    return st;
}

enum lorac_status lorac_peft_save(const char *dir, const struct lorac_adapter *a,
                                  const char *base_name, enum lorac_dtype dtype,
                                  struct lorac_err *err)
{
    struct writer w = {.a = a, .dtype = dtype};
    char *to = NULL;
    char *temp = NULL;
    if (dtype != LORAC_F32 && dtype != LORAC_BF16) {
        return lorac_fail(err, LORAC_EUSER, "an adapter is saved as F32 or BF16, not as %s",
                          lorac_dtype_name(dtype));
    }
    enum lorac_status st = lorac_sibling(&to, &temp, dir, err);
    if (!st) { st = check_target(to, err); }
    if (st) { goto done; }
    st = lorac_dir_remove(temp, err); // of a process that died with this number
    if (!st) { st = write_all(temp, &w, base_name, err); }
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st) { lorac_discard(temp); }
done:
    lorac_mem_free(w.tensors.at);
    lorac_mem_free(w.specs);
    lorac_mem_free(w.host);
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
