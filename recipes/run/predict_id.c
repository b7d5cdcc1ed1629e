/* predict_id.c - what a table's answers are answers to; see predict.h. */
#include "recipes/run/predict_impl.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/sha256.h"
#include "recipes/run/heads.h"

#include <stdio.h>
#include <string.h>

static void add_text(struct lorac_sha256 *s, const char *text)
{
    lorac_sha256_add(s, text ? text : "", text ? strlen(text) + 1 : 0);
}

static enum lorac_status add_file(struct lorac_sha256 *s, const char *dir, const char *name,
                                  struct lorac_err *err)
{
    struct lorac_map map = {0};
    char *path = lorac_path_join(dir, name);
    if (!path) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    enum lorac_status st = LORAC_OK;
    if (lorac_path_exists(path)) { st = lorac_map_open(&map, path, err); }
    if (!st) { lorac_sha256_add(s, map.data, map.size); }
    lorac_map_close(&map);
    lorac_mem_free(path);
    return st;
}

/* Where any of it differs, rows that are answered already are answers to something else. */
enum lorac_status lorac_predict_identify(char id[65], const struct lorac_predict_work *w,
                                         struct lorac_err *err)
{
    const struct lorac_recipe *r = w->j->recipe;
    const struct lorac_predict_options *o = w->o;
    struct lorac_sha256 s;
    struct lorac_map map = {0};
    char numbers[160];
    enum lorac_status st = o->bytes ? LORAC_OK : lorac_map_open(&map, o->in, err);
    if (st) { return st; }
    lorac_sha256_init(&s);
    lorac_sha256_add(&s, o->bytes ? o->bytes : (const char *)map.data,
                     o->bytes ? o->n_bytes : map.size);
    lorac_map_close(&map);
    add_text(&s, w->j->model->fingerprint);
    add_text(&s, lorac_job_objective(w->j)->name);
    add_text(&s, r->templates.prompt);
    add_text(&s, r->templates.completion);
    add_text(&s, r->templates.pair);
    add_text(&s, r->data.labels.separator);
    if (w->j->chat) {
        add_text(&s, lorac_chat_text(w->j->chat));
        add_text(&s, r->templates.system);
        add_text(&s, r->templates.date);
    }
    for (size_t k = 0; k < w->j->K; k++) {
        add_text(&s, w->j->labels[k]);
    }
    for (size_t v = 0; v < lorac_predictor_variables(w->predictor); v++) {
        lorac_sha256_add(&s, &w->column[v], sizeof w->column[v]);
    }
    (void)lorac_snprintf(numbers, sizeof numbers, "%d %.17g %d %d %d %d %d %d %d %zu %zu %zu %d",
                         (int)w->j->model->compute, r->eval.threshold, r->templates.append_eos,
                         w->format.delimiter, w->format.quote, w->format.header,
                         (int)w->format.encoding, (int)r->data.on_empty, (int)r->data.on_too_long,
                         r->model.max_length, w->top, w->j->K ? 0 : o->max_tokens, o->scores);
    add_text(&s, numbers);
    if (o->adapter) {
        st = add_file(&s, o->adapter, "adapter_config.json", err);
        if (!st) { st = add_file(&s, o->adapter, "adapter_model.safetensors", err); }
    }
    lorac_sha256_hex(id, &s);
    return st;
}
